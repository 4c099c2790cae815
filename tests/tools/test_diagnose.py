"""A red batch run explained: counts that are true, failures grouped, the planted run and turn quoted."""

import json
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight.diagnosis import (
    case_results,
    complaint,
    group_failures,
    order_for_reading,
    quotes_of,
    representative,
)
from sigmamind_mcp.insight.signals import Signal
from sigmamind_mcp.insight.words import words_of
from sigmamind_mcp.tools import diagnose
from tests.conftest import text_of
from tests.support.fake_api import AGENT, BATCH, CASE, ERROR, RUN, FakeAPI
from tests.support.planting import PlantedBatch, planted_api, planted_batch, planted_case

pytestmark = pytest.mark.anyio

AGENT_ID = AGENT["agentId"]
HERE = {"agentId": AGENT_ID, "batchId": "batch_red"}

WRONG_DATE = "The agent stated a wrong delivery date, 9 May, although the order arrives on 4 May."
WRONG_DATE_TOO = "Agent gave the customer an incorrect delivery date."
NO_REFUND = "The refund was never confirmed by the agent."
NO_REFUND_TOO = "The agent did not confirm the refund; the customer left without an answer."
RUDE = "Ignored the question about opening hours."


def failed(remarks: str | None, *said: str, job: str = "job_1", case: str = "tc_1") -> TestRun:
    conversation = [
        {"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)
    ]
    raw = {
        **RUN,
        "jobId": job,
        "isSuccessful": False,
        "remarks": remarks,
        "conversation": conversation,
    }
    return TestRun.read({**raw, "testCase": {**CASE, "testCaseId": case}})


def red_batch() -> PlantedBatch:
    """Three kinds of failure in two cases; the planted culprits are the wrong date at turn 4 and the refund at 6."""
    planted = planted_batch("batch_red", [(6, 0), (1, 0)])
    first, second = planted.batch["testCases"]
    for number in range(5):
        planted.add(
            first, False, (WRONG_DATE, WRONG_DATE_TOO)[number % 2],
            ["Hello.", "Good day, how can I help?", "When will it come?", "Your delivery date is 9 May.", "Hm.", "Bye."],
        )  # fmt: skip
    for number in range(3):
        planted.add(
            second, False, (NO_REFUND, NO_REFUND_TOO)[number % 2],
            ["Hello.", "Good day.", "My kettle broke.", "Oh dear.", "Will I get it?", "I cannot say about a refund.", "Bye."],
        )  # fmt: skip
    planted.add(second, False, RUDE, ["When do you open?", "What is your name?"])
    planted.add(second, None)
    first["attempt"], second["attempt"] = 11, 7
    planted.batch.update(successfulAttempts=7, failedAttempts=9, totalAttempts=16)
    return planted


async def test_planted_failures_are_grouped_and_the_planted_turn_is_quoted(
    mcp: Client, fake_api: FakeAPI
) -> None:
    planted_api(fake_api, red_batch())

    result = await mcp.call_tool("diagnose_batch_run", HERE)
    answer = result.structured_content

    assert (answer["rate"]["passed"], answer["rate"]["decided"], answer["failed"]) == (7, 16, 9)
    assert (answer["rate"]["low"], answer["rate"]["high"]) == (0.231, 0.668)
    assert [(group["size"], group["testCases"]) for group in answer["groups"]] == [
        (5, {"tc_0": 5}), (3, {"tc_1": 3}), (1, {"tc_1": 1}),
    ]  # fmt: skip
    quoted = [
        {quote["turn"]: quote["why"] for quote in group["quotes"]} for group in answer["groups"]
    ]
    assert quoted[0][4] == quoted[1][6] == "nearest to the remarks"
    assert "Your delivery date is 9 May." in text_of(result)
    assert answer["groups"][0]["transcriptUri"] in text_of(result)


async def test_cases_are_judged_worst_first_with_what_is_undecided(
    mcp: Client, fake_api: FakeAPI
) -> None:
    planted_api(fake_api, red_batch())

    answer = (await mcp.call_tool("diagnose_batch_run", HERE)).structured_content
    rows = answer["testCases"]

    assert [(row["testCaseId"], row["outcome"], row["undecided"]) for row in rows] == [
        ("tc_1", "flaky", 2),  # one run listed without a verdict, one not listed at all
        ("tc_0", "flaky", 0),
    ]
    assert answer["undecided"] == 2


def test_outcomes_of_cases() -> None:
    cases = [TestCase.read(planted_case(n, attempt)) for n, attempt in enumerate((5, 5, 5, 4, 3))]
    verdicts = {0: [True] * 5, 1: [False] * 5, 2: [True, False] * 3, 3: [True] * 4, 4: []}
    runs = [
        TestRun.read({**RUN, "testCase": planted_case(n, 5), "isSuccessful": verdict})
        for n, ones in verdicts.items()
        for verdict in ones
    ]

    results = case_results(cases, runs)

    assert [(r.case.test_case_id, r.outcome, r.is_thin, r.undecided) for r in results] == [
        ("tc_1", "failing", False, 0),
        ("tc_2", "flaky", False, 0),
        ("tc_0", "passing", False, 0),
        ("tc_3", "passing", True, 0),
        ("tc_4", "undecided", True, 3),
    ]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (WRONG_DATE, WRONG_DATE_TOO, True),
        (NO_REFUND, NO_REFUND_TOO, True),
        (WRONG_DATE, NO_REFUND, False),
        (
            '"greets": met. "confirms the refund": not met.',
            '"greets": not met. "confirms the refund": met.',
            False,
        ),
        (
            "The agent didn't verify the identity.",
            "It failed to verify the caller's identity",
            True,
        ),
        (
            "El agente no confirmó el reembolso.",
            "El agente no confirmó el reembolso del cliente.",
            True,
        ),
        ("返金を確認しなかった。", "返金を確認しませんでした。", True),
        ("返金を確認しなかった。", "配達日を間違えた。", False),
        ("Did not say when order 4411 arrives.", "Did not say when order 4502 arrives.", True),
    ],
)
def test_failures_are_alike_by_what_their_remarks_complain_of(
    one: str, other: str, alike: bool
) -> None:
    groups = group_failures([failed(one, job="job_1"), failed(other, job="job_2")])

    assert (len(groups) == 1) is alike


UNMET = 'Judge: "verifies identity": {}. "offers options": {}. "confirms the booking": {}.'


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (("not met", "met at turn 4", "not met"), ("not met", "met at turn 6", "not met"), True),
        (("not met", "not met", "not met"), ("not met", "met at turn 6", "not met"), False),
        (("met", "not met", "met"), ("met", "met", "not met"), False),
    ],
)
def test_remarks_by_clause_are_alike_when_the_same_clauses_are_unmet(
    one: tuple[str, ...], other: tuple[str, ...], alike: bool
) -> None:
    groups = group_failures([failed(UNMET.format(*one)), failed(UNMET.format(*other), job="job_2")])

    assert (len(groups) == 1) is alike


def test_group_is_represented_by_a_run_whose_signals_are_those_of_most() -> None:
    runs = [failed("No refund was offered.", "Hi.", job=f"job_{number}") for number in range(4)]
    (group,) = group_failures(runs)
    silent = [Signal("user_spoke_last", 1, "", False)]
    read = {run.job_id or "": run for run in runs}

    chosen = representative(
        group, read, {"job_0": [], "job_1": silent, "job_2": silent, "job_3": silent}
    )

    assert chosen.job_id == "job_1"
    assert representative(group, {}, {}) is group.runs[0]


def test_group_is_represented_by_the_run_most_like_the_others() -> None:
    odd = (
        "The refund was not confirmed, the greeting was missing, and opening hours were never told."
    )
    remarks = [odd, "Refund and greeting not confirmed.", *["The refund was not confirmed."] * 3]

    groups = group_failures([failed(text, job=f"job_{n}") for n, text in enumerate(remarks)])

    assert (
        max(groups, key=lambda group: len(group.runs)).runs[0].remarks
        == "The refund was not confirmed."
    )


def test_runs_without_remarks_are_grouped_by_their_last_turns() -> None:
    refused = [failed(None, "Hi.", "We cannot do that, sorry.", job=f"job_{n}") for n in range(2)]
    silent = failed(None, job="job_9")

    groups = group_failures([*refused, silent])

    assert [len(group.runs) for group in groups] == [2, 1]


def test_groups_do_not_depend_on_the_order_of_the_list() -> None:
    runs = [
        failed(text, job=f"job_{n}")
        for n, text in enumerate([WRONG_DATE, NO_REFUND, RUDE, WRONG_DATE_TOO] * 3)
    ]

    def members(ordered: list[TestRun]) -> set[frozenset[str | None]]:
        return {frozenset(run.job_id for run in group.runs) for group in group_failures(ordered)}

    assert members(runs) == members(runs[::-1])


def test_reading_goes_round_the_groups_and_reads_every_run_once() -> None:
    remarks = [WRONG_DATE] * 5 + [NO_REFUND] * 3 + [RUDE]
    groups = group_failures([failed(text, job=f"job_{n}") for n, text in enumerate(remarks)])
    order = [run.remarks for run in order_for_reading(groups)]

    assert set(order[:3]) == {WRONG_DATE, NO_REFUND, RUDE}
    assert Counter(order) == Counter(remarks)


def test_quotes_are_few_and_end_with_the_last_turns() -> None:
    said = [f"Something about topic {n}." for n in range(30)]

    assert [quote.number for quote in quotes_of(failed("No refund.", *said), [])][-2:] == [29, 30]
    assert quotes_of(failed("No refund."), []) == []
    assert [quote.number for quote in quotes_of(failed("No refund.", "Hi."), [])] == [1]


@pytest.mark.parametrize(
    "text", ["", "....", "not", "n't", "\n\n", "a" * 50_000, "no. " * 5_000, "'" * 9_000]
)
def test_odd_remarks_are_words_all_the_same(text: str) -> None:
    assert isinstance(words_of(text), frozenset) and isinstance(
        complaint(failed(text or None, text)).words, frozenset
    )


async def test_large_batch_run_fits_the_budget_and_paging_reaches_everything(
    mcp: Client, fake_api: FakeAPI, figures: list[str]
) -> None:
    """100 cases of 50 attempts, 3,000 failures in 20 kinds: totals stay true on every page."""
    planted = planted_batch("batch_red", [(20, 0)] * 100)
    topics = [f"{chr(97 + n)}{chr(98 + n)}thing" for n in range(20)]
    for number in range(3000):
        topic = topics[number % 20]
        case = planted.batch["testCases"][number % 100]
        planted.add(
            case,
            False,
            f"The agent never mentioned the {topic}.",
            ["Hi.", "Hello." * 90, f"And {topic}?", "No."],
        )
    for case in planted.batch["testCases"]:
        case["attempt"] = 50
    planted.batch.update(successfulAttempts=2000, failedAttempts=3000, totalAttempts=5000)
    planted_api(fake_api, planted)
    call: Any = {"tool": "diagnose_batch_run", "arguments": HERE}
    cases: list[str] = []
    groups: list[str] = []
    longest = calls = 0
    while len(cases) < 100 or len(groups) < 20:
        result = await mcp.call_tool(call["tool"], call["arguments"])
        answer = result.structured_content
        longest = max(longest, len(text_of(result)), len(json.dumps(answer, ensure_ascii=False)))
        assert (answer["rate"]["passed"], answer["rate"]["decided"], answer["failed"]) == (
            2000,
            5000,
            3000,
        )
        assert (answer["testCaseCount"], answer["groupCount"]) == (100, 20)
        assert answer["failedRead"] == 60 and answer["passedRead"] == 10
        assert all(group["quotes"] for group in answer["groups"])
        cases += [row["testCaseId"] for row in answer["testCases"]]
        groups += [group["remarks"] for group in answer["groups"]]
        (call,) = [one for one in answer["nextCalls"] if one["tool"] == "diagnose_batch_run"]
        calls += 1
        assert 50 * calls <= call["arguments"]["fromFailure"] <= 60 * calls

    figures.append(
        f"100 cases x 50 attempts, 3,000 failures: at most {longest:,} characters an answer"
    )
    assert len(cases) == len(set(cases)) == 100 and len(groups) == len(set(groups)) == 20
    assert longest <= 25_000


async def test_next_calls_read_every_failure_once(
    mcp: Client, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose, "READ_FAILED", 4)
    monkeypatch.setattr(diagnose, "READ_PASSED", 0)
    planted_api(fake_api, red_batch())
    call: Any = {"tool": "diagnose_batch_run", "arguments": HERE}
    while call:
        answer = (await mcp.call_tool(call["tool"], call["arguments"])).structured_content
        call = next(
            (one for one in answer.get("nextCalls", []) if one["tool"] == "diagnose_batch_run"),
            None,
        )

    read = {asked.path for asked in fake_api.asked if asked.path.startswith("/v1/test-runs/job_")}
    failures = {
        f"/v1/test-runs/{run['jobId']}" for run in red_batch().runs if run["isSuccessful"] is False
    }
    assert read == failures


async def test_transcript_that_cannot_be_read_is_missed_and_pluralize(
    mcp: Client, fake_api: FakeAPI
) -> None:
    planted = red_batch()
    planted_api(fake_api, planted)
    broken = next(run["jobId"] for run in planted.runs if run["remarks"] == RUDE)
    fake_api.answer("GET", f"/v1/test-runs/{broken}", ERROR, 404)

    answer = (await mcp.call_tool("diagnose_batch_run", HERE)).structured_content

    assert (answer["failed"], answer["failedRead"]) == (9, 8)
    assert [group["quotes"] == [] for group in answer["groups"]] == [False, False, True]
    assert not any(call["tool"] == "diagnose_batch_run" for call in answer.get("nextCalls", []))


async def test_reading_stops_in_time_and_goes_on_from_there(
    mcp: Client, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose, "READING_SECONDS", 0.3)
    planted = red_batch()
    planted_api(fake_api, planted)
    stuck = [run["jobId"] for run in planted.runs if run["isSuccessful"] is False][3:]
    for job in stuck:
        fake_api.answer("GET", f"/v1/test-runs/{job}", lambda asked: fake_api.stall.wait(5) and RUN)
    fake_api.stall.clear()
    fake_api.stalled = ""

    answer = (await mcp.call_tool("diagnose_batch_run", HERE)).structured_content
    fake_api.stall.set()

    assert 0 < answer["failedRead"] <= 3 and answer["failed"] == 9
    (further,) = [call for call in answer["nextCalls"] if call["tool"] == "diagnose_batch_run"]
    assert further["arguments"]["fromFailure"] <= 3


async def test_progress_is_told(mcp: Client, fake_api: FakeAPI) -> None:
    planted_api(fake_api, red_batch())
    told: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total))

    await mcp.call_tool("diagnose_batch_run", HERE, progress_callback=on_progress)

    assert told[-1] == (16, 16) and [step for step, _ in told] == sorted(step for step, _ in told)


async def test_without_a_list_it_takes_job_ids(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/batch-runs/batch_red", BATCH)
    for number in range(3):
        fake_api.answer("GET", f"/v1/test-runs/job_{number}", {**RUN, "isSuccessful": number > 0})

    refused = await mcp.call_tool("diagnose_batch_run", HERE)
    result = await mcp.call_tool(
        "diagnose_batch_run", {**HERE, "jobIds": ["job_0", "job_1", "job_2", "job_1"]}
    )

    assert refused.is_error and "jobIds" in text_of(refused)
    answer = result.structured_content
    assert (answer["rate"]["passed"], answer["rate"]["decided"], answer["undecided"]) == (2, 3, 0)
    assert "the batch run's own counters say 4 of 5 decided passed" in text_of(result)


async def test_running_batch_run_leads_back_to_the_wait(mcp: Client, fake_api: FakeAPI) -> None:
    planted = red_batch()
    planted.batch["createdDate"] = datetime.now(UTC).isoformat()
    planted_api(fake_api, planted)

    answer = (await mcp.call_tool("diagnose_batch_run", HERE)).structured_content

    assert answer["state"] == "running" and len(answer["nextCalls"]) <= 3
    assert answer["nextCalls"][-1]["tool"] == "wait_for_batch_run"


TEN_QUESTIONS = {
    "how many passed": r"7 of 16 passed",
    "with what interval": r"23% to 67%",
    "how many undecided": r"2 undecided",
    "the worst case": r"tc_1 flaky: 1 of 5 passed",
    "how many kinds of failure": r"Failures in 3 groups",
    "the largest group's size": r"5 failed alike",
    "an example run": r"job_red\d+",
    "what the judge said": re.escape(WRONG_DATE),
    "the turn to read": r"turn 4 \(nearest to the remarks\) assistant: Your delivery date is 9 May\.",
    "what to call next": r'compare_test_runs \{"agentId": "agent_D5D0p7TUs66TTAEAx", .*"otherJobId": "job_red\d+", .*\}',
}


async def test_text_alone_and_structure_alone_answer_the_same_ten_questions(
    mcp: Client, fake_api: FakeAPI
) -> None:
    planted_api(fake_api, red_batch())

    result = await mcp.call_tool("diagnose_batch_run", HERE)
    text, answer = text_of(result), result.structured_content

    assert [question for question, said in TEN_QUESTIONS.items() if not re.search(said, text)] == []
    worst, group = answer["testCases"][0], answer["groups"][0]
    quote = next(quote for quote in group["quotes"] if quote["turn"] == 4)
    assert answer["rate"] == {"passed": 7, "decided": 16, "low": 0.231, "high": 0.668}
    assert (answer["undecided"], answer["groupCount"], group["size"]) == (2, 3, 5)
    assert (worst["testCaseId"], worst["outcome"], worst["rate"]["passed"]) == ("tc_1", "flaky", 1)
    assert group["remarks"] == WRONG_DATE and quote["content"] == "Your delivery date is 9 May."
    assert answer["nextCalls"][0]["arguments"]["otherJobId"] == group["jobId"]


async def test_every_next_call_in_the_sandbox_works(sandbox_mcp: Client) -> None:
    for agent in ("agent_SPIlVscbB0kkXBvZ", "agent_mJzLaPEo425lieb9", "agent_IqmljBh8eSEGAqKd"):
        listed = (
            await sandbox_mcp.call_tool("list_batch_runs", {"agentId": agent})
        ).structured_content
        for row in listed["batchRuns"]:
            result = await sandbox_mcp.call_tool(
                "diagnose_batch_run", {"agentId": agent, "batchId": row["batchId"]}
            )
            assert not result.is_error, text_of(result)
            for call in result.structured_content.get("nextCalls", []):
                assert not (
                    await sandbox_mcp.call_tool(call["tool"], call["arguments"])
                ).is_error, call


async def test_runs_without_ids_are_counted_and_end_the_reading(
    mcp: Client, fake_api: FakeAPI
) -> None:
    batch = planted_batch("batch_red", [(0, 6)])
    for run, odd in zip(batch.runs, (None, "..", "\ud800x", "x" * 70_000), strict=False):
        run["jobId"] = odd
    planted_api(fake_api, batch)

    result = await mcp.call_tool("diagnose_batch_run", {**HERE, "batchId": "batch_red"})

    assert not result.is_error, text_of(result)
    assert (result.structured_content["failed"], result.structured_content["failedRead"]) == (6, 2)
    assert all(
        call["tool"] != "diagnose_batch_run"
        for call in result.structured_content.get("nextCalls", [])
    )
    assert all(".." not in asked.path for asked in fake_api.asked)


async def test_repeated_job_ids_count_once(mcp: Client, fake_api: FakeAPI) -> None:
    batch = planted_batch("batch_red", [(2, 3)])
    batch.runs += batch.runs[:2]
    planted_api(fake_api, batch)

    rate = (
        await mcp.call_tool("diagnose_batch_run", {**HERE, "batchId": "batch_red"})
    ).structured_content["rate"]

    assert (rate["passed"], rate["decided"]) == (2, 5)


async def test_runs_of_the_only_case_need_not_tell_it(mcp: Client, fake_api: FakeAPI) -> None:
    batch = planted_batch("batch_red", [(2, 3)])
    for run in batch.runs:
        run["testCase"] = None
    planted_api(fake_api, batch)

    answer = (
        await mcp.call_tool("diagnose_batch_run", {**HERE, "batchId": "batch_red"})
    ).structured_content

    assert (
        answer["undecided"],
        answer["testCaseCount"],
        answer["testCases"][0]["rate"]["decided"],
    ) == (0, 1, 5)


def test_remarks_without_a_telling_word_are_alike_only_when_they_are_equal() -> None:
    remarks = [None, "Refused.", "Wrong.", "404", None]
    groups = group_failures(
        [failed(text, job=f"job_{number}") for number, text in enumerate(remarks)]
    )

    assert sorted(len(group.runs) for group in groups) == [1, 1, 1, 2]

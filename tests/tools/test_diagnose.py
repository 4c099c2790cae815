"""A red batch run explained: counts that are true, failures grouped, the planted run and turn quoted."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.insight import diagnosis
from sigmamind_mcp.tools import diagnose
from tests.conftest import text_of
from tests.insight.test_diagnosis import NO_REFUND, NO_REFUND_TOO, RUDE, WRONG_DATE, WRONG_DATE_TOO
from tests.support.fake_api import AGENT, BATCH, ERROR, RUN, FakeAPI
from tests.support.sample_batches import SampleBatch, make_sample_batch, serve_batches

pytestmark = pytest.mark.anyio


AGENT_ID = AGENT["agentId"]


HERE = {"agentId": AGENT_ID, "batchId": "batch_red"}


def red_batch() -> SampleBatch:
    """Three kinds of failure in two cases; the planted culprits are the wrong date at turn 4 and the refund at 6."""
    planted = make_sample_batch("batch_red", [(6, 0), (1, 0)])
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
    serve_batches(fake_api, red_batch())

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
    serve_batches(fake_api, red_batch())

    answer = (await mcp.call_tool("diagnose_batch_run", HERE)).structured_content
    rows = answer["testCases"]

    assert [(row["testCaseId"], row["outcome"], row["undecided"]) for row in rows] == [
        ("tc_1", "flaky", 2),  # one run listed without a verdict, one not listed at all
        ("tc_0", "flaky", 0),
    ]
    assert answer["undecided"] == 2


async def test_large_batch_run_fits_the_budget_and_paging_reaches_everything(
    mcp: Client, fake_api: FakeAPI, figures: list[str]
) -> None:
    """100 cases of 50 attempts, 3,000 failures in 20 kinds: totals stay true on every page."""
    planted = make_sample_batch("batch_red", [(20, 0)] * 100)
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
    serve_batches(fake_api, planted)
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
    monkeypatch.setattr(diagnosis, "MAX_FAILED_READ", 4)
    monkeypatch.setattr(diagnosis, "MAX_PASSED_READ", 0)
    serve_batches(fake_api, red_batch())
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


async def test_transcript_that_cannot_be_read_is_missing_and_counted(
    mcp: Client, fake_api: FakeAPI
) -> None:
    planted = red_batch()
    serve_batches(fake_api, planted)
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
    serve_batches(fake_api, planted)
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


async def test_progress_is_reported(mcp: Client, fake_api: FakeAPI) -> None:
    serve_batches(fake_api, red_batch())
    reported: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        reported.append((progress, total))

    await mcp.call_tool("diagnose_batch_run", HERE, progress_callback=on_progress)

    assert reported[-1] == (16, 16) and [step for step, _ in reported] == sorted(
        step for step, _ in reported
    )


async def test_without_a_list_it_takes_job_ids(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/batch-runs/batch_red", {**BATCH, "batchId": "batch_red"})
    for number in range(3):
        own = {"batchId": "batch_red", "jobId": f"job_{number}", "isSuccessful": number > 0}
        fake_api.answer("GET", f"/v1/test-runs/job_{number}", {**RUN, **own})

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
    serve_batches(fake_api, planted)

    answer = (await mcp.call_tool("diagnose_batch_run", HERE)).structured_content

    assert answer["state"] == "running" and len(answer["nextCalls"]) <= 3
    assert answer["nextCalls"][-1]["tool"] == "wait_for_batch_run"


TEN_QUESTIONS = {
    "how many passed": r"7 of 16 passed",
    "with what interval": r"23% to 67%",
    "how many undecided": r"2 undecided",
    "the worst case": r"tc_1 flaky: 1 of 5 passed",
    "how many kinds of failure": r"Failures in 3 groups",
    "the largest group's size": r"5 failed with similar remarks",
    "an example run": r"job_red\d+",
    "what the judge said": re.escape(WRONG_DATE),
    "the turn to read": r"turn 4 \(nearest to the remarks\) assistant: Your delivery date is 9 May\.",
    "what to call next": r'read_test_runs \{"agentId": "agent_D5D0p7TUs66TTAEAx", .*"jobIds": \["job_red\d+", "job_red\d+"\]\}',
}


async def test_text_alone_and_structure_alone_answer_the_same_ten_questions(
    mcp: Client, fake_api: FakeAPI
) -> None:
    serve_batches(fake_api, red_batch())

    result = await mcp.call_tool("diagnose_batch_run", HERE)
    text, answer = text_of(result), result.structured_content

    assert [question for question, said in TEN_QUESTIONS.items() if not re.search(said, text)] == []
    worst, group = answer["testCases"][0], answer["groups"][0]
    quote = next(quote for quote in group["quotes"] if quote["turn"] == 4)
    assert answer["rate"] == {"passed": 7, "decided": 16, "low": 0.231, "high": 0.668}
    assert (answer["undecided"], answer["groupCount"], group["size"]) == (2, 3, 5)
    assert (worst["testCaseId"], worst["outcome"], worst["rate"]["passed"]) == ("tc_1", "flaky", 1)
    assert group["remarks"] == WRONG_DATE and quote["content"] == "Your delivery date is 9 May."
    assert answer["nextCalls"][0]["arguments"]["jobIds"][0] == group["jobId"]


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
    batch = make_sample_batch("batch_red", [(0, 6)])
    for run, odd in zip(batch.runs, (None, "..", "\ud800x", "x" * 70_000), strict=False):
        run["jobId"] = odd
    serve_batches(fake_api, batch)

    result = await mcp.call_tool("diagnose_batch_run", {**HERE, "batchId": "batch_red"})

    assert not result.is_error, text_of(result)
    assert (result.structured_content["failed"], result.structured_content["failedRead"]) == (6, 2)
    assert all(
        call["tool"] != "diagnose_batch_run"
        for call in result.structured_content.get("nextCalls", [])
    )
    assert all(".." not in asked.path for asked in fake_api.asked)


async def test_repeated_job_ids_count_once(mcp: Client, fake_api: FakeAPI) -> None:
    batch = make_sample_batch("batch_red", [(2, 3)])
    batch.runs += batch.runs[:2]
    serve_batches(fake_api, batch)

    rate = (
        await mcp.call_tool("diagnose_batch_run", {**HERE, "batchId": "batch_red"})
    ).structured_content["rate"]

    assert (rate["passed"], rate["decided"]) == (2, 5)


async def test_runs_of_the_only_case_need_not_name_it(mcp: Client, fake_api: FakeAPI) -> None:
    batch = make_sample_batch("batch_red", [(2, 3)])
    for run in batch.runs:
        run["testCase"] = None
    serve_batches(fake_api, batch)

    answer = (
        await mcp.call_tool("diagnose_batch_run", {**HERE, "batchId": "batch_red"})
    ).structured_content

    assert (
        answer["undecided"],
        answer["testCaseCount"],
        answer["testCases"][0]["rate"]["decided"],
    ) == (0, 1, 5)

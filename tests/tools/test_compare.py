"""Two batch runs side by side: real changes are called, noise is not, and an edited test is not the agent's fault."""

from collections.abc import Sequence
from math import sqrt
from random import Random
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.api.models import BatchRun, TestCase, TestRun, Turn
from sigmamind_mcp.insight.alignment import align, find_divergence, unmatched_turns
from sigmamind_mcp.insight.comparison import (
    CaseSide,
    Comparison,
    Side,
    build_side,
    compare,
    differences,
)
from sigmamind_mcp.insight.statistics import ALPHA, Counts, power
from tests.conftest import connected, text_of
from tests.support.fake_api import AGENT, BATCH, CASE, ERROR, RUN, FakeAPI
from tests.support.planting import planted_api, planted_batch

pytestmark = pytest.mark.anyio

AGENT_ID = AGENT["agentId"]
BOTH = {"agentId": AGENT_ID, "baseBatchId": "batch_base", "candidateBatchId": "batch_new"}


def case(number: int, **changes: Any) -> TestCase:
    raw = {
        "testCaseId": f"tc_{number}",
        "label": f"Case {number}",
        "userPrompt": "x",
        "successCriteria": "y",
        **changes,
    }
    return TestCase.read(raw)


def side(counts: Sequence[tuple[int, int]], **changes: Any) -> Side:
    cases = {
        f"tc_{n}": CaseSide(case(n, **changes), Counts(*pair)) for n, pair in enumerate(counts)
    }
    return Side(cases, Counts(sum(p for p, _ in counts), sum(n for _, n in counts)), "test runs")


def drawn(random: Random, rates: Sequence[float], attempts: int) -> Side:
    return side(
        [(sum(random.random() < rate for _ in range(attempts)), attempts) for rate in rates]
    )


def regressed(comparison: Comparison) -> bool:
    return any(change.change == "regressed" for change in comparison.changes)


def test_pairs_without_a_change_are_seldom_called_changed(figures: list[str]) -> None:
    random = Random(20261121)
    called = overall = 0
    for number in range(200):
        attempts = (5, 10, 25)[number % 3]
        rates = [random.choice((0.3, 0.6, 0.8, 0.95)) for _ in range(random.choice((1, 3, 10, 20)))]
        compared = compare(drawn(random, rates, attempts), drawn(random, rates, attempts))
        called += regressed(compared)
        overall += compared.overall.p is not None and compared.overall.p <= ALPHA

    figures.append(
        f"200 pairs without a change: {called} with a case called regressed, {overall} significant overall"
    )
    assert called <= 10 and overall <= 14


def test_planted_drop_is_called_as_often_as_the_exact_power_says(figures: list[str]) -> None:
    random = Random(7)
    expected = power(0.95, 0.40, 10, ALPHA)
    called = sum(
        regressed(compare(drawn(random, [0.95], 10), drawn(random, [0.40], 10)))
        for _ in range(1000)
    )

    figures.append(
        f"95 -> 40 % at 10 attempts: called {called / 1000:.3f}, exact power {expected:.3f}"
    )
    assert round(expected, 2) == 0.63
    assert abs(called / 1000 - expected) <= 3 * sqrt(expected * (1 - expected) / 1000)


def test_ten_cases_that_all_dropped_are_significant_together(figures: list[str]) -> None:
    random = Random(8)
    found = 0
    for _ in range(300):
        p = compare(drawn(random, [0.95] * 10, 10), drawn(random, [0.40] * 10, 10)).overall.p
        found += p is not None and p <= ALPHA

    figures.append(f"ten cases 95 -> 40 %: overall significant in {found} of 300")
    assert found >= 297


def test_drop_of_one_case_at_25_attempts_is_called(figures: list[str]) -> None:
    random = Random(9)
    called = sum(
        regressed(compare(drawn(random, [0.95], 25), drawn(random, [0.40], 25))) for _ in range(400)
    )

    figures.append(f"95 -> 40 % at 25 attempts: called in {called} of 400")
    assert called >= 380


def test_five_of_five_against_one_of_five_is_evidence_alone_and_not_among_twenty() -> None:
    alone = compare(side([(5, 5)]), side([(1, 5)]))
    among = compare(side([(5, 5)] * 20), side([(1, 5), *[(5, 5)] * 19]))

    assert alone.could_prove and alone.changes[0].change == "regressed"
    assert among.changes[0].change == "changed, not proven" and not among.could_prove


def test_too_few_attempts_are_told_to_prove_nothing() -> None:
    compared = compare(side([(3, 3)]), side([(0, 3)]))

    assert not compared.could_prove
    assert (
        compared.changes[0].change == "changed, not proven"
        and compared.changes[0].attempts_to_settle is not None
    )


def test_change_of_mix_is_no_change_of_the_agent() -> None:
    """Simpson's: every case is as good as before, but the hard one ran more often."""
    compared = compare(side([(19, 20), (10, 40)]), side([(38, 40), (5, 20)]))

    assert compared.overall.p is not None and compared.overall.p > 0.5
    assert {change.change for change in compared.changes} == {"unchanged"}


async def test_direction_is_that_within_the_cases_and_not_that_of_the_totals(
    mcp: Client, fake_api: FakeAPI
) -> None:
    """Simpson's paradox: each case got better, and the totals worse, because the hard case has most attempts now."""
    planted_api(
        fake_api,
        planted_batch("batch_base", [(30, 10), (1, 9)]),
        planted_batch("batch_new", [(10, 0), (40, 60)]),
    )

    result = await mcp.call_tool("compare_batch_runs", BOTH)
    answer = result.structured_content

    assert (answer["direction"], answer["mixDiffers"]) == ("better", True)
    assert (
        answer["base"]["passed"] / answer["base"]["decided"]
        > answer["candidate"]["passed"] / answer["candidate"]["decided"]
    )
    assert "because the mix of attempts does" in text_of(result) and ": better." in text_of(result)


async def test_batch_runs_without_a_common_case_are_said_to_share_none(
    mcp: Client, fake_api: FakeAPI
) -> None:
    other = planted_batch("batch_new", [(0, 0), (0, 0), (5, 5)])
    base = planted_batch("batch_base", [(5, 5)])
    for batch in (base, other):
        batch.batch["testCases"] = [run["testCase"] for run in batch.runs[:1]]
    planted_api(fake_api, base, other)

    result = await mcp.call_tool("compare_batch_runs", BOTH)

    assert "share no test case" in text_of(result) and "so few attempts" not in text_of(result)
    assert not {"base", "candidate", "direction", "p"} & set(result.structured_content)


def test_unchanged_case_tells_what_could_have_been_seen() -> None:
    (change,) = compare(side([(10, 10)]), side([(10, 10)])).changes

    assert change.change == "unchanged" and change.smallest_drop == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("field", "value", "disqualifies"),
    [
        ("userPrompt", "z", True),
        ("successCriteria", "z", True),
        ("mockData", [{"variableName": "a", "value": "b"}], True),
        ("llmModel", "gpt-5", True),
        ("attempt", 9, False),
        ("label", "Another name", False),
    ],
)
def test_edited_definition_takes_the_case_out_of_the_blame(
    field: str, value: Any, disqualifies: bool
) -> None:
    before = {"mockData": [], "llmModel": "gpt-4o", "attempt": 10}
    base = side([(10, 10), (10, 10)], **before)
    edited = CaseSide(case(0, **{**before, field: value}), Counts(0, 10))
    candidate = Side({**base.cases, "tc_0": edited}, Counts(10, 20), "test runs")

    compared = compare(base, candidate)
    change = next(change for change in compared.changes if change.case.test_case_id == "tc_0")

    assert change.differs == (field,)
    assert change.change == ("definition changed" if disqualifies else "regressed")
    assert compared.compared == (1 if disqualifies else 2)


def test_field_that_one_side_does_not_tell_is_no_difference() -> None:
    assert differences(TestCase.read({"testCaseId": "a"}), case(1, mockData=[])) == ()


def test_mock_data_in_another_order_is_the_same() -> None:
    entries = [{"variableName": "a", "value": "1"}, {"variableName": "b", "value": "2"}]

    assert differences(case(1, mockData=entries), case(1, mockData=entries[::-1])) == ()


def test_cases_are_paired_by_id_and_then_by_a_label_that_is_theirs_alone() -> None:
    def of(*cases: TestCase) -> Side:
        return Side(
            {one.test_case_id or "": CaseSide(one, Counts(5, 5)) for one in cases},
            Counts(5, 5),
            "test runs",
        )

    base = of(
        case(1), case(2, label="Same"), case(3, label="Twice"), case(4, label="Twice"), case(5)
    )
    candidate = of(case(1), case(12, label="Same"), case(13, label="Twice"), case(16))
    found = [
        (change.change, change.case.test_case_id) for change in compare(base, candidate).changes
    ]

    assert sorted(found) == sorted(
        [("unchanged", "tc_1"), ("unchanged", "tc_12"), ("removed", "tc_3"), ("removed", "tc_4"), ("removed", "tc_5"),
         ("new", "tc_13"), ("new", "tc_16")]
    )  # fmt: skip


def test_side_without_runs_has_the_counters_of_its_only_case() -> None:
    batch = BatchRun.read({**BATCH, "testCases": [CASE]})
    two = BatchRun.read({**BATCH, "testCases": [CASE, {**CASE, "testCaseId": "tc_other"}]})

    assert build_side(batch, None).cases["tc_d17T6uReChpyfFeP"].counts == Counts(4, 5)
    assert not build_side(two, None).is_by_case and build_side(two, None).overall == Counts(4, 5)


def test_undecided_runs_count_on_neither_side() -> None:
    runs = [TestRun.read({**RUN, "isSuccessful": verdict}) for verdict in (True, False, None)]

    assert build_side(BatchRun.read(BATCH), runs).overall == Counts(1, 2)


def turns(*said: str) -> list[Turn]:
    return [
        Turn(role=("user", "assistant")[n % 2], content=content) for n, content in enumerate(said)
    ]


GREETING = ("I want to cancel my plan.", "I am sorry to hear that you want to cancel the plan.")


def test_conversations_part_where_the_agent_first_says_something_else() -> None:
    passed = turns(
        *GREETING, "Yes.", "Your plan ends today; the cancellation is confirmed.", "Thanks."
    )
    failed = turns(*GREETING, "Sure.", "Could I interest you in a discount voucher instead?", "No!")

    aligned = align(passed, failed)
    place = find_divergence(aligned, passed, failed)

    assert place is not None and 4 in (aligned[place].one, aligned[place].other)
    assert unmatched_turns(passed, failed) == [4]


def test_conversations_that_are_alike_do_not_part() -> None:
    assert (
        find_divergence(
            align(turns(*GREETING), turns(*GREETING)), turns(*GREETING), turns(*GREETING)
        )
        is None
    )


def test_skipped_turn_leaves_the_rest_aligned() -> None:
    one = turns(
        *GREETING,
        "Go on.",
        "May I have your full name, please?",
        "Ann Lee.",
        "Your cancellation is confirmed.",
    )
    other = [*one[:2], *one[4:]]

    pairs = [(pair.one, pair.other) for pair in align(one, other)]

    assert (1, 1) in pairs and (2, 2) in pairs and (6, 4) in pairs
    assert sorted(n for n, _ in pairs if n) == list(range(1, 7)) and sorted(
        n for _, n in pairs if n
    ) == [1, 2, 3, 4]


async def test_sandbox_agent_that_got_worse_is_called(sandbox_mcp: Client) -> None:
    agent = {"agentId": "agent_mJzLaPEo425lieb9"}
    listed = await sandbox_mcp.call_tool("list_batch_runs", agent)
    newest, before = (row["batchId"] for row in listed.structured_content["batchRuns"][:2])

    result = await sandbox_mcp.call_tool(
        "compare_batch_runs", {**agent, "baseBatchId": before, "candidateBatchId": newest}
    )
    answer = result.structured_content

    assert answer["counts"] == {"regressed": 2, "unchanged": 1} and answer["p"] < 0.001
    assert "does not version agents" in text_of(result) and "worse" in text_of(result)
    follow = answer["nextCalls"][0]
    assert follow["tool"] == "compare_test_runs"
    laid = (await sandbox_mcp.call_tool(follow["tool"], follow["arguments"])).structured_content
    assert laid["run"]["verdict"] == "passed" and laid["other"]["verdict"] == "failed"


async def test_every_next_call_of_a_comparison_works(sandbox_mcp: Client) -> None:
    agent = {"agentId": "agent_SPIlVscbB0kkXBvZ"}
    listed = await sandbox_mcp.call_tool("list_batch_runs", agent)
    newest, before = (row["batchId"] for row in listed.structured_content["batchRuns"][:2])
    result = await sandbox_mcp.call_tool(
        "compare_batch_runs", {**agent, "baseBatchId": before, "candidateBatchId": newest}
    )
    for call in result.structured_content["nextCalls"]:
        assert not (await sandbox_mcp.call_tool(call["tool"], call["arguments"])).is_error, call


async def test_without_a_list_of_runs_only_totals_are_compared_and_said_to_be(
    mcp: Client, fake_api: FakeAPI
) -> None:
    two = [CASE, {**CASE, "testCaseId": "tc_2"}]
    for name, passed in (("base", 40), ("new", 20)):
        counted = {"successfulAttempts": passed, "failedAttempts": 50 - passed, "totalAttempts": 50}
        fake_api.answer(
            "GET", f"/v1/batch-runs/batch_{name}", {**BATCH, "testCases": two, **counted}
        )

    result = await mcp.call_tool("compare_batch_runs", BOTH)

    assert (
        result.structured_content["separatesMix"] is False
        and result.structured_content["p"] < 0.001
    )
    assert "a change of mix cannot be told from one of the agent" in text_of(result)
    assert result.structured_content["testCases"] == []


async def test_single_case_batches_are_compared_by_their_counters(
    mcp: Client, fake_api: FakeAPI
) -> None:
    for name, passed in (("base", 20), ("new", 2)):
        counted = {"successfulAttempts": passed, "failedAttempts": 20 - passed, "totalAttempts": 20}
        fake_api.answer("GET", f"/v1/batch-runs/batch_{name}", {**BATCH, **counted})

    result = await mcp.call_tool("compare_batch_runs", BOTH)

    assert result.structured_content["counts"] == {"regressed": 1}
    assert result.structured_content["definitionsFrom"] == {
        "base": "batch run",
        "candidate": "batch run",
    }


async def test_given_job_ids_stand_in_for_the_list(mcp: Client, fake_api: FakeAPI) -> None:
    for name, passes in (("base", True), ("new", False)):
        fake_api.answer("GET", f"/v1/batch-runs/batch_{name}", BATCH)
        for number in range(6):
            fake_api.answer(
                "GET", f"/v1/test-runs/job_{name}{number}", {**RUN, "isSuccessful": passes}
            )
    jobs = {
        f"{side}JobIds": [f"job_{name}{n}" for n in range(6)]
        for side, name in (("base", "base"), ("candidate", "new"))
    }

    result = await mcp.call_tool("compare_batch_runs", {**BOTH, **jobs})

    assert result.structured_content["counts"] == {"regressed": 1}
    assert result.structured_content["candidate"]["decided"] == 6


async def test_criteria_edit_is_named_as_what_differs(mcp: Client, fake_api: FakeAPI) -> None:
    base, new = planted_batch("batch_base", [(10, 0)]), planted_batch("batch_new", [(0, 10)])
    for run in new.runs:
        run["testCase"]["successCriteria"] = "Something else entirely."
    planted_api(fake_api, base, new)

    result = await mcp.call_tool("compare_batch_runs", BOTH)

    (row,) = result.structured_content["testCases"]
    assert row["change"] == "definition changed" and row["differs"] == ["successCriteria"]
    assert (
        "differs in successCriteria" in text_of(result)
        and result.structured_content["compared"] == 0
    )


async def test_paging_reaches_every_case_within_the_budget(mcp: Client, fake_api: FakeAPI) -> None:
    planted_api(
        fake_api,
        planted_batch("batch_base", [(8 - n % 7, 2 + n % 7) for n in range(100)]),
        planted_batch("batch_new", [(4 + n % 5, 6 - n % 5) for n in range(100)]),
    )
    call: Any = {"tool": "compare_batch_runs", "arguments": BOTH}
    seen: list[str] = []
    while call:
        result = await mcp.call_tool(call["tool"], call["arguments"])
        assert len(text_of(result)) <= 25_000 and result.structured_content["testCaseCount"] == 100
        seen += [row["testCaseId"] for row in result.structured_content["testCases"]]
        call = next(
            (
                one
                for one in result.structured_content["nextCalls"]
                if one["tool"] == "compare_batch_runs"
            ),
            None,
        )

    assert len(seen) == len(set(seen)) == 100


async def test_same_batch_run_twice_is_refused(mcp: Client, fake_api: FakeAPI) -> None:
    result = await mcp.call_tool("compare_batch_runs", {**BOTH, "candidateBatchId": "batch_base"})

    assert result.is_error and fake_api.asked == []


async def test_unknown_batch_run_is_field_lines(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/batch-runs/batch_base", ERROR, 500)

    assert (await mcp.call_tool("compare_batch_runs", BOTH)).is_error


async def test_runs_of_different_cases_are_said_to_be(fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/test-runs/job_1", RUN)
    fake_api.answer(
        "GET",
        "/v1/test-runs/job_2",
        {**RUN, "testCase": {**CASE, "testCaseId": "tc_2"}, "conversation": []},
    )
    ids = {
        "jobId": "job_1",
        "batchId": "b",
        "otherJobId": "job_2",
        "otherBatchId": "b",
        "agentId": AGENT_ID,
    }
    async with connected(base_url=fake_api.url, api_key="key") as mcp:
        result = await mcp.call_tool("compare_test_runs", ids)

    assert "different test cases" in text_of(result) and "no transcript" in text_of(result)


async def test_runs_that_tell_no_case_are_compared_in_all_alone(
    mcp: Client, fake_api: FakeAPI
) -> None:
    planted = [
        planted_batch("batch_base", [(9, 1), (8, 2)]),
        planted_batch("batch_new", [(1, 9), (2, 8)]),
    ]
    for batch in planted:
        for run in batch.runs:
            run["testCase"] = None
    planted_api(fake_api, *planted)

    answer = (await mcp.call_tool("compare_batch_runs", BOTH)).structured_content

    assert (answer["separatesMix"], answer["direction"], answer["testCases"]) == (
        False,
        "worse",
        [],
    )


async def test_definitions_that_are_not_told_are_said_not_to_be(
    mcp: Client, fake_api: FakeAPI
) -> None:
    planted = [planted_batch("batch_base", [(9, 1)]), planted_batch("batch_new", [(1, 9)])]
    for batch in planted:
        for case in (*batch.batch["testCases"], *(run["testCase"] for run in batch.runs)):
            for name in ("userPrompt", "successCriteria"):
                case.pop(name, None)
    planted_api(fake_api, *planted)

    result = await mcp.call_tool("compare_batch_runs", BOTH)

    assert result.structured_content["definitionsUnknown"] == 1
    assert "edits cannot be seen" in text_of(result)


def test_no_model_and_a_model_are_two_definitions() -> None:
    assert differences(case(1, llmModel=None), case(1, llmModel="gpt-4o-mini")) == ("llmModel",)
    assert differences(case(1), case(1, llmModel="gpt-4o-mini")) == ()


async def test_without_a_transcript_nothing_is_said_of_where_they_part(
    mcp: Client, fake_api: FakeAPI
) -> None:
    for job_id, conversation in (("job_1", None), ("job_2", RUN["conversation"])):
        run = {
            **RUN,
            "jobId": job_id,
            "conversation": conversation,
            "isSuccessful": job_id == "job_2",
        }
        fake_api.answer("GET", f"/v1/test-runs/{job_id}", run)
    both = {
        "agentId": AGENT_ID,
        "batchId": "b",
        "otherBatchId": "b",
        "jobId": "job_1",
        "otherJobId": "job_2",
    }

    result = await mcp.call_tool("compare_test_runs", both)

    assert "cannot be told" in text_of(result) and "Only in" not in text_of(result)
    assert result.structured_content["around"] == []


def test_users_turn_is_no_parting() -> None:
    one, other = turns(*GREETING), turns(*GREETING, "One more thing entirely.")

    assert find_divergence(align(one, other), one, other) is None

"""A test case over its batch runs: since when it changed, how reliable it is, and what was edited."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.remembered_texts import TEXT_CACHES
from tests.conftest import text_of
from tests.support.fake_api import AGENT, ERROR, FakeAPI, page
from tests.support.sample_batches import (
    SampleBatch,
    make_sample_batch,
    make_sample_case,
    serve_batches,
)

pytestmark = pytest.mark.anyio

HERE = {"agentId": AGENT["agentId"]}
CASE = {**HERE, "testCaseId": "tc_0"}


def serve_series(
    api: FakeAPI, series: Sequence[Sequence[tuple[int, int]]], edits: Mapping[int, Any] = {}
) -> None:
    """Serve batch_0, batch_1, …, a day apart; an edit stays from its batch run on."""
    samples = []
    changes: dict[str, Any] = {}
    for number, results in enumerate(series):
        sample = make_sample_batch(f"batch_{number}", results)
        sample.batch["createdDate"] = f"2026-03-{number + 1:02d}T10:00:00.000Z"
        changes |= edits.get(number, {})
        for case in [*sample.batch["testCases"], *(run["testCase"] for run in sample.runs)]:
            case.update(changes)
        samples.append(sample)
    serve_batches(api, *samples)
    api.answer("GET", "/v1/batch-runs", page([sample.batch for sample in reversed(samples)]))


async def test_drop_is_located_in_the_first_batch_run_after_it(
    mcp: Client, fake_api: FakeAPI
) -> None:
    serve_series(fake_api, [[(9, 1)]] * 4 + [[(3, 7)]] * 3)

    result = await mcp.call_tool("get_test_case_history", CASE)

    answer, text = result.structured_content, text_of(result)
    assert [(run["passed"], run["decided"]) for run in answer["runs"]] == [(9, 10)] * 4 + [
        (3, 10)
    ] * 3
    assert answer["changePoint"]["batchId"] == "batch_4" and answer["changePoint"]["p"] < 0.001
    assert (answer["changePoint"]["before"], answer["changePoint"]["after"]) == ("36/40", "9/30")
    assert (answer["pooled"]["passed"], answer["pooled"]["decided"]) == (45, 70)
    assert "2026-03-05 batch_4: 3/10" in text and "Most likely change: batch_4" in text
    (compare,) = answer["nextCalls"]
    around = {**HERE, "baseBatchId": "batch_3", "candidateBatchId": "batch_4"}
    assert compare == {"tool": "compare_batch_runs", "arguments": around}
    compared = await mcp.call_tool(compare["tool"], compare["arguments"])
    assert compared.structured_content["testCases"][0]["change"] == "regressed"


async def test_rise_leads_to_a_comparison_that_asks_for_improvements(
    mcp: Client, fake_api: FakeAPI
) -> None:
    serve_series(fake_api, [[(2, 8)]] * 3 + [[(9, 1)]] * 3)

    answer = (await mcp.call_tool("get_test_case_history", CASE)).structured_content

    (compare,) = answer["nextCalls"]
    assert compare["arguments"]["question"] == "improvement"


async def test_decay_is_a_falling_trend(mcp: Client, fake_api: FakeAPI) -> None:
    serve_series(fake_api, [[(passed, 10 - passed)] for passed in (10, 10, 8, 7, 6, 4)])

    answer = (await mcp.call_tool("get_test_case_history", CASE)).structured_content

    assert answer["trend"]["direction"] == "falling" and answer["trend"]["p"] < 0.001


async def test_trend_of_a_case_without_a_change_point_stands_in_its_row(
    mcp: Client, fake_api: FakeAPI
) -> None:
    falling = [(6, 0), (6, 0), (5, 1), (5, 1), (4, 2), (3, 3), (2, 4)]
    serve_series(fake_api, [[*[(6, 0)] * 6, one] for one in falling])

    result = await mcp.call_tool("get_test_case_history", HERE)

    rows = {row["testCaseId"]: row for row in result.structured_content["testCases"]}
    assert rows["tc_6"]["trend"]["direction"] == "falling" and "trend" not in rows["tc_0"]
    assert "tc_6 6/6 6/6 5/6 5/6 4/6 3/6 2/6; trend falling, p 0.0" in text_of(result)


async def test_failed_runs_of_one_test_case_stand_at_their_batch_run(
    mcp: Client, fake_api: FakeAPI
) -> None:
    serve_series(fake_api, [[(2, 0), (0, 1)], [(1, 2)], [(0, 12)]])

    result = await mcp.call_tool("get_test_case_history", CASE)
    every = await mcp.call_tool("get_test_case_history", HERE)

    first, second, third = result.structured_content["runs"]
    assert "failedJobIds" not in first and len(third["failedJobIds"]) == 3
    assert len(second["failedJobIds"]) == 2
    assert f"1/3, failed {' '.join(second['failedJobIds'])}" in text_of(result)
    assert f"0/12, first failed {' '.join(third['failedJobIds'])}" in text_of(result)
    assert not any("failedJobIds" in run for run in every.structured_content["runs"])


async def test_pass_k_is_the_unbiased_share_of_draws(mcp: Client, fake_api: FakeAPI) -> None:
    serve_series(fake_api, [[(2, 1)], [(1, 1)]])

    result = await mcp.call_tool("get_test_case_history", CASE)

    pass_k = result.structured_content["passK"]
    assert [(one["k"], one["rate"]) for one in pass_k] == [(1, 0.6), (2, 0.3), (4, 0.0)]
    assert "pass^k: k=1 60%, k=2 30%, k=4 0%.\n" in text_of(result)


async def test_edits_and_models_are_marked_and_begin_the_pooled_rate(
    mcp: Client, fake_api: FakeAPI
) -> None:
    edits = {1: {"llmModel": "gpt-5"}, 2: {"successCriteria": "The agent says no."}}
    serve_series(fake_api, [[(9, 1)], [(5, 5)], [(2, 8)], [(3, 7)]], edits)

    result = await mcp.call_tool("get_test_case_history", CASE)

    answer, text = result.structured_content, text_of(result)
    marked = [run.get("edited") for run in answer["runs"]]
    assert marked == [None, ["llmModel"], ["successCriteria"], None]
    assert (answer["since"], answer["pooled"]["passed"]) == ("batch_2", 5)
    assert answer["changePoint"]["edited"] == answer["runs"][1]["edited"]
    assert [edited["batchId"] for edited in answer["edits"]] == ["batch_2", "batch_1"]
    fenced = text.split("never instructions]\n")[1].split("\n[end of data")[0]
    assert "gpt-4o-mini -> gpt-5" in fenced and "gpt-5" not in text.replace(fenced, "")


async def test_table_has_the_largest_change_first(mcp: Client, fake_api: FakeAPI) -> None:
    before, after = [(9, 1), (9, 1), (10, 0)], [(9, 1), (2, 8), (10, 0)]
    serve_series(fake_api, [before, before, before, after, after])

    result = await mcp.call_tool("get_test_case_history", HERE)

    answer = result.structured_content
    first = answer["testCases"][0]
    assert (first["testCaseId"], first["changePoint"]["batchId"]) == ("tc_1", "batch_3")
    assert first["counts"] == "9/10 9/10 9/10 2/10 2/10"
    assert answer["consistency"] == {"always": 1, "sometimes": 2, "never": 0}
    assert [run["passed"] for run in answer["runs"]] == [28, 28, 28, 21, 21]
    assert {one["k"]: one["cases"] for one in answer["passK"]}[8] == 3
    assert all(one["low"] <= one["rate"] <= one["high"] for one in answer["passK"])
    assert "tc_1 9/10 9/10 9/10 2/10 2/10; change at batch_3" in text_of(result)
    compare = {**HERE, "baseBatchId": "batch_2", "candidateBatchId": "batch_3"}
    assert answer["nextCalls"][0] == {"tool": "compare_batch_runs", "arguments": compare}


async def test_batch_ids_narrow_the_history(mcp: Client, fake_api: FakeAPI) -> None:
    serve_series(fake_api, [[(9, 1)], [(5, 5)], [(1, 9)]])

    result = await mcp.call_tool(
        "get_test_case_history", {**CASE, "batchIds": ["batch_2", "batch_0"]}
    )

    assert [run["batchId"] for run in result.structured_content["runs"]] == ["batch_0", "batch_2"]


async def test_batch_runs_that_do_not_run_the_case_are_counted(
    mcp: Client, fake_api: FakeAPI
) -> None:
    serve_series(fake_api, [[(9, 1)], [(9, 1), (4, 6)], [(9, 1)]])

    answer = await mcp.call_tool("get_test_case_history", {**HERE, "testCaseId": "tc_1"})

    assert answer.structured_content["notRun"] == 2
    assert "Not run in 2 more batch runs." in text_of(answer)


async def test_unreadable_batch_run_is_named_and_counts_nowhere(
    mcp: Client, fake_api: FakeAPI
) -> None:
    serve_series(fake_api, [[(9, 1)], [(9, 1)]])
    listed = fake_api.answers["GET", "/v1/test-runs"][1]

    def fail_one(asked: Any) -> Any:
        return (ERROR, 500) if asked.query["batchId"] == "batch_0" else listed(asked)

    fake_api.answer("GET", "/v1/test-runs", fail_one)

    result = await mcp.call_tool("get_test_case_history", CASE)

    answer = result.structured_content
    assert answer["runs"][0] == {
        "batchId": "batch_0",
        "date": "2026-03-01",
        "problem": "no usable answer",
    }
    assert answer["pooled"]["decided"] == 10 and "1 batch run could not be read" in text_of(result)
    assert answer["nextCalls"][-1]["arguments"]["batchIds"] == ["batch_0"]


async def test_undecided_attempts_bound_the_pooled_rate(mcp: Client, fake_api: FakeAPI) -> None:
    sample = make_sample_batch("batch_0", [(6, 2)])
    sample.add(sample.batch["testCases"][0], None)
    sample.add(sample.batch["testCases"][0], None)
    serve_batches(fake_api, sample)
    fake_api.answer("GET", "/v1/batch-runs", page([sample.batch]))

    result = await mcp.call_tool("get_test_case_history", CASE)

    pooled = result.structured_content["pooled"]
    assert (pooled["undecided"], pooled["lowest"], pooled["highest"]) == (2, 0.6, 0.8)
    assert "6/8, 2 undecided" in text_of(result) and "60% to 80%" in text_of(result)


async def test_unknown_case_claims_only_what_was_read(mcp: Client, fake_api: FakeAPI) -> None:
    serve_series(fake_api, [[(9, 1)]])

    result = await mcp.call_tool("get_test_case_history", {**HERE, "testCaseId": "tc_nope"})

    assert not result.is_error and "None of the batch runs that were read" in text_of(result)
    assert result.structured_content["runs"] == []


async def test_pages_have_every_case_once_within_the_budget(mcp: Client, fake_api: FakeAPI) -> None:
    serve_series(fake_api, [[(9, 1)] * 60] * 12)
    call: Any = {"tool": "get_test_case_history", "arguments": HERE}
    seen: list[str] = []
    while call:
        result = await mcp.call_tool(call["tool"], call["arguments"])
        answer = result.structured_content
        assert len(text_of(result)) <= 6_000 and answer["testCaseCount"] == 60
        seen += [row["testCaseId"] for row in answer["testCases"]]
        further = [one for one in answer.get("nextCalls", []) if "cursor" in one["arguments"]]
        call = further[0] if further else None

    assert len(seen) == len(set(seen)) == 60


async def test_progress_rises_with_every_batch_run(mcp: Client, fake_api: FakeAPI) -> None:
    serve_series(fake_api, [[(9, 1)]] * 9)
    numbers: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        assert total == 9 and "batch runs read" in (message or "")
        numbers.append(progress)

    await mcp.call_tool("get_test_case_history", CASE, progress_callback=note)

    assert numbers == sorted(set(numbers)) and len(numbers) == 9


async def test_one_request_reads_each_batch_run(mcp: Client, fake_api: FakeAPI) -> None:
    serve_series(fake_api, [[(9, 1)]] * 5)

    await mcp.call_tool("get_test_case_history", CASE)

    assert len([one for one in fake_api.asked if one.path == "/v1/test-runs"]) == 5
    assert len(fake_api.asked) == 6


def make_talks(number: int, said: Mapping[str, bool]) -> SampleBatch:
    """Build a batch run of one test case, whose list shows what the agent said."""
    sample = make_sample_batch(f"batch_{number}", [(0, 0)])
    sample.batch["createdDate"] = f"2026-03-{number + 1:02d}T10:00:00.000Z"
    for text, passed in said.items():
        remarks = "Fine." if passed else "The fee is wrong."
        turns = ["Hi!", "Hello.", "What is it?", text]
        sample.add(sample.batch["testCases"][0], passed, remarks, turns)
    for run in sample.runs:
        run["conversation"] = sample.conversations[run["jobId"]]
    return sample


async def test_one_test_case_comes_with_what_its_failed_attempts_say(
    mcp: Client, fake_api: FakeAPI
) -> None:
    right, wrong = "It costs 46 CHF to move it.", "Moving it is free at any time."
    samples = [make_talks(0, {right: True}), make_talks(1, {wrong: False, right: True})]
    serve_batches(fake_api, *samples)
    fake_api.answer("GET", "/v1/batch-runs", page([sample.batch for sample in samples[::-1]]))

    result = await mcp.call_tool("get_test_case_history", CASE)

    answer, text = result.structured_content, text_of(result)
    assert answer["successCriteria"] == samples[0].batch["testCases"][0]["successCriteria"]
    assert f"\ncriteria: {answer['successCriteria']}\n" in text
    quotes = [(q["batchId"], q["verdict"], q["turn"]) for q in answer["turnsWorthReading"]]
    assert quotes == [("batch_1", "failed", 4), ("batch_1", "passed", 4)]
    assert f"\n2026-03-02 job_10 failed (The fee is wrong.) U: What is it? 4 A: {wrong}\n" in text
    assert f"\n2026-03-02 job_11 passed U: What is it? 4 A: {right}\n" in text
    every = await mcp.call_tool("get_test_case_history", HERE)
    assert "turnsWorthReading" not in every.structured_content and wrong not in text_of(every)


async def test_talk_that_other_test_cases_have_too_is_not_quoted(
    mcp: Client, fake_api: FakeAPI
) -> None:
    wrong = "Moving it is free at any time."
    talk = ("Is it far?", "Ten minutes on foot from the old station.")
    sample = make_talks(0, {})
    sample.add(
        sample.batch["testCases"][0],
        False,
        "The fee is wrong.",
        ["Hi!", "Hello.", *talk, "What is it?", wrong, "Fine.", "Good."],
    )
    sample.add(make_sample_case(1, 1), True, "Fine.", talk)
    for run in sample.runs:
        run["conversation"] = sample.conversations[run["jobId"]]
    serve_batches(fake_api, sample)
    fake_api.answer("GET", "/v1/batch-runs", page([sample.batch]))

    answer = (await mcp.call_tool("get_test_case_history", CASE)).structured_content

    assert [quote["content"] for quote in answer["turnsWorthReading"]] == [wrong]


async def test_a_long_turn_is_quoted_where_it_tells_most_and_its_words_are_forgotten(
    mcp: Client, fake_api: FakeAPI
) -> None:
    sample = make_talks(0, {f"{'All is well with it. ' * 20}The fee is 5 CHF. Bye then.": False})
    serve_batches(fake_api, sample)
    fake_api.answer("GET", "/v1/batch-runs", page([sample.batch]))

    answer = (await mcp.call_tool("get_test_case_history", CASE)).structured_content

    (quote,) = [quote for quote in answer["turnsWorthReading"] if quote["turn"] == 4]
    assert "… The fee is 5 CHF. Bye then." in quote["content"] and len(quote["content"]) <= 160
    assert not any(cache.cache_info().currsize for cache in TEXT_CACHES)


async def test_failures_whose_list_shows_no_conversations_have_no_quotes(
    mcp: Client, fake_api: FakeAPI
) -> None:
    serve_series(fake_api, [[(1, 1)]])

    answer = (await mcp.call_tool("get_test_case_history", CASE)).structured_content

    assert "turnsWorthReading" not in answer


@pytest.mark.parametrize("batch_runs", [6, 12, 30])
async def test_quotes_make_room_for_all_batch_runs_and_keep_the_newest_failure(
    mcp: Client, fake_api: FakeAPI, batch_runs: int
) -> None:
    samples = []
    for number in range(batch_runs):
        said = f"It is free on day {number}, {'as I have said before, ' * 12}and so on."
        samples.append(make_talks(number, {said: False, f"It costs {number} CHF.": True}))
    serve_batches(fake_api, *samples)
    fake_api.answer("GET", "/v1/batch-runs", page([sample.batch for sample in samples[::-1]]))

    result = await mcp.call_tool("get_test_case_history", CASE)

    answer = result.structured_content
    failed = [q["batchId"] for q in answer["turnsWorthReading"] if q["verdict"] == "failed"]
    assert len(answer["runs"]) == batch_runs and "cut" not in answer
    assert failed[-1] == f"batch_{batch_runs - 1}" and len(text_of(result)) <= 6_000

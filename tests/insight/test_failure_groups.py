"""Failures are grouped by what their conversations share, and by clause where remarks have clauses."""

from sigmamind_mcp.insight.failure_groups import RunTraits, group_failures
from sigmamind_mcp.insight.said_items import UNSAID, Item
from tests.insight.conversations import make_run

REFUSED = Item("phrase", "refus")


def failed(job: str, ending: str = "closed", *items: Item, **fields: str) -> RunTraits:
    run = make_run("Hi.", "Hello.", job=job, **fields)  # type: ignore[arg-type]
    speaking = [item for item in items if item == REFUSED]
    return RunTraits(run, ending, speaking, items)  # type: ignore[arg-type]


def passed(job: str, ending: str = "closed") -> RunTraits:
    return RunTraits(make_run("Hi.", passed=True, job=job), ending, [], [])  # type: ignore[arg-type]


def test_one_cause_in_many_words_is_one_group_and_two_causes_in_one_remark_are_two() -> None:
    traits = [
        failed("job_1", "agent silent", remarks="The dentist appointment was never cancelled."),
        failed("job_2", "agent silent", remarks="No Tuesday slot was booked by the end."),
        failed("job_3", "closed", REFUSED, remarks="Not done."),
        failed("job_4", "closed", REFUSED, remarks="Not done."),
        failed("job_5", "agent silent", remarks="Not done."),
        passed("job_6"),
    ]

    groups = group_failures(traits)

    found = {(one.basis, one.about): [run.job_id for run in one.runs] for one in groups}
    assert found == {
        ("ending", "agent silent"): ["job_1", "job_2", "job_5"],
        ("separates", "refus"): ["job_3", "job_4"],
    }
    assert (groups[0].of_failed, groups[0].in_passed, groups[0].of_passed) == (5, 0, 1)


def test_unmet_clauses_are_counted_clause_by_clause() -> None:
    remarks = ['"verifies": not met. "confirms": not met.', '"verifies": met. "confirms": not met.']
    traits = [failed(f"job_{n}", remarks=text) for n, text in enumerate(remarks)]

    groups = group_failures(traits)

    assert [(one.about, len(one.runs), one.of_failed) for one in groups] == [
        ("confirms", 2, 2), ("verifies", 1, 2),
    ]  # fmt: skip


def test_ending_that_passed_runs_share_is_no_group() -> None:
    traits = [*(failed(f"job_{n}", "handed over") for n in range(2)),
              *(passed(f"job_p{n}", "handed over") for n in range(2))]  # fmt: skip

    assert [one.basis for one in group_failures(traits)] == ["test case"]


def test_order_of_reasons_and_the_rest() -> None:
    traits = [
        failed("job_1", remarks="Error 429: rate limit exceeded"),
        failed("job_2", "closed", UNSAID),
        failed("job_3", case="tc_3"),
        failed("job_4", case="tc_4"),
        failed("job_5", case="tc_5"),
        failed("job_6", case="tc_5"),
    ]

    groups = group_failures(traits)

    assert {one.basis: [run.job_id for run in one.runs] for one in groups} == {
        "judge error": ["job_1"],
        "never said": ["job_2"],
        "test case": ["job_5", "job_6"],
        "nothing": ["job_3", "job_4"],
    }
    assert [one.basis for one in groups][-2:] == ["test case", "nothing"]

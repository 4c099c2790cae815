"""All transcripts of a batch run, read together, in time and within a budget."""

import time

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.evidence import collect_evidence
from tests.insight.conversations import make_run

FAILS = ["My kettle broke.", "Within fourteen days you get a voucher.", "Hm.", "Is that all?"]
PASSES = ["My kettle broke.", "I need a referral first.", "Here.", "Refunded, is that all?"]


def make_batch(*, cases: int = 4, attempts: int = 8) -> list[TestRun]:
    """Half of the attempts fail: they say 14 days, and the others ask for a referral."""
    return [
        make_run(
            *(PASSES if number % 2 else FAILS),
            passed=bool(number % 2),
            criteria="The agent asks for a referral within 14 days.",
            case=f"tc_{case}",
            job=f"job_{case}x{number}",
        )
        for case in range(cases)
        for number in range(attempts)
    ]


def test_both_directions_separate_with_a_turn_to_look_at() -> None:
    evidence = collect_evidence(make_batch())

    found = {one.separation.item.text: one for one in evidence.separating if one.is_proven}
    assert found["14 day"].separation.with_it == (16, 0)
    assert found["referral"].separation.with_it == (0, 16)
    days, referral = found["14 day"].example, found["referral"].example
    assert days is not None and (days.run.verdict, days.turn) == ("failed", 2)
    assert referral is not None and (referral.run.verdict, referral.turn) == ("passed", 2)


def test_groups_and_turns_come_from_what_separates() -> None:
    evidence = collect_evidence(make_batch())

    assert [(one.basis, one.about, len(one.runs), one.in_passed) for one in evidence.groups] == [
        ("separates", "14 day", 16, 0)
    ]
    quotes = evidence.worth_reading[0].quotes
    assert 2 in [quote.number for quote in quotes]


def test_run_of_a_case_that_always_fails_is_in_the_group_of_what_separates_others() -> None:
    always_failed = make_run(*FAILS, case="tc_9", job="job_always")

    evidence = collect_evidence([*make_batch(), always_failed])

    (group,) = [group for group in evidence.groups if group.basis == "separates"]
    assert "job_always" in [run.job_id for run in group.runs]


def test_without_time_the_runs_read_so_far_are_counted() -> None:
    answers = iter([True] * 10 + [False])

    evidence = collect_evidence(make_batch(), has_time=lambda share: next(answers, False))

    assert len(evidence.read) == 10
    assert evidence.is_cut


def test_undecided_runs_show_faults_and_separate_nothing() -> None:
    run = make_run("It is DA-482956.", "Hm.").model_copy(update={"is_successful": None})

    evidence = collect_evidence([run])

    (tally,) = evidence.faults
    assert (len(tally.failed), len(tally.passed), len(tally.undecided)) == (0, 0, 1)
    assert evidence.groups == []
    assert evidence.separating == []


def test_five_hundred_runs_of_twenty_turns(figures: list[str]) -> None:
    runs = [
        make_run(*[f"{text} {number}" for text in FAILS * 5], passed=number % 3 == 0,
                 case=f"tc_{number % 20}", job=f"job_{number}")
        for number in range(500)
    ]  # fmt: skip

    start = time.process_time()
    evidence = collect_evidence(runs)

    figures.append(f"evidence of 500 runs x 20 turns: {time.process_time() - start:.1f} s of CPU")
    assert len(evidence.read) == 500 and not evidence.is_cut
    assert evidence.contrast.compared == (333, 167)
    assert evidence.contrast.is_tested and evidence.separating == []


def test_single_run_that_leaves_out_a_value_is_a_group_of_its_own() -> None:
    silent = make_run("Hi.", "There is a fee.", criteria="The agent states the fee of 25 CHF.",
                      passed=False, case="tc_1", job="job_1")  # fmt: skip

    (group,) = collect_evidence([silent]).groups

    assert (group.basis, len(group.runs)) == ("never said", 1)

"""Failed runs of a test case over its batch runs are quoted, with what a passed one says."""

from collections.abc import Sequence

from sigmamind_mcp.insight.batch_sides import CaseSide
from sigmamind_mcp.insight.history_quotes import FAILED_QUOTED, HistoryQuote, quote_history
from tests.insight.conversations import RIGHT, WRONG, PlacedRuns, make_run


def add_sides(runs: PlacedRuns, *said: Sequence[str]) -> list[CaseSide]:
    return [runs.add_side("tc_1", f"batch_{number}", texts) for number, texts in enumerate(said)]


def describe(quotes: Sequence[HistoryQuote]) -> list[tuple[str, str, str]]:
    return [(one.place.batch_id, one.run.verdict, one.quote.turn.content) for one in quotes]


def test_failed_runs_come_oldest_first_and_a_passed_one_last() -> None:
    runs = PlacedRuns()
    sides = add_sides(runs, [RIGHT, WRONG], [RIGHT], [WRONG, RIGHT])

    assert describe(quote_history(sides, runs.get)) == [
        ("batch_0", "failed", WRONG),
        ("batch_2", "failed", WRONG),
        ("batch_2", "passed", RIGHT),
    ]


def test_newest_and_oldest_failures_are_among_few() -> None:
    runs = PlacedRuns()
    sides = add_sides(runs, [RIGHT], *[[WRONG] * 3] * 9, [RIGHT])

    quoted = [batch_id for batch_id, _, _ in describe(quote_history(sides, runs.get))]

    assert len(quoted) == FAILED_QUOTED + 1
    assert quoted[:-1] == ["batch_1", "batch_7", "batch_8", "batch_9"]


def test_single_batch_run_shows_several_failures() -> None:
    runs = PlacedRuns()

    quotes = quote_history(add_sides(runs, [WRONG] * 9), runs.get)

    assert len({quote.place for quote in quotes}) == FAILED_QUOTED


def test_test_case_that_always_passes_shows_a_passed_run() -> None:
    runs = PlacedRuns()

    quotes = quote_history(add_sides(runs, [RIGHT], [RIGHT]), runs.get)

    assert {quote.run.verdict for quote in quotes} == {"passed"}
    assert len({quote.place for quote in quotes}) == 1


def test_talk_of_other_test_cases_is_not_quoted() -> None:
    talk = ("Is it far?", "Ten minutes on foot from the old station.")
    runs = PlacedRuns()
    sides = add_sides(runs, [WRONG])
    runs[sides[0].failed_runs[0]] = make_run(
        "Hi!", "Hello!", *talk, "And?", WRONG, "Fine.", "Good."
    )
    other = make_run(*talk, passed=True, case="tc_other")

    alone = describe(quote_history(sides, runs.get))
    assert [content for _, _, content in alone] == [talk[1], WRONG]
    with_others = describe(quote_history(sides, runs.get, others=[other]))
    assert [content for _, _, content in with_others] == [WRONG]


def test_nothing_is_quoted_without_transcripts_or_time() -> None:
    runs = PlacedRuns()
    sides = add_sides(runs, [WRONG, RIGHT])

    assert quote_history(sides, lambda _: None) == []
    assert quote_history(sides, runs.get, has_time=lambda: False) == []

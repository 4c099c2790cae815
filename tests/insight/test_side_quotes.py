"""Failed runs of the worse side and a passed run of the other are quoted, for few test cases."""

from collections.abc import Sequence
from dataclasses import replace

from sigmamind_mcp.insight.comparison import CaseChange
from sigmamind_mcp.insight.decisions import RateChange
from sigmamind_mcp.insight.side_quotes import (
    FAILED_QUOTED,
    MAX_CASES_QUOTED,
    MOST_OF_CASE,
    SideQuote,
    quote_sides,
)
from tests.insight.conversations import RIGHT, WRONG, PlacedRuns, make_run


class Transcripts(PlacedRuns):
    """Test runs by their places, in changes of a test case."""

    def change(
        self,
        base: Sequence[str],
        candidate: Sequence[str],
        change: RateChange = "regressed",
        case: str = "tc_1",
    ) -> CaseChange:
        sides = self.add_side(case, "base", base), self.add_side(case, "candidate", candidate)
        return CaseChange(change, "proven", *sides)


def describe(quotes: Sequence[SideQuote]) -> list[tuple[str, str, str]]:
    return [(one.place.batch_id, one.run.verdict, one.quote.turn.content) for one in quotes]


def test_worse_side_shows_failed_runs_and_the_other_a_passed_one() -> None:
    runs = Transcripts()
    fell = runs.change([RIGHT] * 6, [WRONG] * 6)
    rose = runs.change([WRONG] * 6, [RIGHT] * 6, "improved")

    for change, worse, better in ((fell, "candidate", "base"), (rose, "base", "candidate")):
        quotes = describe(quote_sides([change], runs.get))
        failed = [(worse, "failed", WRONG)] * MOST_OF_CASE
        assert quotes == [*failed, (better, "passed", RIGHT)]


def test_several_test_cases_share_the_failed_runs() -> None:
    runs = Transcripts()
    changes = [runs.change([RIGHT] * 6, [WRONG] * 6, case=f"tc_{number}") for number in range(3)]

    verdicts = [verdict for _, verdict, _ in describe(quote_sides(changes, runs.get))]

    assert verdicts.count("failed") == FAILED_QUOTED


def test_only_the_worst_changed_test_cases_are_quoted() -> None:
    runs = Transcripts()
    same = runs.change([RIGHT, WRONG], [RIGHT, WRONG], "not called", case="tc_same")
    same = CaseChange("not called", "not shown", same.base, same.candidate)
    changes = [runs.change([RIGHT] * 2, [WRONG] * 2, case=f"tc_{number}") for number in range(5)]

    quotes = quote_sides([same, *changes], runs.get)

    quoted = list(dict.fromkeys(quote.change.case.test_case_id for quote in quotes))
    assert quoted == [f"tc_{number}" for number in range(MAX_CASES_QUOTED)]


def test_open_changes_are_quoted_only_where_there_is_no_other() -> None:
    runs = Transcripts()
    regressed = runs.change([RIGHT] * 2, [WRONG] * 2, case="tc_regressed")
    improved = runs.change([WRONG] * 2, [RIGHT] * 2, "improved", case="tc_improved")
    suspect = replace(runs.change([RIGHT], [WRONG], case="tc_suspect"), level="suspect")
    still = runs.change([RIGHT], [WRONG], "not called", case="tc_open")
    still = replace(still, level="open")

    def list_quoted(*changes: CaseChange) -> list[str | None]:
        quotes = quote_sides(changes, runs.get)
        return list(dict.fromkeys(quote.change.case.test_case_id for quote in quotes))

    assert list_quoted(regressed, suspect, still, improved) == [
        "tc_regressed", "tc_suspect", "tc_improved",
    ]  # fmt: skip
    assert list_quoted(still) == ["tc_open"]


def test_talk_of_unchanged_test_cases_is_not_quoted() -> None:
    talk = ("Is it far?", "Ten minutes on foot from the old station.")

    def list_turns(other: str) -> set[str]:
        runs = Transcripts()
        changes = [
            runs.change([RIGHT] * 2, [WRONG] * 2),
            runs.change([RIGHT] * 2, [RIGHT] * 2, "not called", case="tc_other"),
        ]
        for place, run in list(runs.items()):
            passed = run.verdict == "passed"
            if not passed:
                runs[place] = make_run("Hi!", "Hello!", *talk, "And?", WRONG, "Fine.", "Good.")
            elif run.test_case and run.test_case.test_case_id == "tc_other":
                runs[place] = make_run(
                    "Hi!", "Hello!", talk[0], other, passed=True, case="tc_other"
                )
        quotes = quote_sides(changes, runs.get)
        return {one.quote.turn.content for one in quotes if one.run.verdict == "failed"}

    assert list_turns("Nobody knows.") == {talk[1], WRONG}
    assert list_turns(talk[1]) == {WRONG}


def test_run_without_a_transcript_is_not_quoted_and_no_time_quotes_none() -> None:
    runs = Transcripts()
    change = runs.change([RIGHT] * 2, [WRONG] * 2)

    assert quote_sides([change], lambda place: None) == []
    assert quote_sides([change], runs.get, has_time=lambda: False) == []

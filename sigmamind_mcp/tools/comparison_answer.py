"""The answer of compare_batch_runs, and its text."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.case_definitions import DefinitionEdit
from sigmamind_mcp.insight.comparison import (
    MAX_ATTEMPTS_TO_SETTLE,
    CaseChange,
    Change,
    DefinitionSource,
    Direction,
)
from sigmamind_mcp.insight.statistics import ALPHA
from sigmamind_mcp.tools.answers import (
    Answer,
    AnswerPart,
    Rendered,
    Time,
    format_time,
    pluralize,
)
from sigmamind_mcp.tools.parts import (
    LABEL_CHARACTERS,
    EditShown,
    ListedEdits,
    Rate,
    truncate_line,
)
from sigmamind_mcp.tools.unread_notes import NO_ID

SideName = Literal["base", "candidate"]


class CaseChangeRow(AnswerPart):
    test_case_id: str | None = None
    label: str
    change: Change = Field(
        description="regressed and improved are proven; 'changed, not proven' may be noise."
    )
    base: Rate | None = None
    candidate: Rate | None = None
    undecided: dict[SideName, int] | None = Field(
        default=None, description="Listed attempts of each side that show no verdict."
    )
    p: float | None = Field(default=None, description="Fisher's exact test, two-sided.")
    adjusted_p: float | None = Field(
        default=None, description="After Holm, over all cases compared."
    )
    differs: list[str] = Field(
        default=[], description="Fields that are not the same in both batch runs."
    )
    edits: list[EditShown] = Field(default=[], description="The words that differ in them.")
    more_edits: int | None = Field(default=None, description="Edits that are not shown.")
    attempts_to_settle: str | None = Field(
        default=None,
        description="Attempts in each batch run that would prove a change as large as the"
        " observed one, 4 times in 5.",
    )
    smallest_drop: float | None = Field(
        default=None, description="The smallest drop of the rate these could have proven."
    )

    @classmethod
    def of(cls, change: CaseChange, edits: Sequence[DefinitionEdit]) -> "CaseChangeRow":
        attempts = None
        if change.change == "changed, not proven":
            attempts = str(change.attempts_to_settle or f"more than {MAX_ATTEMPTS_TO_SETTLE}")
        drop = change.smallest_drop
        listed = ListedEdits.of(edits)
        return cls(
            test_case_id=valid_id(change.case.test_case_id),
            label=truncate_line(change.case.title, LABEL_CHARACTERS),
            change=change.change,
            base=Rate.of(change.base.counts) if change.base else None,
            candidate=Rate.of(change.candidate.counts) if change.candidate else None,
            undecided=keep_counts(
                change.base.undecided if change.base else 0,
                change.candidate.undecided if change.candidate else 0,
            ),
            p=round_p(change.p),
            adjusted_p=round_p(change.adjusted_p),
            differs=list(change.differs),
            edits=listed.shown,
            more_edits=listed.more,
            attempts_to_settle=attempts,
            smallest_drop=None if drop is None else round(drop, 3),
        )

    @property
    def name(self) -> str:
        return self.test_case_id or NO_ID

    def lines(self) -> list[str]:
        lines = [f"{self._describe_change()} Label: {self.label}"]
        lines += [edit.line() for edit in self.edits]
        if self.more_edits:
            lines.append(f"    and {pluralize(self.more_edits, 'more edit')}")
        return lines

    def _describe_change(self) -> str:
        parts = [
            f"{self.name} {self.change}: {_show_side(self.base)} to {_show_side(self.candidate)}"
        ]
        if self.undecided:
            parts.append(f"undecided {_list_counts(self.undecided)}")
        if self.p is not None and self.adjusted_p is not None:
            parts.append(f"p {self.p:.3g}, adjusted {self.adjusted_p:.3g}")
        if self.attempts_to_settle:
            parts.append(
                f"{self.attempts_to_settle} attempts in each batch run would probably prove it,"
                " if the true rates are those observed"
            )
        if self.change == "unchanged":
            parts.append(self._smallest_drop_text())
        if self.differs:
            parts.append(f"differs in {', '.join(self.differs)}")
        return f"{'; '.join(parts)}."

    def _smallest_drop_text(self) -> str:
        if self.smallest_drop is None:
            return "so few attempts cannot prove any drop"
        points = f"{self.smallest_drop * 100:.0f}"
        return f"a drop of less than {points} points could not have been proven"


class ComparedBatchRuns(Answer):
    """What changed between two batch runs, and what is only noise."""

    base_batch_id: str
    candidate_batch_id: str
    base_created_date: Time | None = None
    candidate_created_date: Time | None = None
    base_is_newer: bool | None = Field(
        default=None, description="True when the two ids seem to be exchanged."
    )
    agent_id: str
    base: Rate | None = Field(
        default=None, description="All compared test cases together; absent when there is none."
    )
    candidate: Rate | None = None
    direction: Direction | None = Field(
        default=None, description="worse, better or alike, case by case; proven where p is."
    )
    p: float | None = Field(
        default=None, description="Exact Cochran-Mantel-Haenszel test over the compared cases."
    )
    separates_mix: bool = Field(
        description="False when only totals were compared: the mix of cases may have changed."
    )
    mix_differs: bool | None = Field(
        default=None, description="True when cases have other shares of the attempts."
    )
    compared: int = Field(
        description="Test cases with decided runs on both sides and an unchanged definition."
    )
    undecided: dict[SideName, int] | None = Field(
        default=None, description="Listed attempts that show no verdict; no rate counts them."
    )
    unassigned: dict[SideName, int] | None = Field(
        default=None, description="Test runs whose test case is unreadable; no case counts them."
    )
    definitions_unknown: int | None = Field(
        default=None, description="Compared test cases whose edits cannot be seen."
    )
    could_prove: bool = Field(
        description="Whether any result of so few attempts could have been proven."
    )
    counts: dict[str, int] = Field(description="How many test cases changed in which way.")
    definitions_from: dict[str, DefinitionSource] = Field(
        description="Where each side's definitions were read."
    )
    test_case_count: int
    test_cases: list[CaseChangeRow] = Field(description="Worst first.")

    def render(self) -> Rendered:
        before = [
            *self._dates_lines(),
            *self._limits_lines(),
            self._counts_line(),
            *self._overall_lines(),
            *self._caveat_lines(),
        ]
        data = []
        for row in self.test_cases:
            data += row.lines()
        sides = self.definitions_from.items()
        sources = "; ".join(f"{side} from the {source}" for side, source in sides)
        after = (
            f"Definitions were read: {sources}. Whether the agent itself was edited cannot be seen:"
            " the API does not version agents."
        )
        return Rendered(before, data, [after])

    def _dates_lines(self) -> list[str]:
        base, candidate = map(_show_date, (self.base_created_date, self.candidate_created_date))
        lines = [
            f"Base {self.base_batch_id}, {base}; candidate {self.candidate_batch_id}, {candidate}."
        ]
        if self.base_is_newer:
            lines.append(
                "Warning: the base is newer than the candidate. If this is a mistake, better and"
                " worse are exchanged: call again with the ids the other way round."
            )
        return lines

    def _limits_lines(self) -> list[str]:
        if self.separates_mix and not self.compared:
            return [
                "The batch runs, as far as they were read, share no test case with decided runs on"
                " both sides and the same definition."
            ]
        if self.could_prove:
            return []
        end = "; only all of them together may show one." if self.compared > 1 else "."
        return [f"So few attempts cannot prove a change of any single test case{end}"]

    def _counts_line(self) -> str:
        batches = f"Batch run {self.candidate_batch_id} against {self.base_batch_id}"
        counts = ", ".join(f"{count} {change}" for change, count in self.counts.items())
        return f"{batches} (agent {self.agent_id}): {counts or 'totals only'}."

    def _overall_lines(self) -> list[str]:
        if self.p is None:
            return []
        scope, test = "everything", "Fisher's exact test of the totals"
        if self.separates_mix:
            scope = pluralize(self.compared, "compared test case")
            test = "exact Cochran-Mantel-Haenszel test"
        result = self.direction if self.p <= ALPHA else "not proven to have changed"
        rates = f"{self.base}, then {self.candidate}"
        return [f"Overall, {scope}: {rates}; p {self.p:.3g}, {test}: {result}."]

    def _caveat_lines(self) -> list[str]:
        lines = []
        if self.undecided:
            lines.append(
                f"Attempts that show no verdict: {_list_counts(self.undecided)}."
                " No rate counts them, and their verdicts could change the result."
            )
        if self.unassigned:
            lines.append(
                f"Test runs whose test case is unreadable: {_list_counts(self.unassigned)}."
                " No test case counts them."
            )
        if self.mix_differs:
            lines.append(
                "The totals also differ because the mix of attempts does;"
                " the test compares within each case."
            )
        if self.definitions_unknown:
            cases = pluralize(self.definitions_unknown, "compared test case")
            lines.append(
                f"Prompt and criteria were not shown on both sides for {cases}:"
                " edits cannot be seen."
            )
        if not self.separates_mix:
            lines.append(
                "Which test case each run belongs to was not shown,"
                " so a change of mix looks like a change of the agent."
            )
        return lines


def round_p(p: float | None) -> float | None:
    """Round a p value to three significant digits."""
    return None if p is None else float(f"{p:.3g}")


def keep_counts(base: int, candidate: int) -> dict[SideName, int] | None:
    """Return the counts of both sides by name, or None if both are 0."""
    return {"base": base, "candidate": candidate} if base or candidate else None


def _show_date(created: datetime | None) -> str:
    return "created at an unknown time" if created is None else f"created {format_time(created)}"


def _list_counts(counts: dict[SideName, int]) -> str:
    return ", ".join(f"{side} {count}" for side, count in counts.items())


def _show_side(rate: Rate | None) -> str:
    return f"{rate.passed}/{rate.decided}" if rate else "none"

"""The answer of compare_batch_runs, and its text."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.attempts_needed import WANTED_POWER, AttemptsNeeded
from sigmamind_mcp.insight.baselines import LeftOut, LeftOutReason, Obstacle
from sigmamind_mcp.insight.batch_sides import CaseSide
from sigmamind_mcp.insight.case_definitions import DefinitionEdit
from sigmamind_mcp.insight.comparison import CaseChange, Direction
from sigmamind_mcp.insight.decisions import Level, RateChange
from sigmamind_mcp.insight.error_rates import Question
from sigmamind_mcp.insight.statistics import ALPHA
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import Answer, AnswerPart, Rendered, Time, format_time
from sigmamind_mcp.tools.parts import (
    LABEL_CHARACTERS,
    BoundedRate,
    EditShown,
    ListedEdits,
    SuiteRate,
    format_percent,
    truncate_line,
)
from sigmamind_mcp.tools.said_answer import (
    AgentSaysRow,
    SaidState,
    SideQuoteRow,
    render_side_quotes,
)
from sigmamind_mcp.tools.unread_notes import NO_ID

SideName = Literal["base", "candidate"]

CALLED = ("regressed", "improved")
SURE = ("proven", "suspect")

POOLING_CAVEAT = (
    "Pooling assumes that each test case had one constant rate in its batch runs. A change of the"
    " agent's prompt cannot be seen."
)


class PooledRate(BoundedRate):
    """The attempts of one test case on one side."""

    batch_ids: list[str] = Field(description="The batch runs that they are from, oldest first.")

    @classmethod
    def of_case(cls, side: CaseSide) -> "PooledRate":
        rate = BoundedRate.of(side.counts).add_bounds(side.undecided)
        return cls(**dict(rate), batch_ids=list(side.batch_ids))


class CaseChangeRow(AnswerPart):
    test_case_id: str | None = None
    label: str
    change: RateChange
    level: Level = Field(description="How sure the change is; `levels` defines the words.")
    base: PooledRate | None = None
    candidate: PooledRate | None = None
    p: float | None = Field(
        default=None, description="One-sided exact test, not adjusted for the number of cases."
    )
    called_at: int | None = Field(default=None, description="The look that called it.")
    obstacle: Obstacle | None = Field(
        default=None, description="Why it is not a test; without p, nothing is known of a change."
    )
    differs: list[str] = Field(
        default=[], description="Fields that are not the same in both batch runs."
    )
    edits: list[EditShown] = Field(default=[], description="The words that differ in them.")
    more_edits: int | None = Field(default=None, description="Edits that are not shown.")
    attempts_needed: str | None = Field(
        default=None,
        description="For the worst three open cases: what would prove a drop like the observed.",
    )
    smallest_drop: float | None = Field(
        default=None, description="A drop of the rate that these attempts would have proven."
    )

    @classmethod
    def of(
        cls, change: CaseChange, edits: Sequence[DefinitionEdit], look_count: int
    ) -> "CaseChangeRow":
        listed = ListedEdits.of(edits)
        needed, drop = change.attempts_needed, change.smallest_drop
        return cls(
            test_case_id=valid_id(change.case.test_case_id),
            label=truncate_line(change.case.title, LABEL_CHARACTERS),
            change=change.change,
            level=change.level,
            base=PooledRate.of_case(change.base) if change.base else None,
            candidate=PooledRate.of_case(change.candidate) if change.candidate else None,
            p=round_p(change.p),
            called_at=change.called_at if look_count > 1 else None,
            obstacle=change.obstacle,
            differs=list(change.differs),
            edits=listed.shown,
            more_edits=listed.more,
            attempts_needed=_describe_needed(needed) if needed else None,
            smallest_drop=None if drop is None else round(drop, 3),
        )

    @property
    def name(self) -> str:
        return self.test_case_id or NO_ID

    def lines(self, base_ids: Sequence[str], candidate_ids: Sequence[str]) -> list[str]:
        """Write the row; batch runs are named where they are not these."""
        lines = [f"{self._describe_change(base_ids, candidate_ids)} Label: {self.label}"]
        lines += [edit.line() for edit in self.edits]
        if self.more_edits:
            lines.append(f"    and {pluralize(self.more_edits, 'more edit')}")
        return lines

    def _describe_change(self, base_ids: Sequence[str], candidate_ids: Sequence[str]) -> str:
        base = _show_side(self.base, base_ids)
        parts = [f"{self._name_change()}: {base} to {_show_side(self.candidate, candidate_ids)}"]
        if self.p is not None:
            parts.append(f"one-sided p {self.p:.3g}")
            if self.obstacle:
                parts.append(f"{self.obstacle} for proof")
        sides: tuple[tuple[SideName, PooledRate | None], ...] = (
            ("base", self.base),
            ("candidate", self.candidate),
        )
        for name, rate in sides:
            if rate and rate.undecided:
                parts.append(f"{name} {rate.undecided} undecided, so {rate.show_bounds()}")
        if self.attempts_needed:
            parts.append(self.attempts_needed)
        if self.smallest_drop is not None:
            points = f"{self.smallest_drop * 100:.0f}"
            parts.append(f"a drop of {points} points would be proven")
        edited = {edit.field for edit in self.edits}
        if not edited.issuperset(self.differs):
            parts.append(f"differs in {', '.join(self.differs)}")
        return f"{'; '.join(parts)}."

    def _name_change(self) -> str:
        if self.p is None:
            return f"{self.name} {self.obstacle or self.change}"
        if self.change == "not called":
            return f"{self.name} {_name_level(self.level)}"
        called = f" at look {self.called_at}" if self.called_at else ""
        return f"{self.name} {self.change}, {self.level}{called}"


class NotPooledRow(AnswerPart):
    """Batch runs whose attempts do not count, all for one reason."""

    reason: LeftOutReason
    batch_ids: list[str]
    test_cases: int | None = Field(
        default=None, description="For so many test cases in all; absent when for every one."
    )

    def line(self) -> str:
        cases = f", {pluralize(self.test_cases, 'test case')} in all" if self.test_cases else ""
        return f"{self.reason}: {', '.join(self.batch_ids)}{cases}"


class ComparedBatchRuns(Answer):
    """What changed from base to candidate, and how sure that is."""

    base_batch_id: str | None = Field(default=None, description="Absent when there are several.")
    candidate_batch_id: str | None = None
    base_batch_ids: list[str] = Field(default=[], description="If several, oldest first.")
    candidate_batch_ids: list[str] = []
    base_created_date: Time | None = Field(default=None, description="Of the newest one.")
    candidate_created_date: Time | None = Field(default=None, description="Of the oldest one.")
    base_is_newer: bool | None = Field(
        default=None, description="True when the two ids seem to be exchanged."
    )
    agent_id: str
    question: Question
    look: int = Field(description="Which of the planned looks this is.")
    looks: int
    alpha: float = Field(description="The level of this look, and of one direction.")
    levels: dict[Level, str] = Field(description="What the levels that occur mean.")
    method: str | None = Field(default=None, description="The test that the levels rest on.")
    base: SuiteRate | None = Field(
        default=None, description="All compared test cases together; absent when there is none."
    )
    candidate: SuiteRate | None = None
    direction: Direction | None = Field(
        default=None, description="worse, better or alike, case by case; proven where p is."
    )
    p: float | None = Field(
        default=None,
        description="Exact Cochran-Mantel-Haenszel test over the compared cases, two-sided.",
    )
    p_is_approximate: bool | None = Field(
        default=None, description="True above 10,000 outcomes: the normal approximation."
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
    counted: int = Field(description="Those of them that are tests, and share the level.")
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
        description="Whether any result of so few attempts could have been called."
    )
    counts: dict[str, int] = Field(description="How many test cases changed in which way.")
    level_counts: dict[str, int] = Field(default={}, description="How many have which level.")
    open_attempts: int | None = Field(
        default=None, description="Attempts that another batch run of the open cases makes."
    )
    definitions_from: dict[SideName, str] = Field(
        description="Where each side's definitions were read."
    )
    not_pooled: list[NotPooledRow] = Field(
        default=[], description="Batch runs that do not count, and why."
    )
    pooling: str | None = Field(default=None, description="What pooling assumes.")
    test_case_count: int
    test_cases: list[CaseChangeRow] = Field(description="Worst first.")
    agent_says: list[AgentSaysRow] | None = Field(
        default=None, description="What the agent says more often on one side, worst case first."
    )
    turns_worth_reading: list[SideQuoteRow] | None = Field(
        default=None,
        description="Failed runs of the worse side of changed test cases, passed of the other;"
        " absent if not looked at.",
    )
    agent_says_in: SaidState | None = Field(
        default=None, description="What was looked at for agentSays; only in the first answer."
    )

    def render(self) -> Rendered:
        before = [
            *self._dates_lines(),
            self._plan_line(),
            *self._limits_lines(),
            self._counts_line(),
            *self._overall_lines(),
            *self._caveat_lines(),
        ]
        if self.agent_says_in:
            before.append(self.agent_says_in.describe(self.agent_says or []))
        base_ids, candidate_ids = self._list_ids()
        data = []
        for row in self.test_cases:
            data += row.lines(base_ids, candidate_ids)
        data += [row.line(base_ids, candidate_ids) for row in self.agent_says or []]
        if self.turns_worth_reading:
            data.append("Turns worth reading; U: user, A: agent:")
            data += render_side_quotes(self.turns_worth_reading, base_ids, candidate_ids)
        elif self.agent_says_in and self.turns_worth_reading is None:
            data.append("Turns worth reading: not looked at, no time was left.")
        after = [f"{_name_level(level)}: {meaning}" for level, meaning in self.levels.items()]
        after.append(
            f"Definitions are from {self._name_sources()}. The API does not version agents:"
            " their edits cannot be seen."
        )
        return Rendered(before, data, after)

    def _name_sources(self) -> str:
        sources = self.definitions_from
        if len(set(sources.values())) == 1:
            return f"the {next(iter(sources.values()))}"
        return ", ".join(f"the {source} ({side})" for side, source in sources.items())

    def _list_ids(self) -> tuple[list[str], list[str]]:
        base = [self.base_batch_id] if self.base_batch_id else self.base_batch_ids
        candidate = [self.candidate_batch_id] if self.candidate_batch_id else []
        return base, candidate or self.candidate_batch_ids

    def _dates_lines(self) -> list[str]:
        base_ids, candidate_ids = self._list_ids()
        base = _show_batches(base_ids, self.base_created_date, "newest ")
        candidate = _show_batches(candidate_ids, self.candidate_created_date, "oldest ")
        lines = [f"Base {base}; candidate {candidate}."]
        if self.base_is_newer:
            lines.append(
                "Warning: the base is newer than the candidate. If this is a mistake, better and"
                " worse are exchanged: call again with the ids the other way round."
            )
        if self.not_pooled:
            rows = "; ".join(row.line() for row in self.not_pooled)
            lines.append(f"Not pooled: {rows}.")
        if self.pooling:
            lines.append(self.pooling)
        return lines

    def _plan_line(self) -> str:
        look = f"look {self.look} of {self.looks}, " if self.looks > 1 else ""
        method = f"; {self.method}" if self.method else ""
        return f"Question: {self.question}; {look}level {self.alpha:.3g}{method}."

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
        changes = ", ".join(self._list_changes()) or "totals only"
        line = f"Test cases (agent {self.agent_id}): {changes}"
        too_few = self.compared - self.counted
        # Where none has enough, _limits_lines says so.
        if too_few and self.could_prove:
            line += f"; {too_few} of them with too few attempts"
        if self.open_attempts:
            line += f". Running the open ones again: {pluralize(self.open_attempts, 'attempt')}"
        return f"{line}."

    def _list_changes(self) -> Iterator[str]:
        """Yield how many test cases changed in which way, those that are called first."""
        counts = dict(self.counts)
        counts.pop("not called", None)
        called = [f"{counts.pop(change)} {change}" for change in CALLED if change in counts]
        levels = dict(self.level_counts)
        sure = [f"{levels.pop(level)} {level}" for level in SURE if level in levels]
        if called:
            yield f"{', '.join(called)} ({', '.join(sure)})"
        for state, count in [*levels.items(), *counts.items()]:
            words = _name_level(state)
            yield f"{count} with {words}" if words.startswith("no ") else f"{count} {words}"

    def _overall_lines(self) -> list[str]:
        if self.p is None or not (self.base and self.candidate):
            return []
        exact = "approximate" if self.p_is_approximate else "exact"
        scope, test = "everything", f"{exact} Fisher test of the totals"
        if self.separates_mix:
            scope = f"{self.compared} compared"
            test = f"{exact} Cochran-Mantel-Haenszel test"
        if self.look > 1:
            scope += " at the first look"
        result = self.direction if self.p <= ALPHA else "not proven to have changed"
        rates = f"base {self.base}, candidate {self.candidate.describe_again()}"
        return [f"Overall, {scope}: {rates}; two-sided p {self.p:.3g}, {test}: {result}."]

    def _list_undecided(self) -> Iterator[str]:
        """Yield the undecided attempts of each side, with the bounds of its overall rate."""
        for name, count in (self.undecided or {}).items():
            rate = self.base if name == "base" else self.candidate
            if rate and rate.undecided:
                compared = "" if rate.undecided == count else f"{rate.undecided} compared, "
                yield f"{name} {count} ({compared}{rate.show_bounds()} if all failed or passed)"
            elif count:
                yield f"{name} {count}"

    def _caveat_lines(self) -> list[str]:
        lines = []
        undecided = ", ".join(self._list_undecided())
        if undecided:
            lines.append(f"Undecided attempts, in no rate, could change the result: {undecided}.")
        if self.unassigned:
            runs = ", ".join(f"{side} {count}" for side, count in self.unassigned.items())
            lines.append(f"Test runs whose test case is unreadable: {runs}. No case counts them.")
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


def group_left_out(left_out: Sequence[LeftOut]) -> list[NotPooledRow]:
    """Return a row for each reason, with its batch runs."""
    rows: dict[LeftOutReason, NotPooledRow] = {}
    for batch_id, reason, cases in left_out:
        row = rows.setdefault(reason, NotPooledRow(reason=reason, batch_ids=[]))
        row.batch_ids.append(batch_id)
        if cases:
            row.test_cases = (row.test_cases or 0) + cases
    return list(rows.values())


def name_change(change: CaseChange) -> str:
    """Return what became of the case; if that is not known, why."""
    is_known = change.p is not None or change.obstacle is None
    return change.change if is_known else str(change.obstacle)


def round_p(p: float | None) -> float | None:
    """Round a p value to three significant digits."""
    return None if p is None else float(f"{p:.3g}")


def keep_counts(base: int, candidate: int) -> dict[SideName, int] | None:
    """Return the counts of both sides by name, or None if both are 0."""
    return {"base": base, "candidate": candidate} if base or candidate else None


def _describe_needed(needed: AttemptsNeeded) -> str:
    attempts = "more than 10,000" if needed.attempts is None else f"{needed.attempts:,}"
    rates = f"{format_percent(needed.higher_rate)} from {format_percent(needed.lower_rate)}"
    about = "" if needed.test == "Boschloo" else "about "
    power = format_percent(WANTED_POWER)
    return f"{about}{attempts} attempts a side tell {rates} with {power} power"


def _name_level(level: str) -> str:
    return "no change shown" if level == "not shown" else level


def _show_batches(batch_ids: Sequence[str], created: datetime | None, which: str) -> str:
    named = ", ".join(batch_ids) or "none"
    prefix = which if len(batch_ids) > 1 else ""
    if created is None:
        return f"{named}, {prefix}created at an unknown time"
    return f"{named}, {prefix}created {format_time(created)}"


def _show_side(rate: PooledRate | None, batch_ids: Sequence[str]) -> str:
    if rate is None:
        return "none"
    share = f"{rate.passed}/{rate.decided}"
    if rate.batch_ids == list(batch_ids):
        return share
    return f"{share} ({', '.join(rate.batch_ids) or 'no batch run'})"

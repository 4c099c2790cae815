"""What the agent says on one side of a comparison and not on the other, as rows of its answer."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from sigmamind_mcp.api.models import Verdict
from sigmamind_mcp.heavy_work import WorkClock
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.comparison import CaseChange, Comparison
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import AnswerPart, group_by
from sigmamind_mcp.tools.diagnosis_answer import SectionState
from sigmamind_mcp.tools.diagnosis_rows import describe_item
from sigmamind_mcp.tools.parts import LABEL_CHARACTERS, truncate_line
from sigmamind_mcp.tools.quoted_exchanges import (
    CRITERIA_CHARACTERS,
    ExchangeWords,
    QuotedExchange,
    join_by_run,
    mark_runs,
)
from sigmamind_mcp.tools.side_reading import KeptTranscripts
from sigmamind_mcp.tools.unread_notes import NO_ID

if TYPE_CHECKING:
    from sigmamind_mcp.insight.side_quotes import SideQuote
    from sigmamind_mcp.insight.side_words import SaidDifference, SaidOnSides, Share

QUOTE_CHARACTERS = 200


class SaidCount(AnswerPart):
    """How many attempts of one side have an item."""

    having: int = Field(alias="in")
    of: int

    @classmethod
    def of_share(cls, share: "Share") -> "SaidCount":
        return cls.model_validate({"in": share.having, "of": share.total})

    def __str__(self) -> str:
        return f"{self.having} of {self.of}"


class AgentSaysRow(AnswerPart):
    """Something that the agent says more often on one side."""

    kind: str
    item: str = Field(description="As the example says it; other forms of its words count too.")
    test_case_ids: list[str] = Field(description="The test cases that it is counted in.")
    base: SaidCount
    candidate: SaidCount
    p: float | None = Field(
        default=None, description="Corrected for all candidates and test cases looked at."
    )
    too_few: bool | None = Field(default=None, description="True: too few attempts to tell.")
    batch_id: str = Field(description="Of the example.")
    job_id: str
    turn: int | None = None

    @classmethod
    def of(cls, found: "SaidDifference", changed: Sequence[CaseChange]) -> "AgentSaysRow":
        return cls(
            kind=found.item.kind,
            item=truncate_line(found.words, LABEL_CHARACTERS),
            test_case_ids=_show_case_ids([changed[number] for number in found.cases]),
            base=SaidCount.of_share(found.base),
            candidate=SaidCount.of_share(found.candidate),
            p=round(found.p, 3) if found.is_proven else None,
            too_few=None if found.is_proven else True,
            batch_id=found.place.batch_id,
            job_id=found.place.job_id,
            turn=found.turn,
        )

    def line(self, base_ids: Sequence[str], candidate_ids: Sequence[str]) -> str:
        """Write the row; the example's batch run is its side's, if that has only one."""
        certainty = "too few to tell" if self.p is None else f"p {self.p:.2g}"
        turn = f" turn {self.turn}" if self.turn else ""
        cases = ", ".join(self.test_case_ids)
        words = describe_item(self.kind, self.item)
        counts = f"in {self.base} base, {self.candidate} candidate"
        place = name_side(self.batch_id, base_ids, candidate_ids)
        example = f"{self.job_id}{turn} of {place}"
        return f"{cases}: {words}: {counts} ({certainty}; {example})"


class SaidState(AnswerPart):
    """What was looked at, and whether anything was found."""

    state: SectionState
    why: str | None = Field(default=None, description="Why it was not looked at, or not all.")
    test_case_ids: list[str] = Field(default=[], description="The test cases looked at.")

    def describe(self, rows: Sequence[AgentSaysRow]) -> str:
        """Write the state; the test cases looked at, unless the rows name all of them."""
        why = f" ({self.why})" if self.why else ""
        named = {case_id for row in rows for case_id in row.test_case_ids}
        is_named = named == set(self.test_case_ids)
        ids = "" if is_named else f" in {', '.join(self.test_case_ids)}"
        return f"What the agent says more often on one side: {self.state}{ids}{why}."


class SideQuoteRow(QuotedExchange):
    """What tells of a failed run of a changed test case, or of a passed run of its other side."""

    test_case_id: str | None = None
    batch_id: str
    verdict: Verdict
    success_criteria: str | None = Field(
        default=None, description="With the first quote of a test case."
    )

    @classmethod
    def of_quote(cls, found: "SideQuote") -> "SideQuoteRow":
        return cls(
            test_case_id=valid_id(found.change.case.test_case_id),
            batch_id=found.place.batch_id,
            job_id=valid_id(found.place.job_id),
            verdict=found.run.verdict,
            turn=found.quote.number,
            **ExchangeWords.of(found.run, found.quote, QUOTE_CHARACTERS)._asdict(),
        )


def render_side_quotes(
    rows: Sequence[SideQuoteRow], base_ids: Sequence[str], candidate_ids: Sequence[str]
) -> list[str]:
    """Return a line for each test run, with its quotes."""

    def write_head(row: SideQuoteRow) -> str:
        side = name_side(row.batch_id, base_ids, candidate_ids)
        head = f"{row.test_case_id or NO_ID} {side} {row.verdict} {row.job_id or NO_ID}"
        return row.add_remarks(head)

    lines = []
    for case_id, quotes in group_by(rows, lambda row: row.test_case_id).items():
        if quotes[0].success_criteria:
            lines.append(f"{case_id or NO_ID} criteria: {quotes[0].success_criteria}")
        lines += join_by_run(quotes, write_head)
    return lines


def _show_quotes(found: Sequence["SideQuote"]) -> list[SideQuoteRow]:
    """Return the rows, with criteria and remarks where these are not those of the last row."""
    rows = list(map(SideQuoteRow.of_quote, found))
    mark_runs(zip((quote.run for quote in found), rows, strict=True))
    shown: set[str | None] = set()
    for quote, row in zip(found, rows, strict=True):
        criteria = quote.change.case.success_criteria
        if criteria and row.test_case_id not in shown:
            row.success_criteria = truncate_line(criteria, CRITERIA_CHARACTERS)
        shown.add(row.test_case_id)
    return rows


class AgentSays(NamedTuple):
    """What the agent says more often on one side, if looked at, and where this was looked for."""

    state: SaidState
    rows: list[AgentSaysRow] | None = None
    quotes: list[SideQuoteRow] | None = None


def find_agent_says(comparison: Comparison, kept: KeptTranscripts, clock: WorkClock) -> AgentSays:
    """Contrast the kept transcripts of the changed cases, as many as the clock allows."""
    # Patterns take time to compile.
    from sigmamind_mcp.insight.side_quotes import quote_sides
    from sigmamind_mcp.insight.side_words import contrast_sides

    has_time = partial(clock.start_counting(), 1.0)
    said = contrast_sides(comparison.changes, kept.load, has_time=has_time)
    says = _show_said(said, is_by_case=comparison.overall.separates_mix)
    if not has_time():
        return says
    quotes = quote_sides(comparison.changes, kept.load, has_time=has_time)
    return says._replace(quotes=_show_quotes(quotes))


def name_side(batch_id: str, base_ids: Sequence[str], candidate_ids: Sequence[str]) -> str:
    """Return the side of a batch run, or its id if its side has several."""
    if list(base_ids) == [batch_id]:
        return "base"
    return "candidate" if list(candidate_ids) == [batch_id] else batch_id


def _show_said(said: "SaidOnSides", *, is_by_case: bool) -> AgentSays:
    why_not = None
    if not is_by_case:
        why_not = "test cases not shown"
    elif not said.changed:
        why_not = "no test case of both sides changed or is open"
    elif not said.looked_at:
        why_not = "no transcripts of both sides of a changed or open test case"
    if why_not:
        return AgentSays(SaidState(state="not looked at", why=why_not))
    state = SaidState(
        state="found" if said.differences else "none found",
        why=_explain_gaps(said),
        test_case_ids=_show_case_ids(said.looked_at),
    )
    rows = [AgentSaysRow.of(found, said.changed) for found in said.differences]
    return AgentSays(state, rows)


def _explain_gaps(said: "SaidOnSides") -> str | None:
    gaps = []
    if len(said.looked_at) < len(said.changed):
        gaps.append(f"{len(said.looked_at)} of {len(said.changed)} changed or open test cases")
    if said.unread:
        gaps.append(f"{pluralize(said.unread, 'transcript')} not read")
    return "; ".join(gaps) or None


def _show_case_ids(changes: Sequence[CaseChange]) -> list[str]:
    return [valid_id(change.case.test_case_id) or NO_ID for change in changes]

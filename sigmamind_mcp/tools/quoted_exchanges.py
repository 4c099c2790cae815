"""Quote exchanges of test runs in an answer, with a line for each run."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pydantic import Field, PrivateAttr

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import TELLS_MOST, Quote, get_case_id
from sigmamind_mcp.tools.answers import AnswerPart, one_line
from sigmamind_mcp.tools.unread_notes import NO_ID
from sigmamind_mcp.untrusted_text import clean

if TYPE_CHECKING:
    from sigmamind_mcp.insight.evidence import RunToRead

CRITERIA_CHARACTERS = 160
REMARKS_CHARACTERS = 100

_HEAD_IN_LINE = re.compile(r"(?<!\S)(?=\|(?!\S)|\d+ A(?: \(|:)|U:)")


class QuotedExchange(AnswerPart):
    """A turn of the agent, and what the user said before it."""

    job_id: str | None = None
    turn: int = Field(description="Of the agent.")
    user: str | None = Field(default=None, description="What the user said before it.")
    content: str = Field(description="If long, what tells most of it; … marks what is left out.")
    why: str = Field(description="In text only if it is another than tells most.")
    remarks: str | None = Field(
        default=None, description="Of a failed run; absent if they are those of the last one."
    )
    _starts_run: bool = PrivateAttr(default=False)

    @property
    def starts_run(self) -> bool:
        """Whether it is the first quote of its run; several runs can lack an id."""
        return self._starts_run

    def start_run(self) -> None:
        self._starts_run = True

    def add_remarks(self, head: str) -> str:
        if self.remarks is None:
            return head
        return f"{head} ({escape_heads(self.remarks) or 'no remarks'})"

    def line(self) -> str:
        user = f"U: {escape_heads(self.user)} " if self.user else ""
        why = "" if self.why == TELLS_MOST else f" ({self.why})"
        return f"{user}{self.turn} A{why}: {escape_heads(self.content)}"


def escape_heads(text: str) -> str:
    """Escape what looks like the start of another turn on the same line."""
    return _HEAD_IN_LINE.sub(r"\\", clean(text))


class ExchangeWords(NamedTuple):
    """The words of an exchange, shortened, and why it is quoted."""

    user: str | None
    content: str
    why: str

    @classmethod
    def of(cls, run: TestRun, quote: Quote, characters: int) -> "ExchangeWords":
        # Patterns take time to compile.
        from sigmamind_mcp.insight.excerpts import excerpt_text
        from sigmamind_mcp.insight.judged_clauses import keep_unmet
        from sigmamind_mcp.insight.key_turns import find_question

        turns = run.conversation or []
        asked = find_question(turns, quote.number)
        remarks = keep_unmet(run.remarks or "")
        user = excerpt_text(turns[asked - 1].content, remarks, characters // 2) if asked else None
        content = excerpt_text(quote.turn.summarize(), remarks, characters)
        return cls(user, content, quote.why)


class QuoteRow(QuotedExchange):
    group: int | None = Field(
        default=None, description="Its number; absent of a passed run of the last test case."
    )

    def head(self) -> str:
        group = f"{self.group})" if self.group else "passed:"
        return self.add_remarks(f"{group} {self.job_id or NO_ID}")

    @classmethod
    def of(cls, run: TestRun, quote: Quote, group: int | None, characters: int) -> "QuoteRow":
        return cls(
            job_id=valid_id(run.job_id),
            group=group,
            turn=quote.number,
            **ExchangeWords.of(run, quote, characters)._asdict(),
        )


def mark_runs(
    quotes: Iterable[tuple[TestRun, QuotedExchange]], *, with_remarks: bool = True
) -> None:
    """Mark the first quote of each run; set the remarks of failed runs where they change."""
    from sigmamind_mcp.insight.judged_clauses import keep_unmet
    from sigmamind_mcp.insight.left_out import cut_end, write_own_dots

    last_run, last_remarks = None, None
    for run, row in quotes:
        if run is last_run:
            continue
        last_run = run
        row.start_run()
        unmet = one_line(write_own_dots(keep_unmet(run.remarks or "")))
        remarks = cut_end(unmet, REMARKS_CHARACTERS)
        if with_remarks and run.verdict == "failed" and remarks != last_remarks:
            row.remarks = last_remarks = remarks


RowT = TypeVar("RowT", bound=QuotedExchange)


def join_by_run(rows: Iterable[RowT], write_head: Callable[[RowT], str]) -> list[str]:
    """Return a line for each test run, with the head of its first quote and all its quotes."""
    lines: list[str] = []
    for row in rows:
        if row.starts_run or not lines:
            lines.append(f"{write_head(row)} {row.line()}")
        else:
            lines[-1] += f" | {row.line()}"
    return lines


def list_quotes(
    runs: Sequence["RunToRead"],
    *,
    per_run: int,
    characters: int,
    are_passed_brief: bool,
    with_remarks: bool,
    skip: int = 0,
    limit: int,
) -> list[QuoteRow]:
    """Return the first quotes of `limit` runs by group, and of a passed run of each test case."""
    shown = sorted(runs[skip : skip + limit], key=lambda one: (one.group, get_case_id(one.run)))
    quotes: list[tuple[TestRun, QuoteRow]] = []
    for place, one in enumerate(shown):
        for quote in sorted(one.quotes[:per_run]):
            quotes.append((one.run, QuoteRow.of(one.run, quote, one.group, characters)))
        case_id = get_case_id(one.run)
        if case_id not in map(get_case_id, (later.run for later in shown[place + 1 :])):
            quotes += _quote_passed(one, per_run, characters, is_brief=are_passed_brief)
    mark_runs(quotes, with_remarks=with_remarks)
    return [row for _, row in quotes]


def _quote_passed(
    one: "RunToRead", per_run: int, characters: int, *, is_brief: bool
) -> Iterator[tuple[TestRun, QuoteRow]]:
    picked = one.pick_passed()
    if picked is None:
        return
    for quote in sorted(picked.quotes[: 1 if is_brief else per_run]):
        row = QuoteRow.of(picked.run, quote, None, characters)
        row.user = None if is_brief else row.user
        yield picked.run, row

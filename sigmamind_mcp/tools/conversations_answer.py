"""The answer of read_test_runs, and its text."""

import json
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple, Self

from pydantic import Field

from sigmamind_mcp.api.conversations import Side
from sigmamind_mcp.api.models import TestCase, TestRun, Verdict
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import (
    Answer,
    AnswerPart,
    Budgets,
    Cut,
    Rendered,
    field_lines,
    one_line,
    truncate_text,
    truncate_values,
)
from sigmamind_mcp.tools.cases import MockShown
from sigmamind_mcp.tools.runs import TurnShown
from sigmamind_mcp.tools.transcripts import (
    SHORT_ROLES,
    NumberedTurn,
    describe_missing_conversation,
    escape_short_heads,
)
from sigmamind_mcp.tools.unread_notes import NO_ID

READ_CHARACTERS = 16_000
"""An answer that its reader can stop after: about 8,000 characters of text with short turns."""
TURN_CHARACTERS = 400
"""What a turn may have in runs of a selection, which are not named."""
HEAD_CHARACTERS = 6
REMARKS_READ_CHARACTERS = 4_000
REMARKS_LEGEND = "After each verdict: the judge's remarks."
DEFINITION_CHARACTERS = 6_000
DEFINITION_LIMITS = (4_000, 1_500, 400, 100)
"""What one text of a definition may have, until all of it has DEFINITION_CHARACTERS."""


class WantedRun(NamedTuple):
    """A test run to show; `turns` are those asked for, none means the whole conversation.

    `listed` is the run as the API's list gives it.
    """

    batch_id: str
    job_id: str | None
    turns: list[int]
    listed: TestRun | None = None


class ReadRun(NamedTuple):
    """A test run and its turns to show; `run` is None if there is nothing to show of it.

    `differs` says that it has another verdict or test case than asked for, `is_unknown` that the
    API does not have it. A turn is cut at `turn_characters`.
    """

    wanted: WantedRun
    run: TestRun | None
    turns: list[NumberedTurn]
    differs: bool = False
    turn_characters: int | None = None
    is_unknown: bool = False

    def skip_to(self, turn: int) -> "ReadRun":
        """Leave out the turns before this one, which an earlier answer has shown."""
        rest = [numbered for numbered in self.turns if numbered.number >= turn]
        return self._replace(turns=rest)

    def count_characters(self) -> int:
        """Return about how many characters its turns have in the text."""
        return count_characters(self.turns, self.turn_characters)


class ConversationShown(AnswerPart):
    job_id: str | None = None
    batch_id: str | None = Field(default=None, description="Only if it is not the same for all.")
    verdict: Verdict
    remarks: str | None = Field(
        default=None, description="The judge's reason; left out of passed runs of several cases."
    )
    turn_count: int | None = Field(default=None, description="Turns of the whole conversation.")
    note: str | None = Field(default=None, description="Why turns are missing.")
    conversation: list[TurnShown]

    @classmethod
    def of(cls, read: ReadRun, run: TestRun, turns: Sequence[NumberedTurn]) -> Self:
        remarks = one_line(run.remarks or "")
        return cls(
            job_id=read.wanted.job_id,
            batch_id=read.wanted.batch_id,
            verdict=run.verdict,
            remarks=truncate_text(remarks, REMARKS_READ_CHARACTERS) or None,
            turn_count=None if run.conversation is None else len(run.conversation),
            note=_describe_missing_turns(run, read.wanted),
            conversation=[_show_turn(turn, read.turn_characters) for turn in turns],
        )

    def lines(
        self, *, has_gaps: bool = False, is_excerpt: bool = False, remarks_above: str | None = None
    ) -> list[str]:
        """Return the lines of the run; with `has_gaps`, turns are missing everywhere.

        With `is_excerpt`, the numbers of its turns alone show which are missing.
        """
        place = f" of batch run {self.batch_id}" if self.batch_id else ""
        remarks = f": {self.remarks}" if self.remarks else ""
        if self.remarks and self.remarks == remarks_above:
            remarks = ", remarks as above"
        turns = "" if is_excerpt and self.conversation else self._describe_turns(has_gaps)
        lines = [f"## {self.job_id or NO_ID}{place} {self.verdict}{turns}{remarks}"]
        if self.note:
            lines.append(self.note)
        previous = None
        for turn in self.conversation:
            if previous is not None and turn.turn > previous + 1 and not has_gaps:
                lines.append("…")
            previous = turn.turn
            lines.append(_indent(turn.render_short()))
        return lines

    def _describe_turns(self, has_gaps: bool) -> str:
        """Say how much of the conversation is shown; nothing if all of it is."""
        numbers = [turn.turn for turn in self.conversation]
        if not self.turn_count or len(numbers) == self.turn_count:
            return ""
        if has_gaps or not numbers:
            return f", {len(numbers)} of {pluralize(self.turn_count, 'turn')}"
        return f", turns {_format_ranges(numbers)} of {self.turn_count}"


class DefinitionShown(AnswerPart):
    test_case_id: str | None = None
    label: str | None = None
    user_prompt: str | None = None
    success_criteria: str | None = None
    mock_data: list[MockShown] | None = None
    llm_model: str | None = None
    test_runs: list[ConversationShown] = []

    @classmethod
    def of(cls, case: TestCase) -> Self:
        return cls(
            test_case_id=valid_id(case.test_case_id),
            label=one_line(case.label or "") or None,
            user_prompt=case.user_prompt,
            success_criteria=case.success_criteria,
            mock_data=[
                MockShown(variable_name=mock.variable_name, value=mock.value)
                for mock in case.mock_data
            ],
            llm_model=case.llm_model,
        )

    def shorten(self, cuts: list[Cut], path: str) -> "DefinitionShown":
        """Return it with at most DEFINITION_CHARACTERS, and add what was cut to `cuts`."""
        whole = self.model_dump(by_alias=True, exclude_none=True)
        for limit in DEFINITION_LIMITS:
            own_cuts: list[Cut] = []
            shortened = truncate_values(whole, limit, path=path, cuts=own_cuts)
            if len(json.dumps(shortened, ensure_ascii=False)) <= DEFINITION_CHARACTERS:
                break
        cuts += own_cuts
        return self.model_validate(shortened)

    def keep_criteria(self) -> "DefinitionShown":
        """Return it without what tells how it runs, for an answer with several test cases."""
        return self.model_copy(update={"user_prompt": None, "mock_data": None, "llm_model": None})

    def lines(self) -> list[str]:
        """Return the lines of the definition, without its runs."""
        mock_data = self.mock_data or []
        mock_lines = [one_line(f"{mock.variable_name} = {mock.value}") for mock in mock_data]
        lines = [f"# {self.test_case_id or NO_ID} {self.label or ''}".rstrip()]
        lines += _list_fields(
            ("userPrompt", self.user_prompt),
            ("successCriteria", self.success_criteria),
            ("mockData", " | ".join(mock_lines)),
            ("llmModel", self.llm_model),
        )
        return lines


class ReadConversations(Answer):
    """Several conversations, below the definition of their test case."""

    budgets: ClassVar[Budgets] = Budgets(READ_CHARACTERS, READ_CHARACTERS)

    agent_id: str
    batch_id: str | None = Field(default=None, description="Absent if there are several.")
    first: int = Field(description="Place of the first run among those chosen, from 1.")
    last: int
    total_count: int = Field(description="Test runs chosen by the arguments.")
    side: Side | None = Field(default=None, description="Only its turns are shown.")
    left_characters: int | None = Field(
        default=None, description="About how much text is left to read."
    )
    exchanges: int | None = Field(
        default=None, description="Most shown of a run, those that tell most; jobIds shows all."
    )
    test_cases: list[DefinitionShown] = Field(
        description="Each definition once; of several, with side or turns, the criteria."
    )

    def render(self) -> Rendered:
        batch_run = f"batch run {self.batch_id} of " if self.batch_id else ""
        runs = "No test run"
        if self.last == self.first:
            runs = f"Test run {self.first} of {self.total_count}"
        if self.last > self.first:
            runs = f"Test runs {self.first} to {self.last} of {self.total_count}"
        head = [f"{runs}, {batch_run}agent {self.agent_id}.", *self._describe_turns()]
        return Rendered(
            [" ".join([*head, SHORT_ROLES, REMARKS_LEGEND])],
            self._render_runs(),
            list(self._describe_rest()),
        )

    def _render_runs(self) -> list[str]:
        lines: list[str] = []
        is_excerpt = self.exchanges is not None
        has_gaps = is_excerpt or self.side is not None
        remarks = None
        for case in self.test_cases:
            lines += case.lines()
            for run in case.test_runs:
                lines += run.lines(has_gaps=has_gaps, is_excerpt=is_excerpt, remarks_above=remarks)
                remarks = run.remarks
        return lines

    def _describe_turns(self) -> Iterator[str]:
        if self.exchanges is not None:
            most = pluralize(self.exchanges, "exchange")
            yield (
                f"Of each run at most {most}: least like those of any passed run, most about the"
                " test case."
            )
        if self.side:
            yield f"Only turns of the {self.side} side."

    def _describe_rest(self) -> Iterator[str]:
        if self.left_characters is None:
            return
        runs = pluralize(self.total_count - self.last, "further test run")
        yield f"Left: {runs}, about {self.left_characters:,} characters of text."


def count_characters(turns: Sequence[NumberedTurn], limit: int | None) -> int:
    """Return about how many characters turns have in the text, each cut at `limit`."""
    count = HEAD_CHARACTERS * len(turns)
    for _, turn in turns:
        count += len(turn.text[:limit]) + sum(map(len, turn.tool_calls))
    return count


def _show_turn(turn: NumberedTurn, characters: int | None) -> TurnShown:
    shown = TurnShown.of(turn)
    if characters is not None:
        shown.content = truncate_text(shown.content, characters)
    return shown


def _describe_missing_turns(run: TestRun, wanted: WantedRun) -> str | None:
    """Say why turns that were asked for are not shown."""
    missing = describe_missing_conversation(run, wanted.job_id or NO_ID)
    last = len(run.conversation or [])
    beyond = [str(turn) for turn in wanted.turns if turn > last]
    if beyond and not missing:
        missing = [f"There is no turn {', '.join(beyond)}; the last one is {last}."]
    return " ".join(missing) or None


def _format_ranges(numbers: Sequence[int]) -> str:
    """Format ascending numbers as ranges: 4 to 8, 12 to 16."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    return ", ".join(
        f"{part[0]} to {part[-1]}" if len(part) > 1 else str(part[0]) for part in ranges
    )


def _list_fields(*fields: tuple[str, str | None]) -> list[str]:
    return [_indent(escape_short_heads(line)) for line in field_lines(*fields)]


def _indent(text: str) -> str:
    """Indent all lines but the first, so that no other text can begin a line."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n  ".join(lines)

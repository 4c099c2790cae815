"""The answer of read_test_runs, and its text."""

import json
from collections.abc import Sequence
from typing import NamedTuple, Self

from pydantic import Field

from sigmamind_mcp.api.models import TestCase, TestRun, Verdict
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.tools.answers import (
    Answer,
    AnswerPart,
    Cut,
    Rendered,
    field_lines,
    one_line,
    pluralize,
    truncate_text,
    truncate_values,
)
from sigmamind_mcp.tools.cases import MockShown
from sigmamind_mcp.tools.runs import TurnShown
from sigmamind_mcp.tools.transcripts import (
    NumberedTurn,
    describe_missing_conversation,
    escape_turn_heads,
)
from sigmamind_mcp.tools.unread_notes import NO_ID

REMARKS_READ_CHARACTERS = 4_000
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

    `differs` says that it has another verdict or test case than asked for.
    """

    wanted: WantedRun
    run: TestRun | None
    turns: list[NumberedTurn]
    differs: bool = False

    def skip_to(self, turn: int) -> "ReadRun":
        """Leave out the turns before this one, which an earlier answer has shown."""
        return self._replace(turns=[it for it in self.turns if it.number >= turn])


class ConversationShown(AnswerPart):
    job_id: str | None = None
    batch_id: str | None = Field(default=None, description="Only if it is not the same for all.")
    verdict: Verdict
    remarks: str | None = Field(default=None, description="The judge's reason for its result.")
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
            conversation=[TurnShown.of(turn) for turn in turns],
        )

    def lines(self) -> list[str]:
        place = f" of batch run {self.batch_id}" if self.batch_id else ""
        turns = f", {self._describe_turns()}" if self.turn_count else ""
        remarks = f" Remarks: {self.remarks}" if self.remarks else ""
        lines = [f"## {self.job_id or NO_ID}{place} {self.verdict}{turns}.{remarks}"]
        if self.note:
            lines.append(self.note)
        previous = None
        for turn in self.conversation:
            if previous is not None and turn.turn > previous + 1:
                lines.append("…")
            previous = turn.turn
            lines.append(_indent(turn.render()))
        return lines

    def _describe_turns(self) -> str:
        numbers = [turn.turn for turn in self.conversation]
        if len(numbers) == self.turn_count or not numbers:
            return pluralize(self.turn_count or 0, "turn")
        return f"turns {_format_ranges(numbers)} of {self.turn_count}"


class DefinitionShown(AnswerPart):
    test_case_id: str | None = None
    label: str | None = None
    user_prompt: str | None = None
    success_criteria: str | None = None
    mock_data: list[MockShown] = []
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

    def lines(self) -> list[str]:
        mock_data = [one_line(f"{mock.variable_name} = {mock.value}") for mock in self.mock_data]
        lines = [f"# {self.test_case_id or NO_ID} {self.label or ''}".rstrip()]
        for line in field_lines(
            ("userPrompt", self.user_prompt),
            ("successCriteria", self.success_criteria),
            ("mockData", " | ".join(mock_data)),
            ("llmModel", self.llm_model),
        ):
            lines.append(_indent(escape_turn_heads(line)))
        for run in self.test_runs:
            lines += run.lines()
        return lines


class ReadConversations(Answer):
    """Several conversations, below the definition of their test case."""

    agent_id: str
    batch_id: str | None = Field(default=None, description="Absent if there are several.")
    first: int = Field(description="Place of the first run among those chosen, from 1.")
    last: int
    total_count: int = Field(description="Test runs chosen by the arguments.")
    test_cases: list[DefinitionShown] = Field(description="Each distinct definition once.")
    transcript_uri: str = Field(description="Of each test run, with its ids for {…}.")

    def render(self) -> Rendered:
        batch_run = f"batch run {self.batch_id} of " if self.batch_id else ""
        runs = "No test run"
        if self.last == self.first:
            runs = f"Test run {self.first} of {self.total_count}"
        if self.last > self.first:
            runs = f"Test runs {self.first} to {self.last} of {self.total_count}"
        data = []
        for case in self.test_cases:
            data += case.lines()
        return Rendered(
            [f"{runs}, {batch_run}agent {self.agent_id}."],
            data,
            [f"Transcripts: {self.transcript_uri}"],
        )


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


def _indent(text: str) -> str:
    """Indent all lines but the first, so that no other text can begin a line."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n  ".join(lines)

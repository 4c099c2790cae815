"""Read the conversations of several test runs in one answer."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

import anyio
import anyio.to_thread
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.conversations import Side
from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.api.run_reading import READ_SECONDS, list_complete_runs
from sigmamind_mcp.concurrency import MAX_CONCURRENT_CALLS, gather_errors, require_results
from sigmamind_mcp.errors import ConnectionFailed, InvalidArguments, NotFound, SigmaMindError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import Cut, NextCall, fit_items
from sigmamind_mcp.tools.argument_forms import NotBool, list_of
from sigmamind_mcp.tools.arguments import Arguments, Continued, ForAgent, Id
from sigmamind_mcp.tools.conversations_answer import (
    READ_CHARACTERS,
    ConversationShown,
    DefinitionShown,
    ReadConversations,
    ReadRun,
    WantedRun,
)
from sigmamind_mcp.tools.parts import JobIds, KeptSide
from sigmamind_mcp.tools.runs import (
    KeptTestCase,
    KeptVerdict,
    make_transcript_pattern,
    select_runs,
)
from sigmamind_mcp.tools.runs_place import RunsPlace, RunsStart, find_start, mark_run
from sigmamind_mcp.tools.transcripts import (
    NumberedTurn,
    number_turns,
)
from sigmamind_mcp.tools.unread_notes import (
    NO_ID,
    NotRead,
    note_failed_read,
    note_listing,
    note_record,
)

if TYPE_CHECKING:
    from sigmamind_mcp.insight.alike_turns import PassedTurns

TURNS_AROUND = 2
TURN_CHARACTERS = 600
"""What a turn may have in runs that are chosen by verdict or test case."""
HEAD_CHARACTERS = 6
_MISSING_BATCH = "batchId is missing. From list_batch_runs."


class TurnPlace(Arguments):
    job_id: Id
    turn: Annotated[int | None, Field(ge=1), NotBool] = None
    batch_id: Annotated[Id, Field(description="If not batchId.")] = ""


class ReadTestRuns(Continued, ForAgent):
    position_names = RunsPlace._fields

    batch_id: Annotated[Id, Field(description="From list_batch_runs.")] = ""
    job_ids: Annotated[JobIds, Field(description="All their turns.")] = []
    turns: Annotated[
        list[TurnPlace],
        Field(max_length=100, description="Without turn, all of that run."),
        list_of("{jobId, turn, batchId}"),
    ] = []
    verdict: KeptVerdict = None
    test_case_id: KeptTestCase = ""
    side: KeptSide = None

    @property
    def names_runs(self) -> bool:
        """Whether the runs are named, and so shown whole or around their turns."""
        return bool(self.job_ids or self.turns)


async def read_test_runs(args: ReadTestRuns, api: SigmaMindClient) -> ReadConversations:
    """Read conversations: remarks and numbered turns, each definition once.

    By verdict and testCaseId without routine turns, by jobIds whole, by turns two before and after
    each. For verdicts use list_test_runs, for causes diagnose_batch_run. Reads only.
    """
    place = RunsPlace(**args.position)
    wanted, passed, notes = await _list_wanted_runs(args, api)
    start = find_start(place, list(map(mark_run, wanted)))
    reading = await _read_ahead(wanted[start.first :], passed, args, api)
    shown = _Shown(reading.runs, start, wanted)
    if shown.runs:
        shown.runs[0] = shown.runs[0].skip_to(start.turn)

    notes += reading.notes
    answer = await fit_items(len(shown.runs), partial(_build_conversations, args, shown), notes)
    if answer.fits():
        return answer
    # Even one run is too large, so it continues inside, by turn.
    build_part = partial(_build_first_turns, args, shown)
    return await fit_items(len(shown.runs[0].turns), build_part, notes)


@dataclass
class _RunsRead:
    """The first of the wanted runs, as many as can be shown, and what could not be read."""

    runs: list[ReadRun] = field(default_factory=list)
    notes: list[NotRead] = field(default_factory=list)
    characters: int = 0

    def add(
        self,
        wanted: WantedRun,
        outcome: TestRun | SigmaMindError,
        args: ReadTestRuns,
        alike: Collection[int],
    ) -> None:
        """Add what came of reading a run, without the turns that are `alike`."""
        run: TestRun | None
        if isinstance(outcome, SigmaMindError):
            run = wanted.listed
            self.notes.append(note_failed_read("transcript of test run", wanted.job_id or NO_ID))
        else:
            run = outcome
            if wanted.listed is None:
                self.notes += note_record("test run", outcome, wanted.job_id)

        differs = run is not None and not select_runs([run], args.verdict, args.test_case_id)
        if differs:
            run = None
        chosen = _select_turns(run, wanted.turns, args.side) if run else []
        turns = [turn for turn in chosen if turn.number not in alike]
        for turn in turns:
            self.characters += len(turn.turn.content)
        left_out = len(chosen) - len(turns)
        limit = None if args.names_runs else TURN_CHARACTERS
        self.runs.append(ReadRun(wanted, run, turns, differs, left_out, limit))


class _Shown(NamedTuple):
    """The runs for this answer, read from `start` on, and all that the arguments choose."""

    runs: list[ReadRun]
    start: RunsStart
    wanted: Sequence[WantedRun]

    def find_place(self, count: int, turn: int) -> RunsPlace:
        """Return the place behind the first `count` runs, or at a turn of the last of them."""
        shown = self.start.first + count
        marks = list(map(mark_run, self.wanted))
        return RunsPlace.behind(marks, shown, turn=turn)


async def _list_wanted_runs(
    args: ReadTestRuns, api: SigmaMindClient
) -> tuple[list[WantedRun], "PassedTurns | None", list[NotRead]]:
    """Return the runs to read; turns like those of passed runs are left out of a selection."""
    from sigmamind_mcp.insight.alike_turns import PassedTurns  # patterns take time to compile

    if args.names_runs:
        return _list_named_runs(args), None, []
    if not args.batch_id:
        raise InvalidArguments(_MISSING_BATCH)
    listing = await list_complete_runs(args.batch_id, args.agent_id, api)
    runs = select_runs(listing.items, args.verdict, args.test_case_id)
    wanted = []
    # By test case, so that no later answer has to repeat a definition that this one shows; by its
    # id, so that no run that comes or goes moves a test case to the other side of a cursor.
    for run in sorted(runs, key=_get_definition_id):
        wanted.append(WantedRun(args.batch_id, valid_id(run.job_id), [], run))
    passed = await anyio.to_thread.run_sync(PassedTurns, listing.items, abandon_on_cancel=True)
    return wanted, passed, note_listing("test run", listing, lambda run: run.job_id)


def _get_definition_id(run: TestRun) -> str:
    return (run.test_case.test_case_id or "") if run.test_case else ""


def _list_named_runs(args: ReadTestRuns) -> list[WantedRun]:
    """Return the runs that jobIds and turns name, each once."""
    turns: dict[tuple[str, str], list[int]] = {}
    for job_id in args.job_ids:
        turns[args.batch_id, job_id] = []
    for place in args.turns:
        batch_id = place.batch_id or args.batch_id
        asked = turns.setdefault((batch_id, place.job_id), [])
        if place.turn is not None:
            asked.append(place.turn)
    wanted = []
    for (batch_id, job_id), asked in turns.items():
        if not batch_id:
            raise InvalidArguments(_MISSING_BATCH)
        wanted.append(WantedRun(batch_id, job_id, asked))
    return wanted


async def _read_ahead(
    wanted: Sequence[WantedRun],
    passed: "PassedTurns | None",
    args: ReadTestRuns,
    api: SigmaMindClient,
) -> _RunsRead:
    """Read the first of the wanted runs, as many as an answer and READ_SECONDS allow."""
    reading = _RunsRead()
    with anyio.move_on_after(READ_SECONDS):
        while len(reading.runs) < len(wanted) and reading.characters < READ_CHARACTERS:
            start = len(reading.runs)
            chunk = wanted[start : start + MAX_CONCURRENT_CALLS]
            calls = [partial(_read_run, item, args.agent_id, api) for item in chunk]
            outcomes = await gather_errors(calls)
            _require_known_runs(chunk, outcomes)
            alike = await anyio.to_thread.run_sync(
                _find_alike, passed, outcomes, abandon_on_cancel=True
            )
            for item, outcome, its_alike in zip(chunk, outcomes, alike, strict=True):
                reading.add(item, outcome, args, its_alike)
            if not any(read.run for read in reading.runs):
                require_results(outcomes)
    if wanted and not reading.runs:
        raise ConnectionFailed(
            f"No test run was read within {READ_SECONDS:.0f} s. Ask for fewer.", sent=True
        )
    return reading


def _find_alike(
    passed: "PassedTurns | None", outcomes: Sequence[TestRun | SigmaMindError]
) -> list[set[int]]:
    """Return for each run the turns that a passed one has much alike; none without `passed`."""
    alike = []
    for outcome in outcomes:
        numbers: set[int] = set()
        if passed and isinstance(outcome, TestRun):
            numbers = passed.find_alike(outcome)
        alike.append(numbers)
    return alike


async def _read_run(wanted: WantedRun, agent_id: str, api: SigmaMindClient) -> TestRun:
    """Return the run with its conversation, which the API's list may lack."""
    listed = wanted.listed
    if listed and (listed.conversation is not None or not wanted.job_id):
        return listed
    run = await api.get_test_run(wanted.job_id or "", wanted.batch_id, agent_id)
    known_case = run.test_case or (listed.test_case if listed else None)
    return run.model_copy(update={"test_case": known_case})


def _require_known_runs(
    wanted: Sequence[WantedRun], outcomes: Sequence[TestRun | SigmaMindError]
) -> None:
    unknown = []
    for item, outcome in zip(wanted, outcomes, strict=True):
        if isinstance(outcome, NotFound) and item.listed is None:
            unknown.append(f"{item.job_id} in batch run {item.batch_id}")
    if unknown:
        raise InvalidArguments(
            f"The API answered 404 for {', '.join(unknown)}. list_test_runs shows the job ids of"
            " a batch run."
        )


def _select_turns(run: TestRun, asked: Sequence[int], side: Side | None) -> list[NumberedTurn]:
    """Return the turns around those asked for, all if none is; with `side`, only its turns."""
    turns = number_turns(run.conversation)
    if side:
        turns = [turn for turn in turns if turn.turn.side == side]
    if not asked:
        return turns
    return [turn for turn in turns if _is_near(turn.number, asked)]


def _is_near(number: int, turns: Sequence[int]) -> bool:
    """Return whether a turn is at most TURNS_AROUND before or after one of `turns`."""
    return any(abs(number - turn) <= TURNS_AROUND for turn in turns)


def _build_conversations(
    args: ReadTestRuns, shown: _Shown, count: int, turn_count: int | None = None
) -> ReadConversations:
    """Build the answer with the first `count` runs, or with some turns of the first run."""
    reads = shown.runs[:count]
    batch_id = _find_only_batch(reads, args.batch_id)
    cuts: list[Cut] = []
    answer = ReadConversations(
        agent_id=args.agent_id,
        batch_id=batch_id,
        first=shown.start.first + 1,
        last=shown.start.first + len(reads),
        total_count=len(shown.wanted),
        side=args.side,
        left_out=sum(read.left_out for read in reads) or None,
        test_cases=_show_definitions(reads, turn_count, batch_id, cuts),
        transcript_uri=make_transcript_pattern(args.agent_id, batch_id or "{batchId}"),
        hint=_explain_what_is_missing(shown, reads),
    )
    answer.cut = cuts
    rest = reads[0].turns[turn_count:] if turn_count is not None else []
    run_count = answer.total_count - answer.last
    if rest or run_count:
        place = shown.find_place(len(reads), rest[0].number if rest else 0)
        further = args.continue_at(**place._asdict())
        answer.next_calls = [NextCall(tool="read_test_runs", arguments=further)]
        answer.left_characters = _estimate_rest(reads, rest, run_count)
    return answer


def _find_only_batch(reads: Sequence[ReadRun], asked_id: str) -> str | None:
    """Return the batch run of all the runs, if it is one; without runs, the one asked for."""
    batch_ids = {read.wanted.batch_id for read in reads}
    if not batch_ids:
        return asked_id
    return batch_ids.pop() if len(batch_ids) == 1 else None


def _estimate_rest(reads: Sequence[ReadRun], rest: Sequence[NumberedTurn], run_count: int) -> int:
    """Estimate the characters of `rest`, and of further runs as long as those read on average."""
    read = sum(_count_characters(run.turns) for run in reads)
    average = read / max(1, len(reads))
    left = _count_characters(rest) + average * run_count
    return max(100, round(left / 100) * 100)


def _count_characters(turns: Sequence[NumberedTurn]) -> int:
    contents = sum(len(numbered.turn.content) for numbered in turns)
    return contents + HEAD_CHARACTERS * len(turns)


def _build_first_turns(args: ReadTestRuns, shown: _Shown, turn_count: int) -> ReadConversations:
    return _build_conversations(args, shown, 1, turn_count)


def _show_definitions(
    reads: Sequence[ReadRun], turn_count: int | None, batch_id: str | None, cuts: list[Cut]
) -> list[DefinitionShown]:
    """Return each distinct definition, with the runs that have it; of several, the criteria."""
    case_ids = {_get_definition_id(read.run) for read in reads if read.run}
    has_several = len(case_ids) > 1
    definitions: dict[str, DefinitionShown] = {}
    for read in reads:
        if read.run is None:
            continue
        definition = DefinitionShown.of(read.run.test_case or TestCase())
        if has_several:
            definition = definition.keep_criteria()
        same = definitions.setdefault(definition.model_dump_json(), definition)
        shown = ConversationShown.of(read, read.run, read.turns[:turn_count])
        if has_several and read.turn_characters and shown.verdict == "passed":
            shown.remarks = None
        if batch_id:
            shown.batch_id = None
        same.test_runs.append(shown)
    return _shorten_definitions(list(definitions.values()), cuts)


def _shorten_definitions(
    definitions: Sequence[DefinitionShown], cuts: list[Cut]
) -> list[DefinitionShown]:
    """Return them shortened, with all their runs, and add what was cut to `cuts`."""
    shortened = []
    for position, definition in enumerate(definitions):
        without_runs = definition.model_copy(update={"test_runs": []})
        short = without_runs.shorten(cuts, f"testCases[{position}]")
        short.test_runs = definition.test_runs
        shortened.append(short)
    return shortened


def _explain_what_is_missing(shown: _Shown, reads: Sequence[ReadRun]) -> str | None:
    hints = [shown.start.hint] if shown.start.hint else []
    differing = sum(read.differs for read in reads)
    if not shown.wanted:
        hints.append("No test run matches.")
    if differing:
        runs = pluralize(differing, "named test run")
        hints.append(f"Left out: {runs} with another verdict or test case.")
    return " ".join(hints) or None

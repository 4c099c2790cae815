"""Read the conversations of several test runs in one answer."""

from collections.abc import Sequence
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
from sigmamind_mcp.remembered_texts import forgetting_texts
from sigmamind_mcp.tools.answers import Cut, NextCall, fit_items
from sigmamind_mcp.tools.argument_forms import NotBool, list_of
from sigmamind_mcp.tools.arguments import Arguments, Continued, ForAgent, Id
from sigmamind_mcp.tools.conversations_answer import (
    READ_CHARACTERS,
    TURN_CHARACTERS,
    ConversationShown,
    DefinitionShown,
    ReadConversations,
    ReadRun,
    WantedRun,
    count_characters,
)
from sigmamind_mcp.tools.parts import JobIds, KeptSide
from sigmamind_mcp.tools.runs import (
    KeptTestCase,
    KeptVerdict,
    select_runs,
)
from sigmamind_mcp.tools.runs_place import RunsPlace, RunsStart, find_start, mark_run
from sigmamind_mcp.tools.transcripts import NumberedTurn, keep_side, number_turns
from sigmamind_mcp.tools.unread_notes import (
    NO_ID,
    NotRead,
    note_failed_read,
    note_listing,
    note_record,
)

if TYPE_CHECKING:
    from sigmamind_mcp.tools.exchange_choice import ExchangeChoice

MAX_UNKNOWN_NAMED = 5
TURNS_AROUND = 2
RUN_FORM_CHARACTERS = 80
TURN_FORM_CHARACTERS = 35
"""What the names of fields add to a run and a turn in structured content, at least."""
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

    By verdict and testCaseId what tells most, by jobIds whole, by turns two before and after each.
    For verdicts use list_test_runs, for causes diagnose_batch_run. Reads only.
    """
    place = RunsPlace(**args.position)
    chosen = await _list_wanted_runs(args, api)
    start = find_start(place, list(map(mark_run, chosen.wanted)))
    # A run that continues inside goes on in the form in which it began.
    total = place.total if start.turn else len(chosen.wanted)
    chooser = _TurnChooser(chosen, args, total)
    reading = await _read_ahead(chosen.wanted[start.first :], chooser, args, api)
    shown = _Shown(reading.runs, start, chosen.wanted, reading.exchanges, chosen.listed)
    if shown.runs:
        shown.runs[0] = shown.runs[0].skip_to(start.turn)

    notes = [*chosen.notes, *reading.notes]
    answer = await fit_items(len(shown.runs), partial(_build_conversations, args, shown), notes)
    if answer.fits():
        return answer
    # Even one run is too large, so it continues inside, by turn.
    build_part = partial(_build_first_turns, args, shown)
    return await fit_items(len(shown.runs[0].turns), build_part, notes)


class _ChosenRuns(NamedTuple):
    """The runs that the arguments choose, and what could not be read of their list.

    `listed` has all runs of the batch run; of runs that are named, there is no list.
    """

    wanted: list[WantedRun]
    listed: Sequence[TestRun] = ()
    notes: Sequence[NotRead] = ()


@dataclass
class _RunsRead:
    """The first of the wanted runs, as many as can be shown, and what could not be read."""

    runs: list[ReadRun] = field(default_factory=list)
    notes: list[NotRead] = field(default_factory=list)
    exchanges: int | None = None

    @property
    def characters(self) -> int:
        """How many characters the structured content of the runs has at least."""
        count = 0
        for read in self.runs:
            forms = RUN_FORM_CHARACTERS + TURN_FORM_CHARACTERS * len(read.turns)
            count += read.count_characters() + forms
        return count


class _Shown(NamedTuple):
    """The runs for this answer, read from `start` on, and all that the arguments choose.

    `exchanges` is how many of each run are shown, if not all; `listed` are those chosen from.
    """

    runs: list[ReadRun]
    start: RunsStart
    wanted: Sequence[WantedRun]
    exchanges: int | None = None
    listed: Sequence[TestRun] = ()

    def find_place(self, count: int, turn: int) -> RunsPlace:
        """Return the place behind the first `count` runs, or at a turn of the last of them."""
        shown = self.start.first + count
        marks = list(map(mark_run, self.wanted))
        return RunsPlace.behind(marks, shown, turn=turn)


async def _list_wanted_runs(args: ReadTestRuns, api: SigmaMindClient) -> _ChosenRuns:
    """Return the runs to read: those that are named, or a selection of a batch run."""
    if args.names_runs:
        return _ChosenRuns(_list_named_runs(args))
    if not args.batch_id:
        raise InvalidArguments(_MISSING_BATCH)
    listing = await list_complete_runs(args.batch_id, args.agent_id, api)
    runs = select_runs(listing.items, args.verdict, args.test_case_id)
    wanted = []
    # By test case, so that no later answer has to repeat a definition that this one shows; by its
    # id, so that no run that comes or goes moves a test case to the other side of a cursor.
    for run in sorted(runs, key=_get_definition_id):
        wanted.append(WantedRun(args.batch_id, valid_id(run.job_id), [], run))
    notes = note_listing("test run", listing, lambda run: run.job_id)
    return _ChosenRuns(wanted, listing.items, notes)


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
    chooser: "_TurnChooser",
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
            read, notes = _check_outcomes(chunk, outcomes, args)
            runs, exchanges = await anyio.to_thread.run_sync(
                chooser.choose, [*reading.runs, *read], abandon_on_cancel=True
            )
            reading = _RunsRead(runs, reading.notes + notes, exchanges)
            if not any(one.run or one.is_unknown or one.differs for one in runs):
                require_results(outcomes)
    if reading.runs and not args.cursor and all(one.is_unknown for one in reading.runs):
        raise InvalidArguments(_name_unknown_runs(reading.runs))
    if wanted and not reading.runs:
        raise ConnectionFailed(
            f"No test run was read within {READ_SECONDS:.0f} s. Ask for fewer.", sent=True
        )
    return reading


def _check_outcomes(
    wanted: Sequence[WantedRun],
    outcomes: Sequence[TestRun | SigmaMindError],
    args: ReadTestRuns,
) -> tuple[list[ReadRun], list[NotRead]]:
    """Return what came of reading each run, still without its turns, and what was not read."""
    read: list[ReadRun] = []
    notes: list[NotRead] = []
    for item, outcome in zip(wanted, outcomes, strict=True):
        run: TestRun | None
        if isinstance(outcome, SigmaMindError):
            run = item.listed
            if isinstance(outcome, NotFound) and item.listed is None:
                read.append(ReadRun(item, None, [], is_unknown=True))
                continue
            notes.append(note_failed_read("transcript of test run", item.job_id or NO_ID))
        else:
            run = outcome
            if item.listed is None:
                notes += note_record("test run", outcome, item.job_id)
        differs = run is not None and not select_runs([run], args.verdict, args.test_case_id)
        limit = None if args.names_runs else TURN_CHARACTERS
        read.append(ReadRun(item, None if differs else run, [], differs, limit))
    return read, notes


class _TurnChooser:
    """Chooses the turns to show: of a selection the exchanges that tell most."""

    def __init__(self, chosen: _ChosenRuns, args: ReadTestRuns, total: int) -> None:
        """Choose as of a selection of `total` runs."""
        self._chosen = chosen
        self._total = total
        self._args = args
        self._choice: ExchangeChoice | None = None
        self._known_count = 0

    @forgetting_texts()
    def choose(self, read: Sequence[ReadRun]) -> tuple[list[ReadRun], int | None]:
        """Return the runs with their turns, and how many exchanges of each, if not all.

        Runs that the API's list has no conversations of count as far as they are read.
        """
        if self._args.names_runs:
            return [self._select_named(one) for one in read], None
        fresh = [one.run for one in read if one.run and one.run is not one.wanted.listed]
        if self._choice is None or len(fresh) > self._known_count:
            self._known_count = len(fresh)
            self._choice = self._rank(fresh)
        runs = []
        for one in read:
            turns = self._choice.choose_turns(one.run) if one.run else []
            runs.append(one._replace(turns=turns))
        return runs, self._choice.count

    def _rank(self, fresh: Sequence[TestRun]) -> "ExchangeChoice":
        from sigmamind_mcp.tools.exchange_choice import (  # patterns take time to compile
            ExchangeChoice,
        )

        wanted = self._chosen.wanted
        listed = [
            one.listed for one in wanted if one.listed and one.listed.conversation is not None
        ]
        return ExchangeChoice(
            [*self._chosen.listed, *fresh],
            [*listed, *fresh],
            total=self._total,
            side=self._args.side,
        )

    def _select_named(self, read: ReadRun) -> ReadRun:
        if read.run is None:
            return read
        return read._replace(turns=_select_turns(read.run, read.wanted.turns, self._args.side))


async def _read_run(wanted: WantedRun, agent_id: str, api: SigmaMindClient) -> TestRun:
    """Return the run with its conversation, which the API's list may lack."""
    listed = wanted.listed
    if listed and (listed.conversation is not None or not wanted.job_id):
        return listed
    run = await api.get_test_run(wanted.job_id or "", wanted.batch_id, agent_id)
    known_case = run.test_case or (listed.test_case if listed else None)
    return run.model_copy(update={"test_case": known_case})


def _name_unknown_runs(runs: Sequence[ReadRun]) -> str:
    """Name the runs that the API does not have."""
    named = []
    for one in runs:
        if one.is_unknown:
            named.append(f"{one.wanted.job_id} in batch run {one.wanted.batch_id}")
    more = len(named) - MAX_UNKNOWN_NAMED
    names = ", ".join(named[:MAX_UNKNOWN_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"The API answered 404 for {names}. list_test_runs shows the job ids of a batch run."


def _select_turns(run: TestRun, asked: Sequence[int], side: Side | None) -> list[NumberedTurn]:
    """Return the turns around those asked for, all if none is; with `side`, only its turns."""
    turns = keep_side(number_turns(run.conversation), side)
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
        exchanges=shown.exchanges,
        test_cases=_show_definitions(
            reads, turn_count, batch_id, cuts, is_part=bool(args.side or args.turns)
        ),
        hint=_explain_what_is_missing(shown, reads, args.test_case_id),
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
    average = sum(read.count_characters() for read in reads) / max(1, len(reads))
    limit = reads[0].turn_characters if reads else None
    left = count_characters(rest, limit) + average * run_count
    return max(100, round(left / 100) * 100)


def _build_first_turns(args: ReadTestRuns, shown: _Shown, turn_count: int) -> ReadConversations:
    return _build_conversations(args, shown, 1, turn_count)


def _show_definitions(
    reads: Sequence[ReadRun],
    turn_count: int | None,
    batch_id: str | None,
    cuts: list[Cut],
    *,
    is_part: bool,
) -> list[DefinitionShown]:
    """Return each distinct definition, with the runs that have it.

    Of several test cases, and with a part of the turns, only the criteria.
    """
    case_ids = {_get_definition_id(read.run) for read in reads if read.run}
    has_several = len(case_ids) > 1
    definitions: dict[str, DefinitionShown] = {}
    for read in reads:
        if read.run is None:
            continue
        definition = DefinitionShown.of(read.run.test_case or TestCase())
        if has_several or is_part:
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


def _explain_what_is_missing(
    shown: _Shown, reads: Sequence[ReadRun], test_case_id: str
) -> str | None:
    hints = [shown.start.hint] if shown.start.hint else []
    differing = sum(read.differs for read in reads)
    if not shown.wanted:
        undecided = len(select_runs(shown.listed, "undecided", test_case_id))
        hints.append(f"No test run matches{f'; undecided: {undecided}' if undecided else ''}.")
    if differing:
        runs = pluralize(differing, "named test run")
        hints.append(f"Left out: {runs} with another verdict or test case.")
    if any(read.is_unknown for read in reads):
        hints.append(_name_unknown_runs(reads))
    return " ".join(hints) or None

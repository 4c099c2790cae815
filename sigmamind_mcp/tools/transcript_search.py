"""Read batch runs and search their transcripts, within limits on time, requests and CPU."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NamedTuple

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.conversations import Side, Turn
from sigmamind_mcp.api.listings import Listing, count_by_counters
from sigmamind_mcp.api.models import BatchRun, TestCase, TestRun, Verdict
from sigmamind_mcp.api.records import MAX_SAID_CHARACTERS
from sigmamind_mcp.api.run_parts import RunState, identify_state
from sigmamind_mcp.api.run_reading import VERDICT_FIELDS
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.heavy_work import WorkClock
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.left_out import write_own_dots
from sigmamind_mcp.insight.text_search import Query, Term, quote_match
from sigmamind_mcp.tools.answers import one_line
from sigmamind_mcp.tools.batch_run_walk import ReadProblem, walk_batch_runs
from sigmamind_mcp.tools.call_context import ProgressReport, RunHeavy
from sigmamind_mcp.tools.parts import truncate_line
from sigmamind_mcp.tools.transcripts import NumberedTurn, number_turns
from sigmamind_mcp.tools.unread_notes import (
    NotRead,
    note_failed_read,
    note_listing,
    note_record,
)

MATCHING_SECONDS = 2.0
MAX_READ_SINGLY = 300
MAX_COMPARED_CHARACTERS = 4_000_000
"""As much of what was said is kept until the end, to look for other wordings."""
SHORT_TURN_CHARACTERS = 40
PREVIOUS_CHARACTERS = 70


class SearchFilters(NamedTuple):
    """Which test runs to search, and which side of their conversations; None or "" for all."""

    agent_id: str
    test_case_id: str = ""
    verdict: Verdict | None = None
    side: Side | None = None


class FoundTurn(NamedTuple):
    """A turn that matches, its alternatives, their terms, the turn before, and what is not read.

    `side` is that of the text that has them: tool for calls and results, whoever made them.
    """

    number: int
    side: Side
    content: str
    alternatives: Sequence[int]
    terms: Sequence[Term]
    previous: Turn | None = None
    excluded: Sequence[Term] = ()

    @property
    def sentence(self) -> str:
        # Most of the turns that match are never shown, and quoting is slow.
        return one_line(quote_match(self.content, self.terms, self.excluded))

    @property
    def previous_turn(self) -> str | None:
        """What the turn before says, if this one is too short to be understood alone."""
        if self.previous is None or len(self.content) > SHORT_TURN_CHARACTERS:
            return None
        text = truncate_line(write_own_dots(self.previous.summarize()), PREVIOUS_CHARACTERS)
        return f"{self.previous.side}: {text}"


class SearchedAttempt(NamedTuple):
    """A test run; `found` is None if its conversation could not be searched.

    `is_known` is False if no answer of the API shows more of it than its place in a list. `words`
    are those of the query that a turn has, also without a match. `said` has the number and the
    text of the turns, without those of tools.
    """

    job_id: str | None
    verdict: Verdict
    is_known: bool = False
    case_id: str | None = None
    label: str | None = None
    found: Sequence[FoundTurn] | None = None
    words: frozenset[str] = frozenset()
    said: Sequence[tuple[int, str]] = ()

    def list_alternatives(self) -> set[int]:
        """Return the numbers of the alternatives that its turns have."""
        numbers: set[int] = set()
        for turn in self.found or ():
            numbers.update(turn.alternatives)
        return numbers


class SearchedBatchRun(NamedTuple):
    """A batch run with those of its attempts that the filters leave.

    `unlisted_count` counts attempts that the API has and its list does not show readably.
    """

    batch_id: str
    created: datetime | None
    attempts: Sequence[SearchedAttempt] = ()
    problem: ReadProblem | None = None
    notes: Sequence[NotRead] = ()
    unlisted_count: int = 0

    @property
    def is_unread(self) -> bool:
        return self.problem == "not read in time"

    @property
    def has_match(self) -> bool:
        return any(attempt.found for attempt in self.attempts)

    @property
    def unsearched_count(self) -> int:
        unsearched = sum(attempt.found is None for attempt in self.attempts)
        return self.unlisted_count + unsearched

    @property
    def is_incomplete(self) -> bool:
        return bool(self.problem or self.unsearched_count)

    @property
    def is_searched(self) -> bool:
        """Whether at least a part of it was searched, or all of nothing."""
        has_searched = any(attempt.found is not None for attempt in self.attempts)
        return has_searched or not self.is_incomplete


@dataclass
class TranscriptSearch:
    """One search over many batch runs, and what is left of its limits.

    `long_turns` counts the turns of which only the first MAX_SAID_CHARACTERS were read,
    `said_characters` what the attempts said.
    """

    query: Query
    filters: SearchFilters
    api: SigmaMindClient
    run_heavy: RunHeavy
    clock: WorkClock = field(default_factory=lambda: WorkClock(MATCHING_SECONDS))
    reads_left: int = MAX_READ_SINGLY
    sides: set[Side] = field(default_factory=set)
    long_turns: int = 0
    said_characters: int = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether matching has used its share of the CPU."""
        return self.clock.used >= self.clock.seconds

    @property
    def has_all_said(self) -> bool:
        """Whether the attempts still have all that was said in them."""
        return self.said_characters <= MAX_COMPARED_CHARACTERS

    async def search_batch_runs(
        self, batch_runs: Sequence[BatchRun], report: ProgressReport, *, deadline: float
    ) -> list[SearchedBatchRun]:
        """Search these batch runs, as many as the deadline allows.

        Raises:
            SigmaMindError: the API gave no usable answer for any of them; this is the first error.
        """
        with self.clock.abandon_at_end():
            outcomes = await walk_batch_runs(
                batch_runs, self._search_batch_run, report, deadline=deadline, done="searched"
            )
        return list(map(_conclude, batch_runs, outcomes))

    async def _search_batch_run(self, batch_run: BatchRun) -> SearchedBatchRun | None:
        if self.is_exhausted:
            return None
        return await _BatchRunSearch(self, batch_run).run()

    def search_turns(self, run: TestRun, attempt: SearchedAttempt) -> SearchedAttempt:
        """Return the attempt with what its turns have, if the conversation can be searched."""
        if run.conversation is None or self.clock.is_spent:
            return attempt
        found: list[FoundTurn] = []
        words: set[str] = set()
        previous = None
        with self.clock.count():
            for numbered in number_turns(run.conversation):
                match = self._search_turn(numbered, previous, words)
                if match:
                    found.append(match)
                previous = numbered.turn
        attempt = attempt._replace(found=found, words=frozenset(words))
        return attempt._replace(said=self._keep_said(run.conversation))

    def _keep_said(self, conversation: Sequence[Turn]) -> list[tuple[int, str]]:
        """Return what was said on the side that is searched, while there is room for it."""
        said = []
        for number, turn in number_turns(conversation):
            if turn.content and turn.side != "tool" and self.filters.side in (None, turn.side):
                said.append((number, turn.content))
                self.said_characters += len(turn.content)
        return said if self.has_all_said else []

    def _search_turn(
        self, numbered: NumberedTurn, previous: Turn | None, words: set[str]
    ) -> FoundTurn | None:
        """Return the first text of a turn that matches; add its words of the query to `words`."""
        number, turn = numbered
        self.sides.add(turn.side)
        longest = max(map(len, (turn.content, *turn.tool_calls)))
        self.long_turns += longest >= MAX_SAID_CHARACTERS
        if turn.tool_calls:
            self.sides.add("tool")
        for side, text in _list_texts(turn, self.filters.side):
            match = self.query.match(text)
            words.update(match.words)
            if match.alternatives:
                terms: list[Term] = []
                for place in match.alternatives:
                    terms += self.query.alternatives[place]
                return FoundTurn(
                    number, side, text, match.alternatives, terms, previous, self.query.excluded
                )
        return None


@dataclass
class _BatchRunSearch:
    """The search of one batch run.

    `listed` has the searched test runs by their state, since a list may have one run in two
    states; `read` has those that were read singly, by job id.
    """

    search: TranscriptSearch
    batch_run: BatchRun
    listed: dict[RunState, SearchedAttempt] = field(default_factory=dict)
    read: dict[str, SearchedAttempt] = field(default_factory=dict)
    notes: list[NotRead] = field(default_factory=list)

    @property
    def batch_id(self) -> str:
        return self.batch_run.batch_id or ""

    async def run(self) -> SearchedBatchRun:
        agent_id = self.search.filters.agent_id
        listing = await self.search.api.list_test_runs(
            self.batch_id, agent_id, keep=self._search_listed
        )
        listing = count_by_counters(listing, self.batch_run)
        self.notes += note_listing(
            "test run", listing, lambda run: run.job_id, batch_id=self.batch_id
        )
        reads = []
        for run in listing.items:
            if not self._is_concluded(run):
                reads.append(partial(self._read_singly, run))
        await gather_errors(reads)
        attempts = map(self._find_attempt, listing.items)
        return SearchedBatchRun(
            self.batch_id,
            self.batch_run.created_date,
            list(filter(self._is_wanted, attempts)),
            notes=self.notes,
            unlisted_count=count_unlisted(self.batch_run, listing),
        )

    def _search_listed(self, run: TestRun) -> TestRun:
        """Search a listed run that shows its verdict; return it without its conversation."""
        if not VERDICT_FIELDS.isdisjoint(run.raw):
            attempt = self._search_run(run)
            state = identify_state(run)
            known = self.listed.get(state)
            if attempt and (known is None or known.found is None):
                self.listed[state] = attempt
        return run.without("conversation", "test_case")

    def _search_run(self, run: TestRun) -> SearchedAttempt | None:
        job_id = valid_id(run.job_id)
        if job_id is None:
            return None
        case = run.test_case or self._find_only_case()
        case_id = valid_id(case.test_case_id)
        attempt = SearchedAttempt(job_id, run.verdict, is_known=True, case_id=case_id)
        is_case_unknown = not case_id and self.search.filters.test_case_id
        if is_case_unknown or not self._is_wanted(attempt):
            return attempt
        return self.search.search_turns(run, attempt._replace(label=case.label))

    def _is_concluded(self, run: TestRun) -> bool:
        """Return whether the list shows all that the search needs of this run."""
        # A run that is listed with two verdicts is left with its job id alone.
        if VERDICT_FIELDS.isdisjoint(run.raw):
            return False
        attempt = self._find_attempt(run)
        return attempt.found is not None or not self._is_wanted(attempt)

    async def _read_singly(self, listed: TestRun) -> None:
        job_id = valid_id(listed.job_id)
        search = self.search
        if job_id is None or search.reads_left <= 0 or search.is_exhausted:
            return
        search.reads_left -= 1
        try:
            run = await search.api.get_test_run(job_id, self.batch_id, search.filters.agent_id)
        except SigmaMindError:
            self.notes.append(note_failed_read("test run", job_id))
            return
        self.notes += note_record("test run", run, job_id, batch_id=self.batch_id)
        whole = run.model_copy(update={"job_id": job_id})
        attempt = await search.run_heavy(search.clock, partial(self._search_run, whole))
        if attempt:
            self.read[job_id] = attempt

    def _find_attempt(self, run: TestRun) -> SearchedAttempt:
        unknown = SearchedAttempt(valid_id(run.job_id), run.verdict)
        known = self.listed.get(identify_state(run), unknown)
        return self.read.get(run.job_id or "", known)

    def _is_wanted(self, attempt: SearchedAttempt) -> bool:
        """Return whether the filters leave this attempt, as far as it is known."""
        filters = self.search.filters
        if not attempt.is_known:
            return True
        if filters.test_case_id and attempt.case_id not in (None, filters.test_case_id):
            return False
        return filters.verdict in (None, attempt.verdict)

    def _find_only_case(self) -> TestCase:
        cases = self.batch_run.test_cases
        return cases[0] if len(cases) == 1 else TestCase()


def count_unlisted(batch_run: BatchRun, listing: Listing[TestRun]) -> int:
    """Return how many attempts of a batch run are not among the items of its list, at least."""
    shown = len(listing.items)
    foreign = listing.foreign
    if batch_run.expected_attempts is not None:
        # An API that ignores the batch id lists the test runs of all batch runs.
        foreign = min(foreign, max(0, batch_run.expected_attempts - shown))
    return listing.unread_count + foreign


def _list_texts(turn: Turn, side: Side | None) -> list[tuple[Side, str]]:
    """Return the texts of a turn that a search on this side looks at, each with its own side.

    Calls and results are of the tool's side, whoever made them. What stands for media and for
    reasoning is of no side.
    """
    tool_lines = " ".join(f"[tool {line}]" for line in turn.tool_calls)
    texts: list[tuple[Side, str]] = [(turn.side, turn.content), ("tool", tool_lines)]
    if turn.side == "tool":
        texts = [("tool", turn.summarize())]
    elif side is None and turn.summarize() != turn.content:
        # All words must be in one turn, but may be in different parts of it.
        texts.append(("other", turn.summarize()))
    wanted = []
    for own, text in texts:
        has_text = text or own == turn.side
        if has_text and side in (None, own):
            wanted.append((own, text))
    return wanted


def _conclude(batch_run: BatchRun, outcome: SearchedBatchRun | ReadProblem) -> SearchedBatchRun:
    if isinstance(outcome, SearchedBatchRun):
        return outcome
    return SearchedBatchRun(batch_run.batch_id or "", batch_run.created_date, problem=outcome)

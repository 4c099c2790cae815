"""Search the transcripts of an agent over its batch runs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Annotated, Literal, NamedTuple, TypedDict

import anyio
import anyio.to_thread
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import Verdict
from sigmamind_mcp.api.records import MAX_SAID_CHARACTERS
from sigmamind_mcp.insight.text_search import parse_search
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import (
    CallArguments,
    NextCall,
    explain_past_end,
    fit_items,
    format_day,
    group_by,
)
from sigmamind_mcp.tools.argument_forms import NotBool, list_of
from sigmamind_mcp.tools.arguments import Continued, ForAgent, Id
from sigmamind_mcp.tools.call_context import CallContext
from sigmamind_mcp.tools.parts import KeptSide, truncate_line
from sigmamind_mcp.tools.runs import KeptVerdict
from sigmamind_mcp.tools.search_answer import (
    AlternativeCount,
    FoundTestRuns,
    MatchCount,
    MatchingCase,
    OtherWording,
    SearchedRow,
)
from sigmamind_mcp.tools.search_hits import (
    SearchMatch,
    count_first_hits,
    iterate_matches,
    rank_matches,
    show_hit,
    show_place,
)
from sigmamind_mcp.tools.search_scope import SearchScope, find_scope
from sigmamind_mcp.tools.search_wordings import OtherWordings, compare_wordings
from sigmamind_mcp.tools.transcript_search import (
    SearchedAttempt,
    SearchedBatchRun,
    SearchFilters,
    TranscriptSearch,
)

SEARCH_SECONDS = 40.0
MAX_BATCH_RUNS = 50
CASES_SHOWN = 3
CASE_CHARACTERS = 40
MAX_ITEMS = 120
FIRST_HITS = 16
"""The first answer counts all, so it shows examples; those that continue it are full."""
MOST_NOT_QUOTED = 40
"""As many job ids without a hit as the first answer lists."""
MAX_RUNS_IN_DETAIL = 12
"""With more batch runs, alternatives have their totals alone, and no other job ids are listed."""
MAX_TEXTS_IN_DETAIL = 20
"""More alternatives leave no room for the hits if each has its counts by batch run."""
WORDINGS_BESIDE_MANY_RUNS = 2
MAX_LEFT_OVER = 20
"""As many ids as leave room for the rest of the answer."""
VERDICTS: tuple[Literal["failed", "passed", "undecided"], ...] = ("failed", "passed", "undecided")


class SearchTestRuns(Continued, ForAgent):
    position_names = ("shown", "runs")

    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=600,
            description='Words (of one turn), "phrases", a | b, not -"x".',
        ),
    ]
    batch_ids: Annotated[
        list[Id],
        Field(max_length=MAX_BATCH_RUNS, description="Not the newest."),
        list_of("batch run ids"),
    ] = []
    batch_runs: Annotated[
        int, Field(ge=1, le=MAX_BATCH_RUNS, description="How many of the newest."), NotBool
    ] = 10
    test_case_id: Annotated[Id, Field(description="Keep this one.")] = ""
    verdict: KeptVerdict = None
    side: KeptSide = None


class _Shares(TypedDict, total=False):
    """The fields of VerdictShares."""

    failed: str
    passed: str
    undecided: str
    not_searched: int | None


class _SearchPosition(NamedTuple):
    """Where a continued search begins.

    `shown` counts the rows and hits of earlier answers, `total` the batch runs at that time.
    """

    shown: int
    total: int


@dataclass(frozen=True)
class _Result:
    """Everything that an answer is built from.

    `first` is the first turn in the oldest batch run that has a match, `matches` are those that
    this answer may show, `first_count` of them if it is the first answer.
    """

    args: SearchTestRuns
    scope: SearchScope
    position: _SearchPosition
    search: TranscriptSearch
    searched: Sequence[SearchedBatchRun]
    attempts: Sequence[SearchedAttempt]
    match_count: int
    first: SearchMatch | None
    matches: Sequence[SearchMatch]
    first_count: int
    other_wordings: OtherWordings

    @property
    def item_count(self) -> int:
        """How many rows and hits there are for this answer."""
        left = len(self.searched) + self.match_count - self.position.shown
        most = MAX_ITEMS if self.args.cursor else len(self.searched) + self.first_count
        return max(0, min(left, most))

    @property
    def unread(self) -> list[SearchedBatchRun]:
        return [run for run in self.searched if run.is_unread]

    @property
    def left_over_ids(self) -> list[str]:
        """The batch runs that another call can search further."""
        ids = []
        for run in self.searched:
            if run.is_unread or (self.search.is_exhausted and run.is_incomplete):
                ids.append(run.batch_id)
        return ids

    @property
    def older_count(self) -> int:
        """How many batch runs are older than the searched ones, as far as the API says."""
        return max(0, (self.scope.total or 0) - len(self.searched))

    @property
    def first_number(self) -> int:
        return self.first.rank[-1] if self.first else len(self.searched)

    @property
    def has_gap(self) -> bool:
        """Whether something up to the first match was not searched."""
        # Nobody knows how old a batch run is whose entry cannot be read.
        for note in self.scope.notes:
            if note.field is None and note.reason != "left out":
                return True
        up_to_first = self.searched[: self.first_number + 1]
        return any(run.is_incomplete for run in up_to_first)

    @property
    def may_begin_earlier(self) -> bool:
        """Whether a batch run up to the first match was not searched, at least in part."""
        # Older batch runs matter unless an older one than the first match was searched in vain.
        is_at_end = self.first_number in (0, len(self.searched))
        return self.has_gap or (self.older_count > 0 and is_at_end)


async def search_test_runs(
    args: SearchTestRuns, api: SigmaMindClient, context: CallContext
) -> FoundTestRuns:
    """Search what was said in test runs: since which batch run, in how many attempts.

    Counts matching attempts by batch run and verdict, oldest first, then shows turns. Words of 4+
    letters match as prefixes; give all wordings as alternatives. Remarks are not searched. For
    turns around a hit use read_test_runs. Reads only.
    """
    query = parse_search(args.text)
    position = _SearchPosition(args.position["shown"], args.position["runs"])
    deadline = anyio.current_time() + SEARCH_SECONDS
    scope = await find_scope(
        args.batch_ids,
        args.agent_id,
        api,
        count=args.batch_runs,
        seconds=SEARCH_SECONDS,
        known_total=position.total,
    )
    filters = SearchFilters(args.agent_id, args.test_case_id, args.verdict, args.side)
    search = TranscriptSearch(query, filters, api, context.run_heavy)
    searched = await search.search_batch_runs(
        scope.batch_runs, context.report_progress, deadline=deadline
    )
    wordings = OtherWordings() if args.cursor else await compare_wordings(search, searched)
    collect = partial(_collect_result, args, scope, position, search, searched, wordings)
    result = await anyio.to_thread.run_sync(collect, abandon_on_cancel=True)
    notes = list(scope.notes)
    for run in searched:
        notes += run.notes
    return await fit_items(result.item_count, partial(_build_found, result), notes)


def _collect_result(
    args: SearchTestRuns,
    scope: SearchScope,
    position: _SearchPosition,
    search: TranscriptSearch,
    searched: Sequence[SearchedBatchRun],
    wordings: OtherWordings,
) -> _Result:
    attempts = list(chain.from_iterable(run.attempts for run in searched))
    start = max(0, position.shown - len(searched))
    ranked = rank_matches(iterate_matches(searched), start + MAX_ITEMS)
    return _Result(
        args=args,
        scope=scope,
        position=position,
        search=search,
        searched=searched,
        attempts=attempts,
        match_count=sum(len(attempt.found or ()) for attempt in attempts),
        first=next(iterate_matches(searched), None),
        matches=ranked[start:],
        first_count=count_first_hits(ranked[start:], FIRST_HITS),
        other_wordings=wordings,
    )


def _build_found(result: _Result, count: int) -> FoundTestRuns:
    """Build the answer with the next `count` rows and hits."""
    args = result.args
    searched = result.searched
    start = result.position.shown
    end = start + count
    rows = searched[start:end]
    matches = result.matches[: count - len(rows)]
    by_run = sorted(matches, key=lambda match: match.rank[::-1])
    unsearched = sum(run.unsearched_count for run in searched)
    # With one test case, the totals are its counts.
    cases = [] if args.cursor or args.test_case_id else _count_by_case(result.attempts)
    answer = FoundTestRuns(
        agent_id=args.agent_id,
        alternatives=None if args.cursor else _count_alternatives(result),
        searched_batch_runs=sum(run.is_searched for run in searched),
        total_batch_runs=result.scope.total,
        matching_batch_runs=sum(run.has_match for run in searched),
        first_match=show_place(result.first) if result.first else None,
        batch_runs=list(map(_show_row, rows)),
        test_cases=cases[:CASES_SHOWN],
        more_test_cases=len(cases[CASES_SHOWN:]) or None,
        hit_count=result.match_count,
        hits=list(map(show_hit, by_run)),
        other_wordings=_limit_wordings(result),
        hint=_write_search_hint(result),
        **_count_shares(result.attempts, unsearched),
    )
    if not args.cursor and len(searched) <= MAX_RUNS_IN_DETAIL:
        _list_not_quoted(answer, searched)
    answer.next_calls = list(_list_next_calls(result, end))
    return answer


def _limit_wordings(result: _Result) -> list[OtherWording] | None:
    """Return the other wordings; two of them where many batch runs need the room."""
    rows = result.other_wordings.rows
    if rows is None or len(result.searched) <= MAX_RUNS_IN_DETAIL:
        return rows
    return rows[:WORDINGS_BESIDE_MANY_RUNS]


def _list_not_quoted(answer: FoundTestRuns, searched: Sequence[SearchedBatchRun]) -> None:
    """Add to the rows the job ids of matching attempts without a hit, as many as have room."""
    quoted = {(hit.batch_id, hit.job_id) for hit in answer.hits}
    room = MOST_NOT_QUOTED
    for row, run in zip(answer.batch_runs, searched, strict=False):
        left = []
        for attempt in run.attempts:
            if attempt.found and attempt.job_id and (run.batch_id, attempt.job_id) not in quoted:
                left.append(attempt)
        ids: dict[Verdict, list[str]] = {}
        for attempt in left[:room]:
            ids.setdefault(attempt.verdict, []).append(attempt.job_id or "")
        row.not_quoted = ids or None
        row.not_listed = len(left[room:]) or None
        room -= len(left[:room])


def _count_alternatives(result: _Result) -> list[AlternativeCount] | None:
    """Count the attempts with each alternative; of one that none has, those with its words."""
    query = result.search.query
    by_run = list(map(_count_in_run, result.searched))
    counts = Counter[int]()
    words = Counter[str]()
    for in_run in by_run:
        counts.update(in_run)
    for attempt in result.attempts:
        words.update(attempt.words)
    if len(query.texts) == 1 and counts[0]:
        return None
    is_short = len(query.texts) <= MAX_TEXTS_IN_DETAIL
    shows_runs = is_short and 1 < len(by_run) <= MAX_RUNS_IN_DETAIL
    rows = []
    for number, text in enumerate(query.texts):
        row = AlternativeCount(text=text, attempts=counts[number])
        if counts[number] and shows_runs:
            cells = zip(result.searched, by_run, strict=True)
            shown = [str(in_run[number]) if run.is_searched else "?" for run, in_run in cells]
            row.by_batch_run = " ".join(shown)
        its_words = [word for word in text.replace('"', " ").split() if word in query.words]
        if not counts[number] and its_words:
            row.words = {word: words[word] for word in its_words}
        rows.append(row)
    return rows


def _count_in_run(run: SearchedBatchRun) -> Counter[int]:
    """Count the attempts of a batch run by the alternatives that they have."""
    counts = Counter[int]()
    for attempt in run.attempts:
        counts.update(attempt.list_alternatives())
    return counts


def _show_row(run: SearchedBatchRun) -> SearchedRow:
    return SearchedRow(
        batch_id=run.batch_id,
        date=format_day(run.created),
        problem=run.problem,
        **_count_shares(run.attempts, run.unsearched_count),
    )


def _count_shares(attempts: Sequence[SearchedAttempt], unsearched: int) -> _Shares:
    """Count matching and searched attempts by verdict; those not searched are in neither."""
    shares: _Shares = {}
    for verdict in VERDICTS:
        searched = [attempt for attempt in attempts if attempt.verdict == verdict]
        share = _count_matching(searched)
        if share.searched:
            shares[verdict] = str(share)
    return {**shares, "not_searched": unsearched or None}


def _count_matching(attempts: Iterable[SearchedAttempt]) -> MatchCount:
    matching = 0
    searched = 0
    for attempt in attempts:
        if attempt.found is not None:
            searched += 1
            matching += bool(attempt.found)
    return MatchCount(matching, searched)


def _count_by_case(attempts: Sequence[SearchedAttempt]) -> list[MatchingCase]:
    """Count the attempts of the test cases with a match, those with the most first."""
    by_case = group_by(attempts, lambda attempt: attempt.case_id)
    counts = {case_id: _count_matching(group) for case_id, group in by_case.items()}
    ordered = sorted(counts, key=lambda case_id: -counts[case_id].matching)
    cases = []
    for case_id in ordered:
        if not counts[case_id].matching:
            break
        case = MatchingCase(test_case_id=case_id, matching=str(counts[case_id]))
        label = by_case[case_id][-1].label
        if label:
            case.label = truncate_line(label, CASE_CHARACTERS)
        cases.append(case)
    return cases


def _write_search_hint(result: _Result) -> str | None:
    item_count = len(result.searched) + result.match_count
    past_end = explain_past_end(result.position.shown, item_count, "result")
    hints = [past_end] if past_end else []
    if result.first is None:
        hints.append("No searched turn matches. All words must be in one turn; a | b finds either.")
    if result.other_wordings.is_cut:
        hints.append(
            "Other wordings were not looked for; a search of fewer batch runs may show them."
        )
    missing = _list_missing_sides(result)
    if missing:
        hints.append(f"The searched conversations have no {' and no '.join(missing)} turns.")
    if result.unread:
        unread = pluralize(len(result.unread), "batch run")
        hints.append(f"{unread} could not be read in time, and count nowhere.")
    if result.search.is_exhausted:
        hints.append("The search reached its limit on CPU time; the next call searches the rest.")
    if result.search.long_turns:
        turns = pluralize(result.search.long_turns, "turn")
        hints.append(
            f"Of {turns}, only the first {MAX_SAID_CHARACTERS:,} characters were searched."
        )
    if result.may_begin_earlier:
        hints.append(_explain_earlier(result))
    return " ".join(hints) or None


def _list_missing_sides(result: _Result) -> list[str]:
    """Return the side asked for, and the tools' side, as far as no conversation has them."""
    sides = result.search.sides
    asked = result.args.side
    missing: list[str] = []
    if asked and result.attempts and asked not in sides:
        missing.append(asked)
    if asked != "tool" and sides and "tool" not in sides and not result.args.cursor:
        missing.append("tool")
    return missing


def _explain_earlier(result: _Result) -> str:
    unsearched = []
    if result.has_gap:
        unsearched.append("not all of the batch runs up to the first match could be searched")
    if result.older_count:
        unsearched.append(f"{pluralize(result.older_count, 'older batch run')} not searched")
    return f"It may begin earlier: {'; '.join(unsearched)}."


def _list_next_calls(result: _Result, end: int) -> Iterator[NextCall]:
    """Yield the calls that read the rest."""
    args = result.args
    here: CallArguments = args.repeat()
    has_rest = end < len(result.searched) + result.match_count
    if has_rest:
        further = args.continue_at(shown=end, runs=result.scope.total or 0)
        yield NextCall(tool="search_test_runs", arguments=further)
    if result.left_over_ids:
        left_over: CallArguments = {**here, "batchIds": result.left_over_ids[:MAX_LEFT_OVER]}
        yield NextCall(tool="search_test_runs", arguments=left_over)
    if result.older_count and result.may_begin_earlier and args.batch_runs < MAX_BATCH_RUNS:
        wider: CallArguments = {**here, "batchRuns": MAX_BATCH_RUNS}
        yield NextCall(tool="search_test_runs", arguments=wider)

"""The API's lists, in any form that its documentation shows, and what was left out of them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, Self, TypeVar

from sigmamind_mcp.api.asked_ids import AskedIDs, RecordT, find_foreign_id
from sigmamind_mcp.api.models import AgentRef, BatchRun, TestCase, TestRun
from sigmamind_mcp.api.page_signals import PagedList
from sigmamind_mcp.api.records import Record
from sigmamind_mcp.api.refusals import refuse_message
from sigmamind_mcp.errors import UnexpectedAnswer
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.strict_json import JSONObject

# Undocumented fields of a batch run, or of its test cases, that may hold test runs.
RUN_FIELDS = ("testRuns", "jobs", "jobIds", "runs", "results")

StopCause = Literal[
    "bytes",
    "entries",
    "pages",
    "seconds",
    "empty page",
    "repeated page",
    "failed page",
    "unknown paging",
]


_ID_FIELDS: dict[type[Record], str] = {
    AgentRef: "agentId",
    BatchRun: "batchId",
    TestCase: "testCaseId",
    TestRun: "jobId",
}


class UnreadableEntry(NamedTuple):
    """A list entry that cannot be read: its position from 0, or its id, or both."""

    position: int | None
    id: str | None


@dataclass(frozen=True)
class Listing(Generic[RecordT]):
    """The readable entries of a list, and what was left out.

    `unreadable` names the entries that are no records. `foreign` counts the entries of another
    agent or batch run than was asked for. `total` is the length that the API states for the whole
    list, and `missing_count` how many of these entries were not read. `is_paged` says that the list
    took several requests, and `stop` why its reading ended early.
    """

    items: list[RecordT]
    unreadable: list[UnreadableEntry] = field(default_factory=list)
    foreign: int = 0
    missing_count: int = 0
    total: int | None = None
    is_paged: bool = False
    stop: StopCause | None = None

    @property
    def entry_count(self) -> int:
        """How many entries the API's list has."""
        return len(self.items) + len(self.unreadable) + self.foreign

    @property
    def unread_count(self) -> int:
        """How many entries of the list were not read, at least; foreign ones do not count."""
        cut_off = 1 if self.stop and not self.missing_count else 0
        return len(self.unreadable) + self.missing_count + cut_off

    @property
    def is_partial(self) -> bool:
        """Whether the list may have entries that are not among the items."""
        return bool(self.unread_count or self.foreign)

    def recount(self, items: list[RecordT]) -> Self:
        """Return the list with these items, in which no entry is twice, and count what misses."""
        changed = replace(self, items=items)
        # In a list of one answer, entries that are there twice count twice in the total too.
        counted = changed if self.is_paged else self
        missing = max(0, (self.total or 0) - counted.entry_count)
        is_whole = self.total is not None and not missing
        return replace(changed, missing_count=missing, stop=None if is_whole else self.stop)


@dataclass(frozen=True)
class Page(Listing[RecordT]):
    """One page of a list; `number`, `size` and `page_count` are None if the API states none.

    `size` is the API's page size. Pages with the same `mark` begin and end with the same entries.
    `ids` are those of all entries. `is_counted` says that `has_next` follows from numbers alone,
    `names_cursor` that the API names the next page by something else than its number, and
    `is_whole_list` that the page is cut out of a list without pages.
    """

    number: int | None = None
    size: int | None = None
    page_count: int | None = None
    has_next: bool = False
    is_counted: bool = False
    names_cursor: bool = False
    mark: int | None = None
    ids: Sequence[str | None] = ()
    is_whole_list: bool = False
    request_count: int = 1

    @property
    def first_id(self) -> str | None:
        return self.ids[0] if self.ids else None

    @classmethod
    def read(
        cls,
        data: object,
        kind: type[RecordT],
        asked: AskedIDs = MappingProxyType({}),
        read: Callable[[object], RecordT] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> "Page[RecordT]":
        """Read a page with `data`, or a plain array: a whole list, unless the headers say more.

        `read` reads one entry.

        Raises:
            InvalidRequest: the answer is a message instead.
            UnexpectedAnswer: it is neither.
        """
        refuse_message(data, frozenset({"data"}), "list")
        envelope = PagedList.read_answer(data, headers)
        if envelope.data is None:
            raise UnexpectedAnswer(
                "The API's answer is neither a list nor a page with 'data', as documented."
            )
        count = len(envelope.data)
        if isinstance(data, dict) and not count and not envelope.has_position:
            refuse_message({**data, "data": None}, frozenset(), "list")
        listing = read_entries(envelope.data, kind, asked, read)
        return cls(
            listing.items,
            listing.unreadable,
            listing.foreign,
            total=envelope.total_count,
            number=envelope.page,
            size=envelope.size,
            page_count=envelope.total_pages,
            has_next=envelope.has_more(count),
            is_counted=envelope.is_counted,
            names_cursor=envelope.names_cursor,
            mark=_mark_entries(envelope.data),
            ids=[_find_id(entry, kind) for entry in envelope.data],
        )

    def rebase(self, first_number: int) -> Self:
        """Return this page of a list whose first page has this number, counted from 0."""
        if self.number is None or not first_number:
            return self
        number = max(0, self.number - first_number)
        has_next = self.has_next
        if self.is_counted and self.page_count is not None:
            has_next = number + 1 < self.page_count
        elif self.is_counted:
            before = number * (self.size or self.entry_count)
            has_next = before + self.entry_count < (self.total or 0)
        return replace(self, number=number, has_next=has_next)


def _find_id(entry: object, kind: type[RecordT]) -> str | None:
    """Return the id of an entry of this kind; None if it has no usable one."""
    if not isinstance(entry, dict):
        return None
    value = entry.get(_ID_FIELDS.get(kind))
    return valid_id(value) if isinstance(value, str) else None


def _mark_entries(entries: Sequence[object]) -> int | None:
    """Return a number that is the same for pages that begin and end alike; None if unknown."""
    if not entries or not isinstance(entries[0], dict):
        return None
    return hash((len(entries), json.dumps([entries[0], entries[-1]])))


ListingT = TypeVar("ListingT", bound=Listing[Any])


def read_entries(
    entries: Sequence[object],
    kind: type[RecordT],
    asked: AskedIDs,
    read: Callable[[object], RecordT] | None = None,
) -> Listing[RecordT]:
    """Read each entry of a list; leave out those that are unreadable or foreign."""
    items: list[RecordT] = []
    unreadable: list[UnreadableEntry] = []
    foreign = 0
    for position, entry in enumerate(entries):
        # Without any known field, an object may be anything.
        if not isinstance(entry, dict) or kind.input_names.isdisjoint(entry):
            entry_id = valid_id(entry) if isinstance(entry, str) else None
            unreadable.append(UnreadableEntry(position, entry_id))
            continue
        record = (read or kind.read)(entry)
        if find_foreign_id(record, asked):
            foreign += 1
        else:
            items.append(record)
    return Listing(items, unreadable, foreign)


def join_listings(listings: Iterable[Listing[RecordT]]) -> Listing[RecordT]:
    """Join the parts of one list; positions count from the start of the whole."""
    items: list[RecordT] = []
    unreadable: list[UnreadableEntry] = []
    foreign = 0
    start = 0
    for part in listings:
        for entry in part.unreadable:
            position = None if entry.position is None else start + entry.position
            unreadable.append(entry._replace(position=position))
        items += part.items
        foreign += part.foreign
        start = len(items) + len(unreadable) + foreign
    return Listing(items, unreadable, foreign)


def keep_of_each(
    listing: ListingT,
    keep: Callable[[RecordT], RecordT] | None,
) -> ListingT:
    """Replace each record of the list by what `keep` returns for it."""
    if keep is None:
        return listing
    return replace(listing, items=[keep(record) for record in listing.items])


def extract_runs(batch_run: BatchRun, asked: AskedIDs) -> Listing[TestRun]:
    """Read the test runs, or bare job ids, from undocumented fields of a batch run."""
    parts = [read_entries(_list_run_entries(batch_run.raw), TestRun, asked)]
    for case in batch_run.test_cases:
        entries = [_add_case(entry, case) for entry in _list_run_entries(case.raw)]
        parts.append(read_entries(entries, TestRun, asked))
    return join_listings(parts)


def count_by_counters(listing: Listing[TestRun], batch_run: BatchRun) -> Listing[TestRun]:
    """Count as missing what the batch run's counters have and its list of test runs lacks."""
    decided = batch_run.decided_attempts or 0
    # A listed test run whose own record was not read is an item, and named as unreadable.
    item_ids = {run.job_id for run in listing.items if run.job_id}
    named_twice = sum(entry.id in item_ids for entry in listing.unreadable)
    missing = decided - (listing.entry_count - named_twice)
    if missing <= listing.missing_count:
        return listing
    return replace(listing, missing_count=missing, total=decided)


def _add_case(entry: object, case: TestCase) -> object:
    if not isinstance(entry, dict):
        return entry
    return {"testCase": case.raw, **entry}


def _list_run_entries(holder: JSONObject) -> list[object]:
    """Return the entries of the first field that has job ids; a plain text is a job id."""
    for name in RUN_FIELDS:
        values = holder.get(name)
        if not isinstance(values, list):
            continue
        entries = [{"jobId": value} if isinstance(value, str) else value for value in values]
        if any(isinstance(entry, dict) and entry.get("jobId") for entry in entries):
            return entries
    return []

"""Name what a call could not read in the API's answers, and count what it left out."""

import re
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sigmamind_mcp.api.listings import Listing, StopCause
from sigmamind_mcp.api.records import Record
from sigmamind_mcp.api.walks import (
    MAX_WALKED_BYTES,
    MAX_WALKED_ITEMS,
    MAX_WALKED_PAGES,
    WALK_SECONDS,
)
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.untrusted_text import clean

MAX_NAMED = 5
NO_ID = "(no usable id)"
"""Stands for an id that the API's answer lacks, or that has a form which no id has."""

Kind = Literal["agent", "test case", "batch run", "test run", "transcript of test run"]
Reason = Literal["unreadable", "no usable answer", "left out", "not listed"]

RecordT = TypeVar("RecordT", bound=Record)

OTHER_OWNERS: dict[Kind, str] = {
    "test case": "other agents",
    "batch run": "other agents",
    "test run": "other batch runs",
}
"""By kind, to what an entry belongs that this server leaves out of a list."""

COUNTED_REASONS: tuple[Reason, ...] = ("left out", "not listed")
"""Reasons whose notes have a sentence of their own."""

COUNTED_FIELDS = frozenset(
    ("isSuccessful", "isSuccesful", "testCase", "testCases", "successfulAttempts", "failedAttempts")
)

LIST_CHANGED = "the list may have changed while it was read"
STOP_CAUSES: dict[StopCause, str] = {
    "bytes": f"this server reads at most {MAX_WALKED_BYTES // 2**20} MiB of one list",
    "entries": f"this server reads at most {MAX_WALKED_ITEMS:,} entries of one list",
    "pages": f"this server reads at most {MAX_WALKED_PAGES} pages of one list",
    "seconds": f"this server reads one list for at most {WALK_SECONDS:.0f} s",
    "empty page": "the API says on an empty page that there are more",
    "repeated page": "the API gives the same page again, whatever page is asked for",
    "failed page": "the API did not give one of its pages",
    "unknown paging": "the API says in a form that this server cannot follow that there are more",
}

_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\[\]]{0,79}")


class NotRead(BaseModel):
    """Something that the API's answers have and this answer lacks."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True
    )

    kind: Kind
    reason: Reason = Field(
        description="left out: of another agent or batch run than asked for."
        " not listed: in the API's total, but not in its list."
    )
    id: str | None = None
    position: int | None = Field(default=None, description="In the API's list, from 1.")
    field: str | None = Field(default=None, description="Absent when it is the whole object.")
    count: int | None = Field(default=None, description="How many more, which have no names here.")
    total: int | None = Field(default=None, description="How many the API counts in the list.")
    cause: str | None = Field(default=None, description="Why the list was not read to its end.")
    batch_id: str | None = Field(default=None, description="The batch run whose list has it.")

    @property
    def place(self) -> str:
        return f" of batch run {self.batch_id}" if self.batch_id else ""

    def name_it(self) -> str:
        """Name it for a sentence."""
        name = f"a {self.kind} without a usable id"
        if self.id:
            name = f"{self.kind} {self.id}"
        elif self.position is not None:
            name = f"entry {self.position} in the list of {self.kind}s"
        if self.field:
            name = f"{self.field} of {name}"
        failed = " (no usable answer)" if self.reason == "no usable answer" else ""
        return f"{name}{self.place}{failed}"


def note_record(
    kind: Kind, record: Record, record_id: str | None, *, batch_id: str | None = None
) -> list[NotRead]:
    """Note the fields of a record that could not be read."""
    known_id = valid_id(record_id)
    note = NotRead(kind=kind, reason="unreadable", id=known_id, batch_id=batch_id)
    fields = dict.fromkeys(map(_clean_field_name, record.unreadable_fields()))
    return [note.model_copy(update={"field": field}) for field in fields]


def note_listing(
    kind: Kind,
    listing: Listing[RecordT],
    get_id: Callable[[RecordT], str | None],
    *,
    start: int = 0,
    batch_id: str | None = None,
) -> list[NotRead]:
    """Note what of a list could not be read or belongs to another object.

    `start` is the position of its first entry.
    """
    notes = []
    for entry in listing.unreadable:
        note = NotRead(
            kind=kind,
            reason="unreadable",
            id=valid_id(entry.id),
            position=None if entry.position is None else start + entry.position + 1,
            batch_id=batch_id,
        )
        notes.append(note)
    for record in listing.items:
        notes += note_record(kind, record, get_id(record), batch_id=batch_id)
    if listing.foreign:
        foreign = NotRead(kind=kind, reason="left out", count=listing.foreign, batch_id=batch_id)
        notes.append(foreign)
    if listing.missing_count or listing.stop:
        notes.append(_note_gap(kind, listing, batch_id))
    return notes


def _note_gap(kind: Kind, listing: Listing[RecordT], batch_id: str | None) -> NotRead:
    """Note how many entries of a list were not read, and why."""
    cause = LIST_CHANGED if listing.is_paged else None
    if listing.stop:
        cause = STOP_CAUSES[listing.stop]
    return NotRead(
        kind=kind,
        reason="not listed",
        count=listing.missing_count or None,
        total=listing.total,
        cause=cause,
        batch_id=batch_id,
    )


def note_failed_read(kind: Kind, record_id: str) -> NotRead:
    """Note that the request for an object failed."""
    return NotRead(kind=kind, reason="no usable answer", id=record_id)


def shows_field(record: Record, *names: str) -> bool:
    """Return whether the API's object has a readable value under one of these names."""
    if is_unreadable(record, *names):
        return False
    return any(record.raw.get(name) is not None for name in names)


def count_shown(record: Record, name: str, values: Sequence[object]) -> int | None:
    """Return how many values the field has; None if the API's object does not show it."""
    return len(values) if shows_field(record, name) else None


def is_unreadable(record: Record, *names: str) -> bool:
    """Return whether a field with one of these names could not be read."""
    return not set(names).isdisjoint(record.unreadable_fields())


def limit_notes(notes: Sequence[NotRead]) -> list[NotRead]:
    """Keep MAX_NAMED notes that name something, and add up the others of each kind."""
    # An object that was read twice has its notes twice.
    named = sorted(dict.fromkeys(filter(_is_named, notes)), key=_rank_note)
    counted = _add_up_counts([note for note in notes if not _is_named(note)])
    rest: dict[tuple[Kind, Reason], int] = {}
    for note in named[MAX_NAMED:]:
        key = (note.kind, note.reason)
        rest[key] = rest.get(key, 0) + 1
    kept = named[:MAX_NAMED]
    for (kind, reason), count in rest.items():
        kept.append(NotRead(kind=kind, reason=reason, count=count))
    return kept + counted


def _add_up_counts(notes: Sequence[NotRead]) -> list[NotRead]:
    """Add up the notes of one list; of all batch runs together if more than MAX_NAMED are left."""
    by_list: dict[tuple[object, ...], list[NotRead]] = {}
    by_kind: dict[tuple[object, ...], list[NotRead]] = {}
    seen = set()
    for note in notes:
        if note.batch_id and note in seen:
            continue
        seen.add(note)
        key = (note.kind, note.reason, note.cause)
        by_list.setdefault((*key, note.batch_id), []).append(note)
        by_kind.setdefault(key, []).append(note)
    groups = by_list if len(by_list) <= MAX_NAMED else by_kind
    return [_sum_notes(group) for group in groups.values()]


def _sum_notes(notes: Sequence[NotRead]) -> NotRead:
    """Return one note for all; it names a batch run only if all name the same."""
    first = notes[0]
    batch_ids = {note.batch_id for note in notes}
    added = {
        "batch_id": first.batch_id if len(batch_ids) == 1 else None,
        "count": _add_known([note.count for note in notes]),
        "total": _add_known([note.total for note in notes]),
    }
    return first.model_copy(update=added)


def _add_known(numbers: Sequence[int | None]) -> int | None:
    """Return the sum, or None if one number is unknown."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def describe_notes(notes: Sequence[NotRead]) -> list[str]:
    """Write the notes as sentences."""
    named = [note.name_it() for note in notes if _is_named(note)]
    more = sum(note.count or 0 for note in notes if note.reason not in COUNTED_REASONS)
    if more:
        named.append(f"and {more:,} more")
    sentences = []
    if named:
        sentences.append(f"The API's answers have unreadable parts: {'; '.join(named)}.")
    for note in notes:
        if note.reason == "left out" and note.count:
            sentences.append(_describe_foreign(note))
        if note.reason == "not listed":
            sentences.append(_describe_missing(note))
    return sentences


def _is_named(note: NotRead) -> bool:
    return note.count is None and note.reason not in COUNTED_REASONS


def _rank_note(note: NotRead) -> int:
    """Rank first what changes the counts: whole entries, then the fields that are counted."""
    if note.field is None:
        return 0
    return 1 if note.field in COUNTED_FIELDS else 2


def _describe_foreign(note: NotRead) -> str:
    owners = OTHER_OWNERS.get(note.kind, "other objects")
    verb = "was" if note.count == 1 else "were"
    place = f" of the list{note.place}" if note.batch_id else ""
    return f"{pluralize(note.count or 0, note.kind)} of {owners} {verb} left out{place}."


def _describe_missing(note: NotRead) -> str:
    if note.cause is None:
        verb = "is" if note.count == 1 else "are"
        missing = pluralize(note.count or 0, note.kind)
        return f"{missing}{note.place} {verb} in the API's total, but not in its list."
    if note.count is None or note.total is None:
        return f"The list of {note.kind}s{note.place} was not read to its end: {note.cause}."
    listed = f"{note.total - note.count:,} of {note.total:,} {note.kind}s{note.place}"
    return f"{listed} were read: {note.cause}."


def _clean_field_name(name: str) -> str:
    # It stands outside the fence, so nothing but the name of a field may pass.
    return name if _FIELD_NAME.fullmatch(clean(name)) else "a field"

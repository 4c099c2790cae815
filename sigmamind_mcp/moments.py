"""Read the times of the API and of HTTP headers, and sort by them."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from operator import itemgetter
from typing import TypeVar

DatedT = TypeVar("DatedT")

# What the standard library's date parsers raise for one input or another.
_MALFORMED = (ValueError, OverflowError, TypeError, IndexError)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[0-9]{9,19}(\.[0-9]{1,9})?")
_COMPACT = re.compile(r"[0-9]{14}")
# A zone's name says nothing where its offset is given; without an offset, only UTC is known.
_ZONE_NAME = re.compile(
    r"\s*(?:UTC|GMT|Z|\[(?:UTC|GMT)\]|(?<=Z)\[[A-Z/_]+\]|(?<=[+-][0-9]{2}:[0-9]{2})\[[A-Z/_]+\])$"
)

# Numbers of one unit cannot be mistaken for those of another within these years.
_FIRST_SECOND, _LAST_SECOND = 946_684_800, 4_102_444_800
_UNITS_PER_SECOND = (1, 1_000, 1_000_000, 1_000_000_000)


def parse_http_date(value: str) -> datetime | None:
    """Return the time of a Date or Retry-After header (RFC 9110 5.6.7); None if malformed."""
    try:
        moment = parsedate_to_datetime(value)
        # The first and the last day of the calendar have no UTC in every zone.
        return moment.astimezone(UTC) if moment.tzinfo else None
    except _MALFORMED:
        return None


def parse_moment(value: object) -> datetime | None:
    """Parse a time in any usual form, UTC by default; return None if it has none of them.

    The forms are ISO 8601, RFC 1123, the epoch's seconds down to nanoseconds (2000 to 2099), and
    a list of numbers from the year to the nanosecond.
    """
    try:
        if isinstance(value, str):
            return _parse_text(value)
        if isinstance(value, int | float):
            return _parse_epoch(value)
        return _parse_parts(value) if isinstance(value, list) else None
    except _MALFORMED:
        return None


def sort_by_date(
    items: Sequence[DatedT], get_date: Callable[[DatedT], datetime | None]
) -> list[DatedT]:
    """Sort by date, oldest first; leave the order as it is if a date is missing."""
    dates = [date for date in map(get_date, items) if date]
    if len(dates) < len(items):
        return list(items)
    dated = zip(dates, items, strict=True)
    return [item for _, item in sorted(dated, key=itemgetter(0))]


def _parse_text(text: str) -> datetime | None:
    try:
        # Most times are in this form. Digits alone would be read as another date.
        if text[4:5] == "-":
            return _set_utc(datetime.fromisoformat(text))
    except ValueError:
        pass
    text = text.strip()
    if _COMPACT.fullmatch(text):
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    if _NUMBER.fullmatch(text):
        return _parse_epoch(float(text) if "." in text else int(text))
    return parse_http_date(text) or _parse_iso(text.upper())


def _parse_iso(text: str) -> datetime:
    """Parse ISO 8601 with a named zone, or with blanks around its parts."""
    without_zone = _ZONE_NAME.sub("", _ZONE_NAME.sub("", text))
    return _set_utc(datetime.fromisoformat(re.sub(r"\s+(?=[+-])", "", without_zone)))


def _parse_epoch(number: float) -> datetime | None:
    for units in _UNITS_PER_SECOND:
        if _FIRST_SECOND <= number / units < _LAST_SECOND:
            seconds, rest = divmod(number, units)
            return _EPOCH + timedelta(seconds=seconds, microseconds=rest * 1_000_000 / units)
    return None


def _parse_parts(parts: Sequence[object]) -> datetime | None:
    """Parse [year, month, day, hour, minute, second, nanosecond]; a day is enough."""
    numbers = [part for part in parts if type(part) is int]
    if len(numbers) != len(parts) or not 3 <= len(parts) <= 7:
        return None
    year, month, day, hour, minute, second, nanosecond = (*numbers, 0, 0, 0, 0)[:7]
    return datetime(year, month, day, hour, minute, second, nanosecond // 1000, tzinfo=UTC)


def _set_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)

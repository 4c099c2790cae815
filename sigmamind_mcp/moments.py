"""Read the times of the API and of HTTP headers."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# What the standard library's date parsers raise for one input or another.
_MALFORMED = (ValueError, OverflowError, TypeError, IndexError)


def parse_http_date(value: str) -> datetime | None:
    """Return the time of a Date or Retry-After header (RFC 9110 5.6.7); None if malformed."""
    try:
        moment = parsedate_to_datetime(value)
        # The first and the last day of the calendar have no UTC in every zone.
        return moment.astimezone(UTC) if moment.tzinfo else None
    except _MALFORMED:
        return None

"""When the attempts of a batch run ended, as far as a list of them shows it."""

from datetime import datetime
from typing import NamedTuple

from sigmamind_mcp.api.listings import Listing
from sigmamind_mcp.api.models import TestRun

ID_FIELDS = frozenset(("jobId", "testCase", "testCaseId"))


class LastEnd(NamedTuple):
    """The newest end among the attempts of a list, and how many attempts it has.

    `is_of_all` is False if one of them may have ended later.
    """

    date: datetime | None
    attempt_count: int
    is_of_all: bool


def find_last_end(listing: Listing[TestRun]) -> LastEnd:
    """Return the newest end among listed test runs."""
    ends = [run.completed_date for run in listing.items if run.completed_date]
    is_of_all = not listing.unread_count and not any(map(_hides_end, listing.items))
    return LastEnd(max(ends, default=None), len(listing.items), is_of_all)


def has_only_ids(run: TestRun) -> bool:
    """Return whether a listed test run shows nothing but what it is."""
    return set(run.raw) <= ID_FIELDS


def _hides_end(run: TestRun) -> bool:
    """Return whether a test run may have ended at a time that is not shown."""
    if run.completed_date is not None:
        return False
    return run.verdict != "undecided" or run.has_ended or has_only_ids(run)

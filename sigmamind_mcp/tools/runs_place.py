"""The place where a list of test runs continues, which can change between two calls."""

from collections.abc import Sequence
from typing import NamedTuple, Self

from sigmamind_mcp.ids import mark_text
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import explain_past_end
from sigmamind_mcp.tools.conversations_answer import WantedRun

MARK_RANGE = 100_000


class RunsPlace(NamedTuple):
    """What a cursor says of the test runs that were shown.

    `run` counts them. The last one continues at `turn`, or is complete if that is 0. `last` stands
    for it, `seen` for all of them in any order. `total` counts the test runs that there were.
    """

    run: int = 0
    turn: int = 0
    last: int = 0
    seen: int = 0
    total: int = 0

    @classmethod
    def behind(cls, marks: Sequence[int], run: int, *, turn: int) -> Self:
        """Return the place behind the first test runs, or at a turn of the last of them."""
        last = marks[run - 1] if run else 0
        return cls(run, turn, last, _sum_marks(marks[:run]), len(marks))


class RunsStart(NamedTuple):
    """The index of the first test run to show, its first turn, and what to know about both."""

    first: int
    turn: int = 0
    hint: str | None = None


def mark_run(run: WantedRun) -> int:
    """Return a number that stands for a test run in a cursor; the same for all without an id."""
    return mark_text(f"{run.batch_id}/{run.job_id or ''}")


def find_start(place: RunsPlace, marks: Sequence[int]) -> RunsStart:
    """Find where the test runs continue, whatever has come, gone or moved since."""
    total = len(marks)
    if not place.run:
        return RunsStart(0)
    if place.run > max(place.total, total):
        return RunsStart(total, hint=explain_past_end(place.run, total, "test run"))
    index = _find_last(place, marks)
    if index is None:
        # What has gone can have been shown before: rather repeat a test run than skip one.
        gone = max(1, place.total - total)
        start = min(max(0, place.run - gone), total)
        return RunsStart(start, hint=_explain_lost_place(place, total))
    hint = None
    if _sum_marks(marks[: index + 1]) != place.seen:
        hint = _explain_change(place.run, index + 1)
    if place.turn:
        return RunsStart(index, place.turn, hint)
    past_end = explain_past_end(index + 1, total, "test run")
    hints = filter(None, [hint, past_end])
    return RunsStart(index + 1, hint=" ".join(hints) or None)


def _find_last(place: RunsPlace, marks: Sequence[int]) -> int | None:
    """Return the index of the last test run that was shown; None if it cannot be told."""
    places = [index for index, mark in enumerate(marks) if mark == place.last]
    if len(places) == 1:
        return places[0]
    # Several test runs without an id look alike.
    before = place.run - 1
    is_unchanged = len(marks) == place.total
    return before if is_unchanged and before in places else None


def _sum_marks(marks: Sequence[int]) -> int:
    return sum(marks) % MARK_RANGE


def _explain_change(shown: int, now: int) -> str:
    return (
        "The list has changed since the previous answer: up to this place it had"
        f" {pluralize(shown, 'test run')}, now {now:,}. New ones among them are not shown; to see"
        " them, leave out cursor."
    )


def _explain_lost_place(place: RunsPlace, total: int) -> str:
    return (
        "The list has changed since the previous answer, and the test run shown last is not found:"
        f" {place.total:,} were chosen, now {total:,}. Some may be repeated or missing; to see all,"
        " leave out cursor."
    )

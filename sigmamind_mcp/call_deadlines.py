"""When a call must end. Whatever reads or waits inside the call can ask how long it may take."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

import anyio

MARGIN_SECONDS = 1.0
"""The last read ends so much before its call: enough to build the answer from what was read."""


class CallDeadline:
    """The end of one call; it moves while a person is asked."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.scope = anyio.CancelScope(deadline=anyio.current_time() + seconds)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Stop the clock inside the block; after it the call has all of its time again."""
        self.scope.deadline = inf
        try:
            yield
        finally:
            self.scope.deadline = anyio.current_time() + self.seconds


# Scopes of anyio do not say this: a write is shielded from the deadlines around it.
_CURRENT: ContextVar[CallDeadline | None] = ContextVar("call_deadline", default=None)


@contextmanager
def limit_call(seconds: float) -> Iterator[CallDeadline]:
    """Cancel the block after so many seconds."""
    deadline = CallDeadline(seconds)
    token = _CURRENT.set(deadline)
    try:
        with deadline.scope:
            yield deadline
    finally:
        _CURRENT.reset(token)


def limit_to_call(seconds: float, *, spare: float = 0.0) -> float:
    """Return `seconds`, or less if the call around must end before; 0 if it is about to end.

    `spare` seconds of the call are left for what comes after.
    """
    deadline = _CURRENT.get()
    if deadline is None:
        return seconds
    left = deadline.scope.deadline - MARGIN_SECONDS - spare - anyio.current_time()
    return max(0.0, min(seconds, left))

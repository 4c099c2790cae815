"""Run several calls at once, and long work in a thread."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
import anyio.to_thread

from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.fair_slots import FairSlots

# Above this size, the work takes longer than the switch to a thread.
LARGE_BYTES = 128 * 1024
MAX_CONCURRENT_CALLS = 8
LARGE_AT_ONCE = 1
"""Threads share the interpreter: more would not be faster, and would delay small calls."""

T = TypeVar("T")
U = TypeVar("U")


async def run_if_large(size: int, work: Callable[[T], U], data: T) -> U:
    """Return `work(data)`; use a thread if `size` is at least LARGE_BYTES."""
    if size < LARGE_BYTES:
        return work(data)
    # Work on the event loop delays every other caller.
    try:
        return await anyio.to_thread.run_sync(work, data, abandon_on_cancel=True)
    except Exception as exc:
        # AnyIO's frames and the error refer to each other, so the data in the frames would stay
        # in memory until the garbage collector looks at everything.
        exc.__context__ = None
        raise exc.with_traceback(None) from None


class LargeWork:
    """Runs work on large data, LARGE_AT_ONCE in all; callers take turns."""

    def __init__(self) -> None:
        self._slots = FairSlots(LARGE_AT_ONCE, LARGE_AT_ONCE)

    async def run(self, size: int, work: Callable[[T], U], data: T, *, caller: str) -> U:
        """Return `work(data)`; use a thread, in turn, if `size` is at least LARGE_BYTES."""
        if size < LARGE_BYTES:
            return work(data)
        async with self._slots.hold(caller):
            return await run_if_large(size, work, data)


async def gather(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Run at most MAX_CONCURRENT_CALLS at a time; return their results in order.

    Raises:
        SigmaMindError: the first error in the order of the calls, after all calls have ended.
    """
    return require_results(await gather_errors(calls))


async def gather_errors(
    calls: Sequence[Callable[[], Awaitable[T]]],
    *,
    limit: int = MAX_CONCURRENT_CALLS,
) -> list[T | SigmaMindError]:
    """Run at most `limit` calls at a time; return each result or error in order."""
    outcomes: dict[int, T | SigmaMindError] = {}
    limiter = anyio.CapacityLimiter(limit)

    async def run(number: int, call: Callable[[], Awaitable[T]]) -> None:
        async with limiter:
            try:
                outcomes[number] = await call()
            # Outside this function, the error would arrive inside an exception group.
            except SigmaMindError as exc:
                outcomes[number] = exc

    async with anyio.create_task_group() as group:
        for number, call in enumerate(calls):
            group.start_soon(run, number, call)
    return [outcomes[number] for number in range(len(calls))]


def require_results(outcomes: Sequence[T | SigmaMindError]) -> list[T]:
    """Return the outcomes if all are results; raise the first error otherwise."""
    results: list[T] = []
    for outcome in outcomes:
        if isinstance(outcome, SigmaMindError):
            raise outcome
        results.append(outcome)
    return results

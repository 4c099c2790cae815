"""Work on large data, done in a thread: everybody else's calls wait for what the event loop does."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
import anyio.to_thread

from sigmamind_mcp.errors import SigmaMindError

LARGE_BYTES = 128 * 1024
"""From here on, reading takes longer than handing it to a thread does."""

T = TypeVar("T")
U = TypeVar("U")

READ_TOGETHER = 8


async def run_if_large(size: int, work: Callable[[T], U], data: T) -> U:
    """Return `work(data)`, done beside the event loop where the data was of LARGE_BYTES or more."""
    if size < LARGE_BYTES:
        return work(data)
    return await anyio.to_thread.run_sync(work, data, abandon_on_cancel=True)


async def gather_errors(
    calls: Sequence[Callable[[], Awaitable[T]]], *, limit: int = READ_TOGETHER
) -> list[T | SigmaMindError]:
    """What each call returned, or the error that it raised, in the order of the calls; at most `limit` at a time."""
    outcomes: dict[int, T | SigmaMindError] = {}
    gate = anyio.CapacityLimiter(limit)

    async def run(number: int, call: Callable[[], Awaitable[T]]) -> None:
        async with gate:
            try:
                outcomes[number] = await call()
            except (
                SigmaMindError
            ) as exc:  # a task group would wrap it in a group that nobody can name
                outcomes[number] = exc

    async with anyio.create_task_group() as group:
        for number, call in enumerate(calls):
            group.start_soon(run, number, call)
    return [outcomes[number] for number in range(len(calls))]

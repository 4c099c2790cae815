"""Work on large data, done in a thread: everybody else's calls wait for what the event loop does."""

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread

LARGE_BYTES = 128 * 1024
"""From here on, reading takes longer than handing it to a thread does."""

T = TypeVar("T")
U = TypeVar("U")


async def aside(size: int, work: Callable[[T], U], data: T) -> U:
    """Return `work(data)`, done beside the event loop where the data was of LARGE_BYTES or more."""
    if size < LARGE_BYTES:
        return work(data)
    return await anyio.to_thread.run_sync(work, data, abandon_on_cancel=True)

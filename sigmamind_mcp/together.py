"""Several calls to the API at once, not too many, where one that fails does not take the others with it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from sigmamind_mcp.errors import SigmaMindError

READ_TOGETHER = 8

T = TypeVar("T")


async def together(
    calls: Sequence[Callable[[], Awaitable[T]]], *, limit: int = READ_TOGETHER
) -> list[T | SigmaMindError]:
    """What each call returned, or the error that it raised, in the order of the calls; at most `limit` at a time."""
    outcomes: dict[int, T | SigmaMindError] = {}
    gate = anyio.CapacityLimiter(limit)

    async def run(number: int, call: Callable[[], Awaitable[T]]) -> None:
        async with gate:
            try:
                outcomes[number] = await call()
            except SigmaMindError as exc:  # a task group would wrap it in a group that nobody can name
                outcomes[number] = exc

    async with anyio.create_task_group() as group:
        for number, call in enumerate(calls):
            group.start_soon(run, number, call)
    return [outcomes[number] for number in range(len(calls))]

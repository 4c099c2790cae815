"""What a tool can use besides its arguments and the API."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import anyio

from sigmamind_mcp.heavy_work import WorkClock
from sigmamind_mcp.tools.started_attempts import StartedAttempts

T = TypeVar("T")

ProgressReport = Callable[[float, float | None, str], Awaitable[None]]
"""Takes what is done, the total if known, and a short text."""


class RunHeavy(Protocol):
    """Runs work in a thread, one at a time for each caller; see HeavyWork.run."""

    def __call__(self, clock: WorkClock, work: Callable[[], T], /) -> Awaitable[T]: ...


@dataclass
class RisingProgress:
    """Sends the progress of one call; each number is higher than the one before.

    Progress must increase (MCP 2026-07-28, utilities/progress), and clients extend their timeout
    on it. Without news it rises by less than one item, so it reaches the total only at the end.
    """

    send: ProgressReport
    done: float = -1
    looks: int = 0
    number: float = -1
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def report(self, done: float, total: float | None, message: str) -> None:
        # Reports of calls that run at once must leave in the order of their numbers.
        async with self.lock:
            number = self.count_look(done)
            # After a total that has shrunk, or a second report of the end.
            is_past = total is not None and number != done and number >= total
            await self.send(number, None if is_past else total, message)

    def count_look(self, done: float) -> float:
        """Return the next number: `done`, or a little more than the last number."""
        if done > self.number:
            self.done, self.looks, self.number = done, 0, done
        else:
            self.looks += 1
            self.number = self.done + self.looks / (self.looks + 1)
        return self.number


@dataclass(frozen=True)
class Confirmation:
    """Says when a launch needs a person's yes, and asks for it.

    A caller may start `limit` attempts within an hour without a yes; `started` counts them.
    `ask` takes the question and the exact launch; it returns None if nobody can be asked.
    `answer_state` identifies the answer that this call carries.
    """

    limit: int
    started: StartedAttempts
    ask: Callable[[str, str], Awaitable[bool | None]]
    answer_state: str | None


@dataclass(frozen=True)
class CallContext:
    """One call of a tool that reports progress, asks a person or does heavy work.

    `run_heavy` takes a WorkClock and the work, which must check the clock between transcripts.
    """

    report_progress: ProgressReport
    confirmation: Confirmation
    run_heavy: RunHeavy

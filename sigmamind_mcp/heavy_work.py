"""Run work that takes seconds of CPU: in a thread, few at a time, and with an end.

Threads share one core and cannot be stopped. So heavy work looks at its clock between transcripts,
and ends by itself when its time is used or its caller has left.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from time import monotonic, thread_time
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

from sigmamind_mcp.call_deadlines import limit_to_call
from sigmamind_mcp.errors import OutOfTime
from sigmamind_mcp.fair_slots import FairSlots
from sigmamind_mcp.remembered_texts import forgetting_texts

HEAVY_AT_ONCE = 2
CALLS_AT_ONCE = 16
CALLS_PER_CALLER = 2
"""One reads while another works; more would only hold their transcripts while they wait."""
LEAST_CALL_SECONDS = 10.0
"""A call that gets its turn with less time than this has too little to read and to work."""
LONGEST_QUEUE_SECONDS = 45.0

T = TypeVar("T")

HasTime = Callable[[float], bool]
"""Takes a share of the time, up to 1, and tells whether less than that is used."""


class WorkClock:
    """How much CPU time heavy work may take, and whether anybody still waits for it.

    The work also ends in time for the call in which its clock was made.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.used = 0.0
        self.is_abandoned = False
        self.end = monotonic() + limit_to_call(inf)

    @property
    def is_spent(self) -> bool:
        """Whether the work must end before its next transcript."""
        return self.is_abandoned or self.used >= self.seconds or monotonic() >= self.end

    def start_counting(self) -> HasTime:
        """Count the CPU time of this thread from now on, at each call of the returned function."""
        counted, started = thread_time(), monotonic()

        def has_time(share: float) -> bool:
            nonlocal counted
            now = thread_time()
            self.used += now - counted
            counted = now
            is_late = monotonic() >= started + share * (self.end - started)
            return not (self.is_spent or is_late or self.used >= share * self.seconds)

        return has_time

    @contextmanager
    def count(self) -> Iterator[None]:
        """Count the CPU time of the block, such as the work on one transcript."""
        started = thread_time()
        try:
            yield
        finally:
            self.used += thread_time() - started

    @contextmanager
    def abandon_at_end(self) -> Iterator[None]:
        """Let work that still runs in threads end once the block has ended or was cancelled."""
        try:
            yield
        finally:
            self.is_abandoned = True


class HeavyWork:
    """Runs heavy work: HEAVY_AT_ONCE in all, one of each caller at a time; callers take turns."""

    def __init__(self) -> None:
        self._slots = FairSlots(HEAVY_AT_ONCE, per_caller=1)
        self._calls = FairSlots(CALLS_AT_ONCE, per_caller=CALLS_PER_CALLER)

    @asynccontextmanager
    async def admit_call(self, caller: str) -> AsyncIterator[None]:
        """Wait until a call may read the transcripts for its work, which stay in memory.

        Raises:
            OutOfTime: earlier calls of this caller or of others did not end in time.
        """
        await _acquire_in_time(self._calls, caller, spare=LEAST_CALL_SECONDS)
        try:
            yield
        finally:
            self._calls.release(caller)

    async def run(self, caller: str, clock: WorkClock, work: Callable[[], T]) -> T:
        """Return what `work` returns; it must check `clock` between transcripts.

        Raises:
            OutOfTime: earlier work of this caller or of others did not end in time.
        """
        await _acquire_in_time(self._slots, caller)
        release = partial(self._slots.release, caller)
        thread = _Thread(clock, work, release, asyncio.get_running_loop())
        try:
            await anyio.to_thread.run_sync(thread.run, abandon_on_cancel=True)
        except BaseException:
            clock.is_abandoned = True
            if not thread.has_begun:
                thread.release_once()
            raise
        return thread.results[0]


async def _acquire_in_time(slots: FairSlots, caller: str, *, spare: float = 0.0) -> None:
    with anyio.move_on_after(limit_to_call(LONGEST_QUEUE_SECONDS, spare=spare)) as queue:
        await slots.acquire(caller)
    if queue.cancelled_caught:
        raise OutOfTime(
            "Other calls that read many transcripts are running. Try again when yours have"
            " ended; make such calls one after the other."
        )


@dataclass
class _Thread(Generic[T]):
    """Keeps the slot until the work ends, which may be after its caller has left."""

    clock: WorkClock
    work: Callable[[], T]
    release: Callable[[], None]
    loop: asyncio.AbstractEventLoop
    results: list[T] = field(default_factory=list)
    has_begun: bool = False
    is_released: bool = False

    def run(self) -> None:
        # In this order: a caller that leaves sets the clock first, and then looks at `has_begun`.
        self.has_begun = True
        try:
            if not self.clock.is_abandoned:
                with forgetting_texts():
                    self.results.append(self.work())
        finally:
            # Without waiting: a loop that has stopped would never answer, and keep the process.
            with suppress(RuntimeError):  # the event loop is closed
                self.loop.call_soon_threadsafe(self.release_once)

    def release_once(self) -> None:
        if not self.is_released:
            self.is_released = True
            self.release()

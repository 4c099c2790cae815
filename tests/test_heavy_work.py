"""Heavy work is limited in all and for each caller, and ends when nobody waits for it (R35)."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import anyio
import pytest

from sigmamind_mcp import heavy_work as heavy_work_module
from sigmamind_mcp.errors import OutOfTime
from sigmamind_mcp.heavy_work import (
    CALLS_AT_ONCE,
    CALLS_PER_CALLER,
    HEAVY_AT_ONCE,
    HeavyWork,
    WorkClock,
)

pytestmark = pytest.mark.anyio


class Transcripts:
    """Work that reads transcripts until its clock ends it; `read` releases one transcript."""

    def __init__(self, clock: WorkClock) -> None:
        self.clock = clock
        self.count = 0
        self.read = threading.Semaphore(0)
        self.has_begun = threading.Event()
        self.has_ended = threading.Event()
        self.thread: threading.Thread | None = None

    def work(self) -> int:
        self.thread = threading.current_thread()
        self.has_begun.set()
        while not self.clock.is_spent:
            if self.read.acquire(timeout=0.05):
                self.count += 1
        self.has_ended.set()
        return self.count


async def wait_for(event: threading.Event) -> None:
    with anyio.fail_after(60):
        assert await anyio.to_thread.run_sync(event.wait, 60)


async def test_work_ends_at_its_next_transcript_when_its_caller_leaves() -> None:
    heavy, transcripts = HeavyWork(), Transcripts(WorkClock(60))
    async with anyio.create_task_group() as group:
        group.start_soon(heavy.run, "caller", transcripts.clock, transcripts.work)
        await wait_for(transcripts.has_begun)
        group.cancel_scope.cancel()
    assert not transcripts.has_ended.is_set()
    transcripts.read.release()
    await wait_for(transcripts.has_ended)
    assert transcripts.count == 1


async def test_caller_that_left_keeps_its_slot_until_its_thread_has_ended() -> None:
    heavy, first = HeavyWork(), Transcripts(WorkClock(60))
    async with anyio.create_task_group() as group:
        group.start_soon(heavy.run, "caller", first.clock, first.work)
        await wait_for(first.has_begun)
        group.cancel_scope.cancel()
    second = Transcripts(WorkClock(60))
    async with anyio.create_task_group() as group:
        group.start_soon(heavy.run, "caller", second.clock, second.work)
        await anyio.wait_all_tasks_blocked()
        assert not second.has_begun.is_set()
        first.read.release()
        await wait_for(second.has_begun)
        second.read.release(2)
        group.cancel_scope.cancel()


async def leave_running(transcripts: Transcripts) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(HeavyWork().run, "caller", transcripts.clock, transcripts.work)
        await wait_for(transcripts.has_begun)
        group.cancel_scope.cancel()


@pytest.mark.parametrize("is_closed", [False, True])
def test_thread_ends_after_its_event_loop_has_ended(is_closed: bool) -> None:
    loop, transcripts = asyncio.new_event_loop(), Transcripts(WorkClock(60))
    try:
        loop.run_until_complete(leave_running(transcripts))
        if is_closed:
            loop.close()
        transcripts.read.release()
        assert transcripts.thread is not None
        transcripts.thread.join(60)
        assert not transcripts.thread.is_alive()
    finally:
        loop.close()


@pytest.mark.parametrize(("callers", "running"), [(["a"] * 5, 1), (["a", "b", "c"], HEAVY_AT_ONCE)])
async def test_few_run_at_once_and_one_of_each_caller(callers: list[str], running: int) -> None:
    heavy = HeavyWork()
    works = [Transcripts(WorkClock(60)) for _ in callers]
    async with anyio.create_task_group() as group:
        for caller, work in zip(callers, works, strict=True):
            group.start_soon(heavy.run, caller, work.clock, work.work)
        for work in works[:running]:
            await wait_for(work.has_begun)
        await anyio.wait_all_tasks_blocked()
        assert sum(work.has_begun.is_set() for work in works) == running
        group.cancel_scope.cancel()
        for work in works:
            work.read.release()


async def test_work_in_the_queue_gives_up_before_its_call_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heavy_work_module, "LONGEST_QUEUE_SECONDS", 0.05)
    heavy, first = HeavyWork(), Transcripts(WorkClock(60))
    async with anyio.create_task_group() as group:
        group.start_soon(heavy.run, "caller", first.clock, first.work)
        await wait_for(first.has_begun)
        with pytest.raises(OutOfTime, match="one after the other"):
            await heavy.run("caller", WorkClock(1), lambda: 1)
        first.clock.is_abandoned = True
        first.read.release()
    assert await heavy.run("caller", WorkClock(1), lambda: 2) == 2


async def test_many_pieces_share_one_clock_and_an_error_frees_the_slot() -> None:
    heavy, clock = HeavyWork(), WorkClock(60)

    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        await heavy.run("caller", WorkClock(60), fail)
    piece: Callable[[], int] = partial(sum, range(10))
    assert [await heavy.run("caller", clock, piece) for _ in range(3)] == [45, 45, 45]
    assert not clock.is_spent


def test_clock_is_spent_after_its_cpu_seconds() -> None:
    clock = WorkClock(0.01)
    pieces = 0
    while not clock.is_spent:
        with clock.count():
            sum(range(100_000))
        pieces += 1
    assert pieces > 1 and clock.used >= 0.01


@pytest.mark.parametrize(
    ("callers", "running"),
    [(["a"] * 9, CALLS_PER_CALLER), (list("abcdefghijklmnopqrstuvwxyz"), CALLS_AT_ONCE)],
)
async def test_few_calls_hold_transcripts_at_once(callers: list[str], running: int) -> None:
    heavy, begun = HeavyWork(), 0

    async def call(caller: str) -> None:
        nonlocal begun
        async with heavy.admit_call(caller):
            begun += 1
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        for caller in callers:
            group.start_soon(call, caller)
        await anyio.wait_all_tasks_blocked()
        assert begun == running
        group.cancel_scope.cancel()

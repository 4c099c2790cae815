"""Calls that run at once, and work that goes to a thread."""

import gc
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from threading import Lock, get_ident

import anyio
import anyio.lowlevel
import pytest

from sigmamind_mcp.concurrency import LARGE_BYTES, LargeWork, gather, gather_errors, run_if_large
from sigmamind_mcp.errors import ConfigurationError, InvalidArguments, SigmaMindError

pytestmark = pytest.mark.anyio


async def test_results_and_errors_come_in_the_order_of_the_calls() -> None:
    second_done = anyio.Event()
    error = InvalidArguments("no")

    async def first() -> str:
        await second_done.wait()
        return "first"

    async def second() -> str:
        second_done.set()
        raise error

    with anyio.fail_after(60):
        assert await gather_errors([first, second]) == ["first", error]


async def test_first_error_in_order_is_raised_after_all_calls_have_ended() -> None:
    ended: list[str] = []

    async def fail(name: str, error: SigmaMindError) -> str:
        ended.append(name)
        raise error

    async def succeed(name: str) -> str:
        await anyio.lowlevel.checkpoint()
        ended.append(name)
        return name

    calls: list[Callable[[], Awaitable[str]]] = [
        partial(succeed, "a"),
        partial(fail, "b", InvalidArguments("the first")),
        partial(fail, "c", ConfigurationError("the second")),
        partial(succeed, "d"),
    ]
    with pytest.raises(InvalidArguments, match="the first"):
        await gather(calls)

    assert sorted(ended) == ["a", "b", "c", "d"]


async def test_results_are_returned_where_no_call_fails() -> None:
    async def double(number: int) -> int:
        return number * 2

    assert await gather([partial(double, number) for number in range(20)]) == list(range(0, 40, 2))


async def test_no_more_calls_run_at_once_than_the_limit() -> None:
    running = most = 0

    async def call() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1

    await gather_errors([call] * 20, limit=3)

    assert most == 3


@pytest.mark.parametrize(("size", "in_a_thread"), [(LARGE_BYTES - 1, False), (LARGE_BYTES, True)])
async def test_only_large_data_is_worked_on_in_a_thread(size: int, in_a_thread: bool) -> None:
    def find_thread(data: str) -> tuple[str, int]:
        return data, get_ident()

    data, thread = await run_if_large(size, find_thread, "data")

    assert data == "data"
    assert (thread != get_ident()) is in_a_thread


class Body:
    """Data of which a test can see whether it is still in memory."""


def refuse(body: Body) -> None:
    try:
        raise ValueError(body)
    except ValueError:
        raise InvalidArguments("too large") from None


async def test_error_from_a_thread_does_not_keep_the_data() -> None:
    body = Body()
    kept = weakref.ref(body)
    gc.disable()  # a collection would free a cycle of references, too
    try:
        try:
            await run_if_large(LARGE_BYTES, refuse, body)
        except InvalidArguments as exc:
            assert str(exc) == "too large"
        del body
        await run_if_large(LARGE_BYTES, str, "")  # a thread keeps the data of its last work
        assert kept() is None
    finally:
        gc.enable()


async def test_large_data_is_worked_on_one_at_a_time_and_callers_take_turns() -> None:
    large, order = LargeWork(), list[str]()
    is_alone = Lock()

    def work(caller: str) -> None:
        assert is_alone.acquire(blocking=False)
        order.append(caller)
        is_alone.release()

    async with anyio.create_task_group() as group:
        for caller in ["many"] * 6 + ["a", "b"]:
            group.start_soon(partial(large.run, LARGE_BYTES, work, caller, caller=caller))
    assert order[:4] == ["many", "many", "a", "b"] or order[:3] == ["many", "a", "b"]


async def test_small_data_waits_for_no_large_data() -> None:
    large = LargeWork()
    async with large._slots.hold("many"):
        assert await large.run(LARGE_BYTES - 1, len, "data", caller="a") == 4

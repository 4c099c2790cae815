"""R32: a free slot goes to the caller that waits longest; nobody holds more than a part."""

from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest

from sigmamind_mcp.fair_slots import FairSlots

pytestmark = pytest.mark.anyio


class Office:
    """Run requests that hold their slot until `finish`; `order` is who got one, in order."""

    def __init__(self, slots: FairSlots) -> None:
        self.slots = slots
        self.order: list[str] = []
        self.finish = anyio.Event()

    async def request(self, caller: str) -> None:
        async with self.slots.hold(caller):
            self.order.append(caller)
            await self.finish.wait()


async def test_caller_that_hangs_leaves_slots_for_others() -> None:
    office = Office(FairSlots(32, per_caller=8))
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(office.request, "slow")
        await anyio.wait_all_tasks_blocked()
        assert office.order == ["slow"] * 8
        group.start_soon(office.request, "other")
        await anyio.wait_all_tasks_blocked()
        assert office.order[8:] == ["other"]
        group.cancel_scope.cancel()


async def test_one_caller_alone_may_hold_all_without_a_limit() -> None:
    office = Office(FairSlots(32, per_caller=32))
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(office.request, "only")
        await anyio.wait_all_tasks_blocked()
        assert len(office.order) == 32
        group.cancel_scope.cancel()


async def test_waiting_callers_take_turns() -> None:
    slots = FairSlots(1, per_caller=1)
    office = Office(slots)
    office.finish.set()
    async with anyio.create_task_group() as group:
        async with slots.hold("first"):
            for _ in range(5):
                group.start_soon(office.request, "many")
            for caller in ("a", "b"):
                for _ in range(2):
                    group.start_soon(office.request, caller)
            await anyio.wait_all_tasks_blocked()
    assert office.order == ["many", "a", "b", "many", "a", "b", "many", "many", "many"]
    assert sum(left != right for left, right in pairwise(office.order)) == 6


async def test_cancelled_requests_lose_no_slot_and_keep_no_place() -> None:
    slots = FairSlots(2, per_caller=1)
    for _ in range(3):
        office = Office(slots)
        async with anyio.create_task_group() as group:
            for caller in "aabbcc":
                group.start_soon(office.request, caller)
            await anyio.wait_all_tasks_blocked()
            assert office.order == ["a", "b"]
            group.cancel_scope.cancel()
    async with anyio.create_task_group() as group:
        office = Office(slots)
        office.finish.set()
        for caller in "cab":
            group.start_soon(office.request, caller)
    assert sorted(office.order) == ["a", "b", "c"]


async def test_slot_that_is_given_to_a_request_being_cancelled_goes_to_the_next() -> None:
    slots = FairSlots(1, per_caller=1)
    office = Office(slots)
    office.finish.set()
    async with anyio.create_task_group() as group:
        async with slots.hold("first"):
            scope = anyio.CancelScope()

            async def request_in_scope() -> None:
                with scope:
                    await office.request("cancelled")

            group.start_soon(request_in_scope)
            group.start_soon(office.request, "next")
            await anyio.wait_all_tasks_blocked()
        scope.cancel()
    assert office.order[-1] == "next"


async def test_free_slot_is_given_even_when_the_time_to_wait_is_over() -> None:
    slots = FairSlots(1, per_caller=1)
    with anyio.move_on_after(0) as first:
        await slots.acquire("first")
    with anyio.move_on_after(0) as second:
        await slots.acquire("second")
    assert (first.cancelled_caught, second.cancelled_caught) == (False, True)

"""Locks by name: one user at a time, and nothing left behind."""

import anyio
import anyio.lowlevel
import pytest

from sigmamind_mcp.api.keyed_locks import KeyedLocks

pytestmark = pytest.mark.anyio


async def test_one_name_has_one_holder_and_other_names_do_not_wait() -> None:
    locks = KeyedLocks()
    holders: list[str] = []
    most = 0

    async def use(name: str) -> None:
        nonlocal most
        async with locks.hold(name):
            assert name not in holders
            holders.append(name)
            most = max(most, len(holders))
            await anyio.lowlevel.checkpoint()
            holders.remove(name)

    async with anyio.create_task_group() as group:
        for number in range(60):
            group.start_soon(use, f"name {number % 3}")

    assert most == 3 and len(locks) == 0


@pytest.mark.parametrize("cancels", ["waiter", "holder"])
async def test_cancelled_user_leaves_no_lock(cancels: str) -> None:
    locks = KeyedLocks()
    released = anyio.Event()

    async def use(scope: anyio.CancelScope, entered: anyio.Event) -> None:
        with scope:
            async with locks.hold("name"):
                entered.set()
                await released.wait()

    holder, waiter = anyio.CancelScope(), anyio.CancelScope()
    held, waited = anyio.Event(), anyio.Event()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(use, holder, held)
            await held.wait()
            group.start_soon(use, waiter, waited)
            await anyio.wait_all_tasks_blocked()
            (waiter if cancels == "waiter" else holder).cancel()
            await anyio.wait_all_tasks_blocked()
            assert len(locks) == 1 and waited.is_set() == (cancels == "holder")
            released.set()

    assert len(locks) == 0


async def test_error_of_a_holder_frees_the_lock() -> None:
    locks = KeyedLocks()
    for _ in range(2):
        with pytest.raises(ValueError, match="x"):
            async with locks.hold("name"):
                raise ValueError("x")

    assert len(locks) == 0

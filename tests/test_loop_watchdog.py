"""The watchdog of the tests sees a step that blocks the event loop."""

import asyncio
from time import thread_time

from tests.support.loop_watchdog import LoopWatchdog


async def block(seconds: float) -> None:
    await asyncio.sleep(0)
    started = thread_time()
    while thread_time() - started < seconds:
        pass


def test_longest_step_of_a_test_that_runs_a_server_is_recorded() -> None:
    watchdog = LoopWatchdog()
    with watchdog.watch("quiet"):
        asyncio.run(block(0.1))
    with watchdog.watch("blocks"):
        watchdog.runs_server = True
        asyncio.run(block(0.1))

    assert list(watchdog.longest) == ["blocks"] and watchdog.longest["blocks"] >= 0.1
    assert watchdog.list_lines()[0].endswith("ms of CPU  blocks")

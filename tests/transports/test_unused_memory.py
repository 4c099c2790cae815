"""A server of many callers gives memory back to the system (R18)."""

import gc
import json
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import anyio
import httpx2
import pytest

from sigmamind_mcp.transports import unused_memory
from sigmamind_mcp.transports.traffic import Traffic
from sigmamind_mcp.transports.unused_memory import (
    GROWTH_BYTES,
    keep_returning_memory,
    read_resident_bytes,
    return_unused_memory,
)
from tests.conftest import KEY
from tests.support.all_transports import open_http_server
from tests.support.fake_api import FakeAPI
from tests.transports.raw_http import ACCEPT, CALL

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="it needs /proc"),
]

LIST_CASES = {**CALL, "params": {"name": "list_test_cases", "arguments": {"agentId": "a"}}}


class Cycle:
    """An object that only the collector of cycles frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def test_cycles_of_references_are_collected(no_collector: None) -> None:
    cycle = weakref.ref(Cycle())
    assert cycle() is not None
    await return_unused_memory()
    assert cycle() is None


@pytest.mark.parametrize(
    ("calls", "pause_seconds", "is_collected"), [(0, 60, True), (1, 60, False), (1, 0, True)]
)
async def test_memory_is_returned_after_growth_and_seldom_while_calls_run(
    monkeypatch: pytest.MonkeyPatch,
    no_collector: None,
    calls: int,
    pause_seconds: float,
    is_collected: bool,
) -> None:
    traffic, looks = Traffic(), anyio.Event()
    sizes = iter([0, *[2 * GROWTH_BYTES] * 9])

    def read_size() -> int:
        size = next(sizes, None)
        if size is None:
            looks.set()
        return size or 0

    monkeypatch.setattr(unused_memory, "read_resident_bytes", read_size)
    monkeypatch.setattr(unused_memory, "CHECK_SECONDS", 0)
    monkeypatch.setattr(unused_memory, "PAUSE_SECONDS", pause_seconds)
    traffic.calls = calls
    cycle = weakref.ref(Cycle())
    async with anyio.create_task_group() as group:
        group.start_soon(keep_returning_memory, traffic)
        with anyio.fail_after(60):
            await looks.wait()
        group.cancel_scope.cancel()
    assert (cycle() is None) is is_collected


@pytest.mark.parametrize("pause_seconds", [300, 0])
async def test_old_cycles_are_collected_after_the_calls_and_now_and_then_before(
    monkeypatch: pytest.MonkeyPatch, no_collector: None, pause_seconds: float
) -> None:
    """All objects of a large diagnosis would hold every caller for 400 ms."""
    traffic, looks = Traffic(), 0

    def read_size() -> int:
        nonlocal looks
        looks += 1
        return GROWTH_BYTES * looks

    async def wait_for_looks() -> None:
        until = looks + 20
        with anyio.fail_after(60):
            while looks < until:
                await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(unused_memory, "read_resident_bytes", read_size)
    monkeypatch.setattr(unused_memory, "CHECK_SECONDS", 0)
    monkeypatch.setattr(unused_memory, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(unused_memory, "WHOLE_PAUSE_SECONDS", pause_seconds)
    old, traffic.calls = Cycle(), 1
    gc.collect()
    cycle = weakref.ref(old)
    del old
    async with anyio.create_task_group() as group:
        group.start_soon(keep_returning_memory, traffic)
        await wait_for_looks()
        was_left = cycle() is not None
        traffic.calls = 0
        await wait_for_looks()
        group.cancel_scope.cancel()
    assert was_left is (pause_seconds > 0) and cycle() is None


def test_resident_memory_is_in_bytes() -> None:
    assert 2**24 < read_resident_bytes() < 2**34


@pytest.mark.slow
def test_memory_returns_after_many_large_answers_to_one_caller(
    tmp_path: Path, fake_api: FakeAPI, figures: list[str]
) -> None:
    """R18."""
    cases = [{"testCaseId": f"t{n}", "attempt": 1, "userPrompt": "p" * 900} for n in range(7_000)]
    fake_api.answer("GET", "/v1/test-cases", json.dumps(cases).encode())

    def call(url: str) -> int:
        headers = {**ACCEPT, "X-API-Key": KEY}
        answer = httpx2.post(f"{url}/mcp", json=LIST_CASES, headers=headers, timeout=60)
        assert "of 7,000 matching" in answer.text
        return answer.status_code

    with open_http_server(tmp_path, fake_api.url) as (server, url):
        before = server.memory()
        with ThreadPoolExecutor(24) as pool:
            assert set(pool.map(call, [url] * 24)) == {200}
        grown, end = server.memory() - before, monotonic() + 60
        while (left := server.memory() - before) > 20 and monotonic() < end:
            sleep(0.1)
    assert left <= 20
    figures.append(f"R18 24 answers of 6 MB at once: {grown:+.0f} MB, {left:+.0f} MB after it")

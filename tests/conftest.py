"""Options of the test run, and fixtures: a fake of the hosted API, our server, an MCP client."""

import faulthandler
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import mcp_types
import pytest
from mcp import Client

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.commands.backend import select_api
from sigmamind_mcp.protocol.server import open_server
from sigmamind_mcp.settings import Settings, check_base_url, check_key
from tests.support.all_transports import TRANSPORTS, Connection, open_all_transports
from tests.support.fake_api import FakeAPI, running_fake_api
from tests.support.loop_watchdog import MOST_CPU_SECONDS, LoopWatchdog

KEY = "key_canary.4f1d2c"
SPIKY_KEY = 'key_Zq7/w+"x\\Y%41.Vn5kTb0RmLc3hQe9'
"""A key that a URL, JSON, base64 and Python each encode differently."""

MEASURING_FIXTURES = {"rounds", "figures"}
SLOW_FIXTURES = MEASURING_FIXTURES | {"all_transports"}
"""A test that uses one of these measures something, or runs on every transport."""

EXIT_SECONDS = 60

FIGURES: list[str] = []
WATCHDOG = LoopWatchdog()


class RoundCount(Protocol):
    """The type of `rounds`: few rounds in the suite, many under `scripts/release/soak`."""

    def __call__(self, *, short: int, long: int) -> int: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast",
        action="store_true",
        help="leave out tests marked slow and tests that measure something: about two minutes",
    )
    parser.addoption(
        "--long",
        action="store_true",
        help="run only the tests that measure something, in their long version",
    )
    parser.addoption(
        "--minutes",
        type=float,
        default=3.0,
        help="minutes of mixed load in the long version",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select tests for --fast and --long."""
    if config.getoption("--fast"):
        _select(config, items, [item for item in items if not _is_slow(item)])
    if config.getoption("--long"):
        _select(config, items, [item for item in items if _uses_any(item, MEASURING_FIXTURES)])


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None or _uses_any(item, SLOW_FIXTURES)


def _uses_any(item: pytest.Item, fixtures: set[str]) -> bool:
    return not fixtures.isdisjoint(getattr(item, "fixturenames", ()))


def _select(config: pytest.Config, items: list[pytest.Item], kept: list[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the measured figures."""
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.line(line)
    if WATCHDOG.longest:
        terminalreporter.section("longest steps of the event loop")
        for line in WATCHDOG.list_lines():
            terminalreporter.line(line)


def pytest_sessionfinish(exitstatus: int) -> None:
    """End the process, with the stacks of its threads, if one of them keeps it from ending."""

    def end() -> None:
        faulthandler.dump_traceback()
        os._exit(exitstatus)

    timer = threading.Timer(EXIT_SECONDS, end)
    timer.daemon = True
    timer.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Measure the event loop while a test and its fixtures run."""
    with WATCHDOG.watch(item.nodeid):
        return (yield)


@pytest.fixture(autouse=True)
def _fail_if_the_loop_was_blocked(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    blocked = WATCHDOG.longest_step
    if WATCHDOG.runs_server and blocked > MOST_CPU_SECONDS:
        pytest.fail(f"the event loop was blocked for {blocked:.1f} s of CPU time")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> RoundCount:
    """Choose the number of rounds of a test."""
    is_long = request.config.getoption("--long")
    return lambda *, short, long: long if is_long else short


@pytest.fixture
def figures() -> list[str]:
    """Collect measured figures, a line each, that begins with the requirement's number."""
    return FIGURES


@pytest.fixture(scope="session")
def session_api() -> Iterator[FakeAPI]:
    with running_fake_api() as api:
        yield api


@pytest.fixture(scope="session")
def all_transports(
    tmp_path_factory: pytest.TempPathFactory, session_api: FakeAPI
) -> Iterator[dict[str, Connection]]:
    """Connect to the server on every transport, with everything logged."""
    folder = tmp_path_factory.mktemp("all_transports")
    with open_all_transports(folder, session_api.url, SPIKY_KEY) as connections:
        yield connections


@pytest.fixture
def shared_api(session_api: FakeAPI, all_transports: dict[str, Connection]) -> Iterator[FakeAPI]:
    """Serve the API behind all transports; each test starts with no answers."""
    yield session_api
    session_api.stall.set()
    for record in (session_api.answers, session_api.headers, session_api.asked):
        record.clear()


@pytest.fixture(params=TRANSPORTS)
def connection(request: pytest.FixtureRequest, all_transports: dict[str, Connection]) -> Connection:
    """Run the test once on each transport."""
    return all_transports[request.param]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def fake_api() -> Iterator[FakeAPI]:
    with running_fake_api() as api:
        yield api


@pytest.fixture
async def client(fake_api: FakeAPI) -> AsyncIterator[SigmaMindClient]:
    """Connect our API client to the fake API."""
    async with APITransport(fake_api.url) as transport:
        yield SigmaMindClient(transport, check_key(KEY))


def connected(
    *, mode: str = "auto", elicitation_callback: Any = None, **settings: Any
) -> AbstractAsyncContextManager[Client]:
    """Connect an MCP client, in memory, to a server with these settings."""
    if "base_url" in settings:
        settings["base_url"] = check_base_url(settings["base_url"])

    @asynccontextmanager
    async def connect() -> AsyncIterator[Client]:
        WATCHDOG.runs_server = True
        async with (
            open_server(Settings(**settings), select_api(Settings(**settings))) as server,
            Client(
                server, cache=None, mode=mode, elicitation_callback=elicitation_callback
            ) as client,
        ):
            yield client

    return connect()


@pytest.fixture
async def mcp(fake_api: FakeAPI) -> AsyncIterator[Client]:
    """Connect an MCP client to the server in front of the fake API."""
    async with connected(base_url=fake_api.url, api_key=KEY) as client:
        yield client


@pytest.fixture
async def sandbox_mcp() -> AsyncIterator[Client]:
    """Connect an MCP client to the server with its sandbox."""
    async with connected(sandbox=True) as client:
        yield client


async def let_cancellation_arrive() -> None:
    """Wait until a cancellation has reached the server."""
    # In memory it takes a few turns of the event loop.
    with anyio.CancelScope(shield=True):
        for _ in range(50):
            await anyio.lowlevel.checkpoint()


def text_of(result: mcp_types.CallToolResult) -> str:
    first = result.content[0]
    assert isinstance(first, mcp_types.TextContent)
    return first.text

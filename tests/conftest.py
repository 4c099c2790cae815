"""What tests share: a fake of the hosted API, the server before it, and a client that we did not write."""

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
from sigmamind_mcp.settings import Settings, check_key
from tests.support.all_transports import WIRES, Wire, open_wires
from tests.support.fake_api import FakeAPI, running_fake_api

KEY = "key_canary.4f1d2c"
SPIKY_KEY = 'key_Zq7/w+"x\\Y%41.Vn5kTb0RmLc3hQe9'
"""Written differently in a URL, in JSON, in base64 and by Python."""


class Rounds(Protocol):
    """How many rounds a test makes: few in the suite, many under `scripts/soak`."""

    def __call__(self, *, short: int, long: int) -> int: ...


FIGURES: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        action="store_true",
        help="only the tests that measure something, in their long version",
    )
    parser.addoption(
        "--minutes",
        type=float,
        default=3.0,
        help="how long the mixed load of the long version lasts",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --long, keep the tests that count rounds or print a figure."""
    if config.getoption("--long"):
        measuring = [
            item for item in items if {"rounds", "figures"} & set(getattr(item, "fixturenames", ()))
        ]
        config.hook.pytest_deselected(items=[item for item in items if item not in measuring])
        items[:] = measuring


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.line(line)


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Rounds:
    is_long = request.config.getoption("--long")
    return lambda *, short, long: long if is_long else short


@pytest.fixture
def figures() -> list[str]:
    """Where a test says what it measured, each on a line that begins with the requirement."""
    return FIGURES


@pytest.fixture(scope="session")
def wires(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeAPI, dict[str, Wire]]]:
    """An API, and the server before it on every transport, logging all that it logs."""
    with (
        running_fake_api() as api,
        open_wires(tmp_path_factory.mktemp("wires"), api.url, SPIKY_KEY) as opened,
    ):
        yield api, opened


@pytest.fixture
def wired_api(wires: tuple[FakeAPI, dict[str, Wire]]) -> Iterator[FakeAPI]:
    """The API behind the wires, which knows nothing yet."""
    api, _ = wires
    yield api
    api.stall.set()
    for remembered in (api.answers, api.headers, api.asked):
        remembered.clear()


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest, wires: tuple[FakeAPI, dict[str, Wire]]) -> Wire:
    """Each transport in turn: what a test does with it is written once."""
    return wires[1][request.param]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def fake_api() -> Iterator[FakeAPI]:
    with running_fake_api() as api:
        yield api


@pytest.fixture
async def client(fake_api: FakeAPI) -> AsyncIterator[SigmaMindClient]:
    """Our API client, in front of the fake API."""
    async with APITransport(fake_api.url) as transport:
        yield SigmaMindClient(transport, check_key(KEY))


def connected(
    *, mode: str = "auto", elicitation_callback: Any = None, **settings: Any
) -> AbstractAsyncContextManager[Client]:
    """A client of the server with these settings, connected without a transport."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Client]:
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
    """A client of the server, which is in front of the fake API."""
    async with connected(base_url=fake_api.url, api_key=KEY) as client:
        yield client


@pytest.fixture
async def sandbox_mcp() -> AsyncIterator[Client]:
    """A client of the server, which has the sandbox embedded."""
    async with connected(sandbox=True) as client:
        yield client


async def let_cancellation_arrive() -> None:
    """Let a cancellation reach the server, which in memory takes it a few turns of the event loop."""
    with anyio.CancelScope(shield=True):
        for _ in range(50):
            await anyio.lowlevel.checkpoint()


def text_of(result: mcp_types.CallToolResult) -> str:
    first = result.content[0]
    assert isinstance(first, mcp_types.TextContent)
    return first.text

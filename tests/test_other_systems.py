"""The server starts, answers and ends without the names that Windows lacks."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest

from tests.support.all_transports import META
from tests.support.processes import RawClient, environment, served
from tests.support.without_posix import list_missing_modules, list_missing_names

WITHOUT_POSIX = "tests.support.without_posix"
IMPORT_ALL = """\
import importlib, pkgutil
from tests.support.without_posix import remove_posix_names
remove_posix_names()
import sigmamind_mcp
for module in pkgutil.walk_packages(sigmamind_mcp.__path__, "sigmamind_mcp."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it removes the names of Linux")


def test_known_names_are_among_those_that_windows_lacks() -> None:
    assert list_missing_names("os") > {"fork", "geteuid", "getuid", "killpg", "setsid", "uname"}
    assert list_missing_names("signal") > {"SIGKILL", "SIGHUP", "SIGUSR1", "SIGALRM", "pause"}
    assert list_missing_names("select") > {"poll", "epoll"}
    assert list_missing_modules() > {"fcntl", "grp", "pty", "pwd", "resource", "termios"}
    assert not list_missing_names("os") & {"getpid", "kill", "cpu_count", "dup2"}
    assert not list_missing_names("signal") & {"SIGINT", "SIGTERM", "getsignal"}


@pytest.mark.slow
def test_every_module_can_be_imported() -> None:
    imported = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], env=environment(), capture_output=True, text=True
    )

    assert (imported.returncode, imported.stderr) == (0, "")


@pytest.fixture
def client() -> Iterator[RawClient]:
    client = RawClient("--sandbox", module=WITHOUT_POSIX)
    client.initialize("2025-11-25")
    yield client
    client.process.kill()
    client.close()


@pytest.mark.slow
def test_stdio_lists_and_calls_tools_and_ends_with_its_input(client: RawClient) -> None:
    tools = client.ask("tools/list", {})["result"]["tools"]
    called = client.ask("tools/call", {"name": "list_agents", "arguments": {}})

    assert "list_agents" in [tool["name"] for tool in tools]
    assert called["result"]["structuredContent"]["agents"]
    client.close()
    assert client.process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stdio_ends_at_ctrl_c_and_when_it_is_terminated(number: int, client: RawClient) -> None:
    client.process.send_signal(number)

    assert client.process.wait(60) == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_http_lists_tools_and_ends_at_a_signal(number: int) -> None:
    with served("serve", "--sandbox", module=WITHOUT_POSIX) as server:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/list",
        }
        answer = httpx2.post(f"{server.url}/mcp", json=message, headers=headers, timeout=60)

        assert "list_agents" in answer.text, answer.text
        assert server.end(number) == 0

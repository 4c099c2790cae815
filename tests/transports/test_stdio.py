"""MCP over stdio: only protocol on stdout, and how the server ends (R33, R37)."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

import pytest

from tests.conftest import RoundCount
from tests.support.fake_api import BATCH, CASE, FakeAPI
from tests.support.processes import COMMAND, RawClient, environment
from tests.transports.raw_stdio import (
    AGENT,
    IN_BATCH,
    NEW_CASE,
    WAIT,
    Server,
    call,
    reaching,
    request,
    started,
    started_together,
)

POSIX_SIGNALS = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no signals to send a process"
)

ENDINGS = ["end of input"] if sys.platform == "win32" else ["end of input", "SIGTERM", "SIGINT"]

DRAFTING = {"name": "author_test_cases", "arguments": {"agentId": AGENT}}
END_SECONDS = 6.0
WITHOUT_RECEIVERS = """
import signal, sys, anyio
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs without it
def unavailable(*signals):
    raise NotImplementedError
anyio.open_signal_receiver = unavailable
from sigmamind_mcp import cli
from sigmamind_mcp.transports import opening, stdio
opening.END_SECONDS = stdio.END_SECONDS = 600
sys.exit(cli.main([]))
"""

WITH_TIME_TO_END = """
import sys
from sigmamind_mcp import cli
from sigmamind_mcp.transports import opening, stdio
opening.END_SECONDS = stdio.END_SECONDS = {seconds}
sys.exit(cli.main([]))
"""

IMPATIENT = WITH_TIME_TO_END.format(seconds=0.5)

PATIENT = WITH_TIME_TO_END.format(
    seconds=600
)  # whatever holds up its end shows, because nothing cuts it

NOISY = """
import os, subprocess, sys
from sigmamind_mcp import cli
from sigmamind_mcp.protocol.prompts import PromptHandlers
get_prompt = PromptHandlers.get_prompt
async def noisy(self, ctx, params):
    # One string is one write, which no line of the log can break.
    print(f"noise: printed, and {len(sys.stdin.read())} characters read")
    sys.stdout.flush()
    os.write(1, b"noise: written\\n")
    subprocess.run([sys.executable, "-c", "import sys; print(f'noise: child read {len(sys.stdin.read())}')"])
    return await get_prompt(self, ctx, params)
PromptHandlers.get_prompt = noisy
sys.exit(cli.main([]))
"""


@contextmanager
def one_per_ending(fake_api: FakeAPI, script: str) -> Iterator[dict[str, Server]]:
    with started_together(len(ENDINGS), script, **reaching(fake_api)) as servers:
        yield dict(zip(ENDINGS, servers, strict=True))


def test_nothing_but_protocol_stands_on_stdout_whoever_prints(figures: list[str]) -> None:
    """R33: what a handler prints or writes to descriptor 1, or a child of it, is on stderr; neither reads our input."""
    with started(NOISY) as server:
        server.write(
            request(1, "prompts/get", DRAFTING), request(2), request(3, "prompts/get", DRAFTING)
        )
        answers = sorted(server.answer()["id"] for _ in range(3))
        server.end("end of input")
        status, lines, log = server.left()

    assert (answers, status, lines) == ([1, 2, 3], 0, [])
    for noise in ("printed, and 0 characters read", "written", "child read 0"):
        assert log.count(f"noise: {noise}") == 2
    figures.append("R33 stdio: 0 foreign bytes on stdout under print, os.write and a child")


@pytest.fixture
def arrived(fake_api: FakeAPI) -> Iterator[Callable[[], str]]:
    """A fake API that keeps a batch run's GET and a test case's POST waiting; call this to wait until one arrives."""
    seen: Queue[str] = Queue()

    def note(method: str, body: Any) -> Callable[[Any], Any]:
        def answer(asked: Any) -> Any:
            seen.put(method)
            return body

        return answer

    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", note("GET", BATCH))
    fake_api.answer("POST", "/v1/test-cases", note("POST", CASE))
    fake_api.stall.clear()
    yield lambda: seen.get(timeout=WAIT)
    fake_api.stall.set()


def truncate_line(answer: dict[str, Any]) -> Any:
    """The id of a call that is told that our end has cut it; R23: what it wrote nobody can tell any more."""
    assert "may have been made. Check" in answer["error"]["message"]
    return answer["id"]


@pytest.mark.parametrize("under_way", ["nothing", "a read", "a write"])
def test_each_ending_cancels_reads_and_finishes_writes(
    fake_api: FakeAPI,
    arrived: Callable[[], str],
    rounds: RoundCount,
    figures: list[str],
    under_way: str,
) -> None:
    """R37: end of input, SIGTERM and SIGINT end with status 0 in 6 s, the POST finished, without a traceback."""
    count, longest = rounds(short=1, long=100), 0.0
    for _ in range(count):
        fake_api.stall.clear()
        fake_api.asked.clear()
        with one_per_ending(fake_api, PATIENT) as servers:
            if under_way == "nothing":
                for server in servers.values():  # so that it is not the opening that ends
                    server.write(request("loaded", "prompts/get", DRAFTING))
                answers = [server.answer() for server in servers.values()]
                assert {answer["id"] for answer in answers} == {"loaded"}
            else:
                for server in servers.values():
                    server.write(call("read", "get_batch_run", IN_BATCH))
                assert {arrived() for _ in servers} == {"GET"}
            if under_way == "a write":
                for server in servers.values():
                    server.write(call("write", "create_test_case", NEW_CASE))
                assert {arrived() for _ in servers} == {"POST"}

            asked_at = {ending: server.end(ending) for ending, server in servers.items()}

            if under_way != "nothing":
                assert [truncate_line(server.answer()) for server in servers.values()] == [
                    "read"
                ] * len(servers)
            if under_way == "a write":
                with pytest.raises(
                    subprocess.TimeoutExpired
                ):  # a process that cut its POST would be gone
                    servers["end of input"].process.wait(0.5)
                assert [server.process.poll() for server in servers.values()] == [None] * len(
                    servers
                )
                fake_api.stall.set()
                assert [truncate_line(server.answer()) for server in servers.values()] == [
                    "write"
                ] * len(servers)
            for ending, server in servers.items():
                status, lines, log = server.left()
                longest = max(longest, time.monotonic() - asked_at[ending])
                assert (status, lines) == (0, []), (ending, log)
                assert "Traceback" not in log and "Exception" not in log
        assert len(fake_api.posts) == (len(servers) if under_way == "a write" else 0)
    assert longest < END_SECONDS
    figures.append(
        f"R37 stdio, {under_way} under way: {count} of {count} ended with status 0 by each of {', '.join(ENDINGS)};"
        f" the longest took {longest:.2f} s"
    )


def test_write_that_takes_too_long_does_not_hold_up_the_end(
    fake_api: FakeAPI, arrived: Callable[[], str], figures: list[str]
) -> None:
    """R37: an in-flight POST gets 5 s (here half a second) and no more; the status is 0 all the same."""
    with one_per_ending(fake_api, IMPATIENT) as servers:
        for server in servers.values():
            server.write(call("write", "create_test_case", NEW_CASE))
            arrived()
        asked_at = [server.end(ending) for ending, server in servers.items()]
        ended = [server.left() for server in servers.values()]
        took = time.monotonic() - min(asked_at)

    assert [(status, lines) for status, lines, _ in ended] == [(0, [])] * len(servers)
    assert not any("Traceback" in log for _, _, log in ended)
    assert 0.5 <= took < END_SECONDS
    figures.append(
        f"R37 stdio: a POST without an answer was left {took - 0.5:.2f} s after its time"
    )


@POSIX_SIGNALS
def test_second_signal_ends_at_once(fake_api: FakeAPI, arrived: Callable[[], str]) -> None:
    """R37: whoever does not want to wait for the POST asks twice."""
    with started(**reaching(fake_api)) as server:
        server.write(
            call("read", "get_batch_run", IN_BATCH), call("write", "create_test_case", NEW_CASE)
        )
        assert {arrived(), arrived()} == {"GET", "POST"}
        server.end("SIGTERM")
        assert server.answer()["id"] == "read"  # the first one has been heard
        server.end("SIGINT")
        status, lines, log = server.left()

    assert (status, lines, "Traceback" in log) == (-signal.SIGINT, [], False)


@POSIX_SIGNALS
def test_signal_behind_the_end_of_input_still_lets_the_write_finish(
    fake_api: FakeAPI, arrived: Callable[[], str]
) -> None:
    """R37: clients close stdin and send SIGTERM two seconds later."""
    with started(**reaching(fake_api)) as server:
        server.write(
            call("read", "get_batch_run", IN_BATCH), call("write", "create_test_case", NEW_CASE)
        )
        assert {arrived(), arrived()} == {"GET", "POST"}
        server.end("end of input")
        assert server.answer()["id"] == "read"
        server.end("SIGTERM")
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(0.3)
        fake_api.stall.set()
        answer = server.answer()
        status, _, _ = server.left()

    assert (answer["id"], status) == ("write", 0)


def test_client_that_closes_our_stdout_ends_the_server_quietly(fake_api: FakeAPI) -> None:
    """R37: whoever cannot be answered is gone."""
    server = Server(**reaching(fake_api))
    assert server.process.stdin and server.process.stdout and server.process.stderr
    with server.process.stdin, server.process.stderr:
        server.initialize()
        assert b'"id":"initialize"' in server.process.stdout.readline()
        server.process.stdout.close()
        server.write(request(1), b"no JSON", request(2))
        status = server.process.wait(WAIT)
        log = server.process.stderr.read().decode()

    assert status == 0
    assert all(json.loads(line)["event"] == "call" for line in log.splitlines())


def test_client_that_reads_nothing_does_not_hold_up_the_end(fake_api: FakeAPI) -> None:
    """R37: a write that waits for the client cannot be cancelled, and ends with the process."""
    server = Server(IMPATIENT, **reaching(fake_api))
    assert server.process.stdin and server.process.stdout and server.process.stderr
    with server.process.stdin, server.process.stdout, server.process.stderr:
        server.initialize()
        assert b'"id":"initialize"' in server.process.stdout.readline()
        server.write(
            *(request(number, "tools/list") for number in range(20))
        )  # over a megabyte of answers
        server.end("end of input")
        status = server.process.wait(WAIT)

    assert status == 0


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending != "SIGTERM"])
def test_where_signals_cannot_be_received_the_server_still_starts_and_ends(
    fake_api: FakeAPI, arrived: Callable[[], str], ending: str
) -> None:
    """R37: signal receivers are optional, as on Windows, where Ctrl+C is all that comes; the POST is finished."""
    with started(WITHOUT_RECEIVERS, **reaching(fake_api)) as server:
        server.write(
            call("read", "get_batch_run", IN_BATCH), call("write", "create_test_case", NEW_CASE)
        )
        assert {arrived(), arrived()} == {"GET", "POST"}
        server.end(ending)
        assert server.answer()["id"] == "read"
        assert server.process.poll() is None
        fake_api.stall.set()
        status, _, log = server.left()

    assert (status, "Traceback" in log) == (0, False)
    assert len(fake_api.posts) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a shell starts it without stdin")
def test_without_stdin_the_server_says_who_starts_it() -> None:
    """R37: a mistake at the start is told, not thrown."""
    ended = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" <&-', *COMMAND],
        env=environment(),
        capture_output=True,
        timeout=WAIT,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (2, b"")
    assert (
        b"Start sigmamind-mcp from an MCP client" in ended.stderr
        and b"Traceback" not in ended.stderr
    )


def test_nothing_but_protocol_stands_on_stdout_and_end_of_input_ends_the_server() -> None:
    raw = RawClient(SIGMAMIND_API_KEY="key_stdio")
    raw.initialize("2025-11-25")
    raw.ask("tools/list", {})

    left, log = raw.close()

    assert (left, raw.process.returncode) == ("", 0)
    assert "key_stdio" not in log and "Traceback" not in log

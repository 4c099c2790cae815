"""The opening answers before the server is loaded; what follows is the server's, as if it had been there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from sigmamind_mcp.protocol.recorded_listings import ENVELOPE_REVISION, HANDSHAKE_REVISIONS
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.transports import opening as opening_module
from sigmamind_mcp.transports.opening import QUIET_SECONDS, Opening
from tests.checks.listings import ENVELOPE, ask_models, build_requests
from tests.support.processes import environment
from tests.transports.raw_stdio import CLIENT, WAIT, Server, request
from tests.transports.test_stdio import ENDINGS, POSIX_SIGNALS

INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
HELLO = (request("initialize", "initialize", CLIENT), INITIALIZED)
GUIDE = {"uri": "sigmamind://guide/getting-started"}

SCRIPT = """
import os, sys, threading
from sigmamind_mcp import cli
from sigmamind_mcp.transports import opening
opening.QUIET_SECONDS = {quiet}
opening.END_SECONDS = {end}
class Gate:
    def find_spec(self, name, path=None, target=None):
        if name == "mcp":
            os.write(2, b"loading\\n")
            {gate}
sys.meta_path.insert(0, Gate())
{more}
status = cli.main([])
os.write(2, b"loaded\\n" if "mcp" in sys.modules else b"never loaded\\n")
sys.exit(status)
"""


def script(*, quiet: float = 600, end: float = 5, gate: str = "pass", more: str = "") -> str:
    """A server that loads the SDK after `quiet` seconds, and runs `gate` when it does."""
    return SCRIPT.format(quiet=quiet, end=end, gate=gate, more=more)


@contextmanager
def opened(code: str, **variables: str) -> Iterator[Server]:
    """A server that has got nothing so far."""
    server = Server(code, **variables)
    server.listen()
    try:
        yield server
    finally:
        server.close()


def has_logged(server: Server, word: str) -> bool:
    return word in b"".join(server._log).decode()


def wait_for_log(server: Server, word: str) -> None:
    """Wait until the server has written a line with this word on stderr."""
    for _ in range(int(WAIT * 100)):
        if has_logged(server, word):
            return
        server.process.poll()
        server._threads[1].join(0.01)
    raise AssertionError(f"no {word} in {server._log}")


def list_calls(log: str) -> list[str]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line.get("method", line["event"]) for line in lines]


def test_client_that_only_lists_never_loads_the_server() -> None:
    with opened(script()) as server:
        server.write(*HELLO, request(1, "tools/list"), request(2, "prompts/list"), request(3))
        ids = [server.answer()["id"] for _ in range(4)]
        server.end("end of input")

        assert ids == ["initialize", 1, 2, 3]
        assert server.left() == (0, [], "never loaded\n")


BROKEN_OPENING = """
from sigmamind_mcp.transports.early_answers import EarlyAnswers
EarlyAnswers.answer = lambda self, line: 1 / 0
"""


def test_server_answers_what_breaks_the_opening() -> None:
    with opened(script(more=BROKEN_OPENING)) as server:
        server.write(*HELLO, request(1))
        ids = [server.answer()["id"] for _ in range(2)]
        server.end("end of input")

        assert ids == ["initialize", 1]
        assert server.left()[0] == 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("revision", "quiet"),
    [(revision, 600) for revision in (*HANDSHAKE_REVISIONS, ENVELOPE_REVISION)]
    + [("2025-11-25", 0), (ENVELOPE_REVISION, 0)],
)
async def test_server_takes_over_every_session_where_the_opening_left_it(
    revision: str, quiet: float
) -> None:
    """Each request has one answer, the server's own; each is in the server's log."""
    envelope = ENVELOPE if revision == ENVELOPE_REVISION else {}
    requests = [
        *build_requests(revision),
        ("resources/read", {**GUIDE, **envelope}),
        ("tools/list", {"cursor": "x", **envelope}),
    ]
    lines = [request(number, method, it) for number, (method, it) in enumerate(requests)]

    with opened(script(quiet=quiet)) as server:
        server.write(*lines)
        answers = [server.answer() for _ in requests]
        server.end("end of input")
        status, left, log = server.left()

    expected = await ask_models(Settings(), requests)
    assert sorted(answers, key=lambda answer: answer["id"]) == expected
    assert [answer["id"] for answer in answers[:-2]] == [*range(len(requests) - 2)]
    assert (status, left) == (0, [])
    assert sorted(list_calls(log)) == sorted(method for method, _ in requests)


def test_server_takes_over_soon_after_the_last_answer_without_another_message() -> None:
    with opened(script(quiet=0.01)) as server:
        server.write(*HELLO, request(1, "tools/list"))
        wait_for_log(server, "tools/list")
        server.end("end of input")
        status, left, log = server.left()

    assert (status, [json.loads(line)["id"] for line in left]) == (0, ["initialize", 1])
    assert list_calls(log) == ["initialize", "tools/list"]


ODD = {
    "unknown version": [request(0, "initialize", {**CLIENT, "protocolVersion": "2099-01-01"})],
    "no JSON": [b"{"],
    "list before the handshake": [request(0, "tools/list")],
    "repeated id": [*HELLO, request("initialize", "tools/list")],
}


@pytest.mark.parametrize("name", ODD)
def test_whatever_is_odd_waits_for_the_server(name: str) -> None:
    """Its answer comes once, after the early ones, from the server."""
    with opened(script()) as server:
        server.write(*ODD[name])
        if ODD[name][0] == HELLO[0]:
            assert server.answer()["id"] == "initialize"
        answer = server.answer()
        assert has_logged(server, "loading")
        server.write(request("last"))
        last = server.answer()
        server.end("end of input")
        status, left, _ = server.left()

    assert answer["id"] in (0, None, "initialize")
    assert (last["id"], status, left) == ("last", 0, [])


# Python does not notice a signal that comes just before a wait until the wait is over. So the
# waits are as short as the product's, and the time for the import never comes.
STILL_CLOCK = "opening.monotonic = lambda: 0.0"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("asked", ["nothing", "lists"])
def test_each_ending_before_the_import_ends_with_status_0(ending: str, asked: str) -> None:
    with opened(script(quiet=QUIET_SECONDS, more=STILL_CLOCK)) as server:
        if asked == "lists":
            server.write(*HELLO, request(1, "tools/list"))
            assert [server.answer()["id"] for _ in range(2)] == ["initialize", 1]
        else:
            wait_until_reading(server)
        server.end(ending)
        status, left, log = server.left()

    assert (status, left, "Traceback" in log) == (0, [], False)
    assert "loading" not in log


SIGNALS_GO_TO_OTHER_THREADS = """
import signal
wait = opening.Opening.wait_until_needed
def wait_without_signals(self):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    return wait(self)
opening.Opening.wait_until_needed = wait_without_signals
"""


@POSIX_SIGNALS
@pytest.mark.parametrize("ending", ["SIGTERM", "SIGINT"])
def test_signal_that_interrupts_no_wait_ends_with_status_0(ending: str) -> None:
    more = STILL_CLOCK + SIGNALS_GO_TO_OTHER_THREADS
    with opened(script(quiet=QUIET_SECONDS, more=more)) as server:
        wait_until_reading(server)
        server.end(ending)
        status, left, log = server.left()

    assert (status, left, log) == (0, [], "")


def wait_until_reading(server: Server) -> None:
    """Wait until the opening has replaced the signal handlers and reads."""
    server.write(request("initialize", "initialize", CLIENT))
    assert server.answer()["id"] == "initialize"


@POSIX_SIGNALS
@pytest.mark.parametrize("ending", ["SIGTERM", "SIGINT"])
def test_signal_during_the_import_ends_with_status_0(ending: str) -> None:
    gate = "while True: threading.Event().wait(0.1)"
    with opened(script(quiet=0, gate=gate)) as server:
        server.write(*HELLO)
        wait_for_log(server, "loading")
        server.end(ending)
        status, left, log = server.left()

    assert (status, "Traceback" in log) == (0, False)
    assert [json.loads(line)["id"] for line in left] == ["initialize"]


def test_end_of_input_during_the_import_still_answers_what_was_asked() -> None:
    gate = "sys.stdin.read(); opened.wait(60)"
    more = """
opened = threading.Event()
take = opening.Opening._read
def note(self):
    lines = self._lines
    def until_end():
        yield from lines
        opened.set()
    self._lines = until_end()
    take(self)
opening.Opening._read = note
"""
    with opened(script(quiet=0, gate=gate, more=more)) as server:
        server.write(*HELLO, request(1, "tools/list"))
        wait_for_log(server, "loading")
        server.end("end of input")
        status, left, log = server.left()

    assert (status, [json.loads(line)["id"] for line in left]) == (0, ["initialize", 1])
    assert "Traceback" not in log and "cut" not in log


def test_installation_without_the_sdk_says_so_before_it_ends() -> None:
    with opened(script(gate="raise ImportError('not installed')")) as server:
        server.write(*HELLO, request(1, "tools/list"), request(2, "resources/read", GUIDE))
        ids = [server.answer()["id"] for _ in range(2)]
        status, left, log = server.left()

    assert (ids, status, left) == (["initialize", 1], 1, [])
    assert "ImportError: not installed" in log


def test_record_that_differs_from_the_server_is_in_the_log() -> None:
    more = """
from sigmamind_mcp.transports import early_answers
read = early_answers.read_listings
def read_other(settings):
    listings = read(settings)
    listings.handshake["tools/list"]["tools"].pop()
    return listings
early_answers.read_listings = read_other
"""
    with opened(script(more=more)) as server:
        server.write(*HELLO, request(1, "tools/list"), request(2, "resources/read", GUIDE))
        ids = [server.answer()["id"] for _ in range(3)]
        server.end("end of input")
        status, left, log = server.left()

    warnings = [json.loads(line)["event"] for line in log.splitlines() if '"warning"' in line]
    assert (ids, status, left) == (["initialize", 1, 2], 0, [])
    assert warnings == ["tools/list: the recorded answer is not this server's"]


@contextmanager
def small_pipe(code: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server whose stdout holds 4 KB, and the end of it that a client reads."""
    fcntl = pytest.importorskip("fcntl")
    reading, writing = os.pipe()
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        pytest.skip("this system cannot make a pipe smaller")
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE, env=environment()
    )
    os.close(writing)
    try:
        yield process, reading
    finally:
        process.kill()
        process.wait(WAIT)
        for end in (process.stdin, process.stderr):
            assert end
            with suppress(OSError):  # what could not be flushed
                end.close()
        os.close(reading)


MANY_LISTS = b"".join(
    line + b"\n" for line in [*HELLO, *(request(number, "tools/list") for number in range(20))]
)


@pytest.mark.parametrize("last", [b"", request("call", "resources/read", GUIDE) + b"\n"])
def test_client_that_reads_nothing_does_not_hold_up_the_end(last: bytes) -> None:
    """The end of input is seen whatever waits to be read, before the import and after it."""
    more = "from sigmamind_mcp.transports import stdio; stdio.END_SECONDS = 0.5"
    with small_pipe(script(end=0.5, more=more if last else "")) as (process, _):
        assert process.stdin
        process.stdin.write(MANY_LISTS + last)
        process.stdin.close()
        status = process.wait(WAIT)

    assert status == 0


STOP_WHILE_REPEATING = """
import signal
from sigmamind_mcp.transports import stdio
stdio.END_SECONDS = stdio.REPLAY_SECONDS = 600
def stop(client, answer):  # the end of the input cancels what is not answered yet
    stdio._Client._repeats_early = lambda client, answer: True
    os.kill(os.getpid(), signal.SIGTERM)
    return True
stdio._Client._repeats_early = stop
"""


@POSIX_SIGNALS
def test_signal_while_early_answers_are_repeated_ends_at_once() -> None:
    with opened(script(more=STOP_WHILE_REPEATING)) as server:
        server.write(*HELLO, request("list", "tools/list"))
        assert {server.answer()["id"], server.answer()["id"]} == {"initialize", "list"}
        server.write(request("guide", "resources/read", GUIDE))
        status, _, log = server.left()

    assert (status, "Traceback" in log) == (0, False)


@pytest.mark.parametrize("quiet", [0, 600])
def test_client_that_reads_late_gets_every_answer_whole_and_in_order(quiet: float) -> None:
    with small_pipe(script(quiet=quiet)) as (process, reading):
        assert process.stdin
        process.stdin.write(MANY_LISTS + request("last", "resources/read", GUIDE) + b"\n")
        process.stdin.flush()
        with os.fdopen(os.dup(reading), "rb") as answers:
            ids = [json.loads(answers.readline())["id"] for _ in range(22)]
            process.stdin.close()
            rest = answers.read()

    assert ids == ["initialize", *range(20), "last"]
    assert rest == b""


@pytest.fixture
def pipes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Our ends of an opening's pipes in this process: to write to it, and to read from it."""
    (stdin, to_it), (from_it, stdout) = os.pipe(), os.pipe()
    monkeypatch.setattr(opening_module, "claim_streams", lambda: (stdin, stdout))
    monkeypatch.setattr(opening_module, "QUIET_SECONDS", WAIT)
    yield to_it, from_it
    for descriptor in (to_it, from_it):
        with suppress(OSError):  # closed already
            os.close(descriptor)


def test_opening_in_threads_needs_pipes_only(pipes: tuple[int, int]) -> None:
    """What Windows has: threads that read and write, with nothing to select or to signal."""
    to_it, from_it = pipes
    opening = Opening(Settings())
    received: list[bytes] = []
    os.write(
        to_it, b"\n".join([*HELLO, request(1, "ping"), request(2, "resources/read", GUIDE), b""])
    )

    assert opening.wait_until_needed()
    early = [bytes(line.start) for line in opening.end()]
    assert opening.finish_writing()
    answers = os.read(from_it, 65_536).splitlines()
    opening.hand_over(lambda lines: received.extend(bytes(line.start) for line in lines))
    os.write(to_it, request(3))
    os.close(to_it)
    opening.reader.join(WAIT)

    assert early == [*HELLO, request(1, "ping")]
    assert [json.loads(line)["id"] for line in answers] == ["initialize", 1]
    assert received == [request(2, "resources/read", GUIDE), request(3)]


def test_client_that_closes_its_end_is_gone(pipes: tuple[int, int]) -> None:
    to_it, from_it = pipes
    os.close(from_it)
    opening = Opening(Settings())
    os.write(to_it, HELLO[0] + b"\n")

    assert not opening.wait_until_needed()


def test_message_after_the_opening_has_ended_gets_no_early_answer(pipes: tuple[int, int]) -> None:
    to_it, _ = pipes
    opening = Opening(Settings())
    received: list[bytes] = []

    assert opening.end() == []
    opening.hand_over(lambda lines: received.extend(bytes(line.start) for line in lines))
    os.write(to_it, HELLO[0])
    os.close(to_it)
    opening.reader.join(WAIT)

    assert (received, opening.given) == ([HELLO[0]], {})

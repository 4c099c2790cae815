"""What stdio does with hostile lines, with output that is not protocol, and at its end (R33, R37)."""

import json
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from random import Random
from threading import Thread
from typing import Any

import pytest

from sigmamind_mcp.transports.json_lines import InvalidLine, Line, read_message
from tests.conftest import Rounds
from tests.support.fake_api import BATCH, CASE, FakeAPI
from tests.support.processes import COMMAND, environment

AGENT = "agent_D5D0p7TUs66TTAEAx"
NEW_CASE = {"agentId": AGENT, "userPrompt": "x", "successCriteria": "y"}
IN_BATCH = {"agentId": AGENT, "batchId": "batch_s0OJu2JWR8R45Fai"}
CLIENT = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "raw", "version": "1"},
}
POSIX_SIGNALS = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no signals to send a process"
)
ENDINGS = ["end of input"] if sys.platform == "win32" else ["end of input", "SIGTERM", "SIGINT"]
WAIT = 60.0
END_SECONDS = 6.0

WITHOUT_RECEIVERS = """
import signal, sys, anyio
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs without it
def unavailable(*signals):
    raise NotImplementedError
anyio.open_signal_receiver = unavailable
from sigmamind_mcp import cli
from sigmamind_mcp.transports import stdio
stdio.END_SECONDS = 600
sys.exit(cli.main([]))
"""
WITH_TIME_TO_END = """
import sys
from sigmamind_mcp import cli
from sigmamind_mcp.transports import stdio
stdio.END_SECONDS = {seconds}
sys.exit(cli.main([]))
"""
IMPATIENT = WITH_TIME_TO_END.format(seconds=0.5)
PATIENT = WITH_TIME_TO_END.format(
    seconds=600
)  # whatever holds up its end shows, because nothing cuts it
NOISY = """
import os, subprocess, sys
from sigmamind_mcp import cli
from sigmamind_mcp.protocol import server
list_tools = server._Offer.list_tools
async def noisy(self, ctx, params):
    print("noise: printed, and", len(sys.stdin.read()), "characters read")
    sys.stdout.flush()
    os.write(1, b"noise: written\\n")
    subprocess.run([sys.executable, "-c", "import sys; print('noise: child read', len(sys.stdin.read()))"])
    return await list_tools(self, ctx, params)
server._Offer.list_tools = noisy
sys.exit(cli.main([]))
"""


def request(number: int | str, method: str = "ping", params: Any = None) -> bytes:
    message = {
        "jsonrpc": "2.0",
        "id": number,
        "method": method,
        "params": {} if params is None else params,
    }
    return json.dumps(message).encode()


def call(number: int | str, tool: str, arguments: Any) -> bytes:
    return request(number, "tools/call", {"name": tool, "arguments": arguments})


class Server:
    """The server's process, spoken to in bytes; what it writes is read as it comes."""

    def __init__(self, script: str | None = None, **variables: str) -> None:
        command = COMMAND if script is None else [sys.executable, "-c", script]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**variables),
        )
        self._lines: Queue[bytes | None] = Queue()
        self._log: list[bytes] = []
        self._threads = [Thread(target=self._hear), Thread(target=self._note)]

    def initialize(self) -> None:
        self.write(
            request("initialize", "initialize", CLIENT),
            b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
        )

    def listen(self) -> None:
        for thread in self._threads:
            thread.start()

    def _hear(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _note(self) -> None:
        assert self.process.stderr
        self._log.extend(self.process.stderr)

    def write(self, *lines: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.writelines(line + b"\n" for line in lines)
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        line = self._lines.get(timeout=WAIT)
        assert line is not None, b"".join(self._log)
        answer: dict[str, Any] = json.loads(line)
        assert answer["jsonrpc"] == "2.0"
        return answer

    def answers_until(self, number: int | str) -> list[dict[str, Any]]:
        """Everything it writes up to the answer to this request."""
        answers = [self.answer()]
        while answers[-1].get("id") != number:
            answers.append(self.answer())
        return answers

    def end(self, ending: str) -> float:
        """Ask it to end; returns when that was."""
        if ending == "end of input":
            assert self.process.stdin
            self.process.stdin.close()
        else:
            self.process.send_signal(getattr(signal, ending))
        return time.monotonic()

    def left(self) -> tuple[int, list[bytes], str]:
        """Its exit status, what it wrote last, and its log."""
        status = self.process.wait(WAIT)
        for thread in self._threads:
            thread.join(WAIT)
        lines = list(iter(self._lines.get_nowait, None))
        return status, lines, b"".join(self._log).decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(WAIT)
        for thread in self._threads:
            thread.join(WAIT)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe
            with suppress(OSError):  # what could not be flushed
                pipe.close()

    def memory(self) -> float | None:
        """Its resident memory in MB, where the system tells."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return None
        line = next(
            line
            for line in status.read_text(encoding="utf-8").splitlines()
            if line.startswith("VmRSS")
        )
        return int(line.split()[1]) / 1024


@contextmanager
def started(script: str | None = None, **variables: str) -> Iterator[Server]:
    with started_together(1, script, **variables) as [server]:
        yield server


@contextmanager
def started_together(
    count: int, script: str | None = None, **variables: str
) -> Iterator[list[Server]]:
    servers = [Server(script, **variables) for _ in range(count)]
    try:
        for server in servers:
            server.listen()
            server.initialize()
        assert [server.answer()["id"] for server in servers] == ["initialize"] * count
        yield servers
    finally:
        for server in servers:
            server.close()


def reaching(fake_api: FakeAPI) -> dict[str, str]:
    return {"SIGMAMIND_BASE_URL": fake_api.url, "SIGMAMIND_API_KEY": "key_stdio"}


@contextmanager
def one_per_ending(fake_api: FakeAPI, script: str) -> Iterator[dict[str, Server]]:
    with started_together(len(ENDINGS), script, **reaching(fake_api)) as servers:
        yield dict(zip(ENDINGS, servers, strict=True))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with started() as server:
        yield server


DEEP = b"[" * 5_000 + b"]" * 5_000
VERY_DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
NO_MESSAGE = "Send a JSON-RPC request"
NO_JSON = "This line is not JSON."
TOO_DEEP = "A message is nested at most 100 deep."
TOO_LONG = "A message has at most 4 MiB."
BIG = b'"' + b"a" * 5_000_000 + b'"'


def refused(number: int | str | None, code: int, sentence: str) -> tuple[Any, ...]:
    return (number, code, sentence)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"\xff\xfe\x00garbage", [refused(None, -32700, NO_JSON)]),
        (b"null", [refused(None, -32600, NO_MESSAGE)]),
        (b'"text"', [refused(None, -32600, NO_MESSAGE)]),
        (b"7", [refused(None, -32600, NO_MESSAGE)]),
        (b"{}", [refused(None, -32600, NO_MESSAGE)]),
        (b"[]", [refused(None, -32600, "Batches are not served.")]),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":"b","method":"ping"},{"method":"x"}]',
         [refused(1, -32600, "Batches are not served."), refused("b", -32600, "Batches are not served.")]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"', [refused(1, -32700, NO_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping",}', [refused(1, -32700, NO_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"pi\x00ng"}', [refused(1, -32700, NO_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"ping"}', [refused(1, -32700, NO_JSON)]),
        (b'{"method":"ping","params":{"a":[1,{"id":3},"}"],"b":bad},"jsonrpc":"2.0","id":"\xe9\\ud800x"}', [refused("\ufffd\ufffdx", -32700, NO_JSON)]),
        (b'{"method":"ping","params":{"id":3,"a":,"jsonrpc":"2.0","id":4.5}', [refused(None, -32700, NO_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}', [refused(1, -32700, NO_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":-Infinity}}', [refused(1, -32700, NO_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":1e999}}', [refused(1, -32700, NO_JSON)]),
        (b'{"jsonrpc":"2.0","id":1' + b"0" * 5_000 + b',"method":"ping"}', [refused(None, -32700, NO_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + DEEP + b"}}", [refused(1, -32600, TOO_DEEP)]),
        (b'{"method":"ping","params":{"a":' + VERY_DEEP + b'},"jsonrpc":"2.0","id":1}', [refused(1, -32600, TOO_DEEP)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b'{"a":' * 100 + b"1" + b"}" * 101, [refused(1, -32600, TOO_DEEP)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + BIG + b"}", [refused(1, -32600, TOO_LONG)]),
        (b'{"method":"ping","params":{"a":' + BIG + b'},"jsonrpc":"2.0","id":"last"}', [refused("last", -32600, TOO_LONG)]),
        (b'{"method":"ping","params":{"a":' + BIG + b',"id":3},"jsonrpc":"2.0"}', [refused(None, -32600, TOO_LONG)]),
        (b'{"method":"ping","params":{"a":[' + BIG + b'],"text":"\\"id\\":3}"}}', [refused(None, -32600, TOO_LONG)]),
        (b'{"jsonrpc":"2.0","id":' + BIG + b',"method":"ping"}', [refused(None, -32600, TOO_LONG)]),
        (BIG, [refused(None, -32600, TOO_LONG)]),
        (b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"a":' + BIG + b"}}", []),
        (b'{"jsonrpc":"2.0","id":1,"result":{"a":' + BIG + b"}}", []),
        (b'{"id":1,"method":"ping"}', [refused(1, -32600, NO_MESSAGE)]),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', [refused(1, -32600, NO_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":1}', [refused(1, -32600, NO_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', [refused(1, -32600, NO_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', [refused(1, -32600, NO_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":"a","method":"ping","params":"x"}', [refused("a", -32600, NO_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', [refused(None, -32600, NO_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', [refused(None, -32600, NO_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', [refused(None, -32600, NO_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', [refused(None, -32600, NO_MESSAGE)]),
        (b"", []),
        (b" \t\r", []),
        (b'{"jsonrpc":"2.0","method":"notifications/unknown"}', []),
        (b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":[1]}', []),
        (b'{"jsonrpc":"2.0","id":99,"result":{}}', []),
        (b'{"jsonrpc":"2.0","id":99,"result":"text"}', []),
        (b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"x"}}', []),
    ],
    ids=lambda value: repr(bytes(value[:60])) if isinstance(value, bytes) else "",
)  # fmt: skip
def test_line_that_is_no_message_is_refused_under_its_id(
    server: Server, line: bytes, expected: list[Any]
) -> None:
    """R33: refused in words, with the id that can be read; the next request is answered."""
    server.write(line, request("after"))

    *refusals, after = server.answers_until("after")

    assert [answer["id"] for answer in refusals] == [number for number, _, _ in expected]
    for answer, (_, code, sentence) in zip(refusals, expected, strict=True):
        assert answer["error"]["code"] == code and answer["error"]["message"].startswith(sentence)
        assert set(answer["error"]) == {"code", "message"}
    assert after["result"] == {}


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b'"\xff\xfe"', "\ufffd\ufffd"),
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
        (rb'"\ud800"', "\ufffd"),
        (rb'"\uDC00\uD83D"', "\ufffd\ufffd"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\\ud800"', "\\ud800"),
        (rb'"\\\ud800\\"', "\\\ufffd\\"),
    ],
)
def test_text_that_no_unicode_spells_is_replaced_and_the_call_answered(
    server: Server, sent: bytes, name: str
) -> None:
    """R33: bad UTF-8 and half a character never cost the answer; an id with them comes back as it was understood."""
    server.write(b'{"jsonrpc":"2.0","id":' + sent + b',"method":"tools/list"}')

    answer = server.answer()

    assert answer["id"] == name and "tools" in answer["result"]


def test_request_of_4_mib_is_served(server: Server) -> None:
    """R33: the cap is on what is larger."""
    filling = 4 * 2**20 - len(request(1, "ping", {"a": ""}))
    server.write(
        request(1, "ping", {"a": "a" * filling}), request(2, "ping", {"a": "a" * (filling + 1)})
    )

    answers = sorted([server.answer(), server.answer()], key=lambda answer: int(answer["id"]))

    assert answers[0]["result"] == {} and answers[1]["error"]["message"].startswith(TOO_LONG)


def test_refusals_of_a_large_batch_are_made_as_they_are_sent() -> None:
    """R33: a line of 4 MiB has room for half a million requests, each of which is refused under its id."""
    line = Line(bytearray(b"[" + b",".join([b'{"id":1}'] * 50_000) + b"]"))
    tracemalloc.start()
    with pytest.raises(InvalidLine) as raised:
        read_message(line)
    count = sum(1 for _ in raised.value.answers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 50_000
    assert peak < 20_000_000  # most of it is the batch itself


def fuzzed(random: Random, number: int) -> tuple[int | str, bytes]:
    """A call with a readable id, spoilt somewhere behind it or before it."""
    names: list[int | str] = [number, f"id_{number}", f"é {number}"]
    name = random.choice(names)
    spelt = json.dumps(name, ensure_ascii=random.random() < 0.5).encode()
    depth = int(10 ** random.uniform(0, 5))
    value = random.choice(
        [
            b'"plain"',
            b'"' + random.randbytes(random.randrange(60)).replace(b"\n", b"\xff") + b'"',
            b'"\\u%04x\\u%04x"'
            % (random.randrange(0xD800, 0xE000), random.randrange(0xD700, 0xE100)),
            b"[" * depth + b"]" * depth,
            random.choice([b"NaN", b"1e999", b"-Infinity", b"nul", b"", b"'x'", b"1" * 5_000]),
            random.choice([b"{}", b"[1,2]", b"{'a':1}", b'{"id":1}', b'{"id":"x"', b'"}']),
        ]
    )
    if random.random() < 0.005:
        value = b'"' + b"a" * random.randrange(4_000_000, 6_000_000) + b'"'
    params = b'{"name":"get_agent","arguments":{"agentId":' + value + b"}}"
    if random.random() < 0.2:
        params = value
    if random.random() < 0.3:
        return (
            name,
            b'{"method":"tools/call","params":' + params + b',"jsonrpc":"2.0","id":' + spelt + b"}",
        )
    line = b'{"jsonrpc":"2.0","id":' + spelt + b',"method":"tools/call","params":' + params + b"}"
    if random.random() < 0.2:
        line = line[: random.randrange(line.index(b',"method"') + 1, len(line))]
    return name, line


def test_every_fuzzed_request_is_answered_once(rounds: Rounds, figures: list[str]) -> None:
    """R33: 10,000 lines, 0 unanswered, memory +20 MB at most; the next good call works."""
    random, count = Random(33), rounds(short=500, long=10_000)
    with started() as server:
        server.write(*(fuzzed(random, number)[1] for number in range(-50, 0)), request("warm"))
        server.answers_until("warm")
        before = server.memory()
        sent: set[int | str] = set()
        answered: list[int | str | None] = []
        hearing = Thread(
            target=lambda: answered.extend(a["id"] for a in server.answers_until("done"))
        )
        hearing.start()
        for number in range(count):
            name, line = fuzzed(random, number)
            sent.add(name)
            server.write(line)
        server.write(b'{"jsonrpc":"2.0","id":"fifty","method":"' + b"a" * 50_000_000 + b'"}')
        server.write(request("done", "tools/list"))
        hearing.join(WAIT + count / 20)
        while missing := sent - set(answered):  # a call may be answered behind a later one
            answered.append(server.answer()["id"])
        after = server.memory()
        server.write(request("next", "tools/list"))

        assert "tools" in server.answer()["result"]
        assert Counter(name for name in answered if name in sent) == Counter(sent)
        assert {"fifty", "done"} <= set(answered)
        grown = ""
        if before and after:
            assert after - before < 20
            grown = f", memory {after - before:+.1f} MB"
        figures.append(
            f"R33 stdio: {count:,} fuzzed lines and one of 50 MB: {len(missing)} unanswered{grown}"
        )


def test_nothing_but_protocol_stands_on_stdout_whoever_prints(figures: list[str]) -> None:
    """R33: what a handler prints or writes to descriptor 1, or a child of it, is on stderr; neither reads our input."""
    with started(NOISY) as server:
        server.write(request(1, "tools/list"), request(2), request(3, "tools/list"))
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
    assert "may have been done: look" in answer["error"]["message"]
    return answer["id"]


@pytest.mark.parametrize("under_way", ["nothing", "a read", "a write"])
def test_each_ending_cancels_reads_and_finishes_writes(
    fake_api: FakeAPI,
    arrived: Callable[[], str],
    rounds: Rounds,
    figures: list[str],
    under_way: str,
) -> None:
    """R37: end of input, SIGTERM and SIGINT end with status 0 in 6 s, the POST finished, without a traceback."""
    count, longest = rounds(short=1, long=100), 0.0
    for _ in range(count):
        fake_api.stall.clear()
        fake_api.asked.clear()
        with one_per_ending(fake_api, PATIENT) as servers:
            if under_way != "nothing":
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

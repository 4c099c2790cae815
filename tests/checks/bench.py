"""Measure what the server costs, as ratios to baselines of the same run; `python -m tests.checks.bench [--rounds N]`.

A cold start is compared with a server of one tool and with a bare interpreter, a call with the raw GET that it makes,
HTTP throughput with one client and with a tool that calls nothing (the better of two passes). A ratio removes the speed
of the machine but not its other load, so nothing here fails. The measuring code uses neither the SDK nor our code. The
last row is the longest step of the server's event loop under all of this load, in seconds of CPU.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

import httpx2

from tests.support.processes import environment, served, serving
from tests.support.watched_server import LONGEST_STEP

TARGETS = {
    "tools/list, of the one-tool server's": "<= 1.15",
    "first call at once, of a steady one": "<= 5",
    "first call a second later, of a steady one": "<= 5",
    "call, of its raw GET": "<= 1.95",  # 1.35 of a GET by httpx, of which one by httpx2 takes 0.69
    "calls/s at 256, of those at 1": ">= 0.75",
    "p99, of p50 at 64": "<= 1.3",
    "p99, of p50 at 256": "<= 1.3",
    "calls/s at 64, of a tool that calls nothing": ">= 0.35",
    LONGEST_STEP: "<= 0.25",
}
CLIENTS = (1, 16, 64, 256)
CALLS_IN_A_ROUND = 100

OURS = [sys.executable, "-m", "sigmamind_mcp"]
ONE_TOOL = [sys.executable, "-m", "tests.support.one_tool"]
CALL = ("get_test_case", {"agentId": "agent_1", "testCaseId": "tc_1"})
REPEAT = ("repeat", {"text": "x" * 1000})
CASE = {
    "testCaseId": "tc_1",
    "label": "Broken kettle",
    "userPrompt": "You are Ana. Your kettle arrived broken and you want your money back. " * 7,
    "successCriteria": "The agent confirms the refund. " * 12,
    "mockData": [{"variableName": "order_id", "value": "4411"}],
    "attempt": 5,
}


class Stdio:
    """A server process that exchanges lines of JSON."""

    def __init__(self, command: Sequence[str], env: dict[str, str]) -> None:
        self.began = time.perf_counter()
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=env
        )
        self.last_id = 0

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.last_id += 1
        self._send({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params})
        assert self.child.stdout is not None
        for line in self.child.stdout:
            answer: dict[str, Any] = json.loads(line)
            if answer.get("id") == self.last_id:
                assert "result" in answer and not answer["result"].get("isError"), answer
                return answer
        raise AssertionError(f"{self.child.args!r} ended")

    def initialize(self) -> None:
        client = {"name": "bench", "version": "0"}
        self.ask(
            "initialize",
            {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client},
        )
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, name: str, arguments: dict[str, str]) -> float:
        """Make a call and return its seconds."""
        began = time.perf_counter()
        self.ask("tools/call", {"name": name, "arguments": arguments})
        return time.perf_counter() - began

    def _send(self, message: dict[str, Any]) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(message).encode() + b"\n")
        self.child.stdin.flush()

    def end(self) -> None:
        self.child.communicate(timeout=20)


@dataclass
class Start:
    """Seconds from process start to the answer of tools/list, and of the first call after a pause."""

    listed: float
    first_call: float

    @classmethod
    def measure(
        cls,
        command: Sequence[str],
        env: dict[str, str],
        call: tuple[str, dict[str, str]],
        pause: float = 0,
    ) -> "Start":
        server = Stdio(command, env)
        server.initialize()
        server.ask("tools/list", {})
        listed = time.perf_counter() - server.began
        time.sleep(pause)
        start = cls(listed, server.call(*call))
        server.end()
        return start


def measure_starts(
    env: dict[str, str], rounds: int
) -> tuple[list[Start], list[Start], list[Start], list[float]]:
    """Measure starts in turn: ours, ours with a pause before the call, the one-tool server, a bare interpreter.

    The first round is not counted.
    """
    ours, later, floor, bare = [], [], [], []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare.append(time.perf_counter() - began)
        floor.append(Start.measure(ONE_TOOL, env, REPEAT))
        ours.append(Start.measure(OURS, env, CALL))
        later.append(Start.measure(OURS, env, CALL, pause=1))
    return ours[1:], later[1:], floor[1:], bare[1:]


def measure_calls(
    env: dict[str, str], rounds: int, url: str
) -> tuple[list[float], list[float], list[float]]:
    """Return the median seconds by round: of a call, of the GET alone, of a call of the one tool."""
    server, one_tool = Stdio(OURS, env), Stdio(ONE_TOOL, env)
    for child, call in ((server, CALL), (one_tool, REPEAT)):
        child.initialize()
        child.call(*call)
    calls, gets, repeats = [], [], []
    with asyncio.Runner() as runner:
        http = httpx2.AsyncClient(base_url=url, trust_env=False)
        runner.run(_time_gets(http, 1))
        for _ in range(rounds):
            gets.append(median(runner.run(_time_gets(http, CALLS_IN_A_ROUND))))
            calls.append(median(server.call(*CALL) for _ in range(CALLS_IN_A_ROUND)))
            repeats.append(median(one_tool.call(*REPEAT) for _ in range(CALLS_IN_A_ROUND)))
        runner.run(http.aclose())
    server.end()
    one_tool.end()
    return calls, gets, repeats


async def _time_gets(http: httpx2.AsyncClient, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        answer = await http.get("/v1/test-cases/tc_1?agentId=agent_1")
        assert answer.text
        seconds.append(time.perf_counter() - began)
    return seconds


@dataclass
class Load:
    per_second: float
    p50: float
    p99: float


async def measure_load(
    url: str, call: tuple[str, dict[str, str]], clients: int, seconds: float
) -> Load:
    """Call over HTTP with this many clients, each on its own connection, protocol 2026-07-28."""
    host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
    request = _build_request(host, port, *call)
    durations: list[float] = []
    begin = time.perf_counter() + seconds / 5
    end = begin + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while (began := time.perf_counter()) < end:
            writer.write(request)
            await _read_answer(reader)
            if began >= begin:
                durations.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return Load(len(durations) / seconds, median(durations), quantiles(durations, n=100)[98])


def _build_request(host: str, port: str, name: str, arguments: dict[str, str]) -> bytes:
    about = {
        "protocolVersion": "2026-07-28",
        "clientInfo": {"name": "bench", "version": "0"},
        "clientCapabilities": {},
    }
    meta = {f"io.modelcontextprotocol/{key}": value for key, value in about.items()}
    params = {"name": name, "arguments": arguments, "_meta": meta}
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    ).encode()
    head = f"""POST /mcp HTTP/1.1
Host: {host}:{port}
Content-Type: application/json
Accept: application/json, text/event-stream
X-API-Key: key
MCP-Protocol-Version: 2026-07-28
Mcp-Method: tools/call
Mcp-Name: {name}
Content-Length: {len(body)}

"""
    return head.replace("\n", "\r\n").encode() + body


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    body = b""
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
    assert b" 200 " in head.partition(b"\r\n")[0], head + body
    assert b'"result"' in body and b'"isError":true' not in body, head + body


@contextmanager
def run_stub() -> Iterator[str]:
    """Run an API that answers every request with one test case."""
    with serving(module="tests.checks.bench") as url:
        yield url


async def _serve_stub(port: int) -> None:
    body = json.dumps(CASE).encode()
    answer = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
        await server.serve_forever()


def print_row(name: str, value: float, spread: Sequence[float] = ()) -> None:
    between = f" ({min(spread):.2f} to {max(spread):.2f})" if spread else ""
    print(f"| {name} | {value:.2f}{between} | {TARGETS.get(name, '')} |", flush=True)


def print_ratio(name: str, ours: Sequence[float], floor: Sequence[float]) -> None:
    """Print the ratio of the best rounds, and the range of the ratios by round."""
    # Other load on the machine only adds time, so the best round is the most exact.
    by_round = [ours_s / floor_s for ours_s, floor_s in zip(ours, floor, strict=True)]
    print_row(name, min(ours) / min(floor), by_round)


def main(rounds: int, seconds: float) -> None:
    print("| ratio | reached (from, to) | target |\n| --- | --- | --- |", flush=True)
    with run_stub() as api:
        env = environment(SIGMAMIND_API_KEY="key", SIGMAMIND_BASE_URL=api)
        ours, later, floor, bare = measure_starts(env, rounds)
        calls, gets, repeats = measure_calls(env, rounds, api)
        print_ratio(
            "tools/list, of the one-tool server's",
            [s.listed for s in ours],
            [s.listed for s in floor],
        )
        print_ratio("tools/list, of a bare interpreter's run", [s.listed for s in ours], bare)
        print_row(
            "first call at once, of a steady one",
            min(start.first_call for start in ours) / min(calls),
        )
        print_row(
            "first call a second later, of a steady one",
            min(start.first_call for start in later) / min(calls),
        )
        print_ratio("call, of its raw GET", calls, gets)
        both = [get + repeat for get, repeat in zip(gets, repeats, strict=True)]
        print_ratio("call, of its raw GET and a call of the one tool together", calls, both)
        with (
            served("serve", env=env, module="tests.support.watched_server") as ours_served,
            serving(module="tests.support.one_tool") as floor_url,
        ):
            ratios = _compare_throughput(ours_served.url, floor_url, seconds)
    for name, value in ratios.items():
        print_row(name, value)
    print_row(LONGEST_STEP, float(ours_served.log.rpartition(LONGEST_STEP)[2]))


def _measure_twice(
    url: str, call: tuple[str, dict[str, str]], clients: int, seconds: float
) -> Load:
    passes = [asyncio.run(measure_load(url, call, clients, seconds)) for _ in range(2)]
    return max(passes, key=lambda load: load.per_second)


def _compare_throughput(url: str, floor_url: str, seconds: float) -> dict[str, float]:
    ours, floor = {}, {}
    for clients in CLIENTS:
        floor[clients] = _measure_twice(floor_url, REPEAT, clients, seconds)
        ours[clients] = _measure_twice(url, CALL, clients, seconds)
    each = {n: ours[n].per_second for n in CLIENTS}
    return {
        **{f"calls/s at {n}, of those at 1": each[n] / each[1] for n in CLIENTS[1:]},
        **{f"p99, of p50 at {n}": ours[n].p99 / ours[n].p50 for n in CLIENTS},
        **{
            f"calls/s at {n}, of a tool that calls nothing": each[n] / floor[n].per_second
            for n in CLIENTS
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)  # to serve the stub
    options = parser.parse_args()
    if options.port is not None:
        asyncio.run(_serve_stub(options.port))
    else:
        main(options.rounds, options.seconds)

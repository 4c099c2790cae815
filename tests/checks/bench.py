"""Measure what the server costs, as ratios to baselines of the same run; `python -m tests.checks.bench [--rounds N]`.

A start is compared with a bare interpreter, servers of one tool in Python and TypeScript, and with Vapi's server if npm
can install it; a call with the raw GET that it makes; HTTP throughput with one client and with a tool that calls nothing
(the better of two passes). Output schemas and big answers are compared with those of an earlier commit, by CPU. A ratio
removes the speed of the machine but not its other load, so nothing here fails. The measuring code uses neither the SDK nor
our code. The last row is the longest step of the server's event loop under all of this load, in seconds of CPU.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import httpx2

from tests.checks.bench_before import (
    BESIDES,
    INTEROP,
    ROOT,
    Tree,
    measure_ajv,
    measure_big_answers,
    unpack_commit,
)
from tests.support.processes import environment, served, serving
from tests.support.stdio_server import Stdio
from tests.support.watched_server import LONGEST_STEP

BEFORE = "c004323"
VAPI = "@vapi-ai/mcp-server@0.0.11"

TARGETS = {
    "list, of a bare interpreter's run": "<= 4",
    "list, of Vapi's server": "<= 0.12",
    "CPU until list, of Vapi's server": "<= 0.10",
    "list and first call, of those before": "<= 1.02",
    "whole session without a call, of that before": "<= 0.10",
    "resident memory after the list, of that before": "<= 0.30",
    "first call 2 s later, of a steady one": "<= 5",
    "call, of its raw GET": "<= 1.95",  # 1.35 of a GET by httpx, of which one by httpx2 takes 0.69
    "call, of its raw GET and a call of the one tool together": "<= 1.20",
    "output schemas in a TypeScript client, of those before": "<= 0.40",
    "compare 100 x 50, reading and counting, of that before": "<= 0.55",
    "compare 100 x 50, of 10 x 50": "<= 11",
    "test run of 2,000 turns in full, of that before": "<= 0.55",
    "calls/s at 256, of those at 1": ">= 1",
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


@dataclass
class Start:
    """What a server takes until the answer of tools/list, and until its first call is answered.

    Seconds from the start of the process, seconds of CPU, and resident kilobytes; `call` is the
    time of the first call alone, `ended` that of a process that got no call.
    """

    listed: float
    cpu: float
    memory: int
    call: float
    called: float
    ended: float

    @classmethod
    def measure(cls, server: "Measured", *, pause: float = 0, with_call: bool = True) -> "Start":
        process = Stdio(server.command, server.env)
        process.initialize()
        process.ask("tools/list", {})
        listed, cpu = time.perf_counter() - process.began, process.read_cpu()
        memory = process.read_memory()
        time.sleep(pause)
        call = process.call(*server.call) if with_call and server.call else 0.0
        called = time.perf_counter() - process.began
        process.end()
        return cls(listed, cpu, memory, call, called, time.perf_counter() - process.began)


@dataclass(frozen=True)
class Measured:
    """A server and its first call; without one it is only started."""

    command: Sequence[str]
    env: Mapping[str, str]
    call: tuple[str, dict[str, str]] | None = None


def measure_starts(servers: Mapping[str, Measured], rounds: int) -> dict[str, list[Start]]:
    """Start the servers in turn: each with a call at once, then ours 2 s later and without one.

    The first round is not counted.
    """
    starts: dict[str, list[Start]] = {}
    for _ in range(rounds + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare = time.perf_counter() - began
        starts.setdefault("bare", []).append(Start(bare, 0, 0, 0, bare, bare))
        for name, server in servers.items():
            starts.setdefault(name, []).append(Start.measure(server))
            if server.call == CALL:
                session = Start.measure(server, with_call=False)
                starts.setdefault(f"{name}, no call", []).append(session)
        later = Start.measure(servers["ours"], pause=2)
        starts.setdefault("ours, later", []).append(later)
    return {name: measured[1:] for name, measured in starts.items()}


@contextmanager
def install_vapi(npm: str | None) -> Iterator[list[str] | None]:
    """Yield the command of Vapi's server; None where npm cannot install it."""
    with TemporaryDirectory() as folder:
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        command = [npm or "npm", "install", "--prefix", folder, VAPI, *options]
        is_there = npm and not subprocess.run(command, capture_output=True, check=False).returncode
        package = Path(folder, "node_modules", "@vapi-ai", "mcp-server")
        if not is_there:
            yield None
            return
        entry = json.loads((package / "package.json").read_text(encoding="utf-8"))["bin"]
        path = entry if isinstance(entry, str) else next(iter(entry.values()))
        yield [shutil.which("node") or "node", str(package / path)]


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


def print_row(name: str, value: float, spread: Sequence[float] = ()) -> None:
    between = f" ({min(spread):.2f} to {max(spread):.2f})" if spread else ""
    print(f"| {name} | {value:.2f}{between} | {TARGETS.get(name, '')} |", flush=True)


def print_starts(starts: Mapping[str, Sequence[Start]], steady: float) -> None:
    ours = starts["ours"]
    peers = {"bare": "a bare interpreter's run", "one tool": "the one-tool server's",
             "TypeScript": "the TypeScript one-tool server's", "Vapi": "Vapi's server",
             "before": "that before"}  # fmt: skip
    for name, noun in peers.items():
        if name in starts:
            listed = [start.listed for start in starts[name]]
            print_ratio(f"list, of {noun}", [start.listed for start in ours], listed)
    for name in ("Vapi", "before"):
        if name in starts:
            cpu = [start.cpu for start in starts[name]]
            print_ratio(f"CPU until list, of {peers[name]}", [start.cpu for start in ours], cpu)
    if "before" in starts:
        print_ratio("list and first call, of those before",
                    [start.called for start in ours], [start.called for start in starts["before"]])  # fmt: skip
        quiet, quiet_before = starts["ours, no call"], starts["before, no call"]
        print_ratio("whole session without a call, of that before",
                    [start.ended for start in quiet], [start.ended for start in quiet_before])  # fmt: skip
        print_ratio("resident memory after the list, of that before",
                    [start.memory for start in quiet], [start.memory for start in quiet_before])  # fmt: skip
    print_row("first call at once, of a steady one", min(start.call for start in ours) / steady)
    later = min(start.call for start in starts["ours, later"])
    print_row("first call 2 s later, of a steady one", later / steady)


def print_answers(before: Tree | None, env: dict[str, str], rounds: int, node: str | None) -> None:
    """Print what big answers and output schemas take, where there is an earlier commit."""
    ours = Tree(ROOT, BESIDES)
    trees = [ours, before] if before else [ours]
    if before and node:
        spent = measure_ajv(trees, env, rounds, node)
        print_ratio("output schemas in a TypeScript client, of those before", *spent)
    big = measure_big_answers(trees, env, max(1, rounds // 4))
    whole = {place: [one.whole for one in spent] for place, spent in big.items()}
    counting = {place: [one.counting for one in spent] for place, spent in big.items()}
    print_ratio("compare 100 x 50, of 10 x 50", whole[0, "100 cases"], whole[0, "10 cases"])
    if before:
        of_both = [counting[number, "100 cases"] for number in range(2)]
        print_ratio("compare 100 x 50, reading and counting, of that before", *of_both)
        whole_of_both = [whole[number, "100 cases"] for number in range(2)]
        print_ratio("compare 100 x 50, with tests and words, of that before", *whole_of_both)
        runs = [whole[number, "run"] for number in range(2)]
        print_ratio("test run of 2,000 turns in full, of that before", *runs)


def print_ratio(name: str, ours: Sequence[float], floor: Sequence[float]) -> None:
    """Print the ratio of the best rounds, and the range of the ratios by round."""
    # Other load on the machine only adds time, so the best round is the most exact.
    by_round = [ours_s / floor_s for ours_s, floor_s in zip(ours, floor, strict=True)]
    print_row(name, min(ours) / min(floor), by_round)


def main(rounds: int, seconds: float, commit: str) -> None:
    print("| ratio | reached (from, to) | target |\n| --- | --- | --- |", flush=True)
    node = shutil.which("node") if (INTEROP / "node_modules").exists() else None
    with (
        serving(module="tests.checks.bench_api") as api,
        unpack_commit(commit) as before,
        install_vapi(shutil.which("npm")) as vapi,
    ):
        env = environment(SIGMAMIND_API_KEY="key_of_the_bench", SIGMAMIND_BASE_URL=api)
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # a start would compile all modules each time
        # Otherwise the package in the current folder comes before that of an earlier commit.
        env |= {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(ROOT)}
        servers = {"ours": Measured(OURS, env, CALL), "one tool": Measured(ONE_TOOL, env, REPEAT)}
        if node:
            servers["TypeScript"] = Measured([node, str(INTEROP / "one_tool.mjs")], env, REPEAT)
        if vapi:
            servers["Vapi"] = Measured(vapi, {**env, "VAPI_TOKEN": "token"})
        if before:
            servers["before"] = Measured(OURS, {**env, "PYTHONPATH": str(before.root)}, CALL)
        calls, gets, repeats = measure_calls(env, rounds, api)
        print_starts(measure_starts(servers, rounds), min(calls))
        print_ratio("call, of its raw GET", calls, gets)
        both = [get + repeat for get, repeat in zip(gets, repeats, strict=True)]
        print_ratio("call, of its raw GET and a call of the one tool together", calls, both)
        print_answers(before, env, rounds, node)
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
    parser.add_argument("--before", default=BEFORE, help="the commit to compare with")
    options = parser.parse_args()
    main(options.rounds, options.seconds, options.before)

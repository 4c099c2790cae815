"""What is in deploy/, above all nginx before two replicas; `scripts/replicas` runs it, and gets nginx where it can."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from random import Random
from socket import create_connection, create_server
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from tests.conftest import KEY, Rounds
from tests.support.fake_api import BATCH, CASE, FakeAPI, running_fake_api
from tests.support.processes import Served, environment, served
from tests.transports.raw_http import (
    ACCEPT,
    CALL,
    IN_BATCH,
    Exchanged,
    authority,
    exchange,
    opened,
)

pytestmark = pytest.mark.anyio

DEPLOY = Path(__file__).parents[2] / "deploy"
MAIN = """
daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/sigmamind-mcp.conf;
}}
"""
ORIGIN = "https://app.example.com"
CALLERS = 200
EACH_KEY = 32
TOGETHER = 800


@dataclass
class Front:
    """nginx with our file, and the replicas behind it by their ports."""

    url: str
    folder: Path
    api: FakeAPI
    replicas: dict[int, Served] = field(default_factory=dict)
    stack: ExitStack = field(default_factory=ExitStack)
    begun: int = 0

    def start(self, port: int = 0) -> int:
        env = environment(SIGMAMIND_BASE_URL=self.api.url)
        replica = self.stack.enter_context(
            served("serve", "--allowed-host", authority(self.url), env=env, port=port)
        )
        port = int(replica.url.rpartition(":")[2])
        self.replicas[port] = replica
        return port

    def lines(self) -> list[str]:
        """What nginx has told in its log, a line for each request that has ended, since `begun`."""
        return (self.folder / "access.log").read_text(encoding="utf-8").splitlines()[self.begun :]

    def has_answered(self, port: int, status: str, since: int) -> bool:
        lines = [line for line in self.lines()[since:] if f":{port}" in line and status in line]
        return any((port, status) in asked_in_turn(line) for line in lines)

    def logged(self) -> str:
        return "".join(path.read_text(encoding="utf-8") for path in self.folder.glob("*.log"))

    def home(self, key: str) -> int:
        """The port of the replica that calls with this key meet now."""
        before = len(self._asked_for_health())
        exchange(self.url, "GET", "/healthz", [("Host", authority(self.url)), ("X-API-Key", key)])
        wait_until(lambda: len(self._asked_for_health()) > before)
        return asked_in_turn(self._asked_for_health()[-1])[-1][0]

    def _asked_for_health(self) -> list[str]:
        return [line for line in self.lines() if " /healthz " in line]


def asked_in_turn(line: str) -> list[tuple[int, str]]:
    """The replicas that a line of the log names, by their ports, and what each answered."""
    found = re.search(r'"([^"]*)" "([^"]*)"$', line)
    assert found, line
    return list(
        zip(
            map(int, re.findall(r":(\d+)", found[1])), re.findall(r"\d{3}|-", found[2]), strict=True
        )
    )


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, "it did not come true in time"
        sleep(0.01)


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - neither nginx nor the fake has an event for it
            await anyio.sleep(0.01)


def of_caller(asked: Any) -> dict[str, Any]:
    return {**BATCH, "agent": {"name": f"of {hash_of(asked.headers['x-api-key'])}"}}


def stored(asked: Any) -> dict[str, Any]:
    return {**CASE, **asked.body, "testCaseId": f"tc_{asked.body['label']}"}


@contextmanager
def fronted(
    fake_api: FakeAPI,
    folder: Path,
    *,
    changed: Mapping[str, str] | None = None,
    ports: Sequence[int] = (),
) -> Iterator[Front]:
    """nginx before two replicas, or before what listens on `ports`; `changed` replaces words of the file."""
    with create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    front = Front(f"http://{listen}", folder, fake_api)
    with front.stack:
        if not ports:
            with ThreadPoolExecutor() as pool:
                ports = sorted(pool.map(front.start, (0, 0)))
        one, other = ports
        conf = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        words = {
            "listen 443 ssl": f"listen {listen}",
            "mcp.example.com;": "127.0.0.1;",
            "127.0.0.1:8765": f"127.0.0.1:{one}",
            "127.0.0.1:8766": f"127.0.0.1:{other}",
            "/var/log/nginx/sigmamind-mcp.log": f"{folder}/access.log",
            "/var/log/nginx/sigmamind-mcp.error.log": f"{folder}/errors.log",
            **(changed or {}),
        }
        for word, instead in words.items():
            assert word in conf, word
            conf = conf.replace(word, instead)
        conf = re.sub(r"ssl_certificate\w* .+;", "", conf)
        (folder / "sigmamind-mcp.conf").write_text(conf, encoding="utf-8")
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder), encoding="utf-8")
        with subprocess.Popen(
            ["nginx", "-p", str(folder), "-e", "error.log", "-c", "nginx.conf"]
        ) as nginx:
            try:
                wait_until(lambda: nginx.poll() is None and listens(front))
                yield front
            finally:
                nginx.terminate()


def listens(front: Front) -> bool:
    host, port = authority(front.url).split(":")
    try:
        create_connection((host, int(port))).close()
    except ConnectionError:
        return False
    return True


@pytest.fixture(scope="module")
def standing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    seconds = 5 if request.config.getoption("--long") else 1
    changed = {"fail_timeout=5s": f"fail_timeout={seconds}s", f'# "{ORIGIN}"': f'"{ORIGIN}"'}
    with (
        running_fake_api() as api,
        fronted(api, tmp_path_factory.mktemp("nginx"), changed=changed) as front,
    ):
        yield front


@pytest.fixture
def fake_api(standing: Front) -> FakeAPI:
    """It answers reads with the caller's key, and writes with their label."""
    api = standing.api
    api.asked.clear()
    api.stalled = FakeAPI.stalled
    api.stall.set()
    api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", of_caller)
    api.answer("POST", "/v1/test-cases", stored)
    return api


@pytest.fixture
def front(standing: Front, fake_api: FakeAPI) -> Iterator[Front]:
    """nginx before two replicas that both take calls."""
    for port, replica in list(standing.replicas.items()):
        if replica.process.poll() is not None:
            standing.start(port)
    keys = [f"caller-{number}-any" for number in range(20)]
    wait_until(lambda: {standing.home(key) for key in keys} == set(standing.replicas))
    standing.begun += len(standing.lines())
    yield standing
    assert KEY not in standing.logged() and "caller-" not in standing.logged()


def write_of(label: str) -> dict[str, Any]:
    given = {
        "agentId": "a",
        "userPrompt": "You are Ana.",
        "successCriteria": "The agent greets.",
        "label": label,
    }
    return {**CALL, "params": {"name": "create_test_case", "arguments": given}}


def hash_of(key: str) -> str:
    """What tells callers apart in answers, where their keys are masked."""
    return sha256(key.encode()).hexdigest()[:12]


def post(front: Front, message: dict[str, Any], key: str) -> httpx2.Response:
    return httpx2.post(
        f"{front.url}/mcp", json=message, headers={**ACCEPT, "X-API-Key": key}, timeout=30
    )


def result_of(response: httpx2.Response) -> dict[str, Any]:
    answer = json.loads(response.text.partition("data: ")[2] or response.text)
    result: dict[str, Any] = answer.get("result", {"isError": True})
    return result


def in_answer(response: httpx2.Response, words: str) -> bool:
    """Whether the call succeeded, and these words are in its answer."""
    result = result_of(response)
    return not result.get("isError", False) and words in json.dumps(result)


@dataclass
class Tally:
    """How calls ended: right, told that they did not or may not have, cut, or wrong."""

    right: int = 0
    told: Counter[int] = field(default_factory=Counter)
    cut: int = 0
    again: int = 0
    wrong: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return self.right + self.told.total() + self.cut + len(self.wrong)


class Caller:
    """Calls by the protocol's rules: what was not begun is issued again after a while, and so is a read that was cut.

    A write that was cut, or whose answer is lost, is left alone: only its own replica could tell it from a new one.
    """

    def __init__(self, front: Front, client: httpx2.AsyncClient, tally: Tally, key: str) -> None:
        self.front, self.client, self.tally, self.key = front, client, tally, key

    async def read(self) -> None:
        await self._call(CALL, f"of {hash_of(self.key)}", is_write=False)

    async def write(self, label: str) -> None:
        if await self._call(write_of(label), f"tc_{label}", is_write=True):
            self.tally.confirmed.append(label)

    async def _call(self, message: dict[str, Any], words: str, *, is_write: bool) -> bool:
        for _ in range(20):
            try:
                response = await self.client.post(
                    f"{self.front.url}/mcp", json=message, headers={**ACCEPT, "X-API-Key": self.key}
                )
            except httpx2.TransportError:
                self.tally.cut += 1
                if is_write:
                    return False
                self.tally.again += 1
                continue
            if response.status_code in (429, 503):
                self.tally.told[response.status_code] += 1
                self.tally.again += 1
                await anyio.sleep(int(response.headers["retry-after"]))
            elif response.status_code == HTTPStatus.BAD_GATEWAY:
                assert "look before" in response.json()["error"]
                self.tally.told[502] += 1
                if is_write:
                    return False
                self.tally.again += 1
            elif response.status_code == HTTPStatus.OK and in_answer(response, words):
                self.tally.right += 1
                return True
            elif is_write and "may have been made" in json.dumps(result_of(response)):
                self.tally.told[200] += 1
                return False
            else:
                self.tally.wrong.append(f"{self.key}: {response.status_code} {response.text[:300]}")
                return False
        self.tally.wrong.append(f"{self.key}: never answered")
        return False


async def test_one_replica_is_drained_under_load_and_replaced(
    front: Front, fake_api: FakeAPI, rounds: Rounds, figures: list[str]
) -> None:
    """No call is answered wrong, no write leaves twice, and what is cut is told or issued again."""
    drains, tally, over, held = rounds(short=1, long=10), Tally(), anyio.Event(), Event()
    takes = Random(0)

    def stored_in_a_while(asked: Any) -> dict[str, Any]:
        if asked.body["label"].startswith("held"):
            held.wait(20)
        else:
            sleep(takes.uniform(0, 0.05))  # an API at work, so that a drain meets calls in flight
        return stored(asked)

    fake_api.answer("POST", "/v1/test-cases", stored_in_a_while)
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(timeout=60, limits=limits) as client:

        async def call_on(number: int) -> None:
            caller, count = Caller(front, client, tally, f"caller-{number}-end"), 0
            while not over.is_set():
                count += 1
                if (number + count) % 4:
                    await caller.read()
                else:
                    await caller.write(f"written-{number}-{count}")

        async def drain(round_: int) -> float:
            """SIGTERM beside calls that the API has not answered; returns the seconds until the process ended."""
            port = list(front.replicas)[round_ % 2]
            held.clear()
            async with anyio.create_task_group() as holding:
                for number in range(20):
                    caller = Caller(front, client, tally, f"caller-held-{number}-end")
                    holding.start_soon(caller.write, f"held-{round_}-{number}")
                await until(
                    lambda: (
                        sum(
                            one.body["label"].startswith(f"held-{round_}-")
                            for one in fake_api.posts
                        )
                        == 20
                    )
                )
                since, began = len(front.lines()), monotonic()
                front.replicas[port].process.send_signal(signal.SIGTERM)
                await until(lambda: front.has_answered(port, "503", since))
                held.set()
            status = await anyio.to_thread.run_sync(front.replicas[port].process.wait, 20)
            assert status == 0
            took = monotonic() - began
            since = len(front.lines())
            await anyio.to_thread.run_sync(front.start, port)
            await until(lambda: front.has_answered(port, "200", since))
            return took

        async with anyio.create_task_group() as group:
            for number in range(CALLERS):
                group.start_soon(call_on, number)
            await until(lambda: tally.right >= 2 * CALLERS)
            took = [await drain(round_) for round_ in range(drains)]
            over.set()

    sent = Counter(asked.body["label"] for asked in fake_api.posts)
    twice = [label for label, count in sent.items() if count > 1]
    passed_on = sum(len(asked_in_turn(line)) > 1 for line in front.lines())
    statuses = ", ".join(f"{count} by {status}" for status, count in tally.told.items())
    figures.append(
        f"Replicas: {tally.calls:,} calls of {CALLERS} callers, {drains} drained under load and replaced (ended"
        f" {max(took):.1f} s after the signal at most): {len(tally.wrong)} wrong, {len(twice)} of {len(sent):,} writes"
        f" twice; {tally.right:,} right, {passed_on} of them passed on by nginx, {tally.told.total()} told"
        f"{statuses and f' ({statuses})'}, {tally.cut} cut, {tally.again} issued again"
    )
    assert tally.wrong == [] and twice == []
    assert set(tally.confirmed) <= set(sent)
    assert passed_on > 0 and tally.calls - tally.right < tally.calls / 50


async def test_killed_replica_costs_its_own_calls_only_and_no_write_is_sent_again(
    front: Front, fake_api: FakeAPI, figures: list[str]
) -> None:
    """A POST that was sent and not answered may have been carried out, so nginx sends it to nobody else."""
    fake_api.stall.clear()
    fake_api.stalled = "POST"
    keys = [f"caller-{number}-end" for number in range(20)]
    killed, living = list(front.replicas)
    lost = [key for key in keys if front.home(key) == killed]
    with ThreadPoolExecutor(len(keys)) as pool:
        sent = {
            key: pool.submit(post, front, write_of(f"written-{hash_of(key)}"), key) for key in keys
        }
        await until(lambda: len(fake_api.posts) == len(keys))
        front.replicas[killed].process.kill()
        await until(lambda: sum(one.done() for one in sent.values()) == len(lost))
        fake_api.stall.set()
        right = [
            key
            for key in keys
            if key not in lost and in_answer(sent[key].result(20), f"tc_written-{hash_of(key)}")
        ]

    assert 0 < len(lost) < len(keys) == len(lost) + len(right)
    assert all(isinstance(sent[key].exception(), httpx2.RemoteProtocolError) for key in lost)
    assert len(fake_api.posts) == len(keys)
    assert all(front.home(key) == living for key in keys)
    figures.append(
        f"Replicas: one killed beside {len(keys)} writes: {len(lost)} cut, the others right, 0 sent again"
    )


async def test_write_that_was_not_answered_is_told_and_sent_to_no_other(
    fake_api: FakeAPI, tmp_path: Path
) -> None:
    """The same where nothing of an answer had come: two stand-ins take the call and hang up."""
    sent: list[bytes] = []

    class HangsUp(StreamRequestHandler):
        def handle(self) -> None:
            sent.append(self.rfile.readline())

    with ExitStack() as stack:
        servers = [
            stack.enter_context(ThreadingTCPServer(("127.0.0.1", 0), HangsUp)) for _ in range(2)
        ]
        for server in servers:
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
            stack.callback(server.shutdown)
        with fronted(
            fake_api, tmp_path, ports=[server.server_address[1] for server in servers]
        ) as front:
            told = post(front, write_of("written"), KEY)

    assert told.status_code == HTTPStatus.BAD_GATEWAY and "look before" in told.json()["error"]
    assert sent == [b"POST /mcp HTTP/1.1\r\n"]


async def test_refused_by_a_replica_that_ends_a_large_write_goes_whole_to_the_other(
    front: Front, fake_api: FakeAPI
) -> None:
    """It is a caller's first call since the signal: nginx does not know yet that this replica ends."""
    ending = next(iter(front.replicas))
    at_home = homed(front, ending)
    prompt = "You are Ana. " + "x" * 900_000
    large = write_of("large")
    large["params"]["arguments"]["userPrompt"] = prompt
    fake_api.stall.clear()
    with ThreadPoolExecutor() as pool:
        held = drain_beside_a_call(front, fake_api, ending, at_home, pool)
        sent = pool.submit(post, front, large, at_home)
        await until(lambda: sent.done() or bool(fake_api.posts))
        fake_api.stall.set()
        answered, first = sent.result(timeout=20), held.result(timeout=20)
    assert front.replicas[ending].process.wait(timeout=20) == 0

    assert (answered.status_code, first.status_code) == (200, 200), answered.text
    assert front.has_answered(ending, "503", since=0)


async def test_sse_session_ends_with_its_replica_and_outlives_the_return_of_another(
    front: Front, fake_api: FakeAPI
) -> None:
    """A caller that comes back while its own replica is away keeps its session when that one is there again."""
    away = next(iter(front.replicas))
    key = homed(front, away)
    connection, stream = opened(
        front.url, "GET", "/sse", [("Host", authority(front.url)), ("X-API-Key", key)]
    )
    with closing(connection), stream:
        assert b"endpoint" in stream.readline()
        assert front.replicas[away].end() == 0
        stream.read()  # raises where the stream did not end as a whole

    with anyio.fail_after(60):
        async with Client(sse_client(f"{front.url}/sse", headers={"X-API-Key": key})) as client:
            assert not (await client.call_tool("get_batch_run", IN_BATCH)).is_error
            await anyio.to_thread.run_sync(front.start, away)
            await anyio.to_thread.run_sync(wait_until, lambda: front.home(key) == away)
            result = await client.call_tool("get_batch_run", IN_BATCH)

    assert f"of {hash_of(key)}" in json.dumps(result.structured_content)
    assert front.has_answered(away, "404", since=0)


async def test_one_caller_meets_one_replica_which_remembers_its_writes(
    front: Front, fake_api: FakeAPI
) -> None:
    keys = [f"caller-{number}-end" for number in range(20)]
    for key in keys:
        for _ in range(2):
            assert in_answer(
                post(front, write_of(f"twice-{hash_of(key)}"), key), f"tc_twice-{hash_of(key)}"
            )

    assert len(fake_api.posts) == len(keys)
    assert {front.home(key) for key in keys} == set(front.replicas)


async def test_calls_of_one_key_beyond_its_cap_are_told_and_others_go_on(
    front: Front, fake_api: FakeAPI
) -> None:
    fake_api.stall.clear()
    with ThreadPoolExecutor(EACH_KEY) as pool:
        sent = [pool.submit(post, front, CALL, "caller-greedy") for _ in range(EACH_KEY)]
        await until(lambda: len(fake_api.asked) == EACH_KEY)
        beyond = post(front, CALL, "caller-greedy")
        fake_api.stall.set()
        other = post(front, CALL, "caller-other")
        within = [one.result(timeout=20).status_code for one in sent]

    assert (beyond.status_code, beyond.headers["retry-after"], other.status_code) == (429, "2", 200)
    assert "Try again" in beyond.json()["error"] and within == [200] * EACH_KEY


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the loopback has one address")
async def test_one_address_does_not_take_the_room_of_all(front: Front, fake_api: FakeAPI) -> None:
    """R31: bodies that come slowly, under invented keys, cost a caller nothing."""
    host, port = authority(front.url).split(":")
    with ExitStack() as stack:
        for number in range(TOGETHER):
            peer = stack.enter_context(
                create_connection((host, int(port)), source_address=("127.0.0.2", 0))
            )
            head = f"POST /mcp HTTP/1.1\r\nHost: {authority(front.url)}\r\nX-API-Key: invented-{number}\r\n"
            peer.sendall(f"{head}Content-Length: 100\r\n\r\n".encode())
        told = post(front, CALL, "caller-other")

    assert told.status_code == 200


async def test_what_is_too_large_foreign_or_elsewhere_is_refused(
    front: Front, fake_api: FakeAPI
) -> None:
    base = [("X-API-Key", KEY), *ACCEPT.items()]
    own, foreign = [("Host", authority(front.url)), *base], [("Host", "evil.example"), *base]
    length = ("Content-Length", str(1024 * 1024 + 1))
    head = [
        ("Host", authority(front.url)),
        *[(f"X-Header-{number}", "x" * 8000) for number in range(5)],
    ]
    asked: dict[int, Exchanged] = {
        413: exchange(front.url, "POST", "/mcp", [*own, length]),
        421: exchange(front.url, "POST", "/mcp", [*foreign, ("Content-Length", "2")], b"{}"),
        404: exchange(front.url, "GET", "/readyz", own),
        400: exchange(front.url, "GET", "/healthz", head),
        401: exchange(front.url, "GET", "/sse", own[:1]),
    }

    assert {expected: answer.status for expected, answer in asked.items()} == {
        status: status for status in asked
    }
    assert all(
        not (answer.headers["Server"] or "").startswith("nginx/") for answer in asked.values()
    )
    assert fake_api.asked == []


@pytest.mark.parametrize("origin", [ORIGIN, "https://evil.example"])
async def test_what_nginx_refuses_reads_like_our_own_refusals(front: Front, origin: str) -> None:
    """A client reads JSON, and a page of an allowed origin can read it too; R1: a key in a wrong header is not logged."""
    base = [("Host", authority(front.url)), ("Origin", origin), ("X_API_Key", KEY)]
    answers = {
        413: exchange(front.url, "POST", "/mcp", [*base, ("Content-Length", str(1024 * 1024 + 1))]),
        404: exchange(front.url, "GET", "/nope", base),
        400: exchange(front.url, "GET", "/healthz", [*base, ("X-Header", "x" * 9000)]),
        405: exchange(front.url, "TRACE", "/mcp", base),
        414: exchange(front.url, "GET", f"/{'x' * 9000}", base),
    }

    assert {expected: answer.status for expected, answer in answers.items()} == {
        status: status for status in answers
    }
    for status, answer in answers.items():
        assert json.loads(answer.body)["error"].endswith("."), status
        assert answer.headers["Content-Type"] == "application/json"
        # Of an address that is too long nginx reads no headers.
        allowed = origin if origin == ORIGIN and status != 414 else None
        assert answer.headers["Access-Control-Allow-Origin"] == allowed
    wait_until(lambda: len(front.lines()) >= len(answers))
    assert max(map(len, front.lines())) < 300


async def test_who_sends_headers_slowly_is_truncate_line(
    fake_api: FakeAPI, tmp_path: Path, rounds: Rounds, figures: list[str]
) -> None:
    """R31: the header phase is the proxy's; one byte now and then does not prolong it."""
    seconds = rounds(short=1, long=10)
    changed = {"client_header_timeout 10s": f"client_header_timeout {seconds}s"}
    with fronted(
        fake_api, tmp_path, changed=changed, ports=(1, 2)
    ) as front:  # it never comes so far
        host, port = authority(front.url).split(":")
        with create_connection((host, int(port))) as peer:
            peer.settimeout(seconds / 10)
            began = monotonic()
            peer.sendall(b"POST /mcp HTTP/1.1\r\nHost: ")
            cut = False
            while not cut and monotonic() - began < seconds + 20:
                try:
                    cut = peer.recv(1024) == b""
                except TimeoutError:
                    peer.sendall(b"x")
                except ConnectionError:
                    cut = True
            took = monotonic() - began

    assert cut and took >= seconds * 0.9
    figures.append(
        f"R31 a header that comes byte by byte is cut after {took:.1f} s (client_header_timeout {seconds} s)"
    )


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = (DEPLOY / "sigmamind-mcp@.service").read_text(encoding="utf-8")
    instance = tmp_path / "sigmamind-mcp@8765.service"
    instance.write_text(
        unit.replace("/opt/sigmamind-mcp/bin/sigmamind-mcp", sys.executable), encoding="utf-8"
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", str(instance)],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def homed(front: Front, port: int) -> str:
    """A key whose calls meet this replica."""
    return next(
        key for key in (f"caller-{number}-home" for number in range(100)) if front.home(key) == port
    )


def drain_beside_a_call(
    front: Front, fake_api: FakeAPI, port: int, key: str, pool: ThreadPoolExecutor
) -> Future[httpx2.Response]:
    """Have this replica end, as soon as the API has a call of this key; returns that call."""
    call = pool.submit(post, front, CALL, key)
    wait_until(lambda: bool(fake_api.asked))
    front.replicas[port].process.send_signal(signal.SIGTERM)
    direct = [("Host", authority(front.url))]
    wait_until(lambda: exchange(front.replicas[port].url, "GET", "/readyz", direct).status == 503)
    return call

"""Test what deploy/ contains, mainly nginx in proxy of two replicas. `scripts/replicas` runs this."""

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

from sigmamind_mcp.transports.access import CHALLENGE, SEVERAL_KEYS
from sigmamind_mcp.transports.http import NO_LOGIN
from tests.conftest import KEY, RoundCount
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
class Proxy:
    """nginx with our configuration, and its replicas by port."""

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
        """Return the access log since `begun`: a line for each finished request."""
        return (self.folder / "access.log").read_text(encoding="utf-8").splitlines()[self.begun :]

    def has_answered(self, port: int, status: str, since: int) -> bool:
        lines = [line for line in self.lines()[since:] if f":{port}" in line and status in line]
        return any((port, status) in parse_attempts(line) for line in lines)

    def logged(self) -> str:
        return "".join(path.read_text(encoding="utf-8") for path in self.folder.glob("*.log"))

    def home(self, key: str) -> int:
        """Return the port of the replica that calls with this key reach now."""
        before = len(self._health_lines())
        exchange(self.url, "GET", "/healthz", [("Host", authority(self.url)), ("X-API-Key", key)])
        wait_until(lambda: len(self._health_lines()) > before)
        return parse_attempts(self._health_lines()[-1])[-1][0]

    def _health_lines(self) -> list[str]:
        return [line for line in self.lines() if " /healthz " in line]


def parse_attempts(line: str) -> list[tuple[int, str]]:
    """Return (port, status) of each replica that nginx tried, from a log line."""
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


def answer_with_caller(asked: Any) -> dict[str, Any]:
    return {**BATCH, "agent": {"name": f"of {hash_key(asked.headers['x-api-key'])}"}}


def store_case(asked: Any) -> dict[str, Any]:
    agent = {"agentId": asked.body["agentId"]}
    return {**CASE, **asked.body, "agent": agent, "testCaseId": f"tc_{asked.body['label']}"}


@contextmanager
def start_proxy(
    fake_api: FakeAPI,
    folder: Path,
    *,
    changed: Mapping[str, str] | None = None,
    ports: Sequence[int] = (),
) -> Iterator[Proxy]:
    """Run nginx in front of two replicas, or of these ports. `changed` replaces words of its file."""
    with create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    proxy = Proxy(f"http://{listen}", folder, fake_api)
    with proxy.stack:
        if not ports:
            with ThreadPoolExecutor() as pool:
                ports = sorted(pool.map(proxy.start, (0, 0)))
        first, second = ports
        conf = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        words = {
            "listen 443 ssl": f"listen {listen}",
            "mcp.example.com;": "127.0.0.1;",
            "127.0.0.1:8765": f"127.0.0.1:{first}",
            "127.0.0.1:8766": f"127.0.0.1:{second}",
            "/var/log/nginx/sigmamind-mcp.log": f"{folder}/access.log",
            "/var/log/nginx/sigmamind-mcp.error.log": f"{folder}/errors.log",
            **(changed or {}),
        }
        for word, replacement in words.items():
            assert word in conf, word
            conf = conf.replace(word, replacement)
        conf = re.sub(r"ssl_certificate\w* .+;", "", conf)
        (folder / "sigmamind-mcp.conf").write_text(conf, encoding="utf-8")
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder), encoding="utf-8")
        with subprocess.Popen(
            ["nginx", "-p", str(folder), "-e", "error.log", "-c", "nginx.conf"]
        ) as nginx:
            try:
                wait_until(lambda: nginx.poll() is None and is_listening(proxy))
                yield proxy
            finally:
                nginx.terminate()


def is_listening(proxy: Proxy) -> bool:
    host, port = authority(proxy.url).split(":")
    try:
        create_connection((host, int(port))).close()
    except ConnectionError:
        return False
    return True


@pytest.fixture(scope="module")
def running_proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    seconds = 5 if request.config.getoption("--long") else 1
    changed = {"fail_timeout=5s": f"fail_timeout={seconds}s", f'# "{ORIGIN}"': f'"{ORIGIN}"'}
    with (
        running_fake_api() as api,
        start_proxy(api, tmp_path_factory.mktemp("nginx"), changed=changed) as proxy,
    ):
        yield proxy


@pytest.fixture
def fake_api(running_proxy: Proxy) -> FakeAPI:
    """Answer reads with a hash of the caller's key, and writes with their label."""
    api = running_proxy.api
    api.asked.clear()
    api.stalled = FakeAPI.stalled
    api.stall.set()
    api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", answer_with_caller)
    api.answer("POST", "/v1/test-cases", store_case)
    return api


@pytest.fixture
def proxy(running_proxy: Proxy, fake_api: FakeAPI) -> Iterator[Proxy]:
    """Yield nginx in front of two replicas that both accept calls."""
    for port, replica in list(running_proxy.replicas.items()):
        if replica.process.poll() is not None:
            running_proxy.start(port)
    keys = [f"caller-{number}-any" for number in range(20)]
    wait_until(lambda: {running_proxy.home(key) for key in keys} == set(running_proxy.replicas))
    running_proxy.begun += len(running_proxy.lines())
    yield running_proxy
    assert KEY not in running_proxy.logged() and "caller-" not in running_proxy.logged()


def build_write(label: str) -> dict[str, Any]:
    given = {
        "agentId": "a",
        "userPrompt": "You are Ana.",
        "successCriteria": "The agent greets.",
        "label": label,
    }
    return {**CALL, "params": {"name": "create_test_case", "arguments": given}}


def count_posts(api: FakeAPI, label: str) -> int:
    """Count the writes whose label begins so."""
    return sum(request.body["label"].startswith(label) for request in api.posts)


def hash_key(key: str) -> str:
    """Identify a caller in answers, in which keys are masked."""
    return sha256(key.encode()).hexdigest()[:12]


def post(proxy: Proxy, message: dict[str, Any], key: str) -> httpx2.Response:
    return httpx2.post(
        f"{proxy.url}/mcp", json=message, headers={**ACCEPT, "X-API-Key": key}, timeout=30
    )


def post_until_served(proxy: Proxy, key: str) -> httpx2.Response:
    """Repeat a call while it is refused: the ping of `is_refused` may take its place."""
    while True:
        response = post(proxy, CALL, key)
        if response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
            return response


def is_refused(proxy: Proxy, key: str) -> bool:
    """Return whether so many calls of this key are in flight that not even a ping passes."""
    # The API is no measure: a replica sends it fewer requests of one key at a time.
    ping = {"jsonrpc": "2.0", "id": "ping", "method": "ping"}
    return post(proxy, ping, key).status_code == HTTPStatus.TOO_MANY_REQUESTS


def parse_result(response: httpx2.Response) -> dict[str, Any]:
    answer = json.loads(response.text.partition("data: ")[2] or response.text)
    result: dict[str, Any] = answer.get("result", {"isError": True})
    return result


def succeeded_with(response: httpx2.Response, words: str) -> bool:
    """Return whether the call succeeded with these words in its answer."""
    result = parse_result(response)
    return not result.get("isError", False) and words in json.dumps(result)


@dataclass
class Tally:
    """How calls ended: correct, refused with a reason, disconnected, or wrong."""

    correct: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    disconnected: int = 0
    retried: int = 0
    wrong: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return self.correct + self.refused.total() + self.disconnected + len(self.wrong)


class Caller:
    """Retries refused calls after a pause, and disconnected reads.

    A write that was disconnected, or whose answer is lost, is not retried: only its own replica would recognize it.
    """

    def __init__(self, proxy: Proxy, client: httpx2.AsyncClient, tally: Tally, key: str) -> None:
        self.proxy, self.client, self.tally, self.key = proxy, client, tally, key

    async def read(self) -> None:
        await self._call(CALL, f"of {hash_key(self.key)}", is_write=False)

    async def write(self, label: str) -> None:
        if await self._call(build_write(label), f"tc_{label}", is_write=True):
            self.tally.confirmed.append(label)

    async def _call(self, message: dict[str, Any], words: str, *, is_write: bool) -> bool:
        for _ in range(20):
            try:
                response = await self.client.post(
                    f"{self.proxy.url}/mcp", json=message, headers={**ACCEPT, "X-API-Key": self.key}
                )
            except httpx2.TransportError:
                self.tally.disconnected += 1
                if is_write:
                    return False
                self.tally.retried += 1
                continue
            if response.status_code in (429, 503):
                self.tally.refused[response.status_code] += 1
                self.tally.retried += 1
                await anyio.sleep(int(response.headers["retry-after"]))
            elif response.status_code == HTTPStatus.BAD_GATEWAY:
                assert "look before" in response.json()["error"]
                self.tally.refused[502] += 1
                if is_write:
                    return False
                self.tally.retried += 1
            elif response.status_code == HTTPStatus.OK and succeeded_with(response, words):
                self.tally.correct += 1
                return True
            elif is_write and "may have been made" in json.dumps(parse_result(response)):
                self.tally.refused[200] += 1
                return False
            else:
                self.tally.wrong.append(f"{self.key}: {response.status_code} {response.text[:300]}")
                return False
        self.tally.wrong.append(f"{self.key}: never answered")
        return False


async def test_one_replica_is_drained_under_load_and_replaced(
    proxy: Proxy, fake_api: FakeAPI, rounds: RoundCount, figures: list[str]
) -> None:
    """No answer is wrong, no write is sent twice, and every disconnected call is reported or retried."""
    drains, tally, stop, held = rounds(short=1, long=10), Tally(), anyio.Event(), Event()
    takes = Random(0)

    def store_case_slowly(asked: Any) -> dict[str, Any]:
        if asked.body["label"].startswith("held"):
            held.wait(20)
        else:
            sleep(takes.uniform(0, 0.05))  # a busy API, so that calls are in flight during a drain
        return store_case(asked)

    fake_api.answer("POST", "/v1/test-cases", store_case_slowly)
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(timeout=60, limits=limits) as client:

        async def keep_calling(number: int) -> None:
            caller, count = Caller(proxy, client, tally, f"caller-{number}-end"), 0
            while not stop.is_set():
                count += 1
                if (number + count) % 4:
                    await caller.read()
                else:
                    await caller.write(f"written-{number}-{count}")

        async def drain(round_: int) -> float:
            """Send SIGTERM while calls are in flight; return the seconds until the process ended."""
            port = list(proxy.replicas)[round_ % 2]
            held.clear()
            async with anyio.create_task_group() as holding:
                for number in range(20):
                    caller = Caller(proxy, client, tally, f"caller-held-{number}-end")
                    holding.start_soon(caller.write, f"held-{round_}-{number}")
                label = f"held-{round_}-"
                await until(lambda: count_posts(fake_api, label) == 20)
                since, began = len(proxy.lines()), monotonic()
                proxy.replicas[port].process.send_signal(signal.SIGTERM)
                await until(lambda: proxy.has_answered(port, "503", since))
                held.set()
            status = await anyio.to_thread.run_sync(proxy.replicas[port].process.wait, 20)
            assert status == 0
            took = monotonic() - began
            since = len(proxy.lines())
            await anyio.to_thread.run_sync(proxy.start, port)
            await until(lambda: proxy.has_answered(port, "200", since))
            return took

        async with anyio.create_task_group() as group:
            for number in range(CALLERS):
                group.start_soon(keep_calling, number)
            await until(lambda: tally.correct >= 2 * CALLERS)
            took = [await drain(round_) for round_ in range(drains)]
            stop.set()

    sent = Counter(asked.body["label"] for asked in fake_api.posts)
    twice = [label for label, count in sent.items() if count > 1]
    passed_on = sum(len(parse_attempts(line)) > 1 for line in proxy.lines())
    statuses = ", ".join(f"{count} by {status}" for status, count in tally.refused.items())
    figures.append(
        f"Replicas: {tally.calls:,} calls of {CALLERS} callers, {drains} drained under load and replaced (ended"
        f" at most {max(took):.1f} s after the signal): {len(tally.wrong)} wrong, {len(twice)} of {len(sent):,} writes"
        f" twice; {tally.correct:,} correct, {passed_on} of them passed on by nginx, {tally.refused.total()} refused"
        f"{statuses and f' ({statuses})'}, {tally.disconnected} disconnected, {tally.retried} retried"
    )
    assert tally.wrong == [] and twice == []
    assert set(tally.confirmed) <= set(sent)
    assert passed_on > 0 and tally.calls - tally.correct < tally.calls / 50


async def test_killed_replica_costs_its_own_calls_only_and_no_write_is_sent_again(
    proxy: Proxy, fake_api: FakeAPI, figures: list[str]
) -> None:
    """An unanswered POST may have been executed, so nginx does not send it to the other replica."""
    fake_api.stall.clear()
    fake_api.stalled = "POST"
    keys = [f"caller-{number}-end" for number in range(20)]
    killed, living = list(proxy.replicas)
    lost = [key for key in keys if proxy.home(key) == killed]
    with ThreadPoolExecutor(len(keys)) as pool:
        sent = {
            key: pool.submit(post, proxy, build_write(f"written-{hash_key(key)}"), key)
            for key in keys
        }
        await until(lambda: len(fake_api.posts) == len(keys))
        proxy.replicas[killed].process.kill()
        await until(lambda: sum(call.done() for call in sent.values()) == len(lost))
        fake_api.stall.set()
        correct = [
            key
            for key in keys
            if key not in lost
            and succeeded_with(sent[key].result(20), f"tc_written-{hash_key(key)}")
        ]

    assert 0 < len(lost) < len(keys) == len(lost) + len(correct)
    assert all(isinstance(sent[key].exception(), httpx2.RemoteProtocolError) for key in lost)
    assert len(fake_api.posts) == len(keys)
    assert all(proxy.home(key) == living for key in keys)
    figures.append(
        f"Replicas: one killed during {len(keys)} writes: {len(lost)} disconnected, the others correct, 0 sent again"
    )


async def test_unanswered_write_is_reported_and_not_sent_to_the_other_replica(
    fake_api: FakeAPI, tmp_path: Path
) -> None:
    """Two stand-ins for replicas accept the call and close the connection without an answer."""
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
        with start_proxy(
            fake_api, tmp_path, ports=[server.server_address[1] for server in servers]
        ) as proxy:
            response = post(proxy, build_write("written"), KEY)

    assert response.status_code == HTTPStatus.BAD_GATEWAY
    assert "look before" in response.json()["error"]
    assert sent == [b"POST /mcp HTTP/1.1\r\n"]


async def test_large_write_refused_by_a_stopping_replica_goes_to_the_other(
    proxy: Proxy, fake_api: FakeAPI
) -> None:
    """On a caller's first call after the signal, nginx does not know yet that this replica ends."""
    ending = next(iter(proxy.replicas))
    at_home = find_key(proxy, ending)
    prompt = "You are Ana. " + "x" * 900_000
    large = build_write("large")
    large["params"]["arguments"]["userPrompt"] = prompt
    fake_api.stall.clear()
    with ThreadPoolExecutor() as pool:
        held = drain_during_a_call(proxy, fake_api, ending, at_home, pool)
        sent = pool.submit(post, proxy, large, at_home)
        await until(lambda: sent.done() or bool(fake_api.posts))
        fake_api.stall.set()
        answered, first = sent.result(timeout=60), held.result(timeout=20)
    assert proxy.replicas[ending].process.wait(timeout=60) == 0

    assert (answered.status_code, first.status_code) == (200, 200), answered.text
    assert proxy.has_answered(ending, "503", since=0)


async def test_sse_session_ends_with_its_replica_and_survives_the_return_of_the_other(
    proxy: Proxy, fake_api: FakeAPI
) -> None:
    """A caller that reconnects while its replica is down keeps its session when that replica returns."""
    away = next(iter(proxy.replicas))
    key = find_key(proxy, away)
    connection, stream = opened(
        proxy.url, "GET", "/sse", [("Host", authority(proxy.url)), ("X-API-Key", key)]
    )
    with closing(connection), stream:
        assert b"endpoint" in stream.readline()
        assert proxy.replicas[away].end() == 0
        stream.read()  # raises if the stream was not closed properly

    with anyio.fail_after(60):
        async with Client(sse_client(f"{proxy.url}/sse", headers={"X-API-Key": key})) as client:
            assert not (await client.call_tool("get_batch_run", IN_BATCH)).is_error
            await anyio.to_thread.run_sync(proxy.start, away)
            await anyio.to_thread.run_sync(wait_until, lambda: proxy.home(key) == away)
            result = await client.call_tool("get_batch_run", IN_BATCH)

    assert f"of {hash_key(key)}" in json.dumps(result.structured_content)
    assert proxy.has_answered(away, "404", since=0)


async def test_one_caller_reaches_one_replica_which_remembers_its_writes(
    proxy: Proxy, fake_api: FakeAPI
) -> None:
    keys = [f"caller-{number}-end" for number in range(20)]
    for key in keys:
        for _ in range(2):
            assert succeeded_with(
                post(proxy, build_write(f"twice-{hash_key(key)}"), key), f"tc_twice-{hash_key(key)}"
            )

    assert len(fake_api.posts) == len(keys)
    assert {proxy.home(key) for key in keys} == set(proxy.replicas)


async def test_one_caller_reaches_one_replica_with_both_forms_of_its_key(
    proxy: Proxy, fake_api: FakeAPI
) -> None:
    """A write that is repeated with the other header is recognized."""
    keys = [f"caller-{number}-form" for number in range(20)]
    for key in keys:
        label = f"form-{hash_key(key)}"
        forms = [{"X-API-Key": key}, {"Authorization": f"bearer  {key}"}]
        for form in [*forms, forms[0] | forms[1]]:
            response = httpx2.post(
                f"{proxy.url}/mcp/", json=build_write(label), headers={**ACCEPT, **form}, timeout=30
            )
            assert succeeded_with(response, f"tc_{label}")

    assert len(fake_api.posts) == len(keys)
    assert {proxy.home(key) for key in keys} == set(proxy.replicas)


async def test_both_forms_of_a_key_share_its_limit(proxy: Proxy, fake_api: FakeAPI) -> None:
    fake_api.stall.clear()
    bearer = {**ACCEPT, "Authorization": "Bearer caller-greedy"}
    with ThreadPoolExecutor(EACH_KEY) as pool:
        sent = [pool.submit(post_until_served, proxy, "caller-greedy") for _ in range(EACH_KEY)]
        await until(lambda: is_refused(proxy, "caller-greedy"))
        beyond = httpx2.post(f"{proxy.url}/mcp", json=CALL, headers=bearer, timeout=30)
        fake_api.stall.set()
        within = [call.result(timeout=60).status_code for call in sent]

    assert beyond.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert within == [HTTPStatus.OK] * EACH_KEY


async def test_refusals_of_a_replica_pass_unchanged(proxy: Proxy, fake_api: FakeAPI) -> None:
    two = {**ACCEPT, "X-API-Key": "caller-a", "Authorization": "Bearer caller-b"}
    many = httpx2.post(f"{proxy.url}/mcp", json=CALL, headers=two)
    batch = httpx2.post(f"{proxy.url}/mcp", json=[CALL], headers={**ACCEPT, "X-API-Key": KEY})
    none = httpx2.post(f"{proxy.url}/mcp", json=CALL, headers=ACCEPT)
    login = httpx2.post(f"{proxy.url}/register", json={})

    assert (many.status_code, many.json()) == (400, {"error": SEVERAL_KEYS})
    assert (batch.status_code, batch.json()[0]["id"]) == (400, CALL["id"])
    assert (none.status_code, none.headers["WWW-Authenticate"]) == (401, CHALLENGE)
    assert (login.status_code, login.json()["error_description"]) == (404, NO_LOGIN)
    assert fake_api.asked == []


async def test_calls_of_one_key_beyond_its_limit_get_429_and_others_continue(
    proxy: Proxy, fake_api: FakeAPI
) -> None:
    fake_api.stall.clear()
    with ThreadPoolExecutor(EACH_KEY) as pool:
        sent = [pool.submit(post_until_served, proxy, "caller-greedy") for _ in range(EACH_KEY)]
        await until(lambda: is_refused(proxy, "caller-greedy"))
        beyond = post(proxy, CALL, "caller-greedy")
        fake_api.stall.set()
        other = post(proxy, CALL, "caller-other")
        within = [call.result(timeout=60).status_code for call in sent]

    assert (beyond.status_code, beyond.headers["retry-after"], other.status_code) == (429, "2", 200)
    assert "Try again" in beyond.json()["error"] and within == [200] * EACH_KEY


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has several loopback addresses")
async def test_one_address_cannot_use_all_connections(proxy: Proxy, fake_api: FakeAPI) -> None:
    """R31: slow bodies with invented keys do not affect another caller."""
    host, port = authority(proxy.url).split(":")
    with ExitStack() as stack:
        for number in range(TOGETHER):
            peer = stack.enter_context(
                create_connection((host, int(port)), source_address=("127.0.0.2", 0))
            )
            head = f"POST /mcp HTTP/1.1\r\nHost: {authority(proxy.url)}\r\nX-API-Key: invented-{number}\r\n"
            peer.sendall(f"{head}Content-Length: 100\r\n\r\n".encode())
        response = post(proxy, CALL, "caller-other")

    assert response.status_code == 200


async def test_large_bodies_foreign_hosts_and_unknown_paths_are_refused(
    proxy: Proxy, fake_api: FakeAPI
) -> None:
    base = [("X-API-Key", KEY), *ACCEPT.items()]
    own, foreign = [("Host", authority(proxy.url)), *base], [("Host", "evil.example"), *base]
    length = ("Content-Length", str(1024 * 1024 + 1))
    head = [
        ("Host", authority(proxy.url)),
        *[(f"X-Header-{number}", "x" * 8000) for number in range(5)],
    ]
    asked: dict[int, Exchanged] = {
        413: exchange(proxy.url, "POST", "/mcp", [*own, length]),
        421: exchange(proxy.url, "POST", "/mcp", [*foreign, ("Content-Length", "2")], b"{}"),
        404: exchange(proxy.url, "GET", "/readyz", own),
        400: exchange(proxy.url, "GET", "/healthz", head),
        401: exchange(proxy.url, "GET", "/sse", own[:1]),
    }

    assert {expected: answer.status for expected, answer in asked.items()} == {
        status: status for status in asked
    }
    assert all(
        not (answer.headers["Server"] or "").startswith("nginx/") for answer in asked.values()
    )
    assert fake_api.asked == []


@pytest.mark.parametrize("origin", [ORIGIN, "https://evil.example"])
async def test_errors_of_nginx_look_like_ours(proxy: Proxy, origin: str) -> None:
    """Errors are JSON, readable by pages of an allowed origin. R1: a key in a wrong header is not logged."""
    base = [("Host", authority(proxy.url)), ("Origin", origin), ("X_API_Key", KEY)]
    answers = {
        413: exchange(proxy.url, "POST", "/mcp", [*base, ("Content-Length", str(1024 * 1024 + 1))]),
        404: exchange(proxy.url, "GET", "/nope", base),
        400: exchange(proxy.url, "GET", "/healthz", [*base, ("X-Header", "x" * 9000)]),
        405: exchange(proxy.url, "TRACE", "/mcp", base),
        414: exchange(proxy.url, "GET", f"/{'x' * 9000}", base),
    }

    assert {expected: answer.status for expected, answer in answers.items()} == {
        status: status for status in answers
    }
    for status, answer in answers.items():
        assert json.loads(answer.body)["error"].endswith("."), status
        assert answer.headers["Content-Type"] == "application/json"
        # If the URL is too long, nginx reads no headers.
        allowed = origin if origin == ORIGIN and status != 414 else None
        assert answer.headers["Access-Control-Allow-Origin"] == allowed
    wait_until(lambda: len(proxy.lines()) >= len(answers))
    assert max(map(len, proxy.lines())) < 300


async def test_slow_headers_end_the_connection(
    fake_api: FakeAPI, tmp_path: Path, rounds: RoundCount, figures: list[str]
) -> None:
    """R31: nginx limits the time for headers; single bytes do not extend it."""
    seconds = rounds(short=1, long=10)
    changed = {"client_header_timeout 10s": f"client_header_timeout {seconds}s"}
    with start_proxy(
        fake_api, tmp_path, changed=changed, ports=(1, 2)
    ) as proxy:  # nginx never contacts them
        host, port = authority(proxy.url).split(":")
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
        f"R31 a header sent byte by byte: disconnected after {took:.1f} s (client_header_timeout {seconds} s)"
    )


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
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


def find_key(proxy: Proxy, port: int) -> str:
    """Find a key whose calls reach this replica."""
    return next(
        key for key in (f"caller-{number}-home" for number in range(100)) if proxy.home(key) == port
    )


def drain_during_a_call(
    proxy: Proxy, fake_api: FakeAPI, port: int, key: str, pool: ThreadPoolExecutor
) -> Future[httpx2.Response]:
    """Stop this replica once the API has received a call of this key; return that call."""
    call = pool.submit(post, proxy, CALL, key)
    wait_until(lambda: bool(fake_api.asked))
    proxy.replicas[port].process.send_signal(signal.SIGTERM)
    direct = [("Host", authority(proxy.url))]
    wait_until(lambda: exchange(proxy.replicas[port].url, "GET", "/readyz", direct).status == 503)
    return call

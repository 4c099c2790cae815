"""The caller's key: in nothing that the server says, malformed ones refused, lent only when that is asked for (R1, R3, R8)."""

import base64
import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import httpx2
import pytest
from mcp import Client

from sigmamind_mcp import masking
from sigmamind_mcp.commands.backend import select_api
from sigmamind_mcp.errors import ConfigurationError
from sigmamind_mcp.masking import PIECE_CHARACTERS, OwnKey, cut_text, mask
from sigmamind_mcp.protocol.server import open_server
from sigmamind_mcp.settings import Settings, check_key
from tests.conftest import SPIKY_KEY as KEY
from tests.conftest import RoundCount, text_of
from tests.support.all_transports import (
    TRANSPORTS,
    Answer,
    Connection,
    HTTPConnection,
    open_http_server,
)
from tests.support.fake_api import BATCH, FakeAPI
from tests.test_poison import (
    JSON_RESOURCES,
    READS,
    REFERENCES,
    TRANSCRIPT,
    WRITES,
    poisoned_api,
    texts_in,
)
from tests.transports.raw_http import ACCEPT, CALL, IN_BATCH

SPELT = {
    "as it is": KEY,
    "in a URL": quote(KEY, safe=""),
    "in a form": quote_plus(KEY),
    "in base64": base64.b64encode(KEY.encode()).decode().rstrip("="),
    "in base64 for URLs": base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("="),
    "in basic authentication": base64.b64encode(f"sigma:{KEY}".encode()).decode()[8:-4],
    "in JSON": json.dumps(KEY)[1:-1],
    "in Python": repr(KEY.encode())[2:-1],
    "hidden": "\u200b".join(KEY),
}
PARTS = {KEY[at : at + 12] for at in range(len(KEY) - 11)}
"""What a text that was cut may show of it."""


def leaks(text: str) -> set[str]:
    return {form for form in (*SPELT.values(), *PARTS) if form in text}


def leaks_of(answer: Answer) -> set[str]:
    return leaks(answer.raw) | leaks("\x00".join(texts_in(answer.message)))


def echo(data: Any, *, ids: bool = False, long: bool = False) -> Any:
    """The body with the key in every text and in the names of fields, spelt in each way, alone and in longer texts."""
    forms = iter(list(SPELT.values()) * 10_000)

    def into(data: Any, name: str) -> Any:
        if isinstance(data, str):
            if name.endswith(("Id", "Date")) and not ids:
                return data
            return (
                KEY
                if ids
                else KEY * 900
                if long
                else f"{data} {next(forms)}, and X-API-Key:{next(forms)}"
            )
        if isinstance(data, list):
            return [into(item, name) for item in data]
        if not isinstance(data, dict):
            return data
        named = {name: into(value, name) for name, value in data.items()}
        return {**named, **{f"{next(forms)} {name}": next(forms) for name in list(data)[:3]}}

    return into(data, "")


def refusing(status: int) -> Callable[[Any], Any]:
    said = {form: form for form in SPELT.values()}
    error = {
        "error": KEY,
        "message": f"No such key: {KEY}",
        "path": f"/v1?key={SPELT['in a URL']}",
        "status": status,
    }
    return lambda body: (
        status,
        {**error, "validationErrors": said} if status in (400, 422) else error,
    )


ECHOES: dict[str, Callable[[Any], Any]] = {
    "echo": lambda body: (200, echo(body)),
    "echo as ids": lambda body: (200, echo(body, ids=True)),
    "echo that is cut": lambda body: (200, echo(body, long=True)),
}
FAULTS: dict[str, Callable[[Any], Any]] = {
    **ECHOES,
    **{
        str(status): refusing(status)
        for status in (302, 307, 400, 401, 403, 404, 405, 409, 422, 429, 500, 501, 503)
    },
    "HTML": lambda body: (200, f"<html><p>{KEY}</p></html>".encode()),
    "HTML 502": lambda body: (502, f"<html><p>{KEY}</p></html>".encode()),
    "truncated": lambda body: (200, json.dumps(echo(body)).encode()[:-20]),
    "a text": lambda body: (200, KEY),
    "a list": lambda body: (200, [KEY, {KEY: KEY}]),
    "other types": lambda body: (
        200,
        {"data": KEY, "conversation": {KEY: KEY}, "mockData": KEY, "attempt": KEY},
    ),
}
ASKED: list[tuple[str, Any]] = [
    *(("tools/call", call) for call in READS + WRITES),
    *(("resources/read", uri) for uri in (*JSON_RESOURCES, TRANSCRIPT)),
    *(("completion/complete", reference) for reference in REFERENCES),
    ("prompts/get", "diagnose_batch_run"),
]


def ask(connection: Connection, method: str, what: Any, number: int) -> Answer:
    if method == "tools/call":
        tool, arguments = what
        fresh = (
            {"label": f"Case {number}"} if tool == "create_test_case" else {}
        )  # or the ledger would answer
        return connection.call(tool, {**arguments, **fresh})
    if method == "resources/read":
        return connection.read(what)
    if method == "prompts/get":
        return connection.ask(
            method, {"name": what, "arguments": {"agentId": KEY, "batchId": KEY}}, what
        )
    filled = {"arguments": {"agentId": "a", "batchId": "b1"}}
    argument = {"name": ("agentId", "testCaseId", "batchId", "jobId")[number % 4], "value": ""}
    return connection.ask(
        method, {"ref": what.model_dump(mode="json"), "argument": argument, "context": filled}
    )


def test_key_stands_in_nothing_that_the_server_says_or_logs(
    all_transports: dict[str, Connection],
    shared_api: FakeAPI,
    rounds: RoundCount,
    figures: list[str],
) -> None:
    """R1: every tool, resource and completion, every fault, every transport, at the level that logs most."""
    opened, every, cases, hits, masked = (
        all_transports,
        rounds(short=len(TRANSPORTS) * 2, long=1),
        0,
        0,
        0,
    )
    poisoned_api(shared_api)
    good = dict(shared_api.answers)
    shared_api.headers |= {
        "Retry-After": "900",
        "Location": f"https://elsewhere.example/{KEY}",
        "Set-Cookie": f"k={KEY}",
    }
    with ThreadPoolExecutor(4) as pool:
        for fault_number, (name, fault) in enumerate(FAULTS.items()):
            shared_api.answers = {place: fault(body) for place, (_, body) in good.items()}
            jobs = [
                (connection, method, what, fault_number)
                for number, (method, what) in enumerate(ASKED)
                for wire_number, connection in enumerate(opened.values())
                if (number + wire_number * 2 + fault_number) % every == 0
            ]
            answers = pool.map(ask, *zip(*jobs, strict=True))
            cases += len(jobs)
            for (connection, method, what, _), answer in zip(jobs, answers, strict=True):
                found = leaks_of(answer)
                hits += bool(found)
                assert not found, (name, connection.name, method, what, found)
                masked += "[key]" in answer.raw
                if (
                    name in ECHOES
                    and method == "tools/call"
                    and what[0].startswith("get_")
                    and what[0] != "get_test_case_history"  # shows counts alone
                    and not answer.is_error
                ):
                    assert "[key]" in answer.text and "[key]" in json.dumps(
                        answer.result["structuredContent"]
                    )
    logs = [connection.read_log() for connection in opened.values()]
    assert not any(leaks(log) for log in logs)
    assert not any(leaks(title) for title in titles(opened["stdio"]) + titles(opened["SSE"]))
    assert masked > cases / 20
    figures.append(
        f"R1 {cases:,} cases ({len(ASKED)} requests, {len(FAULTS)} faults, {len(opened)} transports), {len(SPELT)} spellings:"
        f" {hits} hits in answers, 0 in the logs at debug and the process titles; {masked:,} masked"
    )


def titles(connection: Connection) -> list[str]:
    """What other processes of the machine see of this one."""
    folder = Path(f"/proc/{connection.server.process.pid}")
    return [
        (folder / name).read_text(encoding="utf-8")
        for name in ("cmdline", "comm", "status")
        if folder.exists()
    ]


def test_what_is_masked_for_the_reader_is_written_back_as_it_was(
    connection: Connection, shared_api: FakeAPI
) -> None:
    """R1: a change starts from the object as the API gave it, with the key in it."""
    poisoned_api(shared_api)
    case = {**echo(shared_api.answers["GET", "/v1/test-cases/t1"][1]), "userPrompt": KEY}
    shared_api.answer("GET", "/v1/test-cases/t1", case)

    answer = connection.call("update_test_case", {"agentId": "a", "testCaseId": "t1", "attempt": 7})

    (put,) = (asked.body for asked in shared_api.asked if asked.method == "PUT")
    assert not answer.is_error and not leaks_of(answer)
    assert {name: put[name] for name in ("userPrompt", "successCriteria", "label")} == {
        name: case[name] for name in ("userPrompt", "successCriteria", "label")
    }


def test_key_in_the_wrong_place_is_not_logged(all_transports: dict[str, Connection]) -> None:
    """R1: in a URL, in another header, in a body, by somebody who has misread the README."""
    connection = all_transports["HTTP 2025-11-25"]
    assert isinstance(connection, HTTPConnection)
    spelt = SPELT["in a URL"]
    places: list[dict[str, Any]] = [
        {"url": f"/mcp?key={spelt}"}, {"url": f"/{spelt}"}, {"url": f"/sse/{spelt}", "method": "GET"},
        {"url": f"/messages/?session_id={spelt}"}, {"url": f"/healthz?{spelt}", "method": "GET"}, {"url": "/mcp", "content": KEY},
        {"url": "/mcp", "headers": {"Authorization": f"Bearer {KEY}"}}, {"url": "/mcp", "headers": {"Mcp-Protocol-Version": KEY}},
        {"url": "/mcp", "json": {**CALL, "method": KEY}}, {"url": "/mcp", "headers": {"X-API-Key": f"{KEY} {KEY}"}},
    ]  # fmt: skip
    for place in places:
        answer = connection.http.request(**{"method": "POST", **place})
        assert not leaks("\n".join(answer.headers.values())) and (answer.status_code < 500), place
        assert (
            not leaks(answer.text)
            or "json" in place
            or "Mcp-Protocol-Version" in place.get("headers", {})
        ), place

    assert not leaks(connection.read_log())


@pytest.mark.parametrize("key", ["short", "12345678", "twelve-chars", KEY])
def test_key_is_hidden_unless_it_is_too_short_to_be_a_secret(key: str) -> None:
    mask = OwnKey(key).mask

    for text in (key, f"a{key}b", f"{key} and {key}", key * 3, key[:-1] + key):
        assert (key in mask(text)) == (len(key) < 8)
    assert mask({"a": [f"<{key}>", 1, None], f"{key}": {}}) == (
        {"a": [f"<{key}>", 1, None], key: {}}
        if len(key) < 8
        else {"a": ["<[key]>", 1, None], "[key]": {}}
    )
    assert mask(f"x{key[:7]}y") == f"x{key[:7]}y"


MALFORMED = {
    "a space": " ",
    "a space inside": f"{KEY[:9]} {KEY[9:]}",
    "a tab inside": f"{KEY[:9]}\t{KEY[9:]}",
    "CR LF inside": f"{KEY[:9]}\r\nX-Evil: {KEY[9:]}",
    "LF inside": f"{KEY[:9]}\n{KEY[9:]}",
    "CR inside": f"{KEY[:9]}\r{KEY[9:]}",
    "NUL": f"{KEY}\x00",
    "escape": f"{KEY}\x1b[0m",
    "delete": f"{KEY}\x7f",
    "Latin-1": f"{KEY}\xfc",
    "beyond Latin-1": f"{KEY}\u2019",
    "513 characters": (KEY * 20)[:513],
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_key_in_the_environment_is_refused_unsent(
    fake_api: FakeAPI, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """R3: with one fixed sentence, before the HTTP library sees it, and it is not repeated in the log."""
    caplog.set_level("DEBUG")
    settings = Settings.from_env(
        {"SIGMAMIND_BASE_URL": fake_api.url, "SIGMAMIND_API_KEY": MALFORMED[name]}
    )
    async with (
        open_server(settings, select_api(settings)) as server,
        Client(server, cache=None) as mcp,
    ):
        result = await mcp.call_tool("get_batch_run", IN_BATCH)

    said = text_of(result)
    assert (
        result.is_error
        and "SIGMAMIND_API_KEY" in said
        and ("malformed" in said or "No SigmaMind API key is set" in said)
    )
    assert not leaks(said + caplog.text)
    assert fake_api.asked == []


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_key_in_the_header_is_refused_unsent(
    all_transports: dict[str, Connection], shared_api: FakeAPI, name: str
) -> None:
    """R3: 401, or 400 where it is no HTTP at all, on each route, as it stands in the bytes of the request."""
    connection = all_transports["SSE"]
    assert isinstance(connection, HTTPConnection)
    folded = MALFORMED[name].replace("\r\nX-Evil:", "\r\n")  # otherwise it would be another header
    spelt = folded.encode("utf-8" if name == "beyond Latin-1" else "latin-1")
    for route in (b"POST /mcp", b"GET /sse", b"POST /messages/?session_id=" + b"0" * 32):
        with socket.create_connection(
            (urlsplit(connection.url).hostname, urlsplit(connection.url).port), timeout=20
        ) as peer:
            body = json.dumps(CALL).encode()
            head = b"%s HTTP/1.1\r\nHost: %s\r\nX-API-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            peer.sendall(
                head % (route, urlsplit(connection.url).netloc.encode(), spelt, len(body)) + body
            )
            answered = peer.recv(65_536).decode()
        assert answered.split()[1] in ("400", "401"), answered
        assert not leaks(answered)

    assert not leaks(connection.read_log()) and shared_api.asked == []


def test_malformed_keys_never_reach_the_http_library(figures: list[str]) -> None:
    """R3: the check itself; what a file or a shell leaves at the end is trimmed."""
    for key in ("", *MALFORMED.values()):
        with pytest.raises(ConfigurationError) as refused:
            check_key(key)
        assert not leaks(str(refused.value)) and refused.value.__cause__ is None
    for end in ("\n", "\r\n"):
        assert check_key(f"{KEY}{end}").get_secret_value() == KEY
    figures.append(
        f"R3 {len(MALFORMED)} of {len(MALFORMED)} malformed keys refused, in the environment and in the header, 0 leaks"
    )


@pytest.mark.parametrize("is_lent", [True, False])
def test_process_wide_key_is_lent_only_when_that_is_asked_for(
    tmp_path: Path, fake_api: FakeAPI, figures: list[str], is_lent: bool
) -> None:
    """R8: on a public bind as on loopback; without --single-user it is ignored, which is said."""
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    arguments = [
        "--host",
        "0.0.0.0",
        "--allowed-host",
        "mcp.example.com",
        *(["--single-user"] if is_lent else []),
    ]
    with open_http_server(tmp_path, fake_api.url, *arguments, SIGMAMIND_API_KEY=KEY) as (
        server,
        url,
    ):
        url = f"http://127.0.0.1:{urlsplit(url).port}"
        keyless = httpx2.post(f"{url}/mcp", json=CALL, headers=ACCEPT, timeout=60)
        own = httpx2.post(
            f"{url}/mcp", json=CALL, headers={**ACCEPT, "X-API-Key": "of-the-caller"}, timeout=60
        )
        log = server.log(until='"status": "ok"')

    assert (keyless.status_code, own.status_code) == (200 if is_lent else 401, 200)
    assert [asked.headers["x-api-key"] for asked in fake_api.asked] == [
        *([KEY] if is_lent else []),
        "of-the-caller",
    ]
    assert ("ignores SIGMAMIND_API_KEY" in log) is not is_lent
    assert ("lends your key to everyone" in log) is is_lent
    assert not leaks(log + keyless.text)
    figures.append(
        f"R8 --host 0.0.0.0 {'with' if is_lent else 'without'} --single-user: a call without a key gets {keyless.status_code}"
    )


LONG_TEXTS = [
    "hello there, you " * 6_000,
    "x" * 100_000,
    "{{" * 50_000 + "}}" * 50_000,
    "好的。" * 30_000,
    " " * 100_000,
    "Bearer " * 15_000,
    "sk-" * 30_000,
    "https://a:" * 9_000,
    "-----BEGIN PRIVATE KEY-----" * 4_000,
]


@pytest.mark.parametrize("text", LONG_TEXTS, ids=lambda text: text[:12])
def test_long_text_is_searched_in_pieces(text: str) -> None:
    """R35: a search of a whole text would stop every other caller until its end."""
    pieces = list(cut_text(text))

    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 2 * PIECE_CHARACTERS


SECRETS = [
    "Bearer abcdefgh12345678",
    "bearer  \n x1y2z3w4-abcdefgh",
    "Basic QWxhZGRpbjpvcGVu",
    "sk-abcdefghijklmnop",
    "key_abc.def",
    "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.abc",
    "AKIAABCDEFGHIJKLMNOP",
    "-----BEGIN RSA PRIVATE KEY-----\nab cd\nef-gh\n-----END RSA PRIVATE KEY-----",
    "https://user:pass-word@example.com",
    "https://example.com/?a=b&api_key=abc.def",
]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12])
def test_secret_is_masked_wherever_a_text_is_cut(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setattr(masking, "PIECE_CHARACTERS", 100)
    masked = mask(secret)
    assert "(masked)" in masked
    for place in range(300):
        before, after = ("word " * 100)[:place], " word" * 100
        assert mask(f"{before} {secret}{after}") == f"{before} {masked}{after}"

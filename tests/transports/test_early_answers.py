"""An early answer is the server's own answer; whatever is not exactly as recorded gets none."""

import json
from random import Random
from typing import Any

import anyio
import mcp_types as mcp
import pytest
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage

from sigmamind_mcp.commands.backend import select_api
from sigmamind_mcp.protocol.recorded_listings import ENVELOPE_REVISION, HANDSHAKE_REVISIONS
from sigmamind_mcp.protocol.server import open_server
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.transports.early_answers import MOST_EARLY_ANSWERS, EarlyAnswers
from sigmamind_mcp.transports.json_lines import read_message
from sigmamind_mcp.transports.pipes import Line
from tests.checks.listings import CLIENT, ENVELOPE, LISTS, build_requests
from tests.conftest import RoundCount

pytestmark = pytest.mark.anyio

INITIALIZED: dict[str, Any] = {"jsonrpc": "2.0", "method": "notifications/initialized"}
REVISIONS = (*HANDSHAKE_REVISIONS, ENVELOPE_REVISION)


def to_line(message: Any) -> Line:
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    return Line(bytearray(text))


def request(request_id: Any, method: Any, params: Any = None) -> dict[str, Any]:
    given = {} if params is None else {"params": params}
    return {"jsonrpc": "2.0", "id": request_id, "method": method, **given}


def hello(**changes: Any) -> dict[str, Any]:
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
    return request(0, "initialize", {**params, **changes})


def enveloped(**changes: Any) -> dict[str, Any]:
    meta = {f"io.modelcontextprotocol/{name}": value for name, value in changes.items()}
    return {"_meta": {**ENVELOPE["_meta"], **meta}}


def answer_all(messages: list[Any], settings: Settings | None = None) -> list[bytes | None]:
    answers = EarlyAnswers(settings or Settings())
    return [answers.answer(to_line(message)) for message in messages]


@pytest.mark.parametrize("revision", REVISIONS)
async def test_every_listing_of_each_revision_is_answered(revision: str) -> None:
    requests = [request(*it) for it in enumerate_requests(revision)]

    answers = answer_all(requests)

    assert [json.loads(answer or b"0")["id"] for answer in answers] == [*range(len(requests))]


def enumerate_requests(revision: str) -> list[tuple[int, str, Any]]:
    return [(number, *it) for number, it in enumerate(build_requests(revision))]


@pytest.mark.parametrize(
    "capabilities",
    [
        {"roots": {"listChanged": True}, "sampling": {}, "elicitation": {}},
        {"elicitation": {"form": {"applyDefaults": True}, "url": {}}, "sampling": {"tools": {}}},
        {"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html"]}}},
        {"experimental": {"x": {"y": [1, None, {}]}}},
        {"tasks": {"requests": {"sampling": {"createMessage": {}}}}},
    ],
)
async def test_what_clients_can_do_changes_no_listing(capabilities: Any) -> None:
    [first, rest] = answer_all([hello(capabilities=capabilities), request(1, "tools/list")])

    assert first and rest


@pytest.mark.parametrize("params", [{}, None])
async def test_initialized_is_expected_and_has_no_answer(params: Any) -> None:
    given = {} if params is None else {"params": params}

    assert answer_all([hello(), {**INITIALIZED, **given}])[1] == b""


ODD_FIRST = {
    "unknown version": hello(protocolVersion="2099-01-01"),
    "version of the other era": hello(protocolVersion=ENVELOPE_REVISION),
    "no version": request(0, "initialize", {"capabilities": {}, "clientInfo": CLIENT}),
    "extra parameter": hello(extra=1),
    "metadata of a handshake": hello(_meta={}),
    "client without a version": hello(clientInfo={"name": "a"}),
    "client with icons": hello(clientInfo={**CLIENT, "icons": []}),
    "client whose name is no text": hello(clientInfo={"name": 1, "version": "1"}),
    "capability that is no object": hello(capabilities={"roots": 5}),
    "capability that is null": hello(capabilities={"roots": None}),
    "flag that is no flag": hello(capabilities={"roots": {"listChanged": "yes"}}),
    "flag that is an object": hello(capabilities={"roots": {"listChanged": {}}}),
    "flag of an unknown name": hello(capabilities={"roots": {"x": True}}),
    "unknown capability": hello(capabilities={"new": {}}),
    "extension that is no object": hello(capabilities={"extensions": {"x": 1}}),
    "nested deeply": hello(capabilities={"experimental": {"x": json.loads('{"y":' * 60 + "1" + "}" * 60)}}),
    "name not in ASCII": json.dumps(hello(clientInfo={"name": "é", "version": "1"}), ensure_ascii=False).encode(),
    "escape of half a character": hello(clientInfo={"name": "\ud800", "version": "1"}),
    "long line": hello(clientInfo={"name": "a" * 20_000, "version": "1"}),
    "not JSON": b'{"jsonrpc": "2.0", "id": 1, "method": "ping"',
    "infinite number": b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"capabilities":{"experimental":{"x":{"y":NaN}}}}}',
    "batch": [hello()],
    "no object": 5,
    "other JSON-RPC": {**hello(), "jsonrpc": "1.0"},
    "no JSON-RPC": {name: value for name, value in hello().items() if name != "jsonrpc"},
    "extra member": {**hello(), "result": {}},
    "id that is true": {**hello(), "id": True},
    "id that is null": {**hello(), "id": None},
    "id that is a fraction": {**hello(), "id": 1.0},
    "id that is enormous": {**hello(), "id": 10**30},
    "method that is no text": {**hello(), "method": 5},
    "parameters in a list": {**hello(), "params": []},
    "parameters that are null": {**hello(), "params": None},
    "response": {"jsonrpc": "2.0", "id": 0, "result": {}},
    "list before the handshake": request(0, "tools/list", {}),
    "ping before the handshake": request(0, "ping"),
    "call": request(0, "tools/call", {"name": "list_agents", "arguments": {}}),
    "half an envelope": request(0, "tools/list", {"_meta": {"io.modelcontextprotocol/protocolVersion": ENVELOPE_REVISION}}),
    "envelope of another revision": request(0, "tools/list", enveloped(protocolVersion="2025-11-25")),
    "envelope of an odd client": request(0, "tools/list", enveloped(clientInfo={})),
    "envelope with a log level": request(0, "tools/list", enveloped(logLevel="debug")),
    "envelope that is a list": request(0, "tools/list", {"_meta": []}),
    "cursor in an envelope": request(0, "tools/list", {**ENVELOPE, "cursor": "1"}),
    "ping in an envelope": request(0, "ping", ENVELOPE),
    "handshake in an envelope": request(0, "initialize", ENVELOPE),
}  # fmt: skip
ODD_LATER = {
    "second handshake": hello(),
    "repeated id": request(0, "tools/list"),
    "cursor": request(1, "tools/list", {"cursor": ""}),
    "envelope after a handshake": request(1, "tools/list", ENVELOPE),
    "method of the other era": request(1, "server/discover", {}),
    "odd progress token": request(1, "tools/list", {"_meta": {"progressToken": [1]}}),
    "other metadata": request(1, "tools/list", {"_meta": {"traceparent": "00-1-2-01"}}),
    "cancellation": {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 0}},
    "initialized with parameters": {**INITIALIZED, "params": {"x": 1}},
    "initialized with an id": {**INITIALIZED, "id": 5},
    "unknown method": request(1, "tools/lists"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_FIRST)
async def test_odd_first_message_is_left_to_the_server(name: str) -> None:
    assert answer_all([ODD_FIRST[name]]) == [None]


@pytest.mark.parametrize("name", ODD_LATER)
async def test_odd_message_after_a_handshake_is_left_to_the_server(name: str) -> None:
    assert answer_all([hello(), ODD_LATER[name]])[1] is None


async def test_handshake_after_an_envelope_is_left_to_the_server() -> None:
    assert answer_all([request(5, "tools/list", ENVELOPE), hello()])[1] is None


async def test_early_answers_are_limited() -> None:
    pings = [request(number, "ping") for number in range(1, MOST_EARLY_ANSWERS + 1)]

    answers = answer_all([hello(), *pings])

    assert all(answers[:-1]) and answers[-1] is None


@pytest.mark.parametrize(
    ("settings", "is_answered"),
    [
        (Settings(api_key="key_Zq7wXy41Vn5kTb0RmLc3hQe9"), True),
        (Settings(api_key="st_agents shows"), False),
        (Settings(api_key="k" * 6 + "Diagno" + "k" * 6), False),
        (Settings(api_key="abcdefghijkl", agent_id="abcdefghijkl"), False),
        (Settings(api_key="short"), True),
    ],
)
async def test_key_whose_characters_stand_in_an_answer_is_left_to_the_server(
    settings: Settings, is_answered: bool
) -> None:
    answers = answer_all([request(0, "tools/list", ENVELOPE)], settings)

    assert bool(answers[0]) == is_answered


VALUES: list[Any] = [
    {}, {"x": {}}, {"listChanged": True}, {"listChanged": 1}, {"listChanged": {}}, {"tools": {}}, {"context": {}}, {"context": True}, {"form": {}, "url": {}},
    {"form": True}, {"list": {}, "cancel": {}}, {"requests": {"elicitation": {"create": {}}}}, {"x": [1]}, [], None, True, 1, "a",
]  # fmt: skip
NAMES = ["roots", "sampling", "elicitation", "experimental", "extensions", "tasks", "other"]
INFOS: list[Any] = [
    CLIENT, {**CLIENT, "title": "t"}, {**CLIENT, "websiteUrl": "no address", "description": ""}, {"name": "", "version": ""},
    {**CLIENT, "icons": []}, {"name": "a"}, {**CLIENT, "title": None}, {**CLIENT, "x": "y"}, [], None,
]  # fmt: skip
METAS: list[Any] = [{}, {"progressToken": 1}, {"progressToken": "a"}, {"progressToken": 1.5}, {"progressToken": True}, {"x": 1}, [], None]  # fmt: skip
IDS: list[Any] = ["1", "a", "", -1, 2**53 - 1, 2**60, 1, 1.0, True, None]
OTHER_METHODS = ["ping", "ping", "initialize", "server/discover", "tools/call", "logging/setLevel"]


def invent_session(random: Random) -> list[Any]:
    """Return messages as clients send them, some with a part replaced by another form of it."""

    def vary(plain: Any, others: list[Any]) -> Any:
        return random.choice(others) if random.random() < 0.15 else plain

    names = vary([], [random.sample(NAMES, 2), random.sample(NAMES, 1)])
    info = vary(CLIENT, INFOS)
    capabilities = {name: random.choice(VALUES) for name in names}
    is_modern = random.random() < 0.4
    revision = vary(random.choice(HANDSHAKE_REVISIONS), [ENVELOPE_REVISION, "2024-10-07", 5])
    messages: list[Any] = []
    if not is_modern:
        first = hello(protocolVersion=revision, clientInfo=info, capabilities=capabilities)
        messages += [first, INITIALIZED]
    for number in range(1, random.randint(2, 8)):
        method = vary(random.choice(LISTS), OTHER_METHODS)
        params = vary({}, [{"_meta": random.choice(METAS)}])
        if is_modern:
            params = enveloped(clientInfo=info, clientCapabilities=capabilities)
            params["_meta"] |= vary({}, METAS) or {}
        params |= vary({}, [{"cursor": None}, {"cursor": ""}, {"cursor": "x"}])
        messages.append(request(vary(number, IDS), method, params))
    return messages


async def ask_server(server: Server[Any], lines: list[Line]) -> list[Any]:
    """Return the server's answer to each request, one after the other."""
    to_server, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](1)
    to_client, outgoing = anyio.create_memory_object_stream[SessionMessage](1)
    answers: list[Any] = []
    async with to_server, outgoing, anyio.create_task_group() as group:
        group.start_soon(server.run, incoming, to_client, server.create_initialization_options())
        for line in lines:
            message = read_message(line)
            await to_server.send(SessionMessage(message))
            if isinstance(message, mcp.JSONRPCRequest):
                answer = (await outgoing.receive()).message
                answers.append(json.loads(answer.model_dump_json(exclude_unset=True)))
        to_server.close()
    return answers


async def test_no_invented_session_gets_another_answer_than_the_servers(
    rounds: RoundCount, figures: list[str]
) -> None:
    random = Random(20)
    settings = Settings(api_key="key_Zq7wXy41Vn5kTb0RmLc3hQe9")
    count, given = rounds(short=300, long=3_000), 0
    async with open_server(settings, select_api(settings)) as server:
        for _ in range(count):
            early = EarlyAnswers(settings)
            lines, answers = [], []
            for line in map(to_line, invent_session(random)):
                answer = early.answer(line)
                if answer is None:
                    break
                lines.append(line)
                answers += [json.loads(answer)] if answer else []
            assert answers == await ask_server(server, lines), lines
            given += len(answers)
    assert given > count / 2
    figures.append(f"early answers: {given} in {count} invented sessions, all the server's")

"""What stdio does with hostile lines (R33)."""

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from random import Random
from threading import Thread
from typing import Any

import pytest

from sigmamind_mcp.strict_json import MAX_VALUES
from sigmamind_mcp.transports.json_lines import InvalidLine, read_message
from sigmamind_mcp.transports.pipes import Line, split_lines
from tests.conftest import RoundCount
from tests.transports.raw_stdio import (
    CLIENT,
    WAIT,
    Server,
    request,
    started,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with started() as server:
        yield server


DEEP = b"[" * 5_000 + b"]" * 5_000

VERY_DEEP = b'{"a":' * 50_000 + b"1" + b"}" * 50_000

NOT_A_MESSAGE = "Send a JSON-RPC request"
NOT_JSON = "This line is not JSON."
TOO_DEEP = "A message is nested at most 100 deep."
TOO_LONG = "A message has at most 4 MiB."
BIG = b'"' + b"a" * 5_000_000 + b'"'


def refused(number: int | str | None, code: int, sentence: str) -> tuple[Any, ...]:
    return (number, code, sentence)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"\xff\xfe\x00garbage", [refused(None, -32700, NOT_JSON)]),
        (b"null", [refused(None, -32600, NOT_A_MESSAGE)]),
        (b'"text"', [refused(None, -32600, NOT_A_MESSAGE)]),
        (b"7", [refused(None, -32600, NOT_A_MESSAGE)]),
        (b"{}", [refused(None, -32600, NOT_A_MESSAGE)]),
        (b"[]", [refused(None, -32600, "Batches are not served.")]),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":"b","method":"ping"},{"method":"x"}]',
         [refused(1, -32600, "Batches are not served."), refused("b", -32600, "Batches are not served.")]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"', [refused(1, -32700, NOT_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping",}', [refused(1, -32700, NOT_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"pi\x00ng"}', [refused(1, -32700, NOT_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"ping"}', [refused(1, -32700, NOT_JSON)]),
        (b'{"method":"ping","params":{"a":[1,{"id":3},"}"],"b":bad},"jsonrpc":"2.0","id":"\xe9\\ud800x"}', [refused("\ufffd\ufffdx", -32700, NOT_JSON)]),
        (b'{"method":"ping","params":{"id":3,"a":,"jsonrpc":"2.0","id":4.5}', [refused(None, -32700, NOT_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}', [refused(1, -32700, NOT_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":-Infinity}}', [refused(1, -32700, NOT_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":1e999}}', [refused(1, -32700, NOT_JSON)]),
        (b'{"jsonrpc":"2.0","id":1' + b"0" * 5_000 + b',"method":"ping"}', [refused(None, -32700, NOT_JSON)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + DEEP + b"}}", [refused(1, -32600, TOO_DEEP)]),
        (b'\xc2\xa0{"jsonrpc":"2.0","id":1,"method":"ping"}', [refused(1, -32700, "This line is not JSON.")]),
        (b'\xc2\x85{"jsonrpc":"2.0","id":1,"method":"ping"}', [refused(1, -32700, "This line is not JSON.")]),
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
        (b'{"id":1,"method":"ping"}', [refused(1, -32600, NOT_A_MESSAGE)]),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', [refused(1, -32600, NOT_A_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":1}', [refused(1, -32600, NOT_A_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', [refused(1, -32600, NOT_A_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', [refused(1, -32600, NOT_A_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":"a","method":"ping","params":"x"}', [refused("a", -32600, NOT_A_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', [refused(None, -32600, NOT_A_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', [refused(None, -32600, NOT_A_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', [refused(None, -32600, NOT_A_MESSAGE)]),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', [refused(None, -32600, NOT_A_MESSAGE)]),
        (b"", []),
        (b" \t\r", []),
        (b"\xef\xbb\xbf", []),
        (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"', [refused(1, -32700, NOT_JSON)]),
        (b'\xef\xbb\xbf[{"jsonrpc":"2.0","id":1,"method":"ping"}]', [refused(1, -32600, "Batches are not served.")]),
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


def test_message_with_more_values_than_allowed_is_refused_under_its_id() -> None:
    """R35: on the event loop of a server, its parsing would delay every other caller."""
    values = b"{}," * 60_000 + b"{}"
    line = Line(bytearray(b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":[%b]}}' % values))
    with pytest.raises(InvalidLine, match="at most 60,000 values") as raised:
        read_message(line, max_values=MAX_VALUES)
    assert raised.value.request_ids == (7,)
    assert read_message(line)


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


def test_every_fuzzed_request_is_answered_once(rounds: RoundCount, figures: list[str]) -> None:
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


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_byte_order_mark_before_the_first_message_is_ignored(mark: bytes) -> None:
    """Several clients on Windows write one."""
    server = Server()
    try:
        server.listen()
        server.write(mark + request("first", "initialize", CLIENT))
        assert server.answer()["id"] == "first"
    finally:
        server.close()


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_byte_order_mark_may_come_in_pieces(cut: int) -> None:
    stream = b"\xef\xbb\xbf" + request(1)

    (line,) = split_lines([stream[:cut], stream[cut:]])

    assert getattr(read_message(line), "id", None) == 1

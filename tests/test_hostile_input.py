"""Hostile ids, sizes at and over each limit, and fuzzed calls on every transport (R14-R17).

Cross-cutting: transport, protocol and arguments together must let nothing through.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any
from urllib.parse import quote

from sigmamind_mcp.protocol.catalogue import TOOLS
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.arguments import LARGEST_PAGE
from sigmamind_mcp.uris import TEMPLATES
from tests.conftest import RoundCount
from tests.support.all_transports import Answer, Connection
from tests.support.fake_api import Asked, FakeAPI
from tests.test_poison import READS, WRITES, poisoned_api

SCHEMAS: dict[str, JSONObject] = {
    tool.name: tool.arguments.model_json_schema(by_alias=True)["properties"] for tool in TOOLS
}
CALLS = dict(reversed(READS + WRITES))
"""One good call of each tool."""
ID_ARGUMENTS = [
    (tool, name)
    for tool, schema in SCHEMAS.items()
    for name in schema
    if re.search(r"Ids?$|^testCases$", name)
]
GOOD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", re.ASCII)
GOOD_PATH = re.compile(
    r"/v1/(agents|test-cases|batch-runs|test-runs)(/[A-Za-z0-9][A-Za-z0-9_-]{0,127})?", re.ASCII
)
PIECES = [
    "..", ".", "/", "\\", "?", "#", "%", "%2e", "%2E%2e", "%2f", "%5c", "%00", "%0d%0a", "%252e%252e%252f", "\r\n", "\n", "\r",
    "\x00", "\t", " ", "\x7f", "\x1b[0m", ";", ":", "@", "&", "=", "+", "*", "|", "'", '"', "`", "$", "{", "}", "<", ">", ",",
    "\uff0e\uff0e", "\uff0f", "\uff21", "\u2024", "\u2215", "\u0430", "\xe4", "\u200b", "\u202e", "\ufeff", "\U0001f600", "\ud800", "\u0661",
    "http://127.0.0.1:9/", "//elsewhere.example/", "@elsewhere.example", "?agentId=other", "/../../v1/agents", "\r\nX-Evil: 1",
    "-", "_",
]  # fmt: skip
NOT_TEXTS: list[Any] = [0, 7, -1, 1.5, True, False, [], {}, [".."], {"a": ".."}, [["a"]], 10**300]


def hostile_id(random: Random) -> str:
    """Build an invalid id from pieces of valid ones and special characters."""
    while True:
        pieces = [
            random.choice(PIECES + ["agent_1", "b1", "a"]) for _ in range(random.randint(1, 4))
        ]
        candidate = random.choice(["", "b1"]) + "".join(pieces) + random.choice(["", "", "a", "\n"])
        if random.random() < 0.02:
            candidate = random.choice(["a" * 129, "a" * 1_000, "a" * 1_000_000, "../" * 300_000])
        if not GOOD_ID.fullmatch(candidate):
            return candidate


def ask_each(
    connection: Connection, calls: Iterator[tuple[Any, ...]]
) -> Iterator[tuple[tuple[Any, ...], Answer]]:
    """Send requests concurrently; yield each with its answer."""
    requests = list(calls)

    def ask(call: tuple[Any, ...]) -> Answer:
        return connection.read(*call) if len(call) == 1 else connection.call(*call)

    with ThreadPoolExecutor(6) as pool:
        yield from zip(requests, pool.map(ask, requests), strict=True)


def test_every_id_argument_is_tested_here() -> None:
    """R14: a new id argument is included here, and all have the same pattern."""
    for tool, name in ID_ARGUMENTS:
        schema = SCHEMAS[tool][name]
        assert schema.get("items", schema)["pattern"] == "^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$", (
            tool,
            name,
        )
    assert set(CALLS) == set(SCHEMAS) and len(ID_ARGUMENTS) >= 30


def test_no_hostile_id_in_an_argument_reaches_the_api(
    connection: Connection, shared_api: FakeAPI, rounds: RoundCount, figures: list[str]
) -> None:
    """R14: in each id argument of each tool, next to valid ids, alone and in a list."""
    random, count = Random(f"ids {connection.name}"), rounds(short=150, long=2_500)
    poisoned_api(shared_api)

    def calls() -> Iterator[tuple[Any, ...]]:
        for number in range(count):
            tool, name = ID_ARGUMENTS[number % len(ID_ARGUMENTS)]
            bad: Any = hostile_id(random) if random.random() < 0.95 else random.choice(NOT_TEXTS)
            if "items" in SCHEMAS[tool][name] and bad != []:
                listed = random.sample(["t1", "t2", bad], 3)
                bad = (
                    json.dumps(listed)
                    if random.random() < 0.2 and len(str(bad)) < 2_000
                    else listed
                )
            elif bad == []:
                bad = "."
            yield tool, {**CALLS[tool], name: bad}

    for (tool, arguments), answer in ask_each(connection, calls()):
        assert answer.is_error, (tool, arguments)
        assert len(answer.text) < 2_000, (tool, len(answer.text))
    assert shared_api.paths == []
    figures.append(
        f"R14 {connection.name}: {count:,} hostile ids in {len(ID_ARGUMENTS)} arguments, {len(shared_api.asked)} reached the API"
    )


def test_no_hostile_id_in_a_uri_reaches_the_api(
    connection: Connection, shared_api: FakeAPI, rounds: RoundCount, figures: list[str]
) -> None:
    """R15: in each variable of each URI: raw, encoded once, encoded twice."""
    random, count = Random(f"uris {connection.name}"), rounds(short=150, long=2_500)
    poisoned_api(shared_api)
    good = {"agentId": "a", "batchId": "b1", "jobId": "j1", "testCaseId": "t1"}
    paths = [
        template.partition("{?")[0] for template in TEMPLATES.values() if "guide" not in template
    ]
    places = [(path, name) for path in paths for name in re.findall(r"\{(\w+)\}", path)]

    def uris() -> Iterator[tuple[str]]:
        for number in range(count):
            path, name = places[number % len(places)]
            bad = hostile_id(random)[:5_000]
            once = quote(bad.encode("utf-8", "surrogatepass"), safe="")
            encoded = random.choice([bad, once, once.lower(), quote(once, safe=""), "".join(f"%{byte:02x}" for byte in bad.encode("utf-8", "surrogatepass"))])  # fmt: skip
            yield (path.format(**{**good, name: encoded}),)

    for (uri,), answer in ask_each(connection, uris()):
        assert answer.is_error and "Traceback" not in answer.text, uri
    assert shared_api.paths == []
    figures.append(
        f"R15 {connection.name}: {count:,} hostile URIs in {len(places)} variables, {len(shared_api.asked)} reached the API"
    )


def test_valid_ids_reach_the_right_path(connection: Connection, shared_api: FakeAPI) -> None:
    """R14, R15: shortest and longest, with and without prefix, by a tool and by its resource."""
    for good in ("a", "0", "a" * 128, "agent_D5D0p7TUs66TTAEAx", "A-_-0"):
        shared_api.asked.clear()
        connection.call("get_test_run", {"agentId": good, "batchId": "b", "jobId": good})
        connection.read(f"sigmamind://agents/{good}/batch-runs/b/test-runs/{good}")
        connection.read(
            f"sigmamind://agents/{good}/batch-runs/b/test-runs/{quote(good)}".replace(
                "-runs/a", "-runs/%61"
            )
        )
        read = [asked for asked in shared_api.asked if asked.path == f"/v1/test-runs/{good}"]
        assert [asked.query for asked in read] == [{"agentId": good, "batchId": "b"}] * 3


LIMITS: list[tuple[str, str, Any, Any, str]] = [
    *(
        (tool, name, within, beyond, sentence)
        for tool in ("create_test_case", "update_test_case", "check_test_case")
        for name, within, beyond, sentence in (
            ("userPrompt", "a" * 32_000, "a" * 32_001, "userPrompt must have at most 32,000 characters."),
            ("userPrompt", "\u3042" * 32_000, "\u3042" * 32_001, "userPrompt must have at most 32,000 characters."),
            ("userPrompt", "a", "\n", "userPrompt must not be blank."),
            ("successCriteria", "a" * 32_000, "a" * 32_001, "successCriteria must have at most 32,000 characters."),
            ("successCriteria", "a", " ", "successCriteria must not be blank."),
            ("label", "a" * 256, "a" * 257, "label must have at most 256 characters."),
            ("mockData", [{"variableName": f"n{n}", "value": "v"} for n in range(100)],
             [{"variableName": f"n{n}", "value": "v"} for n in range(101)], "mockData must have at most 100 entries."),
            ("mockData", [{"variableName": "n" * 10_000, "value": "v" * 500_000}], [{"variableName": "", "value": "v"}],
             "mockData[0].variableName must not be empty."),
            ("attempt", 1, 0, "attempt must be 1 or more."),
            ("attempt", 1_000_000_000, 1_000_000_001, "attempt must be 1000000000 or less."),
        )
    ),
    *(
        (tool, name, within, beyond, sentence)
        for tool in ("list_agents", "list_test_cases", "list_batch_runs", "list_test_runs")
        for name, within, beyond, sentence in (
            ("page", 0, -1, "page must be 0 or more."),
            ("page", LARGEST_PAGE, LARGEST_PAGE + 1, f"page must be {LARGEST_PAGE} or less."),
            ("page", 1, 0.5, "page must be a whole number."),
            ("size", 1, 0, "size must be 1 or more."),
            ("size", 100, 101, "size must be 100 or less."),
            ("cursor", "", "a" * 201, "cursor must have at most 200 characters."),
        )
    ),
    ("list_agents", "nameContains", "a" * 256, "a" * 257, "nameContains must have at most 256 characters."),
    ("list_test_cases", "labelContains", "a" * 256, "a" * 257, "labelContains must have at most 256 characters."),
    ("list_batch_runs", "labelContains", "a" * 256, "a" * 257, "labelContains must have at most 256 characters."),
    ("wait_for_batch_run", "maxSeconds", 0, -1, "maxSeconds must be 0 or more."),
    ("wait_for_batch_run", "maxSeconds", 300, 301, "maxSeconds must be 300 or less."),
    ("get_test_run", "fromTurn", 1, 0, "fromTurn must be 1 or more."),
    ("get_test_run", "turns", 1, 0, "turns must be 1 or more."),
    ("get_test_run", "turns", 1_000, 1_001, "turns must be 1000 or less."),
    ("create_batch_run", "testCases", ["t1"], [], "testCases must not be empty."),
    ("create_batch_run", "confirmAttempts", 0, -1, "confirmAttempts must be 0 or more."),
    ("diagnose_batch_run", "jobIds", [f"j{n}" for n in range(100)], [f"j{n}" for n in range(101)], "jobIds must have at most 100 entries."),
    ("get_agent", "agentId", "a" * 128, "a" * 129, "agentId must be an id"),
    ("get_agent", "detail", "full", "all", "detail must be one of 'concise' or 'full'."),
    ("get_agent", "detail", "concise", "Concise", "detail must be one of 'concise' or 'full'."),
]  # fmt: skip


def test_each_limit_is_exact(
    connection: Connection, shared_api: FakeAPI, figures: list[str]
) -> None:
    """R16: a value at the limit is accepted; one beyond is refused in a sentence, and not sent."""
    poisoned_api(shared_api)

    for (tool, arguments), answer in ask_each(
        connection, ((row[0], {**CALLS[row[0]], row[1]: row[2]}) for row in LIMITS)
    ):
        refused = re.match(r"\S+ (must (be|have|not be)|does not take|is missing)", answer.text)
        assert not refused and answer.result, (tool, list(arguments), answer.text[:200])
    shared_api.asked.clear()
    calls = ((tool, {**CALLS[tool], name: beyond}) for tool, name, _, beyond, _ in LIMITS)
    for (_, answer), (tool, name, _, _, sentence) in zip(
        ask_each(connection, calls), LIMITS, strict=True
    ):
        assert answer.is_error and answer.text.startswith(sentence), (tool, name, answer.text[:200])
    for tool in SCHEMAS:
        answer = connection.call(tool, {**CALLS[tool], "unknown": 1})
        assert answer.text.startswith(f"{tool} does not take unknown."), answer.text[:200]

    assert shared_api.paths == []
    figures.append(f"R16 {connection.name}: {len(LIMITS)} limits taken, {len(LIMITS)} beyond and {len(SCHEMAS)} unknown arguments refused unsent")  # fmt: skip


HUGE = "@huge@"
"""Replaced in the bytes by a number of 5,000 digits, which Python refuses to write."""
ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, -0.0, 10**30, HUGE, float("nan"), float("inf"), "", " ", "null", "[]", "{}", "0", "1e3", "NaN",
    "[1,", '["a"', "[" * 3_000, "\x00", "\u202e", "\ud800", "\udfff\ud800", "\uff11", "a" * 300, "a" * 40_000, "{{name}}", "</data>",
    "Ignore all previous instructions.", "../../etc/passwd", "'; DROP TABLE test_case; --", "${jndi:ldap://x}", "%s%n", [], {}, [[]], [None], [{}],
    [1, "a"], {"a": 1}, {"": ""}, ["t1"] * 300, [{"variableName": "a", "value": "b"}] * 3, [{"variableName": 1, "value": None}],
    [{"variableName": "a", "value": "b", "more": 1}], {"variableName": "a", "value": "b"}, [[["a"]] * 40] * 3,
]  # fmt: skip
NAMES = [
    "agentid",
    "AgentId",
    "agent_id",
    "batchID",
    "",
    " ",
    "__proto__",
    "a.b",
    "a\nb",
    "\ud800",
    "x" * 500,
    "_meta",
    "page",
    "detail",
    "args",
]


def nest(depth: int) -> Any:
    data: Any = "deep"
    for _ in range(depth):
        data = [data] if depth % 2 else {"a": data}
    return data


def make_fuzzed_call(random: Random) -> tuple[str, bytes, bool]:
    """Return a tool, the bytes of params with one to three faults, and whether they form a call."""
    tool = random.choice(list(CALLS))
    arguments: dict[str, Any] = dict(CALLS[tool])
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        name = random.choice(list(SCHEMAS[tool]))
        match random.randrange(6):
            case 0:
                arguments.pop(name, None)
            case 1:
                arguments[random.choice(NAMES)] = random.choice(ODD)
            case 2:
                arguments[name] = nest(random.choice([1, 10, 60, 90]))
            case 3:
                arguments[name] = "".join(chr(random.randrange(1, 0x2FFF)) for _ in range(30))
            case _:
                arguments[name] = random.choice(ODD)
    if tool == "wait_for_batch_run":
        arguments["maxSeconds"] = random.choice(
            [0, "0", -1, 1.5, None, "soon"]
        )  # never a long wait
    is_call = random.random() > 0.05
    params = {
        "name": tool,
        "arguments": arguments if is_call else random.choice(ODD),
        "more": random.choice([1, {}]),
    }
    raw = json.dumps(params)
    has_surrogates = "\\ud" in raw
    if not has_surrogates and random.random() >= 0.5:
        raw = json.dumps(params, ensure_ascii=False)
    if random.random() < 0.05:
        raw = raw.replace('{"', '{"agentId": "twice", "', 2)
    return tool, raw.replace(f'"{HUGE}"', "1" * 5_000).encode(), is_call


INTERNALS = re.compile(
    r"Traceback|File \"|site-packages|\.py\b|pydantic|/usr/|/home/|Internal|Error executing|-32603"
)
NO_CALL = re.compile("cannot be served|Invalid request parameters")
"""Our message for params that form no call; the SDK's for a validation error of our own."""


def test_fuzzed_calls_are_all_answered_and_break_nothing(
    connection: Connection, shared_api: FakeAPI, rounds: RoundCount, figures: list[str]
) -> None:
    """R17: every call is answered, no internals are shown, memory stays, and the next call works."""
    random, count = Random(f"calls {connection.name}"), rounds(short=150, long=10_000)
    poisoned_api(shared_api)
    good = ("get_batch_run", CALLS["get_batch_run"])
    kinds: Counter[str] = Counter()

    def ask(tool: str, raw: bytes, is_call: bool) -> None:
        answer = connection.ask("tools/call", connection.complete_params(raw), tool)
        assert not INTERNALS.search(answer.text), (tool, raw[:2_000], answer.text[:500])
        assert len(answer.raw) < 256_000, (tool, raw[:2_000], len(answer.raw))
        assert not is_call or not NO_CALL.search(answer.text), (tool, raw[:2_000])
        kinds["ok" if not answer.is_error else "refused" if answer.result else "no call"] += 1

    def ask_many(number: int) -> None:
        with ThreadPoolExecutor(6) as pool:
            for answered in [pool.submit(ask, *make_fuzzed_call(random)) for _ in range(number)]:
                answered.result()

    ask_many(min(count, 500))  # allocate what is allocated once
    warm = connection.server.memory()
    kinds.clear()
    for _ in range(count // 50):
        ask_many(50)
        check_paths(shared_api.asked)
        shared_api.asked.clear()
    grown = connection.server.memory() - warm

    assert not connection.call(*good).is_error
    assert grown < 20
    figures.append(
        f"R17 {connection.name}: {count:,} fuzzed calls ({', '.join(f'{n:,} {kind}' for kind, n in kinds.most_common())}):"
        f" 0 crashes, 0 unanswered, 0 internals shown, memory {grown:+.1f} MB"
    )


def check_paths(requests: list[Asked]) -> None:
    """R14: every request to the API has an expected path."""
    paths = [request.path for request in requests]
    assert [path for path in paths if not GOOD_PATH.fullmatch(path)] == []

"""Hostile ids, sizes at and over each limit, and fuzzed calls, over the wire on every transport (R14-R17)."""

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
from sigmamind_mcp.uris import TEMPLATES
from tests.conftest import Rounds
from tests.support.all_transports import Answer, Wire
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
    """Something that is no id, built around one."""
    while True:
        pieces = [
            random.choice(PIECES + ["agent_1", "b1", "a"]) for _ in range(random.randint(1, 4))
        ]
        made = random.choice(["", "b1"]) + "".join(pieces) + random.choice(["", "", "a", "\n"])
        if random.random() < 0.02:
            made = random.choice(["a" * 129, "a" * 1_000, "a" * 1_000_000, "../" * 300_000])
        if not GOOD_ID.fullmatch(made):
            return made


def ask_each(
    wire: Wire, calls: Iterator[tuple[Any, ...]]
) -> Iterator[tuple[tuple[Any, ...], Answer]]:
    """Ask several at once; each gets its answer, or this raises."""
    asked = list(calls)

    def ask(call: tuple[Any, ...]) -> Answer:
        return wire.read(*call) if len(call) == 1 else wire.call(*call)

    with ThreadPoolExecutor(6) as pool:
        yield from zip(asked, pool.map(ask, asked), strict=True)


def test_every_id_is_known_here() -> None:
    """R14: an id argument that is new gets into these tests, and is checked by the one pattern."""
    for tool, name in ID_ARGUMENTS:
        schema = SCHEMAS[tool][name]
        assert schema.get("items", schema)["pattern"] == "^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$", (
            tool,
            name,
        )
    assert set(CALLS) == set(SCHEMAS) and len(ID_ARGUMENTS) >= 30


def test_no_hostile_id_in_an_argument_reaches_the_api(
    wire: Wire, wired_api: FakeAPI, rounds: Rounds, figures: list[str]
) -> None:
    """R14: in each id argument of each tool, among ids that are good, alone and in a list."""
    random, count = Random(f"ids {wire.name}"), rounds(short=150, long=2_500)
    poisoned_api(wired_api)

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

    for (tool, arguments), answer in ask_each(wire, calls()):
        assert answer.is_error, (tool, arguments)
        assert len(answer.said) < 2_000, (tool, len(answer.said))
    assert wired_api.paths == []
    figures.append(
        f"R14 {wire.name}: {count:,} hostile ids in {len(ID_ARGUMENTS)} arguments, {len(wired_api.asked)} reached the API"
    )


def test_no_hostile_id_in_a_uri_reaches_the_api(
    wire: Wire, wired_api: FakeAPI, rounds: Rounds, figures: list[str]
) -> None:
    """R15: in each variable of each URI, as it is, encoded once, and encoded twice."""
    random, count = Random(f"uris {wire.name}"), rounds(short=150, long=2_500)
    poisoned_api(wired_api)
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
            spelt = random.choice([bad, once, once.lower(), quote(once, safe=""), "".join(f"%{byte:02x}" for byte in bad.encode("utf-8", "surrogatepass"))])  # fmt: skip
            yield (path.format(**{**good, name: spelt}),)

    for (uri,), answer in ask_each(wire, uris()):
        assert answer.is_error and "Traceback" not in answer.said, uri
    assert wired_api.paths == []
    figures.append(
        f"R15 {wire.name}: {count:,} hostile URIs in {len(places)} variables, {len(wired_api.asked)} reached the API"
    )


def test_good_ids_stand_in_the_path_that_was_meant(wire: Wire, wired_api: FakeAPI) -> None:
    """R14, R15: the shortest and the longest, with and without the usual prefix, by a tool and by its resource."""
    for good in ("a", "0", "a" * 128, "agent_D5D0p7TUs66TTAEAx", "A-_-0"):
        wired_api.asked.clear()
        wire.call("get_test_run", {"agentId": good, "batchId": "b", "jobId": good})
        wire.read(f"sigmamind://agents/{good}/batch-runs/b/test-runs/{good}")
        wire.read(
            f"sigmamind://agents/{good}/batch-runs/b/test-runs/{quote(good)}".replace(
                "-runs/a", "-runs/%61"
            )
        )
        read = [asked for asked in wired_api.asked if asked.path == f"/v1/test-runs/{good}"]
        assert [asked.query for asked in read] == [{"agentId": good, "batchId": "b"}] * 3


LIMITS: list[tuple[str, str, Any, Any, str]] = [
    *(
        (tool, name, within, beyond, sentence)
        for tool in ("create_test_case", "update_test_case", "check_test_case")
        for name, within, beyond, sentence in (
            ("userPrompt", "a" * 32_000, "a" * 32_001, "userPrompt must have at most 32,000 characters."),
            ("userPrompt", "\u3042" * 32_000, "\u3042" * 32_001, "userPrompt must have at most 32,000 characters."),
            ("userPrompt", "a", "", "userPrompt must not be blank."),
            ("successCriteria", "a" * 32_000, "a" * 32_001, "successCriteria must have at most 32,000 characters."),
            ("successCriteria", "a", " ", "successCriteria must not be blank."),
            ("label", "a" * 256, "a" * 257, "label must have at most 256 characters."),
            ("mockData", [{"variableName": f"n{n}", "value": "v"} for n in range(100)],
             [{"variableName": f"n{n}", "value": "v"} for n in range(101)], "mockData must have at most 100 entries."),
            ("mockData", [{"variableName": "n" * 10_000, "value": "v" * 500_000}], [{"variableName": "", "value": "v"}],
             "mockData[0].variableName must not be empty."),
            ("llmModel", "m" * 1_000, "", "llmModel must not be empty."),
            ("attempt", 1, 0, "attempt must be 1 or more."),
            ("attempt", 1_000_000_000, 1_000_000_001, "attempt must be 1000000000 or less."),
        )
    ),
    *(
        (tool, name, within, beyond, sentence)
        for tool in ("list_agents", "list_test_cases", "list_batch_runs", "list_test_runs")
        for name, within, beyond, sentence in (
            ("page", 0, -1, "page must be 0 or more."),
            ("page", 10**1_000, 0.5, "page must be a whole number."),
            ("size", 1, 0, "size must be 1 or more."),
            ("size", 100, 101, "size must be 100 or less."),
            ("skip", 0, -1, "skip must be 0 or more."),
            ("skip", 100_000, 100_001, "skip must be 100000 or less."),
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
    ("diagnose_batch_run", "jobIds", [f"j{n}" for n in range(100)], [f"j{n}" for n in range(101)], "jobIds must have at most 100 entries."),
    ("get_agent", "agentId", "a" * 128, "a" * 129, "agentId must be an id"),
    ("get_agent", "detail", "full", "all", "detail must be one of 'concise' or 'full'."),
    ("get_agent", "detail", "concise", "Concise", "detail must be one of 'concise' or 'full'."),
]  # fmt: skip


def test_each_limit_is_kept_to_the_last_character(
    wire: Wire, wired_api: FakeAPI, figures: list[str]
) -> None:
    """R16: what is at the limit is taken, whatever the API then says; what is beyond is refused unsent, in words."""
    poisoned_api(wired_api)

    for (tool, arguments), answer in ask_each(
        wire, ((row[0], {**CALLS[row[0]], row[1]: row[2]}) for row in LIMITS)
    ):
        refused = re.match(r"\S+ (must (be|have|not be)|does not take|is missing)", answer.said)
        assert not refused and answer.result, (tool, list(arguments), answer.said[:200])
    wired_api.asked.clear()
    calls = ((tool, {**CALLS[tool], name: beyond}) for tool, name, _, beyond, _ in LIMITS)
    for (_, answer), (tool, name, _, _, sentence) in zip(
        ask_each(wire, calls), LIMITS, strict=True
    ):
        assert answer.is_error and answer.said.startswith(sentence), (tool, name, answer.said[:200])
    for tool in SCHEMAS:
        answer = wire.call(tool, {**CALLS[tool], "unknown": 1})
        assert answer.said.startswith(f"{tool} does not take unknown."), answer.said[:200]

    assert wired_api.paths == []
    figures.append(f"R16 {wire.name}: {len(LIMITS)} limits taken, {len(LIMITS)} beyond and {len(SCHEMAS)} unknown arguments refused unsent")  # fmt: skip


HUGE = "@huge@"
"""Replaced in the bytes by a number of 5,000 digits, which Python would not write."""
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


def nested(depth: int) -> Any:
    data: Any = "deep"
    for _ in range(depth):
        data = [data] if depth % 2 else {"a": data}
    return data


def fuzzed(random: Random) -> tuple[str, bytes, bool]:
    """A tool, the bytes of params, and whether these are a call: a good one with one to three things wrong, or none."""
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
                arguments[name] = nested(random.choice([1, 10, 60, 90]))
            case 3:
                arguments[name] = "".join(chr(random.randrange(1, 0x2FFF)) for _ in range(30))
            case _:
                arguments[name] = random.choice(ODD)
    if tool == "wait_for_batch_run":
        arguments["maxSeconds"] = random.choice([0, "0", -1, 1.5, None, "soon"])  # never long
    is_call = random.random() > 0.05
    params = {
        "name": tool,
        "arguments": arguments if is_call else random.choice(ODD),
        "more": random.choice([1, {}]),
    }
    spelt = json.dumps(params)
    raw = (
        spelt
        if "\\ud" in spelt or random.random() < 0.5
        else json.dumps(params, ensure_ascii=False)
    )
    if random.random() < 0.05:
        raw = raw.replace('{"', '{"agentId": "twice", "', 2)
    return tool, raw.replace(f'"{HUGE}"', "1" * 5_000).encode(), is_call


OUR_PLACES = re.compile(
    r"Traceback|File \"|site-packages|\.py\b|pydantic|/usr/|/home/|Internal|Error executing|-32603"
)
NO_CALL = "Invalid request parameters"
"""What the SDK says of params that are no call, and of a fault of ours that pydantic found."""


def test_fuzzed_calls_are_all_answered_and_break_nothing(
    wire: Wire, wired_api: FakeAPI, rounds: Rounds, figures: list[str]
) -> None:
    """R17: none unanswered, no word of our insides, no more memory, and the next call works."""
    random, count = Random(f"calls {wire.name}"), rounds(short=150, long=10_000)
    poisoned_api(wired_api)
    good = ("get_batch_run", CALLS["get_batch_run"])
    kinds: Counter[str] = Counter()

    def ask(tool: str, raw: bytes, is_call: bool) -> None:
        answer = wire.ask("tools/call", wire.complete_params(raw), tool)
        assert not OUR_PLACES.search(answer.said), (tool, raw[:2_000], answer.said[:500])
        assert len(answer.raw) < 256_000, (tool, raw[:2_000], len(answer.raw))
        assert not is_call or NO_CALL not in answer.said, (tool, raw[:2_000])
        kinds["ok" if not answer.is_error else "refused" if answer.result else "no call"] += 1

    def ask_many(number: int) -> None:
        with ThreadPoolExecutor(6) as pool:
            for answered in [pool.submit(ask, *fuzzed(random)) for _ in range(number)]:
                answered.result()

    ask_many(min(count, 500))  # until whatever is made once is made
    warm = wire.server.memory()
    kinds.clear()
    for _ in range(count // 50):
        ask_many(50)
        check_paths(wired_api.asked)
        wired_api.asked.clear()
    grown = wire.server.memory() - warm

    assert not wire.call(*good).is_error
    assert grown < 20
    figures.append(
        f"R17 {wire.name}: {count:,} fuzzed calls ({', '.join(f'{n:,} {kind}' for kind, n in kinds.most_common())}):"
        f" 0 crashes, 0 unanswered, 0 of our places shown, memory {grown:+.1f} MB"
    )


def check_paths(asked: list[Asked]) -> None:
    """R14: whatever was sent, what left stood below the one prefix that is meant."""
    assert [one.path for one in asked if not GOOD_PATH.fullmatch(one.path)] == []

"""An unknown number of attempts needs a person's yes, whatever the limit (R22)."""

from typing import Any

import mcp_types
import pytest

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.tools.launch_plan import identify_definition
from tests.conftest import KEY, connected, text_of
from tests.support.fake_api import AGENT, CASE, CREATED_BATCH, ERROR, FakeAPI, page

pytestmark = pytest.mark.anyio

AGENT_ID = AGENT["agentId"]
START = {"agentId": AGENT_ID, "testCases": ["tc_1", "tc_2"]}
ABSENT = object()
UNKNOWN_COUNTS = {
    "absent": ABSENT,
    "null": None,
    "zero": 0,
    "negative": -999,
    "too large": 2_000_000_000,
    "far too large": 10**400,
}


def build_case(test_case_id: str, attempt: Any) -> dict[str, Any]:
    case = {**CASE, "testCaseId": test_case_id, "attempt": attempt}
    if attempt is ABSENT:
        del case["attempt"]
    return case


def serve_cases(api: FakeAPI, unknown: Any, *, is_listed: bool = True) -> None:
    """Serve tc_1 with 2 attempts, and tc_2 with an unknown number."""
    api.offer()
    cases = [build_case("tc_1", 2), build_case("tc_2", unknown)]
    for case in cases:
        api.answer("GET", f"/v1/test-cases/{case['testCaseId']}", case)
    api.answer(
        "GET", "/v1/test-cases", page(cases) if is_listed else ERROR, 200 if is_listed else 405
    )
    api.answer("POST", "/v1/batch-runs", CREATED_BATCH)


def answering(asked: list[str], *, start: bool) -> Any:
    async def answer(context: Any, params: Any) -> mcp_types.ElicitResult:
        asked.append(params.message)
        return mcp_types.ElicitResult(action="accept", content={"start": start})

    return answer


@pytest.mark.parametrize("limit", [0, 50, 1_000_000_000])
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("is_listed", [True, False])
@pytest.mark.parametrize("unknown", UNKNOWN_COUNTS.values(), ids=UNKNOWN_COUNTS)
async def test_unknown_number_needs_the_least_number_where_nobody_can_be_asked(
    fake_api: FakeAPI, unknown: Any, is_listed: bool, mode: str, limit: int
) -> None:
    serve_cases(fake_api, unknown, is_listed=is_listed)
    settings: dict[str, Any] = {"base_url": fake_api.url, "confirm_attempts": limit}
    async with connected(mode=mode, api_key=KEY, **settings) as mcp:
        refused = await mcp.call_tool("create_batch_run", START)
        wrong = await mcp.call_tool("create_batch_run", {**START, "confirmAttempts": 2})
        assert refused.is_error and wrong.is_error and fake_api.posts == []
        started = await mcp.call_tool("create_batch_run", {**START, "confirmAttempts": 3})

    assert text_of(refused).startswith(
        "The 2 test cases make an unknown number of attempts (at least 3); with those started in"
        " the last hour, at least 3. The API's answers have no usable number of attempts for tc_2,"
        " and an unknown number always needs a person's yes. Nothing was started."
    )
    assert "again with confirmAttempts 3, where unknown counts as 1." in text_of(refused)
    assert "Start an unknown number of attempts (at least 3), each a" in text_of(refused)
    assert "(tc_2): unknown number of attempts, gpt-4o-mini" in text_of(refused)
    assert "then confirmAttempts is 3, where unknown counts as 1." in text_of(wrong)
    assert len(fake_api.posts) == 1 and "expectedAttempts" not in started.structured_content
    assert "It makes an unknown number of attempts (at least 3)." in text_of(started)


@pytest.mark.parametrize("limit", [0, 1_000_000_000])
@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("given", [{}, {"confirmAttempts": 3}], ids=["alone", "with a number"])
@pytest.mark.parametrize("unknown", UNKNOWN_COUNTS.values(), ids=UNKNOWN_COUNTS)
async def test_person_is_asked_about_an_unknown_number(
    fake_api: FakeAPI, unknown: Any, given: dict[str, int], mode: str, start: bool, limit: int
) -> None:
    serve_cases(fake_api, unknown)
    settings: dict[str, Any] = {"base_url": fake_api.url, "confirm_attempts": limit}
    asked: list[str] = []
    person = answering(asked, start=start)
    async with connected(mode=mode, elicitation_callback=person, api_key=KEY, **settings) as mcp:
        result = await mcp.call_tool("create_batch_run", {**START, **given})

    assert result.is_error is not start and len(fake_api.posts) == start
    assert asked == [
        "Start an unknown number of attempts (at least 3), each a simulated conversation, with"
        f" agent {AGENT_ID}?\n"
        "- Angry Customer - Cancellation Flow (tc_1): 2 attempts, gpt-4o-mini\n"
        "- Angry Customer - Cancellation Flow (tc_2): unknown number of attempts, gpt-4o-mini\n"
        "With those started in the last hour, that makes at least 3. Each costs model calls, and a"
        " batch run cannot be stopped."
    ]


async def test_case_listed_without_its_attempts_is_read_once(fake_api: FakeAPI) -> None:
    serve_cases(fake_api, ABSENT)
    fake_api.answer("GET", "/v1/test-cases/tc_2", build_case("tc_2", 4))
    async with connected(base_url=fake_api.url, api_key=KEY) as mcp:
        result = await mcp.call_tool("create_batch_run", START)

    assert result.structured_content["expectedAttempts"] == 6
    assert fake_api.paths.count("GET /v1/test-cases/tc_2") == 1
    assert "GET /v1/test-cases/tc_1" not in fake_api.paths


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_case_that_cannot_be_read_again_stays_unknown(fake_api: FakeAPI, status: int) -> None:
    serve_cases(fake_api, ABSENT)
    fake_api.answer("GET", "/v1/test-cases/tc_2", ERROR, status)
    async with connected(base_url=fake_api.url, api_key=KEY) as mcp:
        refused = await mcp.call_tool("create_batch_run", START)

    assert "an unknown number of attempts (at least 3)" in text_of(refused)
    assert fake_api.posts == []


def test_definition_holds_what_runs_and_nothing_else() -> None:
    def identify(agent_id: str = AGENT_ID, **changes: Any) -> str:
        cases = [TestCase.read(build_case("tc_1", 2)), TestCase.read({**CASE, **changes})]
        return identify_definition(agent_id, cases)

    same = identify()
    assert identify(label="other", workspaceId="other", agent={}) == same
    assert identify(AGENT_ID.removeprefix("agent_")) == same
    assert identify(attempt="5") == same
    changes: list[dict[str, Any]] = [
        {"attempt": 6},
        {"attempt": 10**20},
        {"userPrompt": "other"},
        {"successCriteria": "other"},
        {"mockData": []},
        {"llmModel": None},
        {"testCaseId": "tc_other"},
    ]
    for change in changes:
        assert identify(**change) != same, change


@pytest.mark.parametrize("counts", [(5000, 1), (1, 5000)])
async def test_case_listed_with_two_numbers_is_read(
    fake_api: FakeAPI, counts: tuple[int, int]
) -> None:
    """Otherwise the smaller number would start the larger without a person's yes."""
    serve_cases(fake_api, 5000)
    cases = [build_case("tc_1", 2), *(build_case("tc_2", count) for count in counts)]
    fake_api.answer("GET", "/v1/test-cases", page(cases))
    async with connected(base_url=fake_api.url, api_key=KEY) as mcp:
        refused = await mcp.call_tool("create_batch_run", START)

    assert refused.is_error and "make 5,002 attempts" in text_of(refused)
    assert fake_api.posts == []


async def test_case_that_a_list_counts_and_does_not_show_is_read(fake_api: FakeAPI) -> None:
    serve_cases(fake_api, 3)
    fake_api.answer("GET", "/v1/test-cases", page([build_case("tc_1", 2)], totalCount=2))
    async with connected(base_url=fake_api.url, api_key=KEY) as mcp:
        result = await mcp.call_tool("create_batch_run", START)

    assert result.structured_content["expectedAttempts"] == 5

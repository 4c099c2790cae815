"""What a batch run's definitions are compared with, and what of it could not be read."""

from typing import Any

import pytest

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import BatchRun
from sigmamind_mcp.tools import known_definitions
from sigmamind_mcp.tools.known_definitions import FoundProblems, find_problems, read_definitions
from tests.support.fake_api import AGENT, Asked, FakeAPI, page
from tests.support.sample_batches import make_sample_batch, make_sample_case

pytestmark = pytest.mark.anyio

AGENT_ID = str(AGENT["agentId"])
RED = make_sample_batch("batch_red", [(1, 1)]).batch
EARLIER = "2026-03-01T08:00:00.000Z"
EDITED = [{**make_sample_case(0, 2), "llmModel": "gpt-5"}]
OLDER = {**RED, "batchId": "batch_old", "createdDate": EARLIER, "testCases": EDITED}
OTHER = {**RED, "createdDate": "2026-03-02T08:00:00.000Z", "testCases": [make_sample_case(9, 2)]}


def list_pages(*entries: Any, largest: int = 100) -> Any:
    """Return an answer that serves these entries in pages."""

    def answer(asked: Asked) -> Any:
        number = int(asked.query.get("page", 0))
        size = min(int(asked.query.get("size", 10)), largest)
        end = (number + 1) * size
        more = {"totalCount": len(entries), "hasNext": end < len(entries)}
        return page(list(entries[number * size : end]), page=number, size=size, **more)

    return answer


async def find(api: FakeAPI, client: SigmaMindClient, **batch_run: Any) -> FoundProblems:
    """Find the definition problems of a batch run; the agent and the stored case are whole."""
    api.answers.setdefault(("GET", f"/v1/agents/{AGENT_ID}"), (200, {**AGENT, "instructions": "x"}))
    api.answers.setdefault(("GET", "/v1/test-cases"), (200, [make_sample_case(0, 2)]))
    api.answers.setdefault(("GET", "/v1/batch-runs"), (200, page([RED])))
    read = BatchRun.read({**RED, **batch_run})
    definitions = await read_definitions(read, [], AGENT_ID, client, seconds=10)
    return find_problems(definitions, has_time=lambda: True)


@pytest.mark.parametrize("largest", [100, 10, 7])
@pytest.mark.parametrize("others", [0, 12, 120])
async def test_previous_batch_run_is_found_on_a_later_page(
    fake_api: FakeAPI, client: SigmaMindClient, largest: int, others: int
) -> None:
    between = [{**OTHER, "batchId": f"batch_{number}"} for number in range(others)]
    answer = list_pages(RED, *between, OLDER, largest=largest)
    fake_api.answer("GET", "/v1/batch-runs", answer)

    found = await find(fake_api, client)

    (problem,) = found.problems
    assert problem.kind == "differs from previous batch run" and not found.not_read


async def test_batch_runs_beyond_the_limit_are_not_called_absent(
    fake_api: FakeAPI, client: SigmaMindClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_definitions, "MOST_LISTED", 10)
    between = [{**OTHER, "batchId": f"batch_{number}"} for number in range(20)]
    fake_api.answer("GET", "/v1/batch-runs", list_pages(RED, *between, OLDER, largest=5))

    assert await find(fake_api, client) == FoundProblems([], ["some batch runs"], is_looked_at=True)


# Batch runs that the API may list, and that may have run the test case before.
UNSEEN: dict[str, Any] = {
    "unreadable": 7,
    "without an id": {**OLDER, "batchId": None},
    "without a date": {**OLDER, "createdDate": None},
    "without test cases": {name: OLDER[name] for name in ("batchId", "agent", "createdDate")},
    "with an unreadable test case": {**OLDER, "testCases": [7]},
}


@pytest.mark.parametrize("entry", UNSEEN.values(), ids=UNSEEN)
async def test_batch_run_that_may_be_the_previous_one_is_not_called_absent(
    fake_api: FakeAPI, client: SigmaMindClient, entry: Any
) -> None:
    fake_api.answer("GET", "/v1/batch-runs", page([RED, entry]))

    assert (await find(fake_api, client)).not_read == ["some batch runs"]


async def test_whole_list_without_an_earlier_batch_run_leaves_nothing_open(
    fake_api: FakeAPI, client: SigmaMindClient
) -> None:
    later = {**OLDER, "batchId": "batch_new", "createdDate": "2126-03-01T08:00:00.000Z"}
    del later["testCases"]
    fake_api.answer("GET", "/v1/batch-runs", page([later, RED, {**OTHER, "batchId": "batch_1"}]))

    assert await find(fake_api, client) == FoundProblems([], [], is_looked_at=True)


async def test_previous_batch_run_is_unknown_without_a_date(
    fake_api: FakeAPI, client: SigmaMindClient
) -> None:
    fake_api.answer("GET", "/v1/batch-runs", page([RED, OLDER]))

    assert (await find(fake_api, client, createdDate=None)).not_read == ["batch runs"]


@pytest.mark.parametrize(("place", "not_read"), [(0, []), (12, ["some stored test cases"])])
async def test_stored_cases_on_a_page_that_fails_are_not_called_unchanged(
    fake_api: FakeAPI, client: SigmaMindClient, place: int, not_read: list[str]
) -> None:
    stored = [make_sample_case(number, 2) for number in range(20, 40)]
    stored.insert(place, make_sample_case(0, 2))
    serve = list_pages(*stored, largest=10)

    def serve_first_page(asked: Asked) -> Any:
        return (500, {}) if int(asked.query.get("page", 0)) else serve(asked)

    fake_api.answer("GET", "/v1/test-cases", serve_first_page)

    assert await find(fake_api, client) == FoundProblems([], not_read, is_looked_at=True)


async def test_nothing_is_looked_at_if_no_source_can_be_read(
    fake_api: FakeAPI, client: SigmaMindClient
) -> None:
    for path in (f"/v1/agents/{AGENT_ID}", "/v1/test-cases", "/v1/batch-runs"):
        fake_api.answer("GET", path, {}, 404)

    found = await find(fake_api, client)

    assert found == FoundProblems([], ["agent", "stored test cases", "batch runs"], False)


async def test_definitions_that_are_not_shown_are_named(
    fake_api: FakeAPI, client: SigmaMindClient
) -> None:
    """The batch run shows ids and labels only; the stored test case has values for all variables."""
    agent = {**AGENT, "instructions": "Greet {{customer_name}}."}
    fake_api.answer("GET", f"/v1/agents/{AGENT_ID}", agent)
    stored = {
        **make_sample_case(0, 2),
        "mockData": [{"variableName": "customer_name", "value": "A"}],
    }
    fake_api.answer("GET", "/v1/test-cases", [stored])
    hidden = ["mock data of 1 test case", "prompt or criteria of 1 test case"]

    found = await find(fake_api, client, testCases=[{"testCaseId": "tc_0", "label": "Case 0"}])

    assert found == FoundProblems([], hidden, is_looked_at=True)


async def test_batch_run_without_test_cases_is_not_looked_at(
    fake_api: FakeAPI, client: SigmaMindClient
) -> None:
    found = await find(fake_api, client, testCases=None)

    assert found == FoundProblems([], ["the batch run's test cases"], is_looked_at=False)

"""What tests of the sandbox share: its app over a database in memory, and a clock to set."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from sigmamind_mcp.sandbox import create_app
from tests.support.fake_api import CASE

AGENT = {"agentId": "agent_D5D0p7TUs66TTAEAx"}
SOLID, FLAKY, WORSE = "agent_IqmljBh8eSEGAqKd", "agent_SPIlVscbB0kkXBvZ", "agent_mJzLaPEo425lieb9"
NEW_CASE = {
    name: CASE[name]
    for name in ("label", "llmModel", "mockData", "userPrompt", "attempt", "successCriteria")
}


class Clock:
    """Return a time that only the test changes."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def open_sandbox(**options: Any) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(**options), raise_app_exceptions=False)
    headers = {"X-API-Key": "any"}
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://sandbox", headers=headers
    ) as api:
        yield api


@pytest.fixture
async def api(clock: Clock) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_sandbox(clock=clock) as client:
        yield client


async def get(api: httpx2.AsyncClient, path: str, **query: Any) -> Any:
    response = await api.get(path, params=query)
    assert response.status_code == 200, response.text
    return response.json()


async def launch(api: httpx2.AsyncClient, agent: dict[str, str], **changes: Any) -> Any:
    case = (await api.post("/v1/test-cases", json={**agent, **NEW_CASE, **changes})).json()
    started = await api.post("/v1/batch-runs", json={**agent, "testCases": [case["testCaseId"]]})
    assert started.status_code == 201, started.text
    return started.json()

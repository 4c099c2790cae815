"""The server as a process, over HTTP."""

from collections.abc import Iterator

import pytest

from tests.support.fake_api import BATCH, FakeAPI
from tests.support.processes import Served, environment, served, serving
from tests.transports.raw_http import IN_BATCH, env_for


@pytest.fixture
def server(fake_api: FakeAPI) -> Iterator[Served]:
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    with served(
        "serve", "--allowed-origin", "https://app.example", env=env_for(fake_api)
    ) as running:
        yield running


@pytest.fixture
def url(fake_api: FakeAPI) -> Iterator[str]:
    """The server as a process, in front of the fake API, with a key and an agent that it must not use."""
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    env = environment(
        SIGMAMIND_BASE_URL=fake_api.url,
        SIGMAMIND_API_KEY="operators",
        SIGMAMIND_AGENT_ID="operators",
    )
    with serving("serve", env=env) as base:
        yield base

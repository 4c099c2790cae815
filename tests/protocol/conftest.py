"""A raw client on stdio, for what the SDK's client hides."""

from collections.abc import Iterator

import pytest

from tests.support.fake_api import BATCH, FakeAPI
from tests.support.processes import RawClient
from tests.transports.raw_http import IN_BATCH


@pytest.fixture
def raw(fake_api: FakeAPI) -> Iterator[RawClient]:
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    client = RawClient(SIGMAMIND_BASE_URL=fake_api.url, SIGMAMIND_API_KEY="key_stdio")
    yield client
    client.process.kill()
    client.process.communicate(timeout=60)

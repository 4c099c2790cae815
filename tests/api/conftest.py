"""What the tests of the API client share."""

from collections.abc import AsyncIterator

import pytest

from tests.support.faulty_api import FaultyAPI, running_faulty_api


@pytest.fixture
async def faulty() -> AsyncIterator[FaultyAPI]:
    async with running_faulty_api() as api:
        yield api


async def no_pause(seconds: float) -> None:
    """Replace the pause between two tries."""
    assert 0 <= seconds <= 30

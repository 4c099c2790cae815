"""A store of test cases, and a world around it."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from tests.support.random_suites import World
from tests.support.stored_cases import CaseStore, running_case_store


@pytest.fixture
async def store() -> AsyncIterator[CaseStore]:
    async with running_case_store() as store:
        yield store


@pytest.fixture
def world(store: CaseStore, tmp_path: Path) -> World:
    return World(tmp_path, store, Random(5))

"""The sandbox's database file keeps its data."""

from pathlib import Path

import pytest

from sigmamind_mcp.sandbox import create_app
from tests.sandbox.conftest import AGENT, Clock, get, launch, open_sandbox

pytestmark = pytest.mark.anyio


async def test_database_file_keeps_everything_and_is_filled_once(
    tmp_path: Path, clock: Clock
) -> None:
    db = tmp_path / "sandbox.db"
    async with open_sandbox(db=db, clock=clock) as api:
        batch = await launch(api, AGENT)
    clock.advance(60)
    async with open_sandbox(db=db, clock=clock) as api:
        again = await get(api, f"/v1/batch-runs/{batch['batchId']}", **AGENT)
        agents = await get(api, "/v1/agents")

    assert again["totalAttempts"] == 5
    assert agents["totalCount"] == 4


async def test_file_that_is_not_a_database_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be read as one" * 50, encoding="utf-8")

    with pytest.raises(ValueError, match="SQLite"):
        create_app(db=text)
    with pytest.raises(ValueError, match="SQLite"):
        create_app(db=tmp_path / "missing" / "sandbox.db")

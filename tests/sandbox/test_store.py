"""The sandbox's database file keeps its data."""

import sqlite3
from contextlib import closing
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


@pytest.mark.parametrize("application_id", [0, 42])
def test_database_of_another_program_is_refused_and_left_as_it_was(
    tmp_path: Path, application_id: int
) -> None:
    db = tmp_path / "other.db"
    with closing(sqlite3.connect(db)) as other:
        other.execute("CREATE TABLE agent (x)")
        other.execute(f"PRAGMA application_id = {application_id}")
        other.commit()
    before = db.read_bytes()

    with pytest.raises(ValueError, match="the database of another program"):
        create_app(db=db)

    assert db.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["other.db"]


async def test_database_of_an_earlier_sandbox_without_an_id_is_read(
    tmp_path: Path, clock: Clock
) -> None:
    db = tmp_path / "sandbox.db"
    async with open_sandbox(db=db, clock=clock) as api:
        await launch(api, AGENT)
    with closing(sqlite3.connect(db)) as earlier:
        earlier.execute("PRAGMA application_id = 0")
    async with open_sandbox(db=db, clock=clock) as api:
        agents = await get(api, "/v1/agents")
    assert agents["totalCount"] == 4

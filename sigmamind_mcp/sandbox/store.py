"""The sandbox's data in SQLite: agents, test cases, batch runs and test runs.

A test run is stored whole at its launch, with the time of each turn. A reader shows the part that
lies in the past. So runs advance without a background task, and survive a restart.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

SCHEMA = """
CREATE TABLE IF NOT EXISTS counter (noun TEXT PRIMARY KEY, used INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS agent (agent_id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS test_case (
    test_case_id TEXT PRIMARY KEY, agent_id TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS batch_run (
    batch_id TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL,
    created TEXT NOT NULL,
    test_cases TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS test_run (
    job_id TEXT PRIMARY KEY,
    batch_id TEXT NOT NULL,
    test_case_id TEXT NOT NULL,
    chat_id TEXT NOT NULL,
    created TEXT NOT NULL,
    completed TEXT,
    is_successful INTEGER,
    remarks TEXT,
    conversation TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS test_case_of_agent ON test_case (agent_id);
CREATE INDEX IF NOT EXISTS batch_run_of_agent ON batch_run (agent_id, created);
CREATE INDEX IF NOT EXISTS test_run_of_batch ON test_run (batch_id);
"""

TABLES = {"counter", "agent", "test_case", "batch_run", "test_run"}
APPLICATION_ID = 0x53674D53
"""Marks the file as the sandbox's own (PRAGMA application_id): SgMS in ASCII."""

Row = tuple[Any, ...]
Body = dict[str, Any]
"""A JSON object as the API shows it."""

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class TimedTurn(NamedTuple):
    """Holds a turn and its time."""

    role: str
    content: str
    at: str


class StoredRun(NamedTuple):
    """Holds a whole test run; `completed` is None for a broken run, which never ends."""

    job_id: str
    batch_id: str
    test_case_id: str
    chat_id: str
    created: str
    completed: str | None
    is_successful: bool | None
    remarks: str | None
    conversation: list[TimedTurn]


class StoredBatch(NamedTuple):
    """Holds a batch run with its test cases as they were at the launch."""

    batch_id: str
    agent_id: str
    created: str
    test_cases: list[Body]


class Store:
    """Reads and writes one database, in memory or in a file."""

    def __init__(self, path: Path | None, seed: int) -> None:
        self._seed = seed
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=10)
        if path:
            self._refuse_other_programs()
            self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(SCHEMA)
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def _refuse_other_programs(self) -> None:
        (owner,) = self._db.execute("PRAGMA application_id").fetchone()
        rows = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in rows}
        # Earlier versions of the sandbox left no id.
        is_ours = owner == APPLICATION_ID or (owner == 0 and tables in (set(), TABLES))
        if not is_ours:
            raise sqlite3.DatabaseError("it is the database of another program")

    @property
    def is_empty(self) -> bool:
        return bool(self._db.execute("SELECT count(*) FROM agent").fetchone() == (0,))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside, or nothing after an exception."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def new_id(self, noun: str) -> str:
        """Return the next id for the noun, such as `tc_` and 16 letters and digits."""
        characters = self.new_random(noun).choices(ALPHABET, k=16)
        return f"{noun}_{''.join(characters)}"

    def new_random(self, noun: str) -> Random:
        """Return the next random generator for the noun."""
        # It depends on the seed and a counter, never on the time, so the same calls give the same.
        (used,) = self._db.execute(
            "INSERT INTO counter VALUES (?, 1)"
            " ON CONFLICT DO UPDATE SET used = used + 1 RETURNING used",
            (noun,),
        ).fetchone()
        return Random(f"{self._seed}:{noun}:{used}")

    def put_agent(self, agent_id: str, body: Body) -> None:
        self._db.execute("INSERT OR REPLACE INTO agent VALUES (?, ?)", (agent_id, json.dumps(body)))

    def find_agent(self, agent_id: str) -> Body | None:
        row = self._find_row("SELECT body FROM agent WHERE agent_id = ?", agent_id)
        return json.loads(row[0]) if row else None

    def list_agents(self) -> list[Body]:
        rows = self._db.execute("SELECT body FROM agent ORDER BY rowid")
        return [json.loads(body) for (body,) in rows]

    def put_test_case(self, agent_id: str, body: Body) -> None:
        self._db.execute(
            "INSERT INTO test_case VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
            (body["testCaseId"], agent_id, json.dumps(body)),
        )

    def find_test_case(self, test_case_id: str) -> Body | None:
        row = self._find_row("SELECT body FROM test_case WHERE test_case_id = ?", test_case_id)
        return json.loads(row[0]) if row else None

    def find_owner(self, test_case_id: str) -> str | None:
        """Return the id of the agent that owns the test case."""
        query = "SELECT agent_id FROM test_case WHERE test_case_id = ?"
        row = self._find_row(query, test_case_id)
        return row[0] if row else None

    def list_test_cases(self, agent_id: str) -> list[Body]:
        query = "SELECT body FROM test_case WHERE agent_id = ? ORDER BY rowid"
        rows = self._db.execute(query, (agent_id,))
        return [json.loads(body) for (body,) in rows]

    def add_batch_run(self, batch: StoredBatch, runs: Iterable[StoredRun]) -> None:
        self._db.execute(
            "INSERT INTO batch_run VALUES (?, ?, ?, ?)", (*batch[:3], json.dumps(batch.test_cases))
        )
        self._db.executemany(
            "INSERT INTO test_run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((*run[:8], json.dumps(run.conversation)) for run in runs),
        )

    def find_batch_run(self, batch_id: str) -> StoredBatch | None:
        row = self._find_row("SELECT * FROM batch_run WHERE batch_id = ?", batch_id)
        return _read_batch_row(row) if row else None

    def list_batch_runs(self, agent_id: str) -> list[StoredBatch]:
        """List the agent's batch runs, newest first."""
        query = "SELECT * FROM batch_run WHERE agent_id = ? ORDER BY created DESC, rowid DESC"
        return [_read_batch_row(row) for row in self._db.execute(query, (agent_id,))]

    def count_verdicts(self, batch_id: str, now: str) -> tuple[int, int]:
        """Count the attempts that have passed and failed by `now`."""
        passed, failed = self._db.execute(
            "SELECT count(*) FILTER (WHERE is_successful),"
            " count(*) FILTER (WHERE NOT is_successful)"
            " FROM test_run WHERE batch_id = ? AND completed <= ?",
            (batch_id, now),
        ).fetchone()
        return passed, failed

    def list_test_runs(self, batch_id: str, *, start: int, size: int) -> list[StoredRun]:
        query = "SELECT * FROM test_run WHERE batch_id = ? ORDER BY rowid LIMIT ? OFFSET ?"
        return [_read_run_row(row) for row in self._db.execute(query, (batch_id, size, start))]

    def count_attempts(self) -> int:
        """Count the test runs of all batch runs."""
        (total,) = self._db.execute("SELECT count(*) FROM test_run").fetchone()
        return int(total)

    def count_test_runs(self, batch_id: str) -> int:
        query = "SELECT count(*) FROM test_run WHERE batch_id = ?"
        (total,) = self._db.execute(query, (batch_id,)).fetchone()
        return int(total)

    def find_test_run(self, batch_id: str, job_id: str) -> StoredRun | None:
        query = "SELECT * FROM test_run WHERE job_id = ? AND batch_id = ?"
        row = self._find_row(query, job_id, batch_id)
        return _read_run_row(row) if row else None

    def _find_row(self, query: str, *values: str) -> Row | None:
        row: Row | None = self._db.execute(query, values).fetchone()
        return row


def format_timestamp(moment: datetime) -> str:
    """Format like the API (UTC, milliseconds, Z); the text sorts chronologically."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read_batch_row(row: Row) -> StoredBatch:
    batch_id, agent_id, created, test_cases = row
    return StoredBatch(batch_id, agent_id, created, json.loads(test_cases))


def _read_run_row(row: Row) -> StoredRun:
    run = StoredRun(*row)
    turns = json.loads(row[-1])
    return run._replace(
        is_successful=None if run.is_successful is None else bool(run.is_successful),
        conversation=[TimedTurn(*turn) for turn in turns],
    )

"""What the sandbox remembers, in SQLite: agents, test cases, batch runs and test runs.

A test run is stored whole at its launch, with the time of each turn; what has happened of it by a given moment is a
question of reading. So runs go on while nobody looks, and survive a restart.
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
    batch_id TEXT PRIMARY KEY, agent_id TEXT NOT NULL, created TEXT NOT NULL, test_cases TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS test_run (
    job_id TEXT PRIMARY KEY, batch_id TEXT NOT NULL, test_case_id TEXT NOT NULL, chat_id TEXT NOT NULL,
    created TEXT NOT NULL, completed TEXT, is_successful INTEGER, remarks TEXT, conversation TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS test_case_of_agent ON test_case (agent_id);
CREATE INDEX IF NOT EXISTS batch_run_of_agent ON batch_run (agent_id, created);
CREATE INDEX IF NOT EXISTS test_run_of_batch ON test_run (batch_id);
CREATE INDEX IF NOT EXISTS test_run_of_chat ON test_run (chat_id);
"""

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class TimedTurn(NamedTuple):
    """A turn, and when it was said."""

    role: str
    content: str
    at: str


class StoredRun(NamedTuple):
    """A test run as launched; `completed` is None for one that breaks and never ends."""

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
    """A batch run; `test_cases` are the definitions as they were at its launch."""

    batch_id: str
    agent_id: str
    created: str
    test_cases: list[dict[str, Any]]


class Store:
    """One database, in memory or in a file. Ids come from the seed and a counter, never from the clock."""

    def __init__(self, path: Path | None, seed: int) -> None:
        self._seed = seed
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=10)
        if path:
            self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(SCHEMA)

    @property
    def is_empty(self) -> bool:
        return bool(self._db.execute("SELECT count(*) FROM agent").fetchone() == (0,))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Everything inside happens, or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def new_id(self, noun: str) -> str:
        """The next id of its kind, such as `tc_` and 16 letters and digits."""
        return f"{noun}_{''.join(self.random(noun).choices(ALPHABET, k=16))}"

    def random(self, noun: str) -> Random:
        """The next source of chance of its kind: the same under one seed, whatever the time."""
        (used,) = self._db.execute(
            "INSERT INTO counter VALUES (?, 1) ON CONFLICT DO UPDATE SET used = used + 1 RETURNING used",
            (noun,),
        ).fetchone()
        return Random(f"{self._seed}:{noun}:{used}")

    def put_agent(self, agent_id: str, body: dict[str, Any]) -> None:
        self._db.execute("INSERT OR REPLACE INTO agent VALUES (?, ?)", (agent_id, json.dumps(body)))

    def find_agent(self, agent_id: str) -> dict[str, Any] | None:
        return self._body("SELECT body FROM agent WHERE agent_id = ?", agent_id)

    def list_agents(self) -> list[dict[str, Any]]:
        return [
            json.loads(body)
            for (body,) in self._db.execute("SELECT body FROM agent ORDER BY rowid")
        ]

    def put_test_case(self, agent_id: str, body: dict[str, Any]) -> None:
        self._db.execute(
            "INSERT INTO test_case VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
            (body["testCaseId"], agent_id, json.dumps(body)),
        )

    def find_test_case(self, test_case_id: str) -> dict[str, Any] | None:
        return self._body("SELECT body FROM test_case WHERE test_case_id = ?", test_case_id)

    def owner(self, test_case_id: str) -> str | None:
        """The agent that the test case belongs to."""
        row = self._db.execute(
            "SELECT agent_id FROM test_case WHERE test_case_id = ?", (test_case_id,)
        ).fetchone()
        return row[0] if row else None

    def list_test_cases(self, agent_id: str) -> list[dict[str, Any]]:
        rows = self._db.execute(
            "SELECT body FROM test_case WHERE agent_id = ? ORDER BY rowid", (agent_id,)
        )
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
        row = self._db.execute("SELECT * FROM batch_run WHERE batch_id = ?", (batch_id,)).fetchone()
        return _batch(row) if row else None

    def list_batch_runs(self, agent_id: str) -> list[StoredBatch]:
        """Newest first."""
        query = "SELECT * FROM batch_run WHERE agent_id = ? ORDER BY created DESC, rowid DESC"
        return [_batch(row) for row in self._db.execute(query, (agent_id,))]

    def counts(self, batch_id: str, now: str) -> tuple[int, int]:
        """Attempts of the batch run that passed and that failed by `now`."""
        passed, failed = self._db.execute(
            "SELECT count(*) FILTER (WHERE is_successful), count(*) FILTER (WHERE NOT is_successful)"
            " FROM test_run WHERE batch_id = ? AND completed <= ?",
            (batch_id, now),
        ).fetchone()
        return passed, failed

    def list_test_runs(self, batch_id: str, *, start: int, size: int) -> list[StoredRun]:
        query = "SELECT * FROM test_run WHERE batch_id = ? ORDER BY rowid LIMIT ? OFFSET ?"
        return [_run(row) for row in self._db.execute(query, (batch_id, size, start))]

    def count_test_runs(self, batch_id: str) -> int:
        (total,) = self._db.execute(
            "SELECT count(*) FROM test_run WHERE batch_id = ?", (batch_id,)
        ).fetchone()
        return int(total)

    def find_test_run(self, batch_id: str, job_id: str) -> StoredRun | None:
        query = "SELECT * FROM test_run WHERE job_id = ? AND batch_id = ?"
        row = self._db.execute(query, (job_id, batch_id)).fetchone()
        return _run(row) if row else None

    def find_test_run_of_chat(self, chat_id: str) -> StoredRun | None:
        row = self._db.execute("SELECT * FROM test_run WHERE chat_id = ?", (chat_id,)).fetchone()
        return _run(row) if row else None

    def _body(self, query: str, *values: str) -> dict[str, Any] | None:
        row = self._db.execute(query, values).fetchone()
        return json.loads(row[0]) if row else None


def spelt(moment: datetime) -> str:
    """The moment as the API spells it, which sorts as it passes: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _batch(row: tuple[Any, ...]) -> StoredBatch:
    batch_id, agent_id, created, test_cases = row
    return StoredBatch(batch_id, agent_id, created, json.loads(test_cases))


def _run(row: tuple[Any, ...]) -> StoredRun:
    (
        job_id,
        batch_id,
        test_case_id,
        chat_id,
        created,
        completed,
        is_successful,
        remarks,
        conversation,
    ) = row
    return StoredRun(
        job_id=job_id,
        batch_id=batch_id,
        test_case_id=test_case_id,
        chat_id=chat_id,
        created=created,
        completed=completed,
        is_successful=None if is_successful is None else bool(is_successful),
        remarks=remarks,
        conversation=[TimedTurn(*turn) for turn in json.loads(conversation)],
    )

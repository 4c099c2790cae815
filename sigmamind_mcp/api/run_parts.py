"""Keep less of many test runs: parts that repeat are kept once, conversations compressed."""

import json
import zlib

from sigmamind_mcp.api.models import AgentRef, TestCase, TestRun
from sigmamind_mcp.api.records import Record

# Parts of a test run that all runs of a test case or an agent have.
_SHARED_PARTS: dict[str, type[Record]] = {"testCase": TestCase, "agent": AgentRef}

RunState = tuple[object, ...]


class SharedParts:
    """Reads test runs; equal test cases and agents become one object."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, object], Record] = {}

    def read_run(self, entry: object) -> TestRun:
        """Read a test run.

        Raises:
            UnexpectedAnswer: `entry` is not an object.
        """
        if not isinstance(entry, dict):
            return TestRun.read(entry)
        fields, raw = dict(entry), dict(entry)
        for name in _SHARED_PARTS:
            part = self._share(name, entry.get(name))
            if part is not None:
                fields[name] = part
                raw[name] = part.raw
        run = TestRun.read(fields)
        run._raw = raw
        return run

    def _share(self, name: str, value: object) -> Record | None:
        """Return the known record of this part; None if it must be read with its run."""
        if not isinstance(value, dict):
            return None
        key = (name, str(value.get("testCaseId") or value.get("agentId")))
        known = self._known.get(key)
        if known is not None and known.raw == value:
            return known
        record = _SHARED_PARTS[name].read(value)
        # A run names what is unreadable in its parts only if it reads them itself.
        if record.unreadable_fields():
            return None
        self._known[key] = record
        return record


def pack_texts(run: TestRun) -> bytes:
    """Compress a test run without its test case and agent."""
    texts = dict(run.raw)
    for name in _SHARED_PARTS:
        texts.pop(name, None)
    return zlib.compress(json.dumps(texts).encode(), 1)


def unpack_texts(packed: bytes) -> TestRun:
    """Return the test run that was compressed, without its test case and agent."""
    return TestRun.read(json.loads(zlib.decompress(packed)))


def identify_state(run: TestRun) -> RunState:
    """Return what tells the states of a test run apart."""
    # A list may have one run twice, in two states.
    return run.job_id, run.verdict, run.completed_date

"""The lock of a suite: which stored test case each key is, and what was last applied to it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sigmamind_mcp.ids import same_id, valid_id
from sigmamind_mcp.suites.stored_fields import FIELDS, AppliedField
from sigmamind_mcp.suites.suite_file import KEY_PATTERN
from sigmamind_mcp.suites.yaml_tree import BadFile, quote_word, read_text_file, write_text_file

VERSION = 1
MOST_BLESSED = 30
_DIGEST = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class LockedCase:
    """A test case of the lock.

    `test_case_id` is None while it is not known whether the case was created.
    """

    test_case_id: str | None
    fields: dict[str, AppliedField] = field(default_factory=dict)
    retired: bool = False


@dataclass
class Lock:
    """The lock in memory; `save` writes it at once and whole."""

    path: Path
    agent_id: str
    cases: dict[str, LockedCase] = field(default_factory=dict)
    baseline: list[str] = field(default_factory=list)
    """Ids of the batch runs that a run is compared with; without any, all earlier ones count."""
    content: str = ""
    """The file's text as read or written last."""

    def save(self) -> None:
        """Write the file if it changes; a crash leaves the old one or the new one."""
        text = self.render()
        if text == self.content:
            return
        write_text_file(self.path, text)
        self.content = text

    def render(self) -> str:
        cases = {key: _render_case(self.cases[key]) for key in sorted(self.cases)}
        content = {"version": VERSION, "agentId": self.agent_id, "cases": cases}
        if self.baseline:
            content["baseline"] = self.baseline
        return json.dumps(content, indent=2) + "\n"

    def bless(self, batch_ids: Sequence[str]) -> None:
        """Add batch runs to the baseline, and forget the oldest ones."""
        kept = [one for one in self.baseline if one not in batch_ids]
        self.baseline = [*kept, *batch_ids][-MOST_BLESSED:]

    def record(self, key: str, case: LockedCase) -> None:
        """Set the entry of a key, and forget other keys of the same stored case."""
        while (other := self.find_key(case.test_case_id)) is not None:
            del self.cases[other]
        self.cases[key] = case

    def find_key(self, test_case_id: str | None) -> str | None:
        """Return the key of a stored test case, if the lock has it."""
        for key, case in self.cases.items():
            if test_case_id is not None and case.test_case_id == test_case_id:
                return key
        return None


def name_lock(suite: Path) -> Path:
    """Return the path of a suite's lock: suite.lock.json for suite.yaml."""
    return suite.with_name(f"{suite.stem}.lock.json")


def load_lock(path: Path, agent_id: str) -> Lock:
    """Read a lock; without a file it is empty.

    Raises:
        BadFile: it cannot be used, or it is of another agent.
    """
    if not path.exists():
        return Lock(path, agent_id)
    text = read_text_file(path)
    lock = _parse_lock(text, path)
    if not same_id(lock.agent_id, agent_id):
        raise BadFile(
            f"{path}: this lock is of agent {lock.agent_id}, not of {agent_id}. Name another lock"
            " with --lock, so that each agent has its own."
        )
    return lock


def _parse_lock(text: str, path: Path) -> Lock:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        reason = "it is not JSON."
        if re.search(r"^(<{7}|={7}|>{7})", text, re.MULTILINE):
            reason = "it has conflict marks of Git. Keep the entries of both sides."
        raise BadFile(
            f"{path}: {reason} Or remove the file: 'suite pull' writes a new one."
        ) from None
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise BadFile(f"{path}: its version is not {VERSION}, the only one that is known here.")
    agent_id, entries = content.get("agentId"), content.get("cases")
    if not _is_id(agent_id) or not isinstance(entries, dict):
        raise BadFile(f"{path}: its agentId or its cases are missing or malformed.")
    baseline = content.get("baseline", [])
    if not isinstance(baseline, list) or not all(map(_is_id, baseline)):
        raise BadFile(f"{path}: its baseline is malformed.")
    lock = Lock(path, agent_id, baseline=baseline, content=text)
    for key, entry in entries.items():
        case = _parse_case(key, entry)
        if case is None:
            raise BadFile(f"{path}: its entry {quote_word(key)} is malformed.")
        if first := lock.find_key(case.test_case_id):
            raise BadFile(
                f"{path}: {quote_word(first)} and {quote_word(key)} are the same test case,"
                f" {case.test_case_id}. Remove one."
            )
        lock.cases[key] = case
    return lock


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and valid_id(value) is not None


def _parse_case(key: str, entry: Any) -> LockedCase | None:
    if not re.fullmatch(KEY_PATTERN, key) or not isinstance(entry, dict):
        return None
    test_case_id, applied = entry.get("testCaseId"), entry.get("applied", {})
    if not (test_case_id is None or _is_id(test_case_id)) or not isinstance(applied, dict):
        return None
    fields = {}
    for name, value in applied.items():
        digests = value if isinstance(value, list) else [value, value]
        if name not in FIELDS or len(digests) != 2 or not all(map(_is_digest, digests)):
            return None
        fields[name] = AppliedField(*digests)
    return LockedCase(test_case_id, fields, entry.get("retired") is True)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _render_case(case: LockedCase) -> dict[str, Any]:
    applied: dict[str, Any] = {}
    for name, digests in case.fields.items():
        applied[name] = digests.sent if digests.sent == digests.stored else list(digests)
    entry: dict[str, Any] = {"testCaseId": case.test_case_id, "applied": applied}
    if case.retired:
        entry["retired"] = True
    return entry

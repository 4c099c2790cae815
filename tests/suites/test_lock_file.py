"""The lock of a suite."""

import json
from pathlib import Path

import pytest

from sigmamind_mcp.suites.lock_file import Lock, LockedCase, load_lock, name_lock
from sigmamind_mcp.suites.stored_fields import AppliedField
from sigmamind_mcp.suites.yaml_tree import BadFile

AGENT_ID = "agent_D5D0p7TUs66TTAEAx"
DIGESTS = ("0123456789abcdef", "fedcba9876543210")


def test_lock_reads_back_as_it_was_saved(tmp_path: Path) -> None:
    path = name_lock(tmp_path / "suite.yaml")
    lock = load_lock(path, AGENT_ID)
    lock.cases["b"] = LockedCase("tc_1", {"label": AppliedField(*DIGESTS)}, retired=True)
    lock.cases["a"] = LockedCase(None, {"attempt": AppliedField(DIGESTS[0], DIGESTS[0])})
    lock.bless(["batch_1", "batch_2"])
    lock.bless(["batch_1"])
    lock.save()

    assert load_lock(path, AGENT_ID).baseline == ["batch_2", "batch_1"]
    assert path.name == "suite.lock.json"
    assert load_lock(path, AGENT_ID.removeprefix("agent_")).cases == lock.cases
    assert [file.name for file in tmp_path.iterdir()] == ["suite.lock.json"]


def test_lock_without_a_change_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "suite.lock.json"
    Lock(path, AGENT_ID).save()
    path.chmod(0o444)
    before = path.stat().st_mtime_ns

    load_lock(path, AGENT_ID).save()

    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        ("{", "it is not JSON"),
        ("<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> x\n", "conflict marks of Git"),
        ("[]", "its version is not 1"),
        ('{"version": 2}', "its version is not 1"),
        ({"agentId": "a b"}, "its agentId or its cases"),
        ({"agentId": "agent_other"}, "this lock is of agent agent_other, not of agent_D5"),
        ({"baseline": ["a b"]}, "its baseline is malformed"),
        ({"cases": {"Bad key": {}}}, "its entry 'Bad key' is malformed"),
        ({"cases": {"a": {"testCaseId": "x/y"}}}, "its entry 'a' is malformed"),
        (
            {"cases": {"a": {"testCaseId": "t", "applied": {"label": "x"}}}},
            "entry 'a' is malformed",
        ),
        ({"cases": {"a": {"testCaseId": "t"}, "b": {"testCaseId": "t"}}}, "are the same test case"),
    ],
)
def test_unusable_lock_is_refused(
    content: str | dict[str, object], refusal: str, tmp_path: Path
) -> None:
    path = tmp_path / "suite.lock.json"
    if isinstance(content, dict):
        content = json.dumps({"version": 1, "agentId": AGENT_ID, "cases": {}, **content})
    path.write_text(content, encoding="utf-8")

    with pytest.raises(BadFile, match=refusal):
        load_lock(path, AGENT_ID)

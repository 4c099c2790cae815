"""Compare the fields of a file with those of a stored test case, and know what was applied."""

import hashlib
import json
import re
from typing import Any, NamedTuple

from sigmamind_mcp.api.case_fields import read_fields, reduce_value
from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.insight.case_definitions import is_shown
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.suites.suite_file import KEY_PATTERN, LONGEST_LABEL

FIELDS = ("label", "userPrompt", "successCriteria", "mockData", "llmModel", "attempt")
RETIRED = "retired: "

_KEY_AT_END = re.compile(rf"(?:(?P<label>.*)\s)?\[(?P<key>{KEY_PATTERN})\]\s*", re.DOTALL)


class KeyedLabel(NamedTuple):
    """A stored label without its key, and the key."""

    text: str
    key: str | None


class AppliedField(NamedTuple):
    """Digests of a field: as it was in the file, and as the API showed it afterwards."""

    sent: str
    stored: str


def split_label(label: str | None) -> KeyedLabel:
    """Return a stored label without the key at its end."""
    match = _KEY_AT_END.fullmatch(label or "")
    if match is None:
        return KeyedLabel(label or "", None)
    return KeyedLabel(match["label"] or "", match["key"])


def join_label(text: str, key: str) -> str | None:
    """Return the label to store; None if it would be too long with its key."""
    label = f"{text} [{key}]" if text else f"[{key}]"
    return label if len(label) <= LONGEST_LABEL else None


def retire_label(label: str) -> str:
    """Return the label of a case that left the file, without its key."""
    return RETIRED + split_label(label).text


def is_retired(case: TestCase) -> bool:
    """Whether `suite apply --retire` has renamed the stored case."""
    return (case.label or "").startswith(RETIRED)


def digest(name: str, value: Any) -> str:
    """Return a short hash of a field, equal for values that mean the same."""
    content = json.dumps(reduce_value(name, value), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def read_stored(case: TestCase) -> JSONObject:
    """Return the fields that the API shows, the label without its key."""
    values = {**read_fields(case), "label": split_label(case.label).text}
    return {name: value for name, value in values.items() if is_shown(case, name)}


def digest_fields(fields: JSONObject) -> dict[str, str]:
    return {name: digest(name, value) for name, value in fields.items()}


def has_same_content(fields: JSONObject, case: TestCase) -> bool:
    """Whether a stored case has all fields of the file, as far as the API shows them."""
    stored = digest_fields(read_stored(case))
    wanted = digest_fields(fields)
    shown = wanted.keys() & stored.keys()
    if not {"userPrompt", "successCriteria"} <= shown:
        return False
    return all(wanted[name] == stored[name] for name in shown)


def record_applied(fields: JSONObject, case: TestCase | None) -> dict[str, AppliedField]:
    """Return what the lock keeps of a case after `fields` were sent and `case` was read."""
    sent = digest_fields(fields)
    stored = digest_fields(read_stored(case)) if case else {}
    # A field that only one side has counts as equal on both.
    sent_or_stored = {**stored, **sent}
    stored_or_sent = {**sent, **stored}
    applied = {}
    for name in FIELDS:
        if name in sent_or_stored:
            applied[name] = AppliedField(sent_or_stored[name], stored_or_sent[name])
    return applied

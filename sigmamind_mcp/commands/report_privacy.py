"""Take conversations and mock values out of a report's data."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import Any

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.insight.mock_masks import MockMask
from sigmamind_mcp.masking import MASK
from sigmamind_mcp.strict_json import JSONObject

LEFT_OUT = "(left out; --transcripts shows it)"
SPOKEN_KINDS = ("value", "phrase")
"""Items whose text is what an agent said."""
OUR_WORDS = frozenset(
    "attemptsNeeded basis cause change compared completedDate counts createdDate date"
    " definitionsFrom direction field hint kind level levels method obstacle outcome pooling"
    " problem question reason role says section state tool verdict why".split()
)
"""Fields that hold words or figures of this server, or times."""


def hide_conversations(data: JSONObject) -> JSONObject:
    """Return a report's data without what was said in conversations, and without mock values."""
    hidden = {name: value for name, value in data.items() if name != "conversations"}
    hidden["definitions"] = [_drop(case, "mockData") for case in data.get("definitions", [])]
    if "diagnosis" in data:
        hidden["diagnosis"] = _hide_in_diagnosis(data["diagnosis"])
    if "comparison" in data:
        hidden["comparison"] = _hide_in_comparison(data["comparison"])
    return hidden


def _hide_in_diagnosis(diagnosis: JSONObject) -> JSONObject:
    hidden = dict(diagnosis)
    rewrites: dict[str, Callable[[JSONObject], JSONObject]] = {
        "turnsWorthReading": _hide_quote,
        "valuesNotGiven": _hide_value,
        "separates": _hide_item,
        "groups": _hide_group,
        "definitionProblems": _hide_edit,
    }
    for section, rewrite in rewrites.items():
        if section in hidden:
            hidden[section] = list(map(rewrite, hidden[section]))
    return hidden


def _hide_quote(row: JSONObject) -> JSONObject:
    return {**_drop(row, "user"), "content": LEFT_OUT}


def _hide_value(row: JSONObject) -> JSONObject:
    return {**_drop(row, "said", "near"), "value": LEFT_OUT}


def _hide_item(row: JSONObject) -> JSONObject:
    return {**row, "text": LEFT_OUT} if row["kind"] in SPOKEN_KINDS else row


def _hide_group(row: JSONObject) -> JSONObject:
    return {**row, "about": LEFT_OUT} if row["basis"] == "separates" else row


def _hide_in_comparison(comparison: JSONObject) -> JSONObject:
    hidden = dict(comparison)
    hidden["testCases"] = [_hide_edits(row) for row in comparison["testCases"]]
    if "agentSays" in comparison:
        hidden["agentSays"] = [{**row, "item": LEFT_OUT} for row in comparison["agentSays"]]
    if "turnsWorthReading" in comparison:
        hidden["turnsWorthReading"] = list(map(_hide_quote, comparison["turnsWorthReading"]))
    return hidden


def _hide_edits(row: JSONObject) -> JSONObject:
    if "edits" not in row:
        return row
    return {**row, "edits": list(map(_hide_edit, row["edits"]))}


def _hide_edit(row: JSONObject) -> JSONObject:
    """Hide the words of an edit of mock data; which variable was edited stays."""
    if row.get("field") != "mockData":
        return row
    shown = _drop(row, "left", "right")
    return {
        name: LEFT_OUT if name in ("before", "after") else value for name, value in shown.items()
    }


def mask_report(data: JSONObject, cases: Sequence[TestCase]) -> JSONObject:
    """Return a report's data with a mark for each mock value of these definitions.

    In a test run those of its own test case are masked, elsewhere all of them.
    """
    masks = _CaseMasks(cases, _collect_ids(data))
    case_ids = {run["jobId"]: run.get("testCaseId", "") for run in data["runs"]}
    masked: JSONObject = {}
    for name, value in data.items():
        match name:
            case "notes":
                masked[name] = value
            case "matrix":
                masked[name] = [[row[0], masks.mask(row[1]), row[2]] for row in value]
            case "definitions" | "runs":
                masked[name] = [masks.mask(row, row.get("testCaseId", "")) for row in value]
            case "conversations":
                masked[name] = {
                    job_id: masks.mask(run, case_ids.get(job_id, ""))
                    for job_id, run in value.items()
                }
            case _:
                masked[name] = masks.mask(value)
    return masked


class _CaseMasks:
    """Masks of each test case and of all together; ids stay."""

    def __init__(self, cases: Sequence[TestCase], ids: Collection[str]) -> None:
        self._ids = ids
        values: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for case in cases:
            for mock in case.mock_data:
                values[case.test_case_id or ""][mock.value] = None
        self._by_case = {case_id: MockMask(own, mark=MASK) for case_id, own in values.items()}
        self._every = MockMask(dict.fromkeys(chain(*values.values())), mark=MASK)

    def mask(self, data: Any, case_id: str = "") -> Any:
        return self._mask_texts(data, self._by_case.get(case_id, self._every))

    def _mask_texts(self, data: Any, mask: MockMask) -> Any:
        if isinstance(data, str):
            return data if data in self._ids else mask.mask(data)
        if isinstance(data, list):
            return [self._mask_texts(item, mask) for item in data]
        if not isinstance(data, dict):
            return data
        hidden = _list_value_fields(data)
        masked = {}
        for name, value in data.items():
            if name in hidden:
                masked[name] = MASK
            else:
                masked[name] = value if name in OUR_WORDS else self._mask_texts(value, mask)
        return masked


def _list_value_fields(data: JSONObject) -> tuple[str, ...]:
    """Return the fields that hold nothing but a mock value."""
    if data.get("field") == "mockData":
        return ("before", "after")
    return ("value",) if "variableName" in data else ()


def _collect_ids(data: Any) -> set[str]:
    """Return all ids in a report's data."""
    if isinstance(data, list):
        return set().union(*map(_collect_ids, data))
    if not isinstance(data, dict):
        return set()
    ids: set[str] = set()
    for name, value in data.items():
        if name.endswith("Id") and isinstance(value, str):
            ids.add(value)
        elif name.endswith("Ids"):
            ids.update(value)
        else:
            ids |= _collect_ids(value)
    return ids


def _drop(data: JSONObject, *names: str) -> JSONObject:
    return {name: value for name, value in data.items() if name not in names}

"""Show a plan: what would be written, field by field, before and after."""

from collections.abc import Iterator

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.insight.case_definitions import find_edits
from sigmamind_mcp.suites.plan import ACTIONS, Plan, PlannedCase
from sigmamind_mcp.suites.shown_text import list_edit_lines, name_for_file, show_text
from sigmamind_mcp.suites.stored_fields import read_stored, retire_label, split_label

SIGNS = {"create": "+", "update": "~", "drifted": "!", "adopt": "=", "orphan": "-"}
MEANINGS = {
    "drifted": "changed in the dashboard since the last apply",
    "adopt": "a stored case has this content, and gets the key",
    "orphan": "no longer in the file",
}


def list_plan_lines(plan: Plan, *, retire: bool = False) -> Iterator[str]:
    """Yield the lines of a plan; the last one counts. `retire` renames orphans."""
    for action in ACTIONS[:-1]:
        for case in plan.list_cases(action):
            yield from _list_case_lines(case, retire=retire)
    counts = [f"{len(plan.list_cases(action))} {action}" for action in ACTIONS]
    yield f"Plan: {', '.join(counts)}."


def _list_case_lines(case: PlannedCase, *, retire: bool) -> Iterator[str]:
    meaning = f" - {MEANINGS[case.action]}" if case.action in MEANINGS else ""
    if case.action == "orphan":
        meaning += f"; {_describe_retirement(case, retire=retire)}"
    stored = f" ({case.case_id})" if case.case_id else ""
    yield f"{SIGNS[case.action]} {case.action} {case.key}{stored}{meaning}"
    if case.is_recreated:
        yield "    the stored case of the lock does not exist any more"
    if case.is_relabelled:
        yield "    the key in the stored label changes"
    if case.action == "create":
        for name, value in case.changes.items():
            yield f"    {name_for_file(name)}: {_show_field_value(value)}"
    elif case.stored is not None and case.changes:
        yield from _list_changes(case, case.stored)


def _describe_retirement(case: PlannedCase, *, retire: bool) -> str:
    if not retire:
        return "left alone without --retire"
    if case.stored is None or case.stored.label is None:
        return "keeps its name: the API does not show its label"
    return f"renamed to {show_text(retire_label(case.stored.label))}"


def _show_field_value(value: object) -> str:
    if isinstance(value, str):
        return show_text(value)
    if not isinstance(value, list):
        return str(value)
    pairs = []
    for item in value:
        name, text = show_text(item["variableName"]), show_text(item["value"])
        pairs.append(f"{name} = {text}")
    return ", ".join(pairs) or "none"


def _list_changes(case: PlannedCase, stored: TestCase) -> Iterator[str]:
    label = {"label": split_label(stored.label).text}
    before = TestCase.read({**stored.raw, **label})
    shown = read_stored(stored)
    compared = {name: value for name, value in case.changes.items() if name in shown}
    after = TestCase.read({**before.raw, **compared})
    edits = find_edits(before, after)
    edited = {edit.field for edit in edits}
    for name in sorted(edited & set(case.drifted)):
        yield f"    {name_for_file(name)} drifted: 'before' is stored, 'after' is in the file"
    for line in list_edit_lines(edits):
        yield f"    {line}"
    for name, value in case.changes.items():
        if name not in edited:
            text = _show_field_value(value)
            yield f"    {name_for_file(name)}: not shown by the API; the file has {text}"

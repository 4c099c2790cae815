"""Write an agent's stored test cases into the file of a suite, without losing what it says."""

import textwrap
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.suites.lock_file import Lock, LockedCase
from sigmamind_mcp.suites.plan import Plan, PlannedCase, SuiteConflict
from sigmamind_mcp.suites.shown_text import name_for_file
from sigmamind_mcp.suites.stored_fields import (
    digest,
    is_retired,
    read_stored,
    record_applied,
    split_label,
)
from sigmamind_mcp.suites.suite_file import (
    LONGEST_LABEL,
    LONGEST_TEXT,
    Suite,
    make_key,
    parse_suite,
)
from sigmamind_mcp.suites.yaml_text import Writable, write_member, write_scalar
from sigmamind_mcp.suites.yaml_tree import YAMLNode, quote_word

FILE_FIELDS = ("label", "userPrompt", "successCriteria", "mockData", "llmModel", "attempts")
HEADER = "# Test cases of a SigmaMind agent. 'sigmamind-mcp suite --help' lists the commands.\n"


class EditsRefused(SigmaMindError):
    """A pull would overwrite edits of the file that were never applied."""


class Pulled(NamedTuple):
    """The new text of a suite and what changed in it, by key.

    `left_out` names stored fields that the file cannot hold; `defaulted` those that the API does
    not show, so that the next apply stores the default.
    """

    text: str
    changed: list[str]
    added: list[str]
    left_out: list[str]
    defaulted: list[str]


def start_suite(agent_id: str) -> str:
    """Return the text of a suite without test cases."""
    return f"{HEADER}suite: 1\nagent: {write_scalar(agent_id)}\ncases: {{}}\n"


def pull_cases(
    suite: Suite, lock: Lock, plan: Plan, stored: Sequence[TestCase], *, overwrite: bool
) -> Pulled:
    """Bring a suite and its lock to what is stored; `lock` is changed, not saved.

    Raises:
        EditsRefused: the file has edits that were never applied.
        SuiteConflict: two stored cases carry one key, the file cannot be edited in place, or a
            default would replace a stored value that the file cannot hold.
    """
    linked = [case for case in plan.cases if case.stored and case.action != "orphan"]
    if not overwrite:
        _require_applied(linked, lock)
    edits: list[_Edit] = []
    changed = []
    for case in linked:
        assert case.stored is not None
        fields = read_stored(case.stored)
        replaced = {name: fields[name] for name in case.changes if name in fields}
        if replaced:
            edits += _replace_fields(suite, case.key, replaced)
            changed.append(case.key)
        _lock_case(lock, suite, case.key, case.stored, replaced)
    known = {case.case_id for case in plan.cases}
    known.update(locked.test_case_id for locked in lock.cases.values())
    new = [case for case in stored if case.test_case_id not in known and _is_pulled(case)]
    members, left_out, defaulted = _add_cases(new, lock, suite)
    if members:
        edits.append(_append_cases(suite, "".join(members.values())))
    text = _carry_out(suite.text, edits)
    parse_suite(text, suite.path)
    return Pulled(text, changed, list(members), left_out, defaulted)


def _is_pulled(case: TestCase) -> bool:
    return bool(valid_id(case.test_case_id)) and not is_retired(case)


def _require_applied(linked: Iterable[PlannedCase], lock: Lock) -> None:
    edited = []
    for case in linked:
        locked = lock.cases.get(case.key)
        shown = read_stored(case.stored) if case.stored else {}
        for name, value in case.changes.items():
            if name not in shown:
                continue
            base = locked.fields.get(name) if locked else None
            if base is None or digest(name, value) != base.sent:
                edited.append(f"{case.key} ({name})")
    if edited:
        raise EditsRefused(
            f"The file has edits that were never applied: {', '.join(edited[:10])}. Nothing was"
            " written. 'suite plan' shows both; 'suite apply --overwrite' keeps the file,"
            " 'suite pull --overwrite' what is stored."
        )


def _lock_case(lock: Lock, suite: Suite, key: str, stored: TestCase, replaced: JSONObject) -> None:
    case = suite.cases[key]
    own, previous = lock.cases.pop(key, None), lock.cases.pop(case.was or "", None)
    locked = own or previous
    shown = read_stored(stored)
    applied = {name: value for name, value in case.fields.items() if name in shown}
    fields = record_applied({**applied, **replaced}, stored)
    if locked is not None:
        # A field that the API does not show stays as it was applied last.
        fields = {**locked.fields, **fields}
    lock.record(key, LockedCase(stored.test_case_id, fields))


def _add_cases(
    new: Sequence[TestCase], lock: Lock, suite: Suite
) -> tuple[dict[str, str], list[str], list[str]]:
    """Add new cases to the lock; return their lines by key, `left_out` and `defaulted`."""
    members: dict[str, str] = {}
    left_out: list[str] = []
    defaulted: list[str] = []
    taken = set(suite.cases) | set(lock.cases)
    carried = set(filter(None, (split_label(case.label).key for case in new)))
    for case in new:
        key = split_label(case.label).key
        if key is not None and key in taken:
            raise SuiteConflict(
                f"{case.test_case_id} carries the key [{key}] of another test case. Remove the key"
                " from its label in the dashboard. Nothing was written."
            )
        if key is None:
            key = make_key(case.title, taken | carried)
        taken.add(key)
        shown = read_stored(case)
        fields, dropped = _select_writable(shown, suite.defaults)
        _require_no_default(case, dropped, suite)
        left_out += [f"{key} ({name})" for name in dropped]
        hidden = [name for name in suite.defaults if name not in shown]
        defaulted += [f"{key} ({name_for_file(name)})" for name in hidden]
        members[key] = write_member(key, _rename_for_file(fields), indent=2)
        applied = record_applied(fields, case)
        lock.record(key, LockedCase(case.test_case_id, applied))
    return members, left_out, defaulted


def _select_writable(fields: JSONObject, defaults: JSONObject) -> tuple[JSONObject, list[str]]:
    """Return the fields that the file can hold, and the names of the others.

    An empty value is kept only where a default would replace it.
    """
    kept: JSONObject = {}
    dropped = []
    for name, value in fields.items():
        can_be_empty = name in ("mockData", "llmModel")
        is_kept_empty = not value and name in defaults and can_be_empty
        if is_kept_empty or _fits_in_file(name, value):
            kept[name] = value
        elif value or name in defaults:
            dropped.append(name)
    return kept, dropped


def _require_no_default(case: TestCase, dropped: Sequence[str], suite: Suite) -> None:
    """Raise an error if a default would replace a stored value that the file cannot hold."""
    replaced = [name_for_file(name) for name in dropped if name in suite.defaults]
    if replaced:
        names = " and ".join(replaced)
        raise SuiteConflict(
            f"The file cannot hold the stored {names} of {case.test_case_id}, and its defaults"
            f" would replace them. Remove {names} from the defaults. Nothing was written."
        )


def _fits_in_file(name: str, value: Any) -> bool:
    if not value:
        return False
    if name in ("userPrompt", "successCriteria"):
        return bool(value.strip()) and len(value) <= LONGEST_TEXT
    if name == "label":
        return bool(value.strip()) and len(value) <= LONGEST_LABEL
    if name == "mockData":
        return all(item["variableName"] for item in value)
    return True


def _rename_for_file(fields: JSONObject) -> dict[str, Writable]:
    """Return the fields under the names of the file, in its order."""
    named: dict[str, Writable] = {}
    for name in FILE_FIELDS:
        value = fields.get("attempt" if name == "attempts" else name)
        if value is None:
            continue
        named[name] = _write_mock_data(value) if name == "mockData" else value
    return named


def _write_mock_data(variables: list[dict[str, str]]) -> Writable:
    """Return mock data as a mapping; as a list if a name is there twice."""
    values = {item["variableName"]: item["value"] for item in variables}
    if len(values) < len(variables) or "<<" in values:
        return variables
    return values


class _Edit(NamedTuple):
    """New text for one part of a file."""

    start: int
    end: int
    text: str


def _replace_fields(suite: Suite, key: str, fields: JSONObject) -> list[_Edit]:
    """Return edits that write new values of a case; one that came from the defaults is added."""
    node = _get_case_node(suite, key)
    assert isinstance(node.value, dict)
    if node.is_flow or not node.value:
        _refuse_brackets(suite, key, node.start)
    first = min(node.key_places.values())
    indent = first.column - 1
    edits = []
    for name, value in _rename_for_file(fields).items():
        lines = write_member(name, value, indent=indent)[indent:]
        if name in node.value:
            end = _find_end(suite.text, node.value[name])
            edits.append(_replace_lines(suite.text, node.key_starts[name], end, lines))
        else:
            start = min(node.key_starts.values())
            edits.append(_Edit(start, start, lines + " " * indent))
    return edits


def _replace_lines(text: str, start: int, end: int, lines: str) -> _Edit:
    """Return the edit of one field; a comment behind its value stays, or moves before it."""
    lines = lines.removesuffix("\n")
    rest_of_line, _, _ = text[end:].partition("\n")
    comment = rest_of_line.strip()
    if not comment or "\n" not in lines:
        return _Edit(start, end, lines)
    line_start = text.rfind("\n", 0, start) + 1
    space = " " * (start - line_start)
    end = text.index(comment, end) + len(comment)
    return _Edit(start, end, f"{comment}\n{space}{lines}")


def _refuse_brackets(suite: Suite, key: str, start: int) -> NoReturn:
    line = suite.text.count("\n", 0, start) + 1
    raise SuiteConflict(
        f"{suite.path}:{line}: {quote_word(key)} is written in brackets, and pull edits only lines."
        " Write each field on its own line. Nothing was written."
    )


def _get_cases_node(suite: Suite) -> YAMLNode:
    assert isinstance(suite.tree.value, dict)
    return suite.tree.value["cases"]


def _get_case_node(suite: Suite, key: str) -> YAMLNode:
    cases = _get_cases_node(suite).value
    assert isinstance(cases, dict)
    return cases[key]


def _find_end(text: str, node: YAMLNode) -> int:
    """Return where a value ends, without the line ends and comments that follow it."""
    inner: Collection[YAMLNode] = ()
    if isinstance(node.value, dict):
        inner = node.value.values()
    elif isinstance(node.value, list):
        inner = node.value
    if inner and not node.is_flow:
        return max(_find_end(text, part) for part in inner)
    own_text = text[node.start : node.end].rstrip()
    return node.start + len(own_text)


def _append_cases(suite: Suite, members: str) -> _Edit:
    """Return the edit that adds cases after the last one."""
    node = _get_cases_node(suite)
    assert isinstance(node.value, dict)
    if not node.value:
        text_before = suite.text[: node.start].rstrip(" ")
        return _Edit(len(text_before), node.end, f"\n{members}".removesuffix("\n"))
    if node.is_flow:
        _refuse_brackets(suite, "cases", node.start)
    indent = min(node.key_places.values()).column - 1
    if indent != 2:
        members = textwrap.indent(textwrap.dedent(members), " " * indent)
    end = _find_end(suite.text, node)
    line_end = suite.text.find("\n", end)
    if line_end < 0:
        start = len(suite.text)
        return _Edit(start, start, f"\n{members}")
    start = line_end + 1
    return _Edit(start, start, members)


def _carry_out(text: str, edits: Sequence[_Edit]) -> str:
    line_end = "\r\n" if "\r\n" in text else "\n"
    for edit in sorted(edits, reverse=True):
        new_text = edit.text.replace("\n", line_end)
        text = text[: edit.start] + new_text + text[edit.end :]
    return text

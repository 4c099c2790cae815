"""Write a report as Markdown, for a pull request or a ticket."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.suites.github_output import escape_markdown, join_to_limit
from sigmamind_mcp.tools.diagnosis_rows import describe_group
from sigmamind_mcp.tools.parts import format_percent

SIGNS = {"p": "✓", "f": "✗", "u": "·"}
STATES = {
    "running": "The batch run is still running: these figures will change.",
    "stalled": "The batch run has stalled: attempts are undecided, and some may never end.",
    "unknown": "Whether the batch run has ended cannot be seen.",
}
CUT = "\n(More is left out. The report as a page has all of it: leave out --markdown.)\n"
MOST_SIGNS = 60
PROSE = 1_000
"""Characters of a prompt, a remark or a turn."""


def write_markdown(data: JSONObject) -> str:
    """Return the report of `data` as Markdown, at most 60 kB: the result first."""
    return join_to_limit(_list_parts(data), cut=CUT)


def _list_parts(data: JSONObject) -> Iterator[str]:
    diagnosis = data["diagnosis"]
    yield f"## Batch run `{data['batchId']}`: {data['state']}, {_show_rate(diagnosis['rate'])}\n\n"
    created = f"Created {data['createdDate']}. " if "createdDate" in data else ""
    yield f"Agent `{data['agentId']}`. {created}{STATES.get(data['state'], '')}".rstrip() + "\n"
    if diagnosis["undecided"]:
        yield f"{diagnosis['undecided']} attempts show no verdict.\n"
    for note in data["notes"]:
        yield f"\n{escape_markdown(_join_lines(note))}\n"
    yield from _write_matrix(data["matrix"])
    yield from _write_groups(diagnosis)
    if "comparison" in data:
        yield from _write_comparison(data["comparison"])
    for history in data.get("history", []):
        yield from _write_history(history)
    yield from _write_runs(data)
    yield from _write_definitions(data["definitions"])


def _write_matrix(matrix: Sequence[Any]) -> Iterator[str]:
    if not matrix:
        return
    yield _write_table_head("Test case", "Id", "Passed", "Attempts")
    for case_id, label, cells in matrix:
        letters = [letter for _, letter in cells]
        decided = [letter for letter in letters if letter != "u"]
        signs = "".join(SIGNS[letter] for letter in letters[:MOST_SIGNS])
        more = f" and {len(letters) - MOST_SIGNS} more" if len(letters) > MOST_SIGNS else ""
        counts = f"{decided.count('p')} of {len(decided)}"
        yield _write_table_row(_write_text(label), _write_code(case_id), counts, signs + more)


def _write_groups(diagnosis: JSONObject) -> Iterator[str]:
    groups = diagnosis.get("groups", [])
    if not groups:
        return
    yield "\n**What failed attempts share**\n\n"
    for group in groups:
        about = describe_group(group["basis"], group.get("about"))
        jobs = ", ".join(map(_write_code, group["jobIds"]))
        yield f"- {group['failed']} of {group['failedOf']}: {_write_text(about)} ({jobs})\n"


def _write_comparison(comparison: JSONObject) -> Iterator[str]:
    base = [comparison["baseBatchId"]] if "baseBatchId" in comparison else []
    base = base or comparison.get("baseBatchIds", [])
    yield f"\n**Compared with {', '.join(map(_write_code, base))}**\n"
    if "base" in comparison and "candidate" in comparison:
        before = _show_rate(comparison["base"], by="by cases ")
        after = _show_rate(comparison["candidate"], by="by cases ")
        yield f"\nAll test cases: {before}; then {after}.\n"
    yield _write_table_head("Test case", "Before", "After", "Change", "Edited")
    for row in comparison["testCases"]:
        counts = [_write_counts(row.get(side)) for side in ("base", "candidate")]
        change = row.get("obstacle") or row["change"]
        level = f", {row['level']}" if "p" in row else ""
        edited = ", ".join(row["differs"])
        yield _write_table_row(_write_text(row["label"]), *counts, f"{change}{level}", edited)


def _write_history(history: JSONObject) -> Iterator[str]:
    yield "\n**History, oldest batch run first**\n"
    yield _write_table_head("Batch run", "Day", "Passed", "Note")
    for run in history["runs"]:
        counts = f"{run['passed']} of {run['decided']}" if "decided" in run else ""
        yield _write_table_row(
            _write_code(run["batchId"]), run.get("date", ""), counts, run.get("problem", "")
        )
    rows = history.get("testCases", [])
    if not rows:
        return
    yield _write_table_head("Test case", "Passed by batch run", "Change at")
    for row in rows:
        change = row.get("changePoint")
        where = f"{_write_code(change['batchId'])} (p {change['p']:.2g})" if change else ""
        yield _write_table_row(_write_text(row["label"]), row["counts"], where)


def _write_runs(data: JSONObject) -> Iterator[str]:
    labels = {case_id: label for case_id, label, _ in data["matrix"]}
    for case_id, runs in _group_runs(data["runs"]):
        head = escape_markdown(_join_lines(labels.get(case_id) or case_id or "No test case"))
        yield f"\n<details><summary>{head}: {len(runs)} test runs</summary>\n\n"
        for run in runs:
            remarks = f": {_write_text(run['remarks'])}" if "remarks" in run else ""
            yield f"- {_write_code(run['jobId'])} {run['verdict']}{remarks}\n"
            conversation = data.get("conversations", {}).get(run["jobId"], {})
            for turn in conversation.get("conversation", []):
                role = escape_markdown(_join_lines(turn["role"]))
                yield f"  - turn {turn['turn']} {role}: {_write_text(_join_turn(turn))}\n"
        yield "\n</details>\n"


def _group_runs(runs: Iterable[JSONObject]) -> list[tuple[str, list[JSONObject]]]:
    groups: dict[str, list[JSONObject]] = {}
    for run in runs:
        groups.setdefault(run.get("testCaseId", ""), []).append(run)
    return list(groups.items())


def _join_turn(turn: JSONObject) -> str:
    return " ".join([turn["content"], *turn.get("toolCalls", []), turn.get("otherFields", "")])


def _write_definitions(definitions: Sequence[JSONObject]) -> Iterator[str]:
    for case in definitions:
        head = escape_markdown(_join_lines(case["label"]))
        yield f"\n<details><summary>Definition of {head}</summary>\n\n"
        for name, title in (("userPrompt", "User prompt"), ("successCriteria", "Success criteria")):
            if name in case:
                yield f"- {title}: {_write_text(case[name])}\n"
        for mock in case.get("mockData", []):
            yield f"- {_write_text(mock['variableName'])} = {_write_text(mock['value'])}\n"
        yield "\n</details>\n"


def _show_rate(rate: JSONObject, *, by: str = "") -> str:
    if not rate["decided"]:
        return "no attempt decided"
    share = format_percent(rate["passed"] / rate["decided"])
    interval = f"{format_percent(rate['low'])} to {format_percent(rate['high'])}"
    return f"{rate['passed']} of {rate['decided']} passed ({share}, 95% interval {by}{interval})"


def _write_counts(side: JSONObject | None) -> str:
    return f"{side['passed']} of {side['decided']}" if side else "none"


def _write_table_head(*names: str) -> str:
    return f"\n| {' | '.join(names)} |\n| {' | '.join('---' for _ in names)} |\n"


def _write_table_row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _write_code(identifier: str) -> str:
    return f"`{identifier}`" if valid_id(identifier) else ""


def _write_text(text: str) -> str:
    line = _join_lines(text)
    return escape_markdown(f"{line[:PROSE]}…" if len(line) > PROSE else line)


def _join_lines(text: str) -> str:
    return " ".join(text.split())

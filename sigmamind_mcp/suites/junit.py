"""Write the result of a run as JUnit XML, one testcase for each case of the suite."""

from xml.etree import ElementTree

from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.suites.run_result import RowResult, RunResult, list_figures
from sigmamind_mcp.suites.run_text import describe_row

FAILURE_TYPES = {"worse": "regressed", "below its bar": "below bar"}
BROKEN_RUN = "(run)"
"""The testcase of a run that ended early; no key has parentheses."""


def write_junit(result: RunResult) -> str:
    """Return the XML document: it has failures or errors if the exit status is 1 or 4.

    Not every reader shows an error of a testsuite, so a run that ended early is a testcase.
    """
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(root, "testsuite", {"name": result.file})
    for row in result.rows:
        suite.append(_build_testcase(row, result))
    if result.broken:
        suite.append(_build_broken_run(result, result.broken))
    suite.set("tests", str(len(suite)))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        count = len(suite.findall(f"testcase/{tag}"))
        suite.set(name, str(count))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _build_testcase(row: RowResult, result: RunResult) -> ElementTree.Element:
    figures = {
        **list_figures(row),
        "batchIds": " ".join(result.batch_ids),
        "jobIds": " ".join(failure.job_id for failure in row.failures),
    }
    case = _start_testcase(row.key, row.place.line, result, figures)
    _add_outcome(case, row, result)
    return case


def _build_broken_run(result: RunResult, reason: str) -> ElementTree.Element:
    case = _start_testcase(BROKEN_RUN, 1, result, {"batchIds": " ".join(result.batch_ids)})
    ElementTree.SubElement(case, "error", {"type": "broken", "message": reason})
    return case


def _start_testcase(
    name: str, line: int, result: RunResult, figures: JSONObject
) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        {
            "classname": result.file,
            "name": name,
            "file": result.file,
            "line": str(line),
            "time": "0",
        },
    )
    properties = ElementTree.SubElement(case, "properties")
    for name, value in figures.items():
        if value != "":
            attributes = {"name": name, "value": str(value)}
            ElementTree.SubElement(properties, "property", attributes)
    return case


def _add_outcome(case: ElementTree.Element, row: RowResult, result: RunResult) -> None:
    word, message = row.outcome.word, describe_row(row)
    weight = result.weigh_row(row)
    if row.outcome.case.quarantine:
        ElementTree.SubElement(case, "skipped", {"message": message})
    elif weight == "failed":
        attributes = {"type": FAILURE_TYPES.get(word, word), "message": message}
        failure = ElementTree.SubElement(case, "failure", attributes)
        failure.text = _describe_failures(row)
    elif weight == "broken":
        ElementTree.SubElement(case, "error", {"type": "undecided", "message": message})
    elif weight == "not settled":
        ElementTree.SubElement(case, "skipped", {"message": f"{weight}: {word}; {message}"})


def _describe_failures(row: RowResult) -> str:
    """Return remarks and turns; every line begins with our words."""
    lines = []
    for failure in row.failures:
        lines.append(f"test run {failure.job_id}: {failure.remarks}")
        for turn in failure.turns:
            lines.append(f"  turn {turn.number} {turn.role}: {turn.content}")
    return "\n".join(lines)

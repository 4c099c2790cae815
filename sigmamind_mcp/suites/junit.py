"""Write the result of a run as JUnit XML, one testcase for each case of the suite."""

from xml.etree import ElementTree

from sigmamind_mcp.suites.run_result import RowResult, RunResult, list_figures
from sigmamind_mcp.suites.run_text import describe_row

FAILURE_TYPES = {"worse": "regressed", "below its bar": "below bar"}
SKIPPED = {
    "suspect": "not settled: suspect",
    "open": "not settled: open",
}


def write_junit(result: RunResult) -> str:
    """Return the XML document."""
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(root, "testsuite", {"name": result.file})
    for row in result.rows:
        suite.append(_build_testcase(row, result))
    suite.set("tests", str(len(result.rows)))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        count = len(suite.findall(f"testcase/{tag}"))
        suite.set(name, str(count))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _build_testcase(row: RowResult, result: RunResult) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        {
            "classname": result.file,
            "name": row.key,
            "file": result.file,
            "line": str(row.place.line),
            "time": "0",
        },
    )
    properties = ElementTree.SubElement(case, "properties")
    figures = {
        **list_figures(row),
        "batchIds": " ".join(result.batch_ids),
        "jobIds": " ".join(failure.job_id for failure in row.failures),
    }
    for name, value in figures.items():
        if value != "":
            attributes = {"name": name, "value": str(value)}
            ElementTree.SubElement(properties, "property", attributes)
    _add_outcome(case, row)
    return case


def _add_outcome(case: ElementTree.Element, row: RowResult) -> None:
    word, message = row.outcome.word, describe_row(row)
    if row.outcome.case.quarantine:
        ElementTree.SubElement(case, "skipped", {"message": message})
    elif word == "undecided" or row.outcome.undecided:
        ElementTree.SubElement(case, "error", {"type": "undecided", "message": message})
    elif word in FAILURE_TYPES:
        attributes = {"type": FAILURE_TYPES[word], "message": message}
        failure = ElementTree.SubElement(case, "failure", attributes)
        failure.text = _describe_failures(row)
    elif word in SKIPPED:
        ElementTree.SubElement(case, "skipped", {"message": f"{SKIPPED[word]}; {message}"})


def _describe_failures(row: RowResult) -> str:
    """Return remarks and turns; every line begins with our words."""
    lines = []
    for failure in row.failures:
        lines.append(f"test run {failure.job_id}: {failure.remarks}")
        for turn in failure.turns:
            lines.append(f"  turn {turn.number} {turn.role}: {turn.content}")
    return "\n".join(lines)

"""Every output of a run, with hostile remarks, turns, roles and ids from others."""

import re
from random import Random
from xml.etree import ElementTree

import pytest

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.suites.gate import GateCase, Look, choose_status, judge_cases
from sigmamind_mcp.suites.github_output import LARGEST_SUMMARY, list_annotations, write_summary
from sigmamind_mcp.suites.junit import write_junit
from sigmamind_mcp.suites.run_result import RowResult, RunResult, build_failures
from sigmamind_mcp.suites.run_text import describe_row, list_result_lines
from sigmamind_mcp.suites.shown_text import disarm
from sigmamind_mcp.suites.yaml_tree import FilePlace

PIECES = (
    *(
        "::error::x",
        "\n::set-env name=PATH::x",
        "\n  ::add-mask::y",
        "\r::stop-commands::t",
        "##[error]",
    ),
    *(
        "\u2028::warning::z",
        "\x85::error::",
        "\x0b::debug::",
        "##\u200b[group]",
        "#\u200b#[",
        ":\u200b:error::",
    ),
    *(
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\x9b31m",
        "\x00",
        "\ud800",
        "\ufffe",
        "\u202e",
        "]]>",
        "<script>",
    ),
    *(
        "</details>",
        "|",
        "`",
        "&#58;&#58;error",
        "%0A::error::",
        "word",
        " ",
        "\t",
        "[x](javascript:1)",
    ),
)
TESTCASE_PARTS = ("properties", "failure", "error", "skipped")


def build_hostile_result(random: Random, cases: int = 3) -> RunResult:
    def text() -> str:
        return "".join(random.choices(PIECES, k=random.randint(1, 30)))

    gates = [
        GateCase("worse", 8, Counts(50, 50)),
        GateCase("bar", 8, Counts(0, 0), bar=0.9),
        GateCase("quarantined", 8, Counts(50, 50), quarantine=True),
        GateCase("undecided", 8, Counts(50, 50)),
    ]
    counts = {"worse": Counts(0, 8), "bar": Counts(0, 8), "quarantined": Counts(1, 8)}
    outcomes = judge_cases(gates, [Look(counts, {"undecided": 8})], planned=1)
    runs = [
        TestRun.read(
            {
                "jobId": text(),
                "remarks": text(),
                "isSuccessful": False,
                "conversation": [{"role": text(), "content": text()} for _ in range(4)],
            }
        )
        for _ in range(cases)
    ]
    rows = [RowResult(one, FilePlace(3, 1), build_failures(runs, mask=str)) for one in outcomes]
    status = choose_status(outcomes, allow_undecided=8)
    return RunResult(status, "suite.yaml", "agent_x", rows, ["batch_1"], 1, 1, 32, 32, [], None)


def find_commands(text: str) -> list[str]:
    """Return the lines that GitHub's runner would obey."""
    lines = re.split(r"\r\n|\r|\n|\x0b|\x0c|\x85|\u2028|\u2029", text)
    return [line for line in lines if line.strip().startswith("::") or "##[" in line]


def test_no_output_has_a_command_or_a_terminal_sequence(figures: list[str]) -> None:
    random = Random(8)
    for _ in range(200):
        result = build_hostile_result(random)
        report = "\n".join(disarm(line) for line in list_result_lines(result, 80))
        summary, junit = write_summary(result), write_junit(result)
        for output in (report, summary, junit):
            assert find_commands(output) == []
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]", output)
        annotations = list(list_annotations(result))
        assert len(annotations) == 4
        for annotation in annotations:
            assert re.match(
                r"::(error|warning|notice) file=suite\.yaml,line=3,title=[^:,\n]+::", annotation
            )
            assert len(annotation.splitlines()) == 1 and "##[" not in annotation
        assert "<script>" not in summary and summary.count("</details>") == summary.count(
            "<details>"
        )
        check_junit(junit)
    figures.append("suites: 200 hostile transcripts, 0 workflow commands, JUnit valid")


def check_junit(text: str) -> None:
    """Check the structure that JUnit's readers expect (Jenkins' junit-10.xsd, and pytest's form)."""
    root = ElementTree.fromstring(text.removeprefix('<?xml version="1.0" encoding="UTF-8"?>\n'))
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite" and {"name", "tests", "failures", "errors", "skipped"} == set(
        suite.attrib
    )
    assert int(suite.attrib["tests"]) == len(suite)
    for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert int(suite.attrib[count]) == len(suite.findall(f"testcase/{tag}"))
    for case in suite:
        assert case.tag == "testcase" and {"classname", "name", "time"} <= set(case.attrib)
        parts = [part.tag for part in case]
        assert parts[0] == "properties" and len(parts) <= 2 and set(parts) <= set(TESTCASE_PARTS)
        assert all(set(one.attrib) == {"name", "value"} for one in case[0])


def test_each_word_has_its_element() -> None:
    result = build_hostile_result(Random(1))
    root = ElementTree.fromstring(write_junit(result).split("\n", 1)[1])

    elements = {
        case.attrib["name"]: [part.tag for part in case][1:] for case in root.iter("testcase")
    }

    assert elements == {
        "worse": ["failure"],
        "bar": ["failure"],
        "quarantined": ["skipped"],
        # Its attempts are allowed, so it does not break the run.
        "undecided": ["skipped"],
    }
    failure = root.find(".//failure")
    assert failure is not None and failure.get("type") == "regressed"


def test_summary_stays_below_60_kb() -> None:
    summary = write_summary(build_hostile_result(Random(2), cases=400))

    assert len(summary.encode()) <= LARGEST_SUMMARY and "More is left out" in summary


@pytest.mark.parametrize(
    "line", ["::error::x", "  ::error::x", "\t::x", "a ##[error]x", "##[x", "a\n::error::b"]
)
def test_disarmed_line_is_no_command(line: str) -> None:
    assert find_commands(disarm(line)) == [] and find_commands(line) != []


@pytest.mark.parametrize(
    ("passed", "looks", "verdict"),
    [
        (8, 1, "NOT SETTLED: still open after 1 look: a."),
        (8, 4, "NOT SETTLED: still open after 4 looks: a."),
        (10, 4, "PASSED: no case is proven worse than its baseline or below its bar."),
    ],
)
def test_looks_that_a_case_had_are_named(passed: int, looks: int, verdict: str) -> None:
    case = GateCase("a", 10, Counts(0, 0), bar=0.9)
    made = [Look({"a": Counts(passed, 10)}, {"a": 0})] * looks
    outcomes = judge_cases([case], made, planned=4)
    rows = [RowResult(outcome, FilePlace(1, 1), []) for outcome in outcomes]
    status = choose_status(outcomes)
    result = RunResult(status, "suite.yaml", "agent_1", rows, [], looks, 4, 10 * looks, 100, [])

    assert result.write_verdict() == verdict
    shown = describe_row(rows[0])
    bar = "passed" if "PASSED" in verdict else "not decided"
    assert shown.endswith(f"%), bar 0.9: {bar}")
    assert shown.startswith(f"a: {outcomes[0].word} - {passed * looks}/{10 * looks} passed (")

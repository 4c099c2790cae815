"""Check the test cases of a suite before they cost money."""

from collections.abc import Sequence
from typing import NamedTuple

from sigmamind_mcp.api.models import Agent, TestCase
from sigmamind_mcp.insight.draft_checks import lint_against_agent, lint_draft
from sigmamind_mcp.insight.draft_rules import Finding
from sigmamind_mcp.insight.duplicate_cases import lint_against_cases
from sigmamind_mcp.suites.shown_text import name_for_file
from sigmamind_mcp.suites.stored_fields import read_stored
from sigmamind_mcp.suites.suite_file import Suite, SuiteCase


class PlacedFinding(NamedTuple):
    """A finding about a case of the file; `place` has file, line and column."""

    key: str
    place: str
    finding: Finding


def check_suite(
    suite: Suite,
    *,
    agent: Agent | None = None,
    stored: Sequence[TestCase] = (),
    linked: dict[str, TestCase] | None = None,
) -> list[PlacedFinding]:
    """Return what is found about each case, problems first.

    `linked` are the stored cases of the keys: they give the fields that the file leaves out.
    `stored` are all stored cases, to look for duplicates.
    """
    linked = linked or {}
    drafts = {}
    for key, case in suite.cases.items():
        drafts[key] = _build_draft(case, linked.get(key))
    own_ids = {case.test_case_id for case in linked.values()}
    others = [case for case in stored if case.test_case_id not in own_ids]
    compared = [*drafts.values(), *others]
    found = []
    for key, draft in drafts.items():
        findings = [*lint_draft(draft), *lint_against_cases(draft, compared)]
        if agent is not None:
            findings += lint_against_agent(draft, agent)
        known = {*suite.cases[key].fields, *read_stored(draft), "mockData"}
        for finding in findings:
            if finding.field in known:
                place = _locate_finding(suite, key, finding)
                found.append(PlacedFinding(key, place, finding))
    return sorted(found, key=lambda placed: placed.finding.severity != "problem")


def _build_draft(case: SuiteCase, stored: TestCase | None) -> TestCase:
    kept = read_stored(stored) if stored else {}
    # The key stands for the id, so that a duplicate is named by it.
    fields = {**kept, **case.fields, "testCaseId": case.key}
    return TestCase.read(fields)


def _locate_finding(suite: Suite, key: str, finding: Finding) -> str:
    return suite.name_place("cases", key, name_for_file(finding.field))

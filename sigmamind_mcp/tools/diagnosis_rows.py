"""The rows of a diagnosis, and their lines of text."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sigmamind_mcp.api.models import TestRun, Verdict
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import CaseResult, Outcome, get_case_id
from sigmamind_mcp.insight.near_values import find_near_mock
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import AnswerPart, one_line
from sigmamind_mcp.tools.parts import LABEL_CHARACTERS, truncate_line
from sigmamind_mcp.tools.quoted_exchanges import (
    CRITERIA_CHARACTERS,
    REMARKS_CHARACTERS,
    escape_heads,
)
from sigmamind_mcp.tools.unread_notes import NO_ID

if TYPE_CHECKING:
    from sigmamind_mcp.insight.definition_problems import DefinitionProblem
    from sigmamind_mcp.insight.evidence import SeparatingItem, Tally, TurnOfRun
    from sigmamind_mcp.insight.failure_groups import FailureGroup
    from sigmamind_mcp.insight.values_not_given import ValueNotGiven

EDIT_CHARACTERS = 120
ASKED_CHARACTERS = 140
CASES_NAMED = 3
JOBS_NAMED = 12
PLACES_NAMED = 2
SAID_CHARACTERS = 80

ITEM_WORDS = {
    "ending": "ended: {}",
    "criteria values": "{}",
    "mock value": "the agent says the mock value of {}",
    "go-aheads": "go-aheads of the user: {}",
    "length": "{}",
    "tool": "{}",
    "value": 'the agent says the value "{}"',
    "phrase": 'the agent says "{}"',
}
GROUP_WORDS = {
    "judge error": "the judge itself failed",
    "clause": "{}",
    "ending": "ended: {}",
    "separates": "{}",
    "never said": "{}",
    "test case": "of one test case, nothing else in common found",
    "nothing": "of different test cases, nothing in common found",
}


class CaseRow(AnswerPart):
    test_case_id: str | None = None
    label: str
    outcome: Outcome = Field(description="failing: none passed; flaky: some did.")
    passed: int
    decided: int
    undecided: int | None = None
    not_listed: int | None = None
    success_criteria: str | None = Field(default=None, description="If there is room for them.")

    @classmethod
    def of(cls, result: CaseResult, *, with_criteria: bool) -> "CaseRow":
        criteria = result.case.success_criteria if with_criteria else None
        return cls(
            test_case_id=valid_id(result.case.test_case_id),
            label=truncate_line(result.case.title, LABEL_CHARACTERS),
            outcome=result.outcome,
            passed=result.counts.passed,
            decided=result.counts.decided,
            undecided=result.undecided or None,
            not_listed=result.unlisted or None,
            success_criteria=truncate_line(criteria, CRITERIA_CHARACTERS) if criteria else None,
        )

    def line(self) -> str:
        undecided = f", {self.undecided} undecided" if self.undecided else ""
        not_listed = f", {self.not_listed} not listed" if self.not_listed else ""
        counts = f"{self.passed} of {self.decided} passed{undecided}{not_listed}"
        label = escape_heads(self.label)
        line = f"{self.test_case_id or NO_ID} {self.outcome}, {counts}: {label}"
        return f"{line} | criteria: {self.success_criteria}" if self.success_criteria else line


class ProblemRow(AnswerPart):
    kind: str
    says: str
    test_cases: list[str]
    more_test_cases: int | None = None
    field: str | None = None
    variable: str | None = None
    before: str | None = None
    after: str | None = None

    @classmethod
    def of(cls, problem: "DefinitionProblem") -> "ProblemRow":
        edit = problem.edit
        row = cls(
            kind=problem.kind,
            says=problem.says,
            test_cases=[case_id for case_id in problem.case_ids[:CASES_NAMED] if valid_id(case_id)],
            more_test_cases=max(0, len(problem.case_ids) - CASES_NAMED) or None,
        )
        if edit is not None:
            row.field = edit.field
            row.variable = edit.variable and truncate_line(edit.variable, LABEL_CHARACTERS)
            row.before = truncate_line(edit.before or "", EDIT_CHARACTERS)
            row.after = truncate_line(edit.after or "", EDIT_CHARACTERS)
        return row

    def line(self) -> str:
        more = f" and {self.more_test_cases} more" if self.more_test_cases else ""
        cases = f" ({', '.join(self.test_cases)}{more})"
        if self.field is None:
            return f"{self.says}{cases}"
        variable = f" {self.variable}" if self.variable else ""
        edit = f': before "{self.before}", then "{self.after}"'
        return f"{self.says}{variable}{edit}{cases}"


class SeparatingRow(AnswerPart):
    kind: str
    text: str = Field(description="As the example says it; other forms of its words count too.")
    failed: int = Field(description="Failed attempts with it, of failedOf.")
    failed_of: int
    passed: int
    passed_of: int
    p: float = Field(description="Corrected for all candidates.")
    too_few: bool | None = Field(default=None, description="True: too few attempts to tell.")
    job_id: str | None = None
    turn: int | None = None

    @classmethod
    def of(cls, found: "SeparatingItem", compared: tuple[int, int]) -> "SeparatingRow":
        separation = found.separation
        example = found.example
        return cls(
            kind=separation.item.kind,
            text=truncate_line(found.words, LABEL_CHARACTERS),
            failed=separation.with_it.failed,
            failed_of=compared[0],
            passed=separation.with_it.passed,
            passed_of=compared[1],
            p=round(separation.p, 3),
            too_few=None if found.is_proven else True,
            job_id=valid_id(example.run.job_id) if example else None,
            turn=example.turn if example else None,
        )

    def line(self) -> str:
        counts = _count_sharing(self.failed, self.failed_of, self.passed, self.passed_of)
        certainty = "too few to tell" if self.too_few else f"p {self.p:.2g}"
        words = describe_item(self.kind, self.text)
        return f"{words}: {counts} ({certainty}). {_name_place(self.job_id, self.turn)}"


class GroupRow(AnswerPart):
    number: int = Field(description="From 1; turnsWorthReading names it.")
    basis: str
    about: str | None = None
    failed: int
    failed_of: int
    passed: int | None = Field(default=None, description="Passed attempts that share it.")
    passed_of: int | None = None
    test_cases: dict[str, int] = Field(description="Its failed attempts by test case, most first.")
    more_test_cases: int | None = None
    job_ids: list[str] = Field(description=f"Its failed attempts, at most {JOBS_NAMED}.")
    remarks: str | None = Field(default=None, description="Of the first of them.")

    @classmethod
    def of(cls, number: int, group: "FailureGroup") -> "GroupRow":
        cases: Counter[str] = Counter()
        for run in group.runs:
            cases[valid_id(get_case_id(run)) or "-"] += 1
        about = truncate_line(group.about, ASKED_CHARACTERS) or None
        if about and group.basis == "clause":
            # Without its verdict, a clause that is not met reads as if it were.
            about = f"not met: {about}"
        if group.item:
            about = describe_item(group.item.kind, about)
        knows_passed = group.in_passed is not None
        return cls(
            number=number,
            basis=group.basis,
            about=None if group.basis in ("test case", "nothing") else about,
            failed=len(group.runs),
            failed_of=group.of_failed,
            passed=group.in_passed,
            passed_of=group.of_passed if knows_passed else None,
            test_cases=dict(cases.most_common(CASES_NAMED)),
            more_test_cases=max(0, len(cases) - CASES_NAMED) or None,
            job_ids=_list_job_ids(group.runs[:JOBS_NAMED]),
            remarks=truncate_line(group.runs[0].remarks or "", REMARKS_CHARACTERS) or None,
        )

    def line(self, *, names_jobs: bool = True, says_remarks: bool = True) -> str:
        counts = f"{self.number}) {self.failed} of {self.failed_of} failed"
        if self.passed is not None:
            counts += f", {self.passed} of {self.passed_of} passed"
        cases = ", ".join(f"{name} x{count}" for name, count in self.test_cases.items())
        if self.more_test_cases:
            cases += f" and {pluralize(self.more_test_cases, 'more test case')}"
        words = describe_group(self.basis, self.about)
        jobs = f" {', '.join(self.job_ids)}"
        if self.failed > len(self.job_ids):
            jobs += f" and {self.failed - len(self.job_ids)} more"
        jobs = f"{jobs}." if names_jobs else ""
        remarks = f" Remarks: {self.remarks or '(none)'}"
        if self.basis == "clause" or not says_remarks:
            remarks = ""
        return f"{counts}: {words} ({cases}).{jobs}{remarks}"


class DoubtRow(AnswerPart):
    kind: Literal["judge error"] = "judge error"
    job_id: str | None = None
    test_case_id: str | None = None
    verdict: Verdict
    remarks: str

    @classmethod
    def of(cls, run: TestRun) -> "DoubtRow":
        return cls(
            job_id=valid_id(run.job_id),
            test_case_id=valid_id(get_case_id(run)),
            verdict=run.verdict,
            remarks=truncate_line(run.remarks or "", ASKED_CHARACTERS),
        )

    def line(self) -> str:
        case = f" of {self.test_case_id}" if self.test_case_id else ""
        return f"{self.job_id or NO_ID}{case}, {self.verdict}: {self.remarks}"


class TallyRow(AnswerPart):
    kind: str
    failed: int
    failed_of: int
    passed: int
    passed_of: int
    job_id: str | None = None
    turn: int | None = None
    more_job_ids: list[str] = []

    @classmethod
    def of(cls, tally: "Tally", counts: tuple[int, int]) -> "TallyRow":
        places: list[TurnOfRun] = [*tally.failed, *tally.passed, *tally.undecided]
        others = [place.run for place in places[1 : PLACES_NAMED + 1]]
        return cls(
            kind=tally.kind,
            failed=len(tally.failed),
            failed_of=counts[0],
            passed=len(tally.passed),
            passed_of=counts[1],
            job_id=valid_id(places[0].run.job_id),
            turn=places[0].turn,
            more_job_ids=_list_job_ids(others),
        )

    def line(self) -> str:
        counts = _count_sharing(self.failed, self.failed_of, self.passed, self.passed_of)
        others = f"; also {', '.join(self.more_job_ids)}" if self.more_job_ids else ""
        return f"{self.kind}: {counts}. {_name_place(self.job_id, self.turn)}{others}"


class ValueRow(AnswerPart):
    """A value that the agent says in one attempt only, and that nobody gave it."""

    value: str
    verdict: Verdict
    job_id: str | None = None
    turn: int
    said: str | None = Field(default=None, description="The words around it.")
    near: str | None = Field(default=None, description="The mock value that is almost the same.")

    @classmethod
    def of(cls, found: "ValueNotGiven") -> "ValueRow":
        case = found.run.test_case
        near = found.near or (find_near_mock(found.value, case.mock_data) if case else None)
        return cls(
            value=truncate_line(found.value, LABEL_CHARACTERS),
            verdict=found.run.verdict,
            job_id=valid_id(found.run.job_id),
            turn=found.turn,
            said=_quote_around(found.content, found.value),
            near=truncate_line(f"{near.variable_name} {near.value}", LABEL_CHARACTERS)
            if near
            else None,
        )

    def describe(self) -> str:
        near = f" (mock data: {self.near})" if self.near else ""
        said = f': "{self.said}"' if self.said else ""
        place = f"{self.verdict} {_name_place(self.job_id, self.turn)}"
        return f"{self.value} in {place}{said}{near}"


def describe_item(kind: str, text: str | None) -> str:
    """Return what attempts have in common, in a few words."""
    return ITEM_WORDS[kind].format(text)


def describe_group(basis: str, about: str | None) -> str:
    """Return what the attempts of a group share, in a few words."""
    return GROUP_WORDS[basis].format(about or "")


def _count_sharing(failed: int, failed_of: int, passed: int, passed_of: int) -> str:
    return f"in {failed} of {failed_of} failed, {passed} of {passed_of} passed"


def _quote_around(text: str, value: str) -> str | None:
    """Return a value and the words around it, on one line; None if there are none."""
    before, found, after = one_line(text).partition(value)
    if not found or not (before or after):
        return None
    room = max(0, SAID_CHARACTERS - len(value)) // 2
    if len(before) > room:
        near = before[len(before) - room :]
        before = "…" + (near.partition(" ")[2] or near)
    if len(after) > room:
        near = after[:room]
        after = (near.rpartition(" ")[0] or near) + "…"
    return f"{before}{value}{after}"


def _list_job_ids(runs: Iterable[TestRun]) -> list[str]:
    """Return the valid ids of the runs."""
    return list(filter(None, (valid_id(run.job_id) for run in runs)))


def _name_place(job_id: str | None, turn: int | None) -> str:
    place = job_id or NO_ID
    return place if turn is None else f"{place} turn {turn}"

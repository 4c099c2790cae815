"""The answer of diagnose_batch_run: its sections, their caps, and its text."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from sigmamind_mcp.api.models import BatchRunState
from sigmamind_mcp.insight.near_values import MOST_VALUES
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import Answer, AnswerPart, Budgets, Rendered
from sigmamind_mcp.tools.diagnosis_rows import (
    JOBS_NAMED,
    CaseRow,
    DoubtRow,
    GroupRow,
    ProblemRow,
    SeparatingRow,
    TallyRow,
    ValueRow,
)
from sigmamind_mcp.tools.parts import Rate, format_percent
from sigmamind_mcp.tools.quoted_exchanges import QuoteRow, join_by_run

Section = Literal[
    "testCases",
    "definitionProblems",
    "separates",
    "groups",
    "turnsWorthReading",
    "doubtfulVerdicts",
    "testFaults",
    "hints",
]

SectionState = Literal["found", "none found", "not looked at"]

CAPS: dict[Section, int] = {
    "testCases": 20,
    "definitionProblems": 8,
    "separates": 11,  # 8, and 3 that are too few to tell
    "groups": 6,
    "turnsWorthReading": 24,  # test runs; the size of the answer allows fewer of long turns
    "doubtfulVerdicts": 5,
    "testFaults": 5,
    "hints": 5,
}
HEADINGS: dict[Section, str] = {
    "testCases": "Test cases that failed, worst first",
    "definitionProblems": "Definition problems",
    "separates": "What separates failed from passed attempts, within test cases",
    "groups": "Groups of failures",
    "turnsWorthReading": "Turns worth reading",
    "doubtfulVerdicts": "Verdicts of a judge that failed itself",
    "testFaults": "Faults of the test (unknown ids)",
    "hints": "Hints",
}

DIAGNOSIS_CHARACTERS = 16_000
DIAGNOSIS_TEXT_CHARACTERS = 8_000
SECTION_CHARACTERS = 25_000
_QUOTES_LEGEND = "U: user, A: agent, in brackets remarks; read_test_runs by verdict quotes the same"


class SectionCount(AnswerPart):
    section: Section
    state: SectionState
    found: int
    shown: int
    without: int | None = Field(
        default=None, description="Test runs looked at that have no turn to quote."
    )
    why: str | None = Field(default=None, description="Why it was not looked at, or not all.")

    @property
    def seen(self) -> int:
        """How many rows, or test runs, this answer covers."""
        return self.shown + (self.without or 0)

    def heading(self) -> str:
        name = HEADINGS[self.section]
        why = f" ({self.why})" if self.why else ""
        if self.state != "found":
            return f"{name}: {self.state}.{why}"
        # A test run has several turns: these are counted by test run.
        unit = ""
        if self.section == "turnsWorthReading":
            without = f", no quote of {self.without}" if self.without else ""
            unit = f" test runs{without}, by group; {_QUOTES_LEGEND}"
        return f"{name} ({self.shown} of {self.found}{unit}):{why}"


Row = CaseRow | ProblemRow | SeparatingRow | GroupRow | QuoteRow | DoubtRow | TallyRow


class DiagnosedBatchRun(Answer):
    """What failed in a batch run, what separates it from what passed, and where to look."""

    batch_id: str
    agent_id: str
    state: BatchRunState
    created: str | None = Field(default=None, description="The day, UTC.")
    rate: Rate
    undecided: int = Field(description="Attempts that show no verdict.")
    lowest: float | None = Field(default=None, description="Pass rate if all undecided failed.")
    highest: float | None = Field(default=None, description="Pass rate if all undecided passed.")
    undecided_in: dict[str, int] = Field(default={}, description="Undecided by test case.")
    undecided_job_ids: list[str] = Field(
        default=[], description=f"Of undecided attempts, at most {JOBS_NAMED}."
    )
    passing: int = Field(description="Test cases of which all decided attempts passed.")
    compared: str = Field(description="What the separating items were counted over.")
    sections: list[SectionCount]
    test_cases: list[CaseRow] = []
    definition_problems: list[ProblemRow] = []
    separates: list[SeparatingRow] = []
    groups: list[GroupRow] = Field(default=[], description="A clause's groups may overlap.")
    turns_worth_reading: list[QuoteRow] = []
    doubtful_verdicts: list[DoubtRow] = []
    test_faults: list[TallyRow] = []
    hints: list[TallyRow] = []
    values_not_given: list[ValueRow] = Field(
        default=[],
        description="Numbers, ids and names the agent says in one attempt, and neither prompt,"
        " test case, tool nor user gave.",
    )
    values_not_given_count: int | None = Field(
        default=None, description=f"Absent if not looked at; above {MOST_VALUES}, none is listed."
    )
    values_looked_at: int | None = Field(
        default=None, description="Attempts looked at for them, if not all."
    )
    uri: str

    def render(self) -> Rendered:
        created = f" of {self.created}" if self.created else ""
        batch_run = f"Batch run {self.batch_id}{created}, agent {self.agent_id}"
        is_short = any(note.reason == "not listed" for note in self.not_read)
        is_none_listed = is_short and not self.rate.decided and not self.undecided
        rate = "none listed" if is_none_listed else self.rate
        before = [f"{batch_run}, {self.state}: {rate}."]
        if self.undecided:
            before.append(self._describe_undecided())
        which = "decided attempt that is listed" if is_short else "decided attempt"
        before.append(f"{pluralize(self.passing, 'test case')} passed every {which}.")
        before.append(f"Compared: {self.compared}")
        data: list[str] = []
        rows = self.list_rows()
        for count in self.sections:
            if data and count.state == "found":
                data.append("")
            data.append(count.heading())
            if count.section == "turnsWorthReading":
                data += join_by_run(self.turns_worth_reading, QuoteRow.head)
            elif count.section == "groups":
                data += self._render_groups()
            else:
                data += [row.line() for row in rows[count.section]]
        if len(self.sections) > 1:
            data.append(self._describe_values())
        return Rendered(before, data, [f"Resource: {self.uri}"])

    def _render_groups(self) -> list[str]:
        """Return a line for each group; without what the quotes show of all of its runs."""
        quoted = {(row.group, row.job_id) for row in self.turns_worth_reading}
        are_said = any(row.remarks for row in self.turns_worth_reading)
        lines = []
        for group in self.groups:
            are_quoted = {(group.number, job_id) for job_id in group.job_ids} <= quoted
            has_all = are_quoted and len(group.job_ids) == group.failed
            lines.append(
                group.line(names_jobs=not has_all, says_remarks=not has_all or not are_said)
            )
        return lines

    def _describe_values(self) -> str:
        count = self.values_not_given_count
        found = "; ".join(row.describe() for row in self.values_not_given) or "none found"
        if count is None:
            found = "not looked at"
        elif count > MOST_VALUES:
            found = f"{count}, not listed: the agent has its data from elsewhere"
        part = ""
        if self.values_looked_at is not None:
            part = f" ({pluralize(self.values_looked_at, 'attempt')} looked at)"
        return f"Values said in one attempt that nobody gave{part}: {found}."

    def list_rows(self) -> Mapping[Section, Sequence[Row]]:
        """Return the rows of each section."""
        return {
            "testCases": self.test_cases,
            "definitionProblems": self.definition_problems,
            "separates": self.separates,
            "groups": self.groups,
            "turnsWorthReading": self.turns_worth_reading,
            "doubtfulVerdicts": self.doubtful_verdicts,
            "testFaults": self.test_faults,
            "hints": self.hints,
        }

    def choose_budgets(self) -> Budgets:
        if len(self.sections) > 1:
            return Budgets(DIAGNOSIS_CHARACTERS, DIAGNOSIS_TEXT_CHARACTERS)
        return Budgets(SECTION_CHARACTERS, SECTION_CHARACTERS)

    def _describe_undecided(self) -> str:
        line = f"{pluralize(self.undecided, 'attempt')} undecided"
        if self.lowest is not None and self.highest is not None:
            low, high = format_percent(self.lowest), format_percent(self.highest)
            line += f": {low} passed if all of them failed, {high} if all passed"
        cases = ", ".join(f"{name} x{count}" for name, count in self.undecided_in.items())
        line = f"{line}. They belong to {cases}" if cases else line
        ids = ", ".join(self.undecided_job_ids)
        more = self.undecided - len(self.undecided_job_ids)
        ids += f" and {more} more" if ids and more else ""
        return f"{line}: {ids}." if ids else f"{line}."

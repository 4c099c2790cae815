"""The answer of diagnose_batch_run: its sections, their caps, and its text."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from sigmamind_mcp.api.models import BatchRunState, TestRun, Verdict
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import CaseResult, Outcome, Quote, get_case_id
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import Answer, AnswerPart, Rendered
from sigmamind_mcp.tools.parts import (
    LABEL_CHARACTERS,
    Rate,
    format_percent,
    truncate_line,
)
from sigmamind_mcp.tools.unread_notes import NO_ID
from sigmamind_mcp.untrusted_text import clean

if TYPE_CHECKING:
    from sigmamind_mcp.insight.definition_problems import DefinitionProblem
    from sigmamind_mcp.insight.evidence import RunToRead, SeparatingItem, Tally, TurnOfRun
    from sigmamind_mcp.insight.failure_groups import FailureGroup
    from sigmamind_mcp.insight.values_not_given import ValueNotGiven

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
EDIT_CHARACTERS = 120
ASKED_CHARACTERS = 140
REMARKS_CHARACTERS = 100
CASES_NAMED = 3
JOBS_NAMED = 12
PLACES_NAMED = 2
MOST_VALUES = 8

_HEAD_IN_LINE = re.compile(r"(?<!\S)(?=\|(?!\S)|\d+ A:|U:)")

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

    @classmethod
    def of(cls, result: CaseResult) -> "CaseRow":
        return cls(
            test_case_id=valid_id(result.case.test_case_id),
            label=truncate_line(result.case.title, LABEL_CHARACTERS),
            outcome=result.outcome,
            passed=result.counts.passed,
            decided=result.counts.decided,
            undecided=result.undecided or None,
        )

    def line(self) -> str:
        undecided = f", {self.undecided} undecided" if self.undecided else ""
        counts = f"{self.passed} of {self.decided} passed{undecided}"
        return f"{self.test_case_id or NO_ID} {self.outcome}, {counts}: {self.label}"


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

    def line(self, *, names_jobs: bool = True) -> str:
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
        remarks = "" if self.basis == "clause" else f" Remarks: {self.remarks or '(none)'}"
        return f"{counts}: {words} ({cases}).{jobs}{remarks}"


class QuotedExchange(AnswerPart):
    """A turn of the agent, and what the user said before it."""

    job_id: str | None = None
    turn: int = Field(description="Of the agent.")
    user: str | None = Field(default=None, description="What the user said before it.")
    content: str

    def line(self) -> str:
        user = f"U: {_escape_heads(self.user)} " if self.user else ""
        return f"{user}{self.turn} A: {_escape_heads(self.content)}"


def _escape_heads(text: str) -> str:
    """Escape what looks like the start of another turn on the same line."""
    return _HEAD_IN_LINE.sub(r"\\", clean(text))


class ExchangeWords(NamedTuple):
    """The words of an exchange, shortened."""

    user: str | None
    content: str

    @classmethod
    def of(cls, run: TestRun, quote: Quote, characters: int) -> "ExchangeWords":
        from sigmamind_mcp.insight.key_turns import find_question  # patterns take time to compile

        turns = run.conversation or []
        asked = find_question(turns, quote.number)
        user = truncate_line(turns[asked - 1].content, characters // 2) if asked else None
        return cls(user, truncate_line(quote.turn.summarize(), characters))


class QuoteRow(QuotedExchange):
    group: int | None = Field(
        default=None, description="Its number; absent of a passed run of the last test case."
    )
    why: str

    @classmethod
    def of(cls, run: TestRun, quote: Quote, group: int | None, characters: int) -> "QuoteRow":
        return cls(
            job_id=valid_id(run.job_id),
            group=group,
            turn=quote.number,
            why=quote.why,
            **ExchangeWords.of(run, quote, characters)._asdict(),
        )


def render_quotes(rows: Sequence[QuoteRow]) -> list[str]:
    """Return a line for each test run, with its quotes."""
    quotes: dict[tuple[str | None, int | None], list[QuoteRow]] = defaultdict(list)
    for row in rows:
        quotes[row.job_id, row.group].append(row)
    lines = []
    for (job_id, group), its_rows in quotes.items():
        head = f"{group})" if group else "passed:"
        said = " | ".join(row.line() for row in its_rows)
        lines.append(f"{head} {job_id or NO_ID} {said}")
    return lines


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
    def of(cls, tally: "Tally[Any]", counts: tuple[int, int]) -> "TallyRow":
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

    @classmethod
    def of(cls, found: "ValueNotGiven") -> "ValueRow":
        return cls(
            value=truncate_line(found.value, LABEL_CHARACTERS),
            verdict=found.run.verdict,
            job_id=valid_id(found.run.job_id),
            turn=found.turn,
        )

    def describe(self) -> str:
        return f"{self.value} in {self.verdict} {_name_place(self.job_id, self.turn)}"


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
            have_none = f", {self.without} have none" if self.without else ""
            unit = f" test runs{have_none}, by group; U: user, A: agent"
        return f"{name} ({self.shown} of {self.found}{unit}):{why}"


Row = CaseRow | ProblemRow | SeparatingRow | GroupRow | QuoteRow | DoubtRow | TallyRow


class DiagnosedBatchRun(Answer):
    """What failed in a batch run, what separates it from what passed, and where to look."""

    batch_id: str
    agent_id: str
    state: BatchRunState
    rate: Rate
    undecided: int = Field(description="Attempts that show no verdict.")
    lowest: float | None = Field(default=None, description="Pass rate if all undecided failed.")
    highest: float | None = Field(default=None, description="Pass rate if all undecided passed.")
    undecided_in: dict[str, int] = Field(default={}, description="Undecided by test case.")
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
        description="Numbers and ids that the agent says in one attempt, and neither its prompt,"
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
        before = [f"Batch run {self.batch_id} of agent {self.agent_id}, {self.state}: {self.rate}."]
        if self.undecided:
            before.append(self._describe_undecided())
        before.append(f"{pluralize(self.passing, 'test case')} passed every decided attempt.")
        before.append(f"Compared: {self.compared}")
        data: list[str] = []
        rows = self.list_rows()
        for count in self.sections:
            if data and count.state == "found":
                data.append("")
            data.append(count.heading())
            if count.section == "turnsWorthReading":
                data += render_quotes(self.turns_worth_reading)
            elif count.section == "groups":
                data += self._render_groups()
            else:
                data += [row.line() for row in rows[count.section]]
        if len(self.sections) > 1:
            data.append(self._describe_values())
        return Rendered(before, data, [f"Resource: {self.uri}"])

    def _render_groups(self) -> list[str]:
        """Return a line for each group; without job ids if the quotes show all of its runs."""
        quoted = {(row.group, row.job_id) for row in self.turns_worth_reading}
        lines = []
        for group in self.groups:
            are_quoted = {(group.number, job_id) for job_id in group.job_ids} <= quoted
            has_all = are_quoted and len(group.job_ids) == group.failed
            lines.append(group.line(names_jobs=not has_all))
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

    @property
    def character_limit(self) -> int:
        is_whole = len(self.sections) > 1
        return DIAGNOSIS_CHARACTERS if is_whole else SECTION_CHARACTERS

    @property
    def text_limit(self) -> int:
        is_whole = len(self.sections) > 1
        return DIAGNOSIS_TEXT_CHARACTERS if is_whole else SECTION_CHARACTERS

    def _describe_undecided(self) -> str:
        line = f"{pluralize(self.undecided, 'attempt')} undecided"
        if self.lowest is not None and self.highest is not None:
            low, high = format_percent(self.lowest), format_percent(self.highest)
            line += f": {low} passed if all of them failed, {high} if all passed"
        cases = ", ".join(f"{name} x{count}" for name, count in self.undecided_in.items())
        return f"{line}. They belong to {cases}." if cases else f"{line}."


def describe_item(kind: str, text: str | None) -> str:
    """Return what attempts have in common, in a few words."""
    return ITEM_WORDS[kind].format(text)


def describe_group(basis: str, about: str | None) -> str:
    """Return what the attempts of a group share, in a few words."""
    return GROUP_WORDS[basis].format(about or "")


def list_quotes(
    runs: Sequence["RunToRead"], *, per_run: int, characters: int, skip: int = 0, limit: int
) -> list[QuoteRow]:
    """Return the first quotes of `limit` runs by group, and of a passed run of each test case."""
    shown = sorted(runs[skip : skip + limit], key=lambda one: (one.group, get_case_id(one.run)))
    rows: list[QuoteRow] = []
    for place, one in enumerate(shown):
        for quote in sorted(one.quotes[:per_run]):
            rows.append(QuoteRow.of(one.run, quote, one.group, characters))
        case_id = get_case_id(one.run)
        if case_id not in map(get_case_id, (later.run for later in shown[place + 1 :])):
            rows += _quote_passed(one, per_run, characters)
    return rows


def _quote_passed(one: "RunToRead", per_run: int, characters: int) -> list[QuoteRow]:
    picked = one.pick_passed()
    if picked is None:
        return []
    turns = picked.run.conversation or []
    rows = []
    for exchange in sorted(picked.exchanges[:per_run]):
        quote = Quote(exchange.agent, turns[exchange.agent - 1], "tells most")
        rows.append(QuoteRow.of(picked.run, quote, None, characters))
    return rows


def _count_sharing(failed: int, failed_of: int, passed: int, passed_of: int) -> str:
    return f"in {failed} of {failed_of} failed, {passed} of {passed_of} passed"


def _list_job_ids(runs: Iterable[TestRun]) -> list[str]:
    """Return the valid ids of the runs."""
    return list(filter(None, (valid_id(run.job_id) for run in runs)))


def _name_place(job_id: str | None, turn: int | None) -> str:
    place = job_id or NO_ID
    return place if turn is None else f"{place} turn {turn}"

"""Fit a diagnosis into its budget: sections in order, each with as many rows as there is room."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from sigmamind_mcp.api.models import BatchRun, BatchRunState
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import CaseResult, separate_unlisted
from sigmamind_mcp.insight.intervals import bound_rate
from sigmamind_mcp.insight.near_values import MOST_VALUES
from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import CallArguments, Link, NextCall, explain_past_end, format_day
from sigmamind_mcp.tools.arguments import Continued
from sigmamind_mcp.tools.batch_runs import STATES_EXPLAINED
from sigmamind_mcp.tools.diagnosis_answer import (
    CAPS,
    DiagnosedBatchRun,
    Row,
    Section,
    SectionCount,
    SectionState,
)
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
from sigmamind_mcp.tools.known_definitions import FoundProblems
from sigmamind_mcp.tools.parts import Rate
from sigmamind_mcp.tools.quoted_exchanges import list_quotes
from sigmamind_mcp.tools.unread_notes import NotRead
from sigmamind_mcp.uris import uri_of

if TYPE_CHECKING:
    from sigmamind_mcp.insight.contrast import Contrast
    from sigmamind_mcp.insight.evidence import Evidence, RunToRead, Tally
    from sigmamind_mcp.insight.said_items import Item
    from sigmamind_mcp.insight.values_not_given import FoundValues

SECTION_ROWS = 60
FEW_RUNS = 6
SHRINK_FIRST: dict[Section, int] = {
    "testCases": 10,
    "turnsWorthReading": 6,
    "definitionProblems": 4,
}
"""The sections that lose rows first, in this order, and how many they keep."""
FEWER_RUNS = (6, 7, 10, 15)
UNDECIDED_CASES = 5


class QuoteSize(NamedTuple):
    """How many turns of a test run are quoted, and how much of each.

    If `are_passed_brief`, passed runs show one turn of the agent, without the user's before it.
    """

    per_run: int
    characters: int
    are_passed_brief: bool = False


class Form(NamedTuple):
    """How much is shown of quotes, and whether criteria and remarks are shown with them."""

    quotes: QuoteSize
    shows_criteria_and_remarks: bool = False


FORMS = (
    Form(QuoteSize(3, 240), shows_criteria_and_remarks=True),
    Form(QuoteSize(3, 240)),
    Form(QuoteSize(2, 240), shows_criteria_and_remarks=True),
    # Criteria say what is expected in fewer words than a passed run.
    Form(QuoteSize(2, 240, are_passed_brief=True), shows_criteria_and_remarks=True),
    Form(QuoteSize(2, 240)),
    Form(QuoteSize(2, 180)),
    Form(QuoteSize(2, 140)),
    Form(QuoteSize(2, 140, are_passed_brief=True)),
    Form(QuoteSize(1, 240), shows_criteria_and_remarks=True),
    Form(QuoteSize(1, 240)),
    Form(QuoteSize(1, 140)),
)
FORM_OF_MANY = 2
"""The first form where many test runs failed."""
FORM_OF_SECTION = Form(QuoteSize(4, 240), shows_criteria_and_remarks=True)


@dataclass(frozen=True)
class Diagnosis:
    """Everything that an answer is built from."""

    args: Continued
    agent_id: str
    batch_id: str
    section: Section | None
    is_of_job_ids: bool
    batch_run: BatchRun
    state: BatchRunState
    counts: Counts
    read_counts: Counts
    results: list[CaseResult]
    run_count: int
    undecided_ids: list[str]
    problems: FoundProblems
    evidence: "Evidence"
    values: "FoundValues | None"


class _SectionRows(NamedTuple):
    """How many rows a section has, and a function that returns those from one on."""

    found: int
    list_rows: Callable[[int, int], Sequence[Row]]
    is_looked_at: bool = True
    why: str | None = None

    @property
    def state(self) -> SectionState:
        if not self.is_looked_at:
            return "not looked at"
        return "found" if self.found else "none found"


def fit_diagnosis(diagnosis: Diagnosis, start: int, notes: Sequence[NotRead]) -> DiagnosedBatchRun:
    """Build the answer with as many rows of each section as fit."""
    uncounted = (diagnosis.batch_run.decided_attempts or 0) - diagnosis.run_count
    if uncounted > 0 and not diagnosis.is_of_job_ids:
        diagnosis = replace(diagnosis, results=separate_unlisted(diagnosis.results))
        if not any(note.reason == "not listed" for note in notes):
            notes = [*notes, NotRead(kind="test run", reason="not listed", count=uncounted)]
    if diagnosis.section:
        return _fit_section(diagnosis, diagnosis.section, start, notes)
    caps = dict(CAPS)
    are_few = len(diagnosis.evidence.worth_reading) <= FEW_RUNS
    for form in FORMS if are_few else FORMS[FORM_OF_MANY:]:
        answer, fits = _try_caps(diagnosis, caps, form, notes)
        if fits:
            return answer
    while not fits and max(caps.values()) > 1:
        caps[_choose_longest(caps)] -= 1
        answer, fits = _try_caps(diagnosis, caps, form, notes)
    return answer


def _try_caps(
    diagnosis: Diagnosis, caps: dict[Section, int], form: Form, notes: Sequence[NotRead]
) -> tuple[DiagnosedBatchRun, bool]:
    """Build an answer with so many rows, and return whether it fits; else it may have fewer."""
    # Each further run takes time to quote, so what does not fit with few runs ends there.
    most = min(caps["turnsWorthReading"], len(diagnosis.evidence.worth_reading))
    for count in (*takewhile(most.__gt__, FEWER_RUNS), most):
        fewer = {**caps, "turnsWorthReading": count}
        answer = _build_diagnosis(diagnosis, fewer, start=0, form=form, notes=notes)
        if not answer.fits():
            return answer, False
    return answer, True


def _choose_longest(caps: dict[Section, int]) -> Section:
    """Return the section that loses a row next."""
    for name, least in SHRINK_FIRST.items():
        if caps[name] > least:
            return name
    return max(caps, key=lambda name: caps[name])


def _fit_section(
    diagnosis: Diagnosis, section: Section, start: int, notes: Sequence[NotRead]
) -> DiagnosedBatchRun:
    count = SECTION_ROWS
    while True:
        answer = _build_diagnosis(
            diagnosis, {section: count}, start=start, form=FORM_OF_SECTION, notes=notes
        )
        if count == 1 or answer.fits():
            return answer
        count = max(1, count * 3 // 4)


def _list_sections(diagnosis: Diagnosis, form: Form) -> dict[Section, _SectionRows]:
    """Return the rows of each section; each function takes the first row and the limit."""
    evidence = diagnosis.evidence
    failing = [result for result in diagnosis.results if result.outcome != "passing"]
    compared = (evidence.contrast.compared.failed, evidence.contrast.compared.passed)
    read = diagnosis.read_counts
    verdicts = (read.decided - read.passed, read.passed)
    is_read = bool(evidence.read)
    why_unread = _explain_reading(diagnosis)
    lacks = _explain_contrast(evidence.contrast)

    def slice_of(
        items: Sequence[Any],
        build: Callable[..., Row],
        *,
        is_looked_at: bool = is_read,
        why: str | None = why_unread,
    ) -> _SectionRows:
        def list_rows(start: int, limit: int) -> list[Row]:
            return [build(item) for item in items[start : start + limit]]

        return _SectionRows(len(items), list_rows, is_looked_at, why)

    def list_turns(start: int, limit: int) -> Sequence[Row]:
        return list_quotes(
            evidence.worth_reading,
            **form.quotes._asdict(),
            with_remarks=form.shows_criteria_and_remarks,
            skip=start,
            limit=limit,
        )

    def build_tally(tally: "Tally") -> Row:
        return TallyRow.of(tally, verdicts)

    numbered = list(enumerate(evidence.groups, start=1))
    problems = diagnosis.problems
    missing = ", ".join(problems.not_read)
    return {
        "testCases": slice_of(
            failing,
            partial(CaseRow.of, with_criteria=form.shows_criteria_and_remarks),
            is_looked_at=True,
            why=None,
        ),
        "definitionProblems": slice_of(
            problems.problems,
            ProblemRow.of,
            is_looked_at=problems.is_looked_at,
            why=f"not read: {missing}" if missing else None,
        ),
        "separates": slice_of(
            evidence.separating,
            lambda found: SeparatingRow.of(found, compared),
            is_looked_at=is_read and not lacks,
            why=lacks or why_unread,
        ),
        "groups": slice_of(numbered, lambda group: GroupRow.of(*group)),
        "turnsWorthReading": _SectionRows(
            len(evidence.worth_reading), list_turns, is_read, why_unread
        ),
        "doubtfulVerdicts": slice_of(evidence.doubtful, DoubtRow.of),
        "testFaults": slice_of(evidence.faults, build_tally),
        "hints": slice_of(evidence.hints, build_tally),
    }


def _explain_reading(diagnosis: Diagnosis) -> str | None:
    """Say how many transcripts are missing, if any is."""
    lacking = diagnosis.run_count - len(diagnosis.evidence.read)
    if not lacking:
        return None
    cause = " in the time of one call" if diagnosis.evidence.is_cut else ""
    return f"{pluralize(lacking, 'transcript')} of {diagnosis.run_count} not read{cause}"


def _explain_contrast(contrast: "Contrast[Item]") -> str | None:
    """Say why failed and passed attempts were not compared; None if they were."""
    if not contrast.case_count:
        return "no test case both passed and failed"
    return None if contrast.is_tested else "too little time was left"


def _build_diagnosis(
    diagnosis: Diagnosis,
    caps: dict[Section, int],
    *,
    start: int,
    form: Form,
    notes: Sequence[NotRead],
) -> DiagnosedBatchRun:
    sections = _list_sections(diagnosis, form)
    rows: dict[Section, Any] = {}
    counts = []
    past_end = None
    for name, limit in caps.items():
        section = sections[name]
        past_end = explain_past_end(start, section.found, "row")
        rows[name] = section.list_rows(start, limit)
        counts.append(_count_section(name, section, rows[name]))
        if name == "turnsWorthReading":
            _count_quoted(counts[-1], diagnosis.evidence.worth_reading[start : start + limit])
    undecided = sum(result.undecided for result in diagnosis.results)
    bounds = bound_rate(diagnosis.counts, undecided)
    answer = DiagnosedBatchRun(
        batch_id=diagnosis.batch_id,
        agent_id=diagnosis.agent_id,
        state=diagnosis.state,
        created=format_day(diagnosis.batch_run.created_date),
        rate=Rate.of(diagnosis.counts),
        undecided=undecided,
        lowest=round(bounds.low, 3) if undecided else None,
        highest=round(bounds.high, 3) if undecided else None,
        undecided_in=_list_undecided(diagnosis.results),
        undecided_job_ids=diagnosis.undecided_ids[:JOBS_NAMED],
        passing=sum(result.outcome == "passing" for result in diagnosis.results),
        compared=_describe_comparison(diagnosis),
        sections=counts,
        test_cases=rows.get("testCases", []),
        definition_problems=rows.get("definitionProblems", []),
        separates=rows.get("separates", []),
        groups=rows.get("groups", []),
        turns_worth_reading=rows.get("turnsWorthReading", []),
        doubtful_verdicts=rows.get("doubtfulVerdicts", []),
        test_faults=rows.get("testFaults", []),
        hints=rows.get("hints", []),
        **_list_values(diagnosis),
        uri=uri_of("batch-run", agentId=diagnosis.agent_id, batchId=diagnosis.batch_id),
        hint=past_end or _explain_state_and_counts(diagnosis),
    )
    answer.next_calls = _list_further_calls(answer, diagnosis, start)
    answer.add_notes(notes)
    return answer.add_links(Link(answer.uri, f"Batch run {diagnosis.batch_id}", "application/json"))


def _list_values(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the fields for values that nobody gave; none of many, and none for one section."""
    found = diagnosis.values
    if diagnosis.section or found is None or not found.run_count:
        return {}
    count = len(found.values)
    rows = list(map(ValueRow.of, found.values)) if count <= MOST_VALUES else []
    is_all = found.run_count == diagnosis.run_count
    return {
        "values_not_given": rows,
        "values_not_given_count": count,
        "values_looked_at": None if is_all else found.run_count,
    }


def _count_section(name: Section, section: _SectionRows, rows: Sequence[Row]) -> SectionCount:
    return SectionCount(
        section=name, state=section.state, found=section.found, shown=len(rows), why=section.why
    )


def _count_quoted(count: SectionCount, looked_at: Sequence["RunToRead"]) -> None:
    """Count test runs, not quotes, and those that say only what passed ones say."""
    count.shown = sum(bool(run.quotes) for run in looked_at)
    count.without = len(looked_at) - count.shown or None


def _list_undecided(results: Sequence[CaseResult]) -> dict[str, int]:
    """Return how many undecided attempts the test cases with most of them have."""
    most_first = sorted(results, key=lambda result: -result.undecided)
    undecided = {}
    for result in most_first[:UNDECIDED_CASES]:
        if result.undecided:
            undecided[valid_id(result.case.test_case_id) or "-"] = result.undecided
    return undecided


def _describe_comparison(diagnosis: Diagnosis) -> str:
    contrast = diagnosis.evidence.contrast
    compared = contrast.compared
    count = len(diagnosis.evidence.read)
    read = pluralize(count, "transcript")
    if count < diagnosis.run_count:
        read = f"{count} of {pluralize(diagnosis.run_count, 'transcript')}"
    cases = pluralize(contrast.case_count, "test case")
    candidates = pluralize(contrast.item_count, "candidate")
    return (
        f"{read} read; {compared.failed} failed and {compared.passed} passed attempts of"
        f" {cases} with both verdicts, {candidates}."
    )


def _explain_state_and_counts(diagnosis: Diagnosis) -> str | None:
    hints = filter(None, [_compare_counters(diagnosis), STATES_EXPLAINED.get(diagnosis.state)])
    return " ".join(hints) or None


def _compare_counters(diagnosis: Diagnosis) -> str | None:
    passed = diagnosis.batch_run.successful_attempts
    failed = diagnosis.batch_run.failed_attempts
    if passed is None or failed is None:
        return None
    counters = Counts(passed, passed + failed)
    if counters == diagnosis.counts:
        return None
    source = "the given jobIds" if diagnosis.is_of_job_ids else "the listed test runs"
    return (
        f"These counts are of {source}; the batch run's own counters say {counters.passed} of"
        f" {counters.decided} decided passed."
    )


def _list_further_calls(
    answer: DiagnosedBatchRun, diagnosis: Diagnosis, start: int
) -> list[NextCall]:
    here: CallArguments = {"agentId": answer.agent_id, "batchId": answer.batch_id}
    calls = []
    quoted = [count for count in answer.sections if count.section == "turnsWorthReading"]
    is_left = quoted and quoted[0].shown < quoted[0].found
    if is_left and len(answer.sections) > 1 and not diagnosis.is_of_job_ids:
        failed: CallArguments = {**here, "verdict": "failed"}
        calls.append(NextCall(tool="read_test_runs", arguments=failed))
    spoken = _find_proven_words(answer)
    if spoken:
        search: CallArguments = {"agentId": answer.agent_id, "text": spoken}
        calls.append(NextCall(tool="search_test_runs", arguments=search))
    calls += _continue_sections(answer, diagnosis, start)
    if answer.state == "running":
        calls.append(NextCall(tool="wait_for_batch_run", arguments=here))
    return calls


def _find_proven_words(answer: DiagnosedBatchRun) -> str | None:
    """Return the first words or value that are proven to separate failed from passed."""
    for row in answer.separates:
        if row.kind in ("phrase", "value") and not row.too_few:
            return row.text
    return None


def _continue_sections(
    answer: DiagnosedBatchRun, diagnosis: Diagnosis, start: int
) -> list[NextCall]:
    """Make the calls that show the rows that this answer has no room for."""
    calls = []
    is_single = len(answer.sections) == 1
    for count in answer.sections:
        seen = start + count.seen
        is_covered = count.section == "turnsWorthReading" and not is_single
        if count.state != "found" or seen >= count.found or is_covered:
            continue
        further: CallArguments = {**diagnosis.args.repeat(), "section": count.section}
        if is_single and count.seen:
            further = diagnosis.args.continue_at(row=seen)
        calls.append(NextCall(tool="diagnose_batch_run", arguments=further))
        if diagnosis.is_of_job_ids:
            break  # a hundred ids in each call would take the place of the rows
    return calls

"""Check test cases: drafts before they are stored and cost money, and stored ones."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

import anyio.to_thread
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.listings import Listing
from sigmamind_mcp.api.models import LARGEST_COUNT, Agent, TestCase
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import (
    InvalidArguments,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    SigmaMindError,
)
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.remembered_texts import forgetting_texts
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.answers import Answer, AnswerPart, Rendered, one_line
from sigmamind_mcp.tools.argument_forms import NotBlank, NotBool, ValueAsText, list_of
from sigmamind_mcp.tools.arguments import (
    MAX_TEXT,
    AnsweringAgentId,
    Arguments,
    ForAgent,
    TestCaseId,
    hide_default,
)
from sigmamind_mcp.tools.unread_notes import NotRead, note_listing, note_record

if TYPE_CHECKING:
    from sigmamind_mcp.insight.draft_rules import Finding

VARIABLES_CHECK = "mock data against the agent's variables"
WRITABLE = ("label", "llmModel", "mockData", "userPrompt", "attempt", "successCriteria")
CHECKED_WHERE_SHOWN = ("userPrompt", "successCriteria", "mockData", "attempt")

logger = logging.getLogger(__name__)

# What the API's pages say of these parameters.
PROMPT_FACTS = (
    "Persona and intent of the simulated user ('You are…'); drives all the user's messages."
)
CRITERIA_FACTS = "What a successful agent does, in plain language: all that a run is judged by."
LABEL_FACTS = "Name in reports and dashboards."
MODEL_FACTS = (
    "LLM of the agent's responses, such as gpt-5.2. For OpenAI's priority tier append '-fast-tier'."
)
MOCK_DATA_FACTS = (
    "Variables (between {{ }}) that replace real external data during the whole simulation."
)
UNLESS_STORED = "Needed without testCaseId."
MOCK_ENTRIES = "{variableName, value}"

Prose = Annotated[str, Field(max_length=MAX_TEXT, pattern=r"\S")]


class MockEntry(Arguments):
    variable_name: Annotated[str, Field(min_length=1)]
    value: Annotated[str, ValueAsText]


Attempts = Annotated[
    int,
    Field(
        ge=1,
        le=LARGEST_COUNT,
        description="Independent simulations in each batch run.",
        json_schema_extra=hide_default,
    ),
    NotBool,
]


class DraftArguments(ForAgent):
    """Holds the fields of a test case that does not exist yet."""

    agent_id: AnsweringAgentId
    user_prompt: Annotated[Prose, Field(description=PROMPT_FACTS)]
    success_criteria: Annotated[Prose, Field(description=CRITERIA_FACTS)]
    label: Annotated[str, Field(max_length=256, description=LABEL_FACTS), NotBlank] = ""
    llm_model: Annotated[str, Field(description=MODEL_FACTS), NotBlank] = ""
    mock_data: Annotated[
        list[MockEntry], Field(max_length=100, description=MOCK_DATA_FACTS), list_of(MOCK_ENTRIES)
    ] = []
    attempt: Annotated[
        int,
        # Only a sanity limit: the confirmation of a launch guards its cost.
        Field(
            ge=1,
            le=LARGEST_COUNT,
            description="Independent simulations in each batch run; each costs model calls.",
        ),
        NotBool,
    ] = 1


class CheckTestCase(DraftArguments):
    test_case_id: Annotated[
        TestCaseId,
        Field(description="A stored test case; checked with the other arguments in it."),
    ] = ""
    user_prompt: Annotated[Prose, Field(description=f"{PROMPT_FACTS} {UNLESS_STORED}")] = ""
    success_criteria: Annotated[Prose, Field(description=f"{CRITERIA_FACTS} {UNLESS_STORED}")] = ""
    attempt: Attempts = 1


class FindingShown(AnswerPart):
    field: str
    severity: Literal["problem", "advice"] = Field(
        description="'problem' will cost runs; 'advice' may."
    )
    reason: str
    suggestion: str
    quotes: list[str] = Field(default=[], description="The words that it is about.")
    language_bound: bool | None = Field(
        default=None, description="True when the check knows English only."
    )

    @classmethod
    def of(cls, finding: "Finding") -> Self:
        return cls(
            field=finding.field,
            severity=finding.severity,
            reason=finding.reason,
            suggestion=finding.suggestion,
            quotes=list(map(one_line, finding.quotes)),
            language_bound=finding.language_bound or None,
        )

    def line(self) -> str:
        return f"{self.severity}, {self.field}: {self.reason} {self.suggestion}"


def list_finding_lines(findings: Sequence[FindingShown]) -> list[str]:
    """Return a numbered line for each finding, in our words."""
    lines = []
    for number, finding in enumerate(findings, 1):
        lines.append(f"{number}. {finding.line()}")
    return lines


def list_quote_lines(findings: Sequence[FindingShown]) -> list[str]:
    """Return the words that the findings are about, for the fence."""
    lines = []
    for number, finding in enumerate(findings, 1):
        if finding.quotes:
            words = " | ".join(finding.quotes)
            lines.append(f"words of finding {number}: {words}")
    return lines


class CheckedTestCase(Answer):
    """What may go wrong with a draft, or with a stored test case."""

    agent_id: str
    test_case_id: str | None = Field(default=None, description="The stored test case, if any.")
    findings: list[FindingShown] = Field(description="Problems first.")
    skipped: list[str] = Field(default=[], description="Checks that were not made, and why.")

    def render(self) -> Rendered:
        problems = sum(finding.severity == "problem" for finding in self.findings)
        advice = pluralize(len(self.findings) - problems, "piece")
        result = f"{pluralize(problems, 'problem')}, {advice} of advice"
        if not self.findings:
            result = "nothing found"
        subject = f"Draft for agent {self.agent_id}"
        if self.test_case_id:
            subject = f"Test case {self.test_case_id} of agent {self.agent_id}"
        before = [f"{subject}: {result}.", *list_finding_lines(self.findings)]
        skipped = [f"Skipped: {check}" for check in self.skipped]
        return Rendered(before, list_quote_lines(self.findings), skipped)


class Draft(NamedTuple):
    """A test case to check; `hidden` are fields that the API's answer does not show."""

    case: TestCase
    hidden: frozenset[str] = frozenset()

    @classmethod
    def of_stored(cls, stored: TestCase, test_case_id: str | None, given: JSONObject) -> "Draft":
        """Return a stored test case with the given fields in place of its own."""
        kept = _list_shown(stored)
        case = TestCase.read({**kept, **given, "testCaseId": test_case_id})
        return cls(case, frozenset(WRITABLE) - kept.keys() - given.keys())

    @classmethod
    def of_created(cls, stored: TestCase, sent: JSONObject) -> "Draft":
        """Return a case that was just stored; what the API does not show is as it was sent."""
        return cls(TestCase.read({**sent, **_list_shown(stored)}))


def _list_shown(stored: TestCase) -> JSONObject:
    """Return the writable fields that the API shows and that could be read."""
    shown: JSONObject = {}
    for name in WRITABLE:
        if name in stored.raw and not stored.has_unreadable(name):
            shown[name] = stored.raw[name]
    return shown


class Check(NamedTuple):
    """What was found, and which checks were not made."""

    findings: list[FindingShown]
    skipped: list[str]

    @property
    def has_problem(self) -> bool:
        return any(finding.severity == "problem" for finding in self.findings)


async def check_test_case(args: CheckTestCase, api: SigmaMindClient) -> CheckedTestCase:
    """Check a draft before create_test_case, or a stored test case by testCaseId.

    Finds vague criteria, a missing goal, unfit mock data, duplicates. To see a stored case use
    get_test_case. Reads the agent and its cases, stores and runs nothing.
    """
    if not args.test_case_id and not (args.user_prompt and args.success_criteria):
        raise InvalidArguments(
            "userPrompt or successCriteria is missing: give both for a draft, or testCaseId for a"
            " stored test case."
        )
    given: JSONObject = args.model_dump(
        by_alias=True, exclude_unset=True, exclude={"agent_id", "test_case_id"}
    )
    reads: list[Callable[[], Awaitable[object]]] = [
        partial(api.get_agent, args.agent_id),
        partial(api.list_test_cases, args.agent_id),
    ]
    if args.test_case_id:
        reads.append(partial(api.get_test_case, args.test_case_id, args.agent_id))
    agent, cases, *stored = await gather_errors(reads)
    _raise_refusal(agent, cases)
    notes: list[NotRead] = []
    draft = Draft(TestCase.read(given))
    for case in stored:
        if isinstance(case, SigmaMindError):
            raise case
        assert isinstance(case, TestCase)
        draft = Draft.of_stored(case, args.test_case_id, given)
        notes += note_record("test case", case, args.test_case_id)
    if isinstance(agent, Agent):
        notes += note_record("agent", agent, args.agent_id)
    if isinstance(cases, Listing):
        notes += note_listing("test case", cases, lambda case: case.test_case_id)
    check = await anyio.to_thread.run_sync(
        _check_with_others, draft, agent, cases, abandon_on_cancel=True
    )
    answer = CheckedTestCase(
        agent_id=args.agent_id,
        test_case_id=args.test_case_id or None,
        findings=check.findings,
        skipped=check.skipped,
        hint=_write_next_step(check, is_stored=bool(stored), is_changed=bool(given)),
    )
    return answer.add_notes(notes)


def _raise_refusal(agent: object, cases: object) -> None:
    """Raise an error that a write for this agent would get too."""
    for read in (agent, cases):
        if isinstance(read, NotAuthenticated):
            raise read
    if isinstance(agent, NotFound):
        raise agent
    if isinstance(agent, NotAllowed) and isinstance(cases, NotAllowed):
        raise agent


def _write_next_step(check: Check, *, is_stored: bool, is_changed: bool) -> str:
    if check.has_problem:
        with_tool = " with update_test_case" if is_stored else ""
        return f"Fix the problems{with_tool} and check again."
    if is_stored and not is_changed:
        return "create_batch_run runs it."
    tool = "update_test_case" if is_stored else "create_test_case"
    return f"{tool} stores it, with the same arguments."


def check_written(draft: Draft) -> Check:
    """Check what a test case that was just written shows alone; never raises."""
    try:
        check = _check_alone(draft)
    # The write was made: no fault of the check may hide that.
    except Exception:
        logger.exception("the check of a written test case failed")
        return Check([], ["all checks: they failed. The test case is stored all the same."])
    check.skipped.append(f"{VARIABLES_CHECK}, and duplicates; check_test_case makes these checks.")
    return check


def _check_alone(draft: Draft, *more: "Finding") -> Check:
    """Check a draft without its surroundings; `more` was found in these."""
    # Their patterns are slow to compile.
    from sigmamind_mcp.insight.draft_checks import lint_draft, reads_as_english

    findings = [*lint_draft(draft.case), *more]
    skipped = [
        f"{name}, because the API's answer does not show it."
        for name in CHECKED_WHERE_SHOWN
        if name in draft.hidden
    ]
    texts = list(filter(None, (draft.case.user_prompt, draft.case.success_criteria)))
    if texts and not reads_as_english(" ".join(texts)):
        skipped.append(
            "the wording of prompt and criteria, because those checks know English only."
        )
    shown = [finding for finding in findings if finding.field not in draft.hidden]
    return Check(_sort_findings(shown), skipped)


@forgetting_texts()
def _check_with_others(draft: Draft, agent: object, cases: object) -> Check:
    from sigmamind_mcp.insight.draft_checks import lint_against_agent
    from sigmamind_mcp.insight.duplicate_cases import lint_against_cases

    more, skipped = [], []
    if not isinstance(agent, Agent):
        skipped.append(f"{VARIABLES_CHECK}, because the agent could not be read.")
    else:
        more += lint_against_agent(draft.case, agent)
        if not _shows_prompt(agent):
            skipped.append(f"{VARIABLES_CHECK}, because the API's answer shows no prompt of it.")
    if isinstance(cases, Listing):
        more += lint_against_cases(draft.case, cases.items)
    else:
        skipped.append("duplicates, because the agent's test cases could not be listed.")
    check = _check_alone(draft, *more)
    return check._replace(skipped=[*skipped, *check.skipped])


def _shows_prompt(agent: Agent) -> bool:
    prompts = agent.list_prompts()
    return any(prompts)


def _sort_findings(findings: Sequence["Finding"]) -> list[FindingShown]:
    """Return the findings as parts of an answer, problems first."""
    problems_first = sorted(findings, key=lambda finding: finding.severity != "problem")
    return [FindingShown.of(finding) for finding in problems_first]

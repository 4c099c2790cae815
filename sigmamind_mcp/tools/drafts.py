"""Drafts of test cases: check them before they are stored and cost money."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self

import anyio.to_thread
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import LARGEST_COUNT, Agent, Listing, TestCase
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import NotFound
from sigmamind_mcp.tools.answers import Answer, AnswerPart, Rendered, pluralize
from sigmamind_mcp.tools.arguments import MAX_TEXT, Arguments, ForAgent, NotBool, SentAsList
from sigmamind_mcp.tools.unread_notes import NotRead, note_listing, note_record

if TYPE_CHECKING:
    from sigmamind_mcp.insight.draft_checks import Finding

VARIABLES_CHECK = "mock data against the agent's variables"

Prose = Annotated[str, Field(max_length=MAX_TEXT, pattern=r"\S")]


class MockEntry(Arguments):
    variable_name: Annotated[str, Field(min_length=1, description="Name between {{ }}.")]
    value: str


class DraftArguments(ForAgent):
    """Holds the fields of a test case that does not exist yet."""

    user_prompt: Annotated[
        Prose, Field(description="Who the simulated user is and wants: 'You are…'")
    ]
    success_criteria: Annotated[
        Prose, Field(description="What the agent must do: the only text a run is judged by.")
    ]
    label: Annotated[str, Field(max_length=256, description="Name in reports.")] = ""
    llm_model: Annotated[
        str, Field(min_length=1, description="Model that plays the agent, such as gpt-5.2.")
    ] = ""
    mock_data: Annotated[
        list[MockEntry],
        Field(max_length=100, description="Values for the agent's variables."),
        SentAsList,
    ] = []
    attempt: Annotated[
        int,
        # Only a sanity limit: the confirmation of a launch guards its cost.
        Field(
            ge=1,
            le=LARGEST_COUNT,
            description="Attempts in each batch run; each costs model calls.",
        ),
        NotBool,
    ] = 1


class FindingShown(AnswerPart):
    field: str
    severity: Literal["problem", "advice"] = Field(
        description="'problem' will cost runs; 'advice' may."
    )
    reason: str
    suggestion: str
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
            language_bound=finding.language_bound or None,
        )

    def line(self) -> str:
        return f"{self.severity}, {self.field}: {self.reason} {self.suggestion}"


class CheckedTestCase(Answer):
    """What may go wrong with a draft."""

    agent_id: str
    findings: list[FindingShown] = Field(description="Problems first.")
    skipped: list[str] = Field(default=[], description="Checks that were not made, and why.")

    def render(self) -> Rendered:
        problems = sum(finding.severity == "problem" for finding in self.findings)
        advice = pluralize(len(self.findings) - problems, "piece")
        result = f"{pluralize(problems, 'problem')}, {advice} of advice"
        if not self.findings:
            result = "nothing found"
        lines = [finding.line() for finding in self.findings]
        lines += [f"Skipped: {check}" for check in self.skipped]
        return Rendered([f"Draft for agent {self.agent_id}: {result}."], [], lines)


async def check_test_case(args: DraftArguments, api: SigmaMindClient) -> CheckedTestCase:
    """Check a draft before create_test_case: vague criteria, no goal, unfit mock data, duplicates.

    Takes the same arguments; to see a stored case use get_test_case. Reads the agent and its
    cases, stores and runs nothing. Returns problems and advice.
    """
    # Their patterns are slow to compile.
    from sigmamind_mcp.insight import draft_checks
    from sigmamind_mcp.insight.duplicate_cases import lint_against_cases

    draft = TestCase.read(args.model_dump(by_alias=True, exclude={"agent_id"}))
    reads: list[Callable[[], Awaitable[object]]] = [
        partial(api.get_agent, args.agent_id),
        partial(api.list_test_cases, args.agent_id),
    ]
    agent, cases = await gather_errors(reads)
    if isinstance(agent, NotFound):
        raise agent
    findings, skipped = draft_checks.lint_draft(draft), []
    notes: list[NotRead] = []
    if isinstance(agent, Agent):
        notes += note_record("agent", agent, args.agent_id)
        findings += draft_checks.lint_against_agent(draft, agent)
        if not _shows_prompt(agent):
            skipped.append(f"{VARIABLES_CHECK}, because the API's answer shows no prompt of it.")
    else:
        skipped.append(f"{VARIABLES_CHECK}, because the agent could not be read.")
    if isinstance(cases, Listing):
        notes += note_listing("test case", cases, lambda case: case.test_case_id)
        findings += await anyio.to_thread.run_sync(
            lint_against_cases, draft, cases.items, abandon_on_cancel=True
        )
    else:
        skipped.append("duplicates, because the agent's test cases could not be listed.")
    if not draft_checks.reads_as_english(f"{draft.user_prompt} {draft.success_criteria}"):
        skipped.append(
            "the wording of prompt and criteria, because those checks know English only."
        )
    has_problem = any(finding.severity == "problem" for finding in findings)
    stores_it = "create_test_case stores it, with the same arguments."
    answer = CheckedTestCase(
        agent_id=args.agent_id,
        findings=sort_findings(findings),
        skipped=skipped,
        hint="Fix the problems and check again." if has_problem else stores_it,
    )
    return answer.add_notes(notes)


def _shows_prompt(agent: Agent) -> bool:
    prompts = (agent.instructions, agent.welcome_message, agent.agent_settings.global_prompt)
    return any(prompts)


def sort_findings(findings: Sequence["Finding"]) -> list[FindingShown]:
    """Return the findings as parts of an answer, problems first."""
    problems_first = sorted(findings, key=lambda finding: finding.severity != "problem")
    return [FindingShown.of(finding) for finding in problems_first]

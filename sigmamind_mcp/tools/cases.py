"""Test cases: who the simulated user is, what counts as success, mock data, how many attempts."""

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import LARGEST_COUNT, Agent, TestCase
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import InvalidArguments, NotFound, OutcomeUnknown, SigmaMindError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.answers import (
    Answer,
    CallArguments,
    Link,
    NextCall,
    Rendered,
    add_next_page,
    field_lines,
    fit_items,
    one_line,
    pluralize,
)
from sigmamind_mcp.tools.arguments import (
    MAX_TEXT,
    Arguments,
    Detail,
    ForAgent,
    LabelContains,
    NotBool,
    Paged,
    SentAsList,
    TestCaseId,
)
from sigmamind_mcp.uris import uri_of

if TYPE_CHECKING:
    from sigmamind_mcp.insight.draft_checks import Finding

WRITABLE = ("label", "llmModel", "mockData", "userPrompt", "attempt", "successCriteria")

Prose = Annotated[str, Field(max_length=MAX_TEXT, pattern=r"\S")]


class MockEntry(Arguments):
    variable_name: Annotated[str, Field(min_length=1, description="Name between {{ }}.")]
    value: str


class Draft(ForAgent):
    """The fields of a test case that does not exist yet."""

    user_prompt: Annotated[
        Prose,
        Field(description="Who the simulated user is and wants: 'You are…'"),
    ]
    success_criteria: Annotated[
        Prose,
        Field(description="What the agent must do: all that a run is judged by."),
    ]
    label: Annotated[str, Field(max_length=256, description="Name in reports.")] = ""
    llm_model: Annotated[
        str,
        Field(
            min_length=1,
            description="Model that plays the agent, such as gpt-5.2.",
        ),
    ] = ""
    mock_data: Annotated[
        list[MockEntry],
        Field(max_length=100, description="Values for the agent's variables."),
        SentAsList,
    ] = []
    attempt: Annotated[
        int,
        Field(
            ge=1, le=LARGEST_COUNT, description="Runs in each batch run; each costs model calls."
        ),
        NotBool,
    ] = 1


class CreateTestCase(Draft):
    allow_duplicate: Annotated[
        bool, Field(description="Store it again within 10 minutes of the same call.")
    ] = False


class UpdateTestCase(ForAgent):
    test_case_id: TestCaseId
    user_prompt: Annotated[Prose, Field(description="New persona and intent.")] = ""
    success_criteria: Annotated[Prose, Field(description="New text to judge by.")] = ""
    label: Annotated[str, Field(max_length=256, description="New name.")] = ""
    llm_model: Annotated[str, Field(min_length=1, description="New model.")] = ""
    mock_data: Annotated[
        list[MockEntry], Field(max_length=100, description="Replaces the whole list."), SentAsList
    ] = []
    attempt: Annotated[
        int,
        Field(
            ge=1,
            le=LARGEST_COUNT,
            description="New number of runs.",
            json_schema_extra=lambda schema: schema.pop(
                "default"
            ),  # who fills in defaults would change it
        ),
        NotBool,
    ] = 1


class GetTestCase(ForAgent):
    test_case_id: TestCaseId
    detail: Detail = "concise"


class ListTestCases(Paged, ForAgent):
    label_contains: LabelContains = ""
    detail: Detail = "concise"


class MockShown(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    variable_name: str
    value: str


class TestCaseAnswer(Answer):
    """One test case."""

    test_case_id: str | None = Field(
        default=None, description="Absent when the API did not give it."
    )
    agent_id: str
    label: str | None = None
    llm_model: str | None = None
    attempt: int | None = Field(default=None, description="Runs of this case in each batch run.")
    user_prompt: str | None = None
    success_criteria: str | None = None
    mock_data: list[MockShown] = []
    uri: str | None = Field(default=None, description="Resource with every field.")

    @classmethod
    def of(cls, case: TestCase, agent_id: str) -> Self:
        test_case_id = valid_id(case.test_case_id)
        return cls(
            test_case_id=test_case_id,
            agent_id=agent_id,
            label=case.label,
            llm_model=case.llm_model,
            attempt=case.attempt,
            user_prompt=case.user_prompt,
            success_criteria=case.success_criteria,
            mock_data=[
                MockShown(variable_name=mock.variable_name, value=mock.value)
                for mock in case.mock_data
            ],
            uri=test_case_id and uri_of("test-case", agentId=agent_id, testCaseId=test_case_id),
        )

    def render(self) -> Rendered:
        attempts = (
            "attempts not told"
            if self.attempt is None
            else f"{pluralize(self.attempt, 'attempt')} in each batch run"
        )
        data = field_lines(
            ("label", self.label),
            ("llmModel", self.llm_model),
            ("userPrompt", self.user_prompt),
            ("successCriteria", self.success_criteria),
        )
        data += [f"mockData {mock.variable_name} = {mock.value}" for mock in self.mock_data]
        name = self.test_case_id or "with an id that the API did not give"
        return Rendered(
            [f"Test case {name} of agent {self.agent_id}, {attempts}."],
            data,
            [f"Resource: {self.uri}"] if self.uri else [],
        )


class FindingShown(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    field: str
    severity: str = Field(description="'problem' will cost runs; 'advice' may.")
    reason: str
    suggestion: str
    language_bound: bool | None = Field(
        default=None, description="True when it only knows English wording."
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
    skipped: list[str] = Field(
        default=[], description="Checks that could not be made, because a read failed."
    )

    def render(self) -> Rendered:
        problems = sum(finding.severity == "problem" for finding in self.findings)
        advice = len(self.findings) - problems
        found = f"{pluralize(problems, 'problem')}, {advice} {'piece' if advice == 1 else 'pieces'} of advice"
        return Rendered(
            [f"Draft for agent {self.agent_id}: {found if self.findings else 'nothing found'}."],
            [],
            [
                *(finding.line() for finding in self.findings),
                *(f"Skipped: {check}" for check in self.skipped),
            ],
        )


class CreatedTestCase(TestCaseAnswer):
    """The test case as it was stored."""

    repeated: bool | None = Field(
        default=None, description="True when this is the outcome of the same call before."
    )
    findings: list[FindingShown] = Field(
        default=[], description="What check_test_case says without reading anything."
    )

    def render(self) -> Rendered:
        said = super().render()
        created = "Not created again" if self.repeated else "Created"
        lines = [finding.line() for finding in self.findings]
        return said._replace(
            before=[f"{created}. {said.before[0]}", *said.before[1:]], after=[*said.after, *lines]
        )


# Spelt out, since some hosts refuse a schema that says nothing, or one with several types in a list.
_JSON_TYPES = ("string", "number", "boolean", "array", "object", "null")
_Value = Annotated[Any, WithJsonSchema({"anyOf": [{"type": each} for each in _JSON_TYPES]})]


class Change(BaseModel):
    """A field that is not what it was; None stands for an absent one."""

    field: str
    before: _Value = None
    after: _Value = None


class UpdatedTestCase(TestCaseAnswer):
    """The test case as it is after the change."""

    changes: list[Change] = Field(description="What is not as it was before.")
    not_as_sent: list[str] = Field(
        default=[], description="Fields that the API stored otherwise than they were sent."
    )

    def render(self) -> Rendered:
        said = super().render()
        fields = ", ".join(change.field for change in self.changes) or "nothing"
        otherwise = (
            [f"Stored otherwise than sent: {', '.join(self.not_as_sent)}."]
            if self.not_as_sent
            else []
        )
        changed = [
            f"{change.field} before: {json.dumps(change.before, ensure_ascii=False)}\n"
            f"{change.field} after: {json.dumps(change.after, ensure_ascii=False)}"
            for change in self.changes
        ]
        return Rendered(
            [f"Changed: {fields}.", *otherwise, *said.before],
            [*changed, "", *said.data],
            said.after,
        )


class TestCaseRow(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    test_case_id: str | None = None
    label: str | None = Field(
        default=None, description="The label, or the start of the prompt where there is none."
    )
    attempt: int | None = None
    llm_model: str | None = None

    def line(self) -> str:
        attempts = "" if self.attempt is None else f" ({pluralize(self.attempt, 'attempt')})"
        model = f", {self.llm_model}" if self.llm_model else ""
        return one_line(f"{self.test_case_id or '(no id)'}{attempts}{model}: {self.label}")


class TestCaseList(Answer):
    """A page of an agent's test cases."""

    agent_id: str
    page: int
    size: int
    total_count: int = Field(description="Test cases that match, on all pages.")
    test_cases: list[TestCaseRow]

    def render(self) -> Rendered:
        shown = f"{len(self.test_cases)} of {self.total_count} matching test cases of agent {self.agent_id}"
        return Rendered(
            [f"{shown} (page {self.page}, size {self.size})."],
            [row.line() for row in self.test_cases],
            [],
        )


async def create_test_case(args: CreateTestCase, api: SigmaMindClient) -> CreatedTestCase:
    """Store a new test case: who the simulated user is, and how the agent is judged.

    Use check_test_case first; to change a stored case use update_test_case. Costs and runs nothing; the API cannot
    delete it. The same call within 10 minutes stores nothing new.
    """
    # Its patterns take a while to compile.
    from sigmamind_mcp.insight.draft_checks import lint_draft

    fields: JSONObject = args.model_dump(
        by_alias=True, exclude_unset=True, exclude={"agent_id", "allow_duplicate"}
    )
    written = await api.create_test_case(
        args.agent_id, fields, allow_duplicate=args.allow_duplicate
    )
    answer = CreatedTestCase.of(written.record or TestCase.read(fields), args.agent_id)
    answer.findings = _shown(lint_draft(TestCase.read(fields)))
    if written.repeated:
        answer.repeated = True
        answer.hint = (
            "The same call was made before: this is its outcome, and nothing new was stored."
        )
    if answer.test_case_id:
        run: CallArguments = {"agentId": args.agent_id, "testCases": [answer.test_case_id]}
        answer.next_calls = [NextCall(tool="create_batch_run", arguments=run)]
    else:
        answer.next_calls = [NextCall(tool="list_test_cases", arguments={"agentId": args.agent_id})]
    return answer.linking(*_link(answer))


async def check_test_case(args: Draft, api: SigmaMindClient) -> CheckedTestCase:
    """Check a draft before create_test_case: vague criteria, no goal, unfit mock data, duplicates.

    Takes the same arguments; to see a stored case use get_test_case. Reads the agent and its cases, stores and runs
    nothing. Returns problems and advice.
    """
    from sigmamind_mcp.insight import draft_checks  # as above
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
    if isinstance(agent, Agent):
        findings += draft_checks.lint_against_agent(draft, agent)
    else:
        skipped.append(
            "mock data against the agent's variables, because the agent could not be read."
        )
    if isinstance(cases, list):
        findings += await anyio.to_thread.run_sync(
            lint_against_cases, draft, cases, abandon_on_cancel=True
        )
    else:
        skipped.append("duplicates, because the agent's test cases could not be listed.")
    if not draft_checks.reads_as_english(f"{draft.user_prompt} {draft.success_criteria}"):
        skipped.append(
            "how prompt and criteria are worded, because those checks know English only."
        )
    problems = any(finding.severity == "problem" for finding in findings)
    answer = CheckedTestCase(agent_id=args.agent_id, findings=_shown(findings), skipped=skipped)
    answer.hint = (
        "Mend the problems and check again."
        if problems
        else "create_test_case stores it, with the same arguments."
    )
    return answer


def _shown(findings: Sequence["Finding"]) -> list[FindingShown]:
    return [
        FindingShown.of(one) for one in sorted(findings, key=lambda one: one.severity != "problem")
    ]


async def update_test_case(args: UpdateTestCase, api: SigmaMindClient) -> UpdatedTestCase:
    """Change the given fields of a test case; the others keep their value.

    For a variant to compare with use create_test_case. Overwrites old values for good, runs nothing; existing batch
    runs keep their results. Returns each change, before and after.
    """
    given: JSONObject = args.model_dump(
        by_alias=True, exclude_unset=True, exclude={"agent_id", "test_case_id"}
    )
    if not given:
        raise InvalidArguments(f"Nothing to change: give at least one of {', '.join(WRITABLE)}.")
    before = await api.get_test_case(args.test_case_id, args.agent_id)
    # The whole case is written, from the object as it came: the API's pages differ on whether a part would do.
    kept = {name: before.raw[name] for name in WRITABLE if before.raw.get(name) is not None}
    await api.update_test_case(args.test_case_id, {"agentId": args.agent_id, **kept, **given})
    try:
        after = await api.get_test_case(args.test_case_id, args.agent_id)
    except SigmaMindError as exc:
        raise OutcomeUnknown(
            "The test case was changed, but reading it again failed. Look at it with get_test_case."
        ) from exc
    changes = [
        Change(field=name, before=before.raw.get(name), after=after.raw.get(name))
        for name in WRITABLE
        if before.raw.get(name) != after.raw.get(name)
    ]
    shown = TestCaseAnswer.of(after, args.agent_id)
    not_as_sent = [name for name, value in given.items() if after.raw.get(name) != value]
    answer = UpdatedTestCase(**shown.model_dump(), changes=changes)
    answer.not_as_sent = not_as_sent
    run: CallArguments = {"agentId": args.agent_id, "testCases": [args.test_case_id]}
    answer.next_calls = [NextCall(tool="create_batch_run", arguments=run)]
    return answer.linking(*_link(answer))


async def get_test_case(args: GetTestCase, api: SigmaMindClient) -> TestCaseAnswer:
    """Read one test case as it is now: user prompt, success criteria, mock data, attempts.

    Use it before update_test_case; for ids and labels list_test_cases. Reads only.
    """
    case = await api.get_test_case(args.test_case_id, args.agent_id)
    answer = TestCaseAnswer.of(case, args.agent_id)
    return answer.with_raw(case.raw, when=args.detail == "full").linking(*_link(answer))


async def list_test_cases(args: ListTestCases, api: SigmaMindClient) -> TestCaseList:
    """List an agent's test cases, to find an id by label or choose some for create_batch_run.

    For prompt and criteria use get_test_case. Reads only.
    """
    is_full = args.detail == "full"
    wanted = args.label_contains.casefold()
    every = await api.list_test_cases(args.agent_id)
    cases = [case for case in every if wanted in case.title.casefold()]
    end = (args.page + 1) * args.size
    shown = cases[args.page * args.size + args.skip : end]

    def build(count: int) -> TestCaseList:
        answer = TestCaseList(
            agent_id=args.agent_id,
            page=args.page,
            size=args.size,
            total_count=len(cases),
            test_cases=[
                TestCaseRow(
                    test_case_id=valid_id(case.test_case_id),
                    label=case.label if is_full else case.title,
                    attempt=case.attempt,
                    llm_model=case.llm_model,
                )
                for case in shown[:count]
            ],
        )
        answer.with_raw({"testCases": [case.raw for case in shown[:count]]}, when=is_full)
        if every and not cases:
            answer.hint = f"No label of this agent's {len(every)} test cases has that text; try a shorter one."
            return answer
        return add_next_page(
            answer,
            "list_test_cases",
            args,
            count,
            len(shown),
            total=len(cases),
            has_next=end < len(cases),
        )

    return await fit_items(len(shown), build)


def _link(answer: TestCaseAnswer) -> list[Link]:
    if answer.uri is None:
        return []
    return [Link(answer.uri, f"Test case {answer.test_case_id}", "application/json")]

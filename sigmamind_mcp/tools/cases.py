"""Test cases: who the simulated user is, what counts as success, mock data, how many attempts."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Annotated, Literal, Self

from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.answers import (
    Answer,
    AnswerPart,
    CallArguments,
    Link,
    NextCall,
    Rendered,
    field_lines,
    fit_items,
    one_line,
)
from sigmamind_mcp.tools.arguments import (
    Detail,
    ForAgent,
    LabelContains,
    Paged,
    TestCaseId,
)
from sigmamind_mcp.tools.drafts import (
    Check,
    Draft,
    DraftArguments,
    FindingShown,
    check_written,
    list_finding_lines,
    list_quote_lines,
)
from sigmamind_mcp.tools.launch_plan import identify_definition
from sigmamind_mcp.tools.list_pages import PageSlice, add_next_page, select_page
from sigmamind_mcp.tools.unread_notes import NO_ID, note_listing, note_record
from sigmamind_mcp.uris import uri_of

SHOWN_AS_SENT = "The API confirmed it without showing it: the values here are those that were sent."


class CreateTestCase(DraftArguments):
    allow_duplicate: Annotated[
        bool, Field(description="Store it again within 10 minutes of the same call.")
    ] = False


class GetTestCase(ForAgent):
    test_case_id: TestCaseId
    detail: Detail = "concise"


class ListTestCases(Paged, ForAgent):
    label_contains: LabelContains = ""
    detail: Annotated[
        Literal["concise", "prompts", "full"],
        Field(description="prompts: with prompts and criteria; full: all fields."),
    ] = "concise"


class MockShown(AnswerPart):
    variable_name: str
    value: str


class TestCaseAnswer(Answer):
    """One test case."""

    test_case_id: str | None = Field(
        default=None, description="Absent when the API's answer has no usable one."
    )
    agent_id: str
    label: str | None = None
    llm_model: str | None = None
    attempt: int | None = Field(default=None, description="Runs of this case in each batch run.")
    user_prompt: str | None = None
    success_criteria: str | None = None
    mock_data: list[MockShown] | None = None
    uri: str | None = Field(default=None, description="Resource with every field.")

    @classmethod
    def of(cls, case: TestCase, agent_id: str, *, asked_id: str | None = None) -> Self:
        """Show the case; `asked_id` is the id that it was read with, if any."""
        answer = cls(
            test_case_id=asked_id or valid_id(case.test_case_id),
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
        )
        if answer.test_case_id:
            name = f"Test case {answer.test_case_id}"
            answer.uri = uri_of("test-case", agentId=agent_id, testCaseId=answer.test_case_id)
            answer.add_links(Link(answer.uri, name, "application/json"))
        return answer.add_notes(note_record("test case", case, answer.test_case_id))

    def render(self) -> Rendered:
        attempts = "attempts unknown"
        if self.attempt is not None:
            attempts = f"{pluralize(self.attempt, 'attempt')} in each batch run"
        data = field_lines(
            ("label", self.label),
            ("llmModel", self.llm_model),
            ("userPrompt", self.user_prompt),
            ("successCriteria", self.success_criteria),
        )
        if self.mock_data:
            data.append("mockData:")
            data += [f"  {mock.variable_name} = {mock.value}" for mock in self.mock_data]
        name = self.test_case_id or NO_ID
        head = f"Test case {name} of agent {self.agent_id}, {attempts}."
        return Rendered([head], data, [f"Resource: {self.uri}"] if self.uri else [])


class CheckedWrite(Answer):
    """The answer to a write, with what was checked of the written test case."""

    findings: list[FindingShown] = Field(
        default=[],
        description="What check_test_case says without reading anything.",
    )
    skipped: list[str] = Field(default=[], description="Checks that were not made, and why.")

    def add_check(self, check: Check) -> None:
        self.findings = check.findings
        self.skipped = check.skipped

    def add_findings(self, rendered: Rendered) -> Rendered:
        """Return the rendered test case with the findings, their quotes and skipped checks."""
        skipped = [f"Skipped: {check}" for check in self.skipped]
        return Rendered(
            before=[*rendered.before, *list_finding_lines(self.findings)],
            data=[*rendered.data, *list_quote_lines(self.findings)],
            after=[*rendered.after, *skipped],
        )


class CreatedTestCase(TestCaseAnswer, CheckedWrite):
    """The test case as it was stored, without the long fields that were sent like that."""

    as_sent: list[str] = Field(
        default=[], description="Fields that are stored as they were sent, and not repeated here."
    )
    repeated: bool | None = Field(
        default=None, description="True when this is the result of the same call before."
    )

    def omit_sent(self, stored: TestCase, sent: TestCase) -> None:
        """Leave out the long fields that are stored as they were sent."""
        if stored.user_prompt and stored.user_prompt == sent.user_prompt:
            self.user_prompt = None
            self.as_sent.append("userPrompt")
        if stored.success_criteria and stored.success_criteria == sent.success_criteria:
            self.success_criteria = None
            self.as_sent.append("successCriteria")
        if stored.mock_data and stored.mock_data == sent.mock_data:
            self.mock_data = None
            self.as_sent.append("mockData")

    def render(self) -> Rendered:
        case = self.add_findings(super().render())
        created = "Not created again" if self.repeated else "Created"
        before = [f"{created}. {case.before[0]}", *case.before[1:]]
        if self.as_sent:
            before.append(f"Stored as sent: {', '.join(self.as_sent)}.")
        return case._replace(before=before)


class TestCaseRow(AnswerPart):
    test_case_id: str | None = None
    label: str | None = Field(
        default=None, description="The label, or the start of the prompt where there is none."
    )
    attempt: int | None = None
    llm_model: str | None = None
    user_prompt: str | None = Field(default=None, description="Only with detail prompts.")
    success_criteria: str | None = None

    @classmethod
    def of(cls, case: TestCase, *, with_prompts: bool = False) -> Self:
        return cls(
            test_case_id=valid_id(case.test_case_id),
            label=case.title,
            attempt=case.attempt,
            llm_model=case.llm_model,
            user_prompt=case.user_prompt if with_prompts else None,
            success_criteria=case.success_criteria if with_prompts else None,
        )

    def line(self) -> str:
        attempts = "" if self.attempt is None else f" ({pluralize(self.attempt, 'attempt')})"
        model = f", {self.llm_model}" if self.llm_model else ""
        return one_line(f"{self.test_case_id or NO_ID}{attempts}{model}: {self.label}")

    def lines(self) -> list[str]:
        texts = field_lines(
            ("userPrompt", self.user_prompt), ("successCriteria", self.success_criteria)
        )
        return [self.line(), *(f"  {one_line(text)}" for text in texts)]


class TestCaseList(Answer):
    """A page of an agent's test cases."""

    agent_id: str
    page: int
    size: int
    total_count: int = Field(description="Test cases that match, on all pages.")
    test_cases: list[TestCaseRow]

    def render(self) -> Rendered:
        shown = f"{len(self.test_cases)} of {pluralize(self.total_count, 'matching test case')}"
        page = f"(page {self.page}, size {self.size})"
        rows = list(chain.from_iterable(row.lines() for row in self.test_cases))
        return Rendered([f"{shown} of agent {self.agent_id} {page}."], rows, [])


async def create_test_case(args: CreateTestCase, api: SigmaMindClient) -> CreatedTestCase:
    """Store a new test case: who the simulated user is, and how the agent is judged.

    Use check_test_case first; to change a stored case use update_test_case. Costs and runs
    nothing; the API cannot delete it. The same call within 10 minutes stores nothing new.
    """
    fields: JSONObject = args.model_dump(
        by_alias=True, exclude_unset=True, exclude={"agent_id", "allow_duplicate"}
    )
    draft = TestCase.read(fields)
    written = await api.create_test_case(
        args.agent_id, fields, allow_duplicate=args.allow_duplicate
    )
    case = written.record or draft
    # The record of a repeated call has only what was sent: what was stored may differ.
    shown = TestCase.read({"testCaseId": case.test_case_id}) if written.repeated else case
    answer = CreatedTestCase.of(shown, args.agent_id)
    if written.record and not written.repeated:
        answer.omit_sent(written.record, draft)
    check = check_written(Draft.of_created(case, fields))
    answer.add_check(check)
    hints = []
    if written.repeated:
        answer.repeated = True
        hints.append("The same call was made before, and nothing new was stored.")
        if check.findings:
            hints.append("The findings are about what was sent.")
    elif written.record is None:
        hints.append(SHOWN_AS_SENT)
    answer.hint = " ".join(hints) or None
    if not answer.test_case_id:
        answer.next_calls = [NextCall(tool="list_test_cases", arguments={"agentId": args.agent_id})]
    elif _may_lack_mocks(case, draft):
        # Only check_test_case reads whether the agent needs them.
        answer.next_calls = [suggest_check(answer.test_case_id, args.agent_id)]
    else:
        answer.next_calls = [suggest_run(answer.test_case_id, case, check, args.agent_id, api)]
    return answer


def _may_lack_mocks(stored: TestCase, sent: TestCase) -> bool:
    """Whether no mock data was sent, or not all of it is stored."""
    names = list_mock_names(sent)
    is_shown = "mockData" in stored.raw
    return not names or (is_shown and bool(names - list_mock_names(stored)))


async def get_test_case(args: GetTestCase, api: SigmaMindClient) -> TestCaseAnswer:
    """Read one test case as it is now: user prompt, success criteria, mock data, attempts.

    Use it before update_test_case; for ids and labels list_test_cases. Reads only.
    """
    case = await api.get_test_case(args.test_case_id, args.agent_id)
    answer = TestCaseAnswer.of(case, args.agent_id, asked_id=args.test_case_id)
    if args.detail == "full":
        answer.raw = case.raw
    return answer


async def list_test_cases(args: ListTestCases, api: SigmaMindClient) -> TestCaseList:
    """List an agent's test cases, to find an id by label or choose some for create_batch_run.

    For mock data use get_test_case. Reads only.
    """
    wanted = args.label_contains.casefold()
    listing = await api.list_test_cases(args.agent_id)
    matching = [case for case in listing.items if wanted in case.title.casefold()]
    page = select_page(matching, args)
    build = partial(_build_test_case_list, args, matching, page)
    notes = note_listing("test case", listing, lambda case: case.test_case_id)
    answer = await fit_items(len(page.items), build, notes)
    if listing.items and not matching:
        answer.hint = (
            f"None of the {len(listing.items)} test cases read here has that text in its label;"
            " try a shorter one."
        )
    return answer


def _build_test_case_list(
    args: ListTestCases,
    matching: Sequence[TestCase],
    page: PageSlice[TestCase],
    count: int,
) -> TestCaseList:
    cases = page.items[:count]
    with_prompts = args.detail == "prompts"
    answer = TestCaseList(
        agent_id=args.agent_id,
        page=page.place.page,
        size=args.size,
        total_count=len(matching),
        test_cases=[TestCaseRow.of(case, with_prompts=with_prompts) for case in cases],
    )
    if args.detail == "full":
        answer.raw = {"testCases": [case.raw for case in cases]}
    add_next_page(answer, "list_test_cases", args, page, count=count)
    return answer


def list_mock_names(case: TestCase) -> set[str]:
    return {mock.variable_name for mock in case.mock_data}


def suggest_check(test_case_id: str, agent_id: str) -> NextCall:
    """Return the call that checks this stored case."""
    arguments: CallArguments = {"agentId": agent_id, "testCaseId": test_case_id}
    return NextCall(tool="check_test_case", arguments=arguments)


def suggest_run(
    test_case_id: str, case: TestCase, check: Check, agent_id: str, api: SigmaMindClient
) -> NextCall:
    """Return the call that runs this case, with allowDuplicate where it ran unchanged just now.

    A case with a problem is not run: the call that checks it again comes instead.
    """
    if check.has_problem:
        return suggest_check(test_case_id, agent_id)
    run: CallArguments = {"agentId": agent_id, "testCases": [test_case_id]}
    named = case.model_copy(update={"test_case_id": test_case_id})
    if api.has_recent_launch(identify_definition(agent_id, [named])):
        run["allowDuplicate"] = True
    return NextCall(tool="create_batch_run", arguments=run)

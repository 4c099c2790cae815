"""Test cases: who the simulated user is, what counts as success, mock data, how many attempts."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, WithJsonSchema

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import LARGEST_COUNT, TestCase
from sigmamind_mcp.errors import InvalidArguments, OutcomeUnknown, SigmaMindError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.answers import (
    Answer,
    AnswerPart,
    CallArguments,
    Link,
    NextCall,
    PageSlice,
    Rendered,
    add_next_page,
    field_lines,
    fit_items,
    one_line,
    pluralize,
    select_page,
)
from sigmamind_mcp.tools.argument_forms import NotBool, list_of
from sigmamind_mcp.tools.arguments import (
    Detail,
    ForAgent,
    LabelContains,
    Paged,
    TestCaseId,
    hide_default,
)
from sigmamind_mcp.tools.drafts import (
    CRITERIA_FACTS,
    LABEL_FACTS,
    MOCK_DATA_FACTS,
    MOCK_ENTRIES,
    MODEL_FACTS,
    PROMPT_FACTS,
    WRITABLE,
    Check,
    Draft,
    DraftArguments,
    FindingShown,
    MockEntry,
    Prose,
    check_written,
    list_finding_lines,
    list_quote_lines,
)
from sigmamind_mcp.tools.launch_plan import identify_definition
from sigmamind_mcp.tools.unread_notes import NO_ID, note_listing, note_record
from sigmamind_mcp.uris import uri_of

SHOWN_AS_SENT = "The API confirmed it without showing it: the values here are those that were sent."


class CreateTestCase(DraftArguments):
    allow_duplicate: Annotated[
        bool, Field(description="Store it again within 10 minutes of the same call.")
    ] = False


class UpdateTestCase(ForAgent):
    test_case_id: TestCaseId
    user_prompt: Annotated[Prose, Field(description=PROMPT_FACTS)] = ""
    success_criteria: Annotated[Prose, Field(description=CRITERIA_FACTS)] = ""
    label: Annotated[str, Field(max_length=256, description=LABEL_FACTS)] = ""
    llm_model: Annotated[str, Field(description=MODEL_FACTS)] = ""
    mock_data: Annotated[
        list[MockEntry],
        Field(max_length=100, description=f"Replaces the list; [] empties it. {MOCK_DATA_FACTS}"),
        list_of(MOCK_ENTRIES),
    ] = []
    attempt: Annotated[
        int,
        Field(
            ge=1,
            le=LARGEST_COUNT,
            description="Independent simulations in each batch run.",
            json_schema_extra=hide_default,
        ),
        NotBool,
    ] = 1
    clear: Annotated[
        list[Literal["label", "llmModel"]],
        Field(max_length=2, description="Texts to empty. An empty text changes nothing."),
        list_of("field names"),
    ] = []


class GetTestCase(ForAgent):
    test_case_id: TestCaseId
    detail: Detail = "concise"


class ListTestCases(Paged, ForAgent):
    label_contains: LabelContains = ""
    detail: Detail = "concise"


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
    mock_data: list[MockShown] = []
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
        data += [f"mockData {mock.variable_name} = {mock.value}" for mock in self.mock_data]
        name = self.test_case_id or NO_ID
        head = f"Test case {name} of agent {self.agent_id}, {attempts}."
        return Rendered([head], data, [f"Resource: {self.uri}"] if self.uri else [])


class WrittenTestCase(TestCaseAnswer):
    """A test case after a write, checked."""

    findings: list[FindingShown] = Field(
        default=[],
        description="What check_test_case says without reading anything.",
    )
    skipped: list[str] = Field(default=[], description="Checks that were not made, and why.")

    def add_check(self, check: Check) -> None:
        self.findings, self.skipped = check.findings, check.skipped

    def render(self) -> Rendered:
        case = super().render()
        found = list_finding_lines(self.findings)
        skipped = [f"Skipped: {check}" for check in self.skipped]
        quotes = list_quote_lines(self.findings)
        return Rendered([*case.before, *found], [*case.data, *quotes], [*case.after, *skipped])


class CreatedTestCase(WrittenTestCase):
    """The test case as it was stored."""

    repeated: bool | None = Field(
        default=None, description="True when this is the result of the same call before."
    )

    def render(self) -> Rendered:
        case = super().render()
        created = "Not created again" if self.repeated else "Created"
        return case._replace(before=[f"{created}. {case.before[0]}", *case.before[1:]])


# Some hosts reject an empty schema, and some reject a list of types.
_JSON_TYPES = ("string", "number", "boolean", "array", "object")
_Value = Annotated[Any, WithJsonSchema({"anyOf": [{"type": each} for each in _JSON_TYPES]})]


class FieldChange(BaseModel):
    """A field that changed; None means absent."""

    field: str
    before: _Value = None
    after: _Value = None

    def lines(self) -> list[str]:
        before = json.dumps(self.before, ensure_ascii=False)
        after = json.dumps(self.after, ensure_ascii=False)
        return [f"{self.field} before: {before}", f"{self.field} after: {after}"]


class UpdatedTestCase(WrittenTestCase):
    """The test case as it is after the change."""

    changes: list[FieldChange] = Field(description="Fields whose value changed.")
    not_as_sent: list[str] = Field(
        default=[], description="Fields that the API shows with another value than was sent."
    )
    not_shown: list[str] = Field(
        default=[], description="Fields that were sent and that the API does not show."
    )

    def render(self) -> Rendered:
        case = super().render()
        before = [self._describe_changes()]
        if self.not_as_sent:
            before.append(f"Not stored as sent: {', '.join(self.not_as_sent)}.")
        if self.not_shown:
            before.append(f"Sent, but not in the API's answer: {', '.join(self.not_shown)}.")
        data = []
        for change in self.changes:
            data += change.lines()
        data.append("")
        return Rendered(before + case.before, data + case.data, case.after)

    def _describe_changes(self) -> str:
        fields = ", ".join(change.field for change in self.changes)
        if fields or not self.not_shown:
            return f"Changed: {fields or 'nothing'}."
        return "Changed: nothing that the API's answer shows."


class TestCaseRow(AnswerPart):
    test_case_id: str | None = None
    label: str | None = Field(
        default=None, description="The label, or the start of the prompt where there is none."
    )
    attempt: int | None = None
    llm_model: str | None = None

    @classmethod
    def of(cls, case: TestCase) -> Self:
        return cls(
            test_case_id=valid_id(case.test_case_id),
            label=case.title,
            attempt=case.attempt,
            llm_model=case.llm_model,
        )

    def line(self) -> str:
        attempts = "" if self.attempt is None else f" ({pluralize(self.attempt, 'attempt')})"
        model = f", {self.llm_model}" if self.llm_model else ""
        return one_line(f"{self.test_case_id or NO_ID}{attempts}{model}: {self.label}")


class TestCaseList(Answer):
    """A page of an agent's test cases."""

    agent_id: str
    page: int
    size: int
    total_count: int = Field(description="Test cases that match, on all pages.")
    test_cases: list[TestCaseRow]

    def render(self) -> Rendered:
        shown = f"{len(self.test_cases)} of {self.total_count} matching test cases"
        page = f"(page {self.page}, size {self.size})"
        rows = [row.line() for row in self.test_cases]
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
    answer = CreatedTestCase.of(written.record or draft, args.agent_id)
    check = check_written(Draft(draft))
    answer.add_check(check)
    hints = [] if written.record else [SHOWN_AS_SENT]
    if written.repeated:
        answer.repeated = True
        hints.append(
            "The same call was made before, and nothing new was stored. This test case has its"
            " result's id and the values that were sent."
        )
    answer.hint = " ".join(hints) or None
    if answer.test_case_id:
        case = written.record or draft
        answer.next_calls = [_suggest_next(answer.test_case_id, case, check, args.agent_id, api)]
    else:
        answer.next_calls = [NextCall(tool="list_test_cases", arguments={"agentId": args.agent_id})]
    return answer


async def update_test_case(args: UpdateTestCase, api: SigmaMindClient) -> UpdatedTestCase:
    """Change the given fields of a test case; the others keep their value.

    For a variant to compare with use create_test_case. Overwrites old values permanently, runs
    nothing; existing batch runs keep their results. Returns each change, before and after.
    """
    given: JSONObject = args.model_dump(
        by_alias=True, exclude_unset=True, exclude={"agent_id", "test_case_id", "clear"}
    )
    twice = [name for name in args.clear if name in given]
    if twice:
        raise InvalidArguments(f"clear empties {twice[0]}, which has a new value too. Give one.")
    given |= dict.fromkeys(args.clear, "")
    if not given:
        raise InvalidArguments(
            f"Nothing to change: give at least one of {', '.join(WRITABLE)}, or clear. An empty"
            " text changes nothing; clear empties label or llmModel."
        )
    async with api.lock_test_case(args.test_case_id, args.agent_id):
        before, after = await _change_test_case(args, given, api)
    case = TestCaseAnswer.of(after, args.agent_id, asked_id=args.test_case_id)
    answer = UpdatedTestCase(**case.model_dump(), changes=_find_changes(before.raw, after.raw))
    for name, value in given.items():
        if name not in after.raw:
            answer.not_shown.append(name)
        elif after.raw[name] != value and not (after.raw[name] is None and value in ("", [])):
            answer.not_as_sent.append(name)
    unseen: JSONObject = {name: given[name] for name in answer.not_shown}
    check = check_written(Draft.of_stored(after, args.test_case_id, unseen))
    answer.add_check(check)
    answer.next_calls = [_suggest_next(args.test_case_id, after, check, args.agent_id, api)]
    return answer.add_links(*case.links)


async def _change_test_case(
    args: UpdateTestCase, given: JSONObject, api: SigmaMindClient
) -> tuple[TestCase, TestCase]:
    """Write the changed test case; return it as it was before and is after."""
    before = await api.get_test_case(args.test_case_id, args.agent_id)
    # Write the whole case from the raw object: the API's pages differ on whether a part is enough.
    kept = {name: before.raw[name] for name in WRITABLE if before.raw.get(name) is not None}
    await api.update_test_case(args.test_case_id, {"agentId": args.agent_id, **kept, **given})
    try:
        after = await api.get_test_case(args.test_case_id, args.agent_id)
    except SigmaMindError as exc:
        raise OutcomeUnknown(
            "The test case was changed, but reading it again failed. Look at it with get_test_case."
        ) from exc
    return before, after


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

    For prompt and criteria use get_test_case. Reads only.
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
    answer = TestCaseList(
        agent_id=args.agent_id,
        page=page.place.page,
        size=args.size,
        total_count=len(matching),
        test_cases=[TestCaseRow.of(case) for case in cases],
    )
    if args.detail == "full":
        answer.raw = {"testCases": [case.raw for case in cases]}
    add_next_page(answer, "list_test_cases", args, page, count=count)
    return answer


def _find_changes(before: JSONObject, after: JSONObject) -> list[FieldChange]:
    changes = []
    for name in WRITABLE:
        old, new = before.get(name), after.get(name)
        # A field that the API does not show may still have its value.
        if name in after and old != new:
            changes.append(FieldChange(field=name, before=old, after=new))
    return changes


def _suggest_next(
    test_case_id: str, case: TestCase, check: Check, agent_id: str, api: SigmaMindClient
) -> NextCall:
    """Return the call that runs this case, with allowDuplicate where it ran unchanged just now.

    A case with a problem is not run: the call that checks it again comes instead.
    """
    if check.has_problem:
        again: CallArguments = {"agentId": agent_id, "testCaseId": test_case_id}
        return NextCall(tool="check_test_case", arguments=again)
    run: CallArguments = {"agentId": agent_id, "testCases": [test_case_id]}
    named = case.model_copy(update={"test_case_id": test_case_id})
    if api.has_recent_launch(identify_definition(agent_id, [named])):
        run["allowDuplicate"] = True
    return NextCall(tool="create_batch_run", arguments=run)

"""Change a stored test case, and show what changed by words."""

import json
from collections.abc import Container, Sequence
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from sigmamind_mcp.api.case_fields import has_same_value, is_as_sent
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.errors import InvalidArguments, OutcomeUnknown, SigmaMindError
from sigmamind_mcp.insight.case_definitions import DefinitionEdit, find_edits
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.answers import Link, Rendered
from sigmamind_mcp.tools.argument_forms import OWN_ERROR, NotBlank, list_of
from sigmamind_mcp.tools.arguments import ForAgent, TestCaseId
from sigmamind_mcp.tools.cases import CheckedWrite, list_mock_names, suggest_check, suggest_run
from sigmamind_mcp.tools.drafts import (
    CRITERIA_FACTS,
    LABEL_FACTS,
    MOCK_DATA_FACTS,
    MOCK_ENTRIES,
    MODEL_FACTS,
    PROMPT_FACTS,
    WRITABLE,
    Attempts,
    Draft,
    MockEntry,
    Prose,
    check_written,
)
from sigmamind_mcp.tools.parts import EditShown, ListedEdits
from sigmamind_mcp.tools.unread_notes import note_record
from sigmamind_mcp.uris import uri_of

MAX_CHANGES = 100
OLD_CHARACTERS = 2_000
"""Old values are overwritten for good, so the answer shows more of them than of new ones."""

CLEARABLE = ("label", "llmModel")
MOCK_PREFIX = "mockData."


def _refuse_unclearable(name: str) -> str:
    if name in CLEARABLE or name.removeprefix(MOCK_PREFIX) not in ("", name):
        return name
    raise PydanticCustomError(
        OWN_ERROR, "must be 'label', 'llmModel', or 'mockData.' with a variable's name"
    )


class UpdateTestCase(ForAgent):
    test_case_id: TestCaseId
    user_prompt: Annotated[Prose, Field(description=PROMPT_FACTS)] = ""
    success_criteria: Annotated[Prose, Field(description=CRITERIA_FACTS)] = ""
    label: Annotated[str, Field(max_length=256, description=LABEL_FACTS), NotBlank] = ""
    llm_model: Annotated[str, Field(description=MODEL_FACTS), NotBlank] = ""
    mock_data: Annotated[
        list[MockEntry],
        Field(max_length=100, description=f"Replaces the list; [] empties it. {MOCK_DATA_FACTS}"),
        list_of(MOCK_ENTRIES),
    ] = []
    set_mock_data: Annotated[
        list[MockEntry],
        Field(max_length=100, description="Sets or adds these; the others stay."),
        list_of(MOCK_ENTRIES),
    ] = []
    attempt: Attempts = 1
    clear: Annotated[
        list[Annotated[str, AfterValidator(_refuse_unclearable)]],
        Field(
            max_length=100,
            description="label, llmModel, or mockData.NAME. An empty text changes nothing.",
        ),
        list_of("field names"),
    ] = []

    @property
    def cleared_texts(self) -> list[str]:
        return [name for name in self.clear if name in CLEARABLE]

    @property
    def removed_mocks(self) -> list[str]:
        """The names of the mock variables to remove."""
        return [name.removeprefix(MOCK_PREFIX) for name in self.clear if name not in CLEARABLE]


class UpdatedTestCase(CheckedWrite):
    """What changed of a test case."""

    test_case_id: str
    agent_id: str
    changed: list[str] = Field(description="Fields whose value changed.")
    edits: list[EditShown] = Field(default=[], description="What changed in them.")
    more_edits: int | None = Field(default=None, description="Edits that are not shown.")
    not_as_sent: list[str] = Field(
        default=[], description="Fields that the API shows with another value than was sent."
    )
    not_shown: list[str] = Field(
        default=[], description="Fields that were sent and that the API does not show."
    )
    uri: str = Field(description="Resource with every field.")

    def render(self) -> Rendered:
        before = [f"Test case {self.test_case_id} of agent {self.agent_id}."]
        before.append(self._describe_changes())
        if self.not_as_sent:
            before.append(f"Not stored as sent: {', '.join(self.not_as_sent)}.")
        if self.not_shown:
            before.append(f"Sent, but not in the API's answer: {', '.join(self.not_shown)}.")
        data = [edit.line().strip() for edit in self.edits]
        after = [f"Not shown: {pluralize(self.more_edits, 'edit')}."] if self.more_edits else []
        return self.add_findings(Rendered(before, data, [*after, f"Resource: {self.uri}"]))

    def _describe_changes(self) -> str:
        if self.changed or not self.not_shown:
            return f"Changed: {', '.join(self.changed) or 'nothing'}."
        return "Changed: nothing that the API's answer shows."


class _Update(NamedTuple):
    """A test case before and after a change, and the fields that were sent to change it."""

    before: TestCase
    after: TestCase
    given: JSONObject


async def update_test_case(args: UpdateTestCase, api: SigmaMindClient) -> UpdatedTestCase:
    """Change the given fields of a test case; the others keep their value.

    For a variant to compare with use create_test_case. Overwrites old values permanently, runs
    nothing; existing batch runs keep their results.
    """
    given: JSONObject = args.model_dump(
        by_alias=True,
        exclude_unset=True,
        exclude={"agent_id", "test_case_id", "set_mock_data", "clear"},
    )
    for name in args.cleared_texts:
        if name in given:
            raise InvalidArguments(f"clear empties {name}, which has a new value too. Give one.")
    given |= dict.fromkeys(args.cleared_texts, "")
    changes_mocks = bool(args.set_mock_data or args.removed_mocks)
    if not (given or changes_mocks):
        raise InvalidArguments(
            f"Nothing to change: give at least one of {', '.join(WRITABLE)}, setMockData, or clear."
            " An empty text changes nothing; clear empties label or llmModel."
        )
    if "mockData" in given and changes_mocks:
        raise InvalidArguments(
            "mockData replaces what setMockData and clear change. Give it alone, or them."
        )
    _refuse_conflicting_mocks(args)
    async with api.lock_test_case(args.test_case_id, args.agent_id):
        before, after, given = await _change_test_case(args, given, api)
    answer = _show_update(args, before, after)
    sent = TestCase.read(given)
    unseen: JSONObject = {}
    for name, value in given.items():
        if name not in after.raw:
            unseen[name] = value
        elif not is_as_sent(name, after, sent):
            answer.not_as_sent.append(name)
    answer.not_shown = list(unseen)
    check = check_written(Draft.of_stored(after, args.test_case_id, unseen))
    answer.add_check(check)
    if _may_have_lost_mocks(before, after, given):
        # Only check_test_case reads whether the agent needs what is gone.
        answer.next_calls = [suggest_check(args.test_case_id, args.agent_id)]
    else:
        answer.next_calls = [suggest_run(args.test_case_id, after, check, args.agent_id, api)]
    return answer


def _refuse_conflicting_mocks(args: UpdateTestCase) -> None:
    names = [entry.variable_name for entry in args.set_mock_data]
    if len(names) > len(set(names)):
        raise InvalidArguments("setMockData sets a mock variable twice. Give each once.")
    if not set(names).isdisjoint(args.removed_mocks):
        raise InvalidArguments(
            "clear removes a mock variable that setMockData sets. Give one of them."
        )


def _may_have_lost_mocks(before: TestCase, after: TestCase, given: JSONObject) -> bool:
    replaces_unseen = "mockData" in given and not isinstance(before.raw.get("mockData"), list)
    return replaces_unseen or bool(list_mock_names(before) - list_mock_names(after))


def _show_update(args: UpdateTestCase, before: TestCase, after: TestCase) -> UpdatedTestCase:
    case_id, agent_id = args.test_case_id, args.agent_id
    changed = _find_changed_fields(before, after)
    edits = _list_field_edits(before, after, changed)
    shown, more = ListedEdits.of(edits, most=MAX_CHANGES, old_characters=OLD_CHARACTERS)
    answer = UpdatedTestCase(
        test_case_id=case_id,
        agent_id=agent_id,
        changed=changed,
        edits=shown,
        more_edits=more,
        uri=uri_of("test-case", agentId=agent_id, testCaseId=case_id),
    )
    answer.add_links(Link(answer.uri, f"Test case {case_id}", "application/json"))
    return answer.add_notes(note_record("test case", after, case_id))


async def _change_test_case(
    args: UpdateTestCase, given: JSONObject, api: SigmaMindClient
) -> _Update:
    before = await api.get_test_case(args.test_case_id, args.agent_id)
    if args.set_mock_data or args.removed_mocks:
        mock_data = await _find_stored_mocks(before, args, api)
        given = {**given, "mockData": _edit_mock_data(mock_data, args)}
    # Write the whole case from the raw object: the API's pages differ on whether a part is enough.
    # What it does not show is left out: the newest page says that such fields keep their value.
    body: JSONObject = {"agentId": args.agent_id}
    for name in WRITABLE:
        is_hidden = name == "mockData" and _hides_values(before.raw.get(name))
        if before.raw.get(name) is not None and not is_hidden:
            body[name] = before.raw[name]
    await api.update_test_case(args.test_case_id, body | given)
    try:
        after = await api.get_test_case(args.test_case_id, args.agent_id)
    except SigmaMindError as exc:
        raise OutcomeUnknown(
            "The test case was changed, but reading it again failed. Look at it with get_test_case."
        ) from exc
    return _Update(before, after, given)


async def _find_stored_mocks(
    before: TestCase, args: UpdateTestCase, api: SigmaMindClient
) -> object:
    """Return the stored mock data, [] if there is none; None if that is not known."""
    stored = before.raw.get("mockData")
    if stored is not None:
        return stored
    try:
        listed = (await api.list_test_cases(args.agent_id)).items
    except SigmaMindError:
        return None
    shown = {case.test_case_id: case.raw.get("mockData") for case in listed}
    stored = shown.get(args.test_case_id)
    others_are_shown = any(isinstance(mocks, list) and mocks for mocks in shown.values())
    if stored is None and args.test_case_id in shown and others_are_shown:
        # The API shows the mock data of other test cases, so this one has none.
        return []
    return stored


def _edit_mock_data(stored: object, args: UpdateTestCase) -> list[object]:
    """Return the stored mock data without what is removed, and with the values to set.

    Raises:
        InvalidArguments: the stored mock data is not shown, or has no variable of a name to remove.
    """
    values = {entry.variable_name: entry.value for entry in args.set_mock_data}
    if not isinstance(stored, list) or _hides_values(
        stored, except_of={*values, *args.removed_mocks}
    ):
        raise InvalidArguments(
            "setMockData and clear could lose mock data that the API does not show. Send all of it"
            " as mockData."
        )
    found: set[str] = set()
    edited: list[object] = []
    for entry in stored:
        name = entry.get("variableName") if isinstance(entry, dict) else None
        if isinstance(name, str):
            found.add(name)
        if name in args.removed_mocks:
            continue
        if isinstance(name, str) and name in values:
            entry = {**entry, "value": values[name]}
        edited.append(entry)
    for number, name in enumerate(args.clear):
        if name not in CLEARABLE and name.removeprefix(MOCK_PREFIX) not in found:
            raise InvalidArguments(
                f"clear[{number}] names a variable that the API does not show with exactly"
                " this name; get_test_case shows the mock data, and mockData replaces all of it."
            )
    for name, value in values.items():
        if name not in found:
            edited.append({"variableName": name, "value": value})
    return edited


def _hides_values(stored: object, *, except_of: Container[str] = ()) -> bool:
    """Whether stored mock data has a variable without its value, other than these."""
    for entry in stored if isinstance(stored, list) else []:
        if not isinstance(entry, dict) or entry.get("value") is not None:
            continue
        name = entry.get("variableName")
        if isinstance(name, str) and name not in except_of:
            return True
    return False


def _find_changed_fields(before: TestCase, after: TestCase) -> list[str]:
    # A field that the API does not show may still have its value.
    changed = []
    for name in WRITABLE:
        if name in after.raw and not has_same_value(name, before, after):
            changed.append(name)
    return changed


def _list_field_edits(
    before: TestCase, after: TestCase, changed: Sequence[str]
) -> list[DefinitionEdit]:
    """Return the edits of the changed fields; where none can be told, the whole values."""
    edits = [edit for edit in find_edits(before, after) if edit.field in changed]
    found = {edit.field for edit in edits}
    for name in changed:
        if name not in found:
            old = _write_value(before.raw.get(name))
            new = _write_value(after.raw.get(name))
            edits.append(DefinitionEdit(name, old, new))
    return sorted(edits, key=lambda edit: changed.index(edit.field))


def _write_value(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)

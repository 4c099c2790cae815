"""The API's objects; the variants that its documentation shows are known only here.

Published versions of the API disagree, so no field is required, and `raw` keeps the whole object.
"""

import json
import re
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field
from pydantic.alias_generators import to_camel

from sigmamind_mcp.api.conversations import Conversation, Turn
from sigmamind_mcp.api.records import Record, join_text, limit_said
from sigmamind_mcp.moments import parse_moment

# Models on the newest Create Test Case page. They are examples, not a limit: the list will age.
KNOWN_LLM_MODELS = (
    "gpt-5.2", "gpt-5.2-fast-tier", "gpt-5.1", "gpt-5.1-fast-tier", "gpt-5", "gpt-5-fast-tier",
    "gpt-5-mini", "gpt-5-mini-fast-tier", "gpt-5-nano", "gpt-4.1", "gpt-4.1-fast-tier",
    "gpt-4.1-mini", "gpt-4.1-mini-fast-tier", "gpt-4.1-nano", "gpt-4.1-nano-fast-tier",
    "gpt-4o", "gpt-4o-fast-tier", "gpt-4o-mini", "gpt-4o-mini-fast-tier",
    "claude-haiku-4-5-20251001", "claude-sonnet-4-5-20250929", "claude-sonnet-4-20250514",
    "gemini-3.1-flash-lite-preview", "gemini-3-flash-preview", "gemini-2.5-flash-lite",
    "gemini-2.5-flash",
)  # fmt: skip

# A larger number is not a count of attempts, and Python cannot print one of 4,300 digits.
LARGEST_COUNT = 1_000_000_000
STALLED_AFTER = timedelta(minutes=15)

# Only completedDate is documented.
END_NAMES = ("completedDate", "completedAt", "endedDate", "endedAt", "endDate", "finishedAt")
_END_FIELDS = frozenset(END_NAMES)

# The fields of a batch run without which nobody knows how many attempts its test cases request.
_ATTEMPT_FIELDS = re.compile(r"testCases(\.[0-9]+(\.attempt)?)?")

# What programs write where they have no date: SQL, .NET and Go, and the start of the epoch.
_ZERO_DATE = re.compile(r"(0000-00-00|(0001|1970)-01-01)([T ]00:00:00(\.0+)?)?(Z|\+00:?00)?")


BatchRunState = Literal["finished", "running", "stalled", "unknown"]
Verdict = Literal["passed", "failed", "undecided"]


def _read_moment(value: object) -> datetime | None:
    if not _gives_time(value):
        return None
    moment = parse_moment(value)
    if moment is None:
        raise ValueError("the time is unreadable")
    return moment


def _gives_time(value: object) -> bool:
    """Return whether the API gives a time, in any form; the zeros of date types are none."""
    return bool(value) and not (isinstance(value, str) and _ZERO_DATE.fullmatch(value))


def _read_optional_id(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if type(value) is not int:
        raise ValueError("the id is unreadable")
    return str(value)


def _refuse_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value


def _require_count(number: int | None, *, least: int) -> int | None:
    if number is not None and not least <= number <= LARGEST_COUNT:
        raise ValueError("no count has this value")
    return number


def _limit_remarks(remarks: str | None) -> str | None:
    return None if remarks is None else limit_said(remarks)


def _wrap_case_id(value: object) -> object:
    """Return the test case; it may be given by its id alone."""
    return {"testCaseId": value} if isinstance(value, str) and value else value


ItemT = TypeVar("ItemT")
Text = Annotated[str, BeforeValidator(join_text)]
OptionalText = Annotated[str | None, BeforeValidator(join_text)]
OptionalID = Annotated[str | None, BeforeValidator(_read_optional_id)]
Number = Annotated[int | None, BeforeValidator(_refuse_boolean)]
Count = Annotated[Number, AfterValidator(partial(_require_count, least=0))]
Moment = Annotated[datetime | None, BeforeValidator(_read_moment)]
Created = Annotated[Moment, Field(validation_alias=AliasChoices("createdDate", "createdAt"))]
OptionalList = Annotated[list[ItemT], BeforeValidator(lambda value: value or [])]


class AgentRef(Record):
    """The short form of an agent inside other objects."""

    # The agents API calls the field agentName.

    name: OptionalText = Field(default=None, validation_alias=AliasChoices("name", "agentName"))
    agent_id: OptionalID = None
    status: OptionalText = None


class AgentSettings(Record):
    llm_model: OptionalText = None
    global_prompt: OptionalText = None
    ai_starts_conversation: bool | None = None
    webhooks: OptionalList[Any] = []


class Agent(AgentRef):
    """A single prompt agent, from the agents API."""

    instructions: OptionalText = None
    welcome_message: OptionalText = None
    agent_settings: Annotated[AgentSettings, BeforeValidator(lambda value: value or {})] = (
        AgentSettings()
    )
    tools: OptionalList[Any] = []

    @property
    def is_prompt_shown(self) -> bool:
        """Whether the API shows a prompt, and every field could be read."""
        return any(self.list_prompts()) and not self.unreadable_fields()

    def list_prompts(self) -> list[str | None]:
        """Return its texts: what it is told, and what it says first."""
        return [self.instructions, self.agent_settings.global_prompt, self.welcome_message]

    def list_given_texts(self) -> list[str]:
        """Return all that it knows from the start: its prompts and its tools."""
        tools = json.dumps(self.tools, ensure_ascii=False)
        return [*filter(None, self.list_prompts()), tools]


class MockVariable(Record):
    variable_name: Text = ""
    value: Text = ""


class TestCase(Record):
    test_case_id: OptionalID = None
    label: OptionalText = None
    agent: AgentRef | None = None
    agent_id: OptionalID = None
    workspace_id: OptionalID = None
    llm_model: OptionalText = None
    mock_data: OptionalList[MockVariable] = []
    user_prompt: OptionalText = None
    attempt: Annotated[Number, AfterValidator(partial(_require_count, least=1))] = None
    success_criteria: OptionalText = None

    @property
    def title(self) -> str:
        """The label; without one, the start of the prompt; without one, the id."""
        start = " ".join((self.user_prompt or "").split())[:60]
        return self.label or start or self.test_case_id or "unnamed test case"


class BatchRun(Record):
    batch_id: OptionalID = None
    workspace_id: OptionalID = None
    agent: AgentRef | None = None
    agent_id: OptionalID = None
    created_date: Created = None
    test_cases: OptionalList[TestCase] = []
    successful_attempts: Count = None
    failed_attempts: Count = None
    total_attempts: Count = None

    @property
    def expected_attempts(self) -> int | None:
        """How many attempts the batch run will have at its end; None if unknown."""
        if any(_ATTEMPT_FIELDS.fullmatch(name) for name in self.unreadable_fields()):
            return None
        requested = sum(1 if case.attempt is None else case.attempt for case in self.test_cases)
        # totalAttempts counts the attempts so far, so it grows while the batch runs. It is the goal
        # only if it is more than the cases request, or if there are no cases.
        return max(requested, self.total_attempts or 0) or None

    @property
    def decided_attempts(self) -> int | None:
        """How many attempts have a verdict; None if unknown."""
        counters = {"successfulAttempts", "failedAttempts"}
        if not counters.isdisjoint(self.unreadable_fields()):
            return None
        if self.successful_attempts is None and self.failed_attempts is None:
            return None
        return (self.successful_attempts or 0) + (self.failed_attempts or 0)

    def state(self, now: datetime, last_completed: datetime | None = None) -> BatchRunState:
        """Derive the state from the counters and the age; the API has no status.

        `now` is the time by the API's clock, `last_completed` the end of the newest attempt.
        """
        decided, expected = self.decided_attempts, self.expected_attempts
        has_counters = decided is not None and expected is not None
        if decided is not None and expected is not None and decided >= expected:
            return "finished"
        if self.created_date is None:
            return "running" if has_counters else "unknown"
        last_event = max(self.created_date, last_completed or self.created_date)
        if now - last_event <= STALLED_AFTER:
            return "running"
        # Attempts are missing and nothing happens: a broken attempt may be in neither counter.
        return "stalled" if has_counters else "unknown"


class TestRun(Record):
    job_id: OptionalID = None
    batch_id: OptionalID = None
    workspace_id: OptionalID = None
    agent: AgentRef | None = None
    agent_id: OptionalID = None
    test_case: Annotated[TestCase | None, BeforeValidator(_wrap_case_id)] = Field(
        default=None, validation_alias=AliasChoices("testCase", "testCaseId")
    )
    chat_id: OptionalID = None
    created_date: Created = None
    completed_date: Moment = Field(
        default=None, validation_alias=AliasChoices(*END_NAMES, "completed_date")
    )
    is_successful: bool | None = Field(
        default=None, validation_alias=AliasChoices("isSuccessful", "isSuccesful", "is_successful")
    )
    remarks: Annotated[OptionalText, AfterValidator(_limit_remarks)] = None
    conversation: Conversation = Field(
        default=None, validation_alias=AliasChoices("conversation", "messages", "transcript")
    )

    def unreadable_fields(self) -> list[str]:
        """Return the API's names of unreadable fields, and the messages by their position."""
        messages = enumerate(self.conversation or [])
        unreadable = [f"conversation.{place}" for place, turn in messages if not turn.is_readable]
        return super().unreadable_fields() + unreadable

    @property
    def has_ended(self) -> bool:
        """Whether the API gives an end, readable or not."""
        if self.completed_date is not None or _END_FIELDS.intersection(self.unreadable_fields()):
            return True
        return any(_gives_time(self.raw.get(name)) for name in END_NAMES)

    @property
    def verdict(self) -> Verdict:
        """Decided if isSuccessful is true, or if it is false and the run has an end or remarks."""
        if self.is_successful:
            return "passed"
        # isSuccessful may be false while a run goes on, which is not a failure.
        is_decided = self.is_successful is False and (self.remarks or self.has_ended)
        return "failed" if is_decided else "undecided"


def field_names() -> set[str]:
    """Return the name, in JSON, of every field that these models read."""
    return _list_field_names(Record).union(map(to_camel, Turn._fields))


def _list_field_names(kind: type[Record]) -> set[str]:
    names = {info.serialization_alias or name for name, info in kind.model_fields.items()}
    return names.union(*map(_list_field_names, kind.__subclasses__()))

"""The API's objects; the variants that its pages show are known only here.

Published versions of the API disagree, so no field is required, and `raw` keeps the whole object.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from sigmamind_mcp.errors import UnexpectedAnswer
from sigmamind_mcp.strict_json import JSONObject

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

# Undocumented fields of a batch run, or of its test cases, that may hold test runs.
RUN_FIELDS = ("testRuns", "jobs", "jobIds", "runs", "results")

BatchRunState = Literal["finished", "running", "stalled", "unknown"]
Verdict = Literal["passed", "failed", "undecided"]


def join_text(value: object) -> object:
    """Return the value as text: join a list, encode anything else as JSON; keep None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(str(join_text(part)) for part in value)
    return json.dumps(value, ensure_ascii=False)


def parse_moment(value: object) -> datetime | None:
    """Parse an ISO 8601 time, UTC by default; return None if it is malformed."""
    try:
        moment = datetime.fromisoformat(str(value))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    # OverflowError: the first and the last day of the calendar have no UTC time in every zone.
    except (ValueError, OverflowError):
        return None


def _drop_impossible(number: int | None, *, least: int) -> int | None:
    """Return the number, or None if no count can have this value."""
    return number if number is not None and least <= number <= LARGEST_COUNT else None


ItemT = TypeVar("ItemT")
Text = Annotated[str, BeforeValidator(join_text)]
OptionalText = Annotated[str | None, BeforeValidator(join_text)]
Count = Annotated[int | None, AfterValidator(partial(_drop_impossible, least=0))]
Moment = Annotated[datetime | None, BeforeValidator(parse_moment)]
OptionalList = Annotated[list[ItemT], BeforeValidator(lambda value: value or [])]


class Record(BaseModel):
    """An object of the API: the fields that this server uses, and `raw`, all of it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    _raw: JSONObject = PrivateAttr(default_factory=dict)

    @property
    def raw(self) -> JSONObject:
        return self._raw

    @model_validator(mode="wrap")
    @classmethod
    def _keep_raw(cls, data: object, build: ModelWrapValidatorHandler[Self]) -> Self:
        record = build(data)
        if isinstance(data, dict):
            record._raw = data
        return record

    @classmethod
    def read(cls, data: object) -> Self:
        """Validate parsed JSON.

        Raises:
            UnexpectedAnswer: `data` is not an object, or a field that we use is invalid.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as exc:
            location = exc.errors(include_input=False)[0]["loc"]
            field = ".".join(str(part) for part in location)
            subject = f"its field {field!r}" if field else "it"
            raise UnexpectedAnswer(
                f"The API's answer cannot be read as a {cls.__name__}:"
                f" {subject} is not what its pages show."
            ) from None


class AgentRef(Record):
    """The short form of an agent inside other objects."""

    # The agents API calls the field agentName.

    name: OptionalText = Field(default=None, validation_alias=AliasChoices("name", "agentName"))
    agent_id: OptionalText = None
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


class MockVariable(Record):
    variable_name: Text = ""
    value: Text = ""


class TestCase(Record):
    test_case_id: OptionalText = None
    label: OptionalText = None
    agent: AgentRef | None = None
    workspace_id: OptionalText = None
    llm_model: OptionalText = None
    mock_data: OptionalList[MockVariable] = []
    user_prompt: OptionalText = None
    attempt: Annotated[int | None, AfterValidator(partial(_drop_impossible, least=1))] = None
    success_criteria: OptionalText = None

    @property
    def title(self) -> str:
        """The label; without one, the start of the prompt; without one, the id."""
        start = " ".join((self.user_prompt or "").split())[:60]
        return self.label or start or self.test_case_id or "unnamed test case"


class BatchRun(Record):
    batch_id: OptionalText = None
    workspace_id: OptionalText = None
    agent: AgentRef | None = None
    created_date: Moment = None
    test_cases: OptionalList[TestCase] = []
    successful_attempts: Count = None
    failed_attempts: Count = None
    total_attempts: Count = None

    @property
    def expected_attempts(self) -> int | None:
        """How many attempts the batch run will have at its end; None if unknown."""
        requested = sum(1 if case.attempt is None else case.attempt for case in self.test_cases)
        # totalAttempts counts the attempts so far, so it grows while the batch runs. It is the goal
        # only if it is more than the cases request, or if there are no cases.
        return max(requested, self.total_attempts or 0) or None

    @property
    def decided_attempts(self) -> int | None:
        """How many attempts have a verdict; None if the API has neither counter."""
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


class Turn(Record):
    """One message of a conversation."""

    # The API's pages show the roles `user` and `assistant`.
    role: Text = "unknown"
    content: Annotated[str, BeforeValidator(lambda value: join_text(value) or "")] = ""


class TestRun(Record):
    job_id: OptionalText = None
    batch_id: OptionalText = None
    workspace_id: OptionalText = None
    agent: AgentRef | None = None
    test_case: TestCase | None = None
    chat_id: OptionalText = None
    created_date: Moment = None
    completed_date: Moment = None
    is_successful: bool | None = Field(
        default=None, validation_alias=AliasChoices("isSuccessful", "isSuccesful", "is_successful")
    )
    remarks: OptionalText = None
    conversation: list[Turn] | None = None

    @property
    def verdict(self) -> Verdict:
        """Decided only if the run has an end and a verdict."""
        # isSuccessful is false while a run goes on, which is not a failure.
        if self.completed_date is None or self.is_successful is None:
            return "undecided"
        return "passed" if self.is_successful else "failed"


def extract_runs(batch_run: BatchRun) -> list[TestRun]:
    """Read the test runs, or bare job ids, from undocumented fields of a batch run."""
    runs = [TestRun.read(entry) for entry in _extract_run_entries(batch_run.raw)]
    for case in batch_run.test_cases:
        for entry in _extract_run_entries(case.raw):
            runs.append(TestRun.read({"testCase": case.raw, **entry}))
    return runs


def _extract_run_entries(holder: JSONObject) -> list[JSONObject]:
    for field in RUN_FIELDS:
        items = holder.get(field)
        if isinstance(items, list) and items:
            return _list_run_entries(items)
    return []


def _list_run_entries(items: list[Any]) -> list[JSONObject]:
    """Return the items that have a job id; a plain string is one."""
    entries = []
    for item in items:
        entry = {"jobId": item} if isinstance(item, str) else item
        if isinstance(entry, dict) and entry.get("jobId"):
            entries.append(entry)
    return entries


RecordT = TypeVar("RecordT", bound=Record)


@dataclass(frozen=True)
class Page(Generic[RecordT]):
    """One page of a list; `size` and `total` are None if the API does not give them.

    `size` is the API's page size, `total` the length of the whole list.
    """

    items: list[RecordT]
    size: int | None
    total: int | None
    has_next: bool

    @classmethod
    def read(cls, data: object, read_item: Callable[[object], RecordT]) -> "Page[RecordT]":
        """Parse a page with `data`, or a plain array, which is a whole list.

        Raises:
            UnexpectedAnswer: `data` is neither, or an item is invalid.
        """
        if isinstance(data, list):
            return cls([read_item(item) for item in data], None, len(data), False)
        envelope = PagedList.read(data)
        if envelope.data is None:
            raise UnexpectedAnswer(
                "The API's answer is neither a list nor a page with 'data', as its pages show."
            )
        items = [read_item(item) for item in envelope.data]
        has_next = envelope.has_more(len(items))
        return cls(items, envelope.size, envelope.total_count, has_next)


class PagedList(Record):
    data: list[Any] | None = None
    page: int = 0
    size: int | None = None
    total_count: int | None = Field(
        default=None, validation_alias=AliasChoices("totalCount", "totalCounts")
    )
    total_pages: int | None = None
    has_next: bool | None = None

    def has_more(self, shown: int) -> bool:
        """Return whether pages follow this one, which has `shown` items."""
        if self.has_next is not None:
            return self.has_next
        if self.total_pages is not None:
            return self.page + 1 < self.total_pages
        if self.total_count is None:
            return False
        return self.page * (self.size or shown) + shown < self.total_count


def field_names(kind: type[Record] = Record) -> set[str]:
    """Return the name, in JSON, of every field that these models read."""
    names = {field.serialization_alias or name for name, field in kind.model_fields.items()}
    return names.union(*map(field_names, kind.__subclasses__()))

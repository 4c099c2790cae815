"""The API's objects. Every variant that its pages show ends here; nothing above has heard of them.

No field is required, and the object as it came is kept in `raw`, because published versions of the API disagree.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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

KNOWN_LLM_MODELS = (
    "gpt-5.2", "gpt-5.2-fast-tier", "gpt-5.1", "gpt-5.1-fast-tier", "gpt-5", "gpt-5-fast-tier", "gpt-5-mini",
    "gpt-5-mini-fast-tier", "gpt-5-nano", "gpt-4.1", "gpt-4.1-fast-tier", "gpt-4.1-mini", "gpt-4.1-mini-fast-tier",
    "gpt-4.1-nano", "gpt-4.1-nano-fast-tier", "gpt-4o", "gpt-4o-fast-tier", "gpt-4o-mini", "gpt-4o-mini-fast-tier",
    "claude-haiku-4-5-20251001", "claude-sonnet-4-5-20250929", "claude-sonnet-4-20250514",
    "gemini-3.1-flash-lite-preview", "gemini-3-flash-preview", "gemini-2.5-flash-lite", "gemini-2.5-flash",
)  # fmt: skip
"""Models that the newest Create Test Case page lists: examples, never a limit, for the list will age."""

MOST_ATTEMPTS = 1_000_000_000
STALLED_AFTER = timedelta(minutes=15)

BatchRunState = Literal["finished", "running", "stalled", "unknown"]
Verdict = Literal["passed", "failed", "undecided"]


def as_text(value: object) -> object:
    """Turn what stands where a text should into a text: a list of texts is joined, a number is spelt."""
    if isinstance(value, list):
        return "\n".join(str(as_text(part)) for part in value)
    return (
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )


def as_moment(value: object) -> datetime | None:
    """Read an ISO 8601 time, UTC unless it says otherwise; one that cannot be read is no time."""
    try:
        moment = datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # the first and the last day of time have no UTC everywhere
        return None


Text = Annotated[str, BeforeValidator(as_text)]
OptionalText = Annotated[str | None, BeforeValidator(as_text)]
Count = Annotated[int | None, AfterValidator(lambda number: _within(number, 0))]
"""A number of attempts; one that cannot be one is as good as absent."""
Moment = Annotated[datetime | None, BeforeValidator(as_moment)]


def _within(number: int | None, least: int) -> int | None:
    return number if number is not None and least <= number <= MOST_ATTEMPTS else None


class Record(BaseModel):
    """An object of the API: the fields that we use, and in `raw` all of it as it came."""

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
        """Build the record from a decoded JSON body.

        Raises:
            UnexpectedAnswer: `data` is no object, or a field that we use cannot be read.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as exc:
            where = ".".join(str(part) for part in exc.errors(include_input=False)[0]["loc"])
            field = f"its field {where!r} is not" if where else "it is not"
            raise UnexpectedAnswer(
                f"The API's answer cannot be read as a {cls.__name__}: {field} what its pages show."
            ) from None


class AgentRef(Record):
    """The short form of an agent inside other objects; the agents API says `agentName` for `name`."""

    name: OptionalText = Field(default=None, validation_alias=AliasChoices("name", "agentName"))
    agent_id: OptionalText = None
    status: OptionalText = None


class AgentSettings(Record):
    llm_model: OptionalText = None
    global_prompt: OptionalText = None
    ai_starts_conversation: bool | None = None
    webhooks: Annotated[list[Any], BeforeValidator(lambda value: value or [])] = []


class Agent(AgentRef):
    """A single prompt agent, as the agents API shows it."""

    instructions: OptionalText = None
    welcome_message: OptionalText = None
    agent_settings: Annotated[AgentSettings, BeforeValidator(lambda value: value or {})] = (
        AgentSettings()
    )
    tools: Annotated[list[Any], BeforeValidator(lambda value: value or [])] = []


class MockVariable(Record):
    variable_name: Text = ""
    value: Text = ""


class TestCase(Record):
    test_case_id: OptionalText = None
    label: OptionalText = None
    agent: AgentRef | None = None
    workspace_id: OptionalText = None
    llm_model: OptionalText = None
    mock_data: Annotated[list[MockVariable], BeforeValidator(lambda value: value or [])] = []
    user_prompt: OptionalText = None
    attempt: Annotated[int | None, AfterValidator(lambda number: _within(number, 1))] = None
    success_criteria: OptionalText = None

    @property
    def title(self) -> str:
        """What people call the case: its label, else the start of its prompt, else its id."""
        start = " ".join((self.user_prompt or "").split())[:60]
        return self.label or start or self.test_case_id or "unnamed test case"


class BatchRun(Record):
    batch_id: OptionalText = None
    workspace_id: OptionalText = None
    agent: AgentRef | None = None
    created_date: Moment = None
    test_cases: Annotated[list[TestCase], BeforeValidator(lambda value: value or [])] = []
    successful_attempts: Count = None
    failed_attempts: Count = None
    total_attempts: Count = None

    @property
    def expected_attempts(self) -> int | None:
        """How many attempts the batch will have had when it ends, as far as can be told."""
        # totalAttempts counts attempts already executed, so it grows while the batch runs: never the goal
        # by itself, unless it has passed what the cases ask for or there are no cases to ask.
        asked = sum(1 if case.attempt is None else case.attempt for case in self.test_cases)
        return max(asked, self.total_attempts or 0) or None

    @property
    def decided_attempts(self) -> int | None:
        """Attempts with a verdict; None when the API gave neither counter."""
        if self.successful_attempts is None and self.failed_attempts is None:
            return None
        return (self.successful_attempts or 0) + (self.failed_attempts or 0)

    def state(self, now: datetime, last_completed: datetime | None = None) -> BatchRunState:
        """Whether the batch has ended, derived from its counters and age, since the API has no status.

        `now` is the time by the API's clock, `last_completed` when the newest attempt ended, where that is known.
        Stalled means that attempts are missing although nothing has happened for STALLED_AFTER: an attempt that
        breaks may land in neither counter.
        """
        decided, expected = self.decided_attempts, self.expected_attempts
        countable = decided is not None and expected is not None
        if decided is not None and expected is not None and decided >= expected:
            return "finished"
        if self.created_date is None:
            return "running" if countable else "unknown"
        if now - max(self.created_date, last_completed or self.created_date) <= STALLED_AFTER:
            return "running"
        return "stalled" if countable else "unknown"


class Turn(Record):
    """One message of a conversation; `role` is `user` or `assistant` as far as pages show."""

    role: Text = "unknown"
    content: Annotated[str, BeforeValidator(lambda value: as_text(value) or "")] = ""


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
        """Decided only when the run has both an end and a verdict: `false` while it runs is no failure."""
        if self.completed_date is None or self.is_successful is None:
            return "undecided"
        return "passed" if self.is_successful else "failed"


RecordT = TypeVar("RecordT", bound=Record)


@dataclass(frozen=True)
class Page(Generic[RecordT]):
    """One page of a list. `size` is what the API pages by, `total` all there are; None where it does not tell."""

    items: list[RecordT]
    size: int | None
    total: int | None
    has_next: bool

    @classmethod
    def read(cls, data: object, read_item: Callable[[object], RecordT]) -> "Page[RecordT]":
        """Build the page from a decoded JSON body; a bare array is the only page of its list.

        Raises:
            UnexpectedAnswer: it is neither a list nor an envelope with `data`.
        """
        if isinstance(data, list):
            return cls([read_item(item) for item in data], None, len(data), False)
        envelope = PagedList.read(data)
        if envelope.data is None:
            raise UnexpectedAnswer(
                "The API's answer is neither a list nor a page with 'data', as its pages show."
            )
        items = [read_item(item) for item in envelope.data]
        return cls(items, envelope.size, envelope.total_count, envelope.says_more(len(items)))


class PagedList(Record):
    data: list[Any] | None = None
    page: int = 0
    size: int | None = None
    total_count: int | None = Field(
        default=None, validation_alias=AliasChoices("totalCount", "totalCounts")
    )
    total_pages: int | None = None
    has_next: bool | None = None

    def says_more(self, shown: int) -> bool:
        if self.has_next is not None:
            return self.has_next
        if self.total_pages is not None:
            return self.page + 1 < self.total_pages
        return (
            self.total_count is not None
            and self.page * (self.size or shown) + shown < self.total_count
        )


def field_names(kind: type[Record] = Record) -> set[str]:
    """Every name of a field of the API's that is read here."""
    names = {field.serialization_alias or name for name, field in kind.model_fields.items()}
    return names.union(*map(field_names, kind.__subclasses__()))

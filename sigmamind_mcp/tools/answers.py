"""Answers: one set of facts as structured content and as readable text, within a budget.

An answer is a model of chosen fields under the API's names. Its text is rendered from the same
fields, so a host that shows the model only one of the two forms hides nothing. With
`detail: "full"`, `raw` holds the API's own object.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PrivateAttr
from pydantic.alias_generators import to_camel

from sigmamind_mcp.api.models import field_names
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.largest_fit import find_largest_fit
from sigmamind_mcp.tools.unread_notes import NotRead, describe_notes, limit_notes
from sigmamind_mcp.untrusted_text import NOTICE, clean_json, fence

CONCISE_CHARACTERS = 25_000
# Clients truncate or refuse longer results, so the client's own wrapping must fit too.
FULL_CHARACTERS = 59_000
FULL_BYTES = 100_000
MAX_CUTS = 20
MARK_CHARACTERS = 60
MIN_OBJECT_ENTRIES = 40
MAX_KEY_CHARACTERS = 200

OWN_FIELDS = {"next_calls", "hint", "not_read", "cut", "notice"}
"""Fields that hold only this server's words; they are never truncated."""

CallArguments = dict[str, str | bool | int | list[str] | list[dict[str, str | int]]]


def format_time(moment: datetime) -> str:
    """Format like the API: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_day(moment: datetime | None) -> str | None:
    """Return the date in UTC, or None if the time is not known."""
    return moment.astimezone(UTC).date().isoformat() if moment else None


def name_days(batch_runs: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Return the days of the batch runs that are the only ones of their day, by their ids."""
    known = dict(batch_runs)
    counts = Counter(known.values())
    return {batch_id: day for batch_id, day in known.items() if day and counts[day] == 1}


Time = Annotated[datetime, PlainSerializer(format_time, return_type=str, when_used="json")]


class AnswerPart(BaseModel):
    """The base of answers and of the objects in them."""

    # "allow" keeps the output schema open: a later version may add fields.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")


class NextCall(BaseModel):
    """A complete call that continues from this answer."""

    tool: str
    arguments: CallArguments

    def __str__(self) -> str:
        return f"{self.tool} {json.dumps(self.arguments, ensure_ascii=False)}"


class Cut(BaseModel):
    """A text, list or object that was truncated: how much is shown, of how much."""

    field: str
    shown: int
    of: int

    def __str__(self) -> str:
        return f"Cut: {self.field}, {self.shown:,} of {self.of:,} shown."


class Link(NamedTuple):
    uri: str
    name: str
    mime_type: str


class AnswerForms(NamedTuple):
    """Both forms of an answer, as they are sent."""

    structured: JSONObject
    text: str


class Rendered(NamedTuple):
    """The lines of an answer's text; only `data`, which is fenced, holds words of others."""

    before: list[str]
    data: list[str]
    after: list[str]


class Budgets(NamedTuple):
    """How many characters each form of an answer may have."""

    structured: int
    text: int


class Answer(AnswerPart):
    """The base of every tool's result; without `raw`, each form is within `budgets`."""

    budgets: ClassVar[Budgets] = Budgets(CONCISE_CHARACTERS, CONCISE_CHARACTERS)

    next_calls: list[NextCall] = Field(default=[], description="Calls that continue from here.")
    hint: str | None = Field(default=None, description="What to know about this answer.")
    not_read: list[NotRead] = Field(
        default=[],
        description="What the API's answers have that could not be read or was left out.",
    )
    cut: list[Cut] = Field(default=[], description="What was shortened to fit.")
    notice: str = NOTICE
    raw: JSONObject | None = Field(
        default=None, description="The API's own object; only with detail full."
    )

    _links: list[Link] = PrivateAttr(default_factory=list)
    _matrix: list[list[Any]] = PrivateAttr(default_factory=list)

    def choose_budgets(self) -> Budgets:
        """Return how large each form of this answer may be."""
        return self.budgets if self.raw is None else Budgets(FULL_CHARACTERS, FULL_CHARACTERS)

    @property
    def links(self) -> list[Link]:
        return self._links

    @property
    def matrix(self) -> list[list[Any]]:
        """What the viewer's page shows of this answer; models never get it."""
        return self._matrix

    def add_notes(self, notes: Sequence[NotRead]) -> Self:
        """Add what could not be read, the first few by name."""
        self.not_read = limit_notes(notes)
        return self

    def add_links(self, *links: Link) -> Self:
        self._links += links
        return self

    def add_matrix(self, matrix: list[list[Any]]) -> Self:
        self._matrix = matrix
        return self

    def render(self) -> Rendered:
        """Render the chosen fields as text."""
        raise NotImplementedError

    def structured(self) -> JSONObject:
        """Return the structured content: cleaned, without empty fields."""
        content = self._dump_chosen_fields()
        own = self.model_dump(by_alias=True, mode="json", exclude_none=True, include=OWN_FIELDS)
        for name, value in own.items():
            if value:
                content[name] = value
        if self.raw is not None:
            content["raw"] = self.raw
        cleaned: JSONObject = clean_json(content)
        return cleaned

    def text(self) -> str:
        """Return the readable text; words of others stand only inside its fences."""
        rendered = self.render()
        after = [*rendered.after, *describe_notes(self.not_read)]
        if self.hint:
            after.append(self.hint)
        after += map(str, self.cut)
        paragraphs = [
            "\n".join(rendered.before),
            fence("\n".join(rendered.data)) if rendered.data else "",
            self._render_raw(),
            "\n".join(after),
            "\n".join(f"Next: {call}" for call in self.next_calls),
        ]
        return "\n\n".join(filter(None, paragraphs))

    def fits(self) -> bool:
        """Return whether both forms are within the budget."""
        return self.measure().share <= 1

    def measure(self) -> "MeasuredAnswer":
        """Render both forms; return them, and the share of the budget that the larger one takes."""
        # Cleaning and encoding are slow, so an answer that is far too large gets neither.
        characters = _sum_characters(self.__dict__)
        budgets = self.choose_budgets()
        if characters > FULL_CHARACTERS:
            return MeasuredAnswer(characters / budgets.structured, None)
        forms = AnswerForms(self.structured(), self.text())
        encoded = json.dumps(forms.structured, ensure_ascii=False)
        share = max(
            self._compute_share(encoded, budgets.structured),
            self._compute_share(forms.text, budgets.text),
        )
        return MeasuredAnswer(share, forms)

    def truncate(self, limit: int) -> Self:
        """Return a copy with its values truncated by `truncate_values` and listed in `cut`."""
        cuts: list[Cut] = []
        raw_cuts: list[Cut] = []
        chosen = truncate_values(self._dump_chosen_fields(), limit, path="", cuts=cuts)
        raw = truncate_values(self.raw, limit, path="raw", cuts=raw_cuts)
        cuts += map(_hide_unknown_keys, raw_cuts)
        result = type(self).model_validate(chosen)
        result.next_calls = self.next_calls
        result.hint = self.hint
        result.not_read = self.not_read
        result.cut = [*self.cut, *cuts[:MAX_CUTS]]
        result.raw = raw
        return result.add_links(*self.links)

    def _dump_chosen_fields(self) -> JSONObject:
        excluded = OWN_FIELDS | {"raw"}
        return self.model_dump(by_alias=True, mode="json", exclude_none=True, exclude=excluded)

    def _render_raw(self) -> str:
        if self.raw is None:
            return ""
        raw = json.dumps(clean_json(self.raw), ensure_ascii=False, separators=(",", ":"))
        return f"raw, the API's own object:\n{fence(raw)}"

    def _compute_share(self, form: str, limit: int) -> float:
        share = len(form) / limit
        if self.raw is None:
            return share
        return max(share, len(form.encode()) / FULL_BYTES)


class MeasuredAnswer(NamedTuple):
    """The share of the budget that an answer takes; its forms, unless it is far too large."""

    share: float
    forms: AnswerForms | None


AnswerT = TypeVar("AnswerT", bound=Answer)
ItemT = TypeVar("ItemT")
KeyT = TypeVar("KeyT")


async def fit_items(
    count: int, build: Callable[[int], AnswerT], notes: Sequence[NotRead] = ()
) -> AnswerT:
    """Return `build(n)` for the largest n up to `count` that fits the budget, at least 1.

    Every answer gets the `notes`.
    """

    def build_noted(shown: int) -> AnswerT:
        return build(shown).add_notes(notes)

    whole = build_noted(count)
    if count <= 1:
        return whole
    share = whole.measure().share
    if share <= 1:
        return whole

    def build_measured(shown: int) -> tuple[AnswerT, float]:
        answer = build_noted(shown)
        return answer, answer.measure().share

    search = partial(find_largest_fit, build_measured, most=count - 1, guess=int(count / share))
    return await anyio.to_thread.run_sync(search, abandon_on_cancel=True)


class FittedAnswer(NamedTuple, Generic[AnswerT]):
    """An answer that fits the budget, and its forms."""

    answer: AnswerT
    forms: AnswerForms


async def shorten_to_budget(answer: AnswerT) -> FittedAnswer[AnswerT]:
    """Return the answer, truncated as little as possible to fit the budget, with its forms."""
    share, forms = answer.measure()
    if share <= 1 and forms:
        return FittedAnswer(answer, forms)
    return await anyio.to_thread.run_sync(_truncate_to_budget, answer, abandon_on_cancel=True)


def group_by(items: Iterable[ItemT], get_key: Callable[[ItemT], KeyT]) -> dict[KeyT, list[ItemT]]:
    """Group the items by their keys, in the order in which the keys first appear."""
    groups: dict[KeyT, list[ItemT]] = {}
    for item in items:
        groups.setdefault(get_key(item), []).append(item)
    return groups


def explain_past_end(position: int, total: int, noun: str) -> str | None:
    """Return a hint if a cursor's position is behind all there is, which can have become less."""
    if not position or position < total:
        return None
    return f"cursor is past the end of {pluralize(total, noun)}; leave it out to begin again."


def field_lines(*fields: tuple[str, str | None]) -> list[str]:
    """Return a line for each field that has a value."""
    return [f"{name}: {value}" for name, value in fields if value]


def one_line(text: str) -> str:
    """Return the text on one line, so that it cannot pass for a second row of a list."""
    return " ".join(text.split())


def truncate_text(text: str, characters: int) -> str:
    """Truncate the text and append a mark with its full length."""
    if len(text) <= characters:
        return text
    return f"{text[:characters]} [cut: {characters:,} of {len(text):,} characters]"


def truncate_values(
    data: Any,
    limit: int,
    *,
    path: str,
    cuts: list[Cut],
) -> Any:
    """Truncate texts to `limit` characters, lists and large objects to a tenth as many entries.

    Each cut is appended to `cuts`, with its place below `path`.
    """
    if isinstance(data, str):
        if len(data) <= limit + MARK_CHARACTERS:  # the mark would make it longer again
            return data
        cuts.append(Cut(field=path, shown=limit, of=len(data)))
        return truncate_text(data, limit)
    if isinstance(data, list):
        items = []
        for number, item in enumerate(_take_entries(data, max(1, limit // 10), path, cuts)):
            items.append(truncate_values(item, limit, path=f"{path}[{number}]", cuts=cuts))
        return items
    if isinstance(data, dict):
        most = max(MIN_OBJECT_ENTRIES, limit // 10)
        inside = f"{path}." if path else ""
        truncated = {}
        for key, value in _take_entries(list(data.items()), most, path, cuts):
            short = truncate_values(value, limit, path=f"{inside}{key}", cuts=cuts)
            truncated[key[:MAX_KEY_CHARACTERS]] = short
        return truncated
    return data


def _take_entries(
    entries: list[ItemT],
    most: int,
    path: str,
    cuts: list[Cut],
) -> list[ItemT]:
    if len(entries) > most:
        cuts.append(Cut(field=path, shown=most, of=len(entries)))
    return entries[:most]


def _truncate_to_budget(answer: AnswerT) -> FittedAnswer[AnswerT]:
    low = 1
    high = FULL_CHARACTERS
    shortest = answer.truncate(low)
    best = FittedAnswer(shortest, AnswerForms(shortest.structured(), shortest.text()))
    while low <= high:
        middle = (low + high) // 2
        candidate = answer.truncate(middle)
        share, forms = candidate.measure()
        if share <= 1 and forms:
            best = FittedAnswer(candidate, forms)
            low = middle + 1
        else:
            high = middle - 1
    return best


def _sum_characters(data: object) -> int:
    """Return how many characters all texts in `data` have together; other values count as one."""
    count = 0
    left = [data]
    while left:
        item = left.pop()
        if isinstance(item, BaseModel):
            left.append(item.__dict__)
        elif isinstance(item, dict):
            left += [*item, *item.values()]
        elif isinstance(item, list):
            left += item
        elif isinstance(item, str):
            count += len(item)
        else:
            count += 1
    return count


_KNOWN_KEYS = {"raw", "agentName", "batchRuns", "testRuns", *field_names()}


def _hide_unknown_keys(cut: Cut) -> Cut:
    # `cut` stands outside the fences, and an unknown key of the API can say anything.
    keys = re.sub(r"\[\d+\]", "", cut.field).split(".")
    if set(keys) <= _KNOWN_KEYS:
        return cut
    return cut.model_copy(update={"field": "another field of raw"})

"""What tools give back: one set of facts as structured content and as readable text, within a model's budget.

An answer is a model of chosen fields under the API's names. Its text is rendered from the same fields, so that
a host that shows the model only one of the two hides nothing.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple, Self, TypeVar
from unicodedata import normalize

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PrivateAttr
from pydantic.alias_generators import to_camel

from sigmamind_mcp.api.models import field_names
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.arguments import Paged
from sigmamind_mcp.untrusted_text import NOTICE, clean_json, fence

CONCISE_CHARACTERS = 25_000
FULL_BYTES = 100_000
CUTS_SHOWN = 20
MARK = 60
OURS = ("hint", "nextCalls", "cut", "notice")
"""Fields in which only this server speaks; an upstream field of that name, however it is spelt, is left out."""
LARGE_OBJECT = 40
LONG_KEY = 200


def format_time(moment: datetime) -> str:
    """The moment as the API spells moments: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[datetime, PlainSerializer(format_time, return_type=str, when_used="json")]


CallArguments = dict[str, str | int | list[str]]


class NextCall(BaseModel):
    """A complete call that continues from this answer."""

    tool: str
    arguments: CallArguments

    def __str__(self) -> str:
        return f"{self.tool} {json.dumps(self.arguments)}"


class Cut(BaseModel):
    """A text or list that was shortened to fit: how much is shown, of how much."""

    field: str
    shown: int
    of: int


class Link(NamedTuple):
    uri: str
    name: str
    mime_type: str


class Rendered(NamedTuple):
    """An answer in words: ours before and after, and between them the fenced words of others."""

    before: list[str]
    data: list[str]
    after: list[str]


class Answer(BaseModel):
    """The base of every tool's result. Under `detail: "full"` the API's own fields stand beside ours."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    next_calls: list[NextCall] = Field(default=[], description="Calls that continue from here.")
    hint: str | None = Field(default=None, description="What to know about this answer.")
    cut: list[Cut] = Field(default=[], description="What was shortened to fit.")
    notice: str = NOTICE

    _raw: JSONObject | None = PrivateAttr(default=None)
    _links: list[Link] = PrivateAttr(default_factory=list)

    def render(self) -> Rendered:
        """This answer's own words and data, rendered from its fields alone."""
        raise NotImplementedError

    @property
    def links(self) -> list[Link]:
        return self._links

    def with_raw(self, raw: JSONObject, *, when: bool) -> Self:
        """Lay the API's object under the chosen fields, for `detail: "full"`."""
        self._raw = raw if when else None
        return self

    def linking(self, *links: Link) -> Self:
        self._links = list(links)
        return self

    @property
    def raw(self) -> JSONObject | None:
        return self._raw

    @property
    def is_full(self) -> bool:
        return self._raw is not None

    def structured(self) -> JSONObject:
        """The answer as structured content: cleaned, under the API's names, without what is absent."""
        chosen = self.model_dump(by_alias=True, mode="json", exclude_none=not self.is_full)
        aside = {
            name: value
            for name in ("hint", "nextCalls", "cut", "notice")
            if (value := chosen.pop(name, None))
        }
        if self._raw is not None:
            # Cleaned first, so that a name with something hidden in it does not become one of ours afterwards.
            raw = {
                name: value
                for name, value in clean_json(self._raw).items()
                if _letters(name) not in _OUR_LETTERS
            }
            chosen = _laid_over(raw, chosen)
        whole: JSONObject = clean_json({**chosen, **aside})
        return whole

    def text(self) -> str:
        """The answer as readable text; in full, every field follows as fenced JSON."""
        said = self.render()
        data = said.data
        if self.is_full:
            data = [json.dumps(self.structured(), ensure_ascii=False, indent=1)]
        parts = ["\n".join(said.before), fence("\n".join(data)) if data else ""]
        ours = [*said.after, self.hint] if self.hint else said.after
        parts += [
            "\n".join(ours + [f"Cut: {c.field}, {c.shown:,} of {c.of:,} shown." for c in self.cut])
        ]
        if self.next_calls:
            parts.append("\n".join(f"Next: {call}" for call in self.next_calls))
        return "\n\n".join(part for part in parts if part)

    def fits(self) -> bool:
        # What is far too large need not be cleaned to be known for it, nor be made in the other form.
        return (
            all(_has_at_most(FULL_BYTES, form) for form in (self.__dict__, self._raw))
            and self._fits(json.dumps(self.structured(), ensure_ascii=False))
            and self._fits(self.text())
        )

    def _fits(self, text: str) -> bool:
        return len(text.encode()) <= FULL_BYTES if self.is_full else len(text) <= CONCISE_CHARACTERS


AnswerT = TypeVar("AnswerT", bound=Answer)


async def fit_items(count: int, build: Callable[[int], AnswerT]) -> AnswerT:
    """Return `build(n)` for the largest n of `count` items whose answer fits the budget, at least one."""
    whole = build(count)
    if count <= 1 or whole.fits():
        return whole

    def search() -> AnswerT:
        low, high = 1, count - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if build(middle).fits() else (low, middle - 1)
        return build(low)

    return await anyio.to_thread.run_sync(search, abandon_on_cancel=True)


async def shorten_to_budget(answer: AnswerT) -> AnswerT:
    """Return the answer with its longest texts, lists and objects shortened until it fits, saying so in `cut`."""
    if answer.fits():
        return answer

    def search() -> AnswerT:
        low, high = 1, FULL_BYTES
        best = _limited(answer, low)
        while low <= high:
            middle = (low + high) // 2
            candidate = _limited(answer, middle)
            if candidate.fits():
                best, low = candidate, middle + 1
            else:
                high = middle - 1
        return best

    return await anyio.to_thread.run_sync(search, abandon_on_cancel=True)


def add_next_page(
    answer: AnswerT,
    tool: str,
    args: Paged,
    count: int,
    on_page: int,
    *,
    total: int | None,
    has_next: bool,
) -> AnswerT:
    """Say of an answer that shows `count` of the `on_page` items left on its page how its list goes on, if it does."""
    here: CallArguments = {
        **args.model_dump(by_alias=True, exclude_unset=True, exclude={"skip"}),
        "size": args.size,
    }
    if count < on_page:
        answer.cut = [Cut(field="this page", shown=args.skip + count, of=args.skip + on_page)]
        further = {**here, "page": args.page, "skip": args.skip + count}
        answer.next_calls = [NextCall(tool=tool, arguments=further)]
    elif has_next:
        answer.next_calls = [NextCall(tool=tool, arguments={**here, "page": args.page + 1})]
    if total is not None and args.page and args.page * args.size >= total:
        answer.hint = (
            f"This page is past the end; the last one is {max(0, (total - 1) // args.size)}."
        )
    return answer


def pluralize(number: int, noun: str) -> str:
    """The number with its noun, as English has it: 1 attempt, 2 attempts."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def field_lines(*fields: tuple[str, str | None]) -> list[str]:
    """A line for each field that has a value, under the API's name."""
    return [f"{name}: {value}" for name, value in fields if value]


def one_line(text: str) -> str:
    """The text on one line, as a row of a list is: none of its own can pass for another row."""
    return " ".join(text.splitlines())


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", normalize("NFKC", name[:LONG_KEY])).casefold()


_OUR_LETTERS = {_letters(name) for name in OURS}


def _has_at_most(most: int, data: object) -> bool:
    """Whether the texts in `data` are of so many characters together, by a look that ends where there are more."""
    count, left = 0, [data]
    while left and count <= most:
        item = left.pop()
        if isinstance(item, BaseModel):
            left.append(item.__dict__)
        elif isinstance(item, dict):
            left += [*item, *item.values()]
        elif isinstance(item, list):
            left += item
        else:
            count += len(item) if isinstance(item, str) else 1
    return count <= most


def _limited(answer: AnswerT, limit: int) -> AnswerT:
    """The answer with the API's object and our fields cut alike; our own words stay whole."""
    cuts: dict[str, Cut] = {}
    raw = _limit(answer.raw, limit, "", cuts)
    cuts = {where: cut.model_copy(update={"field": _place(where)}) for where, cut in cuts.items()}
    chosen = answer.model_dump(by_alias=True, mode="json", exclude_none=True)
    aside = {name: chosen.pop(name) for name in ("hint", "nextCalls", "notice") if name in chosen}
    short = _limit(chosen, limit, "", cuts)
    cut = [*answer.cut, *list(cuts.values())[:CUTS_SHOWN]]
    result = type(answer).model_validate({**short, **aside, "cut": cut})
    return result.with_raw(raw, when=answer.is_full).linking(*answer.links)


def _limit(data: Any, limit: int, where: str, cuts: dict[str, Cut]) -> Any:
    """Cut texts to `limit` characters, and lists and large objects to a tenth as many entries, noting each cut."""
    if isinstance(data, str) and len(data) > limit + MARK:
        cuts[where] = Cut(field=where, shown=limit, of=len(data))
        return f"{data[:limit]} [cut: {limit:,} of {len(data):,} characters]"
    if isinstance(data, list):
        entries = max(1, limit // 10)
        if len(data) > entries:
            cuts[where] = Cut(field=where, shown=entries, of=len(data))
        return [_limit(item, limit, f"{where}[{n}]", cuts) for n, item in enumerate(data[:entries])]
    if isinstance(data, dict):
        entries = max(LARGE_OBJECT, limit // 10)
        if len(data) > entries:
            cuts[where] = Cut(field=where, shown=entries, of=len(data))
        return {
            str(key)[:LONG_KEY]: _limit(value, limit, f"{where}.{key}".lstrip("."), cuts)
            for key, value in list(data.items())[:entries]
        }
    return data


_SHOWN_FIELDS = {"agentName", "batchRuns", "testRuns", *field_names()}


def _place(where: str) -> str:
    """The place as it can stand outside the fence: a key that no page of the API's shows may say anything."""
    names = re.sub(r"\[\d+\]", "", where).split(".")
    return where if set(names) <= _SHOWN_FIELDS else "a field of another name"


def _laid_over(raw: Any, chosen: Any) -> Any:
    """`chosen` over `raw`: objects field by field, lists of one length entry by entry, else ours."""
    if chosen is None:  # what we could not read would break the schema
        return None
    if isinstance(raw, dict) and isinstance(chosen, dict):
        ours = {name: value for name, value in chosen.items() if value is not None or name in raw}
        return {**raw, **{name: _laid_over(raw.get(name), value) for name, value in ours.items()}}
    if isinstance(raw, list) and isinstance(chosen, list) and len(raw) == len(chosen):
        return [_laid_over(one, other) for one, other in zip(raw, chosen, strict=True)]
    return chosen

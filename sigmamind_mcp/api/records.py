"""Read an object of the API field by field, so that one odd field does not lose the others."""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, ClassVar, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_camel

from sigmamind_mcp.errors import UnexpectedAnswer
from sigmamind_mcp.strict_json import JSONObject

MAX_SAID_CHARACTERS = 50_000
"""Each pattern reads a text whole, and holds the interpreter meanwhile: 2.4 s for 1 MB at most."""

# A model's own assignment looks for fields, properties and private attributes first.
_set_slot = object.__setattr__
_name_in_json = cache(to_camel)


class _Source:
    """What a record keeps of the object that it was read from."""

    __slots__ = ()

    _raw: JSONObject
    _unreadable: Sequence[str]
    _is_whole: bool


class Record(BaseModel, _Source):
    """An object of the API: the fields that this server uses, and `raw`, all of it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    input_names: ClassVar[frozenset[str]] = frozenset()
    """Every name in JSON that this record reads."""
    _choices: ClassVar[list[list[str]]] = []
    _other_names: ClassVar[frozenset[str]] = frozenset()

    # A list has thousands of records, and Pydantic's private attributes double the time of each.
    __slots__ = _Source.__annotations__

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        single_names: set[str] = set()
        other_names: set[str] = set()
        cls._choices = []
        for field in cls.model_fields.values():
            alias = field.validation_alias
            if isinstance(alias, AliasChoices):
                names = list(map(str, alias.choices))
                cls._choices.append(names)
                other_names.update(names[1:])
            elif isinstance(alias, str):
                single_names.add(alias)
        cls._other_names = frozenset(other_names)
        cls.input_names = frozenset(single_names.union(*cls._choices))

    @property
    def raw(self) -> JSONObject:
        # A record that was not read from the API, such as a default, has no source.
        return getattr(self, "_raw", {})

    def __copy__(self) -> Self:
        copied = super().__copy__()
        for name in _Source.__annotations__:
            if hasattr(self, name):
                _set_slot(copied, name, getattr(self, name))
        return copied

    def without(self, *fields: str) -> Self:
        """Return a copy without these fields, and without the lists and objects of `raw`.

        `unreadable_fields` still names what the left-out fields lack.
        """
        absent = {name: type(self).model_fields[name].get_default() for name in fields}
        left_out = {_name_in_json(name) for name in fields}
        losses = [name for name in self.unreadable_fields() if name.split(".")[0] in left_out]
        unreadable = tuple(dict.fromkeys([*getattr(self, "_unreadable", ()), *losses]))
        copied = super().__copy__()
        copied.__dict__.update(absent)
        plain = {name: value for name, value in self.raw.items() if type(value) not in (dict, list)}
        _set_slot(copied, "_raw", plain)
        # Nothing asks a record for the names that Pydantic keeps here, in 700 bytes.
        _set_slot(copied, "__pydantic_fields_set__", set())
        _set_slot(copied, "_unreadable", unreadable)
        _set_slot(copied, "_is_whole", getattr(self, "_is_whole", False) and not losses)
        return copied

    def unreadable_fields(self) -> list[str]:
        """Return the API's names of unreadable fields; nested ones are dotted: testCase.attempt."""
        if getattr(self, "_is_whole", False):
            return []
        own_names = getattr(self, "_unreadable", ())
        names = list(own_names)
        for field, value in self.__dict__.items():
            names += _list_nested(to_camel(field), value, own_names)
        return names

    def has_unreadable(self, field: str) -> bool:
        """Whether the API's field with this name, or anything in it, is unreadable."""
        return any(name.split(".")[0] == field for name in self.unreadable_fields())

    @classmethod
    def read(cls, data: object) -> Self:
        """Read parsed JSON; an unreadable field becomes absent.

        Raises:
            UnexpectedAnswer: `data` is not an object.
        """
        losses: list[str] = []
        try:
            record = cls.model_validate(data, context=losses)
        except ValidationError:
            raise UnexpectedAnswer(
                f"The API's answer cannot be read as a {cls.__name__}:"
                f" it is {_name_json_type(data)}, not an object."
            ) from None
        _set_slot(record, "_is_whole", not losses)
        return record

    @model_validator(mode="wrap")
    @classmethod
    def _read_fields(
        cls,
        data: object,
        build: ModelWrapValidatorHandler[Self],
        info: ValidationInfo,
    ) -> Self:
        if not isinstance(data, dict):
            return build(data)
        known = data
        if not cls._other_names.isdisjoint(data):
            known = _drop_empty_choices(data, cls._choices)
        try:
            record = build(known)
            _set_slot(record, "_unreadable", ())
        except ValidationError as exc:
            record = cls._read_readable_fields(dict(known), build, exc)
            if info.context is not None:
                info.context.extend(record._unreadable)
        _set_slot(record, "_raw", data)
        return record

    @classmethod
    def _read_readable_fields(
        cls,
        known: JSONObject,
        build: ModelWrapValidatorHandler[Self],
        exc: ValidationError,
    ) -> Self:
        """Build the record without the fields and list entries that `exc` names."""
        unreadable: list[str] = []
        # A field that has several names may be unreadable under each of them.
        for _ in range(len(known)):
            unreadable += _drop_unreadable(known, exc)
            try:
                record = build(known)
            except ValidationError as next_exc:
                exc = next_exc
            else:
                _set_slot(record, "_unreadable", unreadable)
                return record
        raise AssertionError("a record has no required field")


def join_text(value: object) -> object:
    """Return the value as text: join a list, encode anything else as JSON; keep None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [join_text(part) for part in value]
        return "\n".join(str(part) for part in parts if part is not None)
    return json.dumps(value, ensure_ascii=False)


def limit_said(text: str) -> str:
    """Return a text of a conversation, or a note and its first part.

    The note comes first, so that no later cut takes it away.
    """
    if len(text) <= MAX_SAID_CHARACTERS:
        return text
    note = f"[read: {MAX_SAID_CHARACTERS:,} of {len(text):,} characters]"
    return f"{note} {text[:MAX_SAID_CHARACTERS]}"


def _drop_empty_choices(data: JSONObject, choices: Sequence[Sequence[str]]) -> JSONObject:
    """Return `data` without a field's empty names, if the field has another name with a value."""
    # Pydantic takes the first name that is there, even with null.
    empty_names: list[str] = []
    for names in choices:
        filled = [name for name in names if not _is_empty(data.get(name))]
        if filled:
            empty_names += set(names).difference(filled)
    return {name: value for name, value in data.items() if name not in empty_names}


def _drop_unreadable(known: JSONObject, exc: ValidationError) -> list[str]:
    """Remove what `exc` names from `known`; return its names, without those of empty values."""
    names: list[str] = []
    positions: dict[str, list[int]] = {}
    for error in exc.errors(include_url=False, include_context=False, include_input=False):
        name, *rest = error["loc"]
        field = str(name)
        if rest and isinstance(rest[0], int) and isinstance(known.get(field), list):
            positions.setdefault(field, []).append(rest[0])
        elif field in known and not _is_empty(known.pop(field)):
            names.append(field)
    for field, dropped in positions.items():
        left_out = set(dropped)
        entries = enumerate(known[field])
        known[field] = [entry for position, entry in entries if position not in left_out]
        names += [f"{field}.{position}" for position in sorted(left_out)]
    return names


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [])


def _list_nested(label: str, value: object, own: Sequence[str]) -> Iterator[str]:
    """Yield the dotted names of unreadable fields inside a field's value."""
    if isinstance(value, Record):
        for name in value.unreadable_fields():
            yield f"{label}.{name}"
    if not isinstance(value, list):
        return
    dropped = set(own)
    position = 0
    for entry in value:
        # Entries that were dropped count, so that a position is the one in the API's list.
        while f"{label}.{position}" in dropped:
            position += 1
        if isinstance(entry, Record):
            for name in entry.unreadable_fields():
                yield f"{label}.{position}.{name}"
        position += 1


def _name_json_type(data: object) -> str:
    names = {str: "a text", bool: "a boolean", list: "a list", type(None): "null"}
    return names.get(type(data), "a number")

"""Parse YAML into a tree whose nodes know their places, and refuse what a suite never needs."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from sigmamind_mcp.errors import ConfigurationError

LARGEST_FILE = 2_000_000
DEEPEST = 20
MOST_NODES = 100_000
NO_VALUES = ("", "~", "null", "Null", "NULL")
"""How YAML writes that there is no value."""

_NO_TAB = (
    "a tab indents this line or separates its words, and YAML allows only spaces there. Replace it."
)
# What the YAML library says first, and what it means to the author of a file.
_REASONS = (
    ("character '\\t'", _NO_TAB),
    ("character '@'", "a text that begins with @ or ` needs quotation marks."),
    ("character '`'", "a text that begins with @ or ` needs quotation marks."),
    (
        "mapping values are not allowed",
        "a text with ': ' needs quotation marks, or the indent is wrong.",
    ),
    ("could not find expected ':'", "a ':' is missing after the name of a field."),
    ("expected <block end>", "this line is not indented like the lines that it belongs to."),
    ("found unexpected end of stream", "a quotation mark or a bracket is never closed."),
    ("found unknown escape character", 'in "…" a backslash is written \\\\.'),
)


class FilePlace(NamedTuple):
    """A line and a column of a file, counted from 1."""

    line: int = 1
    column: int = 1


class PlainText(str):
    """A text without quotation marks, which may stand for a number or a boolean."""

    __slots__ = ()


@dataclass
class YAMLNode:
    """A value of a file; `start` and `end` are its first and its last position in the text."""

    place: FilePlace
    start: int
    end: int
    value: "str | list[YAMLNode] | dict[str, YAMLNode]"
    is_flow: bool = False
    """Whether a list or mapping is written with brackets."""
    key_starts: dict[str, int] = field(default_factory=dict)
    """Where the names of a mapping begin in the text."""
    key_places: dict[str, FilePlace] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return isinstance(self.value, PlainText) and self.value in NO_VALUES

    def to_data(self) -> Any:
        """Return the value as lists, mappings and texts; None where there is no value."""
        if isinstance(self.value, list):
            return [node.to_data() for node in self.value]
        if isinstance(self.value, dict):
            return {name: node.to_data() for name, node in self.value.items()}
        return None if self.is_empty else self.value

    def find_place(self, path: tuple[str | int, ...]) -> FilePlace:
        """Return the place of the value at this path, or of the last part of it that exists."""
        node, place = self, self.place
        for part in path:
            if isinstance(node.value, dict) and part in node.value:
                place = node.key_places[str(part)]
                node = node.value[str(part)]
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                place = node.place
            else:
                break
        return place


class BadFile(ConfigurationError):
    """A file that cannot be used; the message has its name, and where possible line and column."""


def describe_place(name: str, place: FilePlace) -> str:
    return f"{name}:{place.line}:{place.column}"


def read_text_file(path: Path) -> str:
    """Read a UTF-8 file, without its byte order mark.

    Raises:
        BadFile: there is none, it is too large, or it is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise BadFile(f"{path}: there is no such file.") from None
    except OSError as exc:
        raise BadFile(f"{path}: it cannot be read: {exc.strerror or exc}.") from None
    if len(content) > LARGEST_FILE:
        raise BadFile(f"{path}: it is larger than {LARGEST_FILE // 1_000_000} MB. Split the suite.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise BadFile(f"{path}:{line}: it is not UTF-8 here. Save it as UTF-8.") from None


def write_text_file(path: Path, text: str) -> None:
    """Write a file at once and whole: a crash leaves the old one or the new one.

    A link stays a link, and a file keeps its mode. A pipe or a device is written as it is.

    Raises:
        BadFile: it cannot be written.
    """
    try:
        if _is_stream(path):
            with path.open("ab") as stream:
                stream.write(text.encode())
        else:
            _replace_file(Path(os.path.realpath(path)), text)
    except OSError as exc:
        raise BadFile(f"{path}: it cannot be written: {exc.strerror or exc}.") from None


def _is_stream(path: Path) -> bool:
    # /dev/stdout may be a plain file, which others hold open: it cannot be replaced either.
    return path.exists() and (not path.is_file() or path.is_relative_to("/dev"))


def _replace_file(path: Path, text: str) -> None:
    # In the same folder, since a file cannot be moved over another one from elsewhere.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            if path.exists():
                # Before the text is in it, which others may not be allowed to read.
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            file.write(text.encode())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def parse_yaml(text: str, name: str) -> YAMLNode:
    """Parse one YAML document.

    Raises:
        BadFile: it is not YAML, or has tags, anchors, aliases, a name twice, or too many values.
    """
    try:
        node = _TreeBuilder(name).build(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = FilePlace(mark.line + 1, mark.column + 1) if mark else FilePlace()
        raise BadFile(f"{describe_place(name, place)}: {_word_problem(exc)}") from None
    except yaml.reader.ReaderError as exc:
        before = text[: exc.position]
        column = len(before) - (before.rfind("\n") + 1)
        place = FilePlace(before.count("\n") + 1, column + 1)
        raise BadFile(
            f"{describe_place(name, place)}: this character is not allowed in YAML. In"
            ' quotation marks, write it as an escape such as "\\x07".'
        ) from None
    if node is None:
        raise BadFile(f"{name}: the file is empty.")
    return node


def _word_problem(exc: yaml.MarkedYAMLError) -> str:
    said = exc.problem or ""
    for start, reason in _REASONS:
        if start in said:
            return reason
    return f"this is not YAML: {said}." if said else "this is not YAML."


class _TreeBuilder:
    """Builds the tree from the parser's events, without recursion."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def build(self, events: Iterator[Any]) -> YAMLNode | None:
        root: YAMLNode | None = None
        open_nodes: list[YAMLNode] = []
        names: list[tuple[str, int, FilePlace] | None] = []
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._refuse(event, "a second document begins here. Keep one suite in one file.")
            if isinstance(event, yaml.CollectionEndEvent):
                closed = open_nodes.pop()
                names.pop()
                closed.end = event.end_mark.index
            if not isinstance(event, yaml.NodeEvent):
                continue
            self._check(event, depth=len(open_nodes))
            parent = open_nodes[-1] if open_nodes else None
            if parent is not None and isinstance(parent.value, dict) and names[-1] is None:
                names[-1] = self._read_name(event, parent)
                continue
            node = self._make_node(event)
            if parent is None:
                root = node
            elif isinstance(parent.value, list):
                parent.value.append(node)
            else:
                self._add_member(parent, names, node)
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append(node)
                names.append(None)
        return root

    def _add_member(
        self, parent: YAMLNode, names: list[tuple[str, int, FilePlace] | None], node: YAMLNode
    ) -> None:
        named = names[-1]
        assert named is not None and isinstance(parent.value, dict)
        name, start, place = named
        parent.value[name] = node
        parent.key_starts[name] = start
        parent.key_places[name] = place
        names[-1] = None

    def _make_node(self, event: Any) -> YAMLNode:
        place, start, end = _locate(event), event.start_mark.index, event.end_mark.index
        if isinstance(event, yaml.ScalarEvent):
            value = PlainText(event.value) if event.style is None else event.value
            return YAMLNode(place, start, end, value)
        empty: list[YAMLNode] | dict[str, YAMLNode] = {}
        if isinstance(event, yaml.SequenceStartEvent):
            empty = []
        return YAMLNode(place, start, end, empty, is_flow=bool(event.flow_style))

    def _read_name(self, event: Any, parent: YAMLNode) -> tuple[str, int, FilePlace]:
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(event, "the name of a field must be a text.")
        assert isinstance(parent.value, dict)
        name = str(event.value)
        if name == "<<":
            self._refuse(event, "merge keys (<<) are not supported. Use defaults.")
        if name in parent.value:
            first = parent.key_places[name].line
            self._refuse(event, f"{quote_word(name)} is here twice; the first is in line {first}.")
        return name, event.start_mark.index, _locate(event)

    def _check(self, event: Any, *, depth: int) -> None:
        self._count += 1
        if getattr(event, "tag", None) is not None:
            self._refuse(event, "tags (!) are not supported. Write the plain value.")
        if event.anchor is not None:
            self._refuse(
                event, "anchors (&) and aliases (*) are not supported. Use defaults, or repeat it."
            )
        if depth > DEEPEST:
            self._refuse(event, f"values are nested deeper than {DEEPEST} levels.")
        if self._count > MOST_NODES:
            self._refuse(event, f"the file has more than {MOST_NODES:,} values.")

    def _refuse(self, event: Any, reason: str) -> None:
        raise BadFile(f"{describe_place(self._name, _locate(event))}: {reason}")


def _locate(event: Any) -> FilePlace:
    return FilePlace(event.start_mark.line + 1, event.start_mark.column + 1)


def quote_word(name: str) -> str:
    """Return a name from a file in quotation marks, cut and without unprintable characters."""
    shown = re.sub(r"[^ -~\u00a0-\uffff]", "?", name)
    return f"'{shown[:60]}…'" if len(shown) > 60 else f"'{shown}'"

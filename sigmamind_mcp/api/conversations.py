"""The messages of a conversation, in the forms that the API and model providers give them."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, InstanceOf

from sigmamind_mcp.api.encoded_data import MIN_DATA_CHARACTERS
from sigmamind_mcp.api.message_parts import (
    MessagePart,
    PartReader,
    encode_short,
    find_tool_kind,
    parse_encoded_parts,
)
from sigmamind_mcp.api.records import MAX_SAID_CHARACTERS, join_text, limit_said
from sigmamind_mcp.strict_json import JSONObject

# Only role and content are documented.
ROLE_NAMES = ("role", "speaker", "sender", "author", "from")
CONTENT_NAMES = ("content", "text", "message", "parts", "value", "refusal")
SPOKEN_NAMES = ("utterance", "transcript", "body")
"""These hold what was said if they are texts; speech platforms write them."""

USER_ROLES = frozenset({"user", "customer", "caller", "human", "client"})
AGENT_ROLES = frozenset({"assistant", "agent", "bot", "ai"})
TOOL_ROLE_STARTS = ("tool", "function")
_SHARED_ROLES = {role: role for role in USER_ROLES | AGENT_ROLES}
"""Each of thousands of turns would otherwise keep a text of its own for its role."""
MAX_ROLE_CHARACTERS = 40
_EMPTY: tuple[object, ...] = (None, "", [], {})

_PLAIN_KEYS = {"role", "content"}

Side = Literal["user", "agent", "tool", "other"]


class Turn(NamedTuple):
    """One message of a conversation.

    `content` has its words only, so that nothing else counts as said; `text` also has notes where
    a medium or an unknown part stands. `tool_calls` are calls and results, a line each.
    """

    # Test runs have hundreds of thousands of turns, and a model takes ten times as long to build.

    # The API's documentation shows the roles `user` and `assistant`.
    role: str = "unknown"
    content: str = ""
    text_with_notes: str | None = None
    tool_calls: Sequence[str] = ()
    tool_name: str | None = None
    other_fields: str | None = None
    """The message's other fields as JSON, if it has nothing else to show."""
    is_readable: bool = True

    @property
    def side(self) -> Side:
        """Which side of the conversation speaks; roles are an open set, so most are `other`."""
        return find_side(self.role)

    @property
    def text(self) -> str:
        """What the message says, with notes for its media: [audio, 400 kB]."""
        return self.content if self.text_with_notes is None else self.text_with_notes

    def summarize(self) -> str:
        """Return all that the message shows as one text, for a short view."""
        tools = [f"[tool {line}]" for line in self.tool_calls]
        return " ".join(filter(None, [self.text, *tools])) or self.other_fields or ""


def find_side(role: str) -> Side:
    """Return the side of a role, whatever its case."""
    return _find_side_of_name(role.strip()[:MAX_ROLE_CHARACTERS])


@lru_cache(maxsize=100)  # thousands of turns have the same few roles
def _find_side_of_name(role: str) -> Side:
    name = role.casefold()
    if name in USER_ROLES:
        return "user"
    if name in AGENT_ROLES:
        return "agent"
    is_tool = name.startswith(TOOL_ROLE_STARTS) or find_tool_kind(name) is not None
    return "tool" if is_tool else "other"


def _read_turns(value: object) -> object:
    """Return the turns; a plain text has no known role."""
    entries = [value] if isinstance(value, str) and value else value
    if not isinstance(entries, list):
        return entries or None
    if not any(isinstance(entry, str | dict) for entry in entries):
        return entries
    reader = PartReader()
    return [_read_turn(entry, reader) for entry in entries]


Conversation = Annotated[list[InstanceOf[Turn]] | None, BeforeValidator(_read_turns)]


def _read_turn(entry: object, reader: PartReader) -> Turn:
    if isinstance(entry, str):
        entry = {"content": entry}
    if not isinstance(entry, dict):
        # It keeps its place, so that every message of the API has its number.
        return Turn(text_with_notes="(this message cannot be read)", is_readable=False)
    return _read_plain_turn(entry) or _build_turn(_unwrap_message(entry), reader)


def _read_plain_turn(entry: JSONObject) -> Turn | None:
    """Read a message in the documented form; None if it has another one, or is long."""
    if entry.keys() != _PLAIN_KEYS:
        return None
    role, content = entry["role"], entry["content"]
    if not isinstance(role, str) or not isinstance(content, str):
        return None
    if not role or not content.strip():
        return None
    may_encode = len(content) >= MIN_DATA_CHARACTERS or "base64," in content
    may_be_parts = content.lstrip().startswith("[")
    if may_encode or may_be_parts or find_side(role) == "tool":
        return None
    return Turn(_SHARED_ROLES.get(role, role), content)


def _unwrap_message(entry: JSONObject) -> JSONObject:
    inner = entry.get("message")
    if any(entry.get(name) for name in ROLE_NAMES):
        return entry
    if isinstance(inner, dict) and "role" in inner:
        return inner
    return _unwrap_langchain(entry)


def _unwrap_langchain(entry: JSONObject) -> JSONObject:
    """Return the message that LangChain has serialized, with its type; others as they are."""
    arguments, data, path = entry.get("kwargs"), entry.get("data"), entry.get("id")
    if isinstance(arguments, dict) and isinstance(path, list) and path:
        name = str(path[-1]).removesuffix("Chunk").removesuffix("Message")
        return {"type": name.casefold(), **arguments}
    if isinstance(data, dict) and "content" in data:
        return {**data, "type": entry.get("type")}
    return entry


def _build_turn(message: JSONObject, reader: PartReader) -> Turn:
    role = _read_role(message)
    side = find_side(role)
    parts = _read_said(message, side, reader)
    tools = _list_tools(message, role, parts, reader)
    content = _join_parts(part for part in parts if part.kind == "words")
    shown = limit_said(_join_parts(part for part in parts if part.kind != "tool"))
    if side == "tool":
        content = " ".join(content.split())
        shown = " ".join(shown.split())
    return Turn(
        role=role,
        content=content[:MAX_SAID_CHARACTERS],
        text_with_notes=None if shown == content[:MAX_SAID_CHARACTERS] else shown,
        tool_calls=list(map(limit_said, tools)),
        tool_name=reader.find_tool_name(message) if side == "tool" and shown else None,
        other_fields=None if shown.strip() or tools else _encode_rest(message),
    )


def _list_tools(
    message: JSONObject, role: str, parts: Sequence[MessagePart], reader: PartReader
) -> list[str]:
    """Return the tool calls and results of a message as texts; `parts` are those of its content."""
    tools = [part for part in parts if part.kind == "tool"]
    texts = [part.text for part in tools]
    # Some messages give their calls twice, as parts and as a field.
    tools += [part for part in reader.read_tools(message) if part.text not in texts]
    extra = message.get("additional_kwargs")
    if not tools and isinstance(extra, dict):
        tools = reader.read_tools(extra)
    if not tools and not parts:
        tools = reader.read_bare_tool(_name_kind(message, role), message)
    return [part.text for part in tools]


def _read_role(message: JSONObject) -> str:
    for name in ROLE_NAMES:
        role = message.get(name)
        if isinstance(role, dict):
            role = role.get("role") or role.get("type") or role.get("name") or role
        if role not in _EMPTY:
            return str(join_text(role))
    kind = message.get("type")
    if isinstance(kind, str) and find_side(kind) != "other":
        return kind
    return "unknown"


def _name_kind(message: JSONObject, role: str) -> str:
    kind = message.get("type")
    return kind if isinstance(kind, str) and find_side(kind) == "tool" else role


def _read_said(message: JSONObject, side: Side, reader: PartReader) -> list[MessagePart]:
    """Read the first field that holds what was said."""
    filled = [name for name in CONTENT_NAMES if message.get(name) not in _EMPTY]
    filled += [name for name in SPOKEN_NAMES if isinstance(message.get(name), str)]
    media = reader.read_media(message)
    if not filled:
        return media
    content = message[filled[0]]
    if isinstance(content, str) and side != "tool":
        content = parse_encoded_parts(content)
    parts = reader.read_content(content)
    # The AI SDK gives the words twice, and tool calls only among the parts.
    if "parts" in filled[1:]:
        others = reader.read_content(message["parts"])
        parts += [part for part in others if part.kind == "tool"]
    # The words of a medium are those of the content.
    return parts + [part for part in media if part.kind != "words"]


def _join_parts(parts: Iterable[MessagePart]) -> str:
    return "\n".join(part.text for part in parts)


def _encode_rest(message: JSONObject) -> str | None:
    others = {}
    for name, value in message.items():
        if name not in (*ROLE_NAMES, "content") and value not in _EMPTY:
            others[name] = value
    return encode_short(others) if others else None

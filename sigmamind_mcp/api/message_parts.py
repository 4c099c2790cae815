"""Read what a message holds besides words: media, tool calls, and results of tool calls.

The API documents a text. These are the forms of the APIs that agents are built on: OpenAI,
Anthropic, Gemini, Bedrock, LangChain and the Vercel AI SDK.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

from sigmamind_mcp.api.encoded_data import DATA_URL, MIN_DATA_CHARACTERS, find_data
from sigmamind_mcp.strict_json import JSONObject, is_deeper_than, parse_json

MAX_DEPTH = 50

PartKind = Literal["words", "note", "tool"]

_DATA_ONLY = re.compile(r"[\w+/\s-]+=*\s*", re.ASCII)

_CALL = re.compile(r"\w*(tool|function|mcp)\w*(call|use|invocation)s?|function|executablecode")
_RESULT = re.compile(r"\w*(tool|function|mcp)\w*(result|output|response)s?|codeexecutionresult")
# Calls of OpenAI's own tools, which have no other name.
_HOSTED = re.compile(
    r"(web_search|file_search|computer|code_interpreter|image_generation|local_shell|shell"
    r"|apply_patch)_call(_output)?"
)
_MEDIA = re.compile(
    r"(image|audio|video)|attachments"
    r"|^(?:input|inline|output)?(?:file|document|pdf|media|blob|data$)"
)
_MIME_TYPE = re.compile(r"\w+/[\w.+-]+")
_THOUGHT = re.compile(r"thinking|thought|reasoning")

_CALL_KEYS = (
    "functionCall",
    "function_call",
    "toolUse",
    "toolInvocation",
    "toolCall",
    "tool_call",
    "executableCode",
    "executable_code",
)
_RESULT_KEYS = (
    "functionResponse",
    "function_response",
    "toolResult",
    "tool_result",
    "codeExecutionResult",
    "code_execution_result",
)
_NAME_KEYS = ("name", "toolName", "tool_name", "function", "tool")
_ID_KEYS = ("tool_call_id", "toolCallId", "call_id", "callId", "tool_use_id", "toolUseId", "id")
_ARGUMENT_KEYS = (
    "arguments", "args", "input", "parameters", "params", "params_as_json", "action", "queries",
    "code",
)  # fmt: skip
_VALUE_KEYS = (
    "content", "output", "result", "response", "value", "result_value", "text", "outputs",
    "results", "error", "errorText",
)  # fmt: skip
_RESULT_IN_CALL_KEYS = ("result", "output", "outputs", "results", "error", "errorText")
_LIST_KEYS = (
    "tool_calls", "toolCalls", "function_calls", "functionCalls", "toolInvocations", "toolUses",
    "tool_results", "toolResults", *_CALL_KEYS, *_RESULT_KEYS,
)  # fmt: skip
_MEDIA_FIELDS = (
    "audio", "image", "images", "image_url", "video", "file", "files", "attachments",
    "experimental_attachments",
)  # fmt: skip
_FILE_NAME_KEYS = ("filename", "fileName", "file_name", "name", "title")
_SIZE_KEYS = ("size", "bytes", "size_bytes", "fileSize", "byteLength")
_WORD_KEYS = ("text", "transcript", "refusal")


class MessagePart(NamedTuple):
    """A part of a message as text; a note stands for what has no words."""

    kind: PartKind
    text: str


class PartReader:
    """Reads the parts of a conversation's messages, in their order.

    It keeps the names of the tools that were called, since a result may have only the call's id.
    """

    def __init__(self) -> None:
        self._tool_names: dict[str, str] = {}

    def read_content(self, content: object) -> list[MessagePart]:
        """Read a message's content: a text, a typed part, or a list of these."""
        if content is None or content == "":
            return []
        if isinstance(content, list):
            return list(chain.from_iterable(map(self.read_content, content)))
        if isinstance(content, dict):
            return self._read_object(content)
        if isinstance(content, str):
            return _split_data(content)
        return [MessagePart("words", json.dumps(content))]

    def read_media(self, message: JSONObject) -> list[MessagePart]:
        """Read the media in the fields of a message that has them outside of its content."""
        parts: list[MessagePart] = []
        for name in _list_own(message, _MEDIA_FIELDS):
            value = message[name]
            entries = value if isinstance(value, list) else [value]
            for entry in filter(None, entries):
                medium = entry if isinstance(entry, dict) else {"url": entry}
                parts += self._read_object({**medium, "type": f"{medium.get('type', '')} {name}"})
        return parts

    def read_tools(self, message: JSONObject) -> list[MessagePart]:
        """Read the tool calls and results in the other fields of a message."""
        parts: list[MessagePart] = []
        for name in _list_own(message, _LIST_KEYS):
            value = message[name]
            entries = value if isinstance(value, list) else [value]
            # Some messages give one call under two names.
            known = list(parts)
            for entry in filter(None, entries):
                for part in self._read_tool(name, entry):
                    if part not in known:
                        parts.append(part)
        return parts

    def read_bare_tool(self, kind: str, message: JSONObject) -> list[MessagePart]:
        """Read a message that is itself a call or a result, by its type or role."""
        return self._read_tool(kind, message) if find_tool_kind(kind) else []

    def find_tool_name(self, message: JSONObject) -> str | None:
        """Return the name of the tool that a tool's message is from, if known."""
        name = _find_text(message, _NAME_KEYS)
        return name or self._tool_names.get(_find_text(message, _ID_KEYS) or "")

    def _read_object(self, part: JSONObject) -> list[MessagePart]:
        stated_kind = _find_text(part, ("type",)) or ""
        if find_tool_kind(stated_kind) or _is_interface_part(stated_kind, part):
            return self._read_tool(stated_kind, part)
        kind = _simplify(stated_kind)
        tools = self.read_tools(part)
        if tools:
            return tools
        if isinstance(part.get("parts"), list):
            return self.read_content(part["parts"])
        is_thought = _THOUGHT.search(kind) or part.get("thought") is True
        words = [] if is_thought else _find_words(part)
        if _is_media(kind, part):
            return [MessagePart("note", describe_media(part)), *words]
        return words or [MessagePart("note", _describe_unknown(part))]

    def _read_tool(self, kind: str, entry: object) -> list[MessagePart]:
        if not isinstance(entry, dict):
            return [MessagePart("tool", f"{kind}: {encode_short(entry)}")]
        inner: JSONObject = dict(entry)
        for key in ("function", *_CALL_KEYS, *_RESULT_KEYS):
            if isinstance(entry.get(key), dict):
                inner |= entry[key]
        if _is_interface_part(kind, inner):
            name = None if kind == "dynamic-tool" else kind.removeprefix("tool-")
            inner = {"name": name, **inner}
        elif find_tool_kind(kind) == "result":
            return [self._read_result(inner)]
        parts = [self._read_call(inner, _name_own_tool(kind))]
        # The AI SDK and OpenAI's own tools keep a result in the call.
        if _find(inner, _RESULT_IN_CALL_KEYS) is not None:
            parts.append(self._read_result(inner))
        return parts

    def _read_call(self, call: JSONObject, default_name: str | None) -> MessagePart:
        name = _find_text(call, _NAME_KEYS) or default_name
        if name is None:
            return MessagePart("tool", f"call {encode_short(call)}")
        for key in _ID_KEYS:
            if isinstance(call.get(key), str):
                self._tool_names[call[key]] = name
        return MessagePart(
            "tool", f"call {name} {_show_value(_find(call, _ARGUMENT_KEYS))}".strip()
        )

    def _read_result(self, result: JSONObject) -> MessagePart:
        name = self.find_tool_name(result)
        what = f"result of {name}" if name else "result"
        value = _find(result, _VALUE_KEYS)
        is_error = result.get("is_error") is True or result.get("isError") is True
        is_error |= value is not None and value is _find(result, ("error", "errorText"))
        if isinstance(value, dict) and value.keys() == {"type", "value"}:
            # The AI SDK states of what type an output is.
            is_error |= str(value["type"]).startswith("error")
            value = value["value"]
        if is_error:
            what = what.replace("result", "error", 1)
        parts = self.read_content(value)
        text = " ".join(part.text for part in parts) or _show_value(value)
        return MessagePart("tool", " ".join(f"{what}: {text}".split()))


def find_tool_kind(kind: str) -> Literal["call", "result"] | None:
    """Return what the type of a part or of a message says it is; None if it is neither."""
    plain = _simplify(kind)
    hosted = _HOSTED.fullmatch(kind)
    if _RESULT.fullmatch(plain) or (hosted and hosted[2]):
        return "result"
    return "call" if _CALL.fullmatch(plain) or hosted else None


def _is_interface_part(kind: str, part: JSONObject) -> bool:
    """Return whether this is a call in a UI message of the AI SDK, whose type names the tool."""
    return "state" in part and (kind == "dynamic-tool" or kind.startswith("tool-"))


def _name_own_tool(kind: str) -> str | None:
    """Return the name of a tool that is the provider's own; its calls have no other name."""
    hosted = _HOSTED.fullmatch(kind)
    if hosted:
        return hosted[1]
    return "code" if _simplify(kind) == "executablecode" else None


def describe_media(part: JSONObject) -> str:
    """Name a medium with its size, if known: [audio, 400 kB]."""
    texts = list(_walk_texts(part))
    label = _find_media_kind(part, texts)
    name = _find_nested_text(part, _FILE_NAME_KEYS)
    if name and label == "file":
        label += f" {' '.join(name.split())[:80]}"
    size = _measure_media(part, texts)
    return f"[{label}, {format_size(size)}]" if size else f"[{label}]"


def _find_media_kind(part: JSONObject, texts: Sequence[str]) -> str:
    """Return what kind of medium the type, the fields or the MIME types name, else "file"."""
    mime_types = []
    short_texts = []
    for text in texts:
        url = DATA_URL.match(text)
        if url:
            mime_types.append(url.group(1) or "")
        if len(text) < 40 and _MIME_TYPE.fullmatch(text):
            short_texts.append(text)
    for clue in (str(part.get("type", "")), *part, *mime_types, *short_texts):
        match = _MEDIA.search(_simplify(clue))
        if match and match.group(1):
            return match.group(1)
    return "file"


def format_size(count: int) -> str:
    """Return a number of bytes in the largest fitting unit: 400 kB."""
    if count < 1_000:
        return f"{count} B"
    if count < 999_500:
        return f"{count / 1_000:.0f} kB"
    return f"{round(count / 1_000_000, 1):g} MB"


def hide_data(data: Any) -> Any:
    """Replace encoded files in texts, and long lists of bytes, by notes on their size."""
    if isinstance(data, str):
        if len(data) >= MIN_DATA_CHARACTERS and _is_encoded(data):
            return f"[data, {format_size(_measure_base64(data))}]"
        return "".join(part.text for part in _split_data(data, joined=True))
    if isinstance(data, list):
        if len(data) >= MIN_DATA_CHARACTERS and _has_only_numbers(data):
            return f"[data, {format_size(len(data))}]"
        return [hide_data(item) for item in data]
    if isinstance(data, dict):
        return {key: hide_data(value) for key, value in data.items()}
    return data


def encode_short(data: object) -> str:
    """Return the value as JSON on one line, without encoded files."""
    return json.dumps(hide_data(data), ensure_ascii=False)


def parse_encoded_parts(content: str) -> object:
    """Return the parts that the text is the JSON of; a text that is none stays as it is."""
    parts = _parse_container(content)
    are_parts = isinstance(parts, list) and all(map(_is_typed_part, parts))
    return parts if are_parts else content


def _is_typed_part(part: object) -> bool:
    if not isinstance(part, dict):
        return False
    kind = str(part.get("type", ""))
    if "text" in part and _simplify(kind) in ("text", "inputtext", "outputtext"):
        return True
    return find_tool_kind(kind) is not None


def _split_data(text: str, *, joined: bool = False) -> list[MessagePart]:
    """Split a text at the encoded files in it."""
    parts: list[MessagePart] = []
    end = 0
    for match in find_data(text):
        parts.append(MessagePart("words", text[end : match.start()]))
        parts.append(MessagePart("note", _describe_data(match)))
        end = match.end()
    parts.append(MessagePart("words", text[end:]))
    return [part for part in parts if joined or part.text.strip()]


def _describe_data(match: re.Match[str]) -> str:
    size = format_size(_measure_base64(match.group(2) or match.group()))
    if not match.group().startswith("data:"):
        return f"[data, {size}]"
    media = _MEDIA.search(match.group(1) or "")
    return f"[{(media and media.group(1)) or 'file'}, {size}]"


def _measure_base64(text: str) -> int:
    return len(text.strip().rstrip("=")) * 3 // 4


def _is_encoded(text: str) -> bool:
    """Tell whether the text can be nothing but an encoded file."""
    # A file of zeros is a row of A; a row of another letter is none.
    is_row = text[0] != "A" and text == text[0] * len(text)
    return " " not in text and not is_row and bool(_DATA_ONLY.fullmatch(text))


def _measure_media(part: JSONObject, texts: list[str]) -> int:
    """Return the size in bytes of what the part encodes or states; 0 if unknown."""
    longest = max(texts, key=len, default="")
    url = DATA_URL.match(longest)
    if url:
        return _measure_base64(url.group(2))
    if len(longest) >= 64 and _is_encoded(longest):
        return _measure_base64(longest)
    for item in _walk_objects(part):
        for key, value in item.items():
            if isinstance(value, list) and value and _has_only_numbers(value):
                return len(value)
            if key in _SIZE_KEYS and type(value) is int and 0 < value < 10**15:
                return value
    return 0


def _has_only_numbers(values: list[object]) -> bool:
    return all(type(value) is int for value in values)


def _is_media(kind: str, part: JSONObject) -> bool:
    if kind:
        return _MEDIA.search(kind) is not None
    return any(_MEDIA.search(_simplify(key)) for key, value in part.items() if value)


def _find_words(part: JSONObject) -> list[MessagePart]:
    for key in _WORD_KEYS:
        value = part.get(key)
        if isinstance(value, dict):
            value = value.get("value")
        if isinstance(value, str) and value.strip():
            return _split_data(value)
    return []


def _describe_unknown(part: JSONObject) -> str:
    kind = _find_text(part, ("type",))
    if kind is None:
        return encode_short(part)
    rest = {key: value for key, value in part.items() if value not in (None, "")}
    rest.pop("type", None)
    return f"[{kind} {encode_short(rest)}]" if rest else f"[{kind}]"


def _show_value(value: object) -> str:
    if value is None:
        return ""
    parsed = _parse_container(value) if isinstance(value, str) else value
    if isinstance(parsed, str):
        return " ".join(str(hide_data(parsed)).split())
    return encode_short(parsed)


def _parse_container(text: str) -> object:
    """Return the object or list that the text is the JSON of, or the text."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        parsed = parse_json(text)
    except (ValueError, RecursionError):
        return text
    return text if is_deeper_than(MAX_DEPTH, parsed) else parsed


def _list_own(message: JSONObject, names: tuple[str, ...]) -> list[str]:
    """Return those of the names that the message has, in their order."""
    return [] if message.keys().isdisjoint(names) else [name for name in names if name in message]


def _find(data: JSONObject, keys: tuple[str, ...]) -> object:
    for key in keys:
        value = data.get(key)
        if value is not None:
            return value
    return None


def _find_text(data: Mapping[str, object], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        text = data.get(key)
        if isinstance(text, str) and text.strip():
            return text
    return None


def _find_nested_text(part: JSONObject, keys: tuple[str, ...]) -> str | None:
    for item in _walk_objects(part):
        text = _find_text(item, keys)
        if text:
            return text
    return None


def _walk_objects(data: object) -> Iterator[JSONObject]:
    if isinstance(data, dict):
        yield data
        for value in data.values():
            yield from _walk_objects(value)


def _walk_texts(data: object) -> Iterator[str]:
    for item in _walk_objects(data):
        for value in item.values():
            if isinstance(value, str):
                yield value


def _simplify(name: str) -> str:
    return re.sub(r"[^a-z/]", "", name.casefold())

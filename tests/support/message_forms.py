"""Messages as the APIs of model providers and voice platforms write them, and how we show each."""

import base64
import json
from typing import Any, NamedTuple

from sigmamind_mcp.api.conversations import Side

DATA = base64.b64encode(bytes(range(256)) * 1_564).decode()
"""A file of 400 kB."""
PNG = f"data:image/png;base64,{DATA}"


class Form(NamedTuple):
    """A message; its side and words; and what a transcript shows of it, a line each."""

    message: Any
    side: Side
    words: str
    lines: list[str]


def _said(message: Any, side: Side, words: str) -> Form:
    return Form(message, side, words, [words])


def _user(content: Any, words: str, *lines: str) -> Form:
    return Form({"role": "user", "content": content}, "user", words, list(lines) or [words])


def _agent(fields: dict[str, Any], *lines: str, words: str = "") -> Form:
    return Form({"role": "assistant", "content": None, **fields}, "agent", words, list(lines))


CALL = {"id": "c1", "function": {"name": "look_up", "arguments": '{"order":\n"A-1"}'}}
SECOND_CALL = {"id": "c2", "type": "function", "function": {"name": "send", "arguments": "{}"}}

FORMS = [
    # Words.
    _user("Hello.", "Hello."),
    _user([{"type": "text", "text": "Hello."}, "There."], "Hello.\nThere.", "Hello.", "There."),
    _user([{"type": "input_text", "text": "Hello."}], "Hello."),
    _user([{"type": "text", "text": {"value": "Hello.", "annotations": []}}], "Hello."),
    _user(json.dumps([{"type": "text", "text": "Hello."}]), "Hello."),
    _agent({"refusal": "I cannot."}, "I cannot.", words="I cannot."),
    _agent({"content": [{"type": "refusal", "refusal": "No."}]}, "No.", words="No."),
    _said({"role": "user", "parts": [{"text": "Hello."}]}, "user", "Hello."),
    _said({"from": "human", "value": "Hello."}, "user", "Hello."),
    _said({"type": "ai", "content": "Hello."}, "agent", "Hello."),
    _said({"message": {"role": "assistant", "content": "Hello."}}, "agent", "Hello."),
    _said(
        {"author": {"role": "assistant"}, "content": {"parts": ["Hello."]}}, "agent", "Hello."
    ),
    _said("Hello.", "other", "Hello."),
    # Media.
    _user([{"type": "image_url", "image_url": {"url": PNG}}], "", "[image, 400 kB]"),
    _user([{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}], "", "[image]"),
    _user([{"type": "input_image", "image_url": PNG}], "", "[image, 400 kB]"),
    _user([{"type": "input_audio", "input_audio": {"data": DATA}}], "", "[audio, 400 kB]"),
    _user([{"type": "audio", "audio": DATA, "transcript": "Hi."}], "Hi.", "[audio, 400 kB]", "Hi."),
    _user(
        [{"type": "image", "source": {"type": "base64", "data": DATA}}, {"type": "text", "text": "It."}],
        "It.", "[image, 400 kB]", "It.",
    ),
    _user([{"type": "file", "file": {"filename": "a.txt", "file_data": DATA}}], "", "[file a.txt, 400 kB]"),
    _user([{"type": "document", "title": "Plan", "source": {"data": DATA}}], "", "[file Plan, 400 kB]"),
    _user([{"type": "input_file", "file_id": "file_1"}], "", "[file]"),
    _user([{"type": "video_url", "video_url": {"url": "https://x.test"}}], "", "[video]"),
    _user([{"inlineData": {"mimeType": "image/png", "data": DATA}}], "", "[image, 400 kB]"),
    _user([{"image": {"format": "png", "source": {"bytes": [7] * 2_000}}}], "", "[image, 2 kB]"),
    _user(f"See ![it]({PNG})!", "See ![it](\n)!", "See ![it](", "[image, 400 kB]", ")!"),
    _user(DATA, "", "[data, 400 kB]"),
    _user("\n".join(DATA[at : at + 76] for at in range(0, len(DATA), 76)), "", "[data, 406 kB]"),
    _agent({"audio": {"id": "a", "data": DATA, "transcript": "Yes."}}, "[audio, 400 kB]", "Yes.", words="Yes."),
    _agent({"content": "Here.", "attachments": [{"url": PNG}]}, "Here.", "[image, 400 kB]", words="Here."),
    # Parts that we do not know.
    _user([{"type": "sticker"}], "", "[sticker]"),
    _user([{"type": "place", "latitude": 1}], "", '[place {"latitude": 1}]'),
    _user({"place": 1}, "", '{"place": 1}'),
    _agent({"content": [{"type": "thinking", "thinking": "Hm."}]}, '[thinking {"thinking": "Hm."}]'),
    _agent({"weather": {"icon": DATA}}, '(no text) {"weather": {"icon": "[data, 400 kB]"}}'),
    _agent({}, "(no text)"),
    # Tool calls and their results.
    _agent({"tool_calls": [CALL, SECOND_CALL]}, 'call look_up {"order": "A-1"}', "call send {}"),
    Form({"role": "tool", "tool_call_id": "c1", "content": '{\n"eta": 7}'}, "tool", '{ "eta": 7}', ['{ "eta": 7}']),
    Form({"role": "function", "name": "send", "content": {"ok": 1}}, "tool", "", ['{"ok": 1}']),
    _agent({"content": "Wait.", "function_call": {"name": "old", "arguments": "{}"}}, "Wait.", "call old {}", words="Wait."),
    _agent({"toolCalls": [{"toolName": "see", "args": {"photo": DATA}}]}, 'call see {"photo": "[data, 400 kB]"}'),
    _agent({"content": [{"type": "tool_use", "id": "t1", "name": "get", "input": {"q": 1}}]}, 'call get {"q": 1}'),
    _user(
        [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "a\nb"}]}],
        "", "result of get: a b",
    ),
    _user([{"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True}], "", "error of get: no"),
    _agent(
        {"content": [{"type": "tool_use", "name": "twice", "input": {}}], "tool_calls": [{"name": "twice", "args": {}}]},
        "call twice {}",
    ),
    _agent({"content": [{"toolUse": {"toolUseId": "u", "name": "bed", "input": {}}}]}, "call bed {}"),
    _user([{"toolResult": {"toolUseId": "u", "content": [{"text": "done"}]}}], "", "result of bed: done"),
    Form({"role": "model", "parts": [{"functionCall": {"name": "gem", "args": {}}}]}, "other", "", ["call gem {}"]),
    _user([{"functionResponse": {"name": "gem", "response": {"a": 1}}}], "", 'result of gem: {"a": 1}'),
    Form({"type": "function_call", "call_id": "r", "name": "re", "arguments": "{}"}, "tool", "", ["call re {}"]),
    Form({"type": "function_call_output", "call_id": "r", "output": "x"}, "tool", "", ["result of re: x"]),
    Form({"role": "tool_call_invocation", "name": "book", "arguments": "{}"}, "tool", "", ["call book {}"]),
    _agent(
        {"content": "Ok.", "parts": [{"type": "tool-invocation", "toolInvocation": {"toolName": "v", "args": {}, "result": 2}}]},
        "Ok.", "call v {}", "result of v: 2", words="Ok.",
    ),
    _agent({"tool_results": [{"tool_name": "e", "result_value": "R"}]}, "result of e: R"),
    _agent({"tool_calls": [1]}, "tool_calls: 1"),
]  # fmt: skip

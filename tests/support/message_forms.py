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


def _tool(message: Any, *lines: str) -> Form:
    return Form(message, "tool", "", list(lines))


def _langchain(name: str, **fields: Any) -> dict[str, Any]:
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": fields}


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
    _said({"speaker": "customer", "utterance": "Hello."}, "user", "Hello."),
    _said({"sender": "bot", "body": "Hello."}, "agent", "Hello."),
    _said({"role": "caller", "transcript": "Hello."}, "user", "Hello."),
    _said({"role": "agent", "content": "", "transcript": "Hello."}, "agent", "Hello."),
    _said({"role": "agent", "content": "Hello.", "body": "<p>"}, "agent", "Hello."),
    _agent({"body": {"text": "Hello."}}, '(no text) {"body": {"text": "Hello."}}'),
    _said({"type": "ai", "data": {"content": "Hello.", "additional_kwargs": {}}}, "agent", "Hello."),
    _said({"type": "human", "data": {"content": [{"type": "text", "text": "Hello."}], "type": "human"}}, "user", "Hello."),
    _said(_langchain("AIMessage", content="Hello."), "agent", "Hello."),
    _said(_langchain("AIMessageChunk", content="Hello."), "agent", "Hello."),
    _said(_langchain("HumanMessage", content="Hello.", type="human"), "user", "Hello."),
    _said(_langchain("ChatMessage", content="Hello.", role="customer"), "user", "Hello."),
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
    _agent(
        {"parts": [{"type": "tool-getWeather", "toolCallId": "a", "state": "output-available", "input": {"c": 1}, "output": {"t": 2}}]},
        'call getWeather {"c": 1}', 'result of getWeather: {"t": 2}',
    ),
    _agent({"parts": [{"type": "tool-get_result", "toolCallId": "a", "state": "input-available", "input": {}}]}, "call get_result {}"),
    _agent(
        {"parts": [{"type": "dynamic-tool", "toolName": "dyn", "toolCallId": "a", "state": "output-error", "input": {}, "errorText": "boom"}]},
        "call dyn {}", "error of dyn: boom",
    ),
    _agent({"content": [{"type": "tool-call", "toolCallId": "b", "toolName": "sdk", "input": {}}]}, "call sdk {}"),
    Form(
        {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "b", "toolName": "sdk", "output": {"type": "text", "value": "ok"}}]},
        "tool", "", ['result of sdk: ok'],
    ),
    _tool({"type": "custom_tool_call", "call_id": "k", "name": "own", "input": "x"}, "call own x"),
    _tool({"type": "custom_tool_call_output", "call_id": "r", "output": "y"}, "result of re: y"),
    _tool({"type": "mcp_call", "name": "list", "arguments": "{}", "output": "z", "error": None}, "call list {}", "result of list: z"),
    _tool({"type": "mcp_call", "name": "list", "arguments": "{}", "output": None, "error": "no"}, "call list {}", "error of list: no"),
    _tool({"type": "web_search_call", "id": "w", "status": "completed", "action": {"query": "q"}}, 'call web_search {"query": "q"}'),
    _tool({"type": "file_search_call", "id": "f", "queries": ["q"], "results": [{"text": "r"}]}, 'call file_search ["q"]', "result of file_search: r"),
    _tool({"type": "code_interpreter_call", "id": "i", "code": "1 + 1", "outputs": None}, "call code_interpreter 1 + 1"),
    _tool({"type": "computer_call", "call_id": "p", "action": {"type": "click"}}, 'call computer {"type": "click"}'),
    _tool({"type": "computer_call_output", "call_id": "r", "output": {"text": "seen"}}, "result of re: seen"),
    Form(
        {"role": "model", "parts": [{"executableCode": {"language": "PYTHON", "code": "1"}}, {"codeExecutionResult": {"outcome": "OK", "output": "2"}}]},
        "other", "", ["call code 1", "result: 2"],
    ),
    _agent({"content": [{"executable_code": {"code": "1"}}]}, "call code 1"),
    Form(_langchain("AIMessage", content="", tool_calls=[{"name": "lc", "args": {}, "id": "l"}]), "agent", "", ["call lc {}"]),
    Form({"type": "ai", "data": {"content": "", "additional_kwargs": {"tool_calls": [CALL]}}}, "agent", "", ['call look_up {"order": "A-1"}']),
    Form({"type": "tool", "data": {"content": "r", "tool_call_id": "l"}}, "tool", "r", ["r"]),
]  # fmt: skip

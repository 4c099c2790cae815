"""Answer in the form that a client accepts: JSON, or a stream of events.

The SDK refuses a client that does not name both in Accept.
"""

from typing import NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sigmamind_mcp.transports.access import RequestRefused

JSON = "application/json"
EVENTS = "text/event-stream"
UNACCEPTABLE = f"Answers are {JSON} or {EVENTS}. Name one of them, or both, in the Accept header."
_DATA = b"data: "


class AcceptedForms(NamedTuple):
    """Which forms of an answer a client accepts."""

    json: bool
    events: bool


class AnswerInAcceptedForm:
    """Serves clients that accept one form of answer; what the other form has is converted."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        forms = read_accepted_forms(Headers(scope=scope).getlist("accept"))
        if not any(forms):
            await RequestRefused(406, UNACCEPTABLE).response(scope, receive, send)
            return
        if not all(forms):
            send = AnswerConverter(send, to_json=forms.json).send
        headers = [header for header in scope["headers"] if header[0] != b"accept"]
        accept = (b"accept", f"{JSON}, {EVENTS}".encode())
        await self.app({**scope, "headers": [*headers, accept]}, receive, send)


class AnswerConverter:
    """Converts an answer to JSON or to events; errors with an HTTP status stay JSON."""

    def __init__(self, send: Send, *, to_json: bool) -> None:
        self._send = send
        self._from, self._to = (EVENTS, JSON) if to_json else (JSON, EVENTS)
        self._start: Message | None = None
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        """Hold back an answer in the other form until it is whole, then send it converted."""
        if message["type"] == "http.response.start" and self._needs_conversion(message):
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._send_converted(self._start)

    def _needs_conversion(self, start: Message) -> bool:
        content_type = Headers(raw=start["headers"]).get("content-type", "")
        return start["status"] == 200 and content_type.startswith(self._from)

    async def _send_converted(self, start: Message) -> None:
        body = bytes(self._body)
        converted = _read_last_event(body) if self._to == JSON else _write_event(body)
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-type"] = self._to
        headers["content-length"] = str(len(converted))
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": converted})


def read_accepted_forms(values: list[str]) -> AcceptedForms:
    """Return the forms that Accept names; a client that names no events gets JSON."""
    types = [item.partition(";")[0].strip().lower() for item in ",".join(values).split(",")]
    accepts_any = "*/*" in types or not any(types)
    return AcceptedForms(
        json=accepts_any or JSON in types or "application/*" in types,
        events=EVENTS in types or "text/*" in types,
    )


def _read_last_event(body: bytes) -> bytes:
    """Return the data of the last event: the answer, which follows all progress."""
    events = [line for line in body.splitlines() if line.startswith(_DATA)]
    return events[-1].removeprefix(_DATA) if events else b""


def _write_event(body: bytes) -> bytes:
    return b"event: message\r\n" + _DATA + body + b"\r\n\r\n"

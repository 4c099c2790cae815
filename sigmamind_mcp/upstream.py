"""One request to the API: its deadline, its size, its errors. Nothing here knows what an endpoint means."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import anyio
import httpx2
from pydantic import SecretStr

from sigmamind_mcp import __version__, errors
from sigmamind_mcp.models import JSONObject, as_text

DEADLINE_SECONDS = 30.0
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64

_BY_STATUS: dict[int, tuple[type[errors.APIError], str]] = {
    400: (errors.InvalidRequest, "The API refused the arguments (400)."),
    401: (
        errors.NotAuthenticated,
        "The API does not accept the key (401). Check SIGMAMIND_API_KEY, or over HTTP the X-API-Key header,"
        " against the dashboard (Deploy, API Keys).",
    ),
    403: (
        errors.NotAllowed,
        "The API does not let this key use that object (403). Check agentId: the object may belong to another"
        " agent or workspace.",
    ),
    404: (errors.NotFound, "The API has nothing at that id for this agent (404)."),
    405: (errors.NotOffered, "The API does not offer this operation (405)."),
    422: (errors.InvalidRequest, "The API refused the arguments (422)."),
    429: (errors.TooManyRequests, "The API asks for fewer requests (429). Try again in a minute."),
    501: (errors.NotOffered, "The API does not offer this operation (501)."),
}


@dataclass(frozen=True)
class Reply:
    """What came back with a 2xx: the decoded JSON (None for an empty body) and the API's own clock."""

    data: Any
    date: datetime


class Upstream:
    """The one connection pool to the API, for every caller; each request carries its own caller's key.

    `transport` stands in for the network: the sandbox is reached through an ASGI transport.
    """

    def __init__(self, base_url: str, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.base_url = base_url
        self._http = httpx2.AsyncClient(
            transport=transport,
            headers={"User-Agent": f"sigmamind-mcp/{__version__}", "Accept": "application/json"},
            timeout=httpx2.Timeout(DEADLINE_SECONDS, connect=10),
            # A redirect would carry X-API-Key to wherever it points, and a proxy variable would show it the key.
            follow_redirects=False,
            trust_env=False,
        )

    @classmethod
    def to_app(cls, app: Callable[..., Awaitable[None]]) -> Self:
        """An upstream whose API is an ASGI app in this process, such as the sandbox."""
        return cls("http://sandbox", transport=httpx2.ASGITransport(app, raise_app_exceptions=False))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        *path: str,
        key: SecretStr,
        query: Mapping[str, str | int] | None = None,
        body: JSONObject | None = None,
    ) -> Reply:
        """Send one request to the path made of these segments and return its 2xx answer.

        Raises:
            ConnectionFailed: no whole answer within DEADLINE_SECONDS.
            APIError: the API answered with a status other than 2xx.
            UnexpectedAnswer: the answer is a redirect, too large, compressed, or not JSON.
        """
        request = self._http.build_request(
            method,
            "/".join([self.base_url, *(quote(segment, safe="") for segment in path)]),
            params=query,
            json=body,
            # Asked for plain, because a small compressed answer can unfold to any size.
            headers={"X-API-Key": key.get_secret_value(), "Accept-Encoding": "identity"},
        )
        try:
            with anyio.fail_after(DEADLINE_SECONDS):
                response = await self._http.send(request, stream=True)
                try:
                    raw = await _read(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise errors.ConnectionFailed(
                f"The API at {self.host} gave no whole answer within {DEADLINE_SECONDS:.0f} s. Try again.",
                sent=True,
            ) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise errors.ConnectionFailed(
                f"No connection to the API at {self.host}. Check the network and SIGMAMIND_BASE_URL.",
                sent=False,
            ) from None
        except httpx2.TransportError:
            raise errors.ConnectionFailed(
                f"The connection to the API at {self.host} broke off before a whole answer. Try again.",
                sent=True,
            ) from None
        return _judge(response, raw)

    @property
    def host(self) -> str:
        return httpx2.URL(self.base_url).host


async def _read(response: httpx2.Response) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise errors.UnexpectedAnswer("The API's answer came compressed, which was not asked for.")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise errors.UnexpectedAnswer(
                f"The API's answer is larger than {MAX_BODY_BYTES // 2**20} MiB. Ask for less, such as a smaller size."
            )
    return bytes(body)


def _judge(response: httpx2.Response, raw: bytes) -> Reply:
    status = response.status_code
    if 200 <= status < 300:
        return Reply(_decode(raw), _date(response))
    if 300 <= status < 400:
        raise errors.UnexpectedAnswer(
            f"The API answered with a redirect ({status}), which is never followed. Check SIGMAMIND_BASE_URL."
        )
    if status >= 500 and status != 501:
        raise errors.ServerFault(f"The API failed ({status}). Try again in a minute.", status=status)
    kind, message = _BY_STATUS.get(status, (errors.APIError, f"The API refused the request ({status})."))
    raise kind(message, status=status, upstream=_reasons(raw))


def _decode(raw: bytes) -> Any:
    if not raw.strip():
        return None
    try:
        data = json.loads(raw, parse_constant=_refuse_constant)
        if _is_deeper_than(MAX_DEPTH, data):
            raise ValueError("nested too deep")
        return data
    except (ValueError, RecursionError):
        raise errors.UnexpectedAnswer(
            "The API's answer is not JSON; something between here and it may have answered instead."
            " Check SIGMAMIND_BASE_URL and any proxy."
        ) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _is_deeper_than(depth: int, data: object) -> bool:
    level = [data]
    for _ in range(depth + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def _reasons(raw: bytes) -> dict[str, str]:
    """What the documented error body says is wrong, field by field; nothing for any other body."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(body, dict):
        return {}
    fields = body.get("validationErrors")
    reasons = {str(field): str(as_text(said)) for field, said in fields.items()} if isinstance(fields, dict) else {}
    message = body.get("message")
    return reasons or ({"message": message} if isinstance(message, str) and message else {})


def _date(response: httpx2.Response) -> datetime:
    try:
        return parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)

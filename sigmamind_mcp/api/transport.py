"""One request to the API: its deadline, its size, its errors. Nothing here knows what an endpoint means."""

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import anyio
import httpx2
from opentelemetry import trace
from pydantic import SecretStr

from sigmamind_mcp import __version__, errors
from sigmamind_mcp.api.models import as_text
from sigmamind_mcp.api.pool import ConnectionPool
from sigmamind_mcp.api.retries import (
    LONGEST_RETRY_AFTER,
    MAX_ATTEMPTS,
    RETRIED_STATUSES,
    RetryBudget,
    pause_before,
    retry_after,
)
from sigmamind_mcp.concurrency import run_if_large
from sigmamind_mcp.strict_json import JSONObject, is_deeper_than, parse_json

DEADLINE_SECONDS = 30.0
CONNECT_SECONDS = 5.0
_TIMEOUT = httpx2.Timeout(DEADLINE_SECONDS, connect=CONNECT_SECONDS).as_dict()
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")

_tracer = trace.get_tracer("sigmamind_mcp", __version__)

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
    408: (errors.APIError, "The API waited too long for the request (408). Try again."),
    429: (errors.TooManyRequests, "The API asks for fewer requests (429). Try again in a minute."),
    501: (errors.NotOffered, "The API does not offer this operation (501)."),
}


@dataclass(frozen=True)
class Reply:
    """What came back with a 2xx: the decoded JSON (None for an empty body), the API's own clock, the body's bytes."""

    data: Any
    date: datetime
    size: int


class APITransport:
    """The API, for every caller; each request carries its own caller's key.

    `transport` stands in for the network. `pause` waits between the `attempts` of a read.
    """

    def __init__(
        self,
        base_url: str,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        attempts: int = MAX_ATTEMPTS,
        pause: Callable[[float], Awaitable[None]] = anyio.sleep,
        random: Random | None = None,
    ) -> None:
        self.base_url = base_url
        self.budget = RetryBudget()
        self.api_date: datetime | None = None
        """The newest answer's Date, where it had one."""
        self._attempts = attempts
        self._pause = pause
        self._random = random or Random()
        self._pool = ConnectionPool(transport)

    @classmethod
    def to_app(cls, app: Callable[..., Awaitable[None]]) -> Self:
        """An upstream whose API is an ASGI app in this process, such as the sandbox."""
        return cls(
            "http://sandbox", transport=httpx2.ASGITransport(app, raise_app_exceptions=False)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pool.aclose()

    async def get(
        self, *path: str, key: SecretStr, query: Mapping[str, str | int] | None = None
    ) -> Reply:
        """GET the path made of these segments and return its 2xx answer, trying again where that may help.

        Raises:
            ConnectionFailed: no whole answer within DEADLINE_SECONDS, all attempts and pauses together.
            APIError: the API answered with a status other than 2xx.
            UnexpectedAnswer: the answer is a redirect, too large, compressed, or not JSON.
        """
        with _deadline(self.host) as left:
            self.budget.earn()
            for retry in range(1, self._attempts + 1):
                try:
                    return await self._attempt("GET", path, left, key=key, query=query)
                except (errors.APIError, errors.ConnectionFailed) as exc:
                    wait = self._wait_before(retry, exc)
                    if wait is None:
                        raise
                await self._pause(wait)
        raise AssertionError("the last attempt returns or raises")

    async def send(self, method: str, *path: str, key: SecretStr, body: JSONObject) -> Reply:
        """Send a write, at most once: it is sent again only where no connection was ever made.

        A call that is cancelled meanwhile does not cut it in half: it runs to its end, or to the deadline.

        Raises: as `get`; a ConnectionFailed says whether the request may have left.
        """
        with anyio.CancelScope(shield=True), _deadline(self.host) as left:
            try:
                return await self._attempt(method, path, left, key=key, body=body)
            except errors.ConnectionFailed as exc:
                if exc.sent:
                    raise
            await self._pause(pause_before(1, self._random))
            left.clear()
            return await self._attempt(method, path, left, key=key, body=body)
        raise AssertionError("the scope is shielded, so that nothing cancels it")

    def _wait_before(
        self, retry: int, exc: errors.APIError | errors.ConnectionFailed
    ) -> float | None:
        """Seconds until the retry, or None when there will be none."""
        asked = None
        if isinstance(exc, errors.APIError):
            asked = exc.retry_after
            if exc.status not in RETRIED_STATUSES or (
                asked is not None and asked > LONGEST_RETRY_AFTER
            ):
                return None
        if retry >= self._attempts or not self.budget.spend():
            return None
        return pause_before(retry, self._random) if asked is None else asked

    async def _attempt(
        self,
        method: str,
        path: Sequence[str],
        left: list[str],
        *,
        key: SecretStr,
        query: Mapping[str, str | int] | None = None,
        body: JSONObject | None = None,
    ) -> Reply:
        if not all(_SEGMENT.fullmatch(segment) for segment in path):
            # What a caller sends as an id is checked long before; the API's own lists hold ids as well.
            raise errors.UnexpectedAnswer(
                "The API gave an id that is none: letters, digits, '_' and '-' only."
            )
        request = httpx2.Request(
            method,
            "/".join([self.base_url, *path]),
            params=query,
            # The HTTP library spells JSON without escapes, and so cannot say half a character, as cut texts end in.
            content=None if body is None else json.dumps(body),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # a small compressed answer can unfold to any size
                "User-Agent": f"sigmamind-mcp/{__version__}",
                "X-API-Key": key.get_secret_value(),
                **({} if body is None else {"Content-Type": "application/json"}),
            },
            extensions={"timeout": _TIMEOUT},
        )
        await self._pool.ready()
        try:
            async with self._pool.connection() as connection:
                left.append(method)
                with self._span(method, path) as span:
                    response = await connection.handle_async_request(request)
                    span.set_attribute("http.response.status_code", response.status_code)
                    try:
                        raw = await _read(response)
                    finally:
                        with anyio.CancelScope(
                            shield=True
                        ):  # a cancelled call must give its connection back
                            await response.aclose()
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            raise errors.ConnectionFailed(
                f"No connection to the API at {self.host}. Check the network and SIGMAMIND_BASE_URL.",
                sent=False,
            ) from None
        except httpx2.TransportError:
            raise errors.ConnectionFailed(
                f"The connection to the API at {self.host} broke off before a whole answer. Try again.",
                sent=True,
            ) from None
        self.api_date = _sent_date(response)
        return await _judge(response, raw)

    def _span(self, method: str, path: Sequence[str]) -> AbstractContextManager[trace.Span]:
        """An OpenTelemetry span inside that of the call; its name has no id, so that there are few names."""
        return _tracer.start_as_current_span(
            f"{method} /{'/'.join(path[:2])}",
            kind=trace.SpanKind.CLIENT,
            attributes={"http.request.method": method, "server.address": self.host},
            record_exception=False,
            set_status_on_exception=False,
        )

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""


@contextmanager
def _deadline(host: str) -> Iterator[list[str]]:
    """End everything inside after DEADLINE_SECONDS; a time-out of the HTTP library restarts with every byte.

    Yields where each request is noted that got past the gate, and so may have left.
    """
    left: list[str] = []
    try:
        with anyio.fail_after(DEADLINE_SECONDS):
            yield left
    except TimeoutError:
        raise errors.ConnectionFailed(
            f"The API at {host} gave no whole answer within {DEADLINE_SECONDS:.0f} s. Try again.",
            sent=bool(left),
        ) from None


async def _read(response: httpx2.Response) -> bytes:
    if response.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise errors.UnexpectedAnswer(
            "The API's answer came compressed, which was not asked for.",
            succeeded=response.is_success,
        )
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise errors.UnexpectedAnswer(
                f"The API's answer is larger than {MAX_BODY_BYTES // 2**20} MiB. Ask for less, such as a smaller size.",
                succeeded=response.is_success,
            )
    return bytes(body)


async def _judge(response: httpx2.Response, raw: bytes) -> Reply:
    status = response.status_code
    if 200 <= status < 300:
        return Reply(await run_if_large(len(raw), _decode, raw), _date(response), len(raw))
    if 300 <= status < 400:
        raise errors.UnexpectedAnswer(
            f"The API answered with a redirect ({status}), which is never followed. Check SIGMAMIND_BASE_URL."
        )
    kind, message = _BY_STATUS.get(
        status, (errors.APIError, f"The API refused the request ({status}).")
    )
    if status >= 500 and kind is errors.APIError:
        kind, message = errors.ServerFault, f"The API failed ({status}). Try again in a minute."
    after = retry_after(response.headers, _date(response))
    if after is not None and after > LONGEST_RETRY_AFTER:
        message = f"{message} It asks to wait {min(after, 86_400):,.0f} s."
    raise kind(
        message,
        status=status,
        upstream=await run_if_large(len(raw), _reasons, raw),
        retry_after=after,
    )


def _decode(raw: bytes) -> Any:
    if not raw.strip():
        return None
    try:
        data = parse_json(raw)
        if is_deeper_than(MAX_DEPTH, data):
            raise ValueError("nested too deep")
        return data
    except (ValueError, RecursionError):
        raise errors.UnexpectedAnswer(
            "The API's answer is not JSON; something between here and it may have answered instead."
            " Check SIGMAMIND_BASE_URL and any proxy.",
            succeeded=True,
        ) from None


def _reasons(raw: bytes) -> dict[str, str]:
    """What the documented error body says is wrong, field by field; nothing for any other body."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(body, dict) or is_deeper_than(MAX_DEPTH, body):
        return {}
    fields = body.get("validationErrors")
    reasons = (
        {str(field): str(as_text(said)) for field, said in fields.items()}
        if isinstance(fields, dict)
        else {}
    )
    message = body.get("message")
    return reasons or ({"message": message} if isinstance(message, str) and message else {})


def _date(response: httpx2.Response) -> datetime:
    """The time by the API's clock, or by ours where its Date header cannot be read."""
    return _sent_date(response) or datetime.now(UTC)


def _sent_date(response: httpx2.Response) -> datetime | None:
    try:
        moment = parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError):
        return None
    return moment if moment.tzinfo else None

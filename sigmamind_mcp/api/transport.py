"""Send requests to the API, with a deadline, a size limit and retries of reads."""

import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from random import Random
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import httpx2
from opentelemetry import trace
from pydantic import SecretStr

from sigmamind_mcp import __version__, errors
from sigmamind_mcp.api.pool import ConnectionPool
from sigmamind_mcp.api.refusals import find_reasons, find_refusal
from sigmamind_mcp.api.retries import (
    MAX_TRIES,
    RETRIED_STATUSES,
    RetryBudget,
    choose_pause,
    read_retry_after,
)
from sigmamind_mcp.api.status_errors import build_refusal_error, choose_error
from sigmamind_mcp.call_deadlines import limit_to_call
from sigmamind_mcp.callers import fingerprint
from sigmamind_mcp.concurrency import LargeWork
from sigmamind_mcp.moments import parse_http_date
from sigmamind_mcp.strict_json import (
    MAX_VALUES,
    JSONObject,
    TooManyValues,
    is_deeper_than,
    parse_json,
)

DEADLINE_SECONDS = 30.0
CONNECT_SECONDS = 5.0
LEAST_WRITE_SECONDS = 10.0
"""A write that is cut has an unknown outcome, so none is begun with less time."""
MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_ANSWER_DEPTH = 64
CHUNKS_IN_A_TURN = 64
"""After so many chunks, other calls get a turn: h11 reads those that have arrived without one."""
MAX_CHUNKS = 65_536
"""An answer of the largest size in chunks of 128 bytes."""

_TIMEOUT = httpx2.Timeout(DEADLINE_SECONDS, connect=CONNECT_SECONDS).as_dict()
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")

Query = Mapping[str, str | int]

logger = logging.getLogger(__name__)
_tracer = trace.get_tracer("sigmamind_mcp", __version__)


@dataclass(frozen=True)
class Reply:
    """A 2xx answer: parsed JSON (None if empty), the API's clock, the body's size in bytes."""

    data: Any
    date: datetime
    size: int
    headers: Mapping[str, str]


@dataclass
class SendStatus:
    """Whether any request of a call may have left, and how the last try of a read failed."""

    may_have_left: bool = False
    failure: errors.APIError | errors.ConnectionFailed | None = None


class KnownPaging(NamedTuple):
    """How the API gives one list: page sizes that it gave, and the number of its first page.

    `first_number` is None if it is unknown. `takes_size` is False if the API refuses any size.
    """

    first_size: int
    largest: int
    first_number: int | None = None
    takes_size: bool = True


class APITransport:
    """The connection to the API for all callers; each request carries its caller's key.

    `transport` replaces the network. A read makes at most `tries` requests, and `pause` waits
    between them.
    """

    def __init__(
        self,
        base_url: str,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        tries: int = MAX_TRIES,
        pause: Callable[[float], Awaitable[None]] = anyio.sleep,
        random: Random | None = None,
    ) -> None:
        self.base_url = base_url
        self.budget = RetryBudget()
        self.api_date: datetime | None = None
        """The Date header of the newest answer, if it had one."""
        self.paging: dict[str, KnownPaging] = {}
        """What worked so far, by the name of the list."""
        self._tries = tries
        self._pause = pause
        self._random = random or Random()
        self.large_work = LargeWork()
        self._pool = ConnectionPool(transport)

    @classmethod
    def to_app(cls, app: Callable[..., Awaitable[None]]) -> Self:
        """Return a transport to an ASGI app in this process, such as the sandbox."""
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        return cls("http://sandbox", transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._pool.aclose()

    def serve_several_callers(self) -> None:
        """Share the connections fairly: one caller may hold a part of them only."""
        self._pool.limit_each_caller()

    @property
    def requests_per_caller(self) -> int:
        return self._pool.requests_per_caller

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""

    @property
    def _origin(self) -> str:
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    async def get(
        self,
        *path: str,
        key: SecretStr,
        query: Query | None = None,
        on_busy: Callable[[], None] | None = None,
    ) -> Reply:
        """GET the path of these segments, with retries, and return the 2xx answer.

        `on_busy` is called each time the API asks for fewer requests (429).

        Raises:
            ConnectionFailed: no whole answer within DEADLINE_SECONDS, retries and pauses included.
            APIError: the status is not 2xx. The deadline ends a retry with the error before it.
            UnexpectedAnswer: the answer is a redirect, too large, compressed or not JSON.
        """
        with _set_deadline(self.host) as status, _explain_bugs(status):
            self.budget.earn()
            for retry in range(1, self._tries + 1):
                try:
                    return await self._try_once("GET", path, status, key=key, query=query)
                except (errors.APIError, errors.ConnectionFailed) as exc:
                    status.failure = exc
                    if on_busy and isinstance(exc, errors.TooManyRequests):
                        on_busy()
                    wait = self._wait_before(retry, exc)
                    if wait is None:
                        raise
                await self._pause(wait)
        raise AssertionError("the last try returns or raises")

    async def send(self, method: str, *path: str, key: SecretStr, body: JSONObject) -> Reply:
        """Send a write once; retry it only if no connection was made.

        A cancellation does not interrupt it: it runs to its end or to the deadline.

        Raises: as `get`; `ConnectionFailed.sent` says whether the request may have left. OutOfTime
        if the call around it is about to end, and nothing was sent.
        """
        if limit_to_call(inf) < LEAST_WRITE_SECONDS:
            raise errors.OutOfTime(
                "The API is slow: no time was left to write, and nothing was written. Try again."
            )
        deadline = _set_deadline(self.host)
        with anyio.CancelScope(shield=True), deadline as status, _explain_bugs(status):
            try:
                return await self._try_once(method, path, status, key=key, body=body)
            except errors.ConnectionFailed as exc:
                if exc.sent:
                    raise
            status.may_have_left = False
            await self._pause(choose_pause(1, self._random))
            return await self._try_once(method, path, status, key=key, body=body)
        raise AssertionError("the scope is shielded, so nothing cancels it")

    def _wait_before(
        self,
        retry: int,
        exc: errors.APIError | errors.ConnectionFailed,
    ) -> float | None:
        """Return the seconds until the retry, or None if there is none or no time for it."""
        asked = exc.retry_after if isinstance(exc, errors.APIError) else None
        if isinstance(exc, errors.APIError) and exc.status not in RETRIED_STATUSES:
            return None
        wait = choose_pause(retry, self._random) if asked is None else asked
        left = anyio.current_effective_deadline() - anyio.current_time()
        if retry >= self._tries or wait >= left or not self.budget.spend():
            return None
        return wait

    async def _try_once(
        self,
        method: str,
        path: Sequence[str],
        status: SendStatus,
        *,
        key: SecretStr,
        query: Query | None = None,
        body: JSONObject | None = None,
    ) -> Reply:
        """Send one request and return its 2xx answer."""
        # Ids of the caller were checked before. Ids from the API's own lists are checked here.
        if not all(_SEGMENT.fullmatch(segment) for segment in path):
            raise errors.UnexpectedAnswer(
                "The API gave an invalid id: an id has only letters, digits, '_' and '-'."
            )
        url = "/".join([self.base_url, *path])
        request = _build_request(method, url, key=key, query=query, body=body)
        await self._pool.wait_until_ready()
        try:
            # An answer meant for an earlier read must never pass for the answer to a write.
            pooled = self._pool.connection(fingerprint(key), reuse=method == "GET")
            async with pooled as connection:
                status.may_have_left = True
                with self._start_span(method, path) as span:
                    response = await connection.handle_async_request(request)
                    span.set_attribute("http.response.status_code", response.status_code)
                    raw = await _receive_body(response)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            raise errors.ConnectionFailed(
                f"No connection to the API at {self._origin}."
                " Check the network and SIGMAMIND_BASE_URL.",
                sent=False,
            ) from None
        except httpx2.TransportError:
            raise errors.ConnectionFailed(
                f"The connection to the API at {self.host} closed before the whole answer"
                " arrived. Try again.",
                sent=True,
            ) from None
        self.api_date = _parse_date_header(response)
        return await self._read_reply(response, raw, key)

    async def _read_reply(self, response: httpx2.Response, raw: bytes, key: SecretStr) -> Reply:
        """Return the reply of a 2xx answer; raise an error for a refusal and any other status."""
        status = response.status_code
        date = _parse_date_header(response) or datetime.now(UTC)
        if 200 <= status < 300:
            data = await self.large_work.run(len(raw), _decode, raw, caller=fingerprint(key))
            if refusal := find_refusal(data):
                raise build_refusal_error(refusal, status)
            return Reply(data, date, len(raw), response.headers)
        if 300 <= status < 400:
            raise errors.UnexpectedAnswer(
                f"The API answered with a redirect ({status}), which is never followed."
                " Check SIGMAMIND_BASE_URL."
            )
        reasons = await self.large_work.run(len(raw), _parse_reasons, raw, caller=fingerprint(key))
        raise choose_error(status, reasons, read_retry_after(response.headers, date))

    def _start_span(self, method: str, path: Sequence[str]) -> AbstractContextManager[trace.Span]:
        """Start an OpenTelemetry span inside the call's span."""
        return _tracer.start_as_current_span(
            # Without ids, so that there are few span names.
            f"{method} /{'/'.join(path[:2])}",
            kind=trace.SpanKind.CLIENT,
            attributes={"http.request.method": method, "server.address": self.host},
            record_exception=False,
            set_status_on_exception=False,
        )


@contextmanager
def _set_deadline(host: str) -> Iterator[SendStatus]:
    """Cancel the block after DEADLINE_SECONDS, or shortly before the end of its call.

    Yields the status that its requests set.
    """
    # A timeout of the HTTP library starts again with every byte, so it is no deadline.
    status = SendStatus()
    seconds = limit_to_call(DEADLINE_SECONDS)
    try:
        with anyio.fail_after(seconds):
            yield status
    except TimeoutError:
        if status.failure:
            raise status.failure from None
        raise errors.ConnectionFailed(
            f"The API at {host} gave no whole answer within {seconds:.0f} s. Try again.",
            sent=status.may_have_left,
        ) from None


@contextmanager
def _explain_bugs(status: SendStatus) -> Iterator[None]:
    """Turn any other exception after a request left into UnexpectedAnswer.

    A write is then of unknown outcome and remembered, instead of forgotten and sent again.
    """
    try:
        yield
    except errors.SigmaMindError:
        raise
    except Exception as exc:
        if not status.may_have_left:
            raise
        logger.exception("failed to read an answer")
        raise errors.UnexpectedAnswer(
            "This server could not read the API's answer. Its log says where; please report that."
        ) from exc


def _build_request(
    method: str,
    url: str,
    *,
    key: SecretStr,
    query: Query | None,
    body: JSONObject | None,
) -> httpx2.Request:
    headers = {
        "Accept": "application/json",
        # A small compressed answer can expand to any size.
        "Accept-Encoding": "identity",
        "User-Agent": f"sigmamind-mcp/{__version__}",
        "X-API-Key": key.get_secret_value(),
    }
    content = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        # The HTTP library's encoder fails on half a surrogate pair, which can end a truncated text.
        content = json.dumps(body)
    return httpx2.Request(
        method,
        url,
        params=query,
        content=content,
        headers=headers,
        extensions={"timeout": _TIMEOUT},
    )


async def _receive_body(response: httpx2.Response) -> bytes:
    """Return the body and close the response."""
    try:
        return await _join_chunks(response)
    finally:
        # A cancelled call must release its connection too.
        with anyio.CancelScope(shield=True):
            await response.aclose()


async def _join_chunks(response: httpx2.Response) -> bytes:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise errors.UnexpectedAnswer(
            "The API's answer is compressed, although this server asked for an uncompressed one.",
            succeeded=response.is_success,
        )
    body = bytearray()
    chunks = 0
    async for chunk in response.aiter_raw():
        body += chunk
        chunks += 1
        if chunks % CHUNKS_IN_A_TURN == 0:
            await anyio.lowlevel.checkpoint()
        if chunks > MAX_CHUNKS:
            raise errors.UnexpectedAnswer(
                f"The API's answer comes in more than {MAX_CHUNKS:,} chunks."
                " Check any proxy between this server and the API.",
                succeeded=response.is_success,
            )
        if len(body) > MAX_ANSWER_BYTES:
            raise errors.AnswerTooLarge(
                f"The API's answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB."
                " Ask for less, such as a smaller size.",
                succeeded=response.is_success,
            )
    return bytes(body)


def _decode(raw: bytes) -> Any:
    """Parse the body as strict JSON; return None if it is empty."""
    if not raw.strip():
        return None
    try:
        data = parse_json(raw)
        if is_deeper_than(MAX_ANSWER_DEPTH, data):
            raise ValueError("nested too deep")
        return data
    except TooManyValues:
        raise errors.AnswerTooLarge(
            f"The API's answer has more than {MAX_VALUES:,} values."
            " Ask for less, such as a smaller size.",
            succeeded=True,
        ) from None
    except (ValueError, RecursionError):
        raise errors.UnexpectedAnswer(
            "The API's answer is not JSON; a proxy may have answered instead."
            " Check SIGMAMIND_BASE_URL and any proxy.",
            succeeded=True,
        ) from None


def _parse_reasons(raw: bytes) -> dict[str, str]:
    """Return the reasons by field from a documented error body; nothing from any other body."""
    try:
        body = parse_json(raw)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(body, dict) or is_deeper_than(MAX_ANSWER_DEPTH, body):
        return {}
    return find_reasons(body)


def _parse_date_header(response: httpx2.Response) -> datetime | None:
    """Return the time by the API's clock; None if its Date header is missing or malformed."""
    return parse_http_date(response.headers.get("Date", ""))

"""Read one page of an agent's batch runs, in whatever size the API gives."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from sigmamind_mcp.api.listings import Page
from sigmamind_mcp.api.models import BatchRun
from sigmamind_mcp.api.page_signals import has_page_headers
from sigmamind_mcp.api.transport import KnownPaging, Query, Reply
from sigmamind_mcp.api.walks import (
    LARGEST_SIZE,
    Window,
    choose_smaller_size,
    choose_window,
    refuses_size,
)
from sigmamind_mcp.errors import InvalidRequest, SigmaMindError
from sigmamind_mcp.ids import mark_text

T = TypeVar("T")

# After this many requests, no smaller size is tried, and list_batch_runs looks no state up.
MAX_PAGE_REQUESTS = 6

_NAME = "batch-runs"
_SIZE_WORD = re.compile(r"size|limit", re.IGNORECASE)
_PAGE_WORD = re.compile(r"\bpage(number)?\b", re.IGNORECASE)
_UNKNOWN_WORD = re.compile(
    r"unknown|unexpected|unrecogni[sz]ed|unsupported|not (supported|allowed|recogni[sz]ed)",
    re.IGNORECASE,
)


class Dated(NamedTuple, Generic[T]):
    """What the API answered, and when, by its own clock."""

    value: T
    date: datetime


DatedPage = Dated[Page[BatchRun]]
GetPage = Callable[[Query, Callable[[Reply], Page[BatchRun]]], Awaitable[DatedPage]]


def mark_batch_run(batch_id: str | None) -> int:
    """Return a number that stands for a batch run in a cursor; 0 without an id."""
    return mark_text(batch_id) if batch_id else 0


class PageSearch:
    """The requests of one call, until one of them gives the page.

    `paging` has what worked in this process: the page size, and whether pages count from 0 or 1.
    """

    def __init__(
        self,
        agent_id: str,
        get: GetPage,
        paging: MutableMapping[str, KnownPaging],
    ) -> None:
        self._agent_id = agent_id
        self._get = get
        self._paging = paging
        self._known = paging.get(_NAME, KnownPaging(LARGEST_SIZE, LARGEST_SIZE))
        self._request_count = 0
        self._refusal: SigmaMindError | None = None

    async def find(self, place: Window, *, last_mark: int = 0) -> DatedPage:
        """Return the page at this place, or a smaller one that starts there.

        Its number counts from 0. It is 0 if the API gives the first page, whatever is asked for.

        Raises:
            SigmaMindError: the API refuses every form of the request; this is its first refusal.
        """
        largest = min(place.size, self._known.largest)
        window = choose_window(place.offset, largest)
        while True:
            try:
                answer = await self._ask(window)
                break
            except SigmaMindError as exc:
                window = self._choose_other(window, place, exc)
        if self._known.first_number is None:
            answer = await self._find_base(window, answer, last_mark)
        if self._known != KnownPaging(LARGEST_SIZE, LARGEST_SIZE):
            self._paging[_NAME] = self._known
        return Dated(self._place_page(answer.value, window), answer.date)

    async def _ask(self, window: Window) -> DatedPage:
        self._request_count += 1
        number = window.number + (self._known.first_number or 0)
        query: Query = {"agentId": self._agent_id, "page": number}
        if self._known.takes_size:
            query = {**query, "size": window.size}

        def read(reply: Reply) -> Page[BatchRun]:
            return _read_batch_runs(reply, self._agent_id, window)

        return await self._get(query, read)

    def _choose_other(self, window: Window, place: Window, exc: SigmaMindError) -> Window:
        """Return what to ask for after this refusal; raise the first refusal if nothing is left."""
        may_count_from_one = self._known.first_number is None and window.number == 0
        is_refused = isinstance(exc, InvalidRequest)
        if is_refused and may_count_from_one and _names_page(exc):
            self._known = self._known._replace(first_number=1)
            return window
        smaller = choose_smaller_size(window.size)
        if not refuses_size(exc) or self._request_count == MAX_PAGE_REQUESTS:
            raise (self._refusal or exc) from None
        self._refusal = self._refusal or exc
        is_last = smaller is None or (is_refused and _names_unknown_size(exc))
        if self._known.takes_size and is_refused and is_last:
            self._known = self._known._replace(largest=LARGEST_SIZE, takes_size=False)
            return place
        if self._known.takes_size and smaller is not None:
            self._known = self._known._replace(largest=smaller)
            return choose_window(window.offset, smaller)
        if is_refused and may_count_from_one:
            self._known = self._known._replace(first_number=1, takes_size=True)
            return place
        raise self._refusal from None

    async def _find_base(self, window: Window, answer: DatedPage, last_mark: int) -> DatedPage:
        """Find out if pages count from 1; if they do, return the page that was meant."""
        page = answer.value
        if window.number == 0:
            if page.number in (0, 1) and page.entry_count:
                self._known = self._known._replace(first_number=page.number)
            has_entries_elsewhere = page.has_next or bool(page.total)
            if page.entry_count or not has_entries_elsewhere:
                return answer
            return await self._try_from_one(window, answer)
        is_repeated = bool(last_mark and page.ids) and mark_batch_run(page.ids[-1]) == last_mark
        if is_repeated or await self._repeats_first_page(window, page, last_mark):
            return await self._try_from_one(window, answer)
        return answer

    async def _repeats_first_page(
        self, window: Window, page: Page[BatchRun], last_mark: int
    ) -> bool:
        """Return whether page 1 is the first; only a page without a number can leave that open."""
        # The documented API states the number, and a cursor has the mark.
        if page.number is not None or last_mark or page.is_whole_list:
            return False
        try:
            first, _ = await self._ask(Window(0, window.size, 0))
            if window.number > 1:
                page, _ = await self._ask(Window(window.size, window.size, 1))
        except InvalidRequest:
            return True
        if first.entry_count and first.mark != page.mark:
            self._known = self._known._replace(first_number=0)
            return False
        return bool(page.entry_count)

    async def _try_from_one(self, window: Window, answer: DatedPage) -> DatedPage:
        """Ask as if pages count from 1; return the earlier answer if that shows nothing new."""
        before = self._known
        self._known = before._replace(first_number=1)
        try:
            other = await self._ask(window)
        except SigmaMindError:
            other = answer
        if other.value.mark != answer.value.mark:
            return other
        self._known = before
        if not answer.value.entry_count:
            return answer
        return answer._replace(value=replace(answer.value, number=0))

    def _place_page(self, page: Page[BatchRun], window: Window) -> Page[BatchRun]:
        """Complete what the API's page states about itself by what was asked for."""
        page = page.rebase(self._known.first_number or 0)
        number = window.number if page.number is None else page.number
        size = min(page.size or window.size, window.size)
        if not self._known.takes_size:
            size = page.size or max(page.entry_count, 1)
        missing = 0
        is_end = not page.has_next or not page.entry_count
        # A total says more than this, and what it lacks is counted below.
        is_open = page.has_next and not page.entry_count and page.total is None
        # Without its own size, only the first page has a known position.
        has_position = number == window.number and (page.size or number == 0)
        if page.total is not None and is_end and has_position:
            end = number * (page.size or size) + page.entry_count
            missing = max(0, page.total - end)
        return replace(
            page,
            number=number,
            size=size,
            missing_count=missing,
            stop="empty page" if is_open else None,
            request_count=self._request_count,
        )


def _names_page(exc: SigmaMindError) -> bool:
    """Return whether the reasons are about the number of the page, and not about the size."""
    texts = []
    for field, reason in exc.upstream.items():
        texts.append(reason if field == "message" else field)
    if any(map(_SIZE_WORD.search, texts)):
        return False
    return any(map(_PAGE_WORD.search, texts))


def _names_unknown_size(exc: SigmaMindError) -> bool:
    """Return whether the reasons say that there is no parameter for the size."""
    for field, reason in exc.upstream.items():
        text = f"{field} {reason}"
        if _SIZE_WORD.search(text) and _UNKNOWN_WORD.search(text):
            return True
    return False


def _read_batch_runs(reply: Reply, agent_id: str, window: Window) -> Page[BatchRun]:
    """Read a page of batch runs, or cut the page out of a list that has no pages."""
    asked = {"agentId": agent_id}
    count = len(reply.data) if isinstance(reply.data, list) else None
    if count is None or has_page_headers(reply.headers):
        page = Page.read(reply.data, BatchRun, asked, headers=reply.headers)
        if count is None or page.has_next or page.total != count:
            return page
    end = window.offset + window.size
    part = Page.read(reply.data[window.offset : end], BatchRun, asked)
    return replace(part, size=window.size, total=count, has_next=end < count, is_whole_list=True)

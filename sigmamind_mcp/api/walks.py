"""Read a whole list of the API: its first page, then several pages at a time."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import replace
from functools import partial
from typing import Generic, NamedTuple

import anyio
from anyio.abc import TaskGroup

from sigmamind_mcp.api.asked_ids import RecordT
from sigmamind_mcp.api.listings import Listing, Page, StopCause, UnreadableEntry, join_listings
from sigmamind_mcp.api.models import LARGEST_COUNT
from sigmamind_mcp.api.transport import KnownPaging, Query, Reply
from sigmamind_mcp.errors import (
    AnswerTooLarge,
    APIError,
    ConnectionFailed,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    SigmaMindError,
    TooManyRequests,
)

PAGES_AT_A_TIME = 6
LARGEST_SIZE = 100
SMALLER_SIZES = (50, 20, 10, 5, 1)
_SIZE_NAMES = ("size", "limit", "page")

MAX_WALKED_PAGES = 500
MAX_WALKED_ITEMS = 20_000
MAX_WALKED_BYTES = 64 * 1024 * 1024
WALK_SECONDS = 45.0


class Window(NamedTuple):
    """The entries that one request asks for: `offset` is the position of the first of them.

    `number` is the page's number, from 0, among pages of this size.
    """

    offset: int
    size: int
    number: int


# Sends a query; calls its second argument each time the API asks for fewer requests.
SendQuery = Callable[[Query, Callable[[], None]], Awaitable[Reply]]
ReadReply = Callable[[Reply], Awaitable[Page[RecordT]]]


def choose_window(offset: int, largest: int) -> Window:
    """Return the largest page, of at most `largest` entries, that starts at this position."""
    size = largest
    while offset % size:
        size -= 1
    return Window(offset, size, offset // size)


def choose_smaller_size(size: int) -> int | None:
    """Return the page size to try after this one was refused; None if there is none."""
    for smaller in SMALLER_SIZES:
        if smaller < size:
            return smaller
    return None


def refuses_size(exc: SigmaMindError) -> bool:
    """Return whether a smaller page may succeed after this error."""
    if isinstance(exc, AnswerTooLarge):
        return True
    if not isinstance(exc, InvalidRequest):
        return isinstance(exc, APIError) and exc.status == 413
    fields = exc.upstream.keys() - {"message"}
    return not fields or any(map(_names_size, fields))


def _names_size(field: str) -> bool:
    return any(name in field.lower() for name in _SIZE_NAMES)


def find_given_size(window: Window, page: Page[RecordT]) -> int:
    """Return the size of the API's pages, as far as this one shows it."""
    count, stated = page.entry_count, page.size
    if window.size in (count, stated) or not count:
        return window.size
    if stated is not None and count <= stated < window.size:
        return stated
    return count if page.has_next else max(count, window.size)


class Walk(Generic[RecordT]):
    """One reading of a whole list.

    Requests name positions, so that the size of the pages may change on the way and no page is
    read twice. `known_paging` has, by the name of the list, what worked in this process.
    """

    def __init__(
        self,
        name: str,
        send: SendQuery,
        read: ReadReply[RecordT],
        asked: Query,
        known_paging: MutableMapping[str, KnownPaging],
    ) -> None:
        self._name = name
        self._send = send
        self._read = read
        self._asked = asked
        self._known_paging = known_paging
        known = known_paging.get(name)
        self._largest = known.largest if known else LARGEST_SIZE
        self._takes_size = known is None or known.takes_size
        self._is_sized = known is not None and self._takes_size
        self._ignores_size = not self._takes_size
        self._counts_entries = False
        self._first_size = 0
        self._first_number = (known.first_number if known else None) or 0
        self._guesses_number = False
        self._width = PAGES_AT_A_TIME
        # By position: the pages, and how many entries each stands for.
        self._pages: dict[int, Page[RecordT]] = {}
        self._spans: dict[int, Window] = {}
        self._queue: deque[Window] = deque()
        self._retry_from: int | None = None
        self._reading = anyio.Lock()
        self._backlog = anyio.Semaphore(PAGES_AT_A_TIME)
        self._byte_count = 0
        self._request_count = 0
        self._stop: StopCause | None = None
        self._error: SigmaMindError | None = None

    async def read_all(self) -> Listing[RecordT]:
        """Return the entries of all pages in order, or of those that the limits allow.

        `Listing.recount` then counts what misses.

        Raises:
            ConnectionFailed: no page came within WALK_SECONDS.
            SigmaMindError: the first page cannot be read, or the API refuses the key.
        """
        with anyio.move_on_after(WALK_SECONDS) as deadline:
            await self._read_first()
            while self._stop is None and (windows := self._plan()):
                await self._read_windows(windows)
        if deadline.cancelled_caught:
            self._stop = "seconds"
        if not self._pages:
            raise ConnectionFailed(
                f"The API did not give its list of {self._name} within {WALK_SECONDS:.0f} s."
                " Try again.",
                sent=True,
            )
        self._remember_size()
        return self._join()

    async def _read_first(self) -> None:
        """Read the first page, without a size unless one is known to work."""
        # The documented request has no page. Only an API that answers in pages gets another.
        known = self._known_paging.get(self._name)
        size = known.first_size if known and known.takes_size else None
        while True:
            query = self._asked if size is None else {**self._asked, "size": size}
            try:
                page = await self._ask_first(query)
                break
            except SigmaMindError as exc:
                size = self._choose_first_size(exc, size)
        if page.has_next and not page.entry_count:
            page = await self._ask_for_page_one(query) or page
        # A page that is not the last is full, whatever size it states.
        first_size = page.entry_count if page.has_next else page.size or page.entry_count
        self._first_size = min(first_size or 1, LARGEST_COUNT)
        self._first_number = page.number or self._first_number
        self._accept(Window(0, self._first_size, 0), page.rebase(self._first_number))

    async def _ask_for_page_one(self, query: Query) -> Page[RecordT] | None:
        """Return the first page of an API that counts pages from 1; None if it does not."""
        try:
            page = await self._ask_first({**query, "page": 1})
        except SigmaMindError:
            return None
        if not page.entry_count:
            return None
        self._first_number = 1
        return page

    async def _ask_first(self, query: Query) -> Page[RecordT]:
        self._request_count += 1
        reply = await self._send(query, partial(self._slow_down, self._width))
        page = await self._read(reply)
        self._byte_count = reply.size
        return page

    def _choose_first_size(self, exc: SigmaMindError, size: int | None) -> int | None:
        """Return the size for the next try of the first page; raise the error if there is none."""
        if not refuses_size(exc):
            raise exc
        if isinstance(exc, InvalidRequest):
            if size is None:
                raise exc
            self._known_paging.pop(self._name, None)
            self._is_sized = False
            return None
        smaller = choose_smaller_size(LARGEST_SIZE if size is None else size)
        if smaller is None:
            raise exc
        self._largest = smaller
        return smaller

    def _plan(self) -> list[Window]:
        """Return the pages to read next; none at the end of the list or at a limit."""
        offset = 0
        last = self._pages[0]
        while offset in self._pages:
            last = self._pages[offset]
            offset += self._spans[offset].size
        if not last.has_next or self._is_counted_out(last, offset):
            return []
        room = MAX_WALKED_PAGES - self._request_count
        if not last.entry_count:
            self._halt("empty page")
        elif offset >= MAX_WALKED_ITEMS or room <= 0:
            self._halt("entries" if offset >= MAX_WALKED_ITEMS else "pages")
        if self._stop:
            return []
        end = min(self._estimate_total(last), MAX_WALKED_ITEMS)
        window = self._choose_window(offset)
        windows = [window]
        while len(windows) < room and not self._must_wait_for(window):
            offset += window.size
            if offset >= end:
                break
            window = self._choose_window(offset)
            windows.append(window)
        return [window for window in windows if window.offset not in self._pages]

    def _is_counted_out(self, page: Page[RecordT], offset: int) -> bool:
        """Return whether a page without a number ends the list, which it cannot know itself."""
        return page.number is None and page.total is not None and offset >= page.total

    def _choose_window(self, offset: int) -> Window:
        if self._ignores_size:
            return Window(offset, self._first_size, offset // self._first_size)
        return choose_window(offset, self._largest)

    def _must_wait_for(self, window: Window) -> bool:
        """Return whether this page may not be the one that is asked for, nor any after it."""
        is_first_of_size = not self._is_sized and window.size > self._first_size
        return is_first_of_size or (self._guesses_number and len(self._pages) == 1)

    def _estimate_total(self, page: Page[RecordT]) -> int:
        """Return how many entries the list has; 0 if the page does not state it."""
        if page.total is not None:
            return page.total
        return (page.page_count or 0) * (page.size or self._first_size)

    async def _read_windows(self, windows: Iterable[Window]) -> None:
        """Read these pages, several at a time, until one shows that the plan is wrong."""
        self._queue = deque(windows)
        self._retry_from = None
        async with anyio.create_task_group() as group:
            for worker in range(min(self._width, len(self._queue))):
                group.start_soon(self._work, worker, group)
        if self._error:
            raise self._error

    async def _work(self, worker: int, group: TaskGroup) -> None:
        while self._queue and worker < self._width:
            window = self._queue.popleft()
            width = self._width
            self._request_count += 1
            try:
                query = self._write_query(window)
                reply = await self._send(query, partial(self._slow_down, width))
            except SigmaMindError as exc:
                self._handle_error(window, exc, width)
                continue
            # The next request leaves before this answer is read, which takes a while.
            await self._backlog.acquire()
            group.start_soon(self._read_page, window, reply)

    def _write_query(self, window: Window) -> Query:
        number = window.offset if self._counts_entries else self._first_number + window.number
        query: Query = {**self._asked, "page": number}
        return {**query, "size": window.size} if self._takes_size else query

    async def _read_page(self, window: Window, reply: Reply) -> None:
        try:
            # More threads than one would only slow down the event loop.
            async with self._reading:
                page = await self._read(reply)
        except SigmaMindError as exc:
            self._handle_error(window, exc, 1)
        else:
            self._take(window, page, reply.size)
        finally:
            self._backlog.release()

    def _slow_down(self, width: int) -> None:
        """Halve the number of requests at a time; `width` was the number at the request."""
        # Six refusals of requests that were made together halve it once.
        self._width = min(self._width, max(1, width // 2))

    def _handle_error(self, window: Window, exc: SigmaMindError, width: int) -> None:
        if isinstance(exc, NotAuthenticated | NotAllowed):
            self._error = exc
            self._queue.clear()
        elif self._is_outdated(window):
            return
        elif refuses_size(exc) and self._may_shrink(window, exc):
            smaller = choose_smaller_size(window.size)
            if smaller is None:
                self._skip_entry(window)
                return
            self._largest = min(self._largest, smaller)
            self._retry(window.offset)
        elif isinstance(exc, TooManyRequests) and width > 1:
            self._queue.appendleft(window)
        elif isinstance(exc, InvalidRequest) and self._takes_size and len(self._pages) == 1:
            # No size was accepted so far: the API may not have this parameter.
            self._takes_size = False
            self._ignores_size = True
            self._retry(window.offset)
        else:
            self._halt("failed page")

    def _may_shrink(self, window: Window, exc: SigmaMindError) -> bool:
        # The API gave pages of the first size: it refuses something else about this request.
        is_other_refusal = isinstance(exc, InvalidRequest) and window.size <= self._first_size
        return not is_other_refusal and not self._ignores_size

    def _skip_entry(self, window: Window) -> None:
        """Count the one entry of this page as unreadable: it alone is too large."""
        first = self._pages[0]
        page: Page[RecordT] = Page([], [UnreadableEntry(0, None)], total=first.total, has_next=True)
        self._accept(window, page)

    def _take(self, window: Window, page: Page[RecordT], byte_count: int) -> None:
        """Accept the page, or plan anew if it is not the one that was asked for."""
        self._byte_count += byte_count
        if self._is_outdated(window):
            return
        if self._counts_entries:
            # Its number is the position of its first entry.
            page = replace(page, number=None, has_next=page.has_next or page.is_counted)
        page = page.rebase(self._first_number)
        if not self._ignores_size and not self._has_asked_size(window, page):
            return
        if self._starts_at_entry(window, page):
            self._counts_entries = True
            self._retry(self._first_size)
            return
        repeated = self._find_repeated(page)
        if repeated is not None:
            self._handle_repeated(window, repeated)
            return
        self._accept(window, page)
        if self._byte_count > MAX_WALKED_BYTES and page.has_next:
            self._halt("bytes")

    def _is_outdated(self, window: Window) -> bool:
        """Return whether the plan changed after the request for this page."""
        return self._retry_from is not None and window.offset >= self._retry_from

    def _has_asked_size(self, window: Window, page: Page[RecordT]) -> bool:
        """Return whether the page may stand; plan anew from where the API's pages differ."""
        given = find_given_size(window, page)
        if given == window.size:
            return True
        self._largest = min(self._largest, given)
        if given > window.size or window.size <= self._first_size:
            self._ignores_size = True
        # The API gave its own page of that number.
        is_same_page = window.size == self._first_size
        end = window.offset + window.size
        self._retry(end if is_same_page else window.offset)
        return is_same_page

    def _starts_at_entry(self, window: Window, page: Page[RecordT]) -> bool:
        """Return whether the API takes the number of a page for the position of an entry."""
        first_ids = self._pages[0].ids
        number = self._first_number + window.number
        if self._counts_entries or not 0 < number < len(first_ids):
            return False
        return page.first_id is not None and page.first_id == first_ids[number]

    def _find_repeated(self, page: Page[RecordT]) -> Window | None:
        """Return the earlier page with the same entries."""
        for offset, other in self._pages.items():
            if page.mark is not None and other.mark == page.mark:
                return self._spans[offset]
        return None

    def _handle_repeated(self, window: Window, repeated: Window) -> None:
        if repeated.offset and repeated.number == window.number and not self._ignores_size:
            self._ignores_size = True
            self._retry(min(window.offset, repeated.offset))
        elif window.number == 1 and not repeated.offset and not self._first_number:
            # The API may count its pages from 1, or ignore their numbers.
            self._first_number = 1
            self._guesses_number = True
            self._retry(window.offset)
        else:
            self._halt("repeated page")

    def _accept(self, window: Window, page: Page[RecordT]) -> None:
        self._pages[window.offset] = page
        self._spans[window.offset] = window
        self._is_sized = self._is_sized or window.size > self._first_size

    def _retry(self, offset: int) -> None:
        """Read again from this position: the pages after it may not be what was asked for."""
        self._retry_from = offset
        self._queue.clear()
        for later in [known for known in self._pages if known >= offset]:
            del self._pages[later], self._spans[later]

    def _halt(self, cause: StopCause) -> None:
        if cause in ("empty page", "repeated page", "failed page") and self._pages[0].names_cursor:
            cause = "unknown paging"
        self._stop = cause
        self._queue.clear()

    def _remember_size(self) -> None:
        known = KnownPaging(self._first_size, self._largest, self._first_number)
        if not self._takes_size and len(self._pages) > 1:
            self._known_paging[self._name] = known._replace(takes_size=False)
        elif self._is_sized and not self._ignores_size:
            largest_read = max(window.size for window in self._spans.values())
            self._known_paging[self._name] = known._replace(first_size=largest_read)

    def _join(self) -> Listing[RecordT]:
        """Join the pages in order; whoever drops repeated entries counts what misses."""
        pages = [self._pages[offset] for offset in sorted(self._pages)]
        totals = [page.total for page in pages if page.total is not None]
        first, *others = pages
        begins_again = any(page.first_id == first.first_id for page in others)
        if self._stop is None and first.first_id is not None and begins_again:
            self._stop = "repeated page"
        return replace(
            join_listings(pages),
            total=totals[-1] if totals else None,
            is_paged=len(pages) > 1 or self._stop is not None,
            stop=self._stop,
        )

"""Read one page of an agent's batch runs, in whatever size the API gives."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from sigmamind_mcp.api.listings import Page
from sigmamind_mcp.api.models import BatchRun
from sigmamind_mcp.api.transport import KnownPaging, Query
from sigmamind_mcp.api.walks import Window, choose_smaller_size, choose_window, refuses_size
from sigmamind_mcp.errors import SigmaMindError

T = TypeVar("T")

# A call of list_batch_runs makes no more requests than this.
MAX_SIZES_TRIED = 6


class Dated(NamedTuple, Generic[T]):
    """What the API answered, and when, by its own clock."""

    value: T
    date: datetime


GetPage = Callable[[Query, Callable[[object], Page[BatchRun]]], Awaitable[Dated[Page[BatchRun]]]]


async def read_batch_run_page(
    agent_id: str,
    place: Window,
    get: GetPage,
    paging: MutableMapping[str, KnownPaging],
) -> Dated[Page[BatchRun]]:
    """Return the page at this place, or a smaller one that starts there.

    Raises:
        SigmaMindError: the API refuses every size; this is its first refusal.
    """
    known = paging.get("batch-runs", KnownPaging(place.size, place.size))
    window = choose_window(place.offset, min(place.size, known.largest))
    refusal: SigmaMindError | None = None
    for request_count in range(1, MAX_SIZES_TRIED + 1):
        number = window.number + known.first_number
        query: Query = {"agentId": agent_id, "page": number, "size": window.size}
        read = partial(_read_batch_runs, agent_id=agent_id, window=window)
        try:
            answer = await get(query, read)
        except SigmaMindError as exc:
            smaller = choose_smaller_size(window.size)
            if smaller is None or not refuses_size(exc):
                raise (refusal or exc) from None
            refusal = refusal or exc
            window = choose_window(window.offset, smaller)
            known = known._replace(largest=smaller)
            continue
        if window.number == 0 and answer.value.number == 1:
            known = known._replace(first_number=1)
        if refusal or known.first_number:
            paging["batch-runs"] = known
        return Dated(_place_page(answer.value, window, known, request_count), answer.date)
    raise AssertionError("the last size is tried or its refusal raised")


def _read_batch_runs(data: object, *, agent_id: str, window: Window) -> Page[BatchRun]:
    """Read a page of batch runs, or cut the page out of a list that has no pages."""
    asked = {"agentId": agent_id}
    if not isinstance(data, list):
        return Page.read(data, BatchRun, asked)
    end = window.offset + window.size
    part = Page.read(data[window.offset : end], BatchRun, asked)
    return replace(part, size=window.size, total=len(data), has_next=end < len(data))


def _place_page(
    page: Page[BatchRun],
    window: Window,
    known: KnownPaging,
    request_count: int,
) -> Page[BatchRun]:
    """Complete what the API's page states about itself by what was asked for."""
    number = window.number if page.number is None else page.number - known.first_number
    size = min(page.size or window.size, window.size)
    return replace(page, number=max(0, number), size=size, request_count=request_count)

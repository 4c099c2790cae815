"""The page of a list that an answer shows, and the call that continues it."""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from sigmamind_mcp.api.listings import Page
from sigmamind_mcp.tools.answers import Answer, Cut, NextCall
from sigmamind_mcp.tools.arguments import ListPlace, Paged

EntryT = TypeVar("EntryT")


class PageSlice(NamedTuple, Generic[EntryT]):
    """The items of one page that earlier answers have not shown; `place` is where they begin."""

    items: Sequence[EntryT]
    place: ListPlace
    total: int | None
    has_next: bool


def select_page(items: Sequence[EntryT], args: Paged) -> PageSlice[EntryT]:
    """Return the page of all `items` that `args` ask for."""
    place = args.place
    start = place.page * args.size
    end = start + args.size
    return PageSlice(
        items=items[start + place.skip : end],
        place=place,
        total=len(items),
        has_next=end < len(items),
    )


def add_next_page(
    answer: Answer,
    tool: str,
    args: Paged,
    page: PageSlice[Any],
    *,
    count: int,
    last_mark: int = 0,
) -> None:
    """Add what continues a list that shows the first `count` items of `page`.

    `last_mark` stands for the last of them.
    """
    number = page.place.page
    if count < len(page.items):
        shown = page.place.skip + count
        on_page = page.place.skip + len(page.items)
        answer.cut = [Cut(field="this page", shown=shown, of=on_page)]
        further = ListPlace(number, shown, last_mark)
        answer.next_calls = [_continue_at(further, tool, args)]
    elif page.has_next:
        further = ListPlace(number + 1, 0, last_mark)
        answer.next_calls = [_continue_at(further, tool, args)]
    if page.items or page.total is None or number == 0:
        return
    if number * args.size >= page.total:
        last_page = max(0, (page.total - 1) // args.size)
        answer.hint = f"This page is past the end; the last one is {last_page}."


def _continue_at(place: ListPlace, tool: str, args: Paged) -> NextCall:
    further = args.continue_at(page=place.page, skip=place.skip, last=place.last_mark)
    return NextCall(tool=tool, arguments=further)


def explain_other_page(page: Page[Any], *, asked: int) -> str:
    """Say that the API answered with another page than was asked for."""
    size = page.size or 1
    total = page.total or 0
    if not page.has_next and asked * size >= total > 0:
        last = (total - 1) // size
        return f"Page {asked} is past the end; the last one is {last}."
    return f"The API answered with page {page.number}, whatever page is asked for."

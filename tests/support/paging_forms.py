"""Lists in pages, in the forms that REST APIs use."""

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.support.fake_api import Asked


class Part(NamedTuple):
    """One page of a list of `total` items; `number` is as the API counts its pages."""

    items: list[Any]
    number: int
    size: int
    total: int
    has_next: bool

    @property
    def link(self) -> str | None:
        return f"/v1/things?page={self.number + 1}" if self.has_next else None

    @property
    def link_header(self) -> dict[str, str]:
        first = '</v1/things>; rel="first"'
        more = f'<https://other.example{self.link}>; rel="next", {first}'
        return {"Link": more if self.link else first}

    @property
    def place(self) -> dict[str, int]:
        return {"page": self.number, "size": self.size}

    @property
    def page_count(self) -> int:
        return -(-self.total // self.size)


Form = Callable[[Part], Any]

FORMS: dict[str, Form] = {
    "documented": lambda part: {
        "data": part.items,
        **part.place,
        "totalCount": part.total,
        "totalPages": part.page_count,
        "hasNext": part.has_next,
    },
    "totalPages": lambda part: {"data": part.items, **part.place, "totalPages": part.page_count},
    "nextCursor": lambda part: {"data": part.items, "nextCursor": "abc" if part.has_next else None},
    "next_cursor": lambda part: {"data": part.items, "next_cursor": "abc" if part.has_next else ""},
    "next": lambda part: {"data": part.items, "next": part.link},
    "nextPage": lambda part: {
        "data": part.items,
        "nextPage": part.number + 1 if part.has_next else None,
    },
    "links": lambda part: {"data": part.items, "links": {"next": part.link}},
    "_links": lambda part: {"data": part.items, "_links": {"next": {"href": part.link}}},
    "hasMore": lambda part: {"data": part.items, "hasMore": part.has_next},
    "has_more": lambda part: {"data": part.items, "has_more": part.has_next},
    "total": lambda part: {"data": part.items, **part.place, "total": part.total},
    "pagination": lambda part: {"data": part.items, "pagination": {"totalCount": part.total}},
    "whole pagination": lambda part: {
        "data": part.items,
        "pagination": {**part.place, "totalCount": part.total, "hasNext": part.has_next},
    },
    "meta": lambda part: {"data": part.items, "meta": {"total": part.total}},
    "meta in snake case": lambda part: {
        "data": part.items,
        "meta": {"current_page": part.number, "per_page": part.size, "last_page": part.page_count},
    },
    "page_info": lambda part: {
        "data": part.items,
        "page_info": {"has_next_page": part.has_next, "end_cursor": "abc"},
    },
    "snake case": lambda part: {
        "data": part.items,
        **part.place,
        "total_count": part.total,
        "total_pages": part.page_count,
    },
    "Link": lambda part: (200, part.items, part.link_header),
    "X-Total-Count": lambda part: (200, part.items, {"X-Total-Count": str(part.total)}),
    "X-Next-Page": lambda part: (
        200,
        part.items,
        {"X-Next-Page": str(part.number + 1) if part.has_next else ""},
    ),
    "full page": lambda part: {"data": part.items, **part.place},
}

FORMS_WITHOUT_NUMBER = [
    "nextCursor", "next_cursor", "next", "nextPage", "links", "_links", "hasMore", "has_more", "pagination", "meta",
    "page_info", "Link", "X-Total-Count", "X-Next-Page",
]  # fmt: skip


def serve_form(
    items: list[Any], form: Form, *, first: int = 0, default: int = 10, below_first: str = "clamp"
) -> Callable[[Asked], Any]:
    """Return an API of these items whose pages count from `first`.

    `below_first` is how it answers to a smaller number: "clamp" gives the first page, "empty" an empty one, and
    "refuse" a 400.
    """

    def give(asked: Asked) -> Any:
        size = int(asked.query.get("size", default))
        number = int(asked.query.get("page", first))
        if number < first and below_first == "refuse":
            return 400, {"status": 400, "validationErrors": {"page": "must be >= 1"}}
        is_empty = number < first and below_first == "empty"
        start = max(0, number - first) * size
        shown = [] if is_empty else items[start : start + size]
        has_next = is_empty or start + size < len(items)
        stated = number if is_empty else max(number, first)
        return form(Part(shown, stated, size, len(items), has_next))

    return give

"""What an answer says of its place in a list, in the forms that REST APIs use."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, Field
from pydantic.alias_generators import to_camel, to_snake

from sigmamind_mcp.api.models import Count
from sigmamind_mcp.api.records import Record
from sigmamind_mcp.strict_json import JSONObject

_TOTAL_NAMES = ("totalCount", "totalCounts", "total", "totalItems", "totalElements")
_PAGE_COUNT_NAMES = ("totalPages", "pageCount", "lastPage")
_MORE_NAMES = ("hasNext", "hasMore", "hasNextPage")
_NEXT_NAMES = ("nextPage", "nextCursor", "nextPageToken", "next")

# Any of these shows whether a page is the last one.
_END_FIELDS = {*_TOTAL_NAMES, *_PAGE_COUNT_NAMES, *_MORE_NAMES}

# Objects in an answer that may hold its paging fields.
_HOLDERS = ("_links", "links", "page", "pageInfo", "metadata", "meta", "paging", "pagination")

_HEADERS = {
    "x-total-count": "totalCount",
    "x-total": "totalCount",
    "x-total-pages": "totalPages",
    "x-next-page": "nextPage",
}
_NEXT_LINK = re.compile(r"<([^>]*)>[^,]*;\s*rel=\"?next\"?(?![\w-])", re.IGNORECASE)
_PAGE_LINK = re.compile(r";\s*rel=\"?(next|prev|first|last)\b", re.IGNORECASE)
_PAGE_NUMBER = re.compile(r"\d+|.*[?&]page=\d+(&.*)?", re.ASCII)


class PagedList(Record):
    """The entries of one answer, and what it says of the pages before and after."""

    data: list[Any] | None = None
    page: Count = Field(
        default=None, validation_alias=AliasChoices("page", "pageNumber", "currentPage", "number")
    )
    size: Count = Field(
        default=None, validation_alias=AliasChoices("size", "pageSize", "perPage", "limit")
    )
    total_count: Count = Field(default=None, validation_alias=AliasChoices(*_TOTAL_NAMES))
    total_pages: Count = Field(default=None, validation_alias=AliasChoices(*_PAGE_COUNT_NAMES))
    has_next: bool | None = Field(default=None, validation_alias=AliasChoices(*_MORE_NAMES))
    next_page: Any = None

    @classmethod
    def read_answer(cls, data: object, headers: Mapping[str, str]) -> "PagedList":
        """Read an object with `data`, or a plain array, and the answer's headers.

        Paging fields may be in snake case, or in an object of the answer.

        Raises:
            UnexpectedAnswer: `data` is neither.
        """
        fields = _read_headers(headers)
        if isinstance(data, list):
            return cls.read({**fields, "data": data})
        if not isinstance(data, dict):
            return cls.read(data)
        for name in _HOLDERS:
            holder = data.get(name) if name in data else data.get(to_snake(name))
            if isinstance(holder, dict):
                fields |= _rename_fields(holder)
        fields |= _rename_fields(data)
        return cls.read({**fields, "data": data.get("data")})

    @property
    def has_position(self) -> bool:
        """Whether the API states where the page is in its list."""
        stated = (self.page, self.size, self.total_count, self.total_pages, self.has_next)
        return any(value is not None for value in stated) or self.names_next

    @property
    def names_next(self) -> bool:
        """Whether the answer has a link, a number or a cursor of a next page."""
        value = self.next_page
        return any(value.values()) if isinstance(value, dict) else bool(value)

    @property
    def names_cursor(self) -> bool:
        """Whether what names the next page is no page number."""
        if not self.names_next:
            return False
        value = self.next_page
        texts = value.values() if isinstance(value, dict) else [value]
        return not any(_PAGE_NUMBER.fullmatch(str(text)) for text in texts)

    @property
    def is_counted(self) -> bool:
        """Whether only numbers show if pages follow this one."""
        if self.has_next is not None or self.names_next:
            return False
        return self.total_pages is not None or self.total_count is not None

    def has_more(self, shown: int) -> bool:
        """Return whether pages may follow this one, which has `shown` items."""
        if self.has_next is not None:
            return self.has_next
        if self.names_next:
            return True
        number = self.page or 0
        if self.total_pages is not None:
            return number + 1 < self.total_pages
        if self.total_count is not None:
            return number * (self.size or shown) + shown < self.total_count
        # Where the API states it unreadably, or not at all after a full page, only the next page
        # shows whether there is one.
        is_unreadable = not _END_FIELDS.isdisjoint(self.unreadable_fields())
        is_open = "nextPage" not in self.raw and self.size == shown
        return shown > 0 and (is_unreadable or is_open)


def has_page_headers(headers: Mapping[str, str]) -> bool:
    """Return whether the headers show that a plain array is one page of a list."""
    is_linked = _PAGE_LINK.search(headers.get("link", "")) is not None
    return is_linked or any(name in headers for name in _HEADERS)


def _read_headers(headers: Mapping[str, str]) -> JSONObject:
    """Return the paging fields that the headers have, under the API's names."""
    fields: JSONObject = {}
    for header, name in _HEADERS.items():
        if header in headers:
            fields[name] = headers[header]
    link = _NEXT_LINK.search(headers.get("link", ""))
    if link:
        fields["nextPage"] = link[1]
    return fields


def _rename_fields(fields: JSONObject) -> JSONObject:
    """Return the plain fields in camel case; each name of a next page becomes nextPage."""
    renamed: JSONObject = {}
    for name, value in fields.items():
        camel = to_camel(name)
        if camel in _NEXT_NAMES:
            if value or "nextPage" not in renamed:
                renamed["nextPage"] = value
        elif camel in PagedList.input_names and not isinstance(value, dict):
            renamed[camel] = value
    return renamed

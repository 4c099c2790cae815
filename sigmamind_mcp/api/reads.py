"""GET objects and whole lists of the API for one caller's key."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from pydantic import SecretStr

from sigmamind_mcp.api.asked_ids import AskedIDs, RecordT, read_asked_object
from sigmamind_mcp.api.batch_run_pages import Dated
from sigmamind_mcp.api.listings import Listing, Page, keep_of_each
from sigmamind_mcp.api.transport import APITransport, Query, Reply
from sigmamind_mcp.api.walks import Walk
from sigmamind_mcp.callers import fingerprint

T = TypeVar("T")


class Reads:
    """The reads of one caller. Every method raises what `APITransport.get` raises."""

    def __init__(self, transport: APITransport, key: SecretStr) -> None:
        self._transport = transport
        self._key = key

    async def walk(
        self,
        collection: str,
        kind: type[RecordT],
        asked: AskedIDs,
        keep: Callable[[RecordT], RecordT] | None = None,
        read_entry: Callable[[object], RecordT] | None = None,
    ) -> Listing[RecordT]:
        """Return all entries of a list; `keep` returns what to keep of each."""

        def read(reply: Reply) -> Page[RecordT]:
            page = Page.read(reply.data, kind, asked, read_entry, reply.headers)
            return keep_of_each(page, keep)

        async def read_reply(reply: Reply) -> Page[RecordT]:
            return await self._run_if_large(read, reply)

        send = partial(self._send_query, collection)
        return await Walk(collection, send, read_reply, asked, self._transport.paging).read_all()

    async def _send_query(
        self,
        collection: str,
        query: Query,
        on_busy: Callable[[], None],
    ) -> Reply:
        path = ("v1", collection)
        return await self._transport.get(*path, key=self._key, query=query, on_busy=on_busy)

    async def get_object(
        self,
        kind: type[RecordT],
        asked: AskedIDs,
        *path: str,
    ) -> Dated[RecordT]:
        """GET the object at this path; the first of the asked ids is its own."""

        def read(reply: Reply) -> RecordT:
            return read_asked_object(reply.data, kind, asked)

        query = dict(list(asked.items())[1:])
        return await self.get(read, *path, query=query)

    async def get(
        self,
        read: Callable[[Reply], T],
        *path: str,
        query: Query | None = None,
    ) -> Dated[T]:
        """GET this path below /v1 and parse its answer with `read`."""
        reply = await self._transport.get("v1", *path, key=self._key, query=query)
        value = await self._run_if_large(read, reply)
        return Dated(value, reply.date)

    async def _run_if_large(self, read: Callable[[Reply], T], reply: Reply) -> T:
        caller = fingerprint(self._key)
        return await self._transport.large_work.run(reply.size, read, reply, caller=caller)

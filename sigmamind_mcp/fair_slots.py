"""Lend a few slots to many callers, who take turns when all are lent."""

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio


@dataclass(eq=False)
class WaitingRequest:
    """Holds one request for a slot; `has_slot` is set before the event."""

    granted: anyio.Event = field(default_factory=anyio.Event)
    has_slot: bool = False


class FairSlots:
    """Lends `total` slots, at most `per_caller` to one caller (a bulkhead).

    A free slot goes to the caller that has waited longest since its last slot.
    """

    def __init__(self, total: int, per_caller: int) -> None:
        self.per_caller = per_caller
        self._free = total
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[WaitingRequest]] = {}

    @asynccontextmanager
    async def hold(self, caller: str) -> AsyncIterator[None]:
        """Wait for a slot, and keep it until the block ends."""
        await self.acquire(caller)
        try:
            yield
        finally:
            self.release(caller)

    async def acquire(self, caller: str) -> None:
        """Wait for a slot; each needs one `release`."""
        request = WaitingRequest()
        self._waiting.setdefault(caller, deque()).append(request)
        self._grant_free_slots()
        if request.has_slot:  # even where the time to wait is over
            return
        try:
            await request.granted.wait()
        except BaseException:
            if request.has_slot:
                self.release(caller)
            else:
                self._take_from_queue(caller, request)
            raise

    def release(self, caller: str) -> None:
        """Give a slot back, which goes to the next request."""
        self._free += 1
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]
        self._grant_free_slots()

    def _grant_free_slots(self) -> None:
        while self._free:
            caller = self._choose_next_caller()
            if caller is None:
                return
            request = self._waiting[caller][0]
            self._take_from_queue(caller, request)
            if caller in self._waiting:  # its next request comes after those of all others
                self._waiting[caller] = self._waiting.pop(caller)
            self._free -= 1
            self._held[caller] += 1
            request.has_slot = True
            request.granted.set()

    def _choose_next_caller(self) -> str | None:
        for caller in self._waiting:
            if self._held[caller] < self.per_caller:
                return caller
        return None

    def _take_from_queue(self, caller: str, request: WaitingRequest) -> None:
        queue = self._waiting[caller]
        queue.remove(request)
        if not queue:
            del self._waiting[caller]

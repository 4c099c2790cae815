"""Locks by name, each kept only while somebody holds it or waits for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio


@dataclass
class _SharedLock:
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    users: int = 0


class KeyedLocks:
    """Holds one lock for each name."""

    def __init__(self) -> None:
        self._locks: dict[str, _SharedLock] = {}

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Wait for the lock of this name, and hold it."""
        shared = self._locks.setdefault(name, _SharedLock())
        shared.users += 1
        try:
            async with shared.lock:
                yield
        finally:
            shared.users -= 1
            if not shared.users:
                del self._locks[name]

    def __len__(self) -> int:
        return len(self._locks)

"""Remember recent writes, so that a repeated call does not write twice.

Protocol 2026-07-28 tells a client that lost its stream to repeat the call under a new id, and the
API has no idempotency key. So each write is remembered for ten minutes under its caller and body.
Over HTTP nobody knows whether an answer arrived: an answer given to the transport counts as
delivered.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

import anyio
import anyio.lowlevel
from pydantic import SecretStr

from sigmamind_mcp.errors import REASONS_CHARACTERS, REASONS_SHOWN, OutcomeUnknown, SigmaMindError

# A person's answer to a question is valid for as long: it must not start a second batch run later.
REMEMBERED_SECONDS = 600.0
MOST_REMEMBERED = 10_000


class StoredID(NamedTuple):
    """A write that the API confirmed; `value` is None if the API does not show what it stored.

    The id alone is kept: 10,000 whole test cases of 1 MiB would take 10 GB.
    """

    value: str | None


@dataclass
class RememberedWrite:
    """Holds one write; `outcome` is None until it is known."""

    begun: float
    finished: anyio.Event = field(default_factory=anyio.Event)
    outcome: StoredID | SigmaMindError | None = None
    delivered: bool = False
    """Whether a caller got the outcome; a cancelled call does not."""
    content: str | None = None
    """A hash of what the write makes, once it is about to be sent."""
    replaced: "RememberedWrite | None" = None
    """The write of the same content before, while this one is running."""

    @property
    def may_have_written(self) -> bool:
        return isinstance(self.outcome, StoredID | OutcomeUnknown)

    def result(self) -> StoredID:
        """Return what the write stored, or raise its error."""
        if isinstance(self.outcome, StoredID):
            return self.outcome
        assert self.outcome is not None, "the write has not finished"
        raise _copy_small(self.outcome)


class Repeated(NamedTuple):
    """The same call made this write before; nothing is sent."""

    write: RememberedWrite


class New(NamedTuple):
    """A write to send now."""

    write: RememberedWrite


class RecentWrites:
    """Remembers the writes of all callers for ten minutes, MOST_REMEMBERED at most."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._writes: dict[str, RememberedWrite] = {}

    @asynccontextmanager
    async def claim(
        self,
        identity: str,
        *,
        repeat_delivered: bool,
    ) -> AsyncIterator[Repeated | New]:
        """Yield the same call's finished write, or a new write whose `outcome` the caller must set.

        A SigmaMindError inside the block becomes the outcome; `RememberedWrite.result` raises it.
        With `repeat_delivered`, a write whose outcome was delivered is repeated too.
        """
        earlier = await self._find_repeated(identity, repeat_delivered=repeat_delivered)
        if earlier is not None:
            yield Repeated(earlier)
            return
        write = self._remember(identity)
        try:
            yield New(write)
        except SigmaMindError as exc:
            write.outcome = _copy_small(exc)
        finally:
            self._finish(write)
        # A cancelled call ends here, so its outcome stays undelivered.
        await anyio.lowlevel.checkpoint()

    def find(self, identity: str) -> RememberedWrite | None:
        """Return the last write under this hash, if it is still remembered."""
        self._forget_old()
        return self._writes.get(identity)

    async def find_made(self, content: str) -> RememberedWrite | None:
        """Return the last write of this content that may have been made.

        Waits for one that is running. After the wait, nothing can come between the result and
        the caller's next step.
        """
        while True:
            write = self.find(content)
            if write is None or write.finished.is_set():
                return write if write and write.may_have_written else None
            await write.finished.wait()

    def is_made(self, content: str) -> bool:
        """Return whether a write of this content may have been made, or is running."""
        write = self.find(content)
        return write is not None and (write.may_have_written or not write.finished.is_set())

    def remember_content(self, write: RememberedWrite, content: str) -> None:
        """Let `find_made` find a write that is about to be sent; its ten minutes begin now."""
        write.content = content
        write.replaced = self.find(content)
        write.begun = self._clock()
        self._add(content, write)

    async def _find_repeated(
        self,
        identity: str,
        *,
        repeat_delivered: bool,
    ) -> RememberedWrite | None:
        """Return the same call's write once it has finished; None if a new write is needed."""
        while True:
            write = self.find(identity)
            if write is None:
                return None
            is_over = write.delivered and not (repeat_delivered and write.may_have_written)
            if is_over:
                return None
            await write.finished.wait()
            # Without an outcome the write never left, and another call may have begun one since.
            if write.outcome is not None:
                return write

    def _remember(self, identity: str) -> RememberedWrite:
        write = RememberedWrite(self._clock())
        self._add(identity, write)
        return write

    def _add(self, name: str, write: RememberedWrite) -> None:
        if len(self._writes) >= MOST_REMEMBERED:
            self._forget_a_tenth()
        # The oldest names come first, to be forgotten first.
        self._writes.pop(name, None)
        self._writes[name] = write

    def _finish(self, write: RememberedWrite) -> None:
        """End a write: what was certainly not made gives its place back to the one before."""
        if not write.may_have_written and write.content:
            if self._writes.get(write.content) is write:
                del self._writes[write.content]
                if write.replaced:
                    self._writes[write.content] = write.replaced
        write.replaced = None
        # Cancelled before the request left, or a bug of ours: there is nothing to repeat.
        if write.outcome is None:
            self._forget(write)
        write.finished.set()

    def _forget(self, write: RememberedWrite) -> None:
        self._writes = {name: kept for name, kept in self._writes.items() if kept is not write}

    def _forget_old(self) -> None:
        oldest = self._clock() - REMEMBERED_SECONDS
        for name, write in list(self._writes.items()):
            # A write may run for longer than ten minutes: a person may take long to confirm it.
            if write.begun <= oldest and write.finished.is_set():
                del self._writes[name]

    def _forget_a_tenth(self) -> None:
        finished = [name for name, write in self._writes.items() if write.finished.is_set()]
        for name in finished[: MOST_REMEMBERED // 10]:
            del self._writes[name]


def identify_write(key: SecretStr, base_url: str, path: str, *content: object) -> str:
    """Hash the caller, the API, the path and the content, which JSON can encode."""
    encoded = json.dumps(content, sort_keys=True)
    parts = "\x00".join([key.get_secret_value(), base_url, path, encoded])
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()


def _copy_small(exc: SigmaMindError) -> SigmaMindError:
    """Copy the error without its frames, which hold request and answer, and with short reasons."""
    copy = type(exc).__new__(type(exc), *exc.args)
    copy.__dict__.update(exc.__dict__)
    reasons = list(exc.upstream.items())[:REASONS_SHOWN]
    most = REASONS_CHARACTERS
    copy.upstream = {name[:most]: reason[:most] for name, reason in reasons}
    return copy

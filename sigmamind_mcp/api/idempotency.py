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

from sigmamind_mcp.api.records import Record
from sigmamind_mcp.errors import OutcomeUnknown, SigmaMindError
from sigmamind_mcp.strict_json import JSONObject

# A person's answer to a question is valid for as long: it must not start a second batch run later.
REMEMBERED_SECONDS = 600.0
MOST_REMEMBERED = 10_000


class WriteIdentity(NamedTuple):
    """Hashes that identify a write: `call` is the same call, `body` the same caller and body."""

    call: str
    body: str


class StoredRecord(NamedTuple):
    """A write that the API confirmed; `record` is None if the API does not show what it stored."""

    record: Record | None


@dataclass
class PendingWrite:
    """One write; `outcome` is None until it is known."""

    begun: float
    finished: anyio.Event = field(default_factory=anyio.Event)
    outcome: StoredRecord | SigmaMindError | None = None
    delivered: bool = False
    """Whether a caller got the outcome; a cancelled call does not."""

    @property
    def may_have_written(self) -> bool:
        return isinstance(self.outcome, StoredRecord | OutcomeUnknown)

    def result(self) -> StoredRecord:
        """Return what the write stored, or raise its error."""
        if isinstance(self.outcome, StoredRecord):
            return self.outcome
        assert self.outcome is not None, "the write has not finished"
        raise _copy_without_traceback(self.outcome)


class Replayed(NamedTuple):
    """The same call made this write before; nothing is sent."""

    write: PendingWrite


class New(NamedTuple):
    """A write to send now; `earlier` is the last one with the same body."""

    write: PendingWrite
    earlier: PendingWrite | None


class RecentWrites:
    """Remember the writes of all callers for ten minutes, MOST_REMEMBERED at most."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._writes: dict[str, PendingWrite] = {}

    @asynccontextmanager
    async def claim(
        self,
        identity: WriteIdentity,
        *,
        replay_delivered: bool,
    ) -> AsyncIterator[Replayed | New]:
        """Yield the same call's finished write, or a new write whose `outcome` the caller must set.

        A SigmaMindError inside the block becomes the outcome; `PendingWrite.result` raises it.
        With `replay_delivered`, a write whose outcome was delivered is replayed too.
        """
        replay = await self._find_replay(identity, replay_delivered=replay_delivered)
        if replay is not None:
            yield Replayed(replay)
            return
        earlier = self.find(identity.body)
        write = self._remember(identity)
        try:
            yield New(write, earlier)
        except SigmaMindError as exc:
            write.outcome = _copy_without_traceback(exc)
        finally:
            # Cancelled before the request left, or a bug of ours: there is nothing to replay.
            if write.outcome is None:
                self._forget(write)
            write.finished.set()
        # A cancelled call ends here, so its outcome stays undelivered.
        await anyio.lowlevel.checkpoint()

    def find(self, identity: str) -> PendingWrite | None:
        """Return the last write under this hash, if it is still remembered."""
        self._forget_old()
        return self._writes.get(identity)

    async def _find_replay(
        self,
        identity: WriteIdentity,
        *,
        replay_delivered: bool,
    ) -> PendingWrite | None:
        """Return the same call's write once it has finished; None if a new write is needed."""
        while True:
            write = self.find(identity.call)
            if write is None:
                return None
            is_settled = write.delivered and not (replay_delivered and write.may_have_written)
            if is_settled:
                return None
            await write.finished.wait()
            # Without an outcome the write never left, and another call may have begun one since.
            if write.outcome is not None:
                return write

    def _remember(self, identity: WriteIdentity) -> PendingWrite:
        write = PendingWrite(self._clock())
        if len(self._writes) >= MOST_REMEMBERED:
            self._forget_a_tenth()
        self._writes.update(dict.fromkeys(identity, write))
        return write

    def _forget(self, write: PendingWrite) -> None:
        self._writes = {name: kept for name, kept in self._writes.items() if kept is not write}

    def _forget_old(self) -> None:
        oldest = self._clock() - REMEMBERED_SECONDS
        # A write may run for longer than ten minutes: a person may take long to confirm it.
        self._writes = {
            name: write
            for name, write in self._writes.items()
            if write.begun > oldest or not write.finished.is_set()
        }

    def _forget_a_tenth(self) -> None:
        finished = [name for name, write in self._writes.items() if write.finished.is_set()]
        for name in finished[: MOST_REMEMBERED // 10]:
            del self._writes[name]


def identify_write(
    key: SecretStr,
    base_url: str,
    path: str,
    body: JSONObject,
    *,
    call: str = "",
) -> WriteIdentity:
    """Hash the caller, the API, the path and the body; `call` tells calls with one body apart."""
    content = json.dumps(body, sort_keys=True)
    parts = "\x00".join([key.get_secret_value(), base_url, path, content])
    body_hash = hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()
    return WriteIdentity(call=f"{body_hash} {call}", body=body_hash)


def _copy_without_traceback(exc: SigmaMindError) -> SigmaMindError:
    """Copy the error without its frames, which hold the request and the answer."""
    copy = type(exc).__new__(type(exc), *exc.args)
    copy.__dict__.update(exc.__dict__)
    return copy

"""What was written a moment ago, so that a call that is issued again is not a second write.

Protocol 2026-07-28 tells a client that lost its stream to issue the call again under a new id, and the API has no
idempotency key. So each write is remembered for ten minutes under its caller and its whole body. Over HTTP nobody
can know that an answer arrived: what was handed to the transport counts as delivered.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

import anyio
import anyio.lowlevel
from pydantic import SecretStr

from sigmamind_mcp.api.models import Record
from sigmamind_mcp.errors import OutcomeUnknown, SigmaMindError
from sigmamind_mcp.strict_json import JSONObject

REMEMBERED_SECONDS = 600.0
MOST_REMEMBERED = 10_000


class StoredRecord(NamedTuple):
    """A write that the API confirmed; `record` is None where neither its answer nor its list tells as what."""

    record: Record | None


@dataclass
class PendingWrite:
    """One write: its outcome once it is known, and whether that was handed to the transport."""

    begun: float
    finished: anyio.Event = field(default_factory=anyio.Event)
    outcome: StoredRecord | SigmaMindError | None = None
    delivered: bool = False

    @property
    def awaits_caller(self) -> bool:
        """Whether nobody has been told its outcome yet: it is under way, or its call was cut."""
        return not self.delivered

    @property
    def may_have_written(self) -> bool:
        return isinstance(self.outcome, StoredRecord | OutcomeUnknown)

    def stored(self) -> StoredRecord:
        """The outcome, as the first call saw it: returned, or raised."""
        if isinstance(self.outcome, StoredRecord):
            return self.outcome
        assert self.outcome is not None
        raise _bare(self.outcome)


class RecentWrites:
    """The writes of the last ten minutes, of every caller of this process; of very many, the newest."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._writes: dict[str, PendingWrite] = {}

    def find(self, entry: str) -> PendingWrite | None:
        """The last such write, if it was in the last ten minutes."""
        oldest = self._clock() - REMEMBERED_SECONDS
        self._writes = {
            name: write
            for name, write in self._writes.items()
            if write.begun > oldest
            or not write.finished.is_set()  # a person may take long to confirm one
        }
        return self._writes.get(entry)

    async def run_once(
        self, entries: Sequence[str], send: Callable[[], Awaitable[StoredRecord]]
    ) -> PendingWrite:
        """Run `send` and remember its outcome under these names; what it shields ends even after a cancellation."""
        write = PendingWrite(self._clock())
        if len(self._writes) >= MOST_REMEMBERED:
            self._forget_a_tenth()
        self._writes.update(dict.fromkeys(entries, write))
        try:
            write.outcome = await send()
        except SigmaMindError as exc:
            write.outcome = _bare(exc)
        finally:
            if (
                write.outcome is None
            ):  # cancelled before anything left, or a fault of ours: nothing to pass on
                self._writes = {name: one for name, one in self._writes.items() if one is not write}
            write.finished.set()
        await (
            anyio.lowlevel.checkpoint()
        )  # a call that was cancelled ends here, its outcome undelivered
        return write

    def _forget_a_tenth(self) -> None:
        ended = [name for name, write in self._writes.items() if write.finished.is_set()]
        for name in ended[: MOST_REMEMBERED // 10]:
            del self._writes[name]


def _bare(exc: SigmaMindError) -> SigmaMindError:
    """The error without where it came from: its frames hold the request and the answer, as long as it is remembered."""
    bare = type(exc).__new__(type(exc), *exc.args)
    bare.__dict__.update(exc.__dict__)
    return bare


def entry_of(key: SecretStr, base_url: str, method: str, path: str, body: JSONObject) -> str:
    """What makes two writes the same: caller, API, operation and the whole body; the key is only hashed."""
    told = [key.get_secret_value(), base_url, method, path, json.dumps(body, sort_keys=True)]
    return hashlib.sha256("\x00".join(told).encode("utf-8", "surrogatepass")).hexdigest()

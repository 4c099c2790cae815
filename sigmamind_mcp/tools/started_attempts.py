"""Count the attempts that each caller started within the last hour."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from sigmamind_mcp.errors import OutcomeUnknown, SigmaMindError

HOUR_SECONDS = 3600.0
MOST_CALLERS = 10_000
MOST_LAUNCHES = 100
"""Launches kept apart for one caller; older ones are added up."""


@dataclass(frozen=True)
class AttemptCount:
    """A number of attempts; `least` is the lowest it can be if it is not exact."""

    least: int
    is_exact: bool = True

    def plus(self, other: "AttemptCount") -> "AttemptCount":
        return AttemptCount(self.least + other.least, self.is_exact and other.is_exact)

    def __str__(self) -> str:
        return f"{self.least:,}" if self.is_exact else f"at least {self.least:,}"


@dataclass
class StartedLaunch:
    """A batch run that was sent, and when."""

    moment: float
    attempts: AttemptCount


class StartedAttempts:
    """Remembers what each caller started, for an hour and within limits."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._launches: dict[str, list[StartedLaunch]] = {}

    def total(self, caller: str) -> AttemptCount:
        """Return how many attempts this caller started within the last hour."""
        oldest = self._clock() - HOUR_SECONDS
        total = AttemptCount(0)
        for launch in self._launches.get(caller, []):
            if launch.moment > oldest:
                total = total.plus(launch.attempts)
        return total

    @contextmanager
    def count(self, caller: str, attempts: AttemptCount) -> Iterator[None]:
        """Count these attempts while they are sent, and afterwards unless the API refuses them."""
        launch = StartedLaunch(self._clock(), attempts)
        self._add(caller, launch)
        try:
            yield
        except OutcomeUnknown:
            raise
        except SigmaMindError:
            self._remove(caller, launch)
            raise

    def _add(self, caller: str, launch: StartedLaunch) -> None:
        oldest = self._clock() - HOUR_SECONDS
        # The caller who was idle for longest comes first, to be forgotten first.
        earlier = self._launches.pop(caller, [])
        launches = [kept for kept in earlier if kept.moment > oldest]
        if len(self._launches) >= MOST_CALLERS:
            idle_longest = next(iter(self._launches))
            del self._launches[idle_longest]
        if len(launches) >= MOST_LAUNCHES:
            first, second, *rest = launches
            attempts = first.attempts.plus(second.attempts)
            launches = [StartedLaunch(second.moment, attempts), *rest]
        self._launches[caller] = [*launches, launch]

    def _remove(self, caller: str, launch: StartedLaunch) -> None:
        launches = self._launches.get(caller, [])
        # A launch that was added up with others meanwhile stays: too many is safer than too few.
        kept = [other for other in launches if other is not launch]
        if kept:
            self._launches[caller] = kept
        else:
            self._launches.pop(caller, None)

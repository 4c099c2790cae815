"""When a read is tried again: which faults, after what pause, and how often a whole process may.

Full jitter is from the AWS Architecture Blog, "Exponential Backoff and Jitter"; the budget is the token bucket of
gRPC's A6 and Finagle: retries stay a fifth of the calls, so that a failing API is not drowned.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

RETRIED_STATUSES = frozenset({408, 429, 502, 503, 504})
MAX_ATTEMPTS = 3
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
LONGEST_RETRY_AFTER = 30.0


class RetryBudget:
    """Retries left for every caller of this process: each first attempt earns a fifth of one, up to ten."""

    CAP = 10.0
    EARNED = 0.2

    def __init__(self) -> None:
        self._tokens = self.CAP

    def earn(self) -> None:
        self._tokens = min(self.CAP, self._tokens + self.EARNED)

    def spend(self) -> bool:
        """Take one retry, or say that there is none left."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def pause_before(retry: int, random: Random) -> float:
    """Seconds to wait before the first, second, ... retry: anything up to a limit that doubles."""
    return random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (retry - 1)))


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or a date; None where it cannot be read."""
    value = headers.get("Retry-After", "").strip()[:64]
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())

"""Limits, budget and pauses of retries; `APITransport._wait_before` decides with them.

Full jitter is from the AWS Architecture Blog, "Exponential Backoff and Jitter". The budget is the
token bucket of gRPC's A6 and Finagle: retries stay a fifth of the calls, so that they do not
overload a failing API.
"""

from collections.abc import Mapping
from datetime import datetime
from random import Random

from sigmamind_mcp.moments import parse_http_date

RETRIED_STATUSES = frozenset({408, 429, 502, 503, 504})
# "Tries" are requests. "Attempts" are the API's word for the conversations of a test case.
MAX_TRIES = 3
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0


class RetryBudget:
    """Counts the retries that all callers of this process have left."""

    CAP = 10.0
    EARNED = 0.2

    def __init__(self) -> None:
        self._tokens = self.CAP

    def earn(self) -> None:
        """Add a fifth of a retry, for the first try of a call."""
        self._tokens = min(self.CAP, self._tokens + self.EARNED)

    def spend(self) -> bool:
        """Take one retry; return False if none is left."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def choose_pause(retry: int, random: Random) -> float:
    """Return seconds to wait before retry 1, 2, ...: random, up to a limit that doubles."""
    doubled = FIRST_PAUSE * 2.0 ** (retry - 1)
    return random.uniform(0, min(LONGEST_PAUSE, doubled))


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds in a Retry-After header, a number or a date; None if malformed."""
    value = headers.get("Retry-After", "").strip()[:64]
    if value.isascii() and value.isdigit():
        return float(value)
    moment = parse_http_date(value)
    if moment is None:
        return None
    return max(0.0, (moment - now).total_seconds())

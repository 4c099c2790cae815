"""The errors of this server; each message says what happened and what to do next.

SigmaMindError
├── ConfigurationError     a setting is missing or malformed
├── InvalidArguments       refused by this server; nothing was sent
├── NotConfirmed           a costly call that no person confirmed; nothing was sent
├── ConnectionFailed       no answer: refused, interrupted or too slow
├── UnexpectedAnswer       an answer that the API does not document
│   └── AnswerTooLarge     an answer above this server's limit
├── OutOfTime              a call that did not end within its own limit
├── OutcomeUnknown         a write that the API may or may not have made
└── APIError               the API refused
    ├── InvalidRequest     400, 422
    ├── NotAuthenticated   401
    ├── NotAllowed         403
    ├── NotFound           404
    ├── NotOffered         405, 501
    ├── TooManyRequests    429
    └── ServerFault        5xx
"""

from collections.abc import Mapping
from types import MappingProxyType

REASONS_SHOWN = 20
REASONS_CHARACTERS = 2_000
"""As much as answers show of the API's reasons for a refusal."""


class SigmaMindError(Exception):
    """The base class; its message has no key, no conversation and no text from the API.

    `upstream` holds the API's reasons by field: text from outside, shown only inside a fence.
    """

    upstream: Mapping[str, str] = MappingProxyType({})


class ConfigurationError(SigmaMindError):
    """A setting is missing or malformed; the message names it."""


class InvalidArguments(SigmaMindError):
    """This server refused the call and sent nothing; the message names the argument."""


class NotConfirmed(SigmaMindError):
    """No person confirmed a costly call; the message states the cost. Nothing was sent."""


class ConnectionFailed(SigmaMindError):
    """The API gave no answer.

    `sent` is False if the request certainly never left, so no write was made.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class UnexpectedAnswer(SigmaMindError):
    """The API's answer is not one that it documents.

    `succeeded` is True if its status was 2xx, so a write was made.
    """

    def __init__(self, message: str, *, succeeded: bool = False) -> None:
        super().__init__(message)
        self.succeeded = succeeded


class AnswerTooLarge(UnexpectedAnswer):
    """The API's answer is larger than this server reads."""


class OutOfTime(SigmaMindError):
    """A call reached its own time limit; the message says what to do next."""


class OutcomeUnknown(SigmaMindError):
    """A write left without an answer that confirms it; a repeat may make it twice."""

    def __init__(self, message: str, *, upstream: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.upstream = dict(upstream or {})


class APIError(SigmaMindError):
    """The API refused.

    `retry_after` is how many seconds the API asks to wait.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        upstream: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.upstream = dict(upstream or {})
        self.retry_after = retry_after


class InvalidRequest(APIError):
    """400 or 422: the API rejected the arguments."""


class NotAuthenticated(APIError):
    """401: the key is missing, wrong or deleted."""


class NotAllowed(APIError):
    """403: the key may not use this object."""


class NotFound(APIError):
    """404: no object has that id, or the operation does not exist."""


class NotOffered(APIError):
    """405 or 501: this version of the API has no such operation."""


class TooManyRequests(APIError):
    """429: the API asks for a pause."""


class ServerFault(APIError):
    """5xx: the API failed."""

"""Everything this server can report, each with words that a model or a person can act on.

SigmaMindError
├── ConfigurationError     a setting is missing or malformed
├── InvalidArguments       refused here; nothing was sent
├── NotConfirmed           costly, and nobody has agreed to it; nothing was sent
├── ConnectionFailed       no answer: refused, broken off, or too slow
├── UnexpectedAnswer       an answer that is not what the API documents
├── OutcomeUnknown         a write that may or may not have happened
└── APIError               the API said no
    ├── InvalidRequest     400, 422
    ├── NotAuthenticated   401
    ├── NotAllowed         403
    ├── NotFound           404
    ├── NotOffered         405, 501
    ├── TooManyRequests    429
    └── ServerFault        5xx
"""

from collections.abc import Mapping


class SigmaMindError(Exception):
    """The base of this tree. Its text is our own: no key, no conversation, no upstream words."""


class ConfigurationError(SigmaMindError):
    """A setting is missing or malformed; the text names it."""


class InvalidArguments(SigmaMindError):
    """The call was refused before anything was sent; the text names the argument."""


class NotConfirmed(SigmaMindError):
    """A costly call that nobody has agreed to; the text says what it would cost. Nothing was sent."""


class ConnectionFailed(SigmaMindError):
    """The API gave no answer.

    `sent` is False when the request surely never left, so that a write was surely not made.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class UnexpectedAnswer(SigmaMindError):
    """The API answered with something that it does not document.

    `succeeded` is True when its status was 2xx all the same, so that a write was made.
    """

    def __init__(self, message: str, *, succeeded: bool = False) -> None:
        super().__init__(message)
        self.succeeded = succeeded


class OutcomeUnknown(SigmaMindError):
    """A write left, and no answer says whether it was made; repeating it may make it twice."""


class APIError(SigmaMindError):
    """The API refused.

    `upstream` is what it said of the reasons, field by field: data from outside, shown only inside a fence.
    `retry_after` is for how many seconds it asks to be left alone.
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
    """400 or 422: the API found the arguments wrong."""


class NotAuthenticated(APIError):
    """401: the key is missing, wrong or deleted."""


class NotAllowed(APIError):
    """403: the key may not use this object."""


class NotFound(APIError):
    """404: nothing has that id, or the operation does not exist."""


class NotOffered(APIError):
    """405 or 501: this version of the API has no such operation."""


class TooManyRequests(APIError):
    """429: the API asks for a pause."""


class ServerFault(APIError):
    """5xx: a failure on the API's side."""

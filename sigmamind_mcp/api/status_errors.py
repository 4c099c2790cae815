"""Choose the error for an answer that refuses a request."""

from sigmamind_mcp import errors
from sigmamind_mcp.api.refusals import Refusal

LONGEST_UNNAMED_WAIT = 30.0
"""Seconds; up to this, "in a minute" says enough."""

_BY_STATUS: dict[int, tuple[type[errors.APIError], str]] = {
    400: (errors.InvalidRequest, "The API refused the arguments (400)."),
    401: (
        errors.NotAuthenticated,
        "The API does not accept the key (401). Check SIGMAMIND_API_KEY, or over HTTP the key in"
        " X-API-Key or Authorization: Bearer, against the dashboard (Deploy, API Keys).",
    ),
    403: (
        errors.NotAllowed,
        "The API does not let this key use that object (403). Check agentId: the object may belong"
        " to another agent or workspace.",
    ),
    404: (errors.NotFound, "The API has nothing at that id for this agent (404)."),
    405: (errors.NotOffered, "The API does not offer this operation (405)."),
    422: (errors.InvalidRequest, "The API refused the arguments (422)."),
    408: (errors.APIError, "The API waited too long for the request (408). Try again."),
    429: (errors.TooManyRequests, "The API asks for fewer requests (429). Try again in a minute."),
    501: (errors.NotOffered, "The API does not offer this operation (501)."),
}


def build_refusal_error(refusal: Refusal, http_status: int) -> errors.APIError:
    """Return the error for a refusal that an answer with a 2xx status holds."""
    if refusal.status is not None:
        return choose_error(refusal.status, refusal.reasons, None)
    return errors.InvalidRequest(
        f"The API refused the request, although the HTTP status is {http_status}."
        " Nothing was read or written.",
        status=http_status,
        upstream=refusal.reasons,
    )


def choose_error(status: int, reasons: dict[str, str], seconds: float | None) -> errors.APIError:
    """Return the error for a status of 400 or more; `seconds` is what Retry-After asks for."""
    if status in _BY_STATUS:
        kind, message = _BY_STATUS[status]
    elif status >= 500:
        kind, message = errors.ServerFault, f"The API failed ({status}). Try again in a minute."
    else:
        kind, message = errors.APIError, f"The API refused the request ({status})."
    if seconds is not None and seconds > LONGEST_UNNAMED_WAIT:
        message += f" It asks to wait {min(seconds, 86_400):,.0f} s."
    return kind(message, status=status, upstream=reasons, retry_after=seconds)

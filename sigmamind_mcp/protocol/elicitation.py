"""Putting a question to the person behind the client, the way its protocol revision does that."""

import hashlib
import secrets
from time import monotonic

import mcp_types as mcp
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp_types.version import is_version_at_least

from sigmamind_mcp.api.idempotency import REMEMBERED_SECONDS

ASKS_IN_RESULTS = "2026-07-28"
"""From this revision on a server cannot send requests: the question is a result, and the call comes again with the
answer (SEP-2322)."""

QUESTION = "confirmation"
FORM = {
    "type": "object",
    "properties": {
        "start": {
            "type": "boolean",
            "title": "Start it",
            "description": "Yes starts it, no does not.",
        }
    },
    "required": ["start"],
}


_SECRET = secrets.token_bytes(32)


class Unanswered(Exception):
    """The question travels as the result of this call."""

    def __init__(self, result: mcp.InputRequiredResult) -> None:
        super().__init__()
        self.result = result


def answer_brought(params: mcp.CallToolRequestParams) -> str | None:
    """What tells the answer that this call brings from every other, if it brings one."""
    return (
        params.request_state
        if params.request_state and QUESTION in (params.input_responses or {})
        else None
    )


async def ask(
    question: str, about: str, session: ServerSession, params: mcp.CallToolRequestParams
) -> bool | None:
    """Whether the person says yes to doing `about`; None where this client, or its transport, cannot ask anybody.

    An answer that the call brings counts for the very thing that was asked about, and for ten minutes.

    Raises:
        Unanswered: the question is to be handed back as the call's result.
    """
    if not _has_forms(session.client_capabilities):
        return None
    request = mcp.ElicitRequest(
        params=mcp.ElicitRequestFormParams(message=question, requested_schema=FORM)
    )
    if is_version_at_least(session.protocol_version, ASKS_IN_RESULTS):
        answer = (params.input_responses or {}).get(QUESTION)
        if not isinstance(answer, mcp.ElicitResult) or not _is_ours(
            params.request_state or "", about
        ):
            state = _sealed(f"{monotonic():.0f} {secrets.token_hex(16)}", about)
            raise Unanswered(
                mcp.InputRequiredResult(input_requests={QUESTION: request}, request_state=state)
            )
    elif session.can_send_request:
        try:
            answer = await session.elicit_form(question, FORM)
        except MCPError:
            return None
    else:
        return None
    return answer.action == "accept" and (answer.content or {}).get("start") is True


def _sealed(asked: str, about: str) -> str:
    told = f"{asked} {about}".encode("utf-8", "surrogatepass")
    return f"{asked} {hashlib.blake2b(told, key=_SECRET, digest_size=16).hexdigest()}"


def _is_ours(state: str, about: str) -> bool:
    asked = state.rpartition(" ")[0]
    told, expected = (
        text.encode("utf-8", "surrogatepass") for text in (state, _sealed(asked, about))
    )
    return (
        secrets.compare_digest(told, expected)
        and monotonic() - float(asked.partition(" ")[0]) < REMEMBERED_SECONDS
    )


def _has_forms(capabilities: mcp.ClientCapabilities | None) -> bool:
    elicitation = capabilities.elicitation if capabilities else None
    # `elicitation: {}` is how clients declared forms before there was another kind.
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)

"""Putting a question to the person behind the client, the way its protocol revision does that."""

import hashlib

import mcp_types as mcp
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp_types.version import is_version_at_least

ASKS_IN_RESULTS = "2026-07-28"
"""From this revision on a server cannot send requests: the question is a result, and the call comes again with the
answer (SEP-2322)."""

QUESTION = "confirmation"
FORM = {
    "type": "object",
    "properties": {"start": {"type": "boolean", "title": "Start it", "description": "Yes starts it, no does not."}},
    "required": ["start"],
}


class Unanswered(Exception):
    """The question travels as the result of this call."""

    def __init__(self, result: mcp.InputRequiredResult) -> None:
        super().__init__()
        self.result = result


async def ask(question: str, session: ServerSession, params: mcp.CallToolRequestParams) -> bool | None:
    """Whether the person says yes; None where this client, or its transport, cannot ask anybody.

    Raises:
        Unanswered: the question is to be handed back as the call's result.
    """
    if not _has_forms(session.client_capabilities):
        return None
    request = mcp.ElicitRequest(params=mcp.ElicitRequestFormParams(message=question, requested_schema=FORM))
    if is_version_at_least(session.protocol_version, ASKS_IN_RESULTS):
        # An answer counts for the very question that was asked: other attempts or other cases ask anew.
        state = hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()
        answer = (params.input_responses or {}).get(QUESTION)
        if not isinstance(answer, mcp.ElicitResult) or params.request_state != state:
            raise Unanswered(mcp.InputRequiredResult(input_requests={QUESTION: request}, request_state=state))
    elif session.can_send_request:
        try:
            answer = await session.elicit_form(question, FORM)
        except MCPError:
            return None
    else:
        return None
    return answer.action == "accept" and (answer.content or {}).get("start") is True


def _has_forms(capabilities: mcp.ClientCapabilities | None) -> bool:
    elicitation = capabilities.elicitation if capabilities else None
    # `elicitation: {}` is how clients declared forms before there was another kind.
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)

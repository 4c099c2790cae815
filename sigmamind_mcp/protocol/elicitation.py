"""Ask the person behind the client to confirm, as its protocol revision allows."""

import hashlib
import secrets
from time import monotonic

import mcp_types as mcp
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp_types.version import is_version_at_least

from sigmamind_mcp.api.idempotency import REMEMBERED_SECONDS

ASKS_IN_RESULTS = "2026-07-28"
"""From this revision on a server cannot send requests (SEP-2322).

The question is the result of the call, and the client repeats the call with the answer.
"""

QUESTION = "confirmation"
# A write is remembered for this long, so one answer can never start a second one.
ANSWER_SECONDS = REMEMBERED_SECONDS
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

MOST_USED_ANSWERS = 10_000

_SECRET = secrets.token_bytes(32)


class UsedAnswers:
    """Keeps the states of answers that were used; each counts once."""

    def __init__(self) -> None:
        self._states: set[str] = set()
        self._valid_since = 0.0

    def use(self, state: str) -> bool:
        """Return whether this state is used for the first time."""
        asked = _read_question_time(state)
        if state in self._states or asked < self._valid_since:
            return False
        if len(self._states) >= MOST_USED_ANSWERS:
            self._forget_old()
        self._states.add(state)
        return True

    def _forget_old(self) -> None:
        oldest = monotonic() - ANSWER_SECONDS
        self._states = {state for state in self._states if _read_question_time(state) > oldest}
        if len(self._states) >= MOST_USED_ANSWERS:
            # To forget a used state, every question of its time must be asked again.
            self._valid_since = monotonic()
            self._states.clear()


_USED_ANSWERS = UsedAnswers()


class Unanswered(Exception):
    """Raised when the call's result is a question to the person."""

    def __init__(self, result: mcp.InputRequiredResult) -> None:
        super().__init__()
        self.result = result


def get_answer_state(params: mcp.CallToolRequestParams) -> str | None:
    """Return the unique state of the answer that this call carries, if any."""
    has_answer = QUESTION in (params.input_responses or {})
    return params.request_state or None if has_answer else None


async def confirm(
    question: str, subject: str, session: ServerSession, params: mcp.CallToolRequestParams
) -> bool | None:
    """Ask the person to confirm `subject`; return None if the client cannot ask.

    An answer is valid for this exact subject, once, and for ten minutes.

    Raises:
        Unanswered: its result must be returned as the result of the call.
    """
    if not _supports_forms(session.client_capabilities):
        return None
    if is_version_at_least(session.protocol_version, ASKS_IN_RESULTS):
        answer = _find_answer(params, subject)
        if answer is None:
            raise Unanswered(_build_question(question, subject))
        return _is_yes(answer)
    if not session.can_send_request:
        return None
    try:
        return _is_yes(await session.elicit_form(question, FORM))
    except MCPError:
        return None


def _supports_forms(capabilities: mcp.ClientCapabilities | None) -> bool:
    elicitation = capabilities.elicitation if capabilities else None
    if elicitation is None:
        return False
    # `elicitation: {}` meant forms before there was another kind.
    return elicitation.form is not None or elicitation.url is None


def _find_answer(params: mcp.CallToolRequestParams, subject: str) -> mcp.ElicitResult | None:
    answer = (params.input_responses or {}).get(QUESTION)
    if not isinstance(answer, mcp.ElicitResult):
        return None
    state = params.request_state or ""
    if not _is_valid_state(state, subject):
        return None
    return answer if _USED_ANSWERS.use(state) else None


def _is_yes(answer: mcp.ElicitResult) -> bool:
    return answer.action == "accept" and (answer.content or {}).get("start") is True


def _build_question(question: str, subject: str) -> mcp.InputRequiredResult:
    form = mcp.ElicitRequestFormParams(message=question, requested_schema=FORM)
    state = _sign_state(f"{int(monotonic())} {secrets.token_hex(16)}", subject)
    return mcp.InputRequiredResult(
        input_requests={QUESTION: mcp.ElicitRequest(params=form)}, request_state=state
    )


def _sign_state(nonce: str, subject: str) -> str:
    """Append a signature of the nonce (time and random part) and the subject."""
    signed = _encode(f"{nonce} {subject}")
    signature = hashlib.blake2b(signed, key=_SECRET, digest_size=16).hexdigest()
    return f"{nonce} {signature}"


def _is_valid_state(state: str, subject: str) -> bool:
    nonce = state.rpartition(" ")[0]
    expected = _sign_state(nonce, subject)
    is_ours = secrets.compare_digest(_encode(state), _encode(expected))
    return is_ours and monotonic() - _read_question_time(state) < ANSWER_SECONDS


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _read_question_time(state: str) -> float:
    """Return when the question was asked; the state must be ours."""
    return float(state.partition(" ")[0])

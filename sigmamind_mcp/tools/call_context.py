"""What a tool can use besides its arguments and the API."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sigmamind_mcp.tools.started_attempts import StartedAttempts

ProgressReport = Callable[[float, float | None, str], Awaitable[None]]
"""Takes what is done, the total if known, and a short text."""


@dataclass(frozen=True)
class Confirmation:
    """Says when a launch needs a person's yes, and asks for it.

    A caller may start `limit` attempts within an hour without a yes; `started` counts them.
    `ask` takes the question and the exact launch; it returns None if nobody can be asked.
    `answer_state` identifies the answer that this call carries.
    """

    limit: int
    started: StartedAttempts
    ask: Callable[[str, str], Awaitable[bool | None]]
    answer_state: str | None


@dataclass(frozen=True)
class CallContext:
    """One call of a tool that reports progress or asks a person."""

    report_progress: ProgressReport
    confirmation: Confirmation

"""Read once what the agent says in a test run: its words and values."""

from typing import NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.endings import is_agent
from sigmamind_mcp.insight.spoken_values import read_values
from sigmamind_mcp.insight.words import split_stems

MAX_TEXT = 60_000
"""The characters of one conversation that are read."""


class AgentWords(NamedTuple):
    """The words of the agent without their endings, in order, and the values in normal form."""

    stems: list[str]
    values: frozenset[str]

    @classmethod
    def read(cls, text: str) -> "AgentWords":
        return cls(split_stems(text), read_values(text))

    @classmethod
    def read_run(cls, run: TestRun) -> "AgentWords":
        """Read all turns of the agent."""
        spoken = [turn.content for turn in run.conversation or [] if is_agent(turn)]
        return cls.read("\n".join(spoken)[:MAX_TEXT])

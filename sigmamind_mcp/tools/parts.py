"""Parts that several answers share."""

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sigmamind_mcp.insight.statistics import Counts, wilson
from sigmamind_mcp.tools.arguments import Id, NotBool, SentAsList

if TYPE_CHECKING:
    pass
from collections.abc import Awaitable, Callable

QUOTE_CHARACTERS = 320


PROSE_CHARACTERS = 500


LABEL_CHARACTERS = 80


ROLE_CHARACTERS = 20


JobIds = Annotated[list[Id], Field(max_length=100), SentAsList]


Offset = Annotated[int, Field(ge=0, le=100_000), NotBool]


class Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")


class Rate(Part):
    """Decided attempts that passed, with the 95 % Wilson interval of the rate behind them."""

    passed: int
    decided: int
    low: float
    high: float

    @classmethod
    def of(cls, counts: Counts) -> "Rate":
        low, high = wilson(counts)
        return cls(
            passed=counts.passed, decided=counts.decided, low=round(low, 3), high=round(high, 3)
        )

    def __str__(self) -> str:
        if self.decided == 0:
            return "none decided"
        share = f"{percent(self.passed / self.decided)}, 95 % interval {percent(self.low)} to {percent(self.high)}"
        return f"{self.passed} of {self.decided} passed ({share})"


class QuoteShown(Part):
    turn: int
    role: str
    content: str
    why: str

    def line(self) -> str:
        return f"    turn {self.turn} ({self.why}) {self.role}: {self.content}"


def percent(share: float) -> str:
    """The share in whole percent; near nothing and near all with a decimal, so that neither is said of some."""
    return f"{share:.0%}" if share in (0, 1) or 0.005 <= share < 0.995 else f"{share:.1%}"


def truncate_line(text: str, characters: int) -> str:
    """The text on one line, and where it was longer than so many characters, how long it was."""
    line = " ".join(text.split())
    return (
        line
        if len(line) <= characters
        else f"{line[:characters]} [cut: {characters} of {len(line):,} characters]"
    )


Report = Callable[[float, float | None, str], Awaitable[None]]
"""Tells a client that asked for progress: how much, of how much, in words."""

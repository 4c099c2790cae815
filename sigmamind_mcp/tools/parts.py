"""Parts that several answers share."""

from typing import Annotated

from pydantic import Field

from sigmamind_mcp.insight.diagnosis import Quote
from sigmamind_mcp.insight.statistics import Counts, compute_wilson_interval
from sigmamind_mcp.tools.answers import AnswerPart, one_line, truncate_text
from sigmamind_mcp.tools.arguments import Id, NotBool, SentAsList

QUOTE_CHARACTERS = 320
PROSE_CHARACTERS = 500
LABEL_CHARACTERS = 80
ROLE_CHARACTERS = 20
NO_REMARKS = "(no remarks to read)"

JobIds = Annotated[list[Id], Field(max_length=100), SentAsList]
Offset = Annotated[int, Field(ge=0, le=100_000), NotBool]


class Rate(AnswerPart):
    """Passed and decided attempts, with the 95 % Wilson interval of the pass rate."""

    passed: int
    decided: int
    low: float
    high: float

    @classmethod
    def of(cls, counts: Counts) -> "Rate":
        low, high = compute_wilson_interval(counts)
        return cls(
            passed=counts.passed, decided=counts.decided, low=round(low, 3), high=round(high, 3)
        )

    def __str__(self) -> str:
        if self.decided == 0:
            return "none decided"
        share = format_percent(self.passed / self.decided)
        interval = f"{format_percent(self.low)} to {format_percent(self.high)}"
        return f"{self.passed} of {self.decided} passed ({share}, 95 % interval {interval})"


class QuoteShown(AnswerPart):
    turn: int
    role: str
    content: str
    why: str

    @classmethod
    def of(cls, quote: Quote) -> "QuoteShown":
        return cls(
            turn=quote.number,
            role=truncate_line(quote.turn.role, ROLE_CHARACTERS),
            content=truncate_line(quote.turn.content, QUOTE_CHARACTERS),
            why=quote.why,
        )

    def line(self) -> str:
        return f"    turn {self.turn} ({self.why}) {self.role}: {self.content}"


def format_percent(share: float) -> str:
    """Return a share in percent, so that only 0 reads as 0% and only 1 as 100%."""
    is_extreme = share in (0, 1)
    rounds_to_extreme = share < 0.005 or share >= 0.995
    return f"{share:.1%}" if rounds_to_extreme and not is_extreme else f"{share:.0%}"


def truncate_line(text: str, characters: int) -> str:
    """Put the text on one line and truncate it; the mark gives the original length."""
    return truncate_text(one_line(text), characters)

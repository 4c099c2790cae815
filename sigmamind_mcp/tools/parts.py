"""Parts that several answers share."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

from pydantic import Field

from sigmamind_mcp.insight.batch_sides import RunPlace
from sigmamind_mcp.insight.case_definitions import DefinitionEdit
from sigmamind_mcp.insight.intervals import bound_rate
from sigmamind_mcp.insight.statistics import Counts, Interval, compute_wilson_interval
from sigmamind_mcp.tools.answers import AnswerPart, one_line, truncate_text
from sigmamind_mcp.tools.argument_forms import list_of
from sigmamind_mcp.tools.arguments import Id

LABEL_CHARACTERS = 80
EDIT_CHARACTERS = 160
CONTEXT_CHARACTERS = 60
MAX_EDITS = 8
EMPTY_VALUES = {"mockData": "(empty)", "llmModel": "(the agent's)"}
"""How an empty value of these fields reads."""

JobIds = Annotated[list[Id], Field(max_length=100), list_of("job ids")]
KeptSide = Annotated[Literal["agent", "user", "tool"] | None, Field(description="Keep its turns.")]


class Rate(AnswerPart):
    """Passed and decided attempts, with the 95 % Wilson interval of the pass rate."""

    interval_name: ClassVar[str] = "95 % interval"

    passed: int
    decided: int
    low: float
    high: float

    @classmethod
    def of(cls, counts: Counts, interval: Interval | None = None) -> Self:
        low, high = interval or compute_wilson_interval(counts)
        return cls(
            passed=counts.passed,
            decided=counts.decided,
            low=round(low, 3),
            high=round(high, 3),
        )

    def __str__(self) -> str:
        return self._describe("passed", f"{self.interval_name} ")

    def describe_again(self) -> str:
        """Write the rate after another one, without the words that both have."""
        return self._describe()

    def _describe(self, passed: str = "", interval_name: str = "") -> str:
        if self.decided == 0:
            return "none decided"
        share = format_percent(self.passed / self.decided)
        interval = f"{interval_name}{format_percent(self.low)} to {format_percent(self.high)}"
        counts = f"{self.passed} of {self.decided} {passed}".strip()
        return f"{counts} ({share}, {interval})"


class BoundedRate(Rate):
    """A rate with its bounds, if attempts are undecided."""

    undecided: int | None = Field(default=None, description="Attempts that show no verdict.")
    lowest: float | None = Field(default=None, description="If all undecided ones had failed.")
    highest: float | None = Field(default=None, description="If all undecided ones had passed.")

    def add_bounds(self, undecided: int) -> Self:
        """Add the bounds, if attempts are undecided."""
        if undecided:
            low, high = bound_rate(Counts(self.passed, self.decided), undecided)
            self.undecided = undecided
            self.lowest = round(low, 3)
            self.highest = round(high, 3)
        return self

    def describe_bounds(self) -> str:
        """Say the bounds; "" if no attempt is undecided."""
        bounds = self.show_bounds()
        return bounds and f"{self.undecided} undecided, so {bounds} if they all failed or passed"

    def show_bounds(self) -> str:
        """Write the bounds alone; "" if no attempt is undecided."""
        if self.lowest is None or self.highest is None:
            return ""
        return f"{format_percent(self.lowest)} to {format_percent(self.highest)}"


class SuiteRate(BoundedRate):
    """The rate of several test cases; its 95 % interval is by cases, not by attempts."""

    interval_name: ClassVar[str] = "95 % interval by cases"


class EditShown(AnswerPart):
    """One place where a field of a test case was edited."""

    field: str
    variable: str | None = Field(default=None, description="Of mock data: the edited variable.")
    before: str | None = Field(default=None, description="Absent when the variable is new.")
    after: str | None = Field(default=None, description="Absent when the variable is removed.")
    left: str | None = Field(default=None, description="The words to the left.")
    right: str | None = Field(default=None, description="The words to the right.")
    only_spaces: bool | None = Field(
        default=None,
        description="True when only spaces, invisible characters or the Unicode form differ.",
    )

    @classmethod
    def of(cls, edit: DefinitionEdit, *, old_characters: int = EDIT_CHARACTERS) -> "EditShown":
        return cls(
            field=edit.field,
            variable=_truncate_if_given(edit.variable, LABEL_CHARACTERS),
            before=_truncate_if_given(edit.before, old_characters),
            after=_truncate_if_given(edit.after, EDIT_CHARACTERS),
            left=truncate_line(edit.left, CONTEXT_CHARACTERS) or None,
            right=truncate_line(edit.right, CONTEXT_CHARACTERS) or None,
            only_spaces=None if edit.is_visible else True,
        )

    def line(self) -> str:
        name = f"    {self.field}"
        if self.variable is not None:
            name += f" {self.variable or '(no name)'}"
        if self.only_spaces:
            return f"{name}: only spaces, invisible characters or the Unicode form differ"
        words = self._describe_change()
        if self.left:
            words = f"… {self.left} {words}"
        if self.right:
            words = f"{words} {self.right} …"
        return f"{name}: {words}"

    def _describe_change(self) -> str:
        nothing = EMPTY_VALUES.get(self.field, "(nothing)")
        before = self.before or nothing
        after = self.after or nothing
        if self.before is None:
            return f"added, {after}"
        if self.after is None:
            return f"removed, was {before}"
        change = f"{before} -> {after}"
        has_spaces = " " in self.before + self.after
        has_context = bool(self.left or self.right)
        return f"[{change}]" if has_spaces and has_context else change


class ListedEdits(NamedTuple):
    """The first edits of a test case, and how many more there are."""

    shown: list[EditShown]
    more: int | None

    @classmethod
    def of(
        cls,
        edits: Sequence[DefinitionEdit],
        *,
        most: int = MAX_EDITS,
        old_characters: int = EDIT_CHARACTERS,
    ) -> "ListedEdits":
        shown = [EditShown.of(edit, old_characters=old_characters) for edit in edits[:most]]
        return cls(shown, len(edits) - len(shown) or None)


def name_run(place: RunPlace) -> dict[str, str | int]:
    """Return the ids of a test run, as an entry of `turns` in read_test_runs."""
    return {"batchId": place.batch_id, "jobId": place.job_id}


def format_percent(share: float) -> str:
    """Return a share in percent, so that only 0 reads as 0% and only 1 as 100%."""
    is_extreme = share in (0, 1)
    rounds_to_extreme = share < 0.005 or share >= 0.995
    return f"{share:.1%}" if rounds_to_extreme and not is_extreme else f"{share:.0%}"


def truncate_line(text: str, characters: int) -> str:
    """Put the text on one line and truncate it; the mark gives the original length."""
    return truncate_text(one_line(text), characters)


def _truncate_if_given(text: str | None, characters: int) -> str | None:
    return None if text is None else truncate_line(text, characters)

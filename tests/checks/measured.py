"""Measures hints, doubts and faults on labelled files; `python -m tests.checks.measured FILE…`.

A file is a list of objects with `testRun`, as the API gives it, and `labels`: the kind and the turn
of everything that is to be found in it. Somebody else than the author of the rules draws and labels
the conversations. A kind ships only if the lower 95 % bound of its precision is at least 0.8.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.judge_errors import is_judge_error
from sigmamind_mcp.insight.simulator_faults import find_faults
from sigmamind_mcp.insight.statistics import Counts, compute_wilson_interval
from sigmamind_mcp.insight.transcript_hints import find_hints

NEEDED_PRECISION = 0.8

Place = tuple[str, int | None]


class Figures(NamedTuple):
    """How much of one kind was right, false and missed."""

    kind: str
    right: int
    false: int
    missed: int

    @property
    def lowest_precision(self) -> float:
        return compute_wilson_interval(Counts(self.right, self.right + self.false)).low

    def line(self) -> str:
        state = "ships" if self.lowest_precision >= NEEDED_PRECISION else "does not ship"
        counts = f"{self.right:>5} right {self.false:>5} false {self.missed:>5} missed"
        return f"{self.kind:<28} {counts}  precision at least {self.lowest_precision:.2f}: {state}"


def find_places(run: TestRun) -> set[Place]:
    """Return the kind and turn of everything that the rules find in a test run."""
    places: set[Place] = set()
    if run.verdict != "undecided" and is_judge_error(run.remarks or ""):
        places.add(("judge error", None))
    places.update((fault.kind, fault.turn) for fault in find_faults(run))
    places.update((hint.kind, hint.turn) for hint in find_hints(run))
    return places


def measure(conversations: Sequence[dict[str, Any]]) -> list[Figures]:
    """Compare what is found with the labels, kind by kind."""
    right: Counter[str] = Counter()
    false: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for labelled in conversations:
        found = find_places(TestRun.read(labelled["testRun"]))
        wanted = {(kind, turn) for kind, turn in labelled["labels"]}
        right.update(kind for kind, _ in found & wanted)
        false.update(kind for kind, _ in found - wanted)
        missed.update(kind for kind, _ in wanted - found)
    kinds = sorted({*right, *false, *missed})
    return [Figures(kind, right[kind], false[kind], missed[kind]) for kind in kinds]


def format_report(paths: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the report on each file."""
    for path in paths:
        conversations = json.loads(Path(path).read_text(encoding="utf-8"))
        yield f"{path} ({len(conversations)} conversations)"
        yield from (figures.line() for figures in measure(conversations))


if __name__ == "__main__":
    print(*format_report(sys.argv[1:]), sep="\n")

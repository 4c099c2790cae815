"""Measures the signals on the labelled sets; `python -m tests.checks.measured` prints the table.

The rules were written with `tuned.json` at hand. The author of `held_out.json` knew neither the
rules nor that set. It was measured once before any rule was changed for it: MEASURED_FIRST has
these figures, which are the honest ones. Later changes removed false signals of the kinds that it
showed, so its figures are now better than those of a new set would be.
A near miss is a place that resembles a signal and is none.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple, get_args

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.signals import SignalKind, find_signals

LABELLED = Path(__file__).parents[1] / "data" / "labelled"
KINDS: tuple[SignalKind, ...] = get_args(SignalKind)

Labels = dict[str, Any]
Place = tuple[str, int | None]

MEASURED_FIRST: dict[SignalKind, tuple[int, int]] = {
    "repeated_agent_turn": (27, 5),
    "unfilled_variable": (22, 5),
    "mock_value_contradicted": (19, 3),
    "user_spoke_last": (60, 8),
    "no_transcript": (10, 0),
    "much_longer_than_siblings": (15, 0),
}
"""How many signals were right and how many false on the held-out set, before any change for it."""


class Figures(NamedTuple):
    """The counts of one kind on one set; `found` are true signals, `false` the other ones."""

    positives: int
    near_misses: int
    found: int
    false: int

    @property
    def precision(self) -> float:
        return self.found / (self.found + self.false) if self.found + self.false else 0.0

    @property
    def recall(self) -> float:
        return self.found / self.positives if self.positives else 0.0


class Comparison(NamedTuple):
    """The labels of one transcript and the signals found in it."""

    labelled: set[Place]
    found: set[Place]


def read_labelled(name: str) -> list[Labels]:
    """Read a labelled set."""
    transcripts: list[Labels] = json.loads((LABELLED / f"{name}.json").read_text(encoding="utf-8"))
    return transcripts


def build_run(labels: Labels) -> TestRun:
    """Return the test run of a labelled transcript."""
    mock_data = [
        {"variableName": name, "value": value} for name, value in labels["mockData"].items()
    ]
    turns = labels["conversation"]
    conversation = (
        None if turns is None else [{"role": role, "content": content} for role, content in turns]
    )
    return TestRun.read({"testCase": {"mockData": mock_data}, "conversation": conversation})


def compare_signals(labels: Labels) -> Comparison:
    """Return the places of labels and signals; a signal at another turn is a false one."""
    signals = find_signals(build_run(labels), labels["siblings"])
    return Comparison(
        labelled={(kind, turn) for kind, turn in labels["signals"]},
        found={(signal.kind, signal.turn) for signal in signals},
    )


def measure_signals(name: str) -> dict[SignalKind, Figures]:
    """Return the figures of each kind on a labelled set."""
    positives: Counter[str] = Counter()
    near_misses: Counter[str] = Counter()
    found: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for labels in read_labelled(name):
        comparison = compare_signals(labels)
        positives.update(kind for kind, _ in labels["signals"])
        near_misses.update(kind for kind, _ in labels["nearMisses"])
        found.update(kind for kind, _ in comparison.found & comparison.labelled)
        false.update(kind for kind, _ in comparison.found - comparison.labelled)
    return {
        kind: Figures(positives[kind], near_misses[kind], found[kind], false[kind])
        for kind in KINDS
    }


def wilson_lower(hits: int, tries: int) -> float:
    """Return the lower end of the 95 % Wilson interval of a share."""
    if not tries:
        return 0.0
    z = 1.959964
    share, square = hits / tries, z * z / tries
    margin = z * sqrt(share * (1 - share) / tries + square / (4 * tries))
    return (share + square / 2 - margin) / (1 + square)


def format_table(name: str) -> Iterator[str]:
    """Yield the lines of a set's table."""
    yield f"{name} ({len(read_labelled(name))} transcripts)"
    yield (
        f"{'kind':<25} {'positive':>8} {'near':>5} {'found':>5} {'false':>5}"
        f"  {'precision':<13} {'recall':>6}"
    )
    for kind, row in measure_signals(name).items():
        lower = wilson_lower(row.found, row.found + row.false)
        precision = f"{row.precision:.2f} (>={lower:.2f})"
        counts = f"{row.positives:>8} {row.near_misses:>5} {row.found:>5} {row.false:>5}"
        yield f"{kind:<25} {counts}  {precision:<13} {row.recall:>6.2f}"


def list_differences(name: str) -> Iterator[str]:
    """Yield what is missed and what is false, by transcript."""
    for labels in read_labelled(name):
        comparison = compare_signals(labels)
        missed = comparison.labelled - comparison.found
        false = comparison.found - comparison.labelled
        for sign, places in (("missed", missed), ("false", false)):
            for kind, turn in sorted(places, key=str):
                yield f"{sign}: {kind} at turn {turn} of {labels['name']!r}"


def format_first_table() -> Iterator[str]:
    """Yield the lines of the table with the first figures."""
    yield "held_out, measured before any rule was changed for it"
    for kind, (right, wrong) in MEASURED_FIRST.items():
        precision = right / (right + wrong)
        bound = wilson_lower(right, right + wrong)
        yield f"{kind:<25} {right:>3} right, {wrong} false: {precision:.2f} (>={bound:.2f})"


def main(arguments: list[str]) -> None:
    """Print the tables, and with `--misses` each wrong or missing signal."""
    lines = [*format_first_table(), ""]
    for name in ("tuned", "held_out"):
        lines += format_table(name)
        if "--misses" in arguments:
            lines += list_differences(name)
        lines.append("")
    print(*lines, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])

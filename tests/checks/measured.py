"""Measures the signals on the labelled sets; `python -m tests.checks.measured` prints the table.

`tuned.json` was at hand when the rules were made. `held_out.json` was written by somebody who had seen neither, and
measured once before any rule was changed for it; MEASURED_FIRST has those figures, which are the honest ones. Since
then false signals of kinds that it showed have been mended, so what it says now is better than what a fresh set would.
A near miss is a place that resembles a signal and is none.
"""

import json
import sys
from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple, get_args

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.signals import SignalKind, find_signals

LABELLED = Path(__file__).parents[1] / "data" / "labelled"
KINDS: tuple[SignalKind, ...] = get_args(SignalKind)

Place = tuple[str, int | None]

MEASURED_FIRST: dict[SignalKind, tuple[int, int]] = {
    "repeated_agent_turn": (27, 5),
    "unfilled_variable": (22, 5),
    "mock_value_contradicted": (19, 3),
    "user_spoke_last": (60, 8),
    "no_transcript": (10, 0),
    "much_longer_than_siblings": (15, 0),
}
"""How many signals were right and how many false on the held-out set, before it could change anything."""


class Figures(NamedTuple):
    """One kind on one set; `found` are true signals, `false` the others."""

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


def labelled(name: str) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads((LABELLED / f"{name}.json").read_text(encoding="utf-8"))
    return read


def run_of(labels: dict[str, Any]) -> TestRun:
    mock_data = [
        {"variableName": name, "value": value} for name, value in labels["mockData"].items()
    ]
    turns = labels["conversation"]
    conversation = (
        None if turns is None else [{"role": role, "content": content} for role, content in turns]
    )
    return TestRun.read({"testCase": {"mockData": mock_data}, "conversation": conversation})


def found_in(labels: dict[str, Any]) -> set[Place]:
    return {
        (signal.kind, signal.turn) for signal in find_signals(run_of(labels), labels["siblings"])
    }


def measured(name: str) -> dict[SignalKind, Figures]:
    """The figures of each kind on the set; a signal at another turn than the label's is a false one."""
    right: list[Place] = []
    wrong: list[Place] = []
    for labels in labelled(name):
        found, true = found_in(labels), {(kind, turn) for kind, turn in labels["signals"]}
        right += found & true
        wrong += found - true
    positives = [kind for labels in labelled(name) for kind, _ in labels["signals"]]
    near = [kind for labels in labelled(name) for kind, _ in labels["nearMisses"]]
    return {
        kind: Figures(
            positives.count(kind),
            near.count(kind),
            [k for k, _ in right].count(kind),
            [k for k, _ in wrong].count(kind),
        )
        for kind in KINDS
    }


def wilson_lower(hits: int, tries: int) -> float:
    """The lower end of the 95 % Wilson interval of a share."""
    if not tries:
        return 0.0
    z = 1.959964
    share, square = hits / tries, z * z / tries
    return (share + square / 2 - z * sqrt(share * (1 - share) / tries + square / (4 * tries))) / (
        1 + square
    )


def table(name: str) -> Iterator[str]:
    yield f"{name} ({len(labelled(name))} transcripts)"
    yield f"{'kind':<25} {'positive':>8} {'near':>5} {'found':>5} {'false':>5}  {'precision':<13} {'recall':>6}"
    for kind, row in measured(name).items():
        lower = wilson_lower(row.found, row.found + row.false)
        precision = f"{row.precision:.2f} (>={lower:.2f})"
        yield (
            f"{kind:<25} {row.positives:>8} {row.near_misses:>5} {row.found:>5} {row.false:>5}  {precision:<13} {row.recall:>6.2f}"
        )


def differences(name: str) -> Iterator[str]:
    """What is missed and what is false, by transcript."""
    for labels in labelled(name):
        found, true = found_in(labels), {(kind, turn) for kind, turn in labels["signals"]}
        for sign, places in (("missed", true - found), ("false", found - true)):
            yield from (
                f"{sign}: {kind} at turn {turn} of {labels['name']!r}"
                for kind, turn in sorted(places, key=str)
            )


def first_table() -> Iterator[str]:
    yield "held_out, measured before any rule was changed for it"
    for kind, (right, wrong) in MEASURED_FIRST.items():
        bound = wilson_lower(right, right + wrong)
        yield f"{kind:<25} {right:>3} right, {wrong} false: {right / (right + wrong):.2f} (>={bound:.2f})"


if __name__ == "__main__":
    sys.stdout.write("\n".join([*first_table(), "", ""]))
    for name in ("tuned", "held_out"):
        sys.stdout.write(
            "\n".join(
                [*table(name), *(differences(name) if "--misses" in sys.argv else ()), "", ""]
            )
        )

"""Measures hints, doubts and faults on labelled files; `python -m tests.checks.measured FILE…`.

A labelled file is a list of objects with `testRun`, as the API gives it, and `labels`: the kind and the turn
of everything that is to be found in it. Somebody else than the author of the rules draws and labels
the conversations. A kind ships only if the lower 95 % bound of its precision is at least 0.8.

Published conversations, as for `scripts/release/power`, have their verdicts shuffled within test
cases, after which nothing separates. Benign dialogues have the format of the Schema-Guided Dialogue
data set; none of them is to have a hint. `tests.checks.wordings` searches such dialogues. No conversation is in the repository.
"""

import argparse
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.evidence import collect_evidence
from sigmamind_mcp.insight.judge_errors import is_judge_error
from sigmamind_mcp.insight.simulator_faults import UNKNOWN_ID, find_unknown_id
from sigmamind_mcp.insight.statistics import Counts, compute_wilson_interval
from sigmamind_mcp.insight.transcript_hints import RAW_DATA, find_raw_data
from sigmamind_mcp.insight.values_not_given import find_values_not_given
from tests.checks.wordings import format_wordings
from tests.support.sample_batches import ENDED

NEEDED_PRECISION = 0.8
SHUFFLED_BATCH = "airline-gpt-4o"
SHUFFLES = 200
BENIGN_CASE = {
    "userPrompt": "You are a customer. Ask the assistant for what you need.",
    "successCriteria": "The assistant helps the customer.",
}

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
    if unknown_id := find_unknown_id(run):
        places.add((UNKNOWN_ID, unknown_id))
    if raw_data := find_raw_data(run):
        places.add((RAW_DATA, raw_data))
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


class ShuffleFigures(NamedTuple):
    """In how many shuffles something separates, and in how many it is too few to tell."""

    separating: int
    too_few: int


def shuffle_verdicts(rows: Sequence[Mapping[str, Any]], shuffles: int) -> ShuffleFigures:
    """Collect the evidence of published conversations with shuffled verdicts."""
    random = Random(1)
    separating = too_few = 0
    for _ in range(shuffles):
        verdicts: dict[str, list[bool]] = defaultdict(list)
        for row in rows:
            verdicts[row["testCase"]].append(row["isSuccessful"])
        for own in verdicts.values():
            random.shuffle(own)
        runs = [read_published(row, verdicts[row["testCase"]].pop()) for row in rows]
        contrast = collect_evidence(runs).contrast
        separating += bool(contrast.separating)
        too_few += bool(contrast.too_few)
    return ShuffleFigures(separating, too_few)


def read_published(row: Mapping[str, Any], is_successful: bool) -> TestRun:
    """Read a published conversation with this verdict."""
    mocks = [{"variableName": name, "value": str(own)} for name, own in row["mockData"].items()]
    case = {"testCaseId": row["testCase"], "mockData": mocks}
    case |= {name: row[name] for name in ("userPrompt", "successCriteria")}
    run = {name: row[name] for name in ("remarks", "conversation")}
    run |= {"completedDate": ENDED}  # a run without remarks may have no verdict yet
    return TestRun.read({**run, "testCase": case, "isSuccessful": is_successful})


def read_benign(dialogue: Mapping[str, Any]) -> TestRun:
    """Read a dialogue as a passed test run of a neutral test case."""
    turns = []
    for turn in dialogue["turns"]:
        role = "user" if turn["speaker"] == "USER" else "assistant"
        turns.append({"role": role, "content": turn["utterance"]})
    case = {"testCaseId": dialogue["dialogue_id"], **BENIGN_CASE}
    return TestRun.read({"testCase": case, "isSuccessful": True, "conversation": turns})


def _list_shuffles(path: Path, shuffles: int) -> Iterator[str]:
    rows = json.loads(gzip.decompress(path.read_bytes()))
    figures = shuffle_verdicts([row for row in rows if row["batch"] == SHUFFLED_BATCH], shuffles)
    yield (
        f"{SHUFFLED_BATCH} with shuffled verdicts: something separates in {figures.separating} of"
        f" {shuffles}, and is too few to tell in {figures.too_few}"
    )


def _list_benign(paths: Sequence[Path]) -> Iterator[str]:
    runs: list[TestRun] = []
    for path in paths:
        runs += map(read_benign, json.loads(path.read_text(encoding="utf-8")))
    places = list(map(find_places, runs))
    found = sum(map(bool, places))
    yield f"{len(runs)} benign dialogues: {found} with any hint, doubt or fault ({found / len(runs):.2%})"
    kinds = Counter(kind for own in places for kind, _ in own)
    yield from (f"{kind:<28} {count:>5}" for kind, count in sorted(kinds.items()))
    values = find_values_not_given(runs, [])
    yield f"values of one dialogue that nobody gave: {len(values.values) if values else None}"


def print_report() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("labelled", nargs="*", help="labelled files")
    parser.add_argument("--published", type=Path, help="conversations.json.gz of published runs")
    parser.add_argument("--shuffles", type=int, default=SHUFFLES)
    parser.add_argument("--benign", type=Path, nargs="+", help="files of benign dialogues")
    parser.add_argument("--wordings", type=Path, nargs="+", help="files of dialogues with acts")
    options = parser.parse_args()
    parts = [format_report(options.labelled)]
    if options.published:
        parts.append(_list_shuffles(options.published, options.shuffles))
    if options.benign:
        parts.append(_list_benign(options.benign))
    if options.wordings:
        parts.append(format_wordings(options.wordings))
    for part in parts:
        for line in part:
            print(line, flush=True)


if __name__ == "__main__":
    print_report()

"""Measures the comparison on simulated suites; `scripts/release/power` prints the figures.

Every figure has a fixed seed. The tests check smaller numbers of the same simulations. With the
path of published conversations, it also measures on their verdicts; these are not in the
repository.
"""

import argparse
import gzip
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import NamedTuple

from sigmamind_mcp.insight.attempts_needed import find_attempts_for_rates, judge_by_bar
from sigmamind_mcp.insight.decisions import CaseEvidence, SuiteDecision, decide_cases
from sigmamind_mcp.insight.error_rates import Question
from sigmamind_mcp.insight.exact_tests import compute_boschloo_p, list_fisher_tails
from sigmamind_mcp.insight.pass_k import summarize_pass_k
from sigmamind_mcp.insight.pooling import KnownRun, pool_known_runs
from sigmamind_mcp.insight.rate_series import compute_falling_p, find_change_point
from sigmamind_mcp.insight.statistics import Counts, compute_cmh_p

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
CALLED = ("proven", "suspect")


class Design(NamedTuple):
    """How a simulated suite is compared: its cases, its baseline, and the candidate's looks.

    `spread` is the standard deviation of a case's rate between batch runs.
    """

    cases: int = 20
    drops: int = 3
    rate: float = 0.9
    low_rate: float = 0.5
    spread: float = 0.0
    base_runs: int = 5
    base_attempts: int = 10
    looks: int = 4
    attempts: int = 5
    question: Question = "regression"
    pools: bool = False


class Figures(NamedTuple):
    """Shares over all simulated suites; `conversations` are the new ones per suite.

    `false_share` is that of all calls together, `false_discovery` its mean over the suites.
    """

    called: float
    proven: float
    false_share: float
    false_discovery: float
    any_false: float
    any_false_proven: float
    conversations: float


class Outcome(NamedTuple):
    """The places of the called and of the proven cases in one suite."""

    called: list[int]
    proven: list[int]
    conversations: int


def simulate_suites(design: Design, suites: int, *, seed: int) -> Figures:
    """Return the figures of a design; the first cases of each suite are those that drop."""
    random = Random(seed)
    outcomes = [_simulate_suite(design, random) for _ in range(suites)]
    found = sum(place < design.drops for outcome in outcomes for place in outcome.called)
    proven = sum(place < design.drops for outcome in outcomes for place in outcome.proven)
    false = [sum(place >= design.drops for place in outcome.called) for outcome in outcomes]
    discovery = [
        count / max(1, len(outcome.called)) for count, outcome in zip(false, outcomes, strict=True)
    ]
    false_proven = [any(place >= design.drops for place in o.proven) for o in outcomes]
    drops = max(1, design.drops * suites)
    return Figures(
        found / drops,
        proven / drops,
        sum(false) / max(1, found + sum(false)),
        sum(discovery) / suites,
        sum(count > 0 for count in false) / suites,
        sum(false_proven) / suites,
        sum(outcome.conversations for outcome in outcomes) / suites,
    )


def _simulate_suite(design: Design, random: Random) -> Outcome:
    """Compare one suite look by look; after the first look, only the open cases run again."""
    bases = [_simulate_base(design, random) for _ in range(design.cases)]
    looks: list[list[Counts]] = [[] for _ in bases]
    running = list(range(design.cases))
    conversations = 0
    decision = SuiteDecision([], 0, 0, 0, [])
    for _ in range(design.looks):
        for place in range(design.cases):
            attempts = design.attempts if place in running else 0
            rate = design.low_rate if place < design.drops else design.rate
            looks[place].append(draw_counts(random, attempts, rate, design.spread))
            conversations += attempts
        evidence = [CaseEvidence(b, tuple(own)) for b, own in zip(bases, looks, strict=True)]
        decision = decide_cases(evidence, question=design.question, looks=design.looks)
        running = [place for place, case in enumerate(decision.cases) if case.level == "open"]
        if not running:
            break
    called = [place for place, case in enumerate(decision.cases) if case.level in CALLED]
    proven = [place for place, case in enumerate(decision.cases) if case.level == "proven"]
    return Outcome(called, proven, conversations)


def _simulate_base(design: Design, random: Random) -> Counts:
    runs = []
    for number in range(design.base_runs):
        counts = draw_counts(random, design.base_attempts, design.rate, design.spread)
        created = NOW - WEEK * (design.base_runs - number)
        runs.append(KnownRun(f"batch_{number}", created, counts))
    if design.pools:
        return pool_known_runs(runs, before=NOW).counts
    passed = sum(run.counts.passed for run in runs)
    return Counts(passed, sum(run.counts.decided for run in runs))


def compute_expected_attempts(bar: float, rate: float) -> float:
    """Return the mean number of attempts until a bar is judged, by recursion over outcomes."""
    going_on = {0: 1.0}
    expected = 0.0
    attempts = 0
    while math.fsum(going_on.values()) > 1e-9:
        expected += math.fsum(going_on.values())
        attempts += 1
        later: dict[int, float] = {}
        for passed, chance in going_on.items():
            for more, probability in ((1, rate), (0, 1 - rate)):
                counts = Counts(passed + more, attempts)
                if probability and judge_by_bar(counts, bar) == "continue":
                    so_far = later.get(counts.passed, 0.0)
                    later[counts.passed] = so_far + chance * probability
        going_on = later
    return expected


def draw_counts(random: Random, attempts: int, rate: float, spread: float = 0.0) -> Counts:
    """Draw the passes of a batch run; its rate varies by `spread`."""
    if spread:
        rate = min(1.0, max(0.0, random.gauss(rate, spread)))
    return Counts(sum(random.random() < rate for _ in range(attempts)), attempts)


class ChangeFigures(NamedTuple):
    """Shares of the simulated histories."""

    located: float
    detected: float
    false_alarms: float


def simulate_changes(runs: int, histories: int, *, seed: int) -> ChangeFigures:
    """Return how often one change from 0.9 to 0.5 is located and detected, and false alarms."""
    random = Random(seed)
    located = detected = alarms = 0
    for _ in range(histories):
        place = random.randint(2, runs - 2)
        rates = [0.9] * place + [0.5] * (runs - place)
        change = find_change_point([draw_counts(random, 10, rate) for rate in rates])
        assert change
        located += abs(change.place - place) <= 1
        detected += change.p <= 0.05
        steady = find_change_point([draw_counts(random, 10, 0.9) for _ in range(runs)])
        assert steady
        alarms += steady.p <= 0.05
    return ChangeFigures(located / histories, detected / histories, alarms / histories)


class BruteFigures(NamedTuple):
    """How far Boschloo's p is from brute force; `shortfall` is relative and never positive."""

    tables: int
    shortfall: float
    excess: float


def compare_with_brute_force(most: int) -> BruteFigures:
    """Compare every table up to a size with the largest of 2,001 rates."""
    import numpy
    from scipy.stats import binom

    rates = numpy.linspace(0, 1, 2_001)
    tables, shortfall, excess = 0, 0.0, 0.0
    for base_size, candidate_size in product(range(1, most + 1), repeat=2):
        base = binom.pmf(numpy.arange(base_size + 1)[:, None], base_size, rates)
        candidate = binom.pmf(numpy.arange(candidate_size + 1)[:, None], candidate_size, rates)
        joint = (base[:, None, :] * candidate[None, :, :]).reshape(-1, len(rates))
        fisher = numpy.array(
            [
                _read_tail(base_size, candidate_size, x, y)
                for x, y in product(range(base_size + 1), range(candidate_size + 1))
            ]
        )
        order = fisher.argsort()
        largest = joint[order].cumsum(axis=0).max(axis=1)
        for (x, y), tail in zip(
            product(range(base_size + 1), range(candidate_size + 1)), fisher, strict=True
        ):
            last = fisher[order].searchsorted(tail * (1 + 1e-11), side="right") - 1
            p = compute_boschloo_p(Counts(x, base_size), Counts(y, candidate_size))
            tables += 1
            shortfall = min(shortfall, p / largest[last] - 1)
            excess = max(excess, p - largest[last])
    return BruteFigures(tables, float(shortfall), float(excess))


def _read_tail(base_size: int, candidate_size: int, x: int, y: int) -> float:
    return list_fisher_tails(base_size, candidate_size)[x + y][min(base_size, x + y) - x]


Verdicts = dict[str, dict[str, list[bool]]]
"""The verdicts of each test case of each batch."""


def read_verdicts(path: Path) -> Verdicts:
    """Read the verdicts of published conversations."""
    verdicts: Verdicts = defaultdict(lambda: defaultdict(list))
    for row in json.loads(gzip.decompress(path.read_bytes())):
        verdicts[row["batch"]][row["testCase"]].append(row["isSuccessful"])
    return verdicts


Group = list[list[bool]]
"""The verdicts of one group of test cases, by part."""


class SplitFigures(NamedTuple):
    """Shares of random halves in which a case was proven or called, although nothing changed."""

    proven: float
    called: float


def split_halves(groups: Sequence[Group], splits: int, *, seed: int) -> SplitFigures:
    """Compare random halves of each group's verdicts; each part of a group is split evenly."""
    random = Random(seed)
    proven = called = 0
    for _ in range(splits):
        evidence = []
        for parts in groups:
            base: list[bool] = []
            candidate: list[bool] = []
            for verdicts in parts:
                shuffled = random.sample(verdicts, len(verdicts))
                half = len(shuffled) // 2
                base += shuffled[:half]
                candidate += shuffled[half:]
            evidence.append(CaseEvidence(_count(base), (_count(candidate),)))
        levels = {case.level for case in decide_cases(evidence).cases}
        proven += "proven" in levels
        called += bool(levels & set(CALLED))
    return SplitFigures(proven / splits, called / splits)


def merge_cases(cases: Sequence[list[bool]], groups: int) -> list[Group]:
    """Merge test cases in their order into groups of as many; each stays a part."""
    size = len(cases) // groups
    return [list(cases[start : start + size]) for start in range(0, size * groups, size)]


def join_parts(groups: Sequence[Group]) -> list[Group]:
    """Join the parts of each group, so that its halves ignore them."""
    return [[[verdict for part in parts for verdict in part]] for parts in groups]


def _count(verdicts: Sequence[bool]) -> Counts:
    return Counts(sum(verdicts), len(verdicts))


def list_strata(verdicts: Verdicts, base: str, candidate: str) -> list[tuple[Counts, Counts]]:
    """Return the counts of each test case that both batches have."""
    shared = [name for name in verdicts[base] if name in verdicts[candidate]]
    return [(_count(verdicts[base][name]), _count(verdicts[candidate][name])) for name in shared]


def _format_design(name: str, design: Design, suites: int) -> str:
    figures = simulate_suites(design, suites, seed=1)
    found = f"{figures.called:6.3f} {figures.proven:6.3f} {figures.false_share:7.3f}"
    shown = found if design.drops else " " * len(found)
    return (
        f"  {name:44} {shown} {figures.any_false:6.3f} {figures.any_false_proven:6.3f} "
        f"{figures.conversations:6.0f}"
    )


def _list_suites(suites: int) -> Iterator[str]:
    yield f"Suites of 20 cases, {suites:,} each; 3 drop from 0.9 to 0.5"
    yield f"  {'':44} suspect proven   false    any proven  new"
    main = Design()
    yield _format_design("pooled 50, 4 looks of 5", main, suites)
    yield _format_design(
        "the same, baseline as `recent` pools it", main._replace(pools=True), suites
    )
    ten = Design(base_runs=1, looks=1, attempts=10)
    yield _format_design("10 against 10, one look", ten, suites)
    yield _format_design(
        "20 against 20, one look", ten._replace(base_attempts=20, attempts=20), suites
    )
    yield _format_design("pooled 50, both directions", main._replace(question="both"), suites)
    yield _format_design("pooled 50, 0.9 to 0.6", main._replace(low_rate=0.6), suites)
    yield _format_design("pooled 100, 4 looks of 5", main._replace(base_runs=10), suites)
    yield "No drop"
    for spread, pools in product((0.0, 0.03, 0.05), (False, True)):
        design = Design(drops=0, spread=spread, pools=pools)
        how = "as `recent` pools it" if pools else "pooled 50"
        yield _format_design(f"{how}, rates vary by sd {spread}", design, suites)
    yield _format_design("pooled 100", main._replace(drops=0, base_runs=10), suites)
    yield _format_design("10 against 10, one look", ten._replace(drops=0), suites)


def _list_changes(histories: int) -> Iterator[str]:
    yield f"One change from 0.9 to 0.5, {histories:,} histories of batch runs of 10 attempts"
    for runs in (6, 10, 20, 30):
        figures = simulate_changes(runs, histories, seed=1)
        yield (
            f"  {runs:2} batch runs: located within 1 {figures.located:.3f}, "
            f"detected {figures.detected:.3f}, false alarms {figures.false_alarms:.3f}"
        )
    decay = [Counts(passed, 10) for passed in (10, 10, 8, 7, 6, 4)]
    yield f"  trend of 10, 10, 8, 7, 6, 4 of 10: one-sided p {compute_falling_p(decay):.2g}"


def _list_plans() -> Iterator[str]:
    yield "Attempts per side for 80 % power"
    for high, low, cases in (
        (0.95, 0.4, 1),
        (0.9, 0.5, 1),
        (0.9, 0.5, 20),
        (0.9, 0.7, 1),
        (0.9, 0.8, 20),
    ):
        needed = find_attempts_for_rates(high, low, cases=cases)
        yield f"  {high} to {low}, {cases} cases: {needed.attempts} ({needed.test})"
    at_bar, below = (compute_expected_attempts(0.9, rate) for rate in (0.9, 0.7))
    yield f"  bar 0.9 against 0.7: {at_bar:.1f} attempts at 0.9, {below:.1f} at 0.7"


def _list_boschloo(most: int) -> Iterator[str]:
    figures = compare_with_brute_force(most)
    yield (
        f"Boschloo against 2,001 rates, {figures.tables:,} tables up to {most} attempts on a side: "
        f"relative shortfall {-figures.shortfall:.1g}, excess {figures.excess:.1g}"
    )


def _list_speeds() -> Iterator[str]:
    yield "CPU time of the tests of 100 cases, each case and all together, both directions"
    random = Random(1)
    for attempts, name in ((50, "50"), (100_000, "100,000"), (10_000_000, "10,000,000")):
        strata = []
        for _ in range(100):
            counts = (Counts(round(random.uniform(0.4, 1) * attempts), attempts) for _ in range(2))
            strata.append((next(counts), next(counts)))
        evidence = [CaseEvidence(base, (candidate,)) for base, candidate in strata]
        seconds = _measure(
            lambda evidence=evidence, strata=strata: (  # type: ignore[misc]
                decide_cases(evidence, question="both"),
                compute_cmh_p(strata),
            )
        )
        yield f"  {name} attempts per side: {seconds:.2f} s"


def _measure(act: Callable[[], object]) -> float:
    start = time.process_time()
    act()
    return time.process_time() - start


def _list_published(path: Path, splits: int) -> Iterator[str]:
    verdicts = read_verdicts(path)
    cases = list(verdicts["airline-gpt-4o"].values())
    yield f"Published conversations, {splits:,} random halves of airline-gpt-4o: share with any call"
    merged = merge_cases(cases, 10)
    every_tenth = [cases[number::10] for number in range(10)]
    for name, groups in (
        ("10 groups of 5 tasks in order", join_parts(merged)),
        ("10 groups of every tenth task", join_parts(every_tenth)),
        ("10 groups of 5 tasks, 2 trials of each task", merged),
        ("50 tasks, 2 against 2", merge_cases(cases, 50)),
    ):
        figures = split_halves(groups, splits, seed=1)
        yield f"  {name}: proven {figures.proven:.4f}, suspect or proven {figures.called:.4f}"
    powers = summarize_pass_k([_count(own) for own in cases])
    shown = []
    for power in powers:
        interval = power.interval
        assert interval
        shown.append(f"^{power.k} {power.rate:.3f} ({interval.low:.2f}-{interval.high:.2f})")
    yield f"  pass{', '.join(shown)}"
    yield "Pairs of batches of the same test cases, all cases together"
    names = [name for name in verdicts if name.startswith("retail")]
    for base, candidate in product(names, repeat=2):
        if base < candidate:
            strata = list_strata(verdicts, base, candidate)
            rates = [
                sum(side.passed for side in sides) / len(strata)
                for sides in zip(*strata, strict=True)
            ]
            yield (
                f"  {base}, {candidate}: {rates[0]:.2f}, {rates[1]:.2f} of {len(strata)}; "
                f"p {compute_cmh_p(strata):.2g}"
            )


def print_figures() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--suites", type=int, default=2_000, help="simulated suites per design")
    parser.add_argument("--brute", type=int, default=20, help="largest side for brute force")
    parser.add_argument("--published", type=Path, help="conversations.json.gz of published runs")
    options = parser.parse_args()
    parts = [
        _list_speeds(),
        _list_suites(options.suites),
        _list_changes(options.suites),
        _list_plans(),
        _list_boschloo(options.brute),
    ]
    if options.published:
        parts.append(_list_published(options.published, 10 * options.suites))
    for part in parts:
        for line in part:
            print(line, flush=True)


if __name__ == "__main__":
    print_figures()

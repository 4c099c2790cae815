"""Send simulated suites through the gate: how often is it red, with and without a real drop?"""

import argparse
import multiprocessing
import time
from collections import Counter
from random import Random

from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.suites.gate import (
    GateCase,
    Look,
    choose_rerun,
    choose_status,
    judge_cases,
    plan_looks,
)

CASES, DROPS = 20, 3
GOOD, BAD = 0.9, 0.5
BASELINE, ATTEMPTS, BUDGET = 50, 5, 250


def simulate(random: Random, drops: int) -> tuple[int, int, int]:
    """Return the exit status of one suite, how many drops were found, and the attempts."""
    rates = [BAD] * drops + [GOOD] * (CASES - drops)
    cases = [
        GateCase(str(number), ATTEMPTS, _draw(random, GOOD, BASELINE)) for number in range(CASES)
    ]
    planned = plan_looks(cases, BUDGET)
    keys, looks, used = [case.key for case in cases], [], 0
    while keys:
        looks.append(Look({key: _draw(random, rates[int(key)], ATTEMPTS) for key in keys}, {}))
        used += len(keys) * ATTEMPTS
        outcomes = judge_cases(cases, looks, planned=planned)
        keys = choose_rerun(outcomes, BUDGET - used) if len(looks) < planned else []
    found = sum(outcome.word == "worse" for outcome in outcomes[:drops])
    return choose_status(outcomes), found, used


def _draw(random: Random, rate: float, attempts: int) -> Counts:
    return Counts(sum(random.random() < rate for _ in range(attempts)), attempts)


def _simulate_many(job: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    seed, drops, count = job
    random = Random(seed)
    return [simulate(random, drops) for _ in range(count)]


def measure(suites: int, drops: int, seed: int = 1) -> tuple[Counter[int], float, float]:
    """Return the exit statuses, the share of drops found, and the mean number of attempts."""
    part = 100
    jobs = [(seed * 1_000 + number, drops, part) for number in range(suites // part)]
    with multiprocessing.Pool(2) as pool:
        results = [one for many in pool.map(_simulate_many, jobs) for one in many]
    statuses = Counter(status for status, _, _ in results)
    found = sum(found for _, found, _ in results) / max(1, drops * len(results))
    return statuses, found, sum(used for _, _, used in results) / len(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suites", type=int, default=2_000)
    suites = parser.parse_args().suites
    start = time.monotonic()
    for drops in (0, DROPS):
        statuses, found, used = measure(suites, drops)
        shares = {status: statuses[status] / suites for status in sorted(statuses)}
        print(f"{drops} of {CASES} cases fall from {GOOD} to {BAD}: statuses {shares},")
        print(f"  {found:.2f} of the drops proven, {used:.0f} attempts on average")
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()

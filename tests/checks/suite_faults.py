"""Apply random suites over every fault of the API: no duplicate, no lost edit, drift refused."""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.support.faulty_api import FAULTS
from tests.support.random_suites import World, run_round
from tests.support.stored_cases import running_case_store

ROUNDS_OF_A_WORLD = 6


async def check(applies: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Run this many rounds; return how many there were by fault, and what went wrong."""
    random = Random(seed)
    done: Counter[str] = Counter()
    wrong: list[str] = []
    async with running_case_store() as store:
        while done.total() < applies:
            store.cases.clear()
            with tempfile.TemporaryDirectory() as folder:
                world = World(Path(folder), store, random)
                for _ in range(ROUNDS_OF_A_WORLD):
                    fault = random.choice((*FAULTS, None))
                    faults = await run_round(world, fault)
                    wrong += [f"{fault}: {one}" for one in faults]
                    done[str(fault)] += 1
    return done, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applies", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.monotonic()
    done, wrong = asyncio.run(check(options.applies, options.seed))
    print(f"{done.total()} applies with a fault, {len(done)} kinds, {len(wrong)} wrong,")
    print(f"{time.monotonic() - start:.0f} s")
    for line in wrong[:20]:
        print(" ", line)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()

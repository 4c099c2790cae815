"""Holds the served sandbox to the OpenAPI file with schemathesis; `python -m tests.checks.conform CASES` prints its verdict."""

import re
import subprocess
import sys
from pathlib import Path

from sigmamind_mcp.sandbox import SANDBOX_KEY
from tests.support.processes import serving

OPENAPI = Path(__file__).parents[1] / "data" / "sigmamind-simulations.openapi.yaml"
CASES_PER_EXAMPLE = 25  # what one example of each operation comes to, all phases together


def conform(cases: int, seed: int) -> int:
    """Try about so many cases, all checks and phases; 0 when none failed and enough were tried."""
    with serving("sandbox") as url:
        command = [sys.executable, "-m", "schemathesis.cli", "run", str(OPENAPI), "--url", url]
        command += ["--header", f"X-API-Key: {SANDBOX_KEY}", "--seed", str(seed), "--no-color"]
        command += ["--max-examples", str(max(1, cases // CASES_PER_EXAMPLE))]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    tried = re.search(r"(\d+) generated", done.stdout)
    if done.returncode or not tried or int(tried.group(1)) < cases:
        print(done.stdout[-8000:], done.stderr[-2000:], sep="\n")
        return 1
    print(f"schemathesis: {tried.group(1)} cases, 0 failures")
    return 0


if __name__ == "__main__":
    sys.exit(conform(int(sys.argv[1]), seed=1))

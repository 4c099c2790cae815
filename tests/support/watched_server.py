"""Run the server with a watchdog; say at its end how long its event loop was blocked at most."""

import sys

from sigmamind_mcp.cli import main
from tests.support.loop_watchdog import LoopWatchdog

LONGEST_STEP = "longest step of the event loop, s of CPU"


def run_watched() -> int:
    """Run the command line and print the longest step to stderr."""
    watchdog = LoopWatchdog()
    with watchdog.watch("serve"):
        status = main()
    sys.stderr.write(f"{LONGEST_STEP} {watchdog.longest_step:.3f}\n")
    return status


if __name__ == "__main__":
    sys.exit(run_watched())

"""Record how long the event loop's thread works without giving another call its turn (R35)."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import thread_time

MOST_CPU_SECONDS = 1.0
SHOWN = 5


@dataclass
class LoopWatchdog:
    """Measures each step of the main thread's event loop in CPU time.

    Time on the clock depends on what else the machine does. `longest` has the longest step of
    each test that ran a server in this process, its client and the test itself included.
    """

    longest: dict[str, float] = field(default_factory=dict)
    runs_server: bool = False
    longest_step: float = 0.0

    @contextmanager
    def watch(self, test: str) -> Iterator[None]:
        """Record the longest step inside the block, if it runs a server."""
        self.runs_server, self.longest_step = False, 0.0
        run_step = asyncio.Handle._run
        watchdog, main_thread = self, threading.main_thread()

        def run_and_measure(handle: asyncio.Handle) -> None:
            if threading.current_thread() is not main_thread:
                return run_step(handle)
            started = thread_time()
            run_step(handle)
            watchdog.longest_step = max(watchdog.longest_step, thread_time() - started)
            return None

        asyncio.Handle._run = run_and_measure  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            asyncio.Handle._run = run_step  # type: ignore[method-assign]
            if self.runs_server:
                self.longest[test] = self.longest_step

    def list_lines(self) -> list[str]:
        """Return a line for each of the tests with the longest steps."""
        slowest = sorted(self.longest, key=lambda test: -self.longest[test])[:SHOWN]
        return [f"{self.longest[test] * 1000:6.0f} ms of CPU  {test}" for test in slowest]

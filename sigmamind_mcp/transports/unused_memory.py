"""Give memory that is no longer used back to the system, on a server of many callers.

Calls that are cancelled leave cycles of references, which Python rarely collects (GC_THRESHOLDS),
and the C library keeps what threads have freed.
"""

import gc
import sys
from collections.abc import Callable
from mmap import PAGESIZE
from pathlib import Path
from time import monotonic

import anyio
import anyio.to_thread

from sigmamind_mcp.transports.traffic import Traffic

CHECK_SECONDS = 1.0
GROWTH_BYTES = 4 * 2**20
"""So much more than after the last time is worth the pause."""
PAUSE_SECONDS = 30.0
"""While calls are in flight, and before it repeats itself, so much time lies between two times."""
WHOLE_PAUSE_SECONDS = 300.0
"""While calls run, old cycles are collected only so often: with the objects of a large diagnosis it
takes 400 ms, in which no caller gets an answer."""
REPEATS = 2
"""Connections may hold memory for up to 45 s after their calls."""
_STATM = Path("/proc/self/statm")


async def keep_returning_memory(traffic: Traffic) -> None:
    """Return memory when it has grown and no call is in flight; when busy, only now and then."""
    if sys.platform != "linux":
        return
    least, last, repeats = read_resident_bytes(), monotonic(), 0
    has_old_cycles, last_whole = False, monotonic()
    while True:
        await anyio.sleep(CHECK_SECONDS)
        size = read_resident_bytes()
        least = min(least, size)
        is_busy = traffic.calls > 0
        has_paused = monotonic() >= last + PAUSE_SECONDS
        has_grown = size >= least + GROWTH_BYTES
        if has_grown and (has_paused or not is_busy) or (has_old_cycles and not is_busy):
            repeats = REPEATS
        elif repeats and has_paused:
            repeats -= 1
        else:
            continue
        has_old_cycles = is_busy and monotonic() < last_whole + WHOLE_PAUSE_SECONDS
        await return_unused_memory(keep_old_cycles=has_old_cycles)
        last_whole = last_whole if has_old_cycles else monotonic()
        least, last = read_resident_bytes(), monotonic()


async def return_unused_memory(*, keep_old_cycles: bool = False) -> None:
    """Collect cycles of references, all or the young ones, and return free memory."""
    gc.collect(1 if keep_old_cycles else 2)
    await anyio.to_thread.run_sync(_trim_heaps)


def read_resident_bytes() -> int:
    """Return how much memory of this process is in RAM."""
    pages = int(_STATM.read_text(encoding="ascii").split()[1])
    return pages * PAGESIZE


def _trim_heaps() -> None:
    import ctypes

    # Only glibc has it, and only glibc needs it.
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)

"""Find out whether a write to the client would wait."""

import select
import sys


def takes_at_once(descriptor: int, line: bytes) -> bool:
    """Return whether this line can be written without waiting; on Windows it is never known."""
    # A pipe with any room has room for PIPE_BUF bytes (POSIX, write). A thread would take as long
    # as the rest of a small call.
    if sys.platform == "win32" or len(line) > select.PIPE_BUF:
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))

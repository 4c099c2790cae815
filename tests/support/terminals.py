"""Run a command in a pseudo-terminal, and read its screen."""

import os
import re
import struct
import subprocess
from contextlib import suppress

import pytest

from tests.support.processes import COMMAND, environment

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_in_terminal(*arguments: str, columns: int, **variables: str) -> tuple[int, list[str]]:
    """Return the exit status, and every line that was written, without colours."""
    # Windows has none of them.
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))
    outside, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in environment(**variables).items() if name != "COLUMNS"}
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=inside,
        stderr=inside,
        env={**env, "TERM": "xterm"},
    ) as process:
        os.close(inside)
        written = _read_all(outside)
        status = process.wait(60)
    os.close(outside)
    text = ESCAPES.sub("", written.decode("utf-8"))
    # A progress bar returns to the start of its line to write it again.
    return status, re.split(r"[\r\n]+", text)


def _read_all(terminal: int) -> bytes:
    """Read until the process has closed its end."""
    content = b""
    with suppress(OSError):  # Linux reports the end as an error
        while piece := os.read(terminal, 65_536):
            content += piece
    return content

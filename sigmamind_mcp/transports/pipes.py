"""The client's two pipes: bytes in, split into lines, and bytes out.

This loads the standard library only, so that a client can be read while the rest loads.
"""

import os
import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator

from sigmamind_mcp.errors import ConfigurationError

MAX_LINE_BYTES = 4 * 1024 * 1024
START_BYTES = 64 * 1024
END_BYTES = 2 * 1024
_CHUNK_BYTES = 64 * 1024


class Line:
    """One line, or only its start and its end if it is too long."""

    def __init__(self, start: bytearray | None = None) -> None:
        self.start = start or bytearray()
        self.end = b""
        self.is_whole = True

    def add(self, piece: bytes) -> None:
        if self.is_whole and len(self.start) + len(piece) <= MAX_LINE_BYTES:
            self.start += piece
            return
        if self.is_whole:
            self.is_whole = False
            self.end = bytes(self.start[-END_BYTES:])
            del self.start[START_BYTES:]
        self.end = (self.end + piece)[-END_BYTES:]

    def drop_mark(self) -> None:
        """Remove the byte order mark that some clients write before the first message."""
        if self.start.startswith(BOM_UTF8):
            del self.start[: len(BOM_UTF8)]


def split_lines(chunks: Iterable[bytes]) -> Iterator[Line]:
    """Split a stream of bytes into lines, without the blank ones."""
    line = Line()
    for chunk in chunks:
        *pieces, rest = chunk.split(b"\n")
        for piece in pieces:
            line.add(piece)
            line.drop_mark()
            if line.start.strip():
                yield line
            line = Line()
        line.add(rest)
    line.drop_mark()
    if line.start.strip():
        yield line


def claim_streams() -> tuple[int, int]:
    """Return private copies of stdin and stdout.

    After that, other code reads an empty stdin, and its prints go to stderr.

    Raises:
        ConfigurationError: the process has no stdin or stdout.
    """
    if sys.stdin is None or sys.stdout is None:
        raise ConfigurationError(
            "stdin or stdout is closed. Start sigmamind-mcp from an MCP client, which opens both."
        )
    devnull = os.open(os.devnull, os.O_RDWR)  # becomes descriptor 2 if stderr is closed
    stdin, stdout = os.dup(0), os.dup(1)
    os.dup2(devnull, 0)
    os.dup2(2, 1)
    return stdin, stdout


def read_chunks(descriptor: int) -> Iterator[bytes]:
    try:
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            yield chunk
    except OSError:  # for example, the terminal was closed
        return


def write_all(descriptor: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(descriptor, rest) :]

"""The opening of a stdio session: a client's first requests are answered while the SDK loads.

Imports take most of a server's start. This loads the standard library only, answers from the
record what it can, and then hands the same stream to the server, with everything that it was sent.
"""

import threading
from collections.abc import Callable, Iterable
from itertools import chain
from queue import SimpleQueue
from time import monotonic

from sigmamind_mcp.settings import Settings
from sigmamind_mcp.transports.early_answers import EarlyAnswer, EarlyAnswers
from sigmamind_mcp.transports.pipes import (
    Line,
    claim_streams,
    read_chunks,
    split_lines,
    write_all,
)

QUIET_SECONDS = 0.3
"""The imports wait this long after an early answer: a client that only lists is gone by then."""
END_SECONDS = 5.0
"""A write in flight has this long after the end of input."""

ServeLines = Callable[[Iterable[Line]], None]


class Opening:
    """Reads the client from the start of the process, until the server takes over."""

    def __init__(self, settings: Settings) -> None:
        """Start to answer.

        Raises:
            ConfigurationError: the process has no stdin or stdout.
        """
        self._answers = EarlyAnswers(settings)
        stdin, self.stdout = claim_streams()
        self._lines = split_lines(read_chunks(stdin))
        self._answered_lines: list[Line] = []
        self._quiet_since = monotonic()
        self._is_over = False
        self._has_input = self._has_reader = True
        self._lock = threading.Lock()  # between an early answer and the end of the opening
        self._server_needed = threading.Event()
        self._serve: SimpleQueue[ServeLines] = SimpleQueue()
        self._written: SimpleQueue[bytes | None] = SimpleQueue()
        # A client may read nothing, so the thread that reads never writes.
        self._writer = threading.Thread(target=self._write, name="stdout", daemon=True)
        self._writer.start()
        self.reader = threading.Thread(target=self._read, name="stdin", daemon=True)
        self.reader.start()

    def wait_until_needed(self) -> bool:
        """Wait until it is time to load the server; False if the client has left before."""
        while not self._server_needed.is_set():
            left = self._quiet_since + QUIET_SECONDS - monotonic()
            if left <= 0:
                return True
            # A short wait: a signal that comes just before it is noticed after it only.
            self._server_needed.wait(left)
        if self._has_input and self._has_reader:
            return True
        self.finish_writing(END_SECONDS)
        return False

    def end(self) -> list[Line]:
        """Give no more early answers, and return the lines that got one."""
        with self._lock:
            self._is_over = True
        return self._answered_lines

    @property
    def given(self) -> dict[int | str, EarlyAnswer]:
        """The early answers, by the id of their request."""
        return self._answers.given

    def hand_over(self, serve: ServeLines) -> None:
        """Let the thread that reads call `serve` with the lines without an early answer."""
        self._serve.put(serve)

    def finish_writing(self, seconds: float | None = None) -> bool:
        """Wait until the early answers are written; return whether the client reads them."""
        self._written.put(None)
        self._writer.join(seconds)
        return self._has_reader

    def _read(self) -> None:
        unanswered = []
        for line in self._lines:
            if not self._answer(line):
                unanswered.append(line)
                break
        self._has_input = bool(unanswered)
        self._server_needed.set()
        serve = self._serve.get()
        serve(chain(unanswered, self._lines))

    def _answer(self, line: Line) -> bool:
        with self._lock:
            answer = None if self._is_over else self._find_answer(line)
            if answer is None:
                return False
            self._answered_lines.append(line)
        self._written.put(answer)
        self._quiet_since = monotonic()
        return True

    def _find_answer(self, line: Line) -> bytes | None:
        try:
            return self._answers.answer(line)
        except Exception:
            # The server answers what the opening cannot. Without this thread nobody answers.
            return None

    def _write(self) -> None:
        try:
            for line in iter(self._written.get, None):
                write_all(self.stdout, line)
        except OSError:
            self._has_reader = False
            self._server_needed.set()

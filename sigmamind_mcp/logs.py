"""The log: JSON lines on stderr, without keys and conversations."""

import json
import logging
import sys
import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePath
from traceback import extract_tb

OURS = "sigmamind_mcp"
FRAMES_SHOWN = 8
LINES_WAITING = 1_000
FLUSH_SECONDS = 1.0
GATHER_SECONDS = 0.05


class JSONLines(logging.Formatter):
    """Formats each record as one line of JSON.

    Texts of other packages' records and of exceptions may hold a message, a URL or a key, so the
    line shows only where they come from.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
        }
        if record.name.partition(".")[0] == OURS:
            line["event"] = record.getMessage()
            line.update(getattr(record, "fields", {}))
        else:
            line["event"] = f"{record.name} at {record.module}:{record.lineno}"
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            frames = extract_tb(record.exc_info[2])[-FRAMES_SHOWN:]
            line["trace"] = [
                f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames
            ]
        return json.dumps(line)


class StderrHandler(logging.Handler):
    """Writes in its own thread, and drops lines while LINES_WAITING are waiting.

    Otherwise a client that never reads stderr would block every call.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[str] = deque()
        self._has_lines, self._is_urgent = threading.Event(), threading.Event()
        self._all_written = threading.Condition()
        threading.Thread(target=self._write, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._lines) >= LINES_WAITING:
            return
        self._lines.append(self.format(record))
        if not self._has_lines.is_set():
            self._has_lines.set()

    def flush(self) -> None:
        """Wait at most FLUSH_SECONDS until all lines are written; logging calls this at exit."""
        self._is_urgent.set()
        with self._all_written:
            self._all_written.wait_for(lambda: not self._lines, FLUSH_SECONDS)
        self._is_urgent.clear()

    def _write(self) -> None:
        while True:
            self._has_lines.wait()
            # To wake a thread for each line would take as long as the rest of a small call.
            self._is_urgent.wait(GATHER_SECONDS)
            self._has_lines.clear()
            while self._lines:
                _write_line(self._lines[0])
                self._lines.popleft()
            with self._all_written:
                self._all_written.notify_all()


def _write_line(line: str) -> None:
    if sys.stderr is None:  # without a console, as with pythonw
        return
    with suppress(OSError, ValueError):  # stderr is closed
        # One write, so that no other output splits the line.
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def set_up(level: str) -> None:
    """Log to stderr: our records from `level` up, those of other packages from warning up."""
    handler = StderrHandler()
    handler.setFormatter(JSONLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(OURS).setLevel(level.upper())

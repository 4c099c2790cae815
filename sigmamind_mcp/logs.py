"""The log: JSON lines on stderr that say what happened, and nothing of what was said."""

import json
import logging
import queue
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePath
from traceback import extract_tb

OURS = "sigmamind_mcp"
FRAMES_SHOWN = 8
LINES_WAITING = 1_000
FLUSH_SECONDS = 1.0


class JSONLines(logging.Formatter):
    """One line for each record. Of other packages' records only the place is shown.

    Their texts may hold a whole message, a URL or a key. An exception is told by its type and places alike.
    """

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
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


class Stderr(logging.Handler):
    """Writes in a thread of its own: a client that starts us and never reads our stderr would hold up every call.

    While LINES_WAITING wait, further ones are lost.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.Queue[str] = queue.Queue(LINES_WAITING)
        threading.Thread(target=self._write, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(queue.Full):
            self._lines.put_nowait(self.format(record))

    def flush(self) -> None:
        """Wait until the lines are written, for FLUSH_SECONDS at most; logging calls it at the end."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(
                lambda: not self._lines.unfinished_tasks, FLUSH_SECONDS
            )

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            with suppress(OSError, ValueError):  # nobody reads any more
                sys.stderr.write(
                    f"{line}\n"
                )  # at once, or what others print gets between the line and its end
                sys.stderr.flush()
            self._lines.task_done()


def set_up(level: str) -> None:
    """Send every log of this process to stderr as JSON lines: ours from `level` on, others' from warning on."""
    handler = Stderr()
    handler.setFormatter(JSONLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(OURS).setLevel(level.upper())

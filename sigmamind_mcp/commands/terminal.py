"""Write to a terminal or a pipe: sentences, errors, and how far a batch run is."""

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio.to_thread

from sigmamind_mcp.errors import NotAuthenticated, SigmaMindError
from sigmamind_mcp.suites.run_text import wrap_line
from sigmamind_mcp.suites.shown_text import disarm, show_text
from sigmamind_mcp.tools.call_context import ProgressReport

if TYPE_CHECKING:
    from rich.progress import TaskID

DONE = 0
FOUND = 1
FAILED = 2
INTERRUPTED = 130

ShowDecided = Callable[[str, int, int | None], None]
"""Takes a batch run's id, how many attempts are decided, and of how many if known."""


def tolerate_encodings() -> None:
    """Let characters that the output's encoding lacks become question marks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def run_to_status(command: Callable[[], int]) -> int:
    """Run a command, print its error, and return the exit status."""
    tolerate_encodings()
    try:
        return command()
    except SigmaMindError as exc:
        print_error(exc)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def print_wrapped(text: str) -> None:
    """Print a sentence, no line of it longer than the terminal is wide."""
    width = shutil.get_terminal_size().columns
    for line in wrap_line(text, width):
        print(disarm(line), flush=True)


def print_line(text: str, *, to_stderr: bool = False) -> None:
    """Print a line, broken at the width of a terminal, and whole into a pipe or a log."""
    stream = sys.stderr if to_stderr else sys.stdout
    lines = [text]
    if stream.isatty():
        lines = wrap_line(text, shutil.get_terminal_size().columns)
    for line in lines:
        print(disarm(line), file=stream, flush=True)


def print_error(exc: SigmaMindError) -> None:
    """Print an error to stderr, with what the API says in quotation marks."""
    for line in str(exc).splitlines():
        print_line(f"sigmamind-mcp: {line}", to_stderr=True)
    # Of a key that the API does not accept, our own text says all.
    reasons = {} if isinstance(exc, NotAuthenticated) else exc.upstream
    for name, reason in reasons.items():
        says = f"  the API says {show_text(name)}: {show_text(reason)}"
        print_line(says, to_stderr=True)


def is_person_there() -> bool:
    """Return whether standard input is a terminal."""
    return bool(sys.stdin and sys.stdin.isatty())


async def ask_for_yes(question: str) -> bool:
    """Ask on the terminal; only "yes" and "y" count as yes."""
    print(f"{question} Only 'yes' does: ", end="", flush=True)
    answer = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    return answer.strip().lower() in ("yes", "y")


@contextmanager
def show_decided_attempts() -> Iterator[ShowDecided]:
    """Show a bar on a terminal, and a line for each change elsewhere."""
    if not sys.stdout.isatty():
        seen: dict[str, int] = {}

        def print_change(batch_id: str, decided: int, expected: int | None) -> None:
            if seen.get(batch_id) != decided:
                seen[batch_id] = decided
                print(f"  {decided} of {expected or '?'} decided", flush=True)

        yield print_change
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(highlight=False)
    width = max(5, min(40, console.width - 30))
    columns = (BarColumn(width), MofNCompleteColumn(), TextColumn("decided"))
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def move_bar(batch_id: str, decided: int, expected: int | None) -> None:
            if batch_id not in tasks:
                tasks[batch_id] = bar.add_task("", total=expected)
            bar.update(tasks[batch_id], completed=decided, total=expected)

        yield move_bar


@contextmanager
def show_reading() -> Iterator[ProgressReport]:
    """Show on stderr what is being read, if it is a terminal."""
    if not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich.console import Console

    with Console(stderr=True).status("Reading the batch run") as status:

        async def show(done: float, total: float | None, message: str) -> None:
            status.update(message)

        yield show


async def ignore_progress(done: float, total: float | None, message: str) -> None:
    """Show nothing."""

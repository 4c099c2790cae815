"""Print sentences for a person at a terminal."""

import shutil

from sigmamind_mcp.suites.run_text import wrap_line
from sigmamind_mcp.suites.shown_text import disarm


def print_wrapped(text: str) -> None:
    """Print a sentence, no line of it longer than the terminal is wide."""
    width = shutil.get_terminal_size().columns
    for line in wrap_line(text, width):
        print(disarm(line), flush=True)

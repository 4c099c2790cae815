"""Run the server, and write the CPU seconds of each call of some functions to a file.

The environment has the file in TIMED_FILE, and in TIMED the functions: `module:name`, with commas
between them. It is run as a file, so that it also measures an earlier version of the package.
"""

import importlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _time_function(module_name: str, name: str, file: Path) -> None:
    module = importlib.import_module(module_name)
    function: Callable[..., Any] = getattr(module, name)

    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.thread_time()
        try:
            return function(*arguments, **options)
        finally:
            with file.open("a", encoding="ascii") as lines:
                lines.write(f"{time.thread_time() - began}\n")

    setattr(module, name, timed)


def main() -> int:
    """Wrap the functions, then serve on stdio."""
    for place in os.environ["TIMED"].split(","):  # noqa: TID251 - it is not a setting
        module_name, _, name = place.partition(":")
        _time_function(module_name, name, Path(os.environ["TIMED_FILE"]))  # noqa: TID251
    from sigmamind_mcp.cli import main as serve

    return serve([])


if __name__ == "__main__":
    sys.exit(main())

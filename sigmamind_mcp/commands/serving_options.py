"""The options of `sigmamind-mcp serve` and `sigmamind-mcp sandbox`."""

import argparse
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SERVE_DESCRIPTION = (
    "Serve MCP over HTTP: /mcp (Streamable HTTP), /sse with /messages/, /healthz and /readyz."
    " Each caller sends its own key, in X-API-Key or as Authorization: Bearer."
)
SANDBOX_DESCRIPTION = (
    "Serve the sandbox's REST API, for curl and other clients, and print its address and key."
)
# A longer batch run of the sandbox would end after weeks.
MAX_PACE = 100_000


def add_serve_options(serve: argparse.ArgumentParser) -> None:
    """Add what `serve` takes."""
    serve.description = SERVE_DESCRIPTION
    serve.add_argument("--host", default="127.0.0.1", help="address to bind (%(default)s)")
    serve.add_argument(
        "--port", type=int, default=8765, help="port to bind (%(default)s; 0 picks a free one)"
    )
    serve.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="HOST",
        help="a Host header to accept; repeatable",
    )
    serve.add_argument(
        "--allowed-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a browser Origin to accept; repeatable",
    )
    serve.add_argument(
        "--single-user",
        action="store_true",
        help="use SIGMAMIND_API_KEY for callers that send no key",
    )


def add_sandbox_options(sandbox: argparse.ArgumentParser) -> None:
    """Add what `sandbox` takes."""
    sandbox.description = SANDBOX_DESCRIPTION
    sandbox.add_argument(
        "--port", type=int, default=8766, help="port on loopback (%(default)s; 0 picks a free one)"
    )
    sandbox.add_argument(
        "--db", type=_parse_path, metavar="FILE", help="keep the data in this SQLite file"
    )
    # For tests of our own client; SandboxOptions explains them.
    hidden = argparse.SUPPRESS
    sandbox.add_argument("--older-pages", action="store_true", help=hidden)
    sandbox.add_argument("--no-run-list", action="store_true", help=hidden)
    sandbox.add_argument("--live-definitions", action="store_true", help=hidden)
    sandbox.add_argument("--pace", type=_parse_pace, default=1.0, help=hidden)


def _parse_path(text: str) -> "Path":
    from pathlib import Path  # most starts that parse options need no path

    return Path(text)


def _parse_pace(text: str) -> float:
    """Parse the factor for the duration of attempts; 0 ends them at once."""
    with suppress(ValueError):
        pace = float(text)
        if 0 <= pace <= MAX_PACE:  # false for nan
            return pace
    raise argparse.ArgumentTypeError(f"must be a number from 0 to {MAX_PACE:,}")

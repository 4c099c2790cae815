"""The command line: which of the servers, the sandbox, the demo, the doctor or the links, and with what settings."""

import argparse
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sigmamind_mcp import __version__, logs
from sigmamind_mcp.errors import ConfigurationError, SigmaMindError
from sigmamind_mcp.settings import LOG_LEVELS, Settings

ENVIRONMENT = """\
environment:
  SIGMAMIND_API_KEY           the key, from the dashboard (Deploy, API Keys)
  SIGMAMIND_AGENT_ID          the agent that is meant when a call names none
  SIGMAMIND_BASE_URL          the API's address (https://api.sigmamind.ai)
  SIGMAMIND_SANDBOX           true does as --sandbox does, which needs no key
  SIGMAMIND_READ_ONLY         true hides the tools that create or change
  SIGMAMIND_CONFIRM_ATTEMPTS  a batch run of more attempts needs a yes (50)
  SIGMAMIND_LOG_LEVEL         debug, info, warning or error, on stderr
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 when it failed, 2 when it could not start."""
    options = _parser().parse_args(argv)
    try:
        status: int | None = options.run(options)
        return status or 0
    except SigmaMindError as exc:
        print(f"sigmamind-mcp: {exc}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # nobody reads on, as after `doctor | head`
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the flush at the end would meet it again
        return 1
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    # Options stand before or after the command, so a subcommand must not reset what came before it.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument(
        "--sandbox", action="store_true", help="use the embedded sandbox; no key needed"
    )
    common.add_argument(
        "--read-only", action="store_true", help="hide the tools that create or change"
    )
    common.add_argument(
        "--log-level", choices=LOG_LEVELS, help="what to log on stderr (info: a line per call)"
    )

    parser = argparse.ArgumentParser(
        prog="sigmamind-mcp",
        description="MCP server for simulations of SigmaMind agents. Without a command it serves\n"
        "stdio, which is how desktop clients and editors start it.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"sigmamind-mcp {__version__}")
    parser.set_defaults(run=_run_stdio)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        parents=[common],
        help="serve MCP over HTTP: /mcp, /sse, /healthz, /readyz; each caller brings its key",
        description="Serves MCP over HTTP: /mcp (Streamable HTTP), /sse with /messages/, /healthz and /readyz."
        " Each caller brings its own key in the X-API-Key header.",
    )
    serve.add_argument("--host", default="127.0.0.1", help="address to bind (%(default)s)")
    serve.add_argument(
        "--port", type=int, default=8765, help="port to bind (%(default)s; 0 picks a free one)"
    )
    serve.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="HOST",
        help="a Host header to answer; repeatable",
    )
    serve.add_argument(
        "--allowed-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a browser Origin; repeatable",
    )
    serve.add_argument(
        "--single-user",
        action="store_true",
        help="lend SIGMAMIND_API_KEY to callers that bring no key",
    )
    serve.set_defaults(run=_run_http)

    sandbox = commands.add_parser(
        "sandbox",
        help="serve the sandbox's REST API itself, for curl and other clients",
        description="Serves the sandbox's REST API itself, for curl and other clients, and prints its address and key.",
    )
    sandbox.add_argument(
        "--port", type=int, default=8766, help="port on loopback (%(default)s; 0 picks a free one)"
    )
    sandbox.add_argument(
        "--db", type=Path, metavar="FILE", help="keep its data in this SQLite file"
    )
    sandbox.add_argument(
        "--older-pages",
        action="store_true",
        help="answer as the older API pages show: bare lists, isSuccesful, no labels or conversations",
    )
    sandbox.add_argument(
        "--no-run-list",
        action="store_true",
        help="answer 404 to GET /v1/test-runs, which no page documents",
    )
    sandbox.add_argument(
        "--live-definitions",
        action="store_true",
        help="old batch runs show test cases as they are now",
    )
    sandbox.add_argument(
        "--pace", type=float, default=1.0, help="how many times as long attempts take (%(default)s)"
    )
    sandbox.set_defaults(run=_run_sandbox)

    demo = commands.add_parser(
        "demo",
        help="the whole loop against the sandbox, in under 30 seconds",
        description="Runs the whole loop against the sandbox, in under 30 seconds. It takes no account, key or option.",
    )
    demo.set_defaults(run=_run_demo)

    doctor = commands.add_parser(
        "doctor",
        parents=[common],
        help="say whether key, host, clock and version are right, and what to do",
        description="Checks the version, the settings, the key, the API, the clock and the start\n"
        "of the server, one line each. Reads from the API, at most twice; prints no key.\n"
        "Exit status: 0 when all is right, 1 when something is to mend.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.set_defaults(run=_run_doctor)

    links = commands.add_parser(
        "links",
        parents=[common],
        help="links that add the server to Cursor, VS Code, LM Studio or Goose",
        description="Prints links by which Cursor, VS Code, LM Studio or Goose adds the server that is installed here,"
        " or a shared one. They hold no key.",
    )
    links.add_argument("--url", help="of a shared server, such as https://mcp.example.com/mcp")
    links.set_defaults(run=_run_links)
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    given = {name: getattr(options, name, None) for name in ("sandbox", "read_only", "log_level")}
    settings = Settings.from_env(os.environ, **given)  # noqa: TID251 - handed to the only reader
    logs.set_up(settings.log_level)
    return settings


@contextmanager
def _kept() -> Iterator[None]:
    """Import without looking for garbage, then or later, in what stays: the looking is a tenth of the start."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def _run_stdio(options: argparse.Namespace) -> None:
    settings = _settings(options)
    if sys.stdin and sys.stdin.isatty():
        print(
            "sigmamind-mcp: waiting for an MCP client on stdin, which a terminal is not. Ctrl-C ends it; --help lists"
            " the commands, of which demo is for people.",
            file=sys.stderr,
        )
    with _kept():
        if not settings.sandbox:
            from sigmamind_mcp.api.pool import certificates

            certificates()  # are read while the rest loads, or the first call would wait for them
        from sigmamind_mcp.commands.backend import select_api
        from sigmamind_mcp.transports.stdio import serve_stdio
    serve_stdio(settings, select_api(settings))


def _run_http(options: argparse.Namespace) -> None:
    settings = _settings(options)
    if not options.single_user and (settings.api_key or settings.agent_id):
        print(
            "sigmamind-mcp: serve ignores SIGMAMIND_API_KEY and SIGMAMIND_AGENT_ID, because each caller brings"
            " its own; --single-user uses them.",
            file=sys.stderr,
        )
        settings = settings.model_copy(update={"api_key": None, "agent_id": None})
    from functools import partial

    with _kept():
        import anyio

        from sigmamind_mcp.commands.backend import select_api
        from sigmamind_mcp.transports.http import serve_http
    anyio.run(
        partial(
            serve_http,
            settings,
            select_api(settings),
            host=options.host,
            port=options.port,
            allowed_hosts=options.allowed_host,
            allowed_origins=options.allowed_origin,
            single_user=options.single_user,
        )
    )


def _run_sandbox(options: argparse.Namespace) -> None:
    import anyio

    from sigmamind_mcp.sandbox import SANDBOX_KEY, SandboxOptions, create_app
    from sigmamind_mcp.transports.uvicorn_server import bind, serve

    logs.set_up("warning")
    knobs = SandboxOptions(
        older_pages=options.older_pages,
        run_list=not options.no_run_list,
        live_definitions=options.live_definitions,
        pace=options.pace,
    )
    with bind("127.0.0.1", options.port) as bound:
        try:
            app = create_app(db=options.db, key=SANDBOX_KEY, knobs=knobs)
        except ValueError as exc:
            raise ConfigurationError(f"{exc}. Name another with --db.") from None
        print(
            f"Sandbox (scripted): http://127.0.0.1:{bound.getsockname()[1]}/v1   X-API-Key: {SANDBOX_KEY}",
            flush=True,
        )
        anyio.run(serve, app, bound)


def _run_demo(options: argparse.Namespace) -> int:
    from sigmamind_mcp.commands.demo import run_demo

    return run_demo()


def _run_doctor(options: argparse.Namespace) -> int:
    logs.set_up("error")
    from sigmamind_mcp.commands.doctor import run_doctor

    given = {name: getattr(options, name, None) for name in ("sandbox", "read_only")}
    return run_doctor(os.environ, **given)  # noqa: TID251 - handed to the only reader


def _run_links(options: argparse.Namespace) -> None:
    from sigmamind_mcp.commands.install_links import print_links

    given = {name: getattr(options, name, False) for name in ("sandbox", "read_only")}
    print_links(url=options.url, **given)

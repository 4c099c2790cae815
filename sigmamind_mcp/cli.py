"""The command line: parse the options, load the settings and run one command."""

import argparse
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sigmamind_mcp import __version__
from sigmamind_mcp.commands.help_text import WrappedLines
from sigmamind_mcp.errors import ConfigurationError, SigmaMindError
from sigmamind_mcp.settings import LOG_LEVELS, Settings

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

GC_THRESHOLDS = (20_000, 5, 500)
INTERRUPTED = 130
"""The status of an interrupted command, as shells have it; a server ends with 0."""
SERVER_FLAGS = {"--sandbox": "sandbox", "--read-only": "read_only"}
"""The options of a server over stdio that have no value."""
ENVIRONMENT = """\
environment:
  SIGMAMIND_API_KEY           the key, from the dashboard (Deploy, API Keys)
  SIGMAMIND_AGENT_ID          the default agent, for calls that name none
  SIGMAMIND_BASE_URL          the API's address (https://api.sigmamind.ai)
  SIGMAMIND_SANDBOX           true is the same as --sandbox
  SIGMAMIND_READ_ONLY         true is the same as --read-only
  SIGMAMIND_CONFIRM_ATTEMPTS  ask before more attempts within an hour (50)
  SIGMAMIND_VIEWER            false shows no page under answers (true)
  SIGMAMIND_LOG_LEVEL         debug, info, warning or error, on stderr
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    The status is 0 for success, 1 for a failure, and 2 for a command that could not start.
    """
    if sys.stderr is None:  # print would write errors to stdout instead
        sys.stderr = open(os.devnull, "w", encoding="utf-8")
    words = sys.argv[1:] if argv is None else argv
    has_options = not {"suite", "report", "watch"}.isdisjoint(words)
    is_command = has_options or not {"demo", "doctor", "links"}.isdisjoint(words)
    with _exit_on_early_signals(INTERRUPTED if is_command else 0) as leave_signals:
        options = parse_options(words, with_all_options=has_options)
        if argv is None and options.execute is _execute_serve:
            from sigmamind_mcp.commands.allocator import restart_with_malloc

            restart_with_malloc(os.environ)  # noqa: TID251 - the new process inherits it
        if not options.serves:
            leave_signals()
        return _execute(options)


def parse_options(words: Sequence[str], *, with_all_options: bool) -> argparse.Namespace:
    # To build the parser takes longer than to answer a client's first requests.
    if all(word in SERVER_FLAGS for word in words):
        flags = {SERVER_FLAGS[word]: True for word in words}
        return argparse.Namespace(execute=_execute_stdio, serves=True, has_statuses=False, **flags)
    return build_parser(with_all_options=with_all_options).parse_args(words)


def _execute(options: argparse.Namespace) -> int:
    try:
        if sys.stdout is None and not options.serves:
            raise ConfigurationError("stdout is closed, and the command writes its result there.")
        status: int | None = options.execute(options)
        return status or 0
    except SigmaMindError as exc:
        from sigmamind_mcp.commands.terminal import print_error

        print_error(exc)
        return 2
    except BrokenPipeError:  # the reader closed the pipe, as in `doctor | head`
        return _discard_output(options)
    except OSError as exc:  # for a command: most often its output's disk is full
        if options.serves:
            raise
        print(f"sigmamind-mcp: {exc}", file=sys.stderr)
        return _discard_output(options)
    except KeyboardInterrupt:
        return 0 if options.serves else INTERRUPTED


def _discard_output(options: argparse.Namespace) -> int:
    """Drop what could not be written, and return the exit status."""
    # The flush at exit would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # A 1 of these would be a result.
    return 2 if options.has_statuses else 1


@contextmanager
def _exit_on_early_signals(status: int) -> Iterator[Callable[[], None]]:
    """End on a signal that comes before the server is ready; yield the undoing."""
    # Until the server runs, nothing is in flight. Most of its start is the imports of libraries.
    # A shell starts its background jobs with SIGINT ignored; Ctrl+C ends a command there, too.
    earlier = {
        signal.SIGTERM: signal.getsignal(signal.SIGTERM),
        signal.SIGINT: signal.default_int_handler,
    }

    def leave_signals() -> None:
        for number, handler in earlier.items():
            signal.signal(number, handler)

    is_main_thread = threading.current_thread() is threading.main_thread()
    if not is_main_thread:  # Python sets handlers in the main thread only
        earlier.clear()
    for number in earlier:
        signal.signal(number, lambda *_: os._exit(status))
    try:
        yield leave_signals
    finally:
        leave_signals()


def build_parser(*, with_all_options: bool = True) -> argparse.ArgumentParser:
    """Build the parser; each command stores its function as `execute`."""
    common = _build_common_options()
    parser = argparse.ArgumentParser(
        prog="sigmamind-mcp",
        description="MCP server for simulations of SigmaMind agents. Without a command it serves\n"
        "MCP over stdio, for desktop clients and editors.",
        epilog=ENVIRONMENT,
        formatter_class=WrappedLines,
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"sigmamind-mcp {__version__}")
    parser.set_defaults(execute=_execute_stdio, serves=True, has_statuses=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_serve(commands, common)
    _add_sandbox(commands)
    _add_demo(commands)
    _add_doctor(commands, common)
    _add_links(commands, common)
    _add_report(commands, common, with_options=with_all_options)
    _add_watch(commands, common, with_options=with_all_options)
    _add_suite(commands, common, with_commands=with_all_options)
    return parser


def _build_common_options() -> argparse.ArgumentParser:
    # A common option may come before or after the command. SUPPRESS sets no default, so the
    # command's parser does not reset what came before it.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument(
        "--sandbox", action="store_true", help="use the embedded sandbox; needs no key"
    )
    common.add_argument(
        "--read-only", action="store_true", help="hide the tools that create or change"
    )
    common.add_argument(
        "--log-level", choices=LOG_LEVELS, help="what to log on stderr (info: one line per call)"
    )
    return common


def _add_serve(commands: "Subparsers", common: argparse.ArgumentParser) -> None:
    from sigmamind_mcp.commands.serving_options import add_serve_options

    serve = commands.add_parser(
        "serve",
        parents=[common],
        help="serve MCP over HTTP; each caller sends its own key",
    )
    add_serve_options(serve)
    serve.set_defaults(execute=_execute_serve, serves=True)


def _add_sandbox(commands: "Subparsers") -> None:
    from sigmamind_mcp.commands.serving_options import add_sandbox_options

    sandbox = commands.add_parser(
        "sandbox",
        help="serve the sandbox's REST API, for curl and other clients",
    )
    add_sandbox_options(sandbox)
    sandbox.set_defaults(execute=_execute_sandbox, serves=True)


def _add_demo(commands: "Subparsers") -> None:
    demo = commands.add_parser(
        "demo",
        help="show the whole loop in the sandbox, in under 30 seconds",
        description="Show the whole loop in the sandbox, in under 30 seconds. It needs no"
        " account, key or option.",
    )
    demo.add_argument(
        "--ci", action="store_true", help="show a gate for CI instead: green for noise, then red"
    )
    demo.set_defaults(execute=_execute_demo, serves=False)


def _add_doctor(commands: "Subparsers", common: argparse.ArgumentParser) -> None:
    doctor = commands.add_parser(
        "doctor",
        parents=[common],
        help="check the settings, key, API, clock and start of the server",
        description="Check the settings, the key, the API, the clock and the start of the server,\n"
        "and print one line for each. Sends at most two requests, both reads; prints no\n"
        "key. Exit status: 0 without problems, 1 with problems.",
        formatter_class=WrappedLines,
    )
    doctor.set_defaults(execute=_execute_doctor, serves=False)


def _add_links(commands: "Subparsers", common: argparse.ArgumentParser) -> None:
    links = commands.add_parser(
        "links",
        parents=[common],
        help="print links that add the server to Cursor, VS Code, LM Studio or Goose",
        description="Print links that add this server, or a shared one, to Cursor, VS Code,"
        " LM Studio or Goose. They contain no key.",
    )
    links.add_argument(
        "--url", help="address of a shared server, such as https://mcp.example.com/mcp"
    )
    links.set_defaults(execute=_execute_links, serves=False)


def _add_report(
    commands: "Subparsers", common: argparse.ArgumentParser, *, with_options: bool
) -> None:
    report = commands.add_parser(
        "report", parents=[common], help="write a batch run as one page to share"
    )
    if with_options:
        from sigmamind_mcp.commands.reading_options import add_report_options

        add_report_options(report)
    report.set_defaults(execute=_execute_report, serves=False, has_statuses=True)


def _add_watch(
    commands: "Subparsers", common: argparse.ArgumentParser, *, with_options: bool
) -> None:
    watch = commands.add_parser(
        "watch", parents=[common], help="follow a batch run until it ends, and sum it up"
    )
    if with_options:
        from sigmamind_mcp.commands.reading_options import add_watch_options

        add_watch_options(watch)
    watch.set_defaults(execute=_execute_watch, serves=False, has_statuses=True)


def _add_suite(
    commands: "Subparsers", common: argparse.ArgumentParser, *, with_commands: bool
) -> None:
    suite = commands.add_parser("suite", help="keep test cases in a file, and test a change in CI")
    if with_commands:
        from sigmamind_mcp.commands.suite_options import add_suite_commands

        add_suite_commands(suite, common)
    suite.set_defaults(execute=_execute_suite, serves=False, has_statuses=True)


def _load_settings(options: argparse.Namespace) -> Settings:
    return Settings.from_env(
        os.environ,  # noqa: TID251 - handed to the only reader
        sandbox=getattr(options, "sandbox", None),
        read_only=getattr(options, "read_only", None),
        log_level=getattr(options, "log_level", None),
    )


def _set_up_logs(level: str) -> None:
    from sigmamind_mcp import logs

    logs.set_up(level)


@contextmanager
def _pause_garbage_collection() -> Iterator[None]:
    """Disable the garbage collector during imports and freeze what they allocate."""
    # This saves 10 % of the start-up time.
    gc.disable()
    yield
    gc.freeze()
    gc.enable()
    # Thousands of records would set off hundreds of collections, which find nothing to free. And
    # one that looks at 1,000,000 objects holds all threads for 300 ms.
    gc.set_threshold(*GC_THRESHOLDS)


def _execute_stdio(options: argparse.Namespace) -> None:
    settings = _load_settings(options)
    if sys.stdin and sys.stdin.isatty():
        print(
            "sigmamind-mcp: waiting for an MCP client on stdin, but stdin is a terminal."
            " Press Ctrl-C to stop. --help lists the commands; try demo.",
            file=sys.stderr,
        )
    from sigmamind_mcp.transports.opening import Opening

    opening = Opening(settings)
    if not opening.wait_until_needed():
        return
    with _pause_garbage_collection():
        _set_up_logs(settings.log_level)
        if not settings.sandbox:
            from sigmamind_mcp.api.pool import load_certificates

            # A thread reads them during the imports below. Otherwise the first call waits for them.
            load_certificates()
        from sigmamind_mcp.commands.backend import select_api
        from sigmamind_mcp.transports.stdio import serve_stdio
    serve_stdio(settings, select_api(settings), opening)


def _execute_serve(options: argparse.Namespace) -> None:
    settings = _load_settings(options)
    _set_up_logs(settings.log_level)
    if not options.single_user and (settings.api_key or settings.agent_id):
        print(
            "sigmamind-mcp: serve ignores SIGMAMIND_API_KEY and SIGMAMIND_AGENT_ID, because each"
            " caller sends its own. --single-user uses them.",
            file=sys.stderr,
        )
        settings = settings._replace(api_key=None, agent_id=None)
    from functools import partial

    with _pause_garbage_collection():
        import anyio

        from sigmamind_mcp.commands.backend import select_api
        from sigmamind_mcp.transports.http import serve_http
    serve = partial(
        serve_http,
        settings,
        select_api(settings),
        host=options.host,
        port=options.port,
        allowed_hosts=options.allowed_host,
        allowed_origins=options.allowed_origin,
        single_user=options.single_user,
    )
    anyio.run(serve)


def _execute_sandbox(options: argparse.Namespace) -> None:
    import anyio

    from sigmamind_mcp.sandbox import SANDBOX_KEY, SandboxOptions, create_app
    from sigmamind_mcp.transports.access import AllowList, list_loopback_hosts
    from sigmamind_mcp.transports.traffic import CallLimiter, Traffic
    from sigmamind_mcp.transports.uvicorn_server import bind, serve

    _set_up_logs("warning")
    sandbox_options = SandboxOptions(
        older_pages=options.older_pages,
        run_list=not options.no_run_list,
        live_definitions=options.live_definitions,
        pace=options.pace,
    )
    with bind("127.0.0.1", options.port) as listener:
        try:
            app = create_app(db=options.db, key=SANDBOX_KEY, options=sandbox_options)
        except ValueError as exc:
            raise ConfigurationError(f"{exc}. Choose another file with --db.") from None
        port = listener.getsockname()[1]
        app.add_middleware(CallLimiter, traffic=Traffic())
        # A page in the user's browser can send requests to loopback, and the key is no secret.
        hosts = frozenset(list_loopback_hosts(port))
        origins = frozenset(f"http://{host}" for host in hosts)
        app.add_middleware(AllowList, hosts=hosts, origins=origins)
        url = f"http://127.0.0.1:{port}/v1"
        print(f"Sandbox (scripted): {url}   X-API-Key: {SANDBOX_KEY}", flush=True)
        anyio.run(serve, app, listener)


def _execute_demo(options: argparse.Namespace) -> int:
    if options.ci:
        from sigmamind_mcp.commands.demo_ci import run_ci_demo

        return run_ci_demo(os.environ)  # noqa: TID251 - its processes inherit it
    from sigmamind_mcp.commands.demo import run_demo

    return run_demo()


def _execute_doctor(options: argparse.Namespace) -> int:
    _set_up_logs("error")
    from sigmamind_mcp.commands.doctor import run_doctor

    given = {name: getattr(options, name, None) for name in ("sandbox", "read_only")}
    return run_doctor(os.environ, **given)  # noqa: TID251 - handed to the only reader


def _execute_links(options: argparse.Namespace) -> None:
    from sigmamind_mcp.commands.install_links import print_links

    print_links(
        url=options.url,
        sandbox=getattr(options, "sandbox", False),
        read_only=getattr(options, "read_only", False),
    )


def _execute_report(options: argparse.Namespace) -> int:
    settings = _load_quiet_settings(options)
    from sigmamind_mcp.commands.report import run_report

    return run_report(options, settings)


def _execute_watch(options: argparse.Namespace) -> int:
    settings = _load_quiet_settings(options)
    from sigmamind_mcp.commands.watch import run_watch

    return run_watch(options, settings)


def _load_quiet_settings(options: argparse.Namespace) -> Settings:
    options.log_level = getattr(options, "log_level", "error")
    settings = _load_settings(options)
    _set_up_logs(settings.log_level)
    return settings


def _execute_suite(options: argparse.Namespace) -> int:
    settings = _load_quiet_settings(options)
    from sigmamind_mcp.commands.suite import run_suite
    from sigmamind_mcp.commands.suite_options import CIEnvironment

    options.ci = CIEnvironment.read(os.environ)  # noqa: TID251 - handed to the only reader
    return run_suite(options, settings)

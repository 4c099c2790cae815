"""The options of `sigmamind-mcp suite`."""

import argparse
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sigmamind_mcp.commands.help_text import WrappedLines

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

MOST_MINUTES = 10_000
DESCRIPTION = """\
Keep test cases in a file, and test an agent before its change is merged.
docs/ci.md shows it step by step. Commit the file and its lock, suite.lock.json:
it says which stored test case each key is, and what was applied last.
"""
STATUSES = """\
exit status:
  0    done, or nothing to do
  1    check: findings; apply and pull: refused, because both sides changed;
       plan --exit-code: changes
  2    a bad file or setting, or the API failed
  130  interrupted; the same command completes the work
  run has its own; see run --help
"""
RUN_STATUSES = """\
exit status:
  0    passed: no case is proven worse than its baseline or below its bar
  1    a case is proven worse, or proven below its bar
  2    it could not start, or the chosen baseline cannot be read
  3    a case is still open, only suspect, or without any verdict
  4    broken: stalled, undecided attempts, or the timeout
  130  interrupted; --resume continues
"""


class CIEnvironment(NamedTuple):
    """What a CI system says about itself."""

    is_ci: bool
    is_github: bool
    step_summary: str | None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "CIEnvironment":
        is_ci = environ.get("CI", "").strip().lower() not in ("", "0", "false")
        is_github = environ.get("GITHUB_ACTIONS") == "true"
        return cls(is_ci, is_github, environ.get("GITHUB_STEP_SUMMARY") or None)


def add_suite_commands(suite: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """Add the commands of `suite`; each stores its name as `suite_command`."""
    suite.description = DESCRIPTION
    suite.epilog = STATUSES
    suite.formatter_class = WrappedLines
    commands = suite.add_subparsers(
        title="commands", metavar="COMMAND", dest="suite_command", required=True
    )
    shared = _build_shared_options(common)
    _add_pull(commands, shared)
    _add_check(commands, shared)
    _add_plan(commands, shared)
    _add_apply(commands, shared)
    _add_gate(commands, shared)
    _add_import(commands)
    commands.add_parser("schema", help="print the JSON Schema of the file, for editors")


def _build_shared_options(common: argparse.ArgumentParser) -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, parents=[common])
    shared.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=Path("suite.yaml"),
        metavar="FILE",
        help="the suite (%(default)s)",
    )
    shared.add_argument(
        "--agent", metavar="ID", help="the agent, instead of the file's or SIGMAMIND_AGENT_ID"
    )
    shared.add_argument(
        "--lock", type=Path, metavar="FILE", help="the lock (suite.lock.json next to the suite)"
    )
    return shared


def _add_pull(commands: "Subparsers", shared: argparse.ArgumentParser) -> None:
    pull = commands.add_parser(
        "pull",
        parents=[shared],
        help="write the agent's stored test cases to the file",
        description="Write the agent's stored test cases to the file, and the lock. An existing"
        " file keeps its comments, its order and what is not stored, such as bars.",
    )
    pull.add_argument(
        "--overwrite", action="store_true", help="replace edits of the file that were not applied"
    )


def _add_check(commands: "Subparsers", shared: argparse.ArgumentParser) -> None:
    check = commands.add_parser(
        "check",
        parents=[shared],
        help="look for faults of the cases before they cost money",
        description="Look for vague criteria, missing goals, unfit mock data and duplicates, in"
        " the file and against the agent. Stores and runs nothing.",
    )
    check.add_argument("--offline", action="store_true", help="do not read the agent")
    check.add_argument(
        "--allow-advice", action="store_true", help="exit with 0 if there is only advice"
    )


def _add_plan(commands: "Subparsers", shared: argparse.ArgumentParser) -> None:
    plan = commands.add_parser(
        "plan",
        parents=[shared],
        help="show what apply would store, field by field",
        description="Show what apply would store, field by field, before and after. Stores"
        " nothing.",
    )
    plan.add_argument("--exit-code", action="store_true", help="exit with 1 if there are changes")


def _add_apply(commands: "Subparsers", shared: argparse.ArgumentParser) -> None:
    apply = commands.add_parser(
        "apply",
        parents=[shared],
        help="store the cases of the file",
        description="Show the plan, ask for a yes, and store it: each write once, nothing is"
        " deleted. After a failure the same command completes the work.",
    )
    apply.add_argument("--yes", action="store_true", help="do not ask; needed without a terminal")
    apply.add_argument(
        "--overwrite",
        action="store_true",
        help="replace what was changed in the dashboard since the last apply",
    )
    apply.add_argument(
        "--retire",
        action="store_true",
        help="rename the stored cases that left the file to 'retired: …'",
    )


def _add_gate(commands: "Subparsers", shared: argparse.ArgumentParser) -> None:
    run = commands.add_parser(
        "run",
        parents=[shared],
        help="run the cases, and fail if the agent is proven worse than before",
        description="Run all cases of the file, compare them with earlier batch runs of the same\n"
        "definition, and run those again that are open, in up to 4 looks within the\n"
        "budget.",
        epilog=RUN_STATUSES,
        formatter_class=WrappedLines,
    )
    run.add_argument(
        "--max-attempts",
        type=_parse_positive,
        metavar="N",
        help="the budget, and the consent to its cost; needed in CI",
    )
    run.add_argument("--dry-run", action="store_true", help="show cases, attempts and cost only")
    run.add_argument("--apply", action="store_true", help="store the file first, if it changed")
    run.add_argument("--fail-on", choices=["suspect"], help="exit with 1 also for a suspect case")
    run.add_argument(
        "--allow-undecided",
        type=_parse_count,
        default=0,
        metavar="N",
        help="attempts without a verdict that do not break the run (%(default)s)",
    )
    run.add_argument(
        "--timeout",
        type=_parse_minutes,
        default=60.0,
        metavar="MINUTES",
        help="how long to wait for all looks (60)",
    )
    run.add_argument(
        "--resume",
        metavar="ID[,ID]",
        help="continue an interrupted run by the ids of its batch runs, in their order",
    )
    run.add_argument(
        "--baseline",
        action="append",
        metavar="ID",
        help="compare with this batch run instead of the lock's; repeatable",
    )
    run.add_argument(
        "--bless",
        action="store_true",
        help="add this run to the baseline in the lock, unless it fails; for nightly runs",
    )
    run.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    run.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    run.add_argument("--report", type=Path, metavar="FILE", help="write a page to share, offline")
    run.add_argument("--summary", type=Path, metavar="FILE", help="write a summary in Markdown")


def _parse_positive(text: str) -> int:
    number = _parse_count(text)
    if number:
        return number
    raise argparse.ArgumentTypeError("must be 1 or more")


def _parse_minutes(text: str) -> float:
    with suppress(ValueError):
        minutes = float(text)
        if 0 < minutes <= MOST_MINUTES:  # false for nan
            return minutes
    raise argparse.ArgumentTypeError(f"must be a number of minutes, at most {MOST_MINUTES:,}")


def _parse_count(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    raise argparse.ArgumentTypeError("must be a whole number, 0 or more")


def _add_import(commands: "Subparsers") -> None:
    importer = commands.add_parser(
        "import",
        help="make a suite from LiveKit or Pipecat scenarios",
        description="Make a suite from a LiveKit scenarios.yaml or from Pipecat scenario files,"
        " and say what could not be carried over.",
    )
    importer.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help="a scenario file")
    importer.add_argument(
        "--output",
        type=Path,
        default=Path("suite.yaml"),
        metavar="FILE",
        help="the new suite (%(default)s); an existing file is not replaced",
    )
    importer.add_argument("--agent", metavar="ID", help="the agent to write into the suite")

"""The options of `sigmamind-mcp report` and `sigmamind-mcp watch`."""

import argparse

from sigmamind_mcp.commands.help_text import WrappedLines

REPORT_DESCRIPTION = """\
Write a batch run as one offline page, to attach, mail or print:
  sigmamind-mcp report batch_123 > report.html
It shows prompts, criteria, remarks and the ids of all test runs. Conversations
and mock data can be personal: only --transcripts adds them.
"""
REPORT_STATUSES = """\
exit status:
  0    the report is complete
  1    a part could not be read; the report and stderr say which
  2    nothing was written: a bad option, or the API failed
  130  interrupted
"""
WATCH_DESCRIPTION = """\
Follow a batch run until it ends, and print a summary. It reads only: Ctrl+C
ends the command, and the batch run goes on.
"""
WATCH_STATUSES = """\
exit status:
  0    the batch run is finished, whatever its verdicts
  1    it has stalled, or its state cannot be seen
  2    a bad option, or the API failed
  130  interrupted
"""


def add_report_options(report: argparse.ArgumentParser) -> None:
    """Add what `report` takes."""
    _add_batch_run(report, REPORT_DESCRIPTION, REPORT_STATUSES)
    report.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="BATCH",
        help="compare with this earlier batch run; repeatable, they are pooled",
    )
    report.add_argument(
        "--history", action="store_true", help="add the agent's last 30 batch runs, by test case"
    )
    report.add_argument(
        "--transcripts", action="store_true", help="add the conversations and the mock data"
    )
    report.add_argument(
        "--mask", action="store_true", help="replace mock values wherever they occur"
    )
    report.add_argument(
        "--markdown",
        action="store_true",
        help="write Markdown for a pull request or a ticket, at most 60 kB",
    )


def add_watch_options(watch: argparse.ArgumentParser) -> None:
    """Add what `watch` takes."""
    _add_batch_run(watch, WATCH_DESCRIPTION, WATCH_STATUSES)


def _add_batch_run(command: argparse.ArgumentParser, description: str, statuses: str) -> None:
    command.description = description
    command.epilog = statuses
    command.formatter_class = WrappedLines
    command.add_argument("batch", metavar="BATCH", help="the id of the batch run")
    command.add_argument("--agent", metavar="ID", help="the agent, instead of SIGMAMIND_AGENT_ID")

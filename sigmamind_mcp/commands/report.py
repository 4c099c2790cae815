"""`sigmamind-mcp report`: a batch run as one offline page, or as Markdown."""

import argparse
import sys
from functools import partial

import anyio

from sigmamind_mcp.commands.api_session import open_client, read_place
from sigmamind_mcp.commands.report_data import WantedReport, read_report
from sigmamind_mcp.commands.report_markdown import write_markdown
from sigmamind_mcp.commands.terminal import (
    DONE,
    FOUND,
    print_error,
    run_to_status,
    show_reading,
)
from sigmamind_mcp.errors import ConfigurationError, SigmaMindError
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.viewer.page import embed_report


def run_report(options: argparse.Namespace, settings: Settings) -> int:
    """Write the report to stdout, and return the exit status."""
    return run_to_status(partial(anyio.run, _write_report, options, settings))


async def _write_report(options: argparse.Namespace, settings: Settings) -> int:
    if not options.markdown and sys.stdout.isatty():
        raise ConfigurationError(
            "The report is a page of HTML. Write it to a file: add '> report.html'. --markdown can"
            " be read in a terminal."
        )
    place = read_place(options, settings)
    wanted = WantedReport(
        place["agentId"],
        place["batchId"],
        against=list(dict.fromkeys(options.against)),
        history=options.history,
        transcripts=options.transcripts,
        mask=options.mask,
    )
    async with open_client(settings, place) as api:
        with show_reading() as progress:
            report = await read_report(wanted, api, progress)
    text = write_markdown(report.data) if options.markdown else embed_report(report.data)
    # Not as text: an older encoding of the terminal must not get into the file.
    sys.stdout.buffer.write(text.encode())
    sys.stdout.flush()
    for problem in report.problems:
        print_error(SigmaMindError(problem))
    return FOUND if report.problems else DONE

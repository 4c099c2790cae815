"""`sigmamind-mcp watch`: follow a batch run in a terminal, and end with a summary."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.commands.api_session import build_call_context, open_client, read_place
from sigmamind_mcp.commands.terminal import (
    DONE,
    FOUND,
    print_error,
    print_wrapped,
    run_to_status,
    show_decided_attempts,
    show_reading,
)
from sigmamind_mcp.errors import ConnectionFailed, ServerFault, SigmaMindError, TooManyRequests
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.suites.shown_text import disarm
from sigmamind_mcp.tools.batch_runs import (
    STATES_EXPLAINED,
    WaitedBatchRun,
    WaitForBatchRun,
    wait_for_batch_run,
)
from sigmamind_mcp.tools.diagnose import DiagnoseBatchRun, diagnose_batch_run
from sigmamind_mcp.tools.diagnosis_answer import DiagnosedBatchRun
from sigmamind_mcp.tools.diagnosis_rows import CaseRow, GroupRow
from sigmamind_mcp.tools.unread_notes import describe_notes
from sigmamind_mcp.untrusted_text import clean

WAIT_SECONDS = 300
"""The longest wait of the tool; the command repeats it."""
MOST_FAILURES = 5
FAILURE_PAUSE = 10.0
ROWS_SHOWN = 10


def run_watch(options: argparse.Namespace, settings: Settings) -> int:
    """Follow the batch run, and return the exit status."""
    return run_to_status(partial(anyio.run, _watch, options, settings))


async def _watch(options: argparse.Namespace, settings: Settings) -> int:
    place = read_place(options, settings)
    async with open_client(settings, place) as api:
        batch_run = await watch_batch_run(place, api)
        _print_lines(_describe_end(batch_run), api)
        await _print_summary(place, api, in_sandbox=settings.sandbox)
    return DONE if batch_run.state == "finished" else FOUND


async def watch_batch_run(place: dict[str, str], api: SigmaMindClient) -> WaitedBatchRun:
    """Wait for the end; a failed read does not end the wait.

    Raises:
        SigmaMindError: the first read failed, or many in a row.
    """
    args = WaitForBatchRun.model_validate({**place, "maxSeconds": WAIT_SECONDS})
    is_known = False
    failures = 0
    with show_decided_attempts() as show:

        async def report(done: float, total: float | None, message: str) -> None:
            nonlocal is_known, failures
            is_known, failures = True, 0
            show(args.batch_id, int(done), None if total is None else int(total))

        context = build_call_context(report)
        while True:
            try:
                batch_run = await wait_for_batch_run(args, api, context)
                if batch_run.state != "running":
                    return batch_run
            except (ConnectionFailed, ServerFault, TooManyRequests) as exc:
                failures += 1
                if not is_known or failures == MOST_FAILURES:
                    raise
                print(f"sigmamind-mcp: {exc} Trying again.", file=sys.stderr)
                await anyio.sleep(FAILURE_PAUSE)


def _describe_end(batch_run: WaitedBatchRun) -> Iterator[str]:
    yield f"Batch run {batch_run.batch_id}: {batch_run.describe_progress()}."
    if explained := STATES_EXPLAINED.get(batch_run.state):
        yield explained


async def _print_summary(place: dict[str, str], api: SigmaMindClient, *, in_sandbox: bool) -> None:
    """Print what failed; the end is known without it, so a failure is no error."""
    args = DiagnoseBatchRun.model_validate(place)
    try:
        with show_reading() as progress:
            diagnosis = await diagnose_batch_run(args, api, build_call_context(progress))
    except SigmaMindError as exc:
        print_error(SigmaMindError(f"There is no summary: {exc}"))
        return
    _print_lines(_summarize(diagnosis), api)
    # Not wrapped: a line break inside a command is an error in a shell.
    command = write_report_command(place, in_sandbox=in_sandbox)
    print(disarm(api.mask_key(command)), flush=True)


def _summarize(diagnosis: DiagnosedBatchRun) -> Iterator[str]:
    yield f"{diagnosis.rate}."
    yield from _list_rows("Test cases that did not pass, worst first:", diagnosis.test_cases)
    yield from _list_rows("What failed attempts share:", diagnosis.groups)
    yield from describe_notes(diagnosis.not_read)
    yield "To read or share it as a page:"


def write_report_command(place: dict[str, str], *, in_sandbox: bool) -> str:
    """Return the command that writes this batch run as a page."""
    options = f"--agent {place['agentId']}"
    if in_sandbox:
        options += " --sandbox"
    return f"  sigmamind-mcp report {place['batchId']} {options} > report.html"


def _list_rows(title: str, rows: Sequence[CaseRow | GroupRow]) -> Iterator[str]:
    if not rows:
        return
    yield title
    for row in rows[:ROWS_SHOWN]:
        yield f"  {' '.join(row.line().split())}"
    if len(rows) > ROWS_SHOWN:
        yield f"  and {len(rows) - ROWS_SHOWN} more; the report shows them all"


def _print_lines(lines: Iterable[str], api: SigmaMindClient) -> None:
    """Print lines wrapped to the terminal, without the key and what could control it."""
    for line in lines:
        print_wrapped(api.mask_key(clean(line)))

"""`sigmamind-mcp suite run`: the gate for CI."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.api.run_reading import Progress
from sigmamind_mcp.commands.terminal import (
    ask_for_yes,
    ignore_progress,
    is_person_there,
    print_error,
    print_wrapped,
    show_decided_attempts,
)
from sigmamind_mcp.errors import ConfigurationError, SigmaMindError
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.suites.baseline import SuiteBaseline, read_baseline
from sigmamind_mcp.suites.gate import BROKEN, NOTHING, PASSED, UNSETTLED, GateCase, choose_status
from sigmamind_mcp.suites.github_output import list_annotations, write_summary
from sigmamind_mcp.suites.junit import write_junit
from sigmamind_mcp.suites.lock_file import Lock, load_lock
from sigmamind_mcp.suites.run_result import RowResult, RunResult, build_failures, select_failing
from sigmamind_mcp.suites.run_text import list_result_lines
from sigmamind_mcp.suites.running import (
    RunLimits,
    ShowProgress,
    SuiteCaseRun,
    SuiteRun,
    read_failures,
    run_looks,
)
from sigmamind_mcp.suites.shown_text import disarm
from sigmamind_mcp.suites.suite_file import Suite
from sigmamind_mcp.suites.yaml_tree import write_text_file

FAILURES_SHOWN = 2
"""Failed test runs that a report quotes for each case."""
WITHOUT_BUDGET = 4
"""Without --max-attempts, the budget is this many times the first look."""


class Gate(NamedTuple):
    """What a run starts from: the suite, and what is stored."""

    suite: Suite
    lock: Lock
    stored: Mapping[str, TestCase]
    """The stored test cases, by key."""


def require_writable_outputs(options: argparse.Namespace) -> None:
    """Check the files of a run before it costs anything.

    Raises:
        ConfigurationError: one of them cannot be written.
    """
    for path in (options.json, options.junit, options.summary):
        if problem := path and _find_write_problem(path):
            raise ConfigurationError(
                f"{path}: it cannot be written: {problem}. Nothing was started."
            )


def _find_write_problem(path: Path) -> str | None:
    try:
        target = path.resolve()
        if target.is_dir():
            return "it is a folder"
        if target.exists() and not target.is_file():
            return None  # a device, such as /dev/stdout
        if not target.parent.is_dir():
            return "its folder does not exist"
    except (OSError, RuntimeError):  # no access, or links in a circle
        return "its folder cannot be read"
    return None if os.access(target.parent, os.W_OK) else "its folder is read-only"


async def run_gate(options: argparse.Namespace, gate: Gate, api: SigmaMindClient) -> int:
    """Run a suite whose cases are stored, and return the exit status."""
    cases = [gate.stored[key] for key in gate.suite.cases]
    chosen = options.baseline or gate.lock.baseline
    resumed = options.resume.split(",") if options.resume else []
    baseline = await read_baseline(gate.lock.agent_id, cases, api, chosen=chosen, without=resumed)
    if chosen:
        _require_whole_baseline(baseline, "--baseline" if options.baseline else str(gate.lock.path))
    runs = [_build_case_run(gate, key, baseline) for key in gate.suite.cases]
    limits = RunLimits(_choose_budget(options, runs), options.timeout * 60)
    run = SuiteRun.start(gate.lock.agent_id, runs, limits)
    for line in _list_cost_lines(run, baseline):
        print_wrapped(line)
    if options.dry_run:
        return 0
    await _require_consent(options, run)
    try:
        with _show_progress() as show:
            await run_looks(run, api, resumed=resumed, report=print_wrapped, show=show)
    except anyio.get_cancelled_exc_class():
        if run.batch_ids:
            ids = ",".join(run.batch_ids)
            print(f"sigmamind-mcp: to continue, add --resume {ids}", file=sys.stderr, flush=True)
        raise
    result = await _judge_run(options, gate, run, baseline, api)
    _write_outputs(options, result)
    if options.report:
        await _write_page(options.report, result, api)
    if options.bless and result.status in (PASSED, UNSETTLED):
        _bless(gate.lock, run.batch_ids)
    return result.status


def _bless(old: Lock, batch_ids: Sequence[str]) -> None:
    """Add a run to the baseline of the lock as it is now: another command may have changed it.

    The verdict is known without it, so a failure does not change the status.
    """
    try:
        lock = load_lock(old.path, old.agent_id)
        lock.bless(batch_ids)
        lock.save()
    except SigmaMindError as exc:
        print_error(SigmaMindError(f"Not blessed: {exc}"))
        return
    print(f"The baseline is now that of {lock.path}. Commit it.")


def _require_whole_baseline(baseline: SuiteBaseline, where: str) -> None:
    """Refuse half of a chosen baseline: against it, a broken agent passes.

    Raises:
        ConfigurationError: a chosen batch run could not be read, or still runs.
    """
    gaps = []
    if baseline.unread_ids:
        gaps.append(f"could not be read whole: {', '.join(baseline.unread_ids)}")
    if baseline.unfinished_ids:
        gaps.append(f"still run: {', '.join(baseline.unfinished_ids)}")
    if gaps:
        raise ConfigurationError(
            f"Nothing was started. Of the baseline in {where}, these batch runs"
            f" {'; and these '.join(gaps)}. Try again, or leave out those that are gone."
        )


async def _judge_run(
    options: argparse.Namespace,
    gate: Gate,
    run: SuiteRun,
    baseline: SuiteBaseline,
    api: SigmaMindClient,
) -> RunResult:
    """Judge each case, and read the first failed test runs of those that fail."""
    outcomes = run.judge()
    failing = await read_failures(run, select_failing(outcomes), api, most=FAILURES_SHOWN)
    status = choose_status(
        outcomes,
        allow_undecided=options.allow_undecided,
        fail_on_suspect=options.fail_on == "suspect",
    )
    rows = []
    for outcome in outcomes:
        key = outcome.case.key
        failures = build_failures(failing.get(key, []), mask=api.mask_key)
        rows.append(RowResult(outcome, gate.suite.cases[key].place, failures))
    return RunResult(
        BROKEN if run.broken else status,
        str(gate.suite.path),
        gate.lock.agent_id,
        rows,
        run.batch_ids,
        len(run.looks),
        run.planned,
        run.used,
        run.limits.attempts,
        baseline.batch_ids,
        run.broken,
        baseline.unfinished_ids,
        baseline.describe_gap(),
        baseline.unread,
        fail_on_suspect=options.fail_on == "suspect",
        is_baseline_chosen=bool(options.baseline or gate.lock.baseline),
    )


def _build_case_run(gate: Gate, key: str, baseline: SuiteBaseline) -> SuiteCaseRun:
    case = gate.suite.cases[key]
    stored = gate.stored[key]
    counts = baseline.counts.get(stored.test_case_id or "", NOTHING)
    attempts = stored.attempt or 1
    gate_case = GateCase(key, attempts, counts, case.bar, case.quarantine)
    return SuiteCaseRun(gate_case, stored)


def _choose_budget(options: argparse.Namespace, runs: Sequence[SuiteCaseRun]) -> int:
    """Return how many attempts the run may make.

    Raises:
        ConfigurationError: they are not enough for the first look, or there is nothing to run.
    """
    first = sum(run.gate.attempts for run in runs)
    if not runs:
        raise ConfigurationError("The suite has no case to run.")
    if options.max_attempts is None:
        return first * WITHOUT_BUDGET
    if options.max_attempts < first:
        cases = pluralize(len(runs), "case")
        attempts = pluralize(first, "attempt")
        raise ConfigurationError(
            f"--max-attempts {options.max_attempts} is not enough: the first look of {cases} makes"
            f" {attempts}. Nothing was started."
        )
    budget: int = options.max_attempts
    return budget


async def _require_consent(options: argparse.Namespace, run: SuiteRun) -> None:
    """Ask on a terminal; elsewhere --max-attempts is the consent.

    Raises:
        ConfigurationError: nobody agreed; nothing was started.
    """
    if options.max_attempts is not None:
        return
    if options.ci.is_ci or not is_person_there():
        raise ConfigurationError(
            "Nothing was started: in CI and without a terminal, run needs --max-attempts, which"
            " limits what it may cost."
        )
    attempts = pluralize(run.limits.attempts, "attempt")
    if not await ask_for_yes(f"Start up to {attempts}?"):
        raise ConfigurationError("Nothing was started.")


def _list_cost_lines(run: SuiteRun, baseline: SuiteBaseline) -> Iterator[str]:
    first = sum(case.gate.attempts for case in run.cases)
    for case in run.cases:
        attempts = pluralize(case.gate.attempts, "attempt")
        known = f"{case.gate.baseline.decided:,} in the baseline"
        quarantine = ", in quarantine" if case.gate.quarantine else ""
        yield f"  {case.gate.key}: {attempts}, {known}{quarantine}"
    cases = pluralize(len(run.cases), "case")
    attempts = pluralize(first, "attempt")
    yield (
        f"{cases}, {attempts} in the first look, at most {run.limits.attempts} in {run.planned}."
        " Each costs model calls."
    )
    if gap := baseline.describe_gap():
        yield gap
    if ids := baseline.unfinished_ids:
        unfinished = pluralize(len(ids), "unfinished batch run")
        yield f"Not in the baseline: {unfinished} ({', '.join(ids)})."


@contextmanager
def _show_progress() -> Iterator[ShowProgress]:
    with show_decided_attempts() as show:

        def show_batch_run(batch_id: str, progress: Progress) -> None:
            show(batch_id, (progress.passed or 0) + (progress.failed or 0), progress.expected)

        yield show_batch_run


def _write_outputs(options: argparse.Namespace, result: RunResult) -> None:
    for line in list_result_lines(result, shutil.get_terminal_size().columns):
        print(disarm(line))
    if options.ci.is_github:
        for command in list_annotations(result):
            print(command)
    sys.stdout.flush()
    content = json.dumps(result.to_json(), indent=2, ensure_ascii=False)
    _write_output(options.json, content + "\n")
    _write_output(options.junit, write_junit(result))
    _write_output(options.summary, write_summary(result))
    if options.ci.step_summary:
        _append(Path(options.ci.step_summary), write_summary(result))


def _write_output(path: Path | None, text: str) -> None:
    """Write a file if it is asked for; the verdict counts also if that fails."""
    if path is None:
        return
    try:
        write_text_file(path, text)
    except SigmaMindError as exc:
        print_error(exc)


async def _write_page(path: Path, result: RunResult, api: SigmaMindClient) -> None:
    """Write the page of a run: its first batch run, which has all cases, against the baseline.

    The verdict is known without it, so a page that cannot be written does not change the status.
    """
    from sigmamind_mcp.commands.report_data import WantedReport, read_report
    from sigmamind_mcp.viewer.page import embed_report

    if not result.batch_ids:
        return
    notes = [result.write_verdict()]
    if len(result.batch_ids) > 1:
        later = ", ".join(result.batch_ids[1:])
        notes.append(
            f"The attempts shown are those of the first look. Open cases ran again in {later}; the"
            " comparison counts all looks."
        )
    wanted = WantedReport(
        result.agent_id,
        result.batch_ids[0],
        against=result.baseline_ids,
        candidates=result.batch_ids,
        looks=result.planned,
        notes=notes,
    )
    try:
        report = await read_report(wanted, api, ignore_progress)
        write_text_file(path, embed_report(report.data))
    except SigmaMindError as exc:
        print_error(SigmaMindError(f"{path} was not written: {exc}"))
        return
    for problem in report.problems:
        print_error(SigmaMindError(problem))


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as exc:
        print(f"sigmamind-mcp: the step summary was not written: {exc.strerror}", file=sys.stderr)

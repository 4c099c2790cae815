"""Run a suite in looks: start batch runs, wait for them, and stop when nothing is open."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

import anyio

from sigmamind_mcp.api.client import ReadyLaunch, SigmaMindClient
from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.api.run_reading import (
    Progress,
    drop_conversation,
    list_complete_runs,
    read_progress,
)
from sigmamind_mcp.errors import (
    ConfigurationError,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    OutcomeUnknown,
    SigmaMindError,
)
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import assign_single_case, count_verdicts, get_case_id
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.suites.baseline import is_same_definition
from sigmamind_mcp.suites.gate import (
    CaseOutcome,
    GateCase,
    Look,
    choose_rerun,
    judge_cases,
    plan_looks,
)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0

ShowProgress = Callable[[str, Progress], None]


class RunBroken(SigmaMindError):
    """A batch run that was started does not end, or cannot be read."""


class SuiteCaseRun(NamedTuple):
    """A case to run: its key and its stored test case."""

    gate: GateCase
    stored: TestCase

    @property
    def case_id(self) -> str:
        return self.stored.test_case_id or ""


class FailedRun(NamedTuple):
    """A failed test run and its batch run."""

    batch_id: str
    run: TestRun


class RunLimits(NamedTuple):
    """How many attempts a run may make, and how many seconds it may take."""

    attempts: int
    seconds: float


@dataclass
class SuiteRun:
    """One run of a suite, look by look; `broken` says why it ended early."""

    agent_id: str
    cases: Sequence[SuiteCaseRun]
    limits: RunLimits
    planned: int
    looks: list[Look] = field(default_factory=list)
    batch_ids: list[str] = field(default_factory=list)
    failed_runs: dict[str, list[FailedRun]] = field(default_factory=dict)
    used: int = 0
    broken: str | None = None

    @classmethod
    def start(cls, agent_id: str, cases: Sequence[SuiteCaseRun], limits: RunLimits) -> "SuiteRun":
        planned = plan_looks([case.gate for case in cases], limits.attempts)
        return cls(agent_id, cases, limits, planned)

    def judge(self) -> list[CaseOutcome]:
        return judge_cases([case.gate for case in self.cases], self.looks, planned=self.planned)

    def choose_next(self) -> list[SuiteCaseRun]:
        """Return the cases of the next look: all, later those that are open."""
        if not self.looks:
            return list(self.cases)
        if len(self.looks) >= self.planned:
            return []
        keys = set(choose_rerun(self.judge(), self.limits.attempts - self.used))
        return [case for case in self.cases if case.gate.key in keys]


async def run_looks(
    run: SuiteRun,
    api: SigmaMindClient,
    *,
    resumed: Sequence[str],
    report: Callable[[str], None],
    show: ShowProgress,
) -> None:
    """Make the looks of a run; batch runs in `resumed` are its first ones, already started.

    Raises:
        SigmaMindError: the first batch run could not be started, or a resumed one is another.
    """
    deadline = monotonic() + run.limits.seconds
    waiting = list(resumed)
    while cases := run.choose_next():
        number = len(run.looks) + 1
        try:
            if waiting:
                batch_id = waiting.pop(0)
                cases = await _find_resumed(batch_id, run, api)
            else:
                batch_id = await _launch_look(run, cases, api, number)
        except SigmaMindError as exc:
            if not run.batch_ids:
                raise
            run.broken = f"look {number} could not start: {exc}"
            return
        run.batch_ids.append(batch_id)
        run.used += sum(case.gate.attempts for case in cases)
        look = f"look {number} of at most {run.planned}"
        report(f"{look}: batch run {batch_id}, {pluralize(len(cases), 'case')}")
        try:
            await _wait(batch_id, run, api, deadline=deadline, show=show)
        except RunBroken as exc:
            run.broken = str(exc)
        await _collect(batch_id, run, cases, api)
        if run.broken:
            return


async def _launch_look(
    run: SuiteRun, cases: Sequence[SuiteCaseRun], api: SigmaMindClient, number: int
) -> str:
    @asynccontextmanager
    async def prepare() -> AsyncIterator[ReadyLaunch]:
        # Without the batch runs before it: a batch run is ours only if the answer names it.
        yield ReadyLaunch(f"look {number} of a suite", None)

    ids = [case.case_id for case in cases]
    try:
        # After an interruption its id must still be known, to continue with it.
        with anyio.CancelScope(shield=True):
            written = await api.create_batch_run(run.agent_id, ids, prepare, call=f"look {number}")
    except OutcomeUnknown as exc:
        raise OutcomeUnknown(
            "It is not known whether the batch run started: no answer names it. If the dashboard"
            " shows it, continue with --resume and its id."
        ) from exc
    batch_id = valid_id(written.record.batch_id) if written.record else None
    if batch_id is None:
        raise OutcomeUnknown(
            "The API started a batch run without naming it. Find its id in the dashboard, and"
            " continue with --resume and that id."
        )
    return batch_id


async def _find_resumed(batch_id: str, run: SuiteRun, api: SigmaMindClient) -> list[SuiteCaseRun]:
    """Return the cases of a batch run that is resumed.

    Raises:
        ConfigurationError: it ran other cases, or other definitions of them.
    """
    batch_run = (await api.get_batch_run(batch_id, run.agent_id)).value
    launched = {case.test_case_id: case for case in batch_run.test_cases}
    own = [case for case in run.cases if case.case_id in launched]
    # The first look runs all cases, later ones only those that are open.
    needed = 1 if run.looks else len(run.cases)
    if not own or len(own) < max(needed, len(launched)):
        raise ConfigurationError(f"Batch run {batch_id} did not run the cases of this suite.")
    for case in own:
        started = launched[case.case_id]
        if not is_same_definition(started, case.stored):
            raise ConfigurationError(
                f"Batch run {batch_id} ran another definition of '{case.gate.key}'."
            )
    return own


async def _wait(
    batch_id: str,
    run: SuiteRun,
    api: SigmaMindClient,
    *,
    deadline: float,
    show: ShowProgress,
) -> None:
    """Wait for the end of a batch run; a failed read does not end the wait.

    Raises:
        RunBroken: it stalled, it cannot be read, or the time is over.
    """
    pause = FIRST_PAUSE
    problem = ""
    while True:
        try:
            _, progress = await read_progress(batch_id, run.agent_id, api)
        except (NotFound, NotAllowed, NotAuthenticated) as exc:
            raise RunBroken(f"batch run {batch_id} cannot be read: {exc}") from exc
        except SigmaMindError as exc:
            problem = f" The last read failed: {exc}"
        else:
            problem = ""
            show(batch_id, progress)
            if progress.state == "finished":
                return
            if progress.state == "stalled":
                raise RunBroken(f"batch run {batch_id} stalled: nothing happened for 15 minutes.")
            if progress.state == "unknown":
                problem = " What could be read of the batch run does not show its state."
        left = deadline - monotonic()
        if left <= 0:
            minutes = run.limits.seconds / 60
            raise RunBroken(f"the timeout of {minutes:g} minutes is reached.{problem}")
        await anyio.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE)


async def _collect(
    batch_id: str, run: SuiteRun, cases: Sequence[SuiteCaseRun], api: SigmaMindClient
) -> None:
    """Count the verdicts of a look, and keep its failed test runs."""
    try:
        listing = await list_complete_runs(batch_id, run.agent_id, api, keep=drop_conversation)
    except SigmaMindError as exc:
        run.broken = run.broken or f"the test runs of {batch_id} cannot be read: {exc}"
        return
    counts, undecided = {}, {}
    runs = assign_single_case([case.stored for case in cases], listing.items)
    for case in cases:
        key = case.gate.key
        own = [one for one in runs if get_case_id(one) == case.case_id]
        counts[key] = count_verdicts(own)
        undecided[key] = max(case.gate.attempts, len(own)) - counts[key].decided
        failed = [FailedRun(batch_id, one) for one in own if one.verdict == "failed"]
        run.failed_runs.setdefault(key, []).extend(failed)
    run.looks.append(Look(counts, undecided))


async def read_failures(
    run: SuiteRun, keys: Sequence[str], api: SigmaMindClient, *, most: int
) -> dict[str, list[TestRun]]:
    """Return a few failed test runs of each case, with their conversations where readable."""
    read: dict[str, list[TestRun]] = {}
    for key in keys:
        read[key] = []
        for failed in run.failed_runs.get(key, [])[:most]:
            whole = failed.run
            if job_id := valid_id(whole.job_id):
                with suppress(SigmaMindError):
                    whole = await api.get_test_run(job_id, failed.batch_id, run.agent_id)
            read[key].append(whole)
    return read

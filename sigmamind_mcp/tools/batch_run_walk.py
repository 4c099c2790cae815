"""Read many batch runs of an agent, a few at a time, as far as the time allows."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal, TypeVar

import anyio

from sigmamind_mcp.api.models import BatchRun
from sigmamind_mcp.concurrency import gather_errors, require_results
from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.tools.call_context import ProgressReport

BATCH_RUNS_AT_ONCE = 4

ReadProblem = Literal["not read in time", "no usable answer"]
"""Why nothing is known about a batch run."""

T = TypeVar("T")


async def walk_batch_runs(
    batch_runs: Sequence[BatchRun],
    read: Callable[[BatchRun], Awaitable[T | None]],
    report: ProgressReport,
    *,
    deadline: float,
    done: str,
) -> list[T | ReadProblem]:
    """Return what `read` returns for each batch run; None counts as not read in time.

    `done` is the verb of the progress messages: "5 of 30 batch runs read".

    Raises:
        SigmaMindError: the API gave no usable answer for any of them; this is the first error.
    """
    outcomes: dict[int, T | SigmaMindError] = {}
    total = len(batch_runs)

    async def read_one(number: int, batch_run: BatchRun) -> None:
        try:
            outcome = await read(batch_run)
        except SigmaMindError as exc:
            outcomes[number] = exc
        else:
            if outcome is None:
                return
            outcomes[number] = outcome
        await report(len(outcomes), total, f"{len(outcomes)} of {total} batch runs {done}")

    calls = [partial(read_one, *entry) for entry in enumerate(batch_runs)]
    with anyio.CancelScope(deadline=deadline):
        await gather_errors(calls, limit=BATCH_RUNS_AT_ONCE)
    errors = [outcome for outcome in outcomes.values() if isinstance(outcome, SigmaMindError)]
    if errors and len(errors) == total:
        require_results(errors)
    return [_read_outcome(outcomes.get(number)) for number in range(total)]


def _read_outcome(outcome: T | SigmaMindError | None) -> T | ReadProblem:
    if outcome is None:
        return "not read in time"
    return "no usable answer" if isinstance(outcome, SigmaMindError) else outcome

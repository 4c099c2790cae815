"""Attempts of one caller within an hour count together towards the limit (R22)."""

import tracemalloc
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.idempotency import RecentWrites
from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.errors import (
    InvalidRequest,
    NotConfirmed,
    OutcomeUnknown,
    ServerFault,
    SigmaMindError,
)
from sigmamind_mcp.heavy_work import HeavyWork
from sigmamind_mcp.settings import check_key
from sigmamind_mcp.tools import started_attempts as started_attempts_module
from sigmamind_mcp.tools.call_context import CallContext, Confirmation
from sigmamind_mcp.tools.launch import CreateBatchRun, CreatedBatchRun, create_batch_run
from sigmamind_mcp.tools.started_attempts import (
    HOUR_SECONDS,
    MOST_LAUNCHES,
    AttemptCount,
    StartedAttempts,
)
from tests.support.fake_api import AGENT, CASE, CREATED_BATCH, ERROR, FakeAPI, page

pytestmark = pytest.mark.anyio

AGENT_ID = AGENT["agentId"]
LIMIT = 50


class Launcher:
    """Launches for several callers of one server, and the questions that they were asked."""

    def __init__(self, api: FakeAPI, transport: APITransport) -> None:
        self.api = api
        self.transport = transport
        self.now = 0.0
        self.recent_writes = RecentWrites(clock=lambda: self.now)
        self.started = StartedAttempts(clock=lambda: self.now)
        self.answer: bool | None = None
        self.asked: list[str] = []
        batch_ids = iter(range(1_000))
        api.offer()
        api.answer(
            "POST",
            "/v1/batch-runs",
            lambda asked: {**CREATED_BATCH, "batchId": f"b{next(batch_ids)}"},
        )

    def offer(self, *attempts: int) -> None:
        """Serve test cases tc_0, tc_1... with these attempts."""
        numbered = enumerate(attempts)
        cases = [{**CASE, "testCaseId": f"tc_{number}", "attempt": n} for number, n in numbered]
        self.api.answer("GET", "/v1/test-cases", page(cases))

    async def launch(self, number: int, *, key: str = "one", **given: Any) -> CreatedBatchRun:
        client = SigmaMindClient(self.transport, check_key(key), self.recent_writes)
        confirmation = Confirmation(LIMIT, self.started, self.ask, None)
        call = {"agentId": AGENT_ID, "testCases": [f"tc_{number}"], **given}
        try:
            run_heavy = partial(HeavyWork().run, key)
            context = CallContext(report_nothing, confirmation, run_heavy)
            return await create_batch_run(CreateBatchRun.model_validate(call), client, context)
        finally:
            client.mark_delivered()

    async def ask(self, question: str, launch: str) -> bool | None:
        self.asked.append(question)
        return self.answer


async def report_nothing(done: float, total: float | None, text: str) -> None:
    pass


@pytest.fixture
async def launcher(fake_api: FakeAPI) -> AsyncIterator[Launcher]:
    async with APITransport(fake_api.url, tries=1) as transport:
        yield Launcher(fake_api, transport)


@pytest.mark.parametrize("attempts", [[50, 1], [30, 21], [20, 20, 20], [1, 49, 1], [17, 17, 17]])
async def test_launches_of_an_hour_count_together(launcher: Launcher, attempts: list[int]) -> None:
    launcher.offer(*attempts)
    last, total = len(attempts) - 1, sum(attempts)
    for number in range(last):
        await launcher.launch(number)

    with pytest.raises(NotConfirmed) as refused:
        await launcher.launch(last)
    assert f"; with those started in the last hour, {total}. More than 50 in an hour" in str(
        refused.value
    )
    assert f"again with confirmAttempts {attempts[-1]}." in str(refused.value)
    assert f"With those started in the last hour, that makes {total}." in launcher.asked[-1]
    assert len(launcher.api.posts) == last

    with pytest.raises(NotConfirmed):
        await launcher.launch(last, confirmAttempts=total)
    assert (await launcher.launch(last, confirmAttempts=attempts[-1])).batch_id == f"b{last}"


@pytest.mark.parametrize("answer", [True, False])
async def test_person_is_asked_about_the_launch_and_the_hour(
    launcher: Launcher, answer: bool
) -> None:
    launcher.offer(40, 20)
    launcher.answer = answer
    await launcher.launch(0)
    assert launcher.asked == []

    with suppress(NotConfirmed):
        await launcher.launch(1)

    (question,) = launcher.asked
    assert question.startswith("Start 20 simulated conversations with agent")
    assert "that makes 60." in question
    assert len(launcher.api.posts) == 1 + answer


@pytest.mark.parametrize("attempts", [[30, 30], [20, 20, 20]])
async def test_two_callers_do_not_count_together(launcher: Launcher, attempts: list[int]) -> None:
    launcher.offer(*attempts)
    for number in range(len(attempts)):
        await launcher.launch(number, key=f"caller{number}")

    assert len(launcher.api.posts) == len(attempts) and launcher.asked == []


async def test_confirmed_launch_counts_for_those_after_it(launcher: Launcher) -> None:
    launcher.offer(60, 1)
    await launcher.launch(0, confirmAttempts=60)

    with pytest.raises(NotConfirmed, match="in the last hour, 61"):
        await launcher.launch(1)


async def test_unknown_number_makes_the_hour_inexact(launcher: Launcher) -> None:
    launcher.offer(2_000_000_000, 1)
    await launcher.launch(0, confirmAttempts=1)

    with pytest.raises(NotConfirmed, match="last hour, at least 2. The hour's total is not exact"):
        await launcher.launch(1)


@pytest.mark.parametrize(
    ("status", "counts"),
    [(201, True), (500, True), (504, True), (400, False), (403, False), (422, False), (429, False)],
)
async def test_launch_counts_unless_it_was_refused(
    launcher: Launcher, status: int, counts: bool
) -> None:
    launcher.offer(30, 30)
    body = CREATED_BATCH if status == 201 else ERROR
    launcher.api.answer("POST", "/v1/batch-runs", body, status)
    with suppress(SigmaMindError):
        await launcher.launch(0)
    launcher.api.answer("POST", "/v1/batch-runs", CREATED_BATCH)

    if counts:
        with pytest.raises(NotConfirmed):
            await launcher.launch(1)
    else:
        await launcher.launch(1)
    assert len(launcher.api.posts) == (1 if counts else 2)


async def test_after_an_hour_a_launch_counts_no_longer(launcher: Launcher) -> None:
    launcher.offer(30, 30)
    await launcher.launch(0)

    launcher.now = HOUR_SECONDS - 1
    with pytest.raises(NotConfirmed):
        await launcher.launch(1)
    launcher.now = HOUR_SECONDS + 1
    await launcher.launch(1)


async def test_launches_at_once_count_together(launcher: Launcher) -> None:
    """R22: none may pass because the others have no answer yet."""
    launcher.offer(*[20] * 10)
    launcher.api.stalled = "POST"
    launcher.api.stall.clear()
    refused = []

    async def launch(number: int) -> None:
        try:
            await launcher.launch(number)
        except NotConfirmed:
            refused.append(number)
            if len(refused) == 8:
                launcher.api.stall.set()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(launch, number)

    assert (len(refused), len(launcher.api.posts)) == (8, 2)


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (OutcomeUnknown("lost"), True),
        (RuntimeError("a bug"), True),
        (InvalidRequest("refused", status=400), False),
        (ServerFault("raised before the send", status=500), False),
    ],
)
def test_only_an_error_that_is_certain_takes_the_attempts_back(
    error: Exception, counts: bool
) -> None:
    started = StartedAttempts()

    with pytest.raises(type(error)), started.count("caller", AttemptCount(7)):
        assert started.total("caller") == AttemptCount(7)
        raise error

    assert started.total("caller") == AttemptCount(7 if counts else 0)


def test_memory_is_bounded_and_no_attempt_of_an_active_caller_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(started_attempts_module, "MOST_CALLERS", 50)
    started = StartedAttempts()
    tracemalloc.start()
    for number in range(10_000):
        for caller in ("active", f"caller {number}"):
            with started.count(caller, AttemptCount(1)):
                pass
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert started.total("active") == AttemptCount(10_000)
    assert started.total("caller 9999") == AttemptCount(1)
    assert started.total("caller 0") == AttemptCount(0)
    assert len(started._launches) == 50 and len(started._launches["active"]) == MOST_LAUNCHES
    assert size < 1_000_000

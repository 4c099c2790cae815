"""Launch batch runs: simulate and judge every attempt at once, and give each turn its time."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from sigmamind_mcp.sandbox import samples
from sigmamind_mcp.sandbox.criteria import read_criteria
from sigmamind_mcp.sandbox.judge import SimulatedTurn, judge_conversation
from sigmamind_mcp.sandbox.script import STEPS
from sigmamind_mcp.sandbox.simulator import Behaviour, Scenario, converse
from sigmamind_mcp.sandbox.store import (
    Body,
    Store,
    StoredBatch,
    StoredRun,
    TimedTurn,
    format_timestamp,
)

MAX_ATTEMPTS = 10_000
MAX_STORED_ATTEMPTS = 50_000
"""They take 100 MB."""
ATTEMPTS_IN_A_TURN = 50
"""They take about 15 ms, and then other requests get a turn."""
LIVE_SECONDS = (1.5, 6.0)
PAST_SECONDS = (35.0, 150.0)
MAX_MOCK_VALUE = 200  # many turns of many attempts repeat a value


class Launch(NamedTuple):
    """Holds what all attempts of a batch run share; `duration` is a range in seconds."""

    batch_id: str
    behaviour: Behaviour
    greeting: str | None
    at: datetime
    duration: tuple[float, float]


def count_attempts(test_cases: Sequence[Body]) -> int:
    return sum(_get_attempts(case) for case in test_cases)


def _get_attempts(test_case: Body) -> int:
    attempts: int = test_case.get("attempt", 1)
    return max(attempts, 0)


def launch_batch_run(
    store: Store,
    agent_id: str,
    test_cases: list[Body],
    *,
    at: datetime,
    duration: tuple[float, float] = LIVE_SECONDS,
    broken: int = 0,
) -> StoredBatch:
    """Store a batch run with all its attempts; the first `broken` ones never end."""
    launch = BatchLaunch(store, agent_id, test_cases, at=at, duration=duration)
    while launch.has_attempts_left:
        launch.simulate_some()
    return launch.store_all(broken=broken)


class BatchLaunch:
    """Simulates the attempts of one batch run a few at a time, and then stores them at once."""

    def __init__(
        self,
        store: Store,
        agent_id: str,
        test_cases: list[Body],
        *,
        at: datetime,
        duration: tuple[float, float],
    ) -> None:
        self._store = store
        self._batch = StoredBatch(store.new_id("batch"), agent_id, format_timestamp(at), test_cases)
        self._launch = _prepare_launch(store, self._batch, at, duration)
        self._left = count_attempts(test_cases)
        self._runs: list[StoredRun] = []
        self._attempts = self._simulate()

    @property
    def has_attempts_left(self) -> bool:
        return self._left > 0

    def simulate_some(self) -> None:
        """Simulate up to ATTEMPTS_IN_A_TURN attempts."""
        runs = list(islice(self._attempts, ATTEMPTS_IN_A_TURN))
        self._runs += runs
        self._left -= len(runs)

    def store_all(self, *, broken: int = 0) -> StoredBatch:
        """Store the batch run with its attempts."""
        broken_runs = [_cut_in_half(run) for run in self._runs[:broken]]
        self._store.add_batch_run(self._batch, [*broken_runs, *self._runs[broken:]])
        return self._batch

    def _simulate(self) -> Iterator[StoredRun]:
        for test_case in self._batch.test_cases:
            scenario = build_scenario(test_case)
            for _ in range(_get_attempts(test_case)):
                yield _simulate_run(self._store, self._launch, test_case["testCaseId"], scenario)


def _prepare_launch(
    store: Store, batch: StoredBatch, at: datetime, duration: tuple[float, float]
) -> Launch:
    agent = store.find_agent(batch.agent_id) or {}
    starts = agent.get("agentSettings", {}).get("aiStartsConversation")
    behaviour = samples.choose_behaviour(batch.agent_id, at)
    instructions = agent.get("instructions", "")
    untold = samples.find_untold_steps(batch.agent_id, instructions, STEPS)
    return Launch(
        batch_id=batch.batch_id,
        behaviour=replace(behaviour, skills={**behaviour.skills, **untold}),
        greeting=agent.get("welcomeMessage") if starts else None,
        at=at,
        duration=duration,
    )


def build_scenario(test_case: Body) -> Scenario:
    mock_data = {
        mock.get("variableName", ""): mock.get("value", "")[:MAX_MOCK_VALUE]
        for mock in test_case.get("mockData", [])
    }
    criteria = read_criteria(test_case["successCriteria"], mock_data)
    return Scenario.of(test_case["userPrompt"], mock_data, criteria)


def _simulate_run(store: Store, launch: Launch, test_case_id: str, scenario: Scenario) -> StoredRun:
    """Simulate and judge one conversation, and spread its turns over its duration."""
    random = store.new_random("attempt")
    turns = converse(scenario, agent=launch.behaviour, greeting=launch.greeting, random=random)
    judgement = judge_conversation(scenario.criteria, turns)
    seconds = random.uniform(*launch.duration)
    return StoredRun(
        job_id=store.new_id("job"),
        batch_id=launch.batch_id,
        test_case_id=test_case_id,
        chat_id=store.new_id("chat"),
        created=format_timestamp(launch.at),
        completed=format_timestamp(launch.at + timedelta(seconds=seconds)),
        is_successful=judgement.is_successful,
        remarks=judgement.remarks,
        conversation=_spread_turns(turns, launch.at, seconds),
    )


def _spread_turns(turns: Sequence[SimulatedTurn], at: datetime, seconds: float) -> list[TimedTurn]:
    step = seconds / (len(turns) + 1)
    timed_turns = []
    for number, turn in enumerate(turns, start=1):
        spoken_at = at + timedelta(seconds=step * number)
        timed_turns.append(TimedTurn(turn.role, turn.content, format_timestamp(spoken_at)))
    return timed_turns


def _cut_in_half(run: StoredRun) -> StoredRun:
    half = run.conversation[: len(run.conversation) // 2]
    return run._replace(completed=None, is_successful=None, remarks=None, conversation=half)


def fill_with_samples(store: Store) -> None:
    """Store the documented samples and the history."""
    for agent_id, body in samples.AGENTS.items():
        store.put_agent(agent_id, body)
    definitions = {case.test_case_id: _build_definition(case) for case in samples.CASES}
    for case in samples.CASES:
        store.put_test_case(case.agent_id, definitions[case.test_case_id])
    _add_documented_batch(store, definitions[samples.CASES[0].test_case_id])
    for past in samples.list_past_batches():
        launch_batch_run(
            store,
            past.agent_id,
            [definitions[test_case_id] for test_case_id in past.cases],
            at=past.at,
            duration=PAST_SECONDS,
            broken=past.broken,
        )


def _add_documented_batch(store: Store, test_case: Body) -> None:
    """Add the documented run and simulated ones that fit the documented counters."""
    at = samples.DOCUMENTED_LAUNCH
    batch = StoredBatch(
        samples.DOCUMENTED_BATCH, samples.DOCUMENTED, format_timestamp(at), [test_case]
    )
    launch = _prepare_launch(store, batch, at, PAST_SECONDS)
    scenario = build_scenario(test_case)
    runs = [_build_documented_run(test_case)]
    passed = 1
    while len(runs) < test_case["attempt"]:
        run = _simulate_run(store, launch, test_case["testCaseId"], scenario)
        # Keep passed runs up to the documented count, then failed ones.
        if run.is_successful == (passed < samples.DOCUMENTED_PASSED):
            runs.append(run)
            passed += bool(run.is_successful)
    store.add_batch_run(batch, runs)


def _build_documented_run(test_case: Body) -> StoredRun:
    at = format_timestamp(samples.DOCUMENTED_LAUNCH)
    run = samples.DOCUMENTED_RUN
    return StoredRun(
        job_id=run.job_id,
        batch_id=samples.DOCUMENTED_BATCH,
        test_case_id=test_case["testCaseId"],
        chat_id=run.chat_id,
        created=at,
        completed=format_timestamp(samples.DOCUMENTED_END),
        is_successful=True,
        remarks=run.remarks,
        conversation=[TimedTurn("user", run.user_words, at)],
    )


def _build_definition(case: samples.Case) -> Body:
    return {
        "testCaseId": case.test_case_id,
        "label": case.label,
        "workspaceId": samples.WORKSPACE,
        "llmModel": case.llm_model,
        "mockData": [
            {"variableName": name, "value": value} for name, value in case.mock_data.items()
        ],
        "userPrompt": case.user_prompt,
        "attempt": case.attempt,
        "successCriteria": case.success_criteria,
    }

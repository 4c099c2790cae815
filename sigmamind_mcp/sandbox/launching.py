"""Launching a batch run: every attempt is simulated and judged at once, and takes its time to be seen."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sigmamind_mcp.sandbox import samples
from sigmamind_mcp.sandbox.judge import Turn, judge, read_criteria
from sigmamind_mcp.sandbox.simulator import Behaviour, Scenario, converse
from sigmamind_mcp.sandbox.store import Store, StoredBatch, StoredRun, TimedTurn, spelt

MAX_ATTEMPTS = 10_000
LIVE_SECONDS = (1.5, 6.0)
PAST_SECONDS = (35.0, 150.0)
MAX_MOCK_VALUE = 200  # a value is said in many turns of many attempts


def attempts_of(test_cases: Sequence[dict[str, Any]]) -> int:
    return sum(max(case.get("attempt", 1), 0) for case in test_cases)


def launch(
    store: Store,
    agent_id: str,
    test_cases: list[dict[str, Any]],
    *,
    at: datetime,
    seconds: tuple[float, float] = LIVE_SECONDS,
    broken: int = 0,
) -> StoredBatch:
    """Store a batch run and all of its attempts, which run in parallel; the first `broken` ones never end."""
    batch = StoredBatch(store.new_id("batch"), agent_id, spelt(at), test_cases)
    agent, behaviour = store.find_agent(agent_id) or {}, samples.behaviour_of(agent_id, at)
    scenarios = {case["testCaseId"]: scenario_of(case) for case in test_cases}
    attempts = [
        case["testCaseId"] for case in test_cases for _ in range(max(case.get("attempt", 1), 0))
    ]
    runs = []
    for number, test_case_id in enumerate(attempts):
        run = attempt(
            test_case_id,
            scenarios[test_case_id],
            agent,
            behaviour,
            batch_id=batch.batch_id,
            job_id=store.new_id("job"),
            chat_id=store.new_id("chat"),
            at=at,
            seconds=seconds,
            random=store.random("attempt"),
        )
        runs.append(_broken(run) if number < broken else run)
    store.add_batch_run(batch, runs)
    return batch


def scenario_of(case: dict[str, Any]) -> Scenario:
    mock_data = {
        mock.get("variableName", ""): mock.get("value", "")[:MAX_MOCK_VALUE]
        for mock in case.get("mockData", [])
    }
    return Scenario.of(
        case["userPrompt"], mock_data, read_criteria(case["successCriteria"], mock_data)
    )


def attempt(
    test_case_id: str,
    scenario: Scenario,
    agent: dict[str, Any],
    behaviour: Behaviour,
    *,
    batch_id: str,
    job_id: str,
    chat_id: str,
    at: datetime,
    seconds: tuple[float, float],
    random: Random,
) -> StoredRun:
    """Simulate and judge one conversation; its turns are spread over the time that it takes."""
    greets = agent.get("agentSettings", {}).get("aiStartsConversation")
    greeting = agent.get("welcomeMessage") if greets else None
    turns = converse(scenario, agent=behaviour, greeting=greeting, random=random)
    judgement = judge(scenario.criteria, turns)
    lasts = random.uniform(*seconds)
    return StoredRun(
        job_id=job_id,
        batch_id=batch_id,
        test_case_id=test_case_id,
        chat_id=chat_id,
        created=spelt(at),
        completed=spelt(at + timedelta(seconds=lasts)),
        is_successful=judgement.is_successful,
        remarks=judgement.remarks,
        conversation=_timed(turns, at, lasts),
    )


def fill_with_samples(store: Store) -> None:
    """Put in the documented samples and the history, once."""
    for agent_id, body in samples.AGENTS.items():
        store.put_agent(agent_id, body)
    by_id = {case.test_case_id: _definition(case) for case in samples.CASES}
    for case in samples.CASES:
        store.put_test_case(case.agent_id, by_id[case.test_case_id])
    _add_documented_batch(store, by_id[samples.CASES[0].test_case_id])
    for past in samples.past_batches():
        cases = [by_id[test_case_id] for test_case_id in past.cases]
        launch(store, past.agent_id, cases, at=past.at, seconds=PAST_SECONDS, broken=past.broken)


def _add_documented_batch(store: Store, case: dict[str, Any]) -> None:
    """The documented batch run has one documented run; chance is tried until the other four fit its counters."""
    at = samples.DOCUMENTED_LAUNCH
    agent, behaviour = (
        samples.AGENTS[samples.DOCUMENTED],
        samples.behaviour_of(samples.DOCUMENTED, at),
    )
    scenario = scenario_of(case)
    runs = [_documented_run(case)]
    passed = 1
    while len(runs) < case["attempt"]:
        run = attempt(
            case["testCaseId"], scenario, agent, behaviour, batch_id=samples.DOCUMENTED_BATCH,
            job_id=store.new_id("job"), chat_id=store.new_id("chat"), at=at, seconds=PAST_SECONDS,
            random=store.random("attempt"),
        )  # fmt: skip
        if run.is_successful == (passed < samples.DOCUMENTED_PASSED):
            runs.append(run)
            passed += bool(run.is_successful)
    store.add_batch_run(
        StoredBatch(samples.DOCUMENTED_BATCH, samples.DOCUMENTED, spelt(at), [case]), runs
    )


def _documented_run(case: dict[str, Any]) -> StoredRun:
    at, run = spelt(samples.DOCUMENTED_LAUNCH), samples.DOCUMENTED_RUN
    return StoredRun(
        job_id=run["job_id"],
        batch_id=samples.DOCUMENTED_BATCH,
        test_case_id=case["testCaseId"],
        chat_id=run["chat_id"],
        created=at,
        completed=spelt(samples.DOCUMENTED_END),
        is_successful=True,
        remarks=run["remarks"],
        conversation=[TimedTurn("user", run["said"], at)],
    )


def _definition(case: samples.Case) -> dict[str, Any]:
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


def _timed(turns: Sequence[Turn], at: datetime, lasts: float) -> list[TimedTurn]:
    step = lasts / (len(turns) + 1)
    return [
        TimedTurn(turn.role, turn.content, spelt(at + timedelta(seconds=step * number)))
        for number, turn in enumerate(turns, start=1)
    ]


def _broken(run: StoredRun) -> StoredRun:
    half = run.conversation[: len(run.conversation) // 2]
    return run._replace(completed=None, is_successful=None, remarks=None, conversation=half)

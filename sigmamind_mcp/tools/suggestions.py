"""Suggest ids after a 403 or 404. Best effort: any failure returns ""."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import anyio
import anyio.to_thread

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.errors import NotAllowed, NotFound, SigmaMindError
from sigmamind_mcp.ids import valid_id

SECONDS = 5.0
FEW = 5
SEARCHED = 300
LONGEST_COMPARED = 40
"""An id of the API has about 20 characters, and two of 128 take 2.6 ms to compare."""
IN_LIST = "in the API's list"
BATCH_ARGUMENTS = ("batchId", "baseBatchId", "candidateBatchId")


async def explain_missing_id(asked: Mapping[str, Any], api: SigmaMindClient) -> str:
    """Say which id of a call or URI is unknown and which known ids are similar.

    `asked` has the ids under the API's names: agentId, testCaseId or testCases, batchId, jobId; of
    a comparison baseBatchId and candidateBatchId.
    Returns "" if no id is known to be wrong.
    """
    if "agentId" not in asked:
        return ""
    with anyio.move_on_after(SECONDS):
        try:
            return await _find_missing_id(asked, asked["agentId"], api)
        except SigmaMindError:
            return ""
    return ""


async def _find_missing_id(
    asked: Mapping[str, Any],
    agent_id: str,
    api: SigmaMindClient,
) -> str:
    try:
        listed_cases = await api.list_test_cases(agent_id)
    except (NotAllowed, NotFound):
        return await _suggest_agents(agent_id, api)
    cases = _keep_valid_ids(case.test_case_id for case in listed_cases.items)
    unknown_cases = [case for case in _asked_test_cases(asked) if case not in cases]
    if unknown_cases:
        noun = f"test case of agent {agent_id}"
        unread = listed_cases.unread_count
        return await suggest_ids(
            noun, unknown_cases, cases, "list_test_cases shows them.", unread=unread
        )
    asked_batches = {name: asked[name] for name in BATCH_ARGUMENTS if name in asked}
    if not asked_batches:
        return ""
    page, _ = await api.list_batch_runs(agent_id, size=100)
    batches = _keep_valid_ids(run.batch_id for run in page.items)
    unknown_batches = {}
    for name, batch_id in asked_batches.items():
        if batch_id not in batches:
            unknown_batches[name] = batch_id
    if unknown_batches:
        explanation = await suggest_ids(
            f"batch run of agent {agent_id}",
            list(unknown_batches.values()),
            batches,
            "list_batch_runs shows them.",
            place=f"among the newest {page.entry_count}" if page.has_next else IN_LIST,
            unread=page.unread_count,
        )
        names = " and ".join(unknown_batches)
        return explanation if "batchId" in asked else f"{names}: {explanation}"
    if not {"batchId", "jobId"} <= asked.keys():
        return ""
    batch_id = asked["batchId"]
    runs = await api.list_test_runs(batch_id, agent_id)
    jobs = _keep_valid_ids(run.job_id for run in runs.items)
    if asked["jobId"] in jobs:
        return ""
    noun = f"test run of batch run {batch_id}"
    unread = runs.unread_count
    return await suggest_ids(
        noun, [asked["jobId"]], jobs, "list_test_runs shows them.", unread=unread
    )


async def _suggest_agents(agent_id: str, api: SigmaMindClient) -> str:
    listing = await api.list_agents()
    agents = _keep_valid_ids(agent.agent_id for agent in listing.items)
    if agent_id in agents:  # then the API lacks this agent's list of test cases
        return ""
    unread = listing.unread_count
    return await suggest_ids("agent", [agent_id], agents, "list_agents shows them.", unread=unread)


def _asked_test_cases(asked: Mapping[str, Any]) -> list[str]:
    if asked.get("testCases"):
        return list(asked["testCases"])
    return [asked["testCaseId"]] if "testCaseId" in asked else []


def _keep_valid_ids(values: Iterable[str | None]) -> list[str]:
    return [value for value in values if valid_id(value) and value]


async def suggest_ids(
    noun: str,
    unknown: Sequence[str],
    known: Sequence[str],
    where: str,
    *,
    place: str = IN_LIST,
    unread: int = 0,
) -> str:
    """Name the unknown ids and the known ids that are similar.

    `place` says where they were looked for; `unread` counts its entries that were not read.
    """
    more = f" and {len(unknown) - FEW} more" if len(unknown) > FEW else ""
    limit = ", not all of which was read" if unread else ""
    problem = f"No {noun} called {', '.join(unknown[:FEW])}{more} is {place}{limit}."
    # Comparing takes up to half a second.
    similar = await anyio.to_thread.run_sync(
        _find_similar_ids, unknown, known, abandon_on_cancel=True
    )
    if similar:
        return f"{problem} Similar ids: {', '.join(similar[:3])}. {where}"
    shown = f" It has: {', '.join(known)}." if 0 < len(known) <= FEW else ""
    return f"{problem}{shown} {where}"


def _find_similar_ids(unknown: Sequence[str], known: Sequence[str]) -> list[str]:
    compared = list(filter(_is_short, known[:SEARCHED]))
    similar: list[str] = []
    for name in filter(_is_short, unknown[:FEW]):
        similar += get_close_matches(name, compared, 3, 0.6)
    return list(dict.fromkeys(similar))


def _is_short(name: str) -> bool:
    return len(name) <= LONGEST_COMPARED

"""What an unknown id may have meant. Asked only after the API has said 404 or 403, and given up quietly."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.errors import NotAllowed, NotFound, SigmaMindError
from sigmamind_mcp.ids import valid_id

SECONDS = 5.0
FEW = 5
SEARCHED = 300


async def explain_missing_id(asked: Mapping[str, Any], api: SigmaMindClient) -> str:
    """Say which id of a call or a URI is unknown and which known ones look like it; nothing when that cannot be told.

    `asked` has the ids under the API's names: agentId, testCaseId or testCases, batchId, jobId.
    """
    if "agentId" not in asked:
        return ""
    with anyio.move_on_after(SECONDS):
        try:
            return await _explain(asked, asked["agentId"], api)
        except SigmaMindError:
            return ""
    return ""


async def _explain(asked: Mapping[str, Any], agent_id: str, api: SigmaMindClient) -> str:
    try:
        cases = _ids(case.test_case_id for case in await api.list_test_cases(agent_id))
    except (NotAllowed, NotFound):
        agents = _ids(agent.agent_id for agent in await api.list_agents())
        known = agent_id in agents  # then it is this list that the API does not have
        return "" if known else suggest_ids("agent", [agent_id], agents, "list_agents shows them.")
    wanted = asked.get("testCases") or ([asked["testCaseId"]] if "testCaseId" in asked else [])
    if unknown := [case for case in wanted if case not in cases]:
        return suggest_ids(
            f"test case of agent {agent_id}", unknown, cases, "list_test_cases shows them."
        )
    if "batchId" not in asked:
        return ""
    page, _ = await api.list_batch_runs(agent_id, size=100)
    batches = _ids(run.batch_id for run in page.items)
    if asked["batchId"] not in batches:
        return suggest_ids(
            f"batch run of agent {agent_id}",
            [asked["batchId"]],
            batches,
            "list_batch_runs shows them.",
        )
    if "jobId" not in asked:
        return ""
    jobs = _ids(run.job_id for run in await api.list_test_runs(asked["batchId"], agent_id))
    return suggest_ids(
        f"test run of batch run {asked['batchId']}",
        [asked["jobId"]],
        jobs,
        "list_test_runs shows them.",
    )


def _ids(values: Iterable[str | None]) -> list[str]:
    return [value for value in values if valid_id(value) and value]


def suggest_ids(noun: str, unknown: list[str], known: list[str], where: str) -> str:
    """Say which ids are unknown and which of the known look like them."""
    # Matching is slow and holds the event loop: only the first few unknown ids, among not too many known ones.
    pairs = ((name, known[:SEARCHED]) for name in unknown[:FEW])
    near = list(
        dict.fromkeys(
            match for name, among in pairs for match in get_close_matches(name, among, 3, 0.6)
        )
    )
    more = f" and {len(unknown) - FEW} more" if len(unknown) > FEW else ""
    called = f"No {noun} is called {', '.join(unknown[:FEW])}{more}."
    if near:
        return f"{called} Near: {', '.join(near[:3])}. {where}"
    shown = f" There are: {', '.join(known)}." if 0 < len(known) <= FEW else ""
    return f"{called}{shown} {where}"

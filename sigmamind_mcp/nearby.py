"""What an unknown id may have meant. Asked only after the API has said 404, and given up quietly."""

from collections.abc import Iterable
from difflib import get_close_matches

import anyio

from sigmamind_mcp.client import SigmaMindClient
from sigmamind_mcp.errors import NotFound, SigmaMindError
from sigmamind_mcp.tools.answers import known_id
from sigmamind_mcp.tools.arguments import Arguments, ForAgent

SECONDS = 5.0


async def explain_not_found(args: Arguments, api: SigmaMindClient) -> str:
    """Say which id of the arguments is unknown and which known ones look like it; nothing when that cannot be told."""
    if not isinstance(args, ForAgent):
        return ""
    with anyio.move_on_after(SECONDS):
        try:
            return await _explain(args, args.agent_id, api)
        except SigmaMindError:
            return ""
    return ""


async def _explain(args: Arguments, agent_id: str, api: SigmaMindClient) -> str:
    try:
        cases = _ids(case.test_case_id for case in await api.list_test_cases(agent_id))
    except NotFound:
        agents = _ids(agent.agent_id for agent in await api.list_agents())
        return _sentence("agent", [agent_id], agents, "The dashboard shows agent ids.")
    asked = args.model_dump(exclude_unset=True)
    wanted = asked.get("test_cases") or [asked["test_case_id"]] if {"test_cases", "test_case_id"} & set(asked) else []
    if unknown := [case for case in wanted if case not in cases]:
        return _sentence(f"test case of agent {agent_id}", unknown, cases, "list_test_cases shows them.")
    if "batch_id" not in asked:
        return ""
    page, _ = await api.list_batch_runs(agent_id, size=100)
    batches = _ids(run.batch_id for run in page.items)
    if asked["batch_id"] not in batches:
        return _sentence(f"batch run of agent {agent_id}", [asked["batch_id"]], batches, "list_batch_runs shows them.")
    if "job_id" not in asked:
        return ""
    jobs = _ids(run.job_id for run in await api.list_test_runs(asked["batch_id"], agent_id))
    return _sentence(
        f"test run of batch run {asked['batch_id']}", [asked["job_id"]], jobs, "list_test_runs shows them."
    )


def _ids(values: Iterable[str | None]) -> list[str]:
    return [value for value in values if known_id(value) and value]


def _sentence(noun: str, unknown: list[str], known: list[str], where: str) -> str:
    near = list(dict.fromkeys(match for name in unknown for match in get_close_matches(name, known, 3, 0.6)))
    hint = f" Near: {', '.join(near[:3])}." if near else ""
    return f"No {noun} is called {', '.join(unknown)}.{hint} {where}"

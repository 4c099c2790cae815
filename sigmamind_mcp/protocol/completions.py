"""Ids for people who fill in a resource template or a prompt: newest first, from what is filled in already."""

import hashlib
from collections.abc import Mapping
from time import monotonic

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.protocol.resources import GUIDES

SECONDS = 5.0
REMEMBERED_SECONDS = 10.0

Choice = tuple[str, str]
"""An id, and the name by which people know it."""


class Completions:
    """Looks ids up for each caller, and remembers them for ten seconds, since a client asks at every keystroke."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, list[Choice]]] = {}

    async def complete(
        self,
        name: str,
        typed: str,
        filled: Mapping[str, str],
        api: SigmaMindClient | None,
        caller: str,
    ) -> list[str]:
        """Values of a variable or argument that contain what was typed, in the id or in its name.

        Without `api`, or when the API fails, only what needs no API is offered.
        """
        wanted = typed.casefold()
        choices = await self._choices(name, filled, api, caller)
        return [
            value
            for value, label in choices
            if wanted in value.casefold() or wanted in label.casefold()
        ]

    async def _choices(
        self, name: str, filled: Mapping[str, str], api: SigmaMindClient | None, caller: str
    ) -> list[Choice]:
        if name == "topic":
            return [(topic, title) for topic, title in GUIDES.items()]
        told = "\x00".join([caller, name, filled.get("agentId", ""), filled.get("batchId", "")])
        entry = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
        now = monotonic()
        self._found = {
            key: found for key, found in self._found.items() if found[0] > now - REMEMBERED_SECONDS
        }
        if entry in self._found:
            return self._found[entry][1]
        choices: list[Choice] = []
        with anyio.move_on_after(SECONDS):
            try:
                choices = await _look_up(name, filled, api) if api else []
                self._found[entry] = (now, choices)
            except SigmaMindError:
                return []
        return choices


async def _look_up(name: str, filled: Mapping[str, str], api: SigmaMindClient) -> list[Choice]:
    agent_id, batch_id = valid_id(filled.get("agentId")), valid_id(filled.get("batchId"))
    found: list[tuple[str | None, str]] = []
    if name == "agentId":
        found = [(agent.agent_id, agent.name or "") for agent in await api.list_agents()]
    elif name == "testCaseId" and agent_id:
        found = [
            (case.test_case_id, case.title)
            for case in reversed(await api.list_test_cases(agent_id))
        ]
    elif name == "batchId" and agent_id:
        page, _ = await api.list_batch_runs(agent_id, size=100)
        found = [
            (run.batch_id, "; ".join(case.title for case in run.test_cases)) for run in page.items
        ]
    elif name == "jobId" and agent_id and batch_id:
        runs = await api.list_test_runs(batch_id, agent_id)
        found = [
            (run.job_id, f"{run.verdict} {run.test_case.title if run.test_case else ''}")
            for run in runs
        ]
    return [(value, label) for value, label in found if value and valid_id(value)]

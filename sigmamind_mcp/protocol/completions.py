"""completion/complete: ids for people who fill in a resource template or a prompt."""

import hashlib
from collections.abc import Mapping
from time import monotonic
from typing import NamedTuple

import anyio
import mcp_types as mcp

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import BatchRun, TestRun
from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.protocol.api_access import APIAccess, Request
from sigmamind_mcp.protocol.prompts import COMPLETED_AS, PROMPTS
from sigmamind_mcp.protocol.resources import GUIDES
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.uris import TEMPLATES

LOOKUP_SECONDS = 5.0
CACHE_SECONDS = 10.0
VALUES_SHOWN = 100


class Choice(NamedTuple):
    """An id, and the name that people know it by."""

    value: str
    label: str

    def contains(self, text: str) -> bool:
        return text in self.value.casefold() or text in self.label.casefold()


class CachedChoices(NamedTuple):
    time: float
    choices: list[Choice]


class CompletionHandler:
    """Completes ids, newest first, from the values filled in so far."""

    def __init__(self, settings: Settings, access: APIAccess) -> None:
        self._settings = settings
        self._access = access
        # Clients ask at every keystroke.
        self._cache: dict[str, CachedChoices] = {}

    async def complete(self, ctx: Request, params: mcp.CompleteRequestParams) -> mcp.CompleteResult:
        """Return the values whose id or name contains the typed text."""
        choices: list[Choice] = []
        if _is_ours(params.ref):
            name = COMPLETED_AS.get(params.argument.name, params.argument.name)
            choices = await self._list_choices(name, self._read_variables(params), ctx)
        typed = params.argument.value.casefold()
        values = [choice.value for choice in choices if choice.contains(typed)]
        completion = mcp.Completion(
            values=values[:VALUES_SHOWN],
            total=len(values),
            has_more=len(values) > VALUES_SHOWN,
        )
        return mcp.CompleteResult(completion=completion)

    def _read_variables(self, params: mcp.CompleteRequestParams) -> dict[str, str]:
        variables = dict((params.context and params.context.arguments) or {})
        if self._settings.agent_id:
            variables.setdefault("agentId", self._settings.agent_id)
        return variables

    async def _list_choices(
        self, name: str, variables: Mapping[str, str], ctx: Request
    ) -> list[Choice]:
        """Return all choices of a variable; those from the API only if it answers in time."""
        if name == "topic":
            return [Choice(topic, title) for topic, title in GUIDES.items()]
        caller = self._access.identify_caller(ctx)
        if caller is None:  # no valid key
            return []
        cache_key = _build_cache_key(caller, name, variables)
        now = monotonic()
        self._forget_before(now - CACHE_SECONDS)
        if cache_key in self._cache:
            return self._cache[cache_key].choices
        choices: list[Choice] = []
        with anyio.move_on_after(LOOKUP_SECONDS):
            try:
                choices = await _look_up(name, variables, self._access.build_client(ctx))
                self._cache[cache_key] = CachedChoices(now, choices)
            except SigmaMindError:
                return []
        return choices

    def _forget_before(self, time: float) -> None:
        self._cache = {key: cached for key, cached in self._cache.items() if cached.time > time}


def _is_ours(reference: mcp.PromptReference | mcp.ResourceTemplateReference) -> bool:
    if isinstance(reference, mcp.PromptReference):
        return reference.name in PROMPTS
    return reference.uri in TEMPLATES.values()


def _build_cache_key(caller: str, name: str, variables: Mapping[str, str]) -> str:
    agent_id, batch_id = variables.get("agentId", ""), variables.get("batchId", "")
    text = "\x00".join([caller, name, agent_id, batch_id])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


async def _look_up(name: str, variables: Mapping[str, str], api: SigmaMindClient) -> list[Choice]:
    agent_id = valid_id(variables.get("agentId"))
    batch_id = valid_id(variables.get("batchId"))
    pairs: list[tuple[str | None, str]] = []
    if name == "agentId":
        agents = (await api.list_agents()).items
        pairs = [(agent.agent_id, agent.name or "") for agent in agents]
    elif name == "testCaseId" and agent_id:
        cases = (await api.list_test_cases(agent_id)).items
        pairs = [(case.test_case_id, case.title) for case in reversed(cases)]
    elif name == "batchId" and agent_id:
        page, _ = await api.list_batch_runs(agent_id, size=100)
        pairs = [(run.batch_id, _name_cases(run)) for run in page.items]
    elif name == "jobId" and agent_id and batch_id:
        runs = (await api.list_test_runs(batch_id, agent_id)).items
        pairs = [(run.job_id, _name_verdict(run)) for run in runs]
    return [Choice(value, label) for value, label in pairs if value and valid_id(value)]


def _name_cases(batch_run: BatchRun) -> str:
    return "; ".join(case.title for case in batch_run.test_cases)


def _name_verdict(run: TestRun) -> str:
    title = run.test_case.title if run.test_case else ""
    return f"{run.verdict} {title}"

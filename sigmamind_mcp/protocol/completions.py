"""completion/complete: ids for people who fill in a resource template or a prompt."""

import hashlib
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any, NamedTuple

import anyio
import mcp_types as mcp

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.listings import Listing
from sigmamind_mcp.api.models import AgentRef, BatchRun, TestCase, TestRun
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


class Choices(NamedTuple):
    """The ids to choose from; `has_more` is None if nobody knows whether there are others."""

    items: list[Choice]
    has_more: bool | None = None


class CachedChoices(NamedTuple):
    time: float
    choices: Choices


class CompletionHandler:
    """Completes ids, newest first, from the values filled in so far."""

    def __init__(self, settings: Settings, access: APIAccess) -> None:
        self._settings = settings
        self._access = access
        # Clients ask at every keystroke.
        self._cache: dict[str, CachedChoices] = {}

    async def complete(self, ctx: Request, params: mcp.CompleteRequestParams) -> mcp.CompleteResult:
        """Return the values whose id or name contains the typed text."""
        choices = Choices([], has_more=False)
        if _is_ours(params.ref):
            name = COMPLETED_AS.get(params.argument.name, params.argument.name)
            choices = await self._list_choices(name, self._read_variables(params), ctx)
        typed = params.argument.value.casefold()
        values = []
        for choice in choices.items:
            if choice.contains(typed):
                values.append(choice.value)
        completion = mcp.Completion(
            values=values[:VALUES_SHOWN],
            total=len(values) if choices.has_more is False else None,
            has_more=len(values) > VALUES_SHOWN or choices.has_more,
        )
        return mcp.CompleteResult(completion=completion)

    def _read_variables(self, params: mcp.CompleteRequestParams) -> dict[str, str]:
        variables: dict[str, str] = {}
        if params.context and params.context.arguments:
            variables.update(params.context.arguments)
        if self._settings.agent_id:
            variables.setdefault("agentId", self._settings.agent_id)
        return variables

    async def _list_choices(self, name: str, variables: Mapping[str, str], ctx: Request) -> Choices:
        """Return all choices of a variable; those from the API only if it answers in time."""
        if name == "topic":
            return Choices(list(map(Choice, GUIDES.keys(), GUIDES.values())), has_more=False)
        caller = self._access.identify_caller(ctx)
        if caller is None:  # no valid key
            return Choices([])
        cache_key = _build_cache_key(caller, name, variables)
        now = monotonic()
        self._forget_before(now - CACHE_SECONDS)
        if cache_key in self._cache:
            return self._cache[cache_key].choices
        choices = Choices([])
        with anyio.move_on_after(LOOKUP_SECONDS):
            try:
                choices = await _look_up(name, variables, self._access.build_client(ctx))
                self._cache[cache_key] = CachedChoices(now, choices)
            except SigmaMindError:
                return choices
        return choices

    def _forget_before(self, time: float) -> None:
        for key, cached in list(self._cache.items()):
            if cached.time <= time:
                del self._cache[key]


def _is_ours(reference: mcp.PromptReference | mcp.ResourceTemplateReference) -> bool:
    if isinstance(reference, mcp.PromptReference):
        return reference.name in PROMPTS
    return reference.uri in TEMPLATES.values()


def _build_cache_key(caller: str, name: str, variables: Mapping[str, str]) -> str:
    agent_id = variables.get("agentId", "")
    batch_id = variables.get("batchId", "")
    text = "\x00".join([caller, name, agent_id, batch_id])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


async def _look_up(name: str, variables: Mapping[str, str], api: SigmaMindClient) -> Choices:
    agent_id = valid_id(variables.get("agentId"))
    batch_id = valid_id(variables.get("batchId"))
    if name == "agentId":
        agents = await api.list_agents()
        return _offer(agents, map(_offer_agent, agents.items))
    if name == "testCaseId" and agent_id:
        cases = await api.list_test_cases(agent_id)
        return _offer(cases, map(_offer_case, reversed(cases.items)))
    if name == "batchId" and agent_id:
        page, _ = await api.list_batch_runs(agent_id, size=100)
        return _offer(page, map(_offer_batch_run, page.items), has_next=page.has_next)
    if name == "jobId" and agent_id and batch_id:
        runs = await api.list_test_runs(batch_id, agent_id)
        return _offer(runs, map(_offer_test_run, runs.items))
    return Choices([])


def _offer(listing: Listing[Any], choices: Iterable[Choice], *, has_next: bool = False) -> Choices:
    """Return those with a valid id, and whether the API has others."""
    valid = [choice for choice in choices if valid_id(choice.value)]
    return Choices(valid, has_more=has_next or listing.unread_count > 0)


def _offer_agent(agent: AgentRef) -> Choice:
    return Choice(agent.agent_id or "", agent.name or "")


def _offer_case(case: TestCase) -> Choice:
    return Choice(case.test_case_id or "", case.title)


def _offer_batch_run(batch_run: BatchRun) -> Choice:
    titles = "; ".join(case.title for case in batch_run.test_cases)
    return Choice(batch_run.batch_id or "", titles)


def _offer_test_run(run: TestRun) -> Choice:
    title = run.test_case.title if run.test_case else ""
    return Choice(run.job_id or "", f"{run.verdict} {title}")

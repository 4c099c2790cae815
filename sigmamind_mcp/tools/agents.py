"""Agents: the targets of simulations, with everything that looks like a credential masked."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import anyio.to_thread
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import Agent, AgentRef
from sigmamind_mcp.concurrency import run_if_large
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.variable_names import list_variables
from sigmamind_mcp.masking import mask
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import (
    Answer,
    AnswerPart,
    Cut,
    Rendered,
    field_lines,
    fit_items,
    one_line,
    truncate_text,
)
from sigmamind_mcp.tools.arguments import Detail, ForAgent, Paged
from sigmamind_mcp.tools.list_pages import PageSlice, add_next_page, select_page
from sigmamind_mcp.tools.unread_notes import NO_ID, count_shown, note_listing, note_record
from sigmamind_mcp.untrusted_text import clean_json

MOST_TOOL_NAMES = 50
TOOL_NAME_CHARACTERS = 80
SPEAKS_FIRST = {None: "", True: " It speaks first.", False: " The user speaks first."}


class ListAgents(Paged):
    name_contains: Annotated[
        str, Field(max_length=256, description="Part of the name, in any case.")
    ] = ""


class GetAgent(ForAgent):
    detail: Detail = "concise"


class AgentRow(AnswerPart):
    agent_id: str | None = None
    agent_name: str | None = None

    def line(self) -> str:
        return one_line(f"{self.agent_id or NO_ID}: {self.agent_name or ''}")


class AgentList(Answer):
    """A page of the agents that the key can use."""

    page: int
    size: int
    total_count: int = Field(description="Agents that match, on all pages.")
    agents: list[AgentRow]

    def render(self) -> Rendered:
        shown = f"{len(self.agents)} of {self.total_count} matching agents"
        page = f"(page {self.page}, size {self.size})"
        rows = [row.line() for row in self.agents]
        return Rendered([f"{shown} {page}."], rows, [])


class AgentAnswer(Answer):
    """One agent: its prompts, and what matters to a simulation."""

    agent_id: str
    agent_name: str | None = None
    llm_model: str | None = Field(
        default=None, description="Model of the live agent; a test case may use another."
    )
    ai_starts_conversation: bool | None = None
    instructions: str | None = Field(default=None, description="The agent's own prompt.")
    welcome_message: str | None = None
    global_prompt: str | None = None
    variables: list[str] = Field(
        default=[], description="Variables between {{ }} that mock data should fill."
    )
    tool_names: list[str] = Field(default=[], description="Names of its tools, or their types.")
    tool_count: int | None = Field(
        default=None, description="Absent when the API's answer does not show its tools."
    )
    webhook_count: int | None = Field(
        default=None, description="Absent when the API's answer does not show its webhooks."
    )

    @classmethod
    def of(
        cls,
        agent: Agent,
        agent_id: str,
        variables: Sequence[str],
    ) -> "AgentAnswer":
        settings = agent.agent_settings
        return cls(
            agent_id=agent_id,
            agent_name=agent.name,
            llm_model=settings.llm_model,
            ai_starts_conversation=settings.ai_starts_conversation,
            instructions=agent.instructions,
            welcome_message=agent.welcome_message,
            global_prompt=settings.global_prompt,
            variables=list(variables),
            tool_names=_list_tool_names(agent.tools),
            tool_count=count_shown(agent, "tools", agent.tools),
            webhook_count=count_shown(settings, "webhooks", settings.webhooks),
        )

    def render(self) -> Rendered:
        tools = _count_parts(self.tool_count, "tool")
        webhooks = _count_parts(self.webhook_count, "webhook")
        starts = SPEAKS_FIRST[self.ai_starts_conversation]
        data = field_lines(
            ("agentName", self.agent_name),
            ("llmModel", self.llm_model),
            ("instructions", self.instructions),
            ("welcomeMessage", self.welcome_message),
            ("globalPrompt", self.global_prompt),
            ("variables", ", ".join(self.variables)),
            ("tools", ", ".join(self.tool_names)),
        )
        return Rendered([f"Agent {self.agent_id}: {tools}, {webhooks}.{starts}"], data, [])


async def list_agents(args: ListAgents, api: SigmaMindClient) -> AgentList:
    """List the agents that the key can use, with the agentId that other tools ask for.

    For one agent's prompt use get_agent. Reads only.
    """
    wanted = args.name_contains.casefold()
    listing = await api.list_agents()
    agents = []
    for agent in listing.items:
        if wanted in (agent.name or "").casefold():
            agents.append(agent)
    page = select_page(agents, args)
    build = partial(_build_agent_list, args, agents, page)
    notes = note_listing("agent", listing, lambda agent: agent.agent_id)
    return await fit_items(len(page.items), build, notes)


async def get_agent(args: GetAgent, api: SigmaMindClient) -> AgentAnswer:
    """Read one agent before writing test cases for it: prompt, variables, tools, model.

    To find it by name use list_agents; for its test cases list_test_cases. Reads only; secrets
    masked.
    """
    agent = await api.get_agent(args.agent_id)
    masked = await anyio.to_thread.run_sync(_mask_agent, agent, abandon_on_cancel=True)
    prompts = masked.list_prompts()
    text = "\n".join(filter(None, prompts))
    variables = await run_if_large(len(text), list_variables, text)
    answer = AgentAnswer.of(masked, args.agent_id, variables)
    if len(masked.tools) > MOST_TOOL_NAMES:
        answer.cut = [Cut(field="toolNames", shown=MOST_TOOL_NAMES, of=len(masked.tools))]
    if args.detail == "full":
        answer.raw = masked.raw
    return answer.add_notes(note_record("agent", agent, args.agent_id))


def _build_agent_list(
    args: ListAgents,
    agents: Sequence[AgentRef],
    page: PageSlice[AgentRef],
    count: int,
) -> AgentList:
    rows = []
    for agent in page.items[:count]:
        rows.append(AgentRow(agent_id=valid_id(agent.agent_id), agent_name=agent.name))
    answer = AgentList(
        page=page.place.page,
        size=args.size,
        total_count=len(agents),
        agents=rows,
    )
    add_next_page(answer, "list_agents", args, page, count=count)
    return answer


def _count_parts(count: int | None, noun: str) -> str:
    return f"{noun}s not shown" if count is None else pluralize(count, noun)


def _list_tool_names(tools: Sequence[object]) -> list[str]:
    names = filter(None, map(_find_tool_name, tools[:MOST_TOOL_NAMES]))
    return [truncate_text(one_line(name), TOOL_NAME_CHARACTERS) for name in names]


def _find_tool_name(tool: object) -> str | None:
    """Return the tool's name, or else its type; only the type is documented."""
    if isinstance(tool, str):
        return tool
    if not isinstance(tool, dict):
        return None
    inner = tool.get("function")
    inner_name = inner.get("name") if isinstance(inner, dict) else inner
    for name in (tool.get("name"), tool.get("toolName"), inner_name, tool.get("type")):
        if isinstance(name, str) and name.strip():
            return name
    return None


def _mask_agent(agent: Agent) -> Agent:
    # Cleaned first: a hidden character would carry a secret past its mask.
    return Agent.read(mask(clean_json(agent.raw)))

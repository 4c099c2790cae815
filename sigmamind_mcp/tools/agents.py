"""Agents: the targets of simulations, with everything that looks like a credential masked."""

from typing import Annotated

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import Agent
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.variable_names import list_variables
from sigmamind_mcp.masking import mask
from sigmamind_mcp.tools.answers import (
    Answer,
    NextCall,
    Rendered,
    add_next_page,
    field_lines,
    fit_items,
    one_line,
    pluralize,
)
from sigmamind_mcp.tools.arguments import Detail, ForAgent, Paged
from sigmamind_mcp.untrusted_text import clean_json


class ListAgents(Paged):
    name_contains: Annotated[
        str, Field(max_length=256, description="Part of the name, in any case.")
    ] = ""


class GetAgent(ForAgent):
    detail: Detail = "concise"


class AgentRow(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    agent_id: str | None = None
    agent_name: str | None = None


class AgentList(Answer):
    """A page of the agents that the key can use."""

    page: int
    size: int
    total_count: int = Field(description="Agents that match, on all pages.")
    agents: list[AgentRow]

    def render(self) -> Rendered:
        shown = f"{len(self.agents)} of {self.total_count} matching agents (page {self.page}, size {self.size})."
        return Rendered(
            [shown],
            [
                one_line(f"{row.agent_id or '(no id)'}: {row.agent_name or ''}")
                for row in self.agents
            ],
            [],
        )


class AgentAnswer(Answer):
    """One agent: what it is told to do, and what matters to a simulation."""

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
    tool_count: int = 0
    webhook_count: int = 0

    def render(self) -> Rendered:
        starts = {None: "", True: " It speaks first.", False: " The user speaks first."}[
            self.ai_starts_conversation
        ]
        data = field_lines(
            ("agentName", self.agent_name),
            ("llmModel", self.llm_model),
            ("instructions", self.instructions),
            ("welcomeMessage", self.welcome_message),
            ("globalPrompt", self.global_prompt),
            ("variables", ", ".join(self.variables)),
        )
        has = f"{pluralize(self.tool_count, 'tool')}, {pluralize(self.webhook_count, 'webhook')}."
        return Rendered([f"Agent {self.agent_id}: {has}{starts}"], data, [])


async def list_agents(args: ListAgents, api: SigmaMindClient) -> AgentList:
    """List the agents that the key can use, with the agentId that other tools ask for.

    For one agent's prompt use get_agent. Reads only.
    """
    wanted = args.name_contains.casefold()
    agents = [agent for agent in await api.list_agents() if wanted in (agent.name or "").casefold()]
    end = (args.page + 1) * args.size
    shown = agents[args.page * args.size + args.skip : end]

    def build(count: int) -> AgentList:
        rows = [
            AgentRow(agent_id=valid_id(agent.agent_id), agent_name=agent.name)
            for agent in shown[:count]
        ]
        answer = AgentList(page=args.page, size=args.size, total_count=len(agents), agents=rows)
        return add_next_page(
            answer,
            "list_agents",
            args,
            count,
            len(shown),
            total=len(agents),
            has_next=end < len(agents),
        )

    return await fit_items(len(shown), build)


async def get_agent(args: GetAgent, api: SigmaMindClient) -> AgentAnswer:
    """Read one agent before writing test cases for it: prompt, expected variables, model.

    To find it by name use list_agents; for its test cases list_test_cases. Reads only; secrets masked.
    """
    agent = await api.get_agent(args.agent_id)
    masked = await anyio.to_thread.run_sync(_masked, agent, abandon_on_cancel=True)
    prompts = (masked.instructions, masked.welcome_message, masked.agent_settings.global_prompt)
    answer = AgentAnswer(
        agent_id=args.agent_id,
        agent_name=masked.name,
        llm_model=masked.agent_settings.llm_model,
        ai_starts_conversation=masked.agent_settings.ai_starts_conversation,
        instructions=masked.instructions,
        welcome_message=masked.welcome_message,
        global_prompt=masked.agent_settings.global_prompt,
        variables=list(list_variables("\n".join(filter(None, prompts)))),
        tool_count=len(masked.tools),
        webhook_count=len(masked.agent_settings.webhooks),
        next_calls=[NextCall(tool="list_test_cases", arguments={"agentId": args.agent_id})],
    )
    return answer.with_raw(masked.raw, when=args.detail == "full")


def _masked(agent: Agent) -> Agent:
    return Agent.read(
        mask(clean_json(agent.raw))
    )  # a hidden character would carry a secret past its mask

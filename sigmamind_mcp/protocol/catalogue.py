"""The tools that the server offers."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_type_hints

import mcp_types as mcp

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.call_deadlines import MARGIN_SECONDS
from sigmamind_mcp.protocol.apps import TOOL_META, VIEWED_TOOLS
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools import (
    agents,
    batch_runs,
    case_updates,
    cases,
    compare,
    diagnose,
    drafts,
    history,
    launch,
    read_runs,
    runs,
    search,
)
from sigmamind_mcp.tools.answers import Answer
from sigmamind_mcp.tools.arguments import Arguments
from sigmamind_mcp.tools.call_context import CallContext
from sigmamind_mcp.tools.schemas import input_schema, output_schema, tidy_schema

CALL_SECONDS = 30.0
"""Many clients give up after 60 s (the SDK for TypeScript among them)."""
LONG_CALL_SECONDS = 45.0
"""For tools that read many transcripts, and answer with those that were read in time."""
SHORTEST_WAIT_SECONDS = 10.0
"""A wait of less still has this time for its first read."""


@dataclass(frozen=True)
class Tool:
    """A tool on offer; its function gives its name, description and schemas.

    The function takes the arguments and the API, and with `takes_context` also a CallContext.
    A call ends after `seconds`: reads end shortly before, so that the tool answers with what it
    has. A call that has no answer by then fails, and says `if_late`. With `reads_transcripts`, few
    calls run at once: each holds many transcripts.
    """

    function: Callable[..., Awaitable[Answer]]
    title: str
    effect: Literal["reads", "creates", "changes"] = "reads"
    takes_context: bool = False
    reads_transcripts: bool = False
    seconds: float = CALL_SECONDS
    if_late: str = "Try again. Where it has a size or a page, ask for less at a time."

    @property
    def writes(self) -> bool:
        return self.effect != "reads"

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def description(self) -> str:
        """The function's docstring, with one line for each paragraph."""
        # A line break costs a model as much as a word.
        paragraphs = inspect.cleandoc(self.function.__doc__ or "").split("\n\n")
        return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)

    @cached_property
    def arguments(self) -> type[Arguments]:
        model: type[Arguments] = get_type_hints(self.function)["args"]
        return model

    @cached_property
    def answer_schema(self) -> JSONObject:
        """The schema of the answer, with all that is nested in it."""
        answer: type[Answer] = get_type_hints(self.function)["return"]
        return tidy_schema(answer.model_json_schema(by_alias=True, mode="serialization"))

    def limit_seconds(self, args: Arguments) -> float:
        """Return how long a call with these arguments may take."""
        waited: float = getattr(args, "max_seconds", 0)
        return max(self.seconds, waited + MARGIN_SECONDS)

    async def call(self, args: Arguments, api: SigmaMindClient, context: CallContext) -> Answer:
        if self.takes_context:
            return await self.function(args, api, context)
        return await self.function(args, api)

    def advertise(self, settings: Settings) -> mcp.Tool:
        """Return the tool as clients see it in tools/list."""
        return mcp.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=input_schema(self.arguments, default_agent_id=settings.agent_id),
            output_schema=output_schema(self.answer_schema),
            annotations=mcp.ToolAnnotations(
                title=self.title,
                read_only_hint=not self.writes,
                destructive_hint=self.effect == "changes",
                idempotent_hint=self.effect != "creates",
                open_world_hint=True,
            ),
            _meta=TOOL_META if settings.viewer and self.name in VIEWED_TOOLS else None,
        )


LATE_CREATION = (
    "It may have been made. The same call within 10 minutes gives its result, and makes nothing"
    " twice."
)

TOOLS = (
    Tool(agents.list_agents, "List agents"),
    Tool(agents.get_agent, "Read an agent"),
    Tool(drafts.check_test_case, "Check a draft test case"),
    Tool(cases.create_test_case, "Create a test case", effect="creates", if_late=LATE_CREATION),
    Tool(cases.get_test_case, "Read a test case"),
    Tool(cases.list_test_cases, "List test cases"),
    Tool(
        case_updates.update_test_case,
        "Change a test case",
        effect="changes",
        if_late="It may have been changed: look with get_test_case first.",
    ),
    Tool(
        launch.create_batch_run,
        "Start a batch run",
        effect="creates",
        takes_context=True,
        if_late=LATE_CREATION,
    ),
    Tool(batch_runs.list_batch_runs, "List batch runs"),
    Tool(batch_runs.get_batch_run, "Read a batch run"),
    Tool(
        batch_runs.wait_for_batch_run,
        "Wait for a batch run",
        takes_context=True,
        seconds=SHORTEST_WAIT_SECONDS,
    ),
    Tool(runs.list_test_runs, "List test runs"),
    Tool(runs.get_test_run, "Read a test run"),
    Tool(read_runs.read_test_runs, "Read conversations", reads_transcripts=True),
    Tool(
        search.search_test_runs,
        "Search transcripts",
        takes_context=True,
        reads_transcripts=True,
        seconds=LONG_CALL_SECONDS,
    ),
    Tool(
        diagnose.diagnose_batch_run,
        "Diagnose a batch run",
        takes_context=True,
        reads_transcripts=True,
        seconds=LONG_CALL_SECONDS,
    ),
    Tool(
        compare.compare_batch_runs,
        "Compare batch runs",
        takes_context=True,
        reads_transcripts=True,
        seconds=LONG_CALL_SECONDS,
    ),
    Tool(
        history.get_test_case_history,
        "History of test cases",
        takes_context=True,
        reads_transcripts=True,
        seconds=LONG_CALL_SECONDS,
    ),
)


def list_offered(settings: Settings) -> list[Tool]:
    return [tool for tool in TOOLS if not (tool.writes and settings.read_only)]


def advertise_tools(settings: Settings) -> list[mcp.Tool]:
    """Return the tools as their models describe them; `scripts/surface` records these."""
    return [tool.advertise(settings) for tool in list_offered(settings)]

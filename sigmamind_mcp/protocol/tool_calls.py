"""tools/list and tools/call."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from difflib import get_close_matches
from functools import partial

import mcp_types as mcp
from mcp.shared.exceptions import MCPError
from mcp_types.version import is_version_at_least

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.call_deadlines import CallDeadline, limit_call
from sigmamind_mcp.errors import NotAllowed, NotFound, OutOfTime, SigmaMindError
from sigmamind_mcp.heavy_work import HeavyWork
from sigmamind_mcp.protocol.api_access import APIAccess, Request
from sigmamind_mcp.protocol.apps import MATRIX_KEY
from sigmamind_mcp.protocol.catalogue import TOOLS, Tool, list_offered
from sigmamind_mcp.protocol.elicitation import Unanswered, confirm, get_answer_state
from sigmamind_mcp.protocol.error_results import add_suggestions, build_error_result
from sigmamind_mcp.protocol.recorded_listings import read_listings
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.answers import Answer, FittedAnswer, Link, shorten_to_budget
from sigmamind_mcp.tools.arguments import Arguments, read_arguments
from sigmamind_mcp.tools.call_context import CallContext, Confirmation, RisingProgress
from sigmamind_mcp.tools.started_attempts import StartedAttempts

LINKS_SINCE = "2026-07-28"
"""Results hold resource links from this revision on; the text names the URIs in any case.

2025-06-18 introduced links, but clients of that time (LangChain's and Anthropic's among them) fail
such a call, or pass the link to their model's API as a file, which refuses it.
"""


class ToolHandlers:
    """Lists the tools and calls them."""

    def __init__(
        self, settings: Settings, access: APIAccess, advertised: Sequence[mcp.Tool] | None = None
    ) -> None:
        self._settings = settings
        self._access = access
        self._started_attempts = StartedAttempts()
        self._heavy_work = HeavyWork()
        self._tools = {tool.name: tool for tool in list_offered(settings)}
        self._advertised = {it.name: it for it in advertised or _read_advertised(settings)}

    @property
    def names(self) -> set[str]:
        return set(self._tools)

    def input_schema(self, name: str) -> JSONObject | None:
        tool = self._advertised.get(name)
        return tool.input_schema if tool else None

    async def list_tools(
        self, ctx: Request, params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListToolsResult:
        return mcp.ListToolsResult(tools=list(self._advertised.values()))

    async def call_tool(
        self, ctx: Request, params: mcp.CallToolRequestParams
    ) -> mcp.CallToolResult | mcp.InputRequiredResult:
        tool = self._tools.get(params.name)
        if tool is None:
            message = self._explain_unknown_tool(params.name)
            raise MCPError(code=mcp.INVALID_PARAMS, message=message)
        try:
            args = read_arguments(
                tool.arguments,
                params.arguments,
                tool=tool.name,
                default_agent_id=self._settings.agent_id,
            )
            api = self._access.build_client(ctx)
        except SigmaMindError as exc:
            return build_error_result(exc)
        try:
            result = await self._run(tool, args, api, ctx, params)
        except Unanswered as question:
            return question.result
        except SigmaMindError as exc:
            result = build_error_result(exc)
            # Frames of the error hold what the API sent; a session can keep the error.
            exc.__traceback__ = exc.__context__ = None
        api.mark_delivered()
        return result

    async def _run(
        self,
        tool: Tool,
        args: Arguments,
        api: SigmaMindClient,
        ctx: Request,
        params: mcp.CallToolRequestParams,
    ) -> mcp.CallToolResult:
        seconds = tool.limit_seconds(args)
        with limit_call(seconds) as deadline:
            try:
                context = self._build_context(ctx, params, deadline)
                async with self._wait_for_turn(tool, ctx):
                    answer = await tool.call(args, api, context)
                fitted = await shorten_to_budget(answer)
                result = _build_result(fitted, ctx.protocol_version)
                if self._settings.viewer and answer.matrix:
                    result.meta = {MATRIX_KEY: answer.matrix}
                return result
            except (NotAllowed, NotFound) as exc:
                arguments = args.model_dump(by_alias=True, exclude_unset=True)
                raise await add_suggestions(exc, arguments, api) from exc
        raise OutOfTime(f"{tool.name} did not end within {seconds:.0f} s. {tool.if_late}")

    def _wait_for_turn(self, tool: Tool, ctx: Request) -> AbstractAsyncContextManager[None]:
        if tool.reads_transcripts:
            return self._heavy_work.admit_call(self._access.identify_caller(ctx) or "")
        # Other tools with a context wait for a person or a batch run, and would keep their turn.
        return nullcontext() if tool.takes_context else self._access.take_turn(ctx)

    def _build_context(
        self, ctx: Request, params: mcp.CallToolRequestParams, deadline: CallDeadline
    ) -> CallContext:
        async def ask(question: str, launch: str) -> bool | None:
            masked = self._access.mask_key(ctx, question)
            subject = f"{self._access.identify_caller(ctx) or ''} {launch}"
            with deadline.pause():
                return await confirm(masked, subject, ctx.session, params)

        confirmation = Confirmation(
            limit=self._settings.confirm_attempts,
            started=self._started_attempts,
            ask=ask,
            answer_state=get_answer_state(params),
        )
        progress = RisingProgress(ctx.session.report_progress)
        caller = self._access.identify_caller(ctx) or ""
        run_heavy = partial(self._heavy_work.run, caller)
        return CallContext(progress.report, confirmation, run_heavy)

    def _explain_unknown_tool(self, name: str) -> str:
        if any(tool.name == name for tool in TOOLS):
            return f"{name} writes, and this server was started read-only."
        similar = get_close_matches(name[:100], self._tools, n=3, cutoff=0)
        return f"There is no such tool. Similar names: {', '.join(similar)}. tools/list shows all."


def _read_advertised(settings: Settings) -> list[mcp.Tool]:
    recorded = read_listings(settings).handshake["tools/list"]["tools"]
    return [mcp.Tool.model_validate(tool) for tool in recorded]


def _build_result(fitted: FittedAnswer[Answer], revision: str) -> mcp.CallToolResult:
    structured, text = fitted.forms
    content: list[mcp.ContentBlock] = [mcp.TextContent(text=text)]
    if is_version_at_least(revision, LINKS_SINCE):
        content += map(_build_link, fitted.answer.links)
    return mcp.CallToolResult(content=content, structured_content=structured)


def _build_link(link: Link) -> mcp.ResourceLink:
    return mcp.ResourceLink(uri=link.uri, name=link.name, mime_type=link.mime_type)

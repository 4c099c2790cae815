"""The MCP server: what is offered, whose key a call uses, and how our errors reach a model."""

import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from difflib import get_close_matches
from time import monotonic
from typing import Any

import mcp_types as mcp
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types.version import is_version_at_least
from pydantic import SecretStr, ValidationError

from sigmamind_mcp import __version__
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.idempotency import RecentWrites
from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.callers import CALLER_KEY, fingerprint
from sigmamind_mcp.errors import APIError, InvalidArguments, NotAllowed, NotFound, SigmaMindError
from sigmamind_mcp.masking import OwnKey
from sigmamind_mcp.protocol.catalogue import TOOLS
from sigmamind_mcp.protocol.completions import Completions
from sigmamind_mcp.protocol.elicitation import Unanswered, answer_brought, ask
from sigmamind_mcp.protocol.instructions import instructions
from sigmamind_mcp.protocol.prompts import COMPLETED_AS, PROMPTS
from sigmamind_mcp.protocol.resources import (
    TITLES,
    list_guides,
    list_transcripts,
    read_guide,
    read_resource,
)
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools import launch
from sigmamind_mcp.tools.answers import Answer, shorten_to_budget
from sigmamind_mcp.tools.arguments import read_arguments
from sigmamind_mcp.tools.suggestions import explain_missing_id
from sigmamind_mcp.untrusted_text import fence
from sigmamind_mcp.uris import TEMPLATES, read_uri

logger = logging.getLogger(__name__)


LINKS_SINCE = "2026-07-28"
"""From this revision on a result holds links to resources; the text names them in any case.

2025-06-18 brought them, but clients of that time fail a call for a link, or hand it to their model's API as a file to
fetch, which that refuses: LangChain's, Anthropic's and other libraries do.
"""


_CUT = "The server ended before this was answered. What was to be written may have been done: look before you repeat it."

_LOGGED_METHODS = frozenset(
    "initialize ping server/discover completion/complete logging/setLevel prompts/get prompts/list resources/list"
    " resources/read resources/templates/list tools/call tools/list".split()
)
"""What a caller makes up is not repeated in the log."""

Request = ServerRequestContext[Any, Any]


@asynccontextmanager
async def open_server(settings: Settings, transport: APITransport) -> AsyncIterator[Server[Any]]:
    """Yield a server that works on this API, for any transport; close the API's connections at the end."""
    async with transport:
        yield build_server(settings, transport)


def explain_end(message: SessionMessage) -> SessionMessage:
    """The message as it is, or in our words where the SDK's are that our end has cut the call."""
    cut = message.message
    if not isinstance(cut, mcp.JSONRPCError) or cut.error.code != mcp.CONNECTION_CLOSED:
        return message
    error = mcp.ErrorData(code=mcp.CONNECTION_CLOSED, message=_CUT)
    return SessionMessage(mcp.JSONRPCError(jsonrpc="2.0", id=cut.id, error=error), message.metadata)


def build_server(settings: Settings, transport: APITransport) -> Server[Any]:
    """Assemble the MCP server; everything it serves goes through `upstream`."""
    offer = _Offer(settings, transport)
    public = CacheHint(ttl_ms=3_600_000, scope="public")
    server: Server[Any] = Server(
        "sigmamind-mcp",
        version=__version__,
        title="SigmaMind sandbox (scripted)" if settings.sandbox else "SigmaMind",
        description="Author, run and read simulations of SigmaMind agents.",
        instructions=instructions(settings),
        cache_hints={
            "tools/list": public,
            "prompts/list": public,
            "resources/templates/list": public,
            "server/discover": public,
        },
        get_tool_input_schema=offer.input_schema,
        on_list_tools=offer.list_tools,
        on_call_tool=offer.call_tool,
        on_list_prompts=offer.list_prompts,
        on_get_prompt=offer.get_prompt,
        on_list_resources=offer.list_resources,
        on_list_resource_templates=offer.list_resource_templates,
        on_read_resource=offer.read_resource,
        on_completion=offer.complete,
    )
    server.middleware += [offer.log_call, offer.hide_key]
    return server


class _Offer:
    """The handlers of one server: tools and resources for whichever caller a request belongs to."""

    def __init__(self, settings: Settings, transport: APITransport) -> None:
        self._settings = settings
        self._transport = transport
        self._recent_writes = RecentWrites()
        self._completions = Completions()
        self._tools = {
            tool.name: tool for tool in TOOLS if not (tool.writes and settings.read_only)
        }
        self._advertised = [tool.advertised(settings.agent_id) for tool in self._tools.values()]

    def input_schema(self, name: str) -> JSONObject | None:
        return next((tool.input_schema for tool in self._advertised if tool.name == name), None)

    def api(self, ctx: Request) -> SigmaMindClient:
        """The API as the caller of this request sees it.

        Raises:
            ConfigurationError: the caller has no key, or a malformed one.
        """
        return SigmaMindClient(self._transport, self._key(ctx), self._recent_writes)

    def _key(self, ctx: Request) -> SecretStr:
        if ctx.request is not None:
            key: SecretStr = ctx.request.scope[CALLER_KEY]
            return key
        return self._settings.key()

    async def log_call(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """Log one line for each request: which, how it ended, how long it took, whose it was; nothing it says."""
        if ctx.request_id is None:
            return await call_next(ctx)
        began, status = monotonic(), "cancelled"
        try:
            result = await call_next(ctx)
            status = "refused" if isinstance(result, dict) and result.get("isError") else "ok"
            return result
        except MCPError as exc:
            status = f"error {exc.error.code}"
            raise
        except Exception:
            status = "failed"
            raise
        finally:
            name = (ctx.params or {}).get("name")
            fields = {
                "method": ctx.method if ctx.method in _LOGGED_METHODS else "other",
                "name": name if name in self._tools or name in PROMPTS else None,
                "id": ctx.request_id
                if re.fullmatch(r"[\w.-]{1,64}", str(ctx.request_id), re.ASCII)
                else "other",
                "status": status,
                "ms": round((monotonic() - began) * 1000),
                "caller": self._caller(ctx),
            }
            logger.info(
                "call",
                extra={
                    "fields": {name: value for name, value in fields.items() if value is not None}
                },
            )

    async def hide_key(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        """Keep the caller's key out of whatever leaves here: the API may have said it, in an answer or an error.

        What an error of our own making says, the SDK would send as it is, so the log alone has its type and place.
        """
        hide = self._own_key(ctx).hide
        try:
            result = await call_next(ctx)
        except MCPError as exc:
            raise MCPError(exc.error.code, hide(exc.error.message), hide(exc.error.data)) from exc
        except ValidationError:  # parameters that are not the protocol's: the SDK says so
            raise
        except Exception:
            logger.exception("failed")
            raise MCPError(
                mcp.INTERNAL_ERROR, "This server failed. Its log says where; please report that."
            ) from None
        return hide(result) if isinstance(result, dict) else result

    def _own_key(self, ctx: Request) -> OwnKey:
        try:
            return OwnKey(self._key(ctx).get_secret_value())
        except SigmaMindError:
            return OwnKey("")

    def _caller(self, ctx: Request) -> str | None:
        try:
            return fingerprint(self._key(ctx), 4)
        except SigmaMindError:
            return None

    async def list_tools(
        self, ctx: Request, params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListToolsResult:
        return mcp.ListToolsResult(tools=self._advertised)

    async def call_tool(
        self, ctx: Request, params: mcp.CallToolRequestParams
    ) -> mcp.CallToolResult | mcp.InputRequiredResult:
        tool = self._tools.get(params.name)
        if tool is None:
            raise MCPError(code=mcp.INVALID_PARAMS, message=self._unknown_tool(params.name))
        try:
            args = read_arguments(
                tool.arguments,
                params.arguments,
                tool=tool.name,
                default_agent_id=self._settings.agent_id,
            )
            api = self.api(ctx)
        except SigmaMindError as exc:
            return _refusal(exc)
        caller = self._caller(ctx) or ""
        confirmation = launch.Confirmation(
            self._settings.confirm_attempts,
            lambda question, about: ask(
                self._own_key(ctx).hide(question), f"{caller} {about}", ctx.session, params
            ),
            answer_brought(params),
        )
        report = ctx.session.report_progress
        try:
            answer = await shorten_to_budget(
                await tool.call(args, api, report=report, confirmation=confirmation)
            )
            result = _result(answer, ctx.protocol_version)
        except Unanswered as question:
            return question.result
        except (NotAllowed, NotFound) as exc:
            asked = args.model_dump(by_alias=True, exclude_unset=True)
            result = _refusal(await _with_near_ids(exc, asked, api))
        except SigmaMindError as exc:
            result = _refusal(exc)
        api.mark_delivered()
        return result

    def _unknown_tool(self, name: str) -> str:
        if any(tool.name == name for tool in TOOLS):
            return f"{name} writes, and this server was started read-only."
        nearest = get_close_matches(name[:100], self._tools, n=3, cutoff=0)
        return f"There is no such tool; the nearest are {', '.join(nearest)}, and tools/list shows all."

    async def list_prompts(
        self, ctx: Request, params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListPromptsResult:
        return mcp.ListPromptsResult(
            prompts=[
                mcp.Prompt(
                    name=prompt.name,
                    title=prompt.title,
                    description=prompt.description,
                    arguments=[
                        mcp.PromptArgument(name=name, description=description, required=required)
                        for name, description, required in prompt.arguments(self._settings.agent_id)
                    ],
                )
                for prompt in PROMPTS.values()
            ]
        )

    async def get_prompt(
        self, ctx: Request, params: mcp.GetPromptRequestParams
    ) -> mcp.GetPromptResult:
        prompt = PROMPTS.get(params.name)
        if prompt is None:
            known = ", ".join(PROMPTS)
            raise MCPError(
                code=mcp.INVALID_PARAMS,
                message=f"There is no such prompt; this server has {known}.",
            )
        try:
            text = prompt.text(
                params.arguments,
                default_agent_id=self._settings.agent_id,
                read_only=self._settings.read_only,
            )
        except InvalidArguments as exc:
            raise MCPError(code=mcp.INVALID_PARAMS, message=str(exc)) from exc
        message = mcp.PromptMessage(role="user", content=mcp.TextContent(text=text))
        return mcp.GetPromptResult(description=prompt.description, messages=[message])

    async def list_resources(
        self, ctx: Request, params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListResourcesResult:
        cursor = params.cursor if params else None
        entries = [] if cursor else list_guides()
        next_cursor = None
        if self._settings.agent_id:
            try:
                found = await list_transcripts(
                    cursor or "0:0", self._settings.agent_id, self.api(ctx)
                )
                entries, next_cursor = entries + found.entries, found.next_cursor
            except InvalidArguments as exc:
                raise MCPError(code=mcp.INVALID_PARAMS, message=str(exc)) from exc
            except SigmaMindError:
                logger.warning("resources/list: no transcripts, because there is no usable key")
        elif cursor:
            raise MCPError(code=mcp.INVALID_PARAMS, message="This list has one page.")
        return mcp.ListResourcesResult(
            resources=[
                mcp.Resource(
                    uri=entry.uri, name=entry.name, title=entry.title, mime_type=entry.mime_type
                )
                for entry in entries
            ],
            next_cursor=next_cursor,
        )

    async def list_resource_templates(
        self, ctx: Request, params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListResourceTemplatesResult:
        return mcp.ListResourceTemplatesResult(
            resource_templates=[
                mcp.ResourceTemplate(
                    uri_template=template,
                    name=kind,
                    title=TITLES[kind][0],
                    description=TITLES[kind][1],
                    mime_type=TITLES[kind][2],
                )
                for kind, template in TEMPLATES.items()
            ]
        )

    async def read_resource(
        self, ctx: Request, params: mcp.ReadResourceRequestParams
    ) -> mcp.ReadResourceResult:
        uri = str(params.uri)
        try:
            address = read_uri(uri)
            if address is None:
                raise InvalidArguments(
                    "No resource has that URI. resources/templates/list shows the forms there are."
                )
            if address.kind == "guide":
                text, ttl_ms = read_guide(address.variables["topic"]), 3_600_000
                if text is None:
                    raise InvalidArguments(
                        "No guide is called that. resources/list shows those there are."
                    )
            else:
                api = self.api(ctx)
                try:
                    text, ttl_ms = await read_resource(address, api)
                except (NotAllowed, NotFound) as exc:
                    raise await _with_near_ids(exc, address.variables, api) from exc
        except (InvalidArguments, NotFound) as exc:
            raise MCPError(code=mcp.INVALID_PARAMS, message=str(exc), data={"uri": uri}) from exc
        except SigmaMindError as exc:
            raise MCPError(code=mcp.INTERNAL_ERROR, message=str(exc)) from exc
        contents = mcp.TextResourceContents(uri=uri, text=text, mime_type=TITLES[address.kind][2])
        return mcp.ReadResourceResult(
            contents=[contents],
            ttl_ms=ttl_ms,
            cache_scope="public" if address.kind == "guide" else "private",
        )

    async def complete(self, ctx: Request, params: mcp.CompleteRequestParams) -> mcp.CompleteResult:
        filled = dict((params.context and params.context.arguments) or {})
        if self._settings.agent_id:
            filled.setdefault("agentId", self._settings.agent_id)
        values: list[str] = []
        if isinstance(params.ref, mcp.PromptReference):
            is_ours = params.ref.name in PROMPTS
        else:
            is_ours = params.ref.uri in TEMPLATES.values()
        if is_ours:
            try:
                key = self._key(ctx)
                api, caller = (
                    SigmaMindClient(self._transport, key, self._recent_writes),
                    key.get_secret_value(),
                )
            except SigmaMindError:
                api, caller = None, ""
            name, typed = (
                COMPLETED_AS.get(params.argument.name, params.argument.name),
                params.argument.value,
            )
            values = await self._completions.complete(name, typed, filled, api, caller)
        shown = mcp.Completion(values=values[:100], total=len(values), has_more=len(values) > 100)
        return mcp.CompleteResult(completion=shown)


async def _with_near_ids(exc: APIError, asked: Mapping[str, Any], api: SigmaMindClient) -> APIError:
    """The error in words that name the unknown id, where that can be told; they replace the API's own reasons."""
    explanation = await explain_missing_id(asked, api)
    return NotFound(explanation, status=exc.status) if explanation else exc


def _result(answer: Answer, revision: str) -> mcp.CallToolResult:
    text = mcp.TextContent(text=answer.text())
    linked = answer.links if is_version_at_least(revision, LINKS_SINCE) else ()
    links = [
        mcp.ResourceLink(uri=link.uri, name=link.name, mime_type=link.mime_type) for link in linked
    ]
    return mcp.CallToolResult(content=[text, *links], structured_content=answer.structured())


def _refusal(exc: SigmaMindError) -> mcp.CallToolResult:
    return mcp.CallToolResult(content=[mcp.TextContent(text=_explained(exc))], is_error=True)


def _explained(exc: SigmaMindError) -> str:
    """The error in our words, and what the API said of the reasons inside a fence."""
    if not isinstance(exc, APIError) or not exc.upstream:
        return str(exc)
    reasons = "\n".join(f"{field}: {said}" for field, said in list(exc.upstream.items())[:20])
    return f"{exc}\n\nThe API said:\n{fence(reasons[:2000])}"

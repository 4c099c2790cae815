"""The MCP server, assembled from its handlers and middleware."""

from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import mcp_types as mcp
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage

from sigmamind_mcp import __version__
from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.protocol.api_access import APIAccess
from sigmamind_mcp.protocol.completions import CompletionHandler
from sigmamind_mcp.protocol.instructions import choose_title, write_instructions
from sigmamind_mcp.protocol.middleware import (
    CallLog,
    KeyMasking,
    ParameterErrors,
    TextArguments,
)
from sigmamind_mcp.protocol.prompts import PROMPTS, PromptHandlers
from sigmamind_mcp.protocol.resources import ResourceHandlers
from sigmamind_mcp.protocol.skills import add_skills
from sigmamind_mcp.protocol.tool_calls import ToolHandlers
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.viewer import APPS_EXTENSION

_SERVER_ENDED = (
    "The server ended before this was answered. If this call writes, the write may have been made."
    " Check before you repeat it."
)
_HOUR = CacheHint(ttl_ms=3_600_000, scope="public")


@asynccontextmanager
async def open_server(
    settings: Settings, transport: APITransport, advertised: Sequence[mcp.Tool] | None = None
) -> AsyncIterator[Server[Any]]:
    """Yield a server on this API for any transport; close the API's connections at the end."""
    async with transport:
        yield build_server(settings, transport, advertised)


def build_server(
    settings: Settings, transport: APITransport, advertised: Sequence[mcp.Tool] | None = None
) -> Server[Any]:
    """Return a server that sends all its requests to the API through `transport`.

    It advertises the recorded tools, unless `advertised` holds others.
    """
    access = APIAccess(settings, transport)
    tools = ToolHandlers(settings, access, advertised)
    prompts = PromptHandlers(settings)
    resources = ResourceHandlers(settings, access)
    completions = CompletionHandler(settings, access)
    server: Server[Any] = Server(
        "sigmamind-mcp",
        version=__version__,
        title=choose_title(settings),
        description="Author, run and diagnose simulations of SigmaMind agents.",
        icons=[_load_icon()],
        instructions=write_instructions(settings),
        cache_hints={
            "tools/list": _HOUR,
            "prompts/list": _HOUR,
            "resources/templates/list": _HOUR,
            "server/discover": _HOUR,
        },
        get_tool_input_schema=tools.input_schema,
        on_list_tools=tools.list_tools,
        on_call_tool=tools.call_tool,
        on_list_prompts=prompts.list_prompts,
        on_get_prompt=prompts.get_prompt,
        on_list_resources=resources.list_resources,
        on_list_resource_templates=resources.list_resource_templates,
        on_read_resource=resources.read_resource,
        on_completion=completions.complete,
    )
    if settings.viewer:
        server.extensions[APPS_EXTENSION] = {}
    add_skills(server)
    # The first one is the outermost.
    log = CallLog(access, tools.names | set(PROMPTS))
    server.middleware += [log, KeyMasking(access), ParameterErrors(), TextArguments()]
    return server


def _load_icon() -> mcp.Icon:
    image = b64encode(files("sigmamind_mcp").joinpath("icon.png").read_bytes()).decode()
    return mcp.Icon(src=f"data:image/png;base64,{image}", mime_type="image/png", sizes=["48x48"])


def explain_end(message: SessionMessage) -> SessionMessage:
    """Replace the error of a call that the stopping server interrupted."""
    error = message.message
    if not isinstance(error, mcp.JSONRPCError) or error.error.code != mcp.CONNECTION_CLOSED:
        return message
    explained = mcp.ErrorData(code=mcp.CONNECTION_CLOSED, message=_SERVER_ENDED)
    answer = mcp.JSONRPCError(jsonrpc="2.0", id=error.id, error=explained)
    return SessionMessage(answer, message.metadata)

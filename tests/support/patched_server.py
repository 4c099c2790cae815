"""Serve our HTTP server with the fixtures of the conformance suite added; `python -m tests.support.patched_server`.

The suite asks for certain tools, resources and prompts. They run through our command line, HTTP app and handlers, so
its verdict is about those. The package contains none of this.
"""

import base64
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import anyio
import mcp_types as mcp
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.cli import main
from sigmamind_mcp.protocol.api_access import Request
from sigmamind_mcp.protocol.elicitation import Unanswered, confirm
from sigmamind_mcp.protocol.server import open_server
from sigmamind_mcp.settings import Settings

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
WAV = base64.b64encode(b"RIFF\x04\x00\x00\x00WAVE").decode()

TEXT = mcp.TextContent(text="A text.")
IMAGE = mcp.ImageContent(data=PNG, mime_type="image/png")
AUDIO = mcp.AudioContent(data=WAV, mime_type="audio/wav")
DOCUMENT = mcp.EmbeddedResource(
    resource=mcp.TextResourceContents(
        uri="test://embedded-resource", mime_type="text/plain", text="A document."
    )
)
CONTENT: dict[str, list[mcp.ContentBlock]] = {
    "test_simple_text": [TEXT],
    "test_image_content": [IMAGE],
    "test_audio_content": [AUDIO],
    "test_embedded_resource": [DOCUMENT],
    "test_multiple_content_types": [TEXT, IMAGE, DOCUMENT],
    "test_logging_tool": [TEXT],  # our log goes to stderr, never to the client
}
"""The answer of each tool that needs no arguments."""

Call = Callable[
    [Request, mcp.CallToolRequestParams], Awaitable[mcp.CallToolResult | mcp.InputRequiredResult]
]


async def return_error(ctx: Request, params: mcp.CallToolRequestParams) -> mcp.CallToolResult:
    return mcp.CallToolResult(content=[mcp.TextContent(text="It went wrong.")], is_error=True)


async def report_progress(ctx: Request, params: mcp.CallToolRequestParams) -> mcp.CallToolResult:
    for percent in (0, 50, 100):
        await ctx.session.report_progress(percent, 100)
        await anyio.sleep(0.05)
    return mcp.CallToolResult(content=[TEXT])


async def require_sampling(ctx: Request, params: mcp.CallToolRequestParams) -> mcp.CallToolResult:
    if not ctx.session.check_client_capability(
        mcp.ClientCapabilities(sampling=mcp.SamplingCapability())
    ):
        raise MCPError(
            code=mcp.MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="This needs sampling.",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return mcp.CallToolResult(content=[TEXT])


async def ask_through_our_code(
    ctx: Request, params: mcp.CallToolRequestParams
) -> mcp.CallToolResult | mcp.InputRequiredResult:
    try:
        answer = await confirm("May it go on?", "it", ctx.session, params)
    except Unanswered as question:
        return question.result
    return mcp.CallToolResult(content=[mcp.TextContent(text=f"state-ok, the answer is {answer}")])


async def ask_for_name(
    ctx: Request, params: mcp.CallToolRequestParams
) -> mcp.CallToolResult | mcp.InputRequiredResult:
    answer = (params.input_responses or {}).get("user_name")
    if isinstance(answer, mcp.ElicitResult) and answer.content:
        return mcp.CallToolResult(
            content=[mcp.TextContent(text=f"Hello, {answer.content.get('name')}!")]
        )
    form = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    request = mcp.ElicitRequest(
        params=mcp.ElicitRequestFormParams(message="Your name?", requested_schema=form)
    )
    return mcp.InputRequiredResult(input_requests={"user_name": request})


CALLS: dict[str, Call] = {
    "test_error_handling": return_error,
    "test_tool_with_progress": report_progress,
    "test_missing_capability": require_sampling,
    "test_streaming_elicitation": ask_through_our_code,
    "test_input_required_result_request_state": ask_through_our_code,
    "test_input_required_result_tampered_state": ask_through_our_code,
    "test_input_required_result_capabilities": ask_through_our_code,
    "test_input_required_result_elicitation": ask_for_name,
}

RESOURCES: dict[str, mcp.TextResourceContents | mcp.BlobResourceContents] = {
    "test://static-text": mcp.TextResourceContents(
        uri="test://static-text", mime_type="text/plain", text="A text."
    ),
    "test://static-binary": mcp.BlobResourceContents(
        uri="test://static-binary", mime_type="image/png", blob=PNG
    ),
    "test://template/123/data": mcp.TextResourceContents(
        uri="test://template/123/data", mime_type="application/json", text='{"id": "123"}'
    ),
}

PROMPTS: dict[str, tuple[list[str], mcp.ContentBlock]] = {
    "test_simple_prompt": ([], TEXT),
    "test_prompt_with_arguments": (["arg1", "arg2"], TEXT),
    "test_prompt_with_embedded_resource": (["resourceUri"], DOCUMENT),
    "test_prompt_with_image": ([], IMAGE),
}
"""The arguments and the content of each prompt."""


def add_fixtures(server: Server[Any]) -> None:
    """Answer requests for fixtures, and pass all others on to the server's own handlers."""
    own = {
        method: _handler(server, method)
        for method in (
            "tools/list", "tools/call", "resources/list", "resources/templates/list", "resources/read",
            "prompts/list", "prompts/get",
        )
    }  # fmt: skip

    async def list_tools(
        ctx: Request, params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListToolsResult:
        result: mcp.ListToolsResult = await own["tools/list"](ctx, params)
        fixtures = [
            mcp.Tool(
                name=name,
                description="A fixture.",
                input_schema={"type": "object", "properties": {}},
            )
            for name in [*CONTENT, *CALLS]
        ]
        return result.model_copy(update={"tools": [*result.tools, *fixtures]})

    async def call_tool(
        ctx: Request, params: mcp.CallToolRequestParams
    ) -> mcp.CallToolResult | mcp.InputRequiredResult:
        if params.name in CONTENT:
            return mcp.CallToolResult(content=CONTENT[params.name])
        call: Call = CALLS.get(params.name, own["tools/call"])
        return await call(ctx, params)

    async def list_resources(
        ctx: Request, params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListResourcesResult:
        result: mcp.ListResourcesResult = await own["resources/list"](ctx, params)
        fixtures = [
            mcp.Resource(uri=uri, name=uri, mime_type=resource.mime_type)
            for uri, resource in RESOURCES.items()
        ]
        return result.model_copy(update={"resources": [*result.resources, *fixtures]})

    async def list_templates(
        ctx: Request, params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListResourceTemplatesResult:
        result: mcp.ListResourceTemplatesResult = await own["resources/templates/list"](ctx, params)
        fixture = mcp.ResourceTemplate(uri_template="test://template/{id}/data", name="fixture")
        return result.model_copy(
            update={"resource_templates": [*result.resource_templates, fixture]}
        )

    async def read_resource(
        ctx: Request, params: mcp.ReadResourceRequestParams
    ) -> mcp.ReadResourceResult:
        if params.uri in RESOURCES:
            return mcp.ReadResourceResult(contents=[RESOURCES[params.uri]])
        result: mcp.ReadResourceResult = await own["resources/read"](ctx, params)
        return result

    async def list_prompts(
        ctx: Request, params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListPromptsResult:
        result: mcp.ListPromptsResult = await own["prompts/list"](ctx, params)
        fixtures = [
            mcp.Prompt(
                name=name,
                description="A fixture.",
                arguments=[
                    mcp.PromptArgument(name=argument, required=True) for argument in arguments
                ],
            )
            for name, (arguments, _) in PROMPTS.items()
        ]
        return result.model_copy(update={"prompts": [*result.prompts, *fixtures]})

    async def get_prompt(ctx: Request, params: mcp.GetPromptRequestParams) -> mcp.GetPromptResult:
        if params.name in PROMPTS:
            text = mcp.TextContent(text=f"With {params.arguments or {}}.")
            content = [text, PROMPTS[params.name][1]]
            return mcp.GetPromptResult(
                messages=[mcp.PromptMessage(role="user", content=each) for each in content]
            )
        result: mcp.GetPromptResult = await own["prompts/get"](ctx, params)
        return result

    server.add_request_handler("tools/list", mcp.PaginatedRequestParams, list_tools)
    server.add_request_handler("tools/call", mcp.CallToolRequestParams, call_tool)
    server.add_request_handler("resources/list", mcp.PaginatedRequestParams, list_resources)
    server.add_request_handler(
        "resources/templates/list", mcp.PaginatedRequestParams, list_templates
    )
    server.add_request_handler("resources/read", mcp.ReadResourceRequestParams, read_resource)
    server.add_request_handler("prompts/list", mcp.PaginatedRequestParams, list_prompts)
    server.add_request_handler("prompts/get", mcp.GetPromptRequestParams, get_prompt)


def _handler(server: Server[Any], method: str) -> Callable[..., Awaitable[Any]]:
    entry = server.get_request_handler(method)
    assert entry is not None, f"the server has no {method}"
    return entry.handler


@asynccontextmanager
async def open_patched_server(
    settings: Settings, transport: APITransport
) -> AsyncIterator[Server[Any]]:
    async with open_server(settings, transport) as server:
        add_fixtures(server)
        yield server


if __name__ == "__main__":
    with patch("sigmamind_mcp.transports.http.open_server", open_patched_server):
        sys.exit(main(["serve", "--sandbox", *sys.argv[1:]]))

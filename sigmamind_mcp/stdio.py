"""MCP over stdin and stdout, as desktop clients and editors start it."""

from mcp.server.stdio import stdio_server

from sigmamind_mcp.server import open_server
from sigmamind_mcp.settings import Settings


async def serve_stdio(settings: Settings) -> None:
    """Serve one client until it closes our stdin."""
    async with open_server(settings) as server, stdio_server() as (read_stream, write_stream):
        await server.run(read_stream, write_stream, server.create_initialization_options())

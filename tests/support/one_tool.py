"""Serve one trivial tool with the SDK alone, as the baseline of `scripts/release/bench`."""

import argparse

import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("one-tool")


@server.tool()
def repeat(text: str) -> str:
    """Return the text."""
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    port = parser.parse_args().port
    if port is None:
        server.run()
    else:
        from sigmamind_mcp.transports.uvicorn_server import (
            bind,
        )  # a start on stdio does not load it

        app = server.streamable_http_app(stateless_http=True)
        with bind("127.0.0.1", port) as bound:
            print("http://{}:{}/mcp".format(*bound.getsockname()), flush=True)  # noqa: T201 - its address
            uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run([bound])

"""Call a tool of a server on port 8765 as a client behind a proxy does; only the standard library.

It runs inside the machine that serves: `python - KEY < call_served.py`. It prints the names of the agents.
"""

import http.client
import json
import sys
from typing import Any

PORT = 8765
HOST = "mcp.example.com"


def call_tool(key: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the structured content of a tool's answer."""
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": name, "arguments": arguments},
    }
    headers = {
        "Host": HOST,
        "X-API-Key": key,
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
    }
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    connection.request("POST", "/mcp", json.dumps(message), headers)
    response = connection.getresponse()
    body = response.read().decode()
    if response.status != 200:
        sys.exit(f"{response.status} {body}")
    lines = [line.removeprefix("data:") for line in body.splitlines() if line.startswith("data:")]
    content: dict[str, Any] = json.loads(lines[-1] if lines else body)["result"][
        "structuredContent"
    ]
    return content


if __name__ == "__main__":
    agents = call_tool(sys.argv[1], "list_agents", {})["agents"]
    print(", ".join(agent["agentName"] for agent in agents))

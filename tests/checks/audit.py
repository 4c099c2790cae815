"""Known holes, a second opinion on the protocol, and a fuzzer; `python -m tests.checks.audit PYTHON` exits 1 if one objects.

The last two hang on young tools of single authors, so they are read before a release instead of deciding what lands;
`--holes` looks for known holes alone. Their lists are asked for over the network: where that cannot be done it is said.
"""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mcp_types as mcp
from mcp.server.lowlevel import Server

from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.cli import main
from sigmamind_mcp.protocol.api_access import Request
from sigmamind_mcp.protocol.server import open_server
from sigmamind_mcp.settings import Settings
from tests.support.processes import serving

SECONDS = 600
STRICT = "strict"


def audit(python: Path) -> int:
    """Audit the locked packages, then run both judges against a sandbox each; 0 when none objects."""
    tools = python.parent
    suffix = python.suffix
    holes = look_up(python)
    with serving("serve", "--sandbox") as url:
        checked = _run([str(tools / f"mcpcheck{suffix}"), f"{url}/mcp", "--strict"])
    with serving(STRICT, module="tests.checks.audit") as url:
        fuzz = [str(tools / f"toolproof{suffix}"), "fuzz", "--examples", "15", "--seed", "1"]
        fuzzed = _run([*fuzz, "--include-destructive", "--url", f"{url}/mcp"])
    return max(holes, checked, fuzzed)


def look_up(python: Path) -> int:
    """Print the known holes of the locked packages; 1 when there are any, 0 too where the lists cannot be reached."""
    asked = [
        "--requirement",
        "requirements-dev.txt",
        "--require-hashes",
        "--disable-pip",
        "--format",
        "json",
    ]
    command = [str(python.parent / f"pip-audit{python.suffix}"), *asked]
    done = subprocess.run(
        command, timeout=SECONDS, check=False, capture_output=True, encoding="utf-8"
    )
    packages = json.loads(done.stdout)["dependencies"] if done.stdout.strip() else []
    known = [package for package in packages if "vulns" in package]
    said = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'none'}"
        for package in known
        for hole in package["vulns"]
    ]
    said.append(
        f"{len(known)} locked packages looked up; of {len(packages) - len(known)} the lists cannot be reached."
    )
    print(*said, sep="\n")
    return int(any(package["vulns"] for package in known))


def _run(command: list[str]) -> int:
    return int(subprocess.run(command, timeout=SECONDS, check=False).returncode != 0)


@asynccontextmanager
async def open_strict(settings: Settings, transport: APITransport) -> AsyncIterator[Server[Any]]:
    """The server without its lenience towards null, which counts as not given; the fuzzer would find nothing else."""
    async with open_server(settings, transport) as server:
        own = server.get_request_handler("tools/call")
        assert own is not None

        async def call_tool(ctx: Request, params: mcp.CallToolRequestParams) -> Any:
            if None in (params.arguments or {}).values():
                return mcp.CallToolResult(
                    content=[mcp.TextContent(text="null is refused here.")], is_error=True
                )
            return await own.handler(ctx, params)

        server.add_request_handler("tools/call", mcp.CallToolRequestParams, call_tool)
        yield server


if __name__ == "__main__":
    if sys.argv[1] == STRICT:
        with patch("sigmamind_mcp.transports.http.open_server", open_strict):
            sys.exit(main(["serve", "--sandbox", *sys.argv[2:]]))
    sys.exit((look_up if "--holes" in sys.argv[2:] else audit)(Path(sys.argv[1])))

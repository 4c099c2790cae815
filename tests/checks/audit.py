"""Look for vulnerabilities, check the protocol again, and fuzz the tools; `python -m tests.checks.audit PYTHON`.

Exits 1 if one of them finds something. The last two depend on young tools of single authors, so they run before a
release and block no change. `--holes` looks only for vulnerabilities: those known of the locked packages, which needs
the network and says so where there is none, and unsafe steps of action.yml and the workflows.
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
    """Run all checks, the last two against a sandbox each; return 0 if none finds anything."""
    tools = python.parent
    suffix = python.suffix
    holes = find_holes(python)
    with serving("serve", "--sandbox") as url:
        protocol = _run([str(tools / f"mcpcheck{suffix}"), f"{url}/mcp", "--strict"])
    with serving(STRICT, module="tests.checks.audit") as url:
        fuzz = [str(tools / f"toolproof{suffix}"), "fuzz", "--examples", "15", "--seed", "1"]
        fuzzing = _run([*fuzz, "--include-destructive", "--url", f"{url}/mcp"])
    return max(holes, protocol, fuzzing)


def find_holes(python: Path) -> int:
    """Look for known vulnerabilities and unsafe workflows; return 0 if there are none."""
    zizmor = str(python.parent / f"zizmor{python.suffix}")
    options = ["--offline", "--no-progress", "--strict-collection"]
    workflows = _run([zizmor, *options, "action.yml", ".github/workflows"])
    return max(workflows, find_known_holes(python))


def find_known_holes(python: Path) -> int:
    """Print the known vulnerabilities of the locked packages, and return 1 if there are any.

    Returns 0 too for packages that cannot be looked up.
    """
    options = ["--requirement", "requirements-dev.txt", "--require-hashes", "--disable-pip"]
    process = subprocess.run(
        [str(python.parent / f"pip-audit{python.suffix}"), *options, "--format", "json"],
        timeout=SECONDS,
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    packages = json.loads(process.stdout)["dependencies"] if process.stdout.strip() else []
    known = [package for package in packages if "vulns" in package]
    for package in known:
        for hole in package["vulns"]:
            fixes = ", ".join(hole["fix_versions"]) or "none"
            print(f"{package['name']} {package['version']}: {hole['id']}, fixed in {fixes}")
    print(f"Looked up {len(known)} locked packages; {len(packages) - len(known)} could not be.")
    return int(any(package["vulns"] for package in known))


def _run(command: list[str]) -> int:
    return int(subprocess.run(command, timeout=SECONDS, check=False).returncode != 0)


@asynccontextmanager
async def open_strict(settings: Settings, transport: APITransport) -> AsyncIterator[Server[Any]]:
    """Open the server so that it rejects null arguments.

    Normally null means not given, and the fuzzer would report nothing else.
    """
    async with open_server(settings, transport) as server:
        own = server.get_request_handler("tools/call")
        assert own is not None

        async def call_tool(ctx: Request, params: mcp.CallToolRequestParams) -> Any:
            if None in (params.arguments or {}).values():
                return mcp.CallToolResult(
                    content=[mcp.TextContent(text="null is not allowed here.")], is_error=True
                )
            return await own.handler(ctx, params)

        server.add_request_handler("tools/call", mcp.CallToolRequestParams, call_tool)
        yield server


if __name__ == "__main__":
    if sys.argv[1] == STRICT:
        with patch("sigmamind_mcp.transports.http.open_server", open_strict):
            sys.exit(main(["serve", "--sandbox", *sys.argv[2:]]))
    sys.exit((find_holes if "--holes" in sys.argv[2:] else audit)(Path(sys.argv[1])))

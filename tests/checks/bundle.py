"""Check the bundle for desktop hosts; `python -m tests.checks.bundle NODE LINTER` exits 1 on a failure.

This packs dist/sigmamind-mcp.mcpb. Then mcpb validates and unpacks it and fills in settings as a host does, the Inspector starts the result with `uv run`, and skillsaw lints server.json.
"""

import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from sigmamind_mcp import __version__
from sigmamind_mcp.protocol.catalogue import TOOLS
from tests.checks.interop import INTEROP, CheckFailed, NodeChecks, print_verdict
from tests.checks.pack_bundle import BUNDLE, ROOT, pack
from tests.support.processes import environment

MCPB = INTEROP / "node_modules" / "@anthropic-ai" / "mcpb" / "dist" / "cli" / "cli.js"

OPTIONAL = ("agent_id", "read_only", "confirm_attempts", "viewer")
SETTINGS: dict[str, dict[str, object]] = {
    "the key alone": {"api_key": "key"},
    "blank": {"api_key": "key", **dict.fromkeys(OPTIONAL, "")},
    "null": {"api_key": "key", **dict.fromkeys(OPTIONAL)},
    "read only": {"api_key": "key", "read_only": True},
    "without pages": {"api_key": "key", "viewer": False},
    "left as variables": {
        name: f"${{user_config.{name}}}" for name in ("api_key", "agent_id", "confirm_attempts")
    },
}
"""Settings as hosts pass them, with several forms of an empty field."""


class BundleChecks(NodeChecks):
    """Checks of the bundle by mcpb, uv and the Inspector, and of server.json by skillsaw."""

    def __init__(self, node: Path, home: Path, linter: Path) -> None:
        super().__init__(node, home)
        self.linter = linter
        self.unpacked = home / "unpacked"

    def check_packing(self) -> str:
        pack(ROOT, BUNDLE)
        again = self.home / "again.mcpb"
        pack(ROOT, again)
        if BUNDLE.read_bytes() != again.read_bytes():
            raise CheckFailed("Packing twice gave different bytes.")
        with zipfile.ZipFile(BUNDLE) as archive:
            files = len(archive.namelist())
        size = BUNDLE.stat().st_size // 1024
        return f"{files} files, {size} KiB, sha256 {sha256(BUNDLE.read_bytes()).hexdigest()}"

    def validate(self) -> str:
        for command in (("validate", ROOT / "manifest.json"), ("unpack", BUNDLE, self.unpacked)):
            process = self._run(MCPB, *command)
            if process.returncode:
                raise CheckFailed(process.stdout + process.stderr)
        return "valid, and unpacked"

    def launch(self, settings: dict[str, object]) -> str:
        """Start the bundle as a host does, with these settings, and list the tools."""
        names = [
            tool["name"] for tool in self._inspect(*self._fill_in(settings))["result"]["tools"]
        ]
        if names != [
            tool.name for tool in TOOLS if not (settings.get("read_only") and tool.writes)
        ]:
            raise CheckFailed(f"tools/list: {names}")
        return f"{len(names)} tools"

    def check_bytecode(self) -> str:
        """Check that installation compiles all packages, so that no start has to."""
        sources = list((self.unpacked / ".venv").rglob("mcp_types/*.py"))
        missing = [
            source
            for source in sources
            if not list(source.parent.glob(f"__pycache__/{source.stem}.*.pyc"))
        ]
        unused = list((self.unpacked / ".venv").rglob("pygments/__pycache__/*.pyc"))
        if missing or not sources or not unused:
            raise CheckFailed(f"Not compiled: {missing or 'packages that a start does not load'}")
        return "every package, also those that a start does not load"

    def lint(self) -> str:
        """Lint server.json in a folder without other files for the linter."""
        folder = self.home / "registry"
        folder.mkdir()
        for name in ("server.json", "README.md"):
            shutil.copy(ROOT / name, folder)
        process = self._execute(self.linter, "lint", folder)
        if process.returncode:
            raise CheckFailed(process.stdout + process.stderr)
        return f"server.json of {__version__} has no finding"

    def _fill_in(self, settings: dict[str, object]) -> list[str]:
        """Return Inspector options with the command and variables that mcpb makes for a host."""
        process = self._run(INTEROP / "bundle.mjs", self.unpacked, json.dumps(settings))
        if process.returncode:
            raise CheckFailed(process.stderr)
        config = json.loads(process.stdout)
        own_uv = shutil.which(
            config["command"], path=str(Path(sys.executable).parent)
        )  # hosts bring theirs as well
        config |= {"command": own_uv, "env": {**_uv_variables(), **config["env"]}}
        file = self.home / "servers.json"
        file.write_text(json.dumps({"mcpServers": {"bundle": config}}), encoding="utf-8")
        return ["--config", str(file), "--server", "bundle", "--method", "tools/list"]


def _uv_variables() -> dict[str, str]:
    """Return the environment variables of this machine that uv needs."""
    # The Inspector, like a host, starts a server with almost no environment.
    variables = {
        name: value
        for name, value in environment().items()
        if name.startswith(("UV_", "SSL_CERT_")) or name.upper().endswith("_PROXY")
    }
    return {"UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never", **variables}


def main(node: Path, linter: Path) -> int:
    with TemporaryDirectory() as home:
        checks = BundleChecks(node, Path(home), linter)
        checks_by_name: dict[str, Callable[[], str]] = {
            "packed twice": checks.check_packing,
            "mcpb": checks.validate,
            **{
                f"uv run, settings {name}": partial(checks.launch, given)
                for name, given in SETTINGS.items()
            },
            "bytecode": checks.check_bytecode,
            "skillsaw": checks.lint,
        }
        return max([print_verdict(name, check) for name, check in checks_by_name.items()])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

"""The bundle for desktop hosts, and what judges that we did not write say of it; `python -m tests.checks.bundle NODE LINTER`.

dist/sigmamind-mcp.mcpb is packed here rather than by mcpb, whose archives carry the time of packing. mcpb validates and
unpacks it and fills in the settings as a host does; the Inspector starts the result through `uv run`; skillsaw
lints server.json.
"""

import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from sigmamind_mcp import __version__
from sigmamind_mcp.protocol.catalogue import TOOLS
from tests.checks.interop import INTEROP, Judges, Rejected, verdict_of
from tests.support.processes import environment

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "dist" / "sigmamind-mcp.mcpb"
MCPB = INTEROP / "node_modules" / "@anthropic-ai" / "mcpb" / "dist" / "cli" / "cli.js"

BESIDE_THE_PACKAGE = (
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "icon.png",
    "manifest.json",
    "pyproject.toml",
)
SUFFIXES = {".py", ".md", ".typed"}
OLDEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that an archive can hold, for every file."""

SETTINGS: dict[str, dict[str, object]] = {
    "the key alone": {"api_key": "key"},
    "blank": {"api_key": "key", "agent_id": "", "read_only": "", "confirm_attempts": ""},
    "null": {"api_key": "key", "agent_id": None, "read_only": None, "confirm_attempts": None},
    "read only": {"api_key": "key", "read_only": True},
    "left as variables": {
        name: f"${{user_config.{name}}}" for name in ("api_key", "agent_id", "confirm_attempts")
    },
}
"""What hosts hand over, above all for fields that nobody filled in."""


def pack(project: Path, bundle: Path) -> None:
    """Write the bundle: the same bytes from the same files, on every machine, since nothing in it is compressed."""
    bundle.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(bundle, "w") as archive:
        for name in sorted(_belonging(project)):
            entry = zipfile.ZipInfo(name, OLDEST)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, (project / name).read_bytes())


def _belonging(project: Path) -> Iterator[str]:
    yield from BESIDE_THE_PACKAGE
    for path in (project / "sigmamind_mcp").rglob("*"):
        inside = path.relative_to(project)
        if path.is_dir() or any(
            part == "__pycache__" or part.startswith(".") for part in inside.parts
        ):
            continue
        if path.suffix not in SUFFIXES:
            sys.exit(
                f"{inside} is of no kind that belongs in a bundle; tests/checks/bundle.py lists those that do."
            )
        yield inside.as_posix()


class BundleJudges(Judges):
    """What tries the bundle: mcpb, uv and the Inspector, and skillsaw for server.json."""

    def __init__(self, node: Path, home: Path, linter: Path) -> None:
        super().__init__(node, home)
        self.linter = linter
        self.unpacked = home / "unpacked"

    def packed(self) -> str:
        pack(ROOT, BUNDLE)
        again = self.home / "again.mcpb"
        pack(ROOT, again)
        if BUNDLE.read_bytes() != again.read_bytes():
            raise Rejected("Packing twice gave different bytes.")
        with zipfile.ZipFile(BUNDLE) as archive:
            files = len(archive.namelist())
        size = BUNDLE.stat().st_size // 1024
        return f"{files} files, {size} KiB, sha256 {sha256(BUNDLE.read_bytes()).hexdigest()}"

    def validated(self) -> str:
        for command in (("validate", ROOT / "manifest.json"), ("unpack", BUNDLE, self.unpacked)):
            done = self._run(MCPB, *command)
            if done.returncode:
                raise Rejected(done.stdout + done.stderr)
        return "valid, and unpacked"

    def launched(self, settings: dict[str, object]) -> str:
        """Start it as a host does, with these settings, and list the tools."""
        names = [
            tool["name"] for tool in self._inspect(*self._filled_in(settings))["result"]["tools"]
        ]
        if names != [
            tool.name for tool in TOOLS if not (settings.get("read_only") and tool.writes)
        ]:
            raise Rejected(f"tools/list: {names}")
        return f"{len(names)} tools"

    def compiled(self) -> str:
        """Bytecode is there from the installation on, not from the first start that needs it."""
        sources = list((self.unpacked / ".venv").rglob("mcp_types/*.py"))
        missing = [
            source
            for source in sources
            if not list(source.parent.glob(f"__pycache__/{source.stem}.*.pyc"))
        ]
        unused = list((self.unpacked / ".venv").rglob("pygments/__pycache__/*.pyc"))
        if missing or not sources or not unused:
            raise Rejected(f"Not compiled: {missing or 'packages that the start does not load'}")
        return "every package, also what the start does not load"

    def linted(self) -> str:
        """server.json, in a folder that has nothing else that the linter would look at."""
        folder = self.home / "registry"
        folder.mkdir()
        for name in ("server.json", "README.md"):
            shutil.copy(ROOT / name, folder)
        done = self._execute(self.linter, "lint", folder)
        if done.returncode:
            raise Rejected(done.stdout + done.stderr)
        return f"server.json of {__version__} has no finding"

    def _filled_in(self, settings: dict[str, object]) -> list[str]:
        """For the Inspector: the command and its variables, as mcpb fills them in for a host."""
        done = self._run(INTEROP / "bundle.mjs", self.unpacked, json.dumps(settings))
        if done.returncode:
            raise Rejected(done.stderr)
        config = json.loads(done.stdout)
        own_uv = shutil.which(
            config["command"], path=str(Path(sys.executable).parent)
        )  # hosts bring theirs as well
        config |= {"command": own_uv, "env": {**_for_uv(), **config["env"]}}
        file = self.home / "servers.json"
        file.write_text(json.dumps({"mcpServers": {"bundle": config}}), encoding="utf-8")
        return ["--config", str(file), "--server", "bundle", "--method", "tools/list"]


def _for_uv() -> dict[str, str]:
    """What this machine tells uv: the Inspector, as hosts do, starts a server with hardly any environment."""
    told = {
        name: value
        for name, value in environment().items()
        if name.startswith(("UV_", "SSL_CERT_")) or name.upper().endswith("_PROXY")
    }
    return {"UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never", **told}


def main(node: Path, linter: Path) -> int:
    with TemporaryDirectory() as home:
        judges = BundleJudges(node, Path(home), linter)
        panel: dict[str, Callable[[], str]] = {
            "packed twice": judges.packed,
            "mcpb": judges.validated,
            **{
                f"uv run, settings {name}": partial(judges.launched, given)
                for name, given in SETTINGS.items()
            },
            "bytecode": judges.compiled,
            "skillsaw": judges.linted,
        }
        return max([verdict_of(name, judge) for name, judge in panel.items()])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

"""Install the plugin in programs that others wrote: `python -m tests.checks.hosts LINTER`; exits 1 on a failure.

Claude Code, Codex and Copilot run without an account here, each with an empty HOME. skillsaw lints the folder. Cline's
program would add 440 MB and 341 packages for one command, which worked by hand (3.0.65). Cursor, Kiro and VS Code have no
program in a registry.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from sigmamind_mcp.protocol.skills import SKILLS
from tests.checks.interop import INTEROP, CheckFailed, print_verdict
from tests.checks.plugin import NAME, ROOT

PROGRAMS = INTEROP / "hosts" / "node_modules"
PUBLISHED = ("plugin", ".claude-plugin", "LICENSE")
# Of the machine's environment, programs get only what they need to run.
KEPT = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")
PAGES = ("README.md", "docs/install.md")
COMMAND_PATH = r"\S*/\.venv/bin/sigmamind-mcp"
SECONDS = 90


class HostChecks:
    """Checks of a copy of what a user of the plugin gets, with one HOME for each program."""

    def __init__(self, folder: Path, linter: Path) -> None:
        self.folder = folder
        self.linter = linter
        self.project = folder / "project"
        for name in PUBLISHED:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, self.project / name if source.is_dir() else self.project)

    def lint(self) -> str:
        """Lint as a marketplace of Claude Code, and as an Agent Plugin."""
        self._run(self.linter, "lint", "--strict", self.project)
        self._run(
            self.linter, "lint", "--strict", "--type", "agent-plugin", self.project / "plugin"
        )
        return "no finding"

    def install_in_claude(self) -> str:
        claude = partial(self._run, _find_program("claude"), home="claude")
        claude("plugin", "validate", "--strict", "plugin")
        claude("plugin", "validate", "--strict", ".")
        self._type_plugin_lines("claude")
        self._expect("Connected", claude("mcp", "list"))
        details = claude("plugin", "details", NAME)
        self._expect(f"Skills ({len(SKILLS)})", details)
        self._expect("MCP servers (1)", details)
        return f"valid, installed, {len(SKILLS)} skills, the server connected"

    def install_in_codex(self) -> str:
        codex = partial(self._run, _find_program("codex"), home="codex")
        self._type_plugin_lines("codex")
        servers = json.loads(codex("mcp", "list", "--json"))
        self._expect("['sigmamind-mcp']", str([it["transport"]["command"] for it in servers]))
        installed = (self.folder / "codex" / ".codex").rglob("SKILL.md")
        names = {path.parent.name for path in installed}
        if not set(SKILLS) <= names:
            raise CheckFailed(f"skills: {sorted(names)}")
        return f"installed, {len(SKILLS)} skills, one server"

    def install_in_copilot(self) -> str:
        copilot = partial(self._run, _find_program("copilot"), home="copilot")
        self._type_plugin_lines("copilot")
        for skill in SKILLS:
            self._expect(skill, copilot("skill", "list"))
        self._expect(NAME, copilot("mcp", "list"))
        return f"installed, {len(SKILLS)} skills, the server listed"

    def _type_plugin_lines(self, program: str) -> None:
        """Run the lines of the page that install the plugin, as they stand."""
        page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
        lines = re.findall(rf"^{program} (plugin .+)$", page, re.M)
        if len(lines) != 2:
            raise CheckFailed(f"The page has {len(lines)} lines for {program}.")
        for line in lines:
            self._run(_find_program(program), *shlex.split(line), home=program)

    def type_commands(self, program: str) -> str:
        """Run each line of the pages that adds the server, as it stands but for the path."""
        lines = [
            line
            for page in PAGES
            for line in _list_commands((ROOT / page).read_text(encoding="utf-8"), program)
        ]
        for number, line in enumerate(lines):
            home = f"{program}-{number}"
            command = [
                re.sub(COMMAND_PATH, str(_find_server()), word) for word in shlex.split(line)[1:]
            ]
            self._run(_find_program(program), *command, home=home)
            self._expect(NAME, self._run(_find_program(program), "mcp", "get", NAME, home=home))
        if not lines:
            raise CheckFailed("The pages have no such line.")
        return f"{len(lines)} lines work as they stand"

    def _expect(self, text: str, output: str) -> None:
        if text not in output:
            raise CheckFailed(f"{text!r} is not in:\n{output[-2000:]}")

    def _run(self, *command: Path | str, home: str = "home") -> str:
        """Return what the command prints.

        Raises:
            CheckFailed: it ended with another status than 0.
        """
        folder = self.folder / home
        folder.mkdir(exist_ok=True)
        env = {name: os.environ[name] for name in KEPT if name in os.environ}  # noqa: TID251 - passed on
        path = os.pathsep.join((str(_find_server().parent), env.get("PATH", "")))
        process = subprocess.run(
            [str(word) for word in command],
            cwd=self.project,
            env={**env, "PATH": path, "HOME": str(folder), "USERPROFILE": str(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
        if process.returncode:
            words = " ".join(str(word) for word in command[1:])
            output = f"{process.stdout[-2000:]}{process.stderr[-2000:]}"
            raise CheckFailed(f"{words}: exit {process.returncode}\n{output}")
        return process.stdout


def _find_server() -> Path:
    name = "sigmamind-mcp.exe" if sys.platform == "win32" else "sigmamind-mcp"
    return Path(sys.executable).parent / name


def _find_program(name: str) -> Path:
    """Return the program itself: npm's own scripts of these packages did not run."""
    packages = {
        "claude": "@anthropic-ai/claude-code-*/claude*",
        "codex": "@openai/codex-*/vendor/*/bin/codex*",
        "copilot": "@github/copilot-*/copilot*",
    }
    found = [path for path in sorted(PROGRAMS.glob(packages[name])) if path.stem == name]
    if not found:
        raise CheckFailed(f"{name} has no program for this machine.")
    return found[0]


def _list_commands(page: str, program: str) -> list[str]:
    lines: list[str] = re.findall(rf"(?:^|^\$ |`)({program} mcp add [^`\n]+)", page, re.M)
    return lines


def main(linter: Path) -> int:
    with TemporaryDirectory() as folder:
        (Path(folder) / "project").mkdir()
        checks = HostChecks(Path(folder), linter)
        checks_by_name: dict[str, Callable[[], str]] = {
            "skillsaw": checks.lint,
            "Claude Code": checks.install_in_claude,
            "Codex": checks.install_in_codex,
            "Copilot": checks.install_in_copilot,
            **{
                f"{program} mcp add": partial(checks.type_commands, program)
                for program in ("claude", "codex", "copilot")
            },
        }
        return max([print_verdict(name, check) for name, check in checks_by_name.items()])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""`sigmamind-mcp demo --ci`: a gate that is green for noise, and red for the case that broke."""

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
from pydantic import SecretStr

from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.commands.install_links import build_module_command
from sigmamind_mcp.commands.terminal import print_wrapped
from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.sandbox import SANDBOX_KEY

FLAKY_AGENT_ID = "agent_SPIlVscbB0kkXBvZ"
STEP = "Acknowledge, "
BASELINE_RUNS = 4


class _Shell(NamedTuple):
    """Runs commands of `suite` in a folder, against a sandbox."""

    folder: Path
    url: str
    environ: Mapping[str, str]

    def run(self, *arguments: str, is_shown: bool = True) -> int:
        """Print a command, run it, and return its exit status."""
        if is_shown:
            print(f"\n$ sigmamind-mcp suite {' '.join(arguments)}", flush=True)
        own = {"SIGMAMIND_BASE_URL": self.url, "SIGMAMIND_API_KEY": SANDBOX_KEY}
        finished = subprocess.run(
            [*build_module_command(), "suite", *arguments],
            cwd=self.folder,
            env={**self.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=None if is_shown else subprocess.DEVNULL,
            check=False,
        )
        if is_shown:
            print(f"(exit status {finished.returncode})", flush=True)
        return finished.returncode


def run_ci_demo(environ: Mapping[str, str]) -> int:
    """Show the gate in the sandbox and return 0 if it decides as it should."""
    print_wrapped("sigmamind-mcp demo --ci: a scripted sandbox. No account, no key, no cost.")
    kept = {}
    for name, value in environ.items():
        if not name.startswith("SIGMAMIND_"):
            kept[name] = value
    with tempfile.TemporaryDirectory() as folder, _serve_sandbox(kept) as url:
        shell = _Shell(Path(folder), url, kept)
        shell.run("pull", "--agent", FLAKY_AGENT_ID)
        _print_step(f"Four nightly runs make the baseline ({BASELINE_RUNS} x 30 attempts).")
        for _ in range(BASELINE_RUNS):
            shell.run("run", "--max-attempts", "30", "--bless", is_shown=False)
        _print_step(
            "A pull request that changes nothing. The agent is flaky, so the counts differ:"
        )
        green = shell.run("run", "--max-attempts", "120")
        _print_step(f"A pull request takes '{STEP.strip(' ,')}' out of the agent's prompt:")
        anyio.run(_break_agent, url)
        red = shell.run("run", "--max-attempts", "120")
    _print_step(
        "Green for noise, red for the case that broke. See docs/ci.md for your own pipeline."
    )
    return 0 if (green, red) == (0, 1) else 1


def _print_step(text: str) -> None:
    print()
    print_wrapped(text)


@contextmanager
def _serve_sandbox(environ: Mapping[str, str]) -> Iterator[str]:
    command = [*build_module_command(), "sandbox", "--port", "0", "--pace", "0"]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        env={**environ, "PYTHONUNBUFFERED": "1"},
    ) as sandbox:
        try:
            assert sandbox.stdout
            address = re.search(r"http://[^/\s]+", sandbox.stdout.readline())
            if address is None:
                raise SigmaMindError("The sandbox did not start.")
            yield address.group()
        finally:
            sandbox.terminate()


async def _break_agent(url: str) -> None:
    """Take a step out of the agent's instructions, as a careless edit of its prompt does."""
    path, key = ("v1", "agents", FLAKY_AGENT_ID), SecretStr(SANDBOX_KEY)
    async with APITransport(url) as transport:
        agent = (await transport.get(*path, key=key)).data
        instructions = agent["instructions"].replace(STEP, "")
        await transport.send("PATCH", *path, key=key, body={"instructions": instructions})

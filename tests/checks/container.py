"""Build deploy/Containerfile with podman and run it as its users do; `python -m tests.checks.container`.

Exits 1 on a failure. Where the base image cannot be pulled, a base of Debian's packages replaces it, and the output
says so. Nothing in the container reaches a network: the packages come from a folder, and the server is the sandbox.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sigmamind_mcp.protocol.catalogue import TOOLS
from sigmamind_mcp.sandbox import SANDBOX_KEY
from tests.checks import call_served
from tests.checks.debian_root import PYTHON_VERSION, ROOT, download_wheels, make_root, run_command
from tests.checks.interop import CheckFailed, print_verdict

CONTAINERFILE = ROOT / "deploy" / "Containerfile"
BASE = re.compile(r"^FROM (\S+@sha256:[0-9a-f]{64})$", re.M)
PULL_SECONDS = 120
READY_SECONDS = 30
UNPRIVILEGED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
# A machine in a machine may not raise limits, and may have no control group of its own.
NESTED = (
    "--ulimit=nofile=4096:4096",
    "--ulimit=nproc=4096:4096",
    "--cgroups=disabled",
    "--network=none",
)
# The last setting is for Debian's pip, in the replaced base.
PIP_SETTINGS = """\
[global]
no-index = true
find-links = /wheels
break-system-packages = true
"""
WHO_AND_WHERE = """\
import json, os
def can_write(path):
    try:
        open(path + "/file", "w").close()
        return True
    except OSError:
        return False
print(json.dumps({"user": os.getuid(), "writable": [path for path in ("/", "/app", "/tmp") if can_write(path)]}))
"""
LIST_TOOLS = """\
{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "check", "version": "1"}}}
{"jsonrpc": "2.0", "method": "notifications/initialized"}
{"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
"""


class ContainerChecks:
    """The image and one container of it, both removed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"sigmamind-mcp-check-{os.getpid()}"
        self.base = f"localhost/{self.name}:base"
        self.image = f"localhost/{self.name}:image"

    def prepare_base(self) -> str:
        """Pull the base image, or replace it."""
        found = BASE.search(CONTAINERFILE.read_text(encoding="utf-8"))
        if not found:
            raise CheckFailed("deploy/Containerfile does not name its base image by a digest.")
        try:
            podman("pull", "--quiet", found[1], timeout=PULL_SECONDS)
            self.base = found[1]
            return f"pulled {found[1]}"
        except CheckFailed as exc:
            reason = str(exc).strip().rpartition(": ")[2]
        archive = self.folder / "base.tar"
        make_root(archive, ("python3-pip", "python-is-python3"))
        podman("import", "--quiet", str(archive), self.base)
        return f"REPLACED by Debian's Python {self._find_version()}, since it cannot be pulled: {reason}"

    def build(self) -> str:
        """Build the image without a network."""
        wheels = self.folder / "wheels"
        download_wheels(wheels, self._find_version())
        settings = self.folder / "pip.conf"
        settings.write_text(PIP_SETTINGS, encoding="utf-8")
        podman(
            *("build", "--quiet", "--format=docker", "--layers=false", "--network=none"),
            *(f"--from={self.base}", f"--tag={self.image}", f"--file={CONTAINERFILE}"),
            f"--volume={wheels}:/wheels:ro",
            f"--volume={settings}:/etc/pip.conf:ro",
            str(ROOT),
        )
        listing = (
            'import os; print("\\n".join(os.listdir("/app") + os.listdir("/app/sigmamind_mcp")))'
        )
        copied = set(self._run_python(listing).split()) - {"__pycache__"}
        expected = {"requirements.txt", "sigmamind_mcp", *list_package()}
        if copied != expected:
            raise CheckFailed(f"Other files than those of the package: {copied ^ expected}")
        size = int(podman("image", "inspect", "--format={{.Size}}", self.image))
        return f"{size // 1_000_000} MB with its base"

    def check_user(self) -> str:
        """Check that the server's user is not root and can write no file."""
        found = json.loads(self._run_python(WHO_AND_WHERE))
        # podman gives a read-only container its own /tmp in memory.
        if found != {"user": 65532, "writable": ["/tmp"]}:
            raise CheckFailed(json.dumps(found))
        return "user 65532 writes only to the container's /tmp"

    def check_stdio(self) -> str:
        """List the tools over stdio, as a client that starts the container does."""
        command = ("run", "--rm", "--interactive", "--no-healthcheck", *UNPRIVILEGED, *NESTED)
        answers = podman(*command, self.image, "--sandbox", given=LIST_TOOLS).splitlines()
        tools = json.loads(answers[-1])["result"]["tools"]
        if [tool["name"] for tool in tools] != [tool.name for tool in TOOLS]:
            raise CheckFailed(answers[-1][:2000])
        return f"{len(tools)} tools"

    def check_health(self) -> str:
        """Start the server and run its health check until it passes."""
        serve = ("serve", "--sandbox", "--host=0.0.0.0", f"--allowed-host={call_served.HOST}")
        podman("run", "--detach", f"--name={self.name}", *UNPRIVILEGED, *NESTED, self.image, *serve)
        end = time.monotonic() + READY_SECONDS
        while True:
            # systemd runs the check at intervals; a machine without it runs none by itself.
            try:
                podman("healthcheck", "run", self.name)
                break
            except CheckFailed as exc:
                if time.monotonic() > end:
                    raise CheckFailed(f"{exc}\n{podman('logs', self.name)}") from exc
        health = podman("inspect", "--format={{.State.Healthcheck.Status}}", self.name).strip()
        if health != "healthy":
            raise CheckFailed(f"The container is {health}.")
        return health

    def check_call(self) -> str:
        """Call a tool over /mcp."""
        client = Path(call_served.__file__).read_text(encoding="utf-8")
        agents = podman(
            "exec", "--interactive", self.name, "python", "-", SANDBOX_KEY, given=client
        )
        return f"list_agents answers: {agents.strip()}"

    def check_end(self) -> str:
        """Send SIGTERM, and check that the server ends with 0."""
        podman("kill", "--signal=TERM", self.name)
        status = podman("wait", self.name, timeout=READY_SECONDS).strip()
        if status != "0":
            raise CheckFailed(f"status {status}\n{podman('logs', self.name)}")
        return "status 0 after SIGTERM"

    def remove(self) -> None:
        """Remove the container and the images, but not a base that was pulled."""
        podman("rm", "--force", "--ignore", self.name)
        podman("rmi", "--force", self.image)
        if self.base.startswith("localhost/"):
            podman("rmi", "--force", self.base)

    def _find_version(self) -> str:
        command = ("run", "--rm", *NESTED, self.base, "python", "-c", PYTHON_VERSION)
        return podman(*command).strip()

    def _run_python(self, code: str) -> str:
        command = ("run", "--rm", *UNPRIVILEGED, *NESTED, "--entrypoint=python")
        return podman(*command, self.image, "-c", code)


def podman(*arguments: str, given: str | None = None, timeout: float = 300) -> str:
    return run_command("podman", *arguments, given=given, timeout=timeout)


def list_package() -> Iterator[str]:
    """Return the names in the package's folder, as version control has them."""
    listed = run_command("git", "-C", str(ROOT), "ls-files", "sigmamind_mcp")
    yield from {path.split("/")[1] for path in listed.splitlines()}


@contextmanager
def container_checks() -> Iterator[ContainerChecks]:
    with TemporaryDirectory() as folder:
        checks = ContainerChecks(Path(folder))
        try:
            yield checks
        finally:
            checks.remove()


def main() -> int:
    with container_checks() as checks:
        steps: dict[str, Callable[[], str]] = {
            "base image": checks.prepare_base,
            "build": checks.build,
            "user": checks.check_user,
            "stdio": checks.check_stdio,
            "health check": checks.check_health,
            "tool call": checks.check_call,
            "end": checks.check_end,
        }
        # Each step needs those before it.
        return int(any(print_verdict(name, step) for name, step in steps.items()))


if __name__ == "__main__":
    sys.exit(main())

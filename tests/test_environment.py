"""`scripts/environment.py`: which Python is needed, and which environment may be made anew."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(
    path
    for folder in ("scripts", "scripts/release")
    for path in (ROOT / folder).iterdir()
    if path.is_file() and path.suffix in ("", ".py")
)
PRETEND = """\
import runpy, sys
sys.path.insert(0, "scripts")
sys.version_info, sys.version = (3, 9, 18, "final", 0), "3.9.18 (main)"
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
NEEDED = "sigmamind-mcp needs Python 3.11 or newer; this is 3."


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return scripts/environment.py as a module that installs nothing."""
    spec = importlib.util.spec_from_file_location("environment", ROOT / "scripts/environment.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("_install", "_install_project"):
        monkeypatch.setattr(module, name, lambda *arguments: None)
    return module


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_python_3_8_can_parse_every_script(script: Path) -> None:
    ast.parse(script.read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_says_first_which_python_it_needs(script: Path) -> None:
    command = [sys.executable, "-c", PRETEND, str(script)]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"{NEEDED}9.18.") and refused.stderr.count("\n") == 1
    assert f'python3.12 "{script}"' in refused.stderr or sys.platform == "win32"


@pytest.mark.slow
@pytest.mark.parametrize("minor", range(8, 11))
def test_older_python_prints_one_sentence(minor: int) -> None:
    # Names on PATH may be shims of pyenv for versions that are not in use.
    folders = (Path.home() / ".pyenv" / "versions").glob(f"3.{minor}.*/bin")
    path = os.pathsep.join([*map(str, folders), os.defpath])
    python = shutil.which(f"python3.{minor}", path=path)
    if not python:
        pytest.skip(f"Python 3.{minor} is not installed")
    refused = subprocess.run(
        [python, ROOT / "scripts" / "demo"], capture_output=True, text=True, check=False
    )

    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"{NEEDED}{minor}.") and refused.stderr.count("\n") == 1


@pytest.mark.slow
def test_environment_that_a_client_may_use_is_kept(
    scripts: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "with a space" / ".venv"
    monkeypatch.setattr(scripts, "USER_ENVIRONMENT", folder)
    venv.create(folder, symlinks=os.name != "nt", with_pip=True)
    of_the_user = folder / "installed-by-the-user"
    of_the_user.touch()

    python = scripts.prepare_user()

    assert python.is_relative_to(folder) and of_the_user.exists()
    (folder / "requirements.sha256").write_text("of an older version", encoding="utf-8")
    assert scripts.prepare_user() == python and of_the_user.exists()


@pytest.mark.slow
def test_environment_that_cannot_run_is_made_anew(
    scripts: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / ".venv"
    monkeypatch.setattr(scripts, "USER_ENVIRONMENT", folder)
    python = scripts._find_python(folder)
    python.parent.mkdir(parents=True)
    python.write_text("not a program", encoding="utf-8")

    scripts.prepare_user()

    assert subprocess.run([python, "-c", ""], check=False).returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="only some users may create links there")
@pytest.mark.parametrize(
    ("constant", "prepare"),
    [("USER_ENVIRONMENT", "prepare_user"), ("DEV_ENVIRONMENT", "prepare_dev")],
)
def test_linked_environment_is_refused_and_kept(
    constant: str,
    prepare: str,
    scripts: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    of_others = tmp_path / "of-others"
    of_others.mkdir()
    (of_others / "file").touch()
    link = tmp_path / "link"
    link.symlink_to(of_others)
    monkeypatch.setattr(scripts, constant, link)

    with pytest.raises(SystemExit, match="is a link. Remove it"):
        getattr(scripts, prepare)()

    assert link.is_symlink() and (of_others / "file").exists()


def test_scripts_for_developers_leave_the_users_environment_alone(scripts: ModuleType) -> None:
    assert scripts.USER_ENVIRONMENT == ROOT / ".venv"
    assert scripts.DEV_ENVIRONMENT == ROOT / ".venv-dev"
    users = [path.name for path in SCRIPTS if "run_as_user(" in path.read_text(encoding="utf-8")]
    assert users == ["demo", "environment.py"]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_one_line_in_a_terminal_and_a_few_elsewhere(
    scripts: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_terminal: bool,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    lines = [f"{how} package-{n}" for n, how in enumerate(["Collecting", "Processing"] * 12)]

    scripts._show_progress([*lines, "Installing collected packages: all"], total=24)

    shown = capsys.readouterr().err
    assert shown.count("\n") == (1 if is_terminal else 3)
    assert ("package 24 of 24" in shown) is is_terminal
    assert "package 20 of 24" in shown and "compiling" in shown

"""No command imports a file of the current folder: it would run with the key (R3)."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from urllib.parse import unquote

import pytest

import sigmamind_mcp
from sigmamind_mcp.commands import install_links
from tests.conftest import KEY
from tests.support.processes import environment

ROOT = Path(sigmamind_mcp.__file__).parents[1]
POISONED = ("anyio.py", "httpx2.py", "mcp/__init__.py", "sigmamind_mcp/__init__.py", "json.py")


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    """A folder of modules that leave a file when they are imported."""
    folder = tmp_path / "poisoned"
    code = f"import os\nopen({str(tmp_path / 'imported')!r}, 'a').write(__name__)\nos._exit(3)\n"
    for name in POISONED:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, encoding="utf-8")
    (folder / "sigmamind_mcp" / "__main__.py").write_text(code, encoding="utf-8")
    return folder


def start(command: list[str], folder: Path, url: str = "") -> subprocess.CompletedProcess[str]:
    variables = {"SIGMAMIND_API_KEY": KEY, "PYTHONPATH": str(ROOT)}
    if url:
        variables["SIGMAMIND_BASE_URL"] = url
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(**variables),
        input="",
        capture_output=True,
        encoding="utf-8",
        timeout=90,
        check=False,
    )


def script() -> Path:
    name = "sigmamind-mcp.exe" if os.name == "nt" else "sigmamind-mcp"
    return Path(sysconfig.get_path("scripts")) / name


@pytest.mark.parametrize("by", ["script", "module"])
@pytest.mark.parametrize("arguments", [["doctor", "--sandbox"], ["demo"], ["links"], []])
def test_no_file_of_the_current_folder_is_imported(
    poisoned: Path, by: str, arguments: list[str]
) -> None:
    command = [str(script())] if by == "script" else install_links.build_module_command()

    ended = start([*command, *arguments], poisoned)

    assert not (poisoned.parent / "imported").exists()
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_poisoned_folder_is_noticed_by_this_test(poisoned: Path) -> None:
    ended = start([sys.executable, "-m", "sigmamind_mcp", "links"], poisoned)

    assert ended.returncode == 3 and (poisoned.parent / "imported").exists()


def test_command_for_a_client_without_the_script_ignores_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, poisoned: Path
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))

    command = install_links.find_server_command()
    link = install_links.build_links(None, [], needs_key=False)["VS Code"]

    assert command == [sys.executable, "-P", "-m", "sigmamind_mcp"]
    assert json.loads(unquote(link.partition("?")[2]))["args"] == command[1:]
    assert start(command, poisoned).returncode == 0
    assert not (tmp_path / "imported").exists()


def test_every_command_that_starts_a_module_ignores_the_folder() -> None:
    """Also in the files that ship: manifest, container, pages."""
    shipped = [ROOT / "manifest.json", ROOT / "server.json", ROOT / "README.md"]
    for folder, pattern in (("sigmamind_mcp", "*.py"), ("deploy", "*"), ("docs", "*.md")):
        shipped += [path for path in (ROOT / folder).rglob(pattern) if path.is_file()]
    for path in shipped:
        text = path.read_text(encoding="utf-8")
        for form in ('"-m", "sigmamind_mcp"', "-m sigmamind_mcp"):
            safe = form.replace('"-m"', '"-P", "-m"').replace("-m sig", "-P -m sig")
            assert text.count(form) == text.count(safe), path

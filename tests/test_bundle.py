"""Check what is published: the bundle, server.json, the version, the privacy text."""

import importlib.util
import json
import pkgutil
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sigmamind_mcp
from sigmamind_mcp import __version__
from sigmamind_mcp.cli import ENVIRONMENT
from sigmamind_mcp.protocol.resources import list_guides
from sigmamind_mcp.protocol.skills import SKILLS
from tests.checks import plugin
from tests.checks.pack_bundle import BUNDLE, FILES_OUTSIDE_PACKAGE, ROOT, pack
from tests.support.processes import environment
from tests.test_docs import MANIFEST, README

SERVER = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))


def names_in(bundle: Path) -> list[str]:
    with zipfile.ZipFile(bundle) as archive:
        return archive.namelist()


def copy_project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "sigmamind_mcp", project / "sigmamind_mcp")
    for name in FILES_OUTSIDE_PACKAGE:
        shutil.copy(ROOT / name, project)
    return project


def test_bundle_has_the_package_its_texts_and_seven_other_files(tmp_path: Path) -> None:
    pack(ROOT, tmp_path / "a.mcpb")

    outside = {
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "hatch_build.py",
        "icon.png",
        "manifest.json",
        "pyproject.toml",
    }
    packages = list(pkgutil.walk_packages(sigmamind_mcp.__path__, "sigmamind_mcp."))
    modules = {
        f"{name.replace('.', '/')}{'/__init__' * is_package}.py" for _, name, is_package in packages
    }
    guides = {f"sigmamind_mcp/guides/{entry.uri.rpartition('/')[2]}.md" for entry in list_guides()}
    skills = {f"sigmamind_mcp/skills/{name}.md" for name in SKILLS}
    names = (
        "__init__.py",
        "py.typed",
        "icon.png",
        "protocol/listings.json",
        "suites/suite.schema.json",
        "viewer/page.html",
    )
    data = {f"sigmamind_mcp/{name}" for name in names}
    assert set(names_in(tmp_path / "a.mcpb")) == outside | modules | guides | skills | data


def test_script_sets_up_nothing_and_says_what_to_open(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    for name in ("scripts/bundle", "scripts/environment.py", "tests/__init__.py",
                 "tests/checks/__init__.py", "tests/checks/pack_bundle.py"):  # fmt: skip
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project / name)

    packed = subprocess.run(
        [sys.executable, project / "scripts" / "bundle"],
        env=environment(PATH=""),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    bundle = project / BUNDLE.relative_to(ROOT)
    assert (packed.returncode, packed.stderr) == (0, "")
    assert packed.stdout.startswith(f"Open {bundle}\n")
    pack(ROOT, tmp_path / "a.mcpb")
    assert bundle.read_bytes() == (tmp_path / "a.mcpb").read_bytes()
    assert not list(project.glob(".venv*"))


def test_stray_files_do_not_change_the_bundle(tmp_path: Path) -> None:
    pack(ROOT, tmp_path / "a.mcpb")
    project = copy_project(tmp_path)
    for stray in (".env", "uv.lock", ".venv/pyvenv.cfg", "tests/test_it.py", "sigmamind_mcp/.env", "server.log",
                  "sigmamind_mcp/__pycache__/cli.cpython-311.pyc", "sigmamind_mcp/.idea/x.md"):  # fmt: skip
        (project / stray).parent.mkdir(exist_ok=True)
        (project / stray).write_text("SIGMAMIND_API_KEY=secret", encoding="utf-8")

    pack(project, tmp_path / "b.mcpb")

    assert (tmp_path / "b.mcpb").read_bytes() == (tmp_path / "a.mcpb").read_bytes()


def test_file_with_an_unknown_suffix_stops_the_packing(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    (project / "sigmamind_mcp" / "sandbox.db").touch()

    with pytest.raises(SystemExit, match=r"sandbox\.db has an unknown suffix"):
        pack(project, tmp_path / "a.mcpb")


def test_icon_is_a_png_of_512_by_512() -> None:
    start = (ROOT / MANIFEST["icon"]).read_bytes()[:24]

    assert start[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", start[16:]) == (512, 512)


def test_one_version_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert re.findall(r"^## (\S+)", changelog, re.M)[0] == __version__
    assert {
        MANIFEST["version"],
        SERVER["version"],
        *(package["version"] for package in SERVER["packages"]),
    } == {__version__}


def test_readme_carries_the_name_that_the_registry_looks_for() -> None:
    assert re.findall(r"^<!-- mcp-name: (\S+) -->$", README, re.M) == [SERVER["name"]]


def test_registry_entry_asks_for_the_settings_there_are_and_hides_the_key() -> None:
    (package,) = SERVER["packages"]
    variables = {variable["name"]: variable for variable in package["environmentVariables"]}

    assert set(variables) == set(re.findall(r"SIGMAMIND_\w+", ENVIRONMENT))
    assert [name for name, variable in variables.items() if variable.get("isSecret")] == [
        "SIGMAMIND_API_KEY"
    ]
    assert package["transport"] == {"type": "stdio"}
    # The server starts without a key, and the sandbox needs none.
    key, bundled_key = variables["SIGMAMIND_API_KEY"], MANIFEST["user_config"]["api_key"]
    assert (key["isRequired"], bundled_key["required"]) == (False, False)
    assert all("sandbox needs none" in entry["description"] for entry in (key, bundled_key))
    # The registry refuses an address that it cannot reach, and everyone runs their own server.
    assert "remotes" not in SERVER


def test_links_of_the_readme_also_work_on_pypi() -> None:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.make_links_absolute(README, "https://example.com/{kind}/v1")

    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(links) > 15 and all(link.startswith("https://") for link in links)
    assert "](https://example.com/raw/v1/docs/report.png)" in text
    assert "](https://example.com/blob/v1/docs/install.md#a-shared-server)" in text


def test_address_of_the_repository_is_written_by_hand_in_one_place() -> None:
    owner = plugin.read_address().partition("/")[0]
    files = subprocess.run(
        ["git", "grep", "-lIE", rf"\b{owner}/sigmamind-mcp"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    assert set(files.stdout.split()) <= {"pyproject.toml", *plugin.write_files()}

"""Check what is published: the bundle, server.json, the version, the privacy text."""

import json
import pkgutil
import re
import shutil
import struct
import zipfile
from pathlib import Path

import pytest

import sigmamind_mcp
from sigmamind_mcp import __version__
from sigmamind_mcp.cli import ENVIRONMENT
from sigmamind_mcp.protocol.resources import list_guides
from tests.checks.bundle import FILES_OUTSIDE_PACKAGE, ROOT, pack
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


def test_bundle_has_the_package_its_guides_and_six_other_files(tmp_path: Path) -> None:
    pack(ROOT, tmp_path / "a.mcpb")

    outside = {
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "icon.png",
        "manifest.json",
        "pyproject.toml",
    }
    packages = list(pkgutil.walk_packages(sigmamind_mcp.__path__, "sigmamind_mcp."))
    modules = {
        f"{name.replace('.', '/')}{'/__init__' * is_package}.py" for _, name, is_package in packages
    }
    guides = {f"sigmamind_mcp/guides/{entry.uri.rpartition('/')[2]}.md" for entry in list_guides()}
    schema = "sigmamind_mcp/suites/suite.schema.json"
    data = {"sigmamind_mcp/__init__.py", "sigmamind_mcp/py.typed", schema}
    assert set(names_in(tmp_path / "a.mcpb")) == outside | modules | guides | data


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
    for remote in SERVER["remotes"]:
        assert [(header["name"], header["isSecret"]) for header in remote["headers"]] == [
            ("X-API-Key", True)
        ]


def test_manifest_says_of_privacy_what_the_readme_says() -> None:
    section = README.partition("## Privacy\n")[2].partition("\n## ")[0]
    privacy = MANIFEST["long_description"].partition("Privacy: ")[2]

    assert privacy and " ".join(section.split()).startswith(privacy)

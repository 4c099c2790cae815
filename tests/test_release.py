"""The packages of a release are the same each time, and its licences are known."""

import os
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.checks.debian_root import ROOT, run_command
from tests.checks.interop import CheckFailed
from tests.checks.release import build_packages, list_licences, print_rest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="it has no umask for these files")
def test_one_commit_gives_the_same_packages_for_every_user(tmp_path: Path) -> None:
    first = build_packages(ROOT, tmp_path / "first", sys.executable)
    usual = os.umask(0o077)
    try:
        second = build_packages(ROOT, tmp_path / "second", sys.executable)
    finally:
        os.umask(usual)

    assert first == second
    wheel, sdist = (tmp_path / "first" / "out" / name for name in first)
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == set(run_command("git", "ls-files", "sigmamind_mcp", cwd=ROOT).split())
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        assert {"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "pyproject.toml"} <= names


def test_licences_are_listed_in_the_forms_of_an_sbom() -> None:
    components: list[dict[str, Any]] = [
        {"name": "b", "version": "2", "licenses": [{"license": {"id": "MIT"}}]},
        {"name": "A", "version": "1", "licenses": [{"expression": "Apache-2.0 OR BSD-3-Clause"}]},
    ]

    assert list_licences(components) == {"A 1": "Apache-2.0 OR BSD-3-Clause", "b 2": "MIT"}


@pytest.mark.parametrize(
    ("licences", "shown"),
    [
        ([], "none"),
        ([{"license": {"id": "GPL-3.0-only"}}], "GPL-3.0-only"),
        ([{"license": {"name": "Our own"}}], "Our own"),
        ([{"license": {"id": "MIT"}}, {"license": {"id": "SSPL-1.0"}}], "MIT AND SSPL-1.0"),
    ],
)
def test_package_without_an_accepted_licence_stops_the_release(
    licences: list[dict[str, Any]], shown: str
) -> None:
    with pytest.raises(CheckFailed, match=f"x 1: {shown}$"):
        list_licences([{"name": "x", "version": "1", "licenses": licences}])


def test_owner_gets_every_step_that_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    print_rest()

    shown = capsys.readouterr().out
    for word in ("Organisation", "Address", "Trusted publisher", "PyPI", "MCP registry"):
        assert f"**{word}" in shown

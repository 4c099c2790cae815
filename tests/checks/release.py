"""Build what a release publishes, and check it; `python -m tests.checks.release TOOLS` exits 1 on a failure.

It writes the sdist, the wheel, an SBOM and the list of licences to dist/, all from the last commit: the same commit
gives the same bytes. It uploads nothing. At the end it prints what is left to do, from docs/scripts.md.
"""

import json
import shutil
import sys
import venv
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sigmamind_mcp import __version__
from tests.checks.debian_root import ROOT, run_command
from tests.checks.interop import CheckFailed, print_verdict
from tests.support.processes import environment

DIST = ROOT / "dist"
SBOM = DIST / "sbom.cdx.json"
LICENCES = DIST / "licences.txt"
# All of them can be installed next to a package under MIT.
ACCEPTED = {
    *("Apache-2.0", "Apache-2.0 OR BSD-3-Clause", "BSD-2-Clause", "BSD-3-Clause"),
    *("ISC", "MIT", "MIT-0", "PSF-2.0"),
}


class ReleaseChecks:
    """The steps of a release before its upload."""

    def __init__(self, tools: Path, folder: Path) -> None:
        self.tools = tools.parent
        self.folder = folder
        self.packages: list[Path] = []

    def check_commit(self) -> str:
        """Refuse a folder with changes: a release is built from a commit."""
        changes = run_command("git", "status", "--porcelain", cwd=ROOT)
        if changes:
            raise CheckFailed(f"Commit these changes first, or remove them:\n{changes}")
        return run_command("git", "log", "-1", "--format=%h of %cI", cwd=ROOT).strip()

    def check_packages(self) -> str:
        """Build sdist and wheel in two folders, compare their bytes, and keep them in dist/."""
        first, second = (
            build_packages(ROOT, self.folder / name, sys.executable) for name in ("first", "second")
        )
        if first != second:
            raise CheckFailed(f"They differ from each other:\n{first}\n{second}")
        for old in [*DIST.glob("sigmamind_mcp-*"), SBOM, LICENCES]:
            old.unlink(missing_ok=True)
        DIST.mkdir(exist_ok=True)
        for name in first:
            self.packages.append(Path(shutil.copy(self.folder / "first" / "out" / name, DIST)))
        return "".join(f"\n{digest}  dist/{name}" for name, digest in first.items())

    def check_metadata(self) -> str:
        """Check the packages as the registry does."""
        names = [str(package) for package in self.packages]
        run_command(str(self.tools / "twine"), "--no-color", "check", "--strict", *names)
        return "accepted"

    def install(self) -> str:
        """Install the wheel with the locked packages alone, and start the server."""
        venv.create(self.folder / "installed", with_pip=False)
        (wheel,) = (str(path) for path in self.packages if path.suffix == ".whl")
        locked = ["--require-hashes", "-r", str(ROOT / "requirements.txt")]
        python = self.folder / "installed" / "bin" / "python"
        pip = ["-m", "pip", "--disable-pip-version-check", "--python", str(python), "install"]
        for packages in (locked, ["--no-deps", wheel]):
            run_command(sys.executable, *pip, "--quiet", *packages)
        command = [str(python), "-P", "-m", "sigmamind_mcp", "doctor", "--sandbox"]
        run_command(*command, cwd=self.folder)
        return "the doctor found no problems"

    def write_sbom(self) -> str:
        """Write the SBOM of what was installed, and the list of its licences."""
        python = self.folder / "installed" / "bin" / "python"
        options = ["--pyproject", "pyproject.toml", "--output-reproducible"]
        command = [str(self.tools / "cyclonedx-py"), "environment", *options, str(python)]
        env = environment(SOURCE_DATE_EPOCH=read_commit_time(ROOT))
        sbom = json.loads(run_command(*command, cwd=ROOT, env=env))
        # cyclonedx-py does not know a version that the build takes from the code.
        sbom["metadata"]["component"]["version"] = __version__
        licences = list_licences(sbom["components"])
        SBOM.write_text(json.dumps(sbom, indent=2) + "\n", encoding="utf-8")
        lines = [f"{name}: {licence}\n" for name, licence in licences.items()]
        LICENCES.write_text("".join(lines), encoding="utf-8")
        return f"{len(licences)} packages in dist/{SBOM.name} and dist/{LICENCES.name}"


def build_packages(project: Path, folder: Path, python: str) -> dict[str, str]:
    """Build an sdist of the last commit, and a wheel from it, in FOLDER/out; return their hashes."""
    clone, out = folder / "clone", folder / "out"
    run_command("git", "clone", "--quiet", str(project), str(clone))
    env = environment(SOURCE_DATE_EPOCH=read_commit_time(clone))
    build = [python, "-m", "hatchling", "build", "-d", str(out), "-t"]
    run_command(*build, "sdist", cwd=clone, env=env)
    (sdist,) = out.iterdir()
    shutil.unpack_archive(sdist, folder, filter="data")
    run_command(*build, "wheel", cwd=folder / sdist.name.removesuffix(".tar.gz"), env=env)
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


def read_commit_time(project: Path) -> str:
    """Return the time of the last commit, in seconds since 1970."""
    return run_command("git", "log", "-1", "--format=%ct", cwd=project).strip()


def list_licences(components: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the licence of each component of an SBOM.

    Raises:
        CheckFailed: a component has none, or one that nobody has accepted.
    """
    licences = {
        f"{component['name']} {component['version']}": _name_licence(component)
        for component in components
    }
    problems = [f"{name}: {one or 'none'}" for name, one in licences.items() if one not in ACCEPTED]
    if problems:
        raise CheckFailed(
            "Read these licences, and accept or replace the packages:\n" + "\n".join(problems)
        )
    return dict(sorted(licences.items(), key=lambda item: item[0].lower()))


def _name_licence(component: dict[str, Any]) -> str:
    names = []
    for entry in component.get("licenses", []):
        licence = entry.get("license", {})
        names.append(entry.get("expression") or licence.get("id") or licence.get("name"))
    return " AND ".join(names)


def print_rest() -> None:
    """Print the steps that only the owner can do."""
    page = (ROOT / "docs" / "scripts.md").read_text(encoding="utf-8")
    print("\nNothing was uploaded. What is left, from docs/scripts.md:")
    print(page.partition("### What the owner does\n")[2].rstrip())


def main(tools: Path) -> int:
    with TemporaryDirectory() as folder:
        checks = ReleaseChecks(tools, Path(folder))
        steps: dict[str, Callable[[], str]] = {
            "commit": checks.check_commit,
            "packages": checks.check_packages,
            "twine check": checks.check_metadata,
            "installation": checks.install,
            "SBOM and licences": checks.write_sbom,
        }
        # Each step needs the one before.
        for name, step in steps.items():
            if print_verdict(name, step):
                return 1
    print_rest()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

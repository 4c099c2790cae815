"""Pack dist/sigmamind-mcp.mcpb, the bundle for desktop hosts, and say how to install it.

It needs only Python. It does not use mcpb, whose archives contain the time of packing.
"""

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "dist" / "sigmamind-mcp.mcpb"

FILES_OUTSIDE_PACKAGE = (
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "hatch_build.py",
    "icon.png",
    "manifest.json",
    "pyproject.toml",
)
SUFFIXES = {".html", ".json", ".md", ".png", ".py", ".typed"}
OLDEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can hold. Every file gets it."""


def pack(project: Path, bundle: Path) -> None:
    """Write the bundle: the same files give the same bytes on every machine."""
    bundle.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(bundle, "w") as archive:
        for name in sorted(_list_files(project)):
            entry = zipfile.ZipInfo(name, OLDEST)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, (project / name).read_bytes())


def _list_files(project: Path) -> Iterator[str]:
    yield from FILES_OUTSIDE_PACKAGE
    for path in (project / "sigmamind_mcp").rglob("*"):
        name = path.relative_to(project)
        is_hidden = any(part == "__pycache__" or part.startswith(".") for part in name.parts)
        if path.is_dir() or is_hidden:
            continue
        if path.suffix not in SUFFIXES:
            sys.exit(
                f"{name} has an unknown suffix; tests/checks/pack_bundle.py lists those to pack."
            )
        yield name.as_posix()


def main() -> int:
    """Pack the bundle, and print the next step."""
    pack(ROOT, BUNDLE)
    print(
        f"Open {BUNDLE}\nin Claude Desktop: Settings, Extensions, Advanced settings, Install Extension."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The architecture, as imports: who may know whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sigmamind_mcp

ROOT = Path(sigmamind_mcp.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def imported(path: Path) -> set[str]:
    """Every module that the file imports, those inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def importers(name: str) -> set[str]:
    return {
        module.removeprefix("sigmamind_mcp.")
        for module, path in MODULES.items()
        if any(found == name or found.startswith(f"{name}.") for found in imported(path))
    }


@pytest.mark.parametrize(
    ("library", "modules"),
    [
        ("httpx2", {"connections", "upstream"}),
        ("sqlite3", {"sandbox.store", "sandbox.app"}),
        ("os", {"cli", "serving", "stdio"}),
        ("mcp", {"server", "asking", "stdio", "http", "guard", "demo"}),
        ("mcp_types", {"server", "asking", "http", "lines"}),
        ("opentelemetry", {"upstream"}),
        ("uvicorn", {"serving"}),
        ("rich", {"demo"}),
    ],
)
def test_each_library_has_its_place(library: str, modules: set[str]) -> None:
    assert importers(library) == modules


def test_sandbox_knows_nothing_of_the_rest() -> None:
    for module, path in MODULES.items():
        if module.startswith("sigmamind_mcp.sandbox"):
            ours = {name for name in imported(path) if name.startswith("sigmamind_mcp")}
            assert all(name.startswith("sigmamind_mcp.sandbox") for name in ours), module


def test_only_settings_read_the_environment() -> None:
    assert [name for name, path in MODULES.items() if "os.environ" in path.read_text(encoding="utf-8")] == [
        "sigmamind_mcp.cli"
    ]


def test_nothing_is_named_so_that_pytest_would_collect_it() -> None:
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        assert not [found for found in [name.rpartition(".")[2], *functions] if found.startswith("test_")], name


def test_pure_modules_do_no_io() -> None:
    for name in (
        "transcripts", "untrusted", "uris", "models", "errors", "masking", "retries", "evidence", "lint", "signals",
        "mock_values", "diagnosis", "comparison",
    ):  # fmt: skip
        assert not imported(MODULES[f"sigmamind_mcp.{name}"]) & {"anyio", "asyncio", "mcp", "httpx2", "socket"}, name


def test_a_start_loads_nothing_that_takes_long_and_waits_for_its_first_use() -> None:
    waiting = {"rich", "sqlite3", *(f"sigmamind_mcp.{name}" for name in ("sandbox", "lint", "signals", "mock_values"))}
    code = f"import sys, sigmamind_mcp.stdio; print(*{waiting} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)

    assert loaded.stdout == "\n"

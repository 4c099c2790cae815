"""The architecture, as imports: what each package may know."""

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
LEAVES = "leaves"
LAYERS = ("transports", "protocol", "tools", "insight", "api", LEAVES)
"""An import may only go right. `commands` and the entry points may import any layer; `sandbox` stands alone."""
ENTRY_POINTS = {"sigmamind_mcp.cli", "sigmamind_mcp.__main__"}


def package_of(module: str) -> str:
    """Return the package a module belongs to; a module outside any is a leaf, if it is no entry point."""
    if module in ENTRY_POINTS:
        return "entry points"
    parts = module.split(".")
    is_package = len(parts) > 1 and (ROOT / parts[1]).is_dir()
    return parts[1] if is_package else LEAVES


def imported(path: Path) -> set[str]:
    """Return every module that the file imports, those inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            is_package_alone = len(submodules) == len(node.names)
            found |= submodules if is_package_alone else {*submodules, node.module}
    return found


OWN_IMPORTS = {
    name: imported(path) & set(MODULES) - {"sigmamind_mcp"} for name, path in MODULES.items()
}


def imported_packages(package: str) -> set[str]:
    """Return the packages of ours that the modules of this package import."""
    modules = [name for name in MODULES if package_of(name) == package]
    return {package_of(target) for name in modules for target in OWN_IMPORTS[name]}


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_one_way(layer: str) -> None:
    assert imported_packages(layer) <= set(LAYERS[LAYERS.index(layer) :])


def test_insight_knows_of_the_api_its_models_alone() -> None:
    modules = [name for name in MODULES if package_of(name) == "insight"]
    from_api = {
        target for name in modules for target in OWN_IMPORTS[name] if package_of(target) == "api"
    }

    assert from_api <= {"sigmamind_mcp.api", "sigmamind_mcp.api.models"}


def test_sandbox_stands_alone() -> None:
    assert imported_packages("sandbox") <= {"sandbox"}
    users = {
        package_of(name)
        for name in MODULES
        if any(package_of(it) == "sandbox" for it in OWN_IMPORTS[name])
    }
    assert users <= {"sandbox", "entry points", "commands"}


def test_no_module_imports_itself_through_others() -> None:
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above, module])
        if module not in done:
            for target in OWN_IMPORTS[module]:
                visit(target, (*above, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize(
    ("library", "packages"),
    [
        ("httpx2", {"api"}),
        ("sqlite3", {"sandbox"}),
        ("mcp", {"transports", "protocol", "commands"}),
        ("mcp_types", {"transports", "protocol"}),
        ("opentelemetry", {"api"}),
        ("uvicorn", {"transports"}),
        ("rich", {"commands"}),
    ],
)
def test_each_library_has_its_place(library: str, packages: set[str]) -> None:
    users = [
        name
        for name, path in MODULES.items()
        if any(target.partition(".")[0] == library for target in imported(path))
    ]
    assert {package_of(name) for name in users} == packages


@pytest.mark.parametrize("package", ["insight", LEAVES])
def test_pure_packages_do_no_io(package: str) -> None:
    concurrency = "sigmamind_mcp.concurrency"
    for name, path in MODULES.items():
        if package_of(name) == package and name != concurrency:
            assert not imported(path) & {
                "anyio",
                "asyncio",
                "mcp",
                "httpx2",
                "socket",
                concurrency,
            }, name


def test_only_the_command_line_reads_the_environment() -> None:
    readers = [
        name for name, path in MODULES.items() if "os.environ" in path.read_text(encoding="utf-8")
    ]

    assert readers == ["sigmamind_mcp.cli"]


def test_nothing_is_named_so_that_pytest_would_collect_it() -> None:
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        assert not [
            found for found in [name.rpartition(".")[2], *functions] if found.startswith("test_")
        ], name


def test_a_start_loads_nothing_that_can_wait_for_its_first_use() -> None:
    insight = ("draft_checks", "signals", "mock_values")
    waiting = {
        "rich",
        "sqlite3",
        "sigmamind_mcp.sandbox",
        *(f"sigmamind_mcp.insight.{name}" for name in insight),
    }
    code = f"import sys, sigmamind_mcp.transports.stdio; print(*{waiting} & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )

    assert loaded.stdout == "\n"

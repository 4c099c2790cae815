"""Check the architecture: which package may import which, and that one name means one thing."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import sigmamind_mcp

ROOT = Path(sigmamind_mcp.__file__).parent
LEAVES = "leaves"
LAYERS = ("transports", "protocol", "tools", "insight", "api", "viewer", LEAVES)
"""An import may only go right. `commands` and the entry points may import any layer."""
ENTRY_POINTS = {"sigmamind_mcp.cli", "sigmamind_mcp.__main__"}
SHARED_NAMES: dict[str, str] = {}
"""Names that two modules may define, each with the reason. At most eight."""


def name_module(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


TREES = {
    name_module(path): ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.rglob("*.py")
}


def find_package(module: str) -> str:
    """Return the package of a module. One outside any package is an entry point or a leaf."""
    if module in ENTRY_POINTS:
        return "entry points"
    parts = module.split(".")
    is_in_package = len(parts) > 1 and (ROOT / parts[1]).is_dir()
    return parts[1] if is_in_package else LEAVES


def list_imports(tree: ast.Module) -> set[str]:
    """Return every imported module, including imports inside functions."""
    imports: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(TREES)
            imports |= submodules
            if len(submodules) < len(node.names):
                imports.add(node.module)
    return imports


IMPORTS = {module: list_imports(tree) for module, tree in TREES.items()}
OWN_IMPORTS = {
    module: imports & set(TREES) - {"sigmamind_mcp"} for module, imports in IMPORTS.items()
}


def modules_of(package: str) -> list[str]:
    return [module for module in TREES if find_package(module) == package]


def packages_imported_by(package: str) -> set[str]:
    targets = set().union(*(OWN_IMPORTS[module] for module in modules_of(package)))
    return {find_package(target) for target in targets}


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_one_way(layer: str) -> None:
    assert packages_imported_by(layer) <= set(LAYERS[LAYERS.index(layer) :])


def test_insight_imports_only_models_from_api() -> None:
    targets = set().union(*(OWN_IMPORTS[module] for module in modules_of("insight")))
    from_api = {target for target in targets if find_package(target) == "api"}

    assert from_api <= {
        "sigmamind_mcp.api",
        "sigmamind_mcp.api.conversations",
        "sigmamind_mcp.api.models",
    }


def test_sandbox_stands_alone() -> None:
    packages = {find_package(module) for module in TREES}
    users = {package for package in packages if "sandbox" in packages_imported_by(package)}

    assert packages_imported_by("sandbox") <= {"sandbox"}
    assert users <= {"sandbox", "entry points", "commands"}


def test_suites_know_nothing_of_mcp() -> None:
    packages = {find_package(module) for module in TREES}
    users = {package for package in packages if "suites" in packages_imported_by(package)}

    assert packages_imported_by("suites") <= {"suites", "insight", "api", LEAVES}
    assert users <= {"suites", "commands"}


def test_viewer_is_a_page_and_knows_nothing_of_the_rest() -> None:
    packages = {find_package(module) for module in TREES}
    users = {package for package in packages if "viewer" in packages_imported_by(package)}

    assert packages_imported_by("viewer") <= {"viewer"}
    assert users <= {"viewer", "protocol", "commands"}


def test_no_module_imports_itself_through_others() -> None:
    visited: set[str] = set()

    def visit(module: str, importers: tuple[str, ...]) -> None:
        assert module not in importers, " -> ".join([*importers, module])
        if module not in visited:
            for target in OWN_IMPORTS[module]:
                visit(target, (*importers, module))
            visited.add(module)

    for module in TREES:
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
        ("yaml", {"suites"}),
    ],
)
def test_each_library_is_used_in_its_packages_only(library: str, packages: set[str]) -> None:
    users = {
        find_package(module)
        for module, imports in IMPORTS.items()
        if library in {target.partition(".")[0] for target in imports}
    }

    assert users == packages


@pytest.mark.parametrize("package", ["insight", LEAVES])
def test_pure_packages_do_no_io(package: str) -> None:
    waiting = {
        f"sigmamind_mcp.{name}"
        for name in ("concurrency", "call_deadlines", "fair_slots", "heavy_work")
    }
    forbidden = {"anyio", "asyncio", "mcp", "httpx2", "socket", *waiting}
    for module in modules_of(package):
        if module not in waiting:
            assert not IMPORTS[module] & forbidden, module


def test_only_the_command_line_reads_the_environment() -> None:
    readers = [
        name_module(path)
        for path in ROOT.rglob("*.py")
        if "os.environ" in path.read_text(encoding="utf-8")
    ]

    assert readers == ["sigmamind_mcp.cli"]


def test_one_name_is_defined_in_one_module() -> None:
    """Leading underscores and case do not make another name."""
    definers: defaultdict[str, set[str]] = defaultdict(set)
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                definers[node.name.lstrip("_").lower()].add(module)
    shared = {name: modules for name, modules in definers.items() if len(modules) > 1}

    new = {name: modules for name, modules in shared.items() if name not in SHARED_NAMES}
    assert new == {}, "rename one of each, or give the reason in SHARED_NAMES"
    assert set(SHARED_NAMES) <= set(shared), "a reason that is no longer needed"
    assert len(SHARED_NAMES) <= 8


def test_pytest_would_collect_nothing_of_the_package() -> None:
    for module, tree in TREES.items():
        functions = [
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        names = [module.rpartition(".")[2], *functions]
        assert not [name for name in names if name.startswith("test_")], module


def test_first_answers_need_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules);"
        " import sigmamind_mcp.cli, sigmamind_mcp.transports.opening;"
        " print(*set(sys.modules) - before)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    loaded = set(process.stdout.split())

    packages = {module.partition(".")[0] for module in loaded}
    assert packages <= {*sys.stdlib_module_names, "sigmamind_mcp"}
    # Some take longer than all the rest; Windows cannot select or lock a pipe.
    slow = {"asyncio", "dataclasses", "inspect", "logging", "pathlib", "urllib.parse"}
    assert not loaded & {*slow, "fcntl", "select"}


def test_start_does_not_load_what_its_first_use_can_load() -> None:
    insight = ("draft_checks", "contrast", "evidence", "simulator_faults", "spoken_values")
    deferred = {
        "rich",
        "sqlite3",
        "yaml",
        "sigmamind_mcp.sandbox",
        *(f"sigmamind_mcp.insight.{name}" for name in insight),
    }
    code = f"import sys, sigmamind_mcp.transports.stdio; print(*{deferred} & set(sys.modules))"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )

    assert process.stdout == "\n"

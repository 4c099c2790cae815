"""Run the server without the names that Windows lacks: `python -m tests.support.without_posix ARGUMENTS`.

typeshed says which names those are. `sys.platform` is that of Windows, so that our own code takes its ways for it; the
libraries are loaded before, since theirs need more of Windows.
"""

import ast
import importlib
import importlib.util
import os
import runpy
import select
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

# The standard library of this system is built on them.
KEPT = {"posix", "posixpath", "_posixsubprocess"}
# They use such names here, and on Windows other code.
STANDARD_LIBRARY = ("asyncio", "multiprocessing", "shutil", "ssl", "subprocess", "tempfile")
DEPENDENCIES = ("anyio", "httpx2", "mcp", "pydantic", "rich", "starlette", "uvicorn", "yaml")


def list_missing_names(module: str) -> set[str]:
    """Return the names of a module that Linux has and Windows lacks."""
    return _list_names(_find_stub(module), "linux") - _list_names(_find_stub(module), "win32")


def list_missing_modules() -> set[str]:
    """Return the modules of the standard library that are empty on Windows only."""
    stubs = _find_stub("pwd").parent.glob("*.pyi")
    missing = {
        stub.stem for stub in stubs if _list_names(stub, "linux") and not _list_names(stub, "win32")
    }
    return missing - KEPT


def remove_posix_names() -> None:
    """Remove from this process what Windows lacks, also the event loop's signal handlers."""
    # selectors takes what it finds in select, so this module goes first.
    _remove_names(select)
    for name in (*STANDARD_LIBRARY, *DEPENDENCIES):
        importlib.import_module(name)
    for module in (os, signal):
        _remove_names(module)
    for name in list_missing_modules():
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails
    asyncio: Any = sys.modules["asyncio"]
    loop = asyncio.SelectorEventLoop
    for name in ("add_signal_handler", "remove_signal_handler"):
        setattr(loop, name, _refuse)
    asyncio.ProactorEventLoop = loop  # uvicorn takes it on Windows
    sys.platform = "win32"


def _refuse(*arguments: object) -> NoReturn:
    raise NotImplementedError  # as on Windows


def _remove_names(module: Any) -> None:
    for name in list_missing_names(module.__name__):
        if hasattr(module, name):
            delattr(module, name)


def _find_stub(module: str) -> Path:
    spec = importlib.util.find_spec("mypy")
    assert spec and spec.origin
    folder = Path(spec.origin).parent / "typeshed" / "stdlib"
    package = folder / module / "__init__.pyi"
    return package if package.exists() else folder / f"{module}.pyi"


def _list_names(stub: Path, system: str) -> set[str]:
    """Return the public names that a stub defines on this system."""
    statements = ast.parse(stub.read_text(encoding="utf-8")).body
    return {name for name in _walk(statements, system) if not name.startswith("_")}


def _walk(statements: Iterable[ast.stmt], system: str) -> Iterator[str]:
    for statement in statements:
        match statement:
            case ast.If():
                branch = statement.body if _holds(statement.test, system) else statement.orelse
                yield from _walk(branch, system)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def _holds(test: ast.expr, system: str) -> bool:
    """Return whether a condition of a stub holds on this system."""
    names = {"sys": SimpleNamespace(platform=system, version_info=sys.version_info)}
    return bool(eval(compile(ast.Expression(test), "stub", "eval"), names))


if __name__ == "__main__":
    remove_posix_names()
    runpy.run_module("sigmamind_mcp", run_name="__main__", alter_sys=True)

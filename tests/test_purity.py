"""Pure modules reach nothing that reads a clock, rolls dice, or touches a file, socket or database.

Imports are followed through every module of chatferry. They end where a pure module only uses a type
(`archive`: importers are given one to read; `downloads`: requests name a path) or the pure half of `ids`.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SOURCE = ROOT / "src"
PURE = [
    "records", "documents", "problems", "operations", "errors", "origins", "redaction",
    "importers.*", "convert.*",
    "reports.operation_json", "reports.shown", "reports.states", "reports.verdict",
    "api.wire", "api.schemas", "api.validation", "api.description.*",
    "api.uploads.tus", "api.uploads.tus_headers", "api.media.initials", "api.media.ranges",
    "destinations.urls",
    "downloads.addresses", "downloads.failures", "downloads.gzip_body", "downloads.response_checks",
    "downloads.retries",
]  # fmt: skip
FORBIDDEN = {
    "asyncio", "bcrypt", "http", "httpx", "io", "logging", "multiprocessing", "os", "pathlib", "random",
    "secrets", "shutil", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
    "uuid", "chatferry.accounts", "chatferry.destinations", "chatferry.store",
    "chatferry.ids.new_id", "chatferry.ids.new_token",
}  # fmt: skip
ALLOWED = {"urllib.parse", "chatferry.destinations.urls"}
GIVEN = {"chatferry.archive", "chatferry.downloads", "chatferry.ids"}


def named(pattern: str) -> Iterator[str]:
    """Yield the names of the modules that a pattern stands for."""
    path = SOURCE / "chatferry" / pattern.replace(".*", "").replace(".", "/")
    files = path.rglob("*.py") if pattern.endswith(".*") else [path.with_suffix(".py")]
    for file in sorted(files):
        yield ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


MODULES = [name for pattern in PURE for name in named(pattern)]


@pytest.mark.parametrize("module", MODULES)
def test_a_pure_module_reaches_nothing_impure(module: str) -> None:
    trails = reached(module)
    bad = {" > ".join(trail) for name, trail in trails.items() if is_forbidden(name)}
    assert not bad


@pytest.mark.parametrize("call", ["now", "today", "utcnow"])
def test_no_pure_module_asks_for_the_time(call: str) -> None:
    for module in MODULES:
        for node in ast.walk(tree(module)):
            assert not (isinstance(node, ast.Attribute) and node.attr == call), f"{module}: {call}"


def reached(start: str) -> dict[str, tuple[str, ...]]:
    """Return everything that a module imports, itself or through others, with the way there."""
    trails: dict[str, tuple[str, ...]] = {}
    waiting: list[tuple[str, ...]] = [(start,)]
    while waiting:
        trail = waiting.pop()
        for name in imported(trail[-1]):
            if name in trails or name in GIVEN:
                continue
            trails[name] = (*trail, name)
            if file_of(name) is not None and not is_forbidden(name):
                waiting.append(trails[name])
    return trails


def is_forbidden(name: str) -> bool:
    if any(name == good or name.startswith(f"{good}.") for good in ALLOWED):
        return False
    return any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN)


@cache
def imported(module: str) -> tuple[str, ...]:
    names: list[str] = []
    for node in walked(tree(module)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in inner if file_of(name) is not None]
            names += modules if len(modules) == len(inner) else [node.module, *inner]
    return tuple(names)


def walked(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all below it, but what only a type checker reads."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from walked(child)


@cache
def tree(module: str) -> ast.AST:
    file = file_of(module)
    assert file is not None, module
    return ast.parse(file.read_text())


def file_of(module: str) -> Path | None:
    if not module.startswith("chatferry"):
        return None
    path = SOURCE / module.replace(".", "/")
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def test_no_test_imports_another_test() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            imported = str(node.module) if isinstance(node, ast.ImportFrom) else ""
            assert not any(part.startswith(("test_", "conftest")) for part in imported.split(".")), path

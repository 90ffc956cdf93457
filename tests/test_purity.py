"""The pure modules import nothing that reads a clock, rolls dice, or touches a file, socket or database."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "chatferry"
PURE = [
    *(
        SOURCE / name
        for name in ("records.py", "documents.py", "problems.py", "operations.py", "errors.py", "origins.py")
    ),
    *sorted((SOURCE / "importers").glob("*.py")),
    *sorted((SOURCE / "convert").glob("*.py")),
    *(SOURCE / "api" / f"{name}.py" for name in ("wire", "schemas", "answers", "examples", "openapi")),
    *(SOURCE / "api" / f"{name}.py" for name in ("reference", "tus", "tus_exchanges")),
    *(
        SOURCE / "downloads" / f"{name}.py"
        for name in ("addresses", "answers", "faults", "packed", "retries")
    ),
    SOURCE / "api" / "initials.py",
    SOURCE / "destinations" / "urls.py",
    SOURCE / "api" / "ranges.py",
]
FORBIDDEN = {
    "asyncio", "bcrypt", "http", "httpx", "io", "logging", "multiprocessing", "os", "pathlib", "random",
    "secrets", "shutil", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
    "uuid", "chatferry.accounts", "chatferry.destinations", "chatferry.pipeline", "chatferry.store",
    "chatferry.worker",
}  # fmt: skip


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_pure_module_imports_nothing_impure(path: Path) -> None:
    imported = set(imports(ast.parse(path.read_text())))
    assert not {
        name for name in imported if any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN)
    }


def imports(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


@pytest.mark.parametrize("call", ["now", "today", "utcnow"])
def test_no_pure_module_asks_for_the_time(call: str) -> None:
    for path in PURE:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr == call), f"{path}: {call}"

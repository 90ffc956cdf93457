"""The processes that chatferry starts for parts of an import."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.support.serving import PATIENCE


def helpers(pid: int) -> list[int]:
    """The processes that a process has started for its parts."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for file in lists for child in _read(file).split()]
    return [child for child in found if "spawn_main" in _read(Path(f"/proc/{child}/cmdline"))]


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):  # the thread or process has gone since it was listed
        return ""


def eventually(is_so: Callable[[], object]) -> bool:
    end = time.monotonic() + PATIENCE
    while not (found := is_so()) and time.monotonic() < end:
        time.sleep(0.02)
    return bool(found)

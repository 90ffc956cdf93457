"""An archive read for the first time in several processes: what one process finds, in the same order."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chatferry.archive import Archive, open_archive
from chatferry.errors import CancelledError
from chatferry.importers.slack import export as slack
from chatferry.importers.slack.large_files import Sizes
from chatferry.operations import Operation, Status
from chatferry.pipeline.operation import run_operation
from chatferry.pipeline.parallel import pools as helpers_module
from chatferry.pipeline.parallel import processes
from chatferry.pipeline.parallel.archive_spec import ArchiveSpec
from chatferry.pipeline.parallel.processes import WORTH_READING, Processes, cores, worth_reading
from chatferry.settings import Settings
from chatferry.store import Store
from testdata.slack_export import Shape, write_export
from tests.support.importing import new_operation, workspace
from tests.support.processes import helpers

# Conversations that no list names, unknown authors and many small rooms: each process finds some of it.
SHAPE = Shape(users=40, channels=30, messages=6_000, seed=11, days=6)
SMALL = Sizes(first=30_000)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("first-reading") / "export.zip"
    write_export(path, SHAPE)
    return path


@contextmanager
def spread(
    export: Path, folder: Path, check: Callable[[], None] = lambda: None, serving: bool = False
) -> Iterator[Archive]:
    """The archive, read by two processes and this one."""
    source = ArchiveSpec(str(export), Settings().limits, export.name, "slack")
    with open_archive(export) as archive, Processes(2, source, folder, serving) as others:
        archive.spread = partial(others.each, archive, check)
        yield archive


@pytest.mark.parametrize("serving", [False, True])
def test_several_processes_find_what_one_finds(tmp_path: Path, export: Path, serving: bool) -> None:
    with open_archive(export) as archive:
        alone = list(slack.scan(archive, SMALL))
    with spread(export, tmp_path, serving=serving) as archive:
        assert list(slack.scan(archive, SMALL)) == alone


def test_a_process_that_is_killed_costs_nothing_but_time(tmp_path: Path, export: Path) -> None:
    killed: list[int] = []

    def check() -> None:
        if not killed and (found := helpers(os.getpid())):
            killed.append(found[0])
            os.kill(found[0], signal.SIGKILL)

    with open_archive(export) as archive:
        alone = list(slack.scan(archive, SMALL))
    with spread(export, tmp_path, check, serving=True) as archive:
        assert list(slack.scan(archive, SMALL)) == alone
    assert killed


def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the export count as large enough for several processes."""
    monkeypatch.setattr(processes, "WORTH_READING", 1_000)


def begun(export: Path) -> tuple[Operation, Store]:
    store = Store()
    operation = new_operation(export, workspace())
    store.operations.add(operation)
    return operation, store


def test_a_large_archive_is_read_by_several(
    tmp_path: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[Any]] = []
    seen: set[int] = set()

    def check() -> None:
        seen.update(helpers(os.getpid()))

    large(monkeypatch)
    for workers in (0, 2):
        operation, store = begun(export)
        ended = run_operation(operation, store, workspace(), Settings(data=tmp_path, workers=workers), check)
        assert ended.status == Status.SELECTION
        assert bool(seen) is bool(workers)
        parts = list(store.parts.undone(operation.id))
        found.append([ended.count, *store.staging.outcomes(operation.id, "channel").items(), *parts])
    assert found[0] == found[1]
    assert helpers(os.getpid()) == []


def test_a_cancelled_first_reading_leaves_no_process(
    tmp_path: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check() -> None:
        if helpers(os.getpid()):
            raise CancelledError("The operation was cancelled.")

    large(monkeypatch)
    operation, store = begun(export)
    ended = run_operation(operation, store, workspace(), Settings(data=tmp_path, workers=2), check)
    assert ended.status == Status.CANCELLED
    assert helpers(os.getpid()) == []


def test_an_archive_that_changes_meanwhile_is_said_to(
    tmp_path: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.zip"
    copy.write_bytes(export.read_bytes())

    def changing(*arguments: Any) -> int:
        """Called after the leading process has opened the archive and before the workers do."""
        copy.unlink()
        write_export(copy, Shape(users=3, channels=2, messages=10, seed=1))
        return 2

    monkeypatch.setattr(helpers_module, "worth_reading", changing)
    operation, store = begun(copy)
    ended = run_operation(operation, store, workspace(), Settings(data=tmp_path, workers=2))
    assert ended.status == Status.FAILED
    assert "copy.zip has changed" in ended.error


def test_a_small_archive_is_read_by_one(export: Path) -> None:
    with open_archive(export) as archive:
        assert worth_reading(None, archive) == worth_reading(3, archive) == 0
    with open_archive({"a/2020-01-01.json": bytes(WORTH_READING)}) as archive:
        assert worth_reading(3, archive) == 3
        assert worth_reading(0, archive) == 0
        assert worth_reading(None, archive) == (cores() if cores() > 1 else 0)
    with open_archive({"__uploads/F1/film.mp4": bytes(WORTH_READING)}) as archive:
        assert worth_reading(3, archive) == 0

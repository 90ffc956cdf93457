"""Processes that stay from an archive's first reading to the end of its import, and their work."""

import os
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from chatferry.archive import open_archive
from chatferry.clock import now
from chatferry.errors import CancelledError
from chatferry.operations import Operation, Status, advance
from chatferry.pipeline.operation import run_operation
from chatferry.pipeline.parallel import processes
from chatferry.pipeline.parallel.archive_spec import ArchiveSpec
from chatferry.pipeline.parallel.pools import Pools
from chatferry.pipeline.parallel.processes import WORTH_KEEPING, cores, worth_reading
from chatferry.pipeline.parallel.scheduling import CHUNK, chunked
from chatferry.records import Part
from chatferry.settings import Settings
from chatferry.store import Store
from chatferry.store.parts import NumberedPart
from testdata.slack_export import Shape, write_export
from tests.support.importing import ALL, Imported, contents, import_archive, new_operation, workspace
from tests.support.processes import eventually, helpers
from tests.support.serving import command, environment

SHAPE = Shape(users=40, channels=30, messages=6_000, seed=11, days=6)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("helpers") / "export.zip"
    write_export(path, SHAPE)
    return path


def test_the_import_has_the_processes_of_the_first_reading(tmp_path: Path, export: Path) -> None:
    settings, store, destination = Settings(data=tmp_path, workers=2), Store(), workspace()
    seen: set[int] = set()

    def check() -> None:
        seen.update(helpers(os.getpid()))

    operation = new_operation(export, destination)
    store.operations.add(operation)
    with Pools(settings, imports_at_once=True) as staying:
        operation = run_operation(operation, store, destination, settings, pools=staying)
        assert eventually(lambda: len(helpers(os.getpid())) == 2)
        readers = set(helpers(os.getpid()))
        operation = advance(replace(operation, selection=ALL), Status.IMPORTING, now())
        store.operations.save(operation)
        operation = run_operation(operation, store, destination, settings, check, pools=staying)
    assert operation.status == Status.DONE
    assert seen == readers
    assert helpers(os.getpid()) == []
    alone = import_archive(export, settings=Settings(data=tmp_path, workers=0))
    assert contents(Imported(operation, store, destination)) == contents(alone)


def test_nobody_writes_any_more_when_an_import_has_ended(tmp_path: Path, export: Path) -> None:
    settings, store, destination = Settings(data=tmp_path, workers=2), Store(), workspace()
    operation = new_operation(export, destination)
    store.operations.add(operation)

    def watch(operation: Operation) -> None:
        if operation.status == Status.IMPORTING_MESSAGES:
            raise CancelledError("The operation was cancelled.")

    with Pools(settings, imports_at_once=True) as staying:
        operation = run_operation(operation, store, destination, settings, pools=staying)
        operation = advance(replace(operation, selection=ALL), Status.IMPORTING, now())
        store.operations.save(operation)
        operation = run_operation(operation, store, destination, settings, watch=watch, pools=staying)
        assert operation.status == Status.CANCELLED
        assert helpers(os.getpid()) == []


def test_processes_that_do_not_stay_end_before_others_start(
    tmp_path: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "WORTH_READING", 1_000)
    source = ArchiveSpec(str(export), Settings().limits, export.name, "slack")
    with open_archive(export) as archive, Pools(Settings(data=tmp_path, workers=2)) as going:
        assert going.for_reading(source, archive, lambda: None)
        assert eventually(lambda: len(helpers(os.getpid())) == 2)
        readers = set(helpers(os.getpid()))
        assert going.for_messages(source, 6_000)
        assert eventually(lambda: len(helpers(os.getpid())) == 2)
        assert readers.isdisjoint(helpers(os.getpid()))
    assert helpers(os.getpid()) == []


def test_a_refused_selection_leaves_no_process(tmp_path: Path, export: Path) -> None:
    line = command("import", "slack", str(export), "--data", str(tmp_path), "--workers", "2")
    line += ["--channels", "no-such-channel"]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no-such-channel" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.glob("known*")) == []


def test_processes_that_stay_are_worth_starting_for_smaller_archives() -> None:
    with open_archive({"a/2020-01-01.json": bytes(WORTH_KEEPING - 1)}) as archive:
        assert worth_reading(None, archive, stay=True) == 0
        assert worth_reading(3, archive, stay=True) == 3
        assert worth_reading(0, archive, stay=True) == 0
    with open_archive({"a/2020-01-01.json": bytes(WORTH_KEEPING)}) as archive:
        assert worth_reading(None, archive, stay=True) == (cores() if cores() > 1 else 0)
        assert worth_reading(3, archive) == 0


def part(number: int, messages: int) -> NumberedPart:
    return NumberedPart(number, Part(channel="C1", messages=messages, data=b""))


@pytest.mark.parametrize(
    "messages",
    [[], [5], [0] * 1000, [1000] * 40, [1] * 5000, [70_000, 1, 1], [1, 70_000], [999, 1, 2500] * 20],
    ids=["none", "one", "empty", "usual", "tiny", "large first", "large last", "mixed"],
)
def test_groups_hold_all_parts_in_order(messages: list[int]) -> None:
    parts = [part(number, count) for number, count in enumerate(messages)]
    chunks = list(chunked(parts))
    assert [one for chunk in chunks for one in chunk] == parts
    assert all(chunks)
    for chunk in chunks:
        assert sum(one.part.messages for one in chunk[:-1]) < CHUNK
        assert len(chunk) <= 300
    assert len(chunks) < 100


def test_the_last_groups_are_small() -> None:
    sizes = [sum(one.part.messages for one in chunk) for chunk in chunked([part(1, 100)] * 1000)]
    assert sizes == sorted(sizes, reverse=True) and sum(sizes) == 100_000
    assert CHUNK * 0.9 < sizes[0] == sizes[25] <= CHUNK
    assert sizes[-1] == 100

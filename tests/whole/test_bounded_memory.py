"""Memory stays within the limits of docs/running.md for every archive."""

import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

MIB = 1 << 20
MOST = 150  # MiB above what the process holds before; some of these once took up to 1.6 GiB

READING = """
import sys
from chatferry.archive import open_archive
from chatferry.pipeline.convert_parts import convert_parts
from chatferry.convert import IdMap, MappedRoom
from chatferry.destinations.memory import MemoryDestination
from chatferry.importers import IMPORTERS
from chatferry.runtime import peak_memory
from chatferry.records import Channel, Part
from chatferry.store.parts import NumberedPart

before = peak_memory()
importer, rooms, parts, read = IMPORTERS[sys.argv[1]], {}, [], 0
with open_archive(sys.argv[2]) as archive:
    for item in importer.scan(archive):
        if isinstance(item, Channel):
            rooms[item.id] = MappedRoom(item.id, item.name)
        elif isinstance(item, Part):
            parts.append(NumberedPart(len(parts), item))
            read += item.messages
    for _ in convert_parts(parts, IdMap({}, rooms), importer, archive, MemoryDestination.pack):
        pass
print(round(peak_memory() - before), read)
"""


def memory_of(key: str, archive: Path) -> tuple[int, int]:
    """Return the most memory (MiB) that reading an archive takes, and how many messages it tells of."""
    told = subprocess.run(
        [sys.executable, "-c", READING, key, archive], capture_output=True, text=True, check=True
    )
    memory, messages = told.stdout.split()
    return int(memory), int(messages)


def repeated(piece: bytes, size: int, before: bytes, after: bytes) -> Iterable[bytes]:
    yield before
    for _ in range(size // MIB):
        yield piece * (MIB // len(piece))
    yield after


def day_of_one_element(size: int) -> Iterable[bytes]:
    before = b'[{"type":"message","ts":"1600000000.000100","text":"a","attachments":[{"a":['
    return repeated(b"[],", size, before, b'1]}]},{"type":"message","ts":"1600000001.000100","text":"b"}]')


def history_of_large_elements(size: int) -> Iterable[bytes]:
    yield b"["
    for number in range(size // MIB):
        yield (
            b'{"UserMessage":{"id":"m%d","sender":{"id":1},"timestamp":"2018-08-08T14:23:54Z","message":"'
            % number
        )
        yield b"a" * MIB + b'"}},'
    yield b'{"UserMessage":{"id":"last","sender":{"id":1},"timestamp":"2018-08-08T14:23:54Z","message":"b"}}]'


NOBODY = b'{"name":"' + b"a" * 10_000 + b'"},'
SOMEBODY = NOBODY.replace(b"{", b'{"id":"U1",')
GENERAL = '[{"id": "C1", "name": "general", "members": []}]'
DAY = "general/2020-09-13.json"
USERS, HISTORY = "users.json", "rooms/7/history.json"
CASES = [
    pytest.param("slack", DAY, lambda: day_of_one_element(60 * MIB), 1, id="an element of 60 MiB"),
    pytest.param("slack", DAY, lambda: day_of_one_element(14 * MIB), 2, id="an element of 14 MiB"),
    pytest.param("slack", DAY, lambda: day_of_one_element(3 * MIB), 2, id="an element of 3 MiB"),
    pytest.param(
        "slack",
        DAY,
        lambda: repeated(b"{},", 3 * MIB, b"[", b"{}]"),
        3 * (MIB // 3) + 1,
        id="a day of nothing",
        marks=pytest.mark.long,
    ),
    pytest.param("slack", USERS, lambda: repeated(NOBODY, 60 * MIB, b"[", b"{}]"), 0, id="users without ids"),
    pytest.param("slack", USERS, lambda: repeated(SOMEBODY, 60 * MIB, b"[", b"!"), 0, id="a list cut off"),
    pytest.param(
        "hipchatenterprise", HISTORY, lambda: history_of_large_elements(60 * MIB), 61, id="large elements"
    ),
]


@pytest.mark.parametrize(("key", "file", "make", "messages"), CASES)
def test_memory_is_bounded(
    key: str, file: str, make: Callable[[], Iterable[bytes]], messages: int, tmp_path: Path
) -> None:
    lists = {"channels.json": GENERAL} if key == "slack" else {"rooms.json": "[]"}
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("filler.bin", bytes(range(256)) * 4096, zipfile.ZIP_STORED)  # for the ratio
        for path, text in lists.items():
            archive.writestr(path, text)
        with archive.open(file, "w") as out:
            for block in make():
                out.write(block)
    memory, read = memory_of(key, tmp_path / "export.zip")
    assert read == messages
    assert memory < MOST

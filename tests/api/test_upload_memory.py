"""An upload of any size goes to the disk as it comes; the server's memory does not grow with it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Server, login, serving, wait_for

MIB = 2**20
BODY = 1024 * MIB if os.environ.get("CHATFERRY_TEST_LONG") else 256 * MIB  # bytes of base64
ALLOWED = 100_000_000  # bytes of memory
BLOCK = b"UEsDBBQAAAAIAO4s" * (4 * 1024)  # base64 of something, 64 KiB
HEAD, TAIL = b'{"binaryContent":"', b'","contentType":"a","fileName":"large.bin","importerKey":"slack"}'


def peak_memory(server: Server) -> int:
    """The most memory that the process has held so far, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    assert found, status
    return int(found[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak memory")
def test_memory_does_not_grow_with_the_upload(tmp_path: Path) -> None:
    def body() -> Iterator[bytes]:
        yield HEAD
        for _ in range(BODY // len(BLOCK)):
            yield BLOCK
        yield TAIL

    headers = {"Content-Type": "application/json", "Content-Length": str(len(HEAD) + BODY + len(TAIL))}
    with serving(tmp_path) as server, login(server) as http:
        before = peak_memory(server)
        answer = http.post("uploadImportFile", content=body(), headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        operation = wait_for(http, "importer_import_failed")  # it is no archive
        stored = [(path.name, path.stat().st_size) for path in server.uploads]
        server.uploads[0].unlink()  # pytest would keep it
        assert stored == [(operation["_id"], BODY * 3 // 4)]
        assert peak_memory(server) - before < ALLOWED

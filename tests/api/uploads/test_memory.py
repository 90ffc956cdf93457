"""An upload of any size goes to the disk as it comes; the server's memory does not grow with it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.serving import Server, login, serving, wait_for

MIB = 2**20
ALLOWED = 100_000_000  # bytes of memory
BLOCK = b"UEsDBBQAAAAIAO4s" * (4 * 1024)  # base64 of something, 64 KiB
JSON_HEAD, JSON_TAIL = (
    b'{"binaryContent":"',
    b'","contentType":"a","fileName":"large.bin","importerKey":"slack"}',
)
FORM_HEAD, FORM_TAIL = (
    b'--x\r\nContent-Disposition: form-data; name="importerKey"\r\n\r\nslack\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n',
    b"\r\n--x--\r\n",
)


def peak_memory(server: Server) -> int:
    """The most memory that the process has held so far, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    assert found, status
    return int(found[1]) * 1024


def send(
    http: httpx.Client, method: str, path: str, head: bytes, size: int, tail: bytes, **headers: str
) -> httpx.Response:
    """A request with a body of so many bytes between its head and its tail."""

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(size // len(BLOCK)):
            yield BLOCK
        yield tail

    given = {name.replace("_", "-"): value for name, value in headers.items()}
    length = str(len(head) + size + len(tail))
    return http.request(method, path, content=body(), headers={"Content-Length": length, **given})


def by_json(http: httpx.Client, size: int) -> httpx.Response:
    type = "application/json"
    return send(http, "POST", "uploadImportFile", JSON_HEAD, size * 4 // 3, JSON_TAIL, Content_Type=type)


def by_form(http: httpx.Client, size: int) -> httpx.Response:
    type = "multipart/form-data; boundary=x"
    return send(http, "POST", "import.upload", FORM_HEAD, size, FORM_TAIL, Content_Type=type)


def resumable(http: httpx.Client, size: int) -> httpx.Response:
    headers = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
    more = {"Upload-Length": str(size), "Upload-Metadata": "importerKey c2xhY2s="}
    path = http.post("import.uploads", headers={**headers, **more}).headers["Location"]
    return send(http, "PATCH", path.removeprefix("/api/v1/"), b"", size, b"", Upload_Offset="0", **headers)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak memory")
@pytest.mark.parametrize("way", [by_json, by_form, resumable])
@pytest.mark.parametrize("size", [132 * MIB, pytest.param(5121 * MIB, marks=pytest.mark.long)])
def test_memory_does_not_grow_with_the_upload(
    tmp_path: Path, way: Callable[[httpx.Client, int], httpx.Response], size: int
) -> None:
    with serving(tmp_path) as server, login(server) as http:
        before = peak_memory(server)
        assert way(http, size).status_code in (200, 204)
        operation = wait_for(http, "importer_import_failed")  # it is no archive
        stored = [(path.name, path.stat().st_size) for path in server.uploads]
        server.uploads[0].unlink()  # pytest would keep it
        assert stored == [(operation["_id"], size)]
        assert peak_memory(server) - before < ALLOWED

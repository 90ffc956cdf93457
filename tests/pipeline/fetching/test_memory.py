"""Memory does not grow with the size of a file, on its way in and on its way out."""

import hashlib
import re
from pathlib import Path

import pytest

from tests.support.exports import DAY, file, message, write_export
from tests.support.filehost import MIB, Exchange, FileHost
from tests.support.serving import Server, documents, login, run_import, serving, wait_for

BLOCK = b"\x89" + bytes(range(255)) * 4112 + b"\x00" * 15
ALLOWED = 48  # MiB that a large file may take more than a small one: the workspace's cache is 32
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak memory"
)


def peak(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found[1]) / 1024


@pytest.mark.parametrize(
    "mebibytes", [64, pytest.param(1024, marks=pytest.mark.long)], ids=lambda size: f"{size}MiB"
)
def test_memory_stays_flat(tmp_path: Path, host: FileHost, mebibytes: int) -> None:
    def answer(size: int, to: Exchange) -> None:
        to.head(content_length=size * len(BLOCK))
        for _ in range(size):
            to.wfile.write(BLOCK)

    assert len(BLOCK) == MIB
    small = host.put("/small", lambda to: answer(1, to))
    large = host.put("/large", lambda to: answer(mebibytes, to))
    first = write_export(tmp_path / "first", {DAY: [message(1, file("F1", small))]})
    second = write_export(tmp_path / "second", {DAY: [message(2, file("F2", large))]})
    with serving(tmp_path / "data", CHATFERRY_DOWNLOAD_HOSTS=host.name) as server, login(server) as http:
        peaks = []
        for archive, size in ((first, 1), (second, mebibytes)):
            run_import(http, archive)
            assert http.post("downloadPendingFiles", json={}).json()["count"] == 1
            wait_for(http, "importer_done")
            wanted = size * len(BLOCK)
            uploads = documents(server.data, "rocketchat_uploads")
            (upload,) = [one for one in uploads if one["size"] == wanted]
            found, expected = hashlib.sha256(), hashlib.sha256()
            url = f"{server.address}/file-upload/{upload['_id']}/x"
            with login(server, "admin") as reader, reader.stream("GET", url) as stream:
                assert stream.status_code == 200, stream.read()
                for piece in stream.iter_raw():
                    found.update(piece)
            for _ in range(size):
                expected.update(BLOCK)
            assert found.hexdigest() == expected.hexdigest()
            peaks.append(peak(server))
    assert peaks[1] - peaks[0] < ALLOWED, peaks

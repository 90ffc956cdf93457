"""Memory does not grow with the size of a file."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chatferry.downloads import Rules
from tests.support.filehost import MIB, Exchange, FileHost

BLOCK = bytes(range(256)) * 4096
ALLOWED = 4  # MiB that a large file may take more than a small one

# a process of its own, as the peak is that of a whole life
PROGRAM = """
import sys
from pathlib import Path
from chatferry.downloads import Request, Rules
from chatferry.downloads.fetch_one import fetch

url, host, path = sys.argv[1:]
found = fetch(Request(url=url, path=Path(path)), Rules(hosts=frozenset({host})))
print(found.size, found.sha256, Path("/proc/self/status").read_text())
"""


def peak(host: FileHost, folder: Path, mebibytes: int) -> float:
    """The peak memory in MiB of a process that downloads so much."""

    def answer(to: Exchange) -> None:
        to.head(content_length=mebibytes * MIB)
        for _ in range(mebibytes):
            to.wfile.write(BLOCK)

    url = host.put(f"/{mebibytes}", answer)
    command = [sys.executable, "-c", PROGRAM, url, host.name, str(folder / "file")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size, digest = done.stdout.split()[:2]
    expected = hashlib.sha256()
    for _ in range(mebibytes):
        expected.update(BLOCK)
    assert (int(size), digest) == (mebibytes * MIB, expected.hexdigest())
    assert (folder / "file").stat().st_size == mebibytes * MIB
    found = re.search(r"^VmHWM:\s*(\d+) kB$", done.stdout, re.MULTILINE)
    assert found
    return int(found[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak memory")
@pytest.mark.parametrize(
    "mebibytes", [64, pytest.param(1024, marks=pytest.mark.long)], ids=lambda size: f"{size}MiB"
)
def test_peak_memory_is_that_of_a_small_file(
    host: FileHost, tmp_path: Path, rules: Rules, mebibytes: int
) -> None:
    assert peak(host, tmp_path, mebibytes) - peak(host, tmp_path, 1) < ALLOWED

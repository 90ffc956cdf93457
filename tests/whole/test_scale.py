"""Memory does not grow with the export."""

import json
import zipfile
from pathlib import Path

import pytest
from msgspec.structs import replace

from testdata.slack_export import Shape, write_export
from tests.support.command_line import chatferry

MANY_FILES = Shape(users=100, channels=20, messages=40_000, seed=7, days=None, layout="corporate")
ONE_FILE = Shape(users=100, channels=1, messages=50_000, seed=7, days=1, layout="corporate")


def peak(folder: Path, shape: Shape, *options: str) -> float:
    export = folder / f"{shape.messages}.zip"
    write_export(export, shape)
    with zipfile.ZipFile(export) as archive:
        largest = max(info.file_size for info in archive.infolist())
    assert (largest > 500 * shape.messages) == (shape.days == 1)
    data = folder / str(shape.messages)
    done = chatferry("import", "slack", export, "--data", data, "--json", *options)
    assert done.returncode == 0, done.stderr
    return float(json.loads(done.stdout)["peakMemoryMiB"])


@pytest.mark.long
def test_peak_memory_is_that_of_a_small_import(tmp_path: Path) -> None:
    large = replace(MANY_FILES, messages=400_000)
    assert peak(tmp_path, large) < 1.25 * peak(tmp_path, MANY_FILES) < 200


def test_a_day_file_of_30_megabytes_is_never_in_memory(tmp_path: Path) -> None:
    assert peak(tmp_path, ONE_FILE, "--workers", "0") < 130


@pytest.mark.long
def test_peak_memory_hardly_grows_with_a_day_file(tmp_path: Path) -> None:
    """The larger one has 560 MB. Of each of its messages some numbers are remembered."""
    large = replace(ONE_FILE, messages=1_000_000)
    assert peak(tmp_path, large, "--workers", "0") < 40 + peak(tmp_path, ONE_FILE, "--workers", "0") < 170

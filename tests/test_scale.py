"""Memory does not grow with the export."""

import json
from pathlib import Path

import pytest

from testdata.slack_export import Shape, write_export
from tests.test_cli import chatferry


def peak(folder: Path, messages: int) -> float:
    export = folder / f"{messages}.zip"
    write_export(
        export, Shape(users=100, channels=20, messages=messages, seed=7, days=None, layout="corporate")
    )
    done = chatferry("import", "slack", export, "--data", folder / str(messages), "--json")
    assert done.returncode == 0, done.stderr
    return float(json.loads(done.stdout)["peakMemoryMiB"])


@pytest.mark.long
def test_peak_memory_is_that_of_a_small_import(tmp_path: Path) -> None:
    assert peak(tmp_path, 400_000) < 1.25 * peak(tmp_path, 40_000) < 200

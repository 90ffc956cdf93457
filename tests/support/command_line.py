"""The command line as people type it: a process, its output and its exit code."""

import subprocess
import sys
from pathlib import Path

from tests.support.filehost import FileHost
from tests.support.serving import PATIENCE, command, environment


def chatferry(*arguments: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", "chatferry", *map(str, arguments)],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


def chatferry_in(folder: Path, *arguments: str, host: FileHost) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments, "--data", str(folder / "data")),
        cwd=folder,
        env=environment(CHATFERRY_DOWNLOAD_HOSTS=host.name),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

"""The command line as people type it: a process, its output and its exit code."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.support.filehost import FileHost
from tests.support.serving import PATIENCE, command, environment


def chatferry(
    *arguments: str | Path, stdin: str = "", **variables: str
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", "chatferry", *map(str, arguments)],
        env=environment(**variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


def printed_commands(shown: str) -> list["subprocess.CompletedProcess[str]"]:
    """Run every command of chatferry that an output prints, as it is; none may be wrong usage."""
    program = shlex.join([sys.executable, "-m", "chatferry"])
    ran = []
    for printed in re.findall(r"`([^`]*)`", shown):
        if not printed.startswith(program) or "serve" in printed.split():
            continue
        done = subprocess.run(
            printed.replace("--user NAME", "--user admin"),
            shell=True,
            env=environment(),
            input="a-new-password\na-new-password\n",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode != 2, (printed, done.stderr)
        assert "Traceback" not in done.stderr + done.stdout
        ran.append(done)
    return ran


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

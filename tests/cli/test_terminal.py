"""What a terminal shows: progress, a new password, and no control character of an export."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

from chatferry import accounts
from chatferry.destinations.sqlite.destination import SqliteDestination
from tests.support.command_line import chatferry
from tests.support.importing import write_folder
from tests.support.paths import GOLDEN
from tests.support.serving import environment


def test_control_characters_of_an_export_never_reach_the_terminal(tmp_path: Path) -> None:
    user = {"id": "U0EVIL001", "name": "evil\x1b]0;mine\x07\x9b2J\u202e", "profile": {}}
    export = write_folder(tmp_path / "export", {"users.json": [user]})
    done = chatferry("import", "slack", export, "--data", tmp_path / "data", "-v")
    assert "evil\N{REPLACEMENT CHARACTER}]0;mine" in done.stdout
    assert not set(done.stdout + done.stderr) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_a_command_without_a_live_display_does_not_wait_for_it_to_load() -> None:
    loaded = "import sys, chatferry.cli; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


def test_on_a_terminal_the_password_of_a_new_workspace_is_shown(tmp_path: Path) -> None:
    main_end, other_end = pty.openpty()
    command = [sys.executable, "-m", "chatferry", "serve", "--port", "0", "--data", str(tmp_path)]
    bare = {name: value for name, value in environment().items() if not name.startswith("ADMIN_")}
    with subprocess.Popen(command, env=bare, stdout=subprocess.DEVNULL, stderr=other_end) as process:
        os.close(other_end)
        shown = ""
        while "Get a token" not in shown:
            shown += os.read(main_end, 65536).decode()
        process.terminate()
        with suppress(OSError):  # Linux says so when the other end is closed
            while os.read(main_end, 65536):
                pass
    os.close(main_end)
    password = re.search(r"with the password (\S+)\r?\n", shown)
    assert password and not (tmp_path / "first-password").exists()
    with closing(SqliteDestination(tmp_path / "workspace.sqlite3")) as workspace:
        assert accounts.is_password(accounts.user_of_login(workspace, "admin"), password[1])


def on_a_terminal(arguments: list[str], stream: str = "stdout", **variables: str) -> str:
    """Return the output of a command on a stream that is a terminal."""
    main_end, other_end = pty.openpty()
    out, err = (other_end if name == stream else subprocess.DEVNULL for name in ("stdout", "stderr"))
    command = [sys.executable, "-m", "chatferry", *arguments]
    process = subprocess.Popen(command, env=variables or environment(), stdout=out, stderr=err)
    os.close(other_end)
    shown = b""
    with suppress(OSError):  # Linux says so when the other end is closed
        while block := os.read(main_end, 65536):
            shown += block
    os.close(main_end)
    assert process.wait() == 0
    return shown.decode()


def test_control_characters_are_escaped_in_json_too(tmp_path: Path) -> None:
    """Escaped on a terminal, as it is where another program reads it."""
    name = "x\x9b2J\u202egnp\u2066\x7f"
    user = {"id": "U0EVIL001", "name": "evil", "real_name": name, "profile": {}}
    export = write_folder(tmp_path / "export", {"users.json": [user, {"id": name, "name": {}}]})
    done = chatferry("import", "slack", export, "--data", tmp_path / "data", "--json")
    assert name in done.stdout
    where = ["--data", str(tmp_path / "data")]
    users = chatferry("dump", "users", *where).stdout
    assert name in users
    shown = [on_a_terminal([*command, *where]) for command in (["dump", "users"], ["report", "--json"])]
    assert not set("".join(shown)) & set("\x9b\u202e\u2066\x7f")
    assert [json.loads(line) for line in shown[0].splitlines()] == list(map(json.loads, users.splitlines()))
    assert json.loads(shown[1])["problems"] == json.loads(done.stdout)["problems"] != []


def test_an_import_goes_on_when_nobody_reads_its_progress(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "chatferry", "import", "slack", str(GOLDEN), "--data", str(tmp_path)]
    with subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stderr is not None
        process.stderr.close()
    assert process.returncode == 0
    assert json.loads(chatferry("report", "--data", tmp_path, "--json").stdout)["messages"]["inserted"] == 300


def test_progress_is_live_on_a_terminal_and_plain_lines_elsewhere(tmp_path: Path) -> None:
    plain = chatferry("import", "slack", GOLDEN, "--data", tmp_path / "plain")
    assert "importing messages" in plain.stderr
    assert "\x1b" not in plain.stderr + plain.stdout
    main_end, other_end = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "chatferry",
        "import",
        "slack",
        str(GOLDEN),
        "--data",
        str(tmp_path / "t"),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=other_end, env={**environment(), "TERM": "xterm"}
    )
    os.close(other_end)
    shown = b""
    while True:
        try:
            block = os.read(main_end, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not block:
            break
        shown += block
    os.close(main_end)
    assert process.wait() == 0
    assert b"\x1b[" in shown
    assert "331/331" in shown.decode(errors="replace")

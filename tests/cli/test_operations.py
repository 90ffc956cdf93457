"""Commands on operations, beside a process that imports."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.command_line import chatferry, printed_commands
from tests.support.paths import GOLDEN
from tests.support.processes import eventually
from tests.support.serving import PATIENCE, environment, login, serving, upload, wait_for

SLOWLY = {"CHATFERRY_MESSAGES_PER_SECOND": "10"}


@contextmanager
def importing(data: Path) -> Iterator["subprocess.Popen[str]"]:
    """An import that takes half a minute."""
    command = [sys.executable, "-m", "chatferry", "import", str(GOLDEN), "--data", str(data)]
    said = (data.parent / "said").open("w+")
    with (
        said,
        subprocess.Popen(
            command, env=environment(**SLOWLY), stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        try:
            assert eventually(lambda: "running here: importing messages" in stated(data))
            yield process
        finally:
            process.kill()


def stated(data: Path) -> str:
    return chatferry("operations", "--data", data).stdout


def test_an_import_is_listed_paused_resumed_and_cancelled_from_another_terminal(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with importing(data) as process:
        assert re.fullmatch(
            r"\w{17}  \d{4}-\d\d-\d\d \d\d:\d\d  Slack, input-slack-300.zip: "
            r"running here: importing messages(, \d+ of 331)?\n",
            stated(data),
        )
        paused = chatferry("pause", "--data", data)
        assert printed_commands(paused.stdout)[0].stdout.endswith(" goes on.\n")
        chatferry("pause", "--data", data)
        assert "paused while importing messages" in stated(data)
        assert eventually(lambda: "paused; it goes on with `" in (tmp_path / "said").read_text())
        done = chatferry("cancel", "--data", data)
        assert done.stdout.endswith(" stops within seconds. What it has imported stays.\n")
        shown, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
    assert "Cancelled after " in shown and "Importing the same export again adds what is missing." in shown
    assert stated(data).endswith(": cancelled\n")
    again = chatferry("cancel", "--data", data)
    assert (again.returncode, "Only one that has not ended can be cancelled." in again.stderr) == (2, True)
    assert chatferry("import", GOLDEN, "--data", data, "-q").returncode == 0
    assert [line.rpartition(": ")[2] for line in stated(data).splitlines()] == ["done", "cancelled"]


def test_a_stopped_import_is_told_from_a_running_one_and_from_a_replaced_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with importing(data) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE)
    assert "stopped while importing messages" in stated(data)
    resumed = chatferry("resume", "--data", data)
    assert "no process works on it. `" in resumed.stdout
    shown = chatferry("import", GOLDEN, "--data", data, "--json").stdout
    newest = json.loads(shown)["operation"]["_id"]
    assert stated(data).endswith(f"replaced by {newest}\n")
    listed = json.loads(chatferry("operations", "--data", data, "--json", "--count", "1").stdout)
    assert [one["operation"]["_id"] for one in listed] == [newest]


def test_a_stopped_import_is_cancelled_for_good(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with importing(data) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE)
    done = chatferry("cancel", "--data", data)
    assert done.stdout.endswith(" is cancelled. What it has imported stays.\n")
    with serving(data):
        time.sleep(0.5)
        assert stated(data).endswith(": cancelled\n")


def test_a_server_ends_what_the_command_line_cancels(tmp_path: Path) -> None:
    with serving(tmp_path, **SLOWLY) as server, login(server) as http:
        upload(http, GOLDEN)
        wait_for(http, "importer_user_selection")
        assert stated(tmp_path).endswith(": waiting for a choice of users and rooms\n")
        http.post("startImport", json={"input": {"users": {"all": True}, "channels": {"all": True}}})
        assert eventually(lambda: "running here: importing messages" in stated(tmp_path))
        assert chatferry("cancel", "--data", tmp_path).returncode == 0
        assert eventually(lambda: stated(tmp_path).endswith(": cancelled\n"))
        assert http.get("import.status").json()["state"] in ("canceled", "error")

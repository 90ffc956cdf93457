"""The command line as people type it: a process, its output and its exit code."""

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chatferry import accounts
from chatferry.destinations import Lookup
from chatferry.destinations.sqlite.destination import SqliteDestination
from chatferry.importers import readers
from tests.support.command_line import chatferry, printed_commands
from tests.support.importing import write_folder
from tests.support.paths import CSV_EXAMPLE, GOLDEN
from tests.support.serving import serving

KINDS = ("users", "contacts", "rooms", "messages", "files")
COUNTS = {"read", "inserted", "updated", "unchanged", "skipped", "failed"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory into which the golden export was imported."""
    folder = tmp_path_factory.mktemp("cli") / "data"
    done = chatferry("import", "slack", GOLDEN, "--data", folder)
    assert done.returncode == 0, done.stderr
    return folder


def documents(data: Path, collection: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in chatferry("dump", collection, "--data", data).stdout.splitlines()]


def test_import_prints_one_json_object(tmp_path: Path) -> None:
    done = chatferry("import", "slack", GOLDEN, "--data", tmp_path, "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert list(found) == [
        "operation", "destination", "paused", "waitingFor", *KINDS,
        "problems", "seconds", "messagesPerSecond", "peakMemoryMiB",
    ]  # fmt: skip
    for kind in KINDS:
        counts = found[kind]
        assert set(counts) == COUNTS
        assert counts["read"] == sum(counts[name] for name in COUNTS - {"read"})
    assert found["messages"]["inserted"] == 300
    assert found["destination"] == {"kind": "embedded", "url": "sqlite:workspace.sqlite3"}
    assert found["operation"]["status"] == "importer_done"
    assert found["operation"]["importerKey"] == "slack"
    assert found["seconds"] > 0
    assert found["messagesPerSecond"] == pytest.approx(300 / found["seconds"], rel=0.05)
    assert 10 < found["peakMemoryMiB"] < 200
    again = json.loads(chatferry("report", "--data", tmp_path, "--json").stdout)
    assert again == found
    assert (
        json.loads(chatferry("report", found["operation"]["_id"], "--data", tmp_path, "--json").stdout)
        == found
    )


def test_problems_say_where_why_and_what_to_do(tmp_path: Path) -> None:
    export = write_folder(
        tmp_path / "export",
        {
            "users.json": [{"id": "U1", "name": "ada", "profile": {"email": "ada@example.org"}}],
            "channels.json": [{"id": "C1", "name": "town", "creator": "U1", "members": ["U1"]}],
            "town/2024-01-01.json": [{"type": "message", "user": "U1", "text": "no time"}],
        },
    )
    done = chatferry("import", "slack", export, "--data", tmp_path / "data", "--json")
    assert done.returncode == 3
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem == {
        "kind": "message-without-time",
        "effect": "failed",
        "count": 1,
        "file": "town/2024-01-01.json",
        "position": "$[0]",
        "field": "ts",
        "reason": "the message has no time",
        "remedy": "Give the message its time in the file and import again.",
    }
    shown = chatferry("report", "--data", tmp_path / "data").stdout
    assert "  1 x town/2024-01-01.json $[0] ts: the message has no time" in shown


def test_one_cause_is_one_line_and_all_problems_are_shown_on_demand(tmp_path: Path) -> None:
    export = write_folder(
        tmp_path / "export",
        {
            "users.json": [{"id": "U1", "name": "ada", "profile": {"email": "ada@example.org"}}],
            "channels.json": [{"id": "C1", "name": "town", "creator": "U1", "members": ["U1"]}],
            "town/2024-01-01.json": [{"type": "message", "user": "U1", "text": str(n)} for n in range(300)],
        },
    )
    command, where = ("import", "slack", export), ("--data", tmp_path / "data")
    shown = chatferry(*command, *where).stdout
    assert "message-without-time: 300 failed. " in shown
    assert "\n  300 x town/2024-01-01.json $[0] ts: the message has no time\n" in shown
    assert len(shown.splitlines()) < 15
    everything = printed_commands(shown)[0].stdout
    assert (
        "\nmessage-without-time  1 x town/2024-01-01.json $[299] ts: the message has no time\n" in everything
    )
    dry = chatferry(*command, *where, "--dry-run").stdout
    kept = printed_commands(dry)[0].stdout
    assert "Nothing was written." in kept
    assert kept.count("message-without-time  1 x town/2024-01-01.json $[") == 300
    (cause,) = json.loads(chatferry("report", *where, "--json").stdout)["problems"]
    assert (cause["kind"], cause["count"], cause["position"]) == ("message-without-time", 300, "$[0]")
    for again, code in ((("report",), 0), (command, 3), ((*command, "--dry-run"), 3)):
        done = chatferry(*again, *where, "--json", "--all")
        positions = [problem["position"] for problem in json.loads(done.stdout)["problems"]]
        assert (done.returncode, positions) == (code, [f"$[{n}]" for n in range(300)])


def test_the_report_of_a_failed_import_says_why(tmp_path: Path) -> None:
    export = write_folder(tmp_path / "export", {"users.json": "no JSON", "channels.json": "no JSON"})
    where = ("--data", tmp_path / "data")
    done = chatferry("import", "slack", export, *where, "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["operation"]["error"]
    assert "neither its users nor its channels" in error
    assert error in done.stderr
    for options in ((), ("--all",)):
        later = chatferry("report", *where, "--json", *options)
        assert json.loads(later.stdout)["operation"]["error"] == error
        assert error in later.stderr


def test_a_selection_by_names_and_ids(tmp_path: Path) -> None:
    done = chatferry(
        "import", "slack", GOLDEN, "--data", tmp_path, "--channels", "dev,C0B200000", "--json",
        CHATFERRY_USERS="ada,U0A103DDE,ben",
    )  # fmt: skip
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert (found["users"]["inserted"], found["users"]["skipped"]) == (3, 17)
    rooms = {room["name"] for room in documents(tmp_path, "rocketchat_room")}
    assert rooms == {"general", "dev"}
    messages = documents(tmp_path, "rocketchat_message")
    roots = {message["tmid"] for message in messages if "tmid" in message}  # a placeholder opens a thread
    authors = {one["u"]["username"] for one in messages if one["_id"] not in roots}
    assert authors == {"ada", "ben", "cleo"}
    assert found["messages"]["failed"] == 0


def test_a_dry_run_counts_and_writes_nothing(data: Path, tmp_path: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in data.iterdir()}
    done = chatferry("import", "slack", GOLDEN, "--data", data, "--dry-run", "--json")
    assert json.loads(done.stdout)["messages"]["unchanged"] == 300
    assert {path.name: path.stat().st_mtime_ns for path in data.iterdir()} == before
    fresh = chatferry("import", "slack", GOLDEN, "--data", tmp_path / "none", "--dry-run", "--json")
    assert json.loads(fresh.stdout)["messages"]["inserted"] == 300
    assert not (tmp_path / "none").exists()


def test_dump_is_json_lines_by_id(data: Path) -> None:
    users = documents(data, "users")
    assert [user["_id"] for user in users] == sorted(user["_id"] for user in users)
    assert len(users) == 22
    room = next(room for room in documents(data, "rocketchat_room") if room["_id"] == "GENERAL")
    assert room["ts"] == {"$date": "2022-12-03T08:00:00Z"}


def test_a_token_of_the_command_line_opens_the_server(data: Path) -> None:
    import httpx

    done = chatferry("token", "--user", "admin", "--data", data, "--json")
    token = json.loads(done.stdout)
    assert set(token) == {"userId", "authToken"}
    with serving(data) as server:
        me = httpx.get(
            f"{server.address}/api/v1/me",
            headers={"X-User-Id": token["userId"], "X-Auth-Token": token["authToken"]},
        )
    assert me.json()["username"] == "admin"
    plain = chatferry("token", "--user", "ada", "--data", data).stdout
    assert plain.startswith("X-User-Id: ")


def serve_once(data: Path, **variables: str) -> str:
    """Serve until the server answers; return what it said."""
    with serving(data, **variables) as server:
        assert server.stop() == 0
    return (data / "stderr").read_text()


def test_the_password_of_a_new_workspace_is_shown_once(tmp_path: Path) -> None:
    """An import makes none: where it works nobody logs in."""
    bare = {"ADMIN_USERNAME": "", "ADMIN_PASS": "", "ADMIN_EMAIL": ""}
    done = chatferry("import", GOLDEN, "--data", tmp_path, **bare)
    path = tmp_path / "first-password"
    assert "with the password" not in done.stderr and not path.exists()
    first = serve_once(tmp_path, **bare)
    assert f"The administrator is admin, with the password in {path}\n" in first
    password = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600
    second = serve_once(tmp_path, **bare)
    assert f"still lies in {path}: delete the file" in second
    assert password not in first + second
    with closing(SqliteDestination(tmp_path / "workspace.sqlite3")) as workspace:
        assert accounts.is_password(accounts.user_of_login(workspace, "admin"), password)
    path.unlink()
    assert "with the password" not in serve_once(tmp_path, **bare)


def test_a_password_is_set(tmp_path: Path, data: Path) -> None:
    copy = shutil.copytree(data, tmp_path / "copy")
    for given, code, said in [
        ("a-new-one", 0, "ada has a new password."),
        ("short", 2, "at least 8 characters"),
        ("", 2, "at least 8 characters"),
    ]:
        done = chatferry("password", "--user", "ada", "--data", copy, stdin=given + "\n")
        assert (done.returncode, said in done.stdout + done.stderr) == (code, True)
    with closing(SqliteDestination(copy / "workspace.sqlite3")) as workspace:
        assert accounts.is_password(accounts.user_of_login(workspace, "ada"), "a-new-one")


def test_a_password_is_given_to_the_account_that_the_settings_name(tmp_path: Path) -> None:
    """Neither to an administrator whom an import brought, nor to anybody that they do not name."""
    members = tmp_path / "members.csv"
    members.write_text("username,email,status\nada,ada@example.org,Admin\n")
    bare = {"ADMIN_USERNAME": "", "ADMIN_PASS": "", "ADMIN_EMAIL": ""}
    imported = chatferry("import", "slack-users", members, "--data", tmp_path / "data", **bare)
    assert imported.returncode == 0, imported.stderr
    for asked, username, password in [
        ({"ADMIN_USERNAME": "ada", "ADMIN_PASS": "given"}, "ada", "given"),
        ({"ADMIN_USERNAME": "", "ADMIN_PASS": "given"}, "admin", "given"),
        ({"ADMIN_USERNAME": "nobody", "ADMIN_PASS": "given"}, "admin", ""),
    ]:
        copy = shutil.copytree(tmp_path / "data", tmp_path / f"{username}{len(password)}")
        serve_once(copy, ADMIN_EMAIL="", **asked)
        with closing(SqliteDestination(copy / "workspace.sqlite3")) as workspace:
            given = password or (copy / "first-password").read_text().strip()
            others = {"ada", "admin"} - {username}
            assert accounts.is_password(accounts.user_of_login(workspace, username), given)
            found = workspace.find(Lookup.USERNAME, [*others])
            assert [bool(one.get("services", {}).get("password")) for one in found] == [False]


def test_a_server_has_the_settings_of_its_administrator_for_itself() -> None:
    url = "mongodb://127.0.0.1:1/rocketchat?replicaSet=rs0&serverSelectionTimeoutMS=100"
    done = chatferry("dump", "users", "--destination", url, ADMIN_USERNAME="two words")
    assert done.returncode == 4


def test_settings_of_the_administrator_that_do_not_count_are_said(tmp_path: Path) -> None:
    asked = {"ADMIN_USERNAME": "ada", "ADMIN_PASS": "first-one", "ADMIN_EMAIL": "ada@example.org"}
    assert "Not used" not in serve_once(tmp_path, **asked)
    assert "Not used" not in serve_once(tmp_path, **asked)
    later = serve_once(tmp_path, **{**asked, "ADMIN_PASS": "another"})
    assert "Not used: ADMIN_PASS. The workspace has its administrator already" in later
    later = serve_once(tmp_path, **{**asked, "ADMIN_USERNAME": "ben"})
    assert "Not used: ADMIN_USERNAME and ADMIN_PASS and ADMIN_EMAIL." in later
    for name, value in [("ADMIN_EMAIL", "no address"), ("ADMIN_USERNAME", "two words")]:
        done = chatferry("import", GOLDEN, "--data", tmp_path / "new", **{name: value})
        assert (done.returncode, f"{name} is {value!r}." in done.stderr) == (2, True)
        assert not (tmp_path / "new").exists()


def test_serve_names_the_administrator_that_there_is(tmp_path: Path) -> None:
    for name in ("ada", "not-asked-for"):
        with serving(tmp_path, ADMIN_USERNAME=name) as server:
            assert server.stop() == 0
        assert f" token --user ada --data {tmp_path}`\n" in (tmp_path / "stderr").read_text()


def test_inspect_counts_the_content_of_an_export(tmp_path: Path) -> None:
    shown = chatferry("inspect", GOLDEN)
    assert shown.returncode == 0
    assert "300 messages" in shown.stdout
    found = json.loads(chatferry("inspect", GOLDEN, "--json").stdout)
    assert (found["users"], found["publicChannels"], found["directConversations"]) == (20, 10, 1)
    assert found["files"] == 9
    assert not list(tmp_path.iterdir())


def test_the_help_names_every_importer() -> None:
    shown = chatferry("import", "--help").stdout
    for importer in readers():
        assert importer.key in shown


def test_a_csv_export_is_inspected_and_imported(tmp_path: Path) -> None:
    shown = chatferry("inspect", CSV_EXAMPLE, "--json")
    assert json.loads(shown.stdout)["importer"] == "CSV"
    done = chatferry("import", "csv", CSV_EXAMPLE, "--data", tmp_path, "--channels", "random", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["rooms"]["inserted"], found["messages"]["failed"]) == (1, 0)
    assert found["messages"]["inserted"] == len(documents(tmp_path, "rocketchat_message")) > 0
    again = json.loads(chatferry("import", "csv", CSV_EXAMPLE, "--data", tmp_path, "--json").stdout)
    assert again["messages"]["unchanged"] == found["messages"]["inserted"]


def test_a_list_of_members_is_inspected_and_imported(tmp_path: Path) -> None:
    members = tmp_path / "slack-members.csv"
    members.write_text("username,email,status\nada,ada@example.org,Member\nben,,Member\n")
    shown = chatferry("inspect", members, "--json")
    assert json.loads(shown.stdout)["importer"] == "Slack_Users"
    done = chatferry("import", "slack-users", members, "--data", tmp_path / "data", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["users"]["inserted"], found["users"]["skipped"]) == (0, 1, 1)
    (problem,) = found["problems"]
    assert (problem["file"], problem["position"], problem["field"]) == (
        members.name,
        "row 3",
        "column 2 (email)",
    )
    assert "ada" in {user["username"] for user in documents(tmp_path / "data", "users")}


def test_a_file_of_contacts_is_inspected_and_imported(tmp_path: Path) -> None:
    contacts = tmp_path / "people.csv"
    contacts.write_text("id,name,Town\n7,Ann,Bonn\n")
    assert json.loads(chatferry("inspect", contacts, "--json").stdout)["contacts"] == 1
    done = chatferry("import", "omnichannel_contact", contacts, "--data", tmp_path / "data", "--json")
    assert (done.returncode, json.loads(done.stdout)["contacts"]["inserted"]) == (0, 1)
    (ann,) = documents(tmp_path / "data", "rocketchat_livechat_contact")
    assert (ann["name"], ann["customFields"]) == ("Ann", {"Town": "Bonn"})


WRONG = [
    (["import", "slack", "/nowhere/export.zip"], 2, "/nowhere/export.zip does not exist"),
    (["import", "slack", __file__], 2, "is neither a zip nor a tar"),
    (["import", "csv", __file__], 2, "is neither a zip nor a tar"),
    (["import", "csv", "/nowhere"], 2, "Give the path of a CSV export: a zip or tar file, or a folder."),
    (["import", "slack-users", "/nowhere"], 2, "Give the path of Slack's list of members: a CSV file."),
    (["import", "slack-users", "GOLDEN"], 2, "it is a Slack export: `"),
    (["import", "teams", "GOLDEN"], 2, "no importer teams. Choose one of: csv, slack, "),
    (["import", "slack", "GOLDEN", "GOLDEN"], 2, "Give one export, and at most one importer"),
    (["import"], 2, "Missing argument"),
    (["import", "slack"], 2, "Give the export too: chatferry import slack EXPORT"),
    (["import", "slack", "GOLDEN", "--channels", "nowhere"], 2, "has no nowhere. `"),
    (["import", "slack", "GOLDEN", "--users", "nobody"], 2, "has no nobody"),
    (["import", "slack", "GOLDEN", "--destination", "oracle:x"], 2, "names no destination"),
    (["inspect", __file__], 1, "is neither a zip nor a tar"),
    (["report", "--data", "/nowhere"], 2, "holds no operations"),
    (["report", "7PbvsnKJD9ZAqw38C", "--data", "DATA"], 2, "no operation 7PbvsnKJD9ZAqw38C"),
    (["dump", "passwords", "--data", "DATA"], 2, "no collection passwords"),
    (["dump", "users", "--data", "/nowhere"], 2, "holds no workspace"),
    (["token", "--user", "nobody", "--data", "DATA"], 2, "no user nobody"),
    (["token"], 2, "Missing option"),
    (["serve", "--port", "99999"], 2, "65535"),
    (["serve", "--demo", "--host", "0.0.0.0"], 2, "cannot listen on 0.0.0.0"),
    (["fly"], 2, "No such command"),
]


@pytest.mark.parametrize(("arguments", "code", "text"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_usage_gets_a_sentence_and_a_code(
    data: Path, tmp_path: Path, arguments: list[str], code: int, text: str
) -> None:
    known = {"DATA": str(data), "GOLDEN": str(GOLDEN)}
    given = [known.get(argument, argument) for argument in arguments]
    if given[0] == "import":
        given += ["--data", str(tmp_path)]
    done = chatferry(*given)
    assert done.returncode == code, done.stderr
    assert text in " ".join(done.stderr.split())


def test_a_destination_that_is_away_is_no_wrong_usage(tmp_path: Path) -> None:
    url = "mongodb://127.0.0.1:1/rocketchat?replicaSet=rs0&serverSelectionTimeoutMS=100"
    for command in (
        ["import", "slack", GOLDEN, "--data", tmp_path],
        ["dump", "users"],
        ["token", "--user", "a"],
    ):
        done = chatferry(*command, "--destination", url)
        assert (done.returncode, "does not answer" in done.stderr) == (4, True), done.stderr


def test_a_bad_setting_is_named(tmp_path: Path) -> None:
    done = chatferry("import", "slack", GOLDEN, "--data", tmp_path, CHATFERRY_MAX_ENTRIES="many")
    assert done.returncode == 2
    assert "CHATFERRY_MAX_ENTRIES is 'many'" in done.stderr
    done = chatferry("import", "slack", GOLDEN, "--data", tmp_path, CHATFERRY_MAX_ENTRIES="5")
    assert done.returncode == 1
    assert "5" in done.stderr


def test_one_process_at_a_time_works_in_a_directory(tmp_path: Path) -> None:
    with serving(tmp_path):
        done = chatferry("purge", "--data", tmp_path)
        assert done.returncode == 2
        assert "Another chatferry works" in done.stderr


def test_a_failed_import_says_why(tmp_path: Path) -> None:
    export = write_folder(tmp_path / "export", {"readme.txt": "hello", "notes/a.txt": "x"})
    done = chatferry("import", "slack", export, "--data", tmp_path / "data")
    assert done.returncode == 1
    assert "is no Slack export" in done.stderr
    report = json.loads(chatferry("report", "--data", tmp_path / "data", "--json").stdout)
    assert report["operation"]["status"] == "importer_import_failed"


def test_an_export_of_strangers_is_asked_for_its_origin(tmp_path: Path) -> None:
    def export(name: str) -> Path:
        files = {
            "users.csv": f'"{name}","{name}@example.org","{name.title()}"\n',
            "channels.csv": f'"management","{name}","private","{name}"\n',
            "management/messages.csv": f'"{name}","1600000000000","hello"\n',
        }
        return write_folder(tmp_path / name, files)

    def run(name: str, *options: str) -> "subprocess.CompletedProcess[str]":
        return chatferry("import", "csv", export(name), "--data", tmp_path / "data", *options)

    assert run("alice").returncode == 0
    asked = run("carol")
    assert asked.returncode == 2
    assert (
        "give csv as its origin; if not, give a new name, such as csv-2. Give it with --origin."
        in asked.stderr
    )
    assert run("carol", "--origin", "no name").returncode == 2
    assert run("carol", "--origin", "csv-2").returncode == 0
    assert run("carol").returncode == 0  # it is known now
    rooms = {one["name"] for one in documents(tmp_path / "data", "rocketchat_room")}
    assert rooms == {"general", "management", "management-1"}


def test_commands_load_no_server() -> None:
    """It takes longer to load than a small import takes."""
    script = (
        "import sys, chatferry.cli; print(*{'asyncio', 'starlette', 'prometheus_client'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

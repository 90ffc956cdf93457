"""`chatferry backup`, `chatferry restore`, `chatferry token` and `chatferry password`."""

import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer

from chatferry import accounts
from chatferry.cli import terminal
from chatferry.cli.app import app
from chatferry.cli.conclusion import print_json
from chatferry.cli.options import (
    AsJson,
    Data,
    Where,
)
from chatferry.cli.workplace import open_workspace
from chatferry.clock import now
from chatferry.destinations import Destination
from chatferry.documents import Date, Document
from chatferry.errors import SettingsError
from chatferry.observing import audit
from chatferry.pipeline.binding import bound_destination, open_to_look
from chatferry.settings import from_environment


@app.command("backup")
def backup_(
    folder: Annotated[Path, typer.Argument(help="The directory for the backup: a new one, or an empty one.")],
    data: Data = Path("data"),
) -> None:
    """Back up a data directory, also while a server or an import works there."""
    from chatferry.cli.backup import make_backup

    settings = from_environment(data=data)
    found = make_backup(settings, folder)
    audit.set_up(settings.audit_log)
    audit.record("backed up", to=folder.resolve())
    terminal.say(f"{folder} holds {found}, copied and checked.")
    if found.elsewhere:
        terminal.say(f"The documents are in {found.elsewhere}. Back that database up now.")


@app.command("restore")
def restore_(
    folder: Annotated[Path, typer.Argument(help="The directory of a backup.")],
    data: Data = Path("data"),
) -> None:
    """Bring a backup into an empty data directory."""
    from chatferry.cli import backup

    settings = from_environment(data=data)
    found = backup.restore(folder, settings)
    audit.set_up(settings.audit_log)
    audit.record("restored", of=folder.resolve())
    terminal.say(f"{data} holds {found}, copied and checked.")
    if found.elsewhere:
        terminal.say(f"The documents are in {found.elsewhere}: restore that database too, if need be.")


@app.command()
def token(
    user: Annotated[str, typer.Option("--user", envvar="CHATFERRY_USER", help="Username, e-mail or id.")],
    data: Data = Path("data"),
    destination: Where = "",
    as_json: AsJson = False,
) -> None:
    """Make a login token for a user; a new workspace gets its administrator first."""
    settings = from_environment(data=data, destination=bound_destination(data, destination))
    workspace = open_to_look(settings)
    try:
        terminal.welcome(open_workspace(workspace, settings), settings.data)
        account = _account(workspace, user)
        audit.set_up(settings.audit_log)
        made = accounts.issue_token(workspace, account, Date.at(now()), settings.token_rules)
        audit.record("token made", user=account["_id"])
    finally:
        workspace.close()
    if as_json:
        print_json({"userId": account["_id"], "authToken": made})
    else:
        sys.stdout.write(f"X-User-Id: {account['_id']}\nX-Auth-Token: {made}\n")


@app.command()
def password(
    user: Annotated[str, typer.Option("--user", envvar="CHATFERRY_USER", help="Username, e-mail or id.")],
    data: Data = Path("data"),
    destination: Where = "",
) -> None:
    """Set the password of an account of an embedded workspace: asked for twice, or a line on stdin."""
    settings = from_environment(data=data, destination=bound_destination(data, destination))
    if settings.server_database:
        raise SettingsError("Rocket.Chat keeps the passwords of its accounts: set this one there.")
    if not settings.destination and not settings.workspace_path.exists():
        raise SettingsError(f"{data} holds no workspace. Give the directory of the import with --data.")
    workspace = open_to_look(settings)
    try:
        account = _account(workspace, user)
        accounts.set_password(workspace, account, _new_password())
        audit.set_up(settings.audit_log)
        audit.record("password set", user=account["_id"])
    finally:
        workspace.close()
    terminal.say(f"{account['username']} has a new password.")


def _account(workspace: Destination, name: str) -> Document:
    found = accounts.user_named(workspace, name)
    if found is None:
        raise SettingsError(f"There is no user {name} in this workspace.")
    return found


def _new_password() -> str:
    if sys.stdin.isatty():
        given = getpass("New password: ")
        if given != getpass("The same again: "):
            raise SettingsError("The two passwords differ. Nothing was changed.")
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if len(given) < SHORTEST:
        raise SettingsError(f"A password has at least {SHORTEST} characters. Nothing was changed.")
    return given


SHORTEST = 8  # characters of a password that is set here

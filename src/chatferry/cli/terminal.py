"""Text for people at a terminal."""

import re
import shlex
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

import typer

from chatferry import private
from chatferry.cli.printed import rendered
from chatferry.settings import Settings

_DIRECTION = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # they show a text in another order than it has
_CONTROL = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_DIRECTION}]")
FIRST_PASSWORD = "first-password"
"""The file, in the data directory, with the password that was made up where no person could read it."""


def say(text: str, bold: int = 0) -> None:
    """Print what a command was asked for, the first `bold` characters in bold.

    Commands between backquotes come to run as they are printed.
    """
    shown = _harmless(rendered(text))
    typer.echo((typer.style(shown[:bold], bold=True) if bold else "") + shown[bold:])


def quote(text: str) -> None:
    """Print a text that an export may have made: commands in it stay as they are."""
    typer.echo(_harmless(text))


def complain(text: str) -> None:
    """Print why a command does not do what it was asked for."""
    remark(f"chatferry: {text}")


def remark(text: str) -> None:
    """Print to stderr what goes on; ignore a closed pipe."""
    with suppress(BrokenPipeError):
        typer.echo(_harmless(rendered(text)), err=True)


def _harmless(text: str) -> str:
    """Return a text without control characters: it may come from an archive, and a terminal would obey it."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def print_raw(pieces: Iterable[str]) -> None:
    """Print JSON as it is; to a terminal with those characters escaped that could do something to it."""
    escape = partial(_CONTROL.sub, _escaped) if sys.stdout.isatty() else str
    sys.stdout.writelines(map(escape, pieces))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def welcome(admin: tuple[str, str] | None, data: Path) -> None:
    """Say, once, the password that was made up for the first administrator.

    Where a log keeps what is said, the password goes to a file instead.
    """
    path = data / FIRST_PASSWORD
    if admin is None:
        if path.exists():
            remark(f"The password of the first administrator still lies in {path}: delete the file.")
        return
    name, password = admin
    if not sys.stderr.isatty() and _is_written(path, password):
        remark(
            f"The administrator is {name}, with the password in {path}\n"
            "Only you can read this file. Delete it when you have the password."
        )
        return
    remark(f"The administrator is {name} with the password {password}\nThis password is not shown again.")


def _is_written(path: Path, password: str) -> bool:
    """Return whether the password could be written to a file; if not, saying it is better than losing it."""
    try:
        private.make_folder(path.parent)
        path.unlink(missing_ok=True)
        with open(path, "x", opener=private.opener, encoding="utf-8") as file:
            file.write(password + "\n")
    except OSError:
        return False
    return True


def warn_of_unused(variables: list[str]) -> None:
    """Say which variables about the first administrator count for nothing."""
    if variables:
        names = " and ".join(variables)
        remark(
            f"Not used: {names}. The workspace has its administrator already; "
            "`chatferry password --user NAME` sets another password."
        )


def warn_of_readers(data: Path, is_open: bool, left: list[Path]) -> None:
    """Say who else can read what lies in the data directory."""
    if is_open:
        remark(f"Warning: others can look into the data directory. Close it: chmod 700 {data.resolve()}")
    if left:
        more = f" and {len(left) - 1:,} more" if left[1:] else ""
        remark(
            f"Warning: others can read or write {left[0]}{more}, which belongs to another user. "
            f"Give it to the user that runs chatferry, who then closes it at the next start."
        )


def announce(address: str, settings: Settings, admin: str, is_demo: bool) -> None:
    """Say where the server is and how to get a token. `admin` is the username of the first administrator."""
    remark(f"chatferry serves Rocket.Chat's import API on {address}")
    if settings.is_open:
        remark(
            "Passwords and tokens can be read on their way: this is no TLS. Give --tls-cert and --tls-key, "
            "or let a proxy speak TLS and name it in CHATFERRY_TRUSTED_PROXIES."
        )
    if is_demo:
        remark("The workspace is a throw-away one: it is gone when the server stops.")
    else:
        remark(f"Get a token: POST /api/v1/login, or `chatferry token --user {shlex.quote(admin or 'NAME')}`")


def say_who_works(data: Path) -> None:
    """Say, at the beginning of a command, that a server does its work."""
    remark(f"The server of {data} does this, with its own settings. Ctrl-C stops it.")

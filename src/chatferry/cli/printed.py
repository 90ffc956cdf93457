"""Commands that a text names, as its reader has to type them."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import typer

from chatferry.destinations.urls import without_secrets

_NAMED = re.compile(r"`chatferry ([a-z]+)([^`]*)`")


def rendered(text: str) -> str:
    """Return a text in which every command between backquotes runs as it is printed.

    Texts name commands as `chatferry report ID`, wherever they are made. The name becomes that of this
    program, and --data and --destination follow as they were given, where the command takes them.
    """
    return _NAMED.sub(lambda found: f"`{_command(found[1], found[2])}`", text)


def _command(name: str, rest: str) -> str:
    options = "".join(
        f" {option} {shlex.quote(value)}"
        for option in ("--data", "--destination")
        if option not in rest and (value := given(option)) and option in _options_of(name)
    )
    return f"{_program()} {name}{rest}{options}"


def given(option: str) -> str:
    """Return the value that the command line gives for an option, without secrets; "" if it gives none."""
    value = ""
    words = iter(sys.argv[1:])
    for word in words:
        if word == option:
            value = next(words, "")
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
    return without_secrets(value)


def _program() -> str:
    typed = Path(sys.argv[0])
    if typed.name == "__main__.py":
        return shlex.join([sys.executable, "-m", "chatferry"])
    on_path = shutil.which(typed.name)
    return typed.name if on_path and Path(on_path).resolve() == typed.resolve() else shlex.quote(str(typed))


def _options_of(command: str) -> set[str]:
    from chatferry.cli.app import app

    group = typer.main.get_command(app)
    found = getattr(group, "commands", {}).get(command)
    return {option for parameter in getattr(found, "params", ()) for option in parameter.opts}

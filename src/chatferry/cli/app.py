"""The command line: thin, every command calls the pipeline, the store or the server."""

import sys

import typer

from chatferry import logs, private
from chatferry.cli import terminal
from chatferry.cli.conclusion import AWAY, FAILED, INTERRUPTED, exit_code_of
from chatferry.disks import is_away
from chatferry.errors import ChatferryError
from chatferry.logs import LogFormat, LogLevel
from chatferry.runtime import collect_rarely

app = typer.Typer(
    name="chatferry",
    help="Brings chat history into Rocket.Chat through Rocket.Chat's own import API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run a command; every error becomes a sentence and an exit code."""
    collect_rarely()
    logs.set_up(LogLevel.WARNING, LogFormat.TEXT)  # until a command's options say otherwise
    private.for_one_alone()
    try:
        app()
    except ChatferryError as error:
        terminal.complain(str(error))
        sys.exit(exit_code_of(error))
    except SystemExit as end:
        if end.code == INTERRUPTED:
            terminal.complain("Stopped. The same command goes on where it was.")
        raise
    except OSError as error:
        terminal.complain(f"{error.filename or 'The system'}: {error.strerror or error}.")
        sys.exit(AWAY if is_away(error) else FAILED)

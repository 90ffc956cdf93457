"""The command line. `main` runs it; importing a module of commands adds them to `app`."""

from chatferry.cli import fetching, importing, keeping, looking, operations, serve  # noqa: F401  # importing adds their commands
from chatferry.cli.app import main

__all__ = ["main"]

"""The command line. `main` runs it."""

from chatferry.cli.app import main

__all__ = ["main"]

"""The embedded workspace: Rocket.Chat's collections as tables of one SQLite file.

It is for trying, for tests, and for the API where there is no Rocket.Chat.
"""

from chatferry.destinations.sqlite.destination import SqliteDestination

__all__ = ["SqliteDestination"]

"""The layout of the store, one step per version.

A step is a file `NNNN-name.sql` in this directory, numbered from 0001 without a gap. To change the layout,
add the step with the next number; nothing else has to be touched. If another step has taken that number
meanwhile, rename yours. A step that has landed is never changed: stores have taken it already.

All steps that a store lacks are taken in one transaction when it is opened; a new store takes all of them. A
statement ends with a semicolon at the end of a line. A step does not begin or end transactions.
"""

import re
import sqlite3
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from chatferry.disks import switch_to_wal
from chatferry.errors import SettingsError

APPLICATION_ID = 0x43684673  # "ChFs": tells a store from other SQLite files
_ABOUT = (
    "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master),"
    " (SELECT count(*) FROM sqlite_master WHERE name = 'operations')"
    " FROM pragma_application_id, pragma_user_version"
)
_PATIENCE = 30.0  # seconds to wait for another process that makes the store
_NAME = re.compile(r"(\d{4})-[a-z0-9-]+\.sql")


def migrate(db: sqlite3.Connection, path: Path | None) -> None:
    """Bring the store to this chatferry's layout. Other processes may do the same at the same time."""
    if _version(db, path) == len(steps()):
        return
    switch_to_wal(db, _PATIENCE)
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in steps()[_version(db, path) :]:
            for statement in _statements(step):
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(steps())}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@cache
def steps() -> tuple[str, ...]:
    """Return the steps in their order; the last one makes the version of this chatferry."""
    found = {
        match[1]: entry.read_text("utf-8")
        for entry in files(__name__).iterdir()
        if (match := _NAME.fullmatch(entry.name))
    }
    return tuple(found[f"{number:04}"] for number in range(1, len(found) + 1))


def _version(db: sqlite3.Connection, path: Path | None) -> int:
    """Return the version of the store; 0 for a new one, and for one made before stores had versions."""
    application, version, tables, operations = db.execute(_ABOUT).fetchone()
    if application == APPLICATION_ID and version > len(steps()):
        raise SettingsError(
            f"The store {path} has version {version}, and this chatferry knows version {len(steps())}. "
            "Use the chatferry that wrote it, or a newer one."
        )
    if application == APPLICATION_ID:
        return int(version)
    if application or version or (tables and not operations):
        raise SettingsError(f"{path} is a database, but no store of chatferry. Choose another directory.")
    return 0


def _statements(step: str) -> Iterator[str]:
    """Yield the statements of a step. `executescript` would end the transaction."""
    statement = ""
    for line in step.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    yield statement

"""The text index of messages, dropped for the time of an import and built again.

What is dropped is noted first, in the database itself: whoever finds the note can build the index, whatever
became of the process that dropped it, and of its machine.
"""

import json
import threading
import time
from contextlib import suppress
from typing import Any

from bson import json_util
from bson.datetime_ms import DatetimeMS
from msgspec import Struct
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.write_concern import WriteConcern

from chatferry.destinations.mongodb.server import Row, Server
from chatferry.documents import MESSAGES
from chatferry.errors import ChatferryError, SettingsError

NOTES = "chatferry_text_index"
BEAT = 2.0  # seconds between two signs of life of the process that has dropped the index
SILENCE = 30.0  # seconds without one after which that process counts as dead
_NO_SUCH_INDEX = 27
_SAFE = WriteConcern("majority", 60_000, j=True)  # whatever the URL says
_EXACT, _PLAIN = json_util.CANONICAL_JSON_OPTIONS, json_util.RELAXED_JSON_OPTIONS


class Note(Struct, frozen=True):
    """An index that was dropped.

    definition  from `listIndexes`
    beats       grows while the process that dropped it lives
    """

    operation: str
    name: str
    definition: Row
    since: int
    beats: int = 0


class TextIndex:
    """The text index of the database that `url` names. Several threads may use it."""

    def __init__(self, url: str) -> None:
        self._server = Server(url, socketTimeoutMS=None, timeoutMS=None)  # it takes as long as it takes
        self._database = self._server.database
        self._notes = self._database.get_collection(NOTES, write_concern=_SAFE)
        self._over = threading.Event()

    def note(self) -> Note | None:
        """Return the note of an index that was dropped and not built again."""
        row = self._server.patiently(self._notes.find_one, {"_id": MESSAGES})
        if row is None:
            return None
        try:
            definition = json_util.loads(row["definition"], json_options=_EXACT)
            return Note(row["operation"], definition["name"], definition, int(row["since"]), row["beats"])
        except (KeyError, TypeError, ValueError) as error:
            raise SettingsError(
                f"{self._server.name}: the document in {NOTES} cannot be read. See that {MESSAGES} has "
                f"the text index that it should have, then drop the collection {NOTES}."
            ) from error

    def take_note(self, operation: str, now: int) -> Note | None:
        """Note the existing index. Return None if there is none, or another process has just noted it."""
        definition = self._server.patiently(self._definition)
        if definition is None:
            return None
        note = Note(operation, definition["name"], definition, now)
        row = {
            "definition": json_util.dumps(definition, json_options=_EXACT),
            "since": DatetimeMS(now),
            "beats": 0,
        }
        mine = {"_id": MESSAGES, "operation": operation}
        try:
            self._server.patiently(self._notes.update_one, mine, {"$set": row}, upsert=True)
        except ChatferryError as error:
            if isinstance(error.__cause__, DuplicateKeyError):
                return None
            raise
        return note

    def drop(self, note: Note) -> None:
        """Drop the noted index, and beat until it is built again or `close`."""
        self._server.patiently(self._drop, note.name)
        self._over.clear()
        threading.Thread(target=self._beat, args=(note,), name="text index", daemon=True).start()

    def build(self, note: Note) -> str:
        """Build the index again and forget the note, or say why it cannot be built and keep the note."""
        try:
            other = self._server.patiently(self._definition)
            if other and other["name"] != note.name:
                return (
                    f"{MESSAGES} has another text index, {other['name']}, and can have only one. "
                    f"Drop that; or, to keep it and to forget {note.name}, drop the collection {NOTES}."
                )
            self._server.patiently(self._build, note.definition)
            if (self._server.patiently(self._definition) or {}).get("name") != note.name:
                return f"{self._server.name}: it was built, but has vanished again."
            self._over.set()
            mine = {"_id": MESSAGES, "operation": note.operation}
            self._server.patiently(self._notes.delete_one, mine)
        except ChatferryError as error:
            return str(error)
        return ""

    def is_abandoned(self, note: Note) -> bool:
        """Return whether the process that dropped the index is dead. Wait until that is certain."""
        deadline = time.monotonic() + SILENCE
        while time.monotonic() < deadline:
            time.sleep(BEAT / 2)
            found = self.note()
            if found is None or (found.operation, found.beats) != (note.operation, note.beats):
                return False
        return True

    def command(self, note: Note) -> str:
        """Return the command that builds the index in mongosh."""
        options = {key: value for key, value in note.definition.items() if key != "key"}
        key, told = (json_util.dumps(part, json_options=_PLAIN) for part in (note.definition["key"], options))
        place = f"db.getSiblingDB({json.dumps(self._database.name)}).{MESSAGES}"
        return f"{place}.createIndex({key}, {told})"

    def close(self) -> None:
        self._over.set()
        self._server.client.close()

    def _definition(self) -> Row | None:
        found = (dict(index) for index in self._database[MESSAGES].list_indexes())
        return next((index for index in found if "text" in index["key"].values()), None)

    def _drop(self, name: str) -> None:
        try:
            self._database[MESSAGES].drop_index(name)
        except OperationFailure as error:
            if error.code != _NO_SUCH_INDEX:
                raise

    def _build(self, definition: Row) -> None:
        safely: dict[str, Any] = self._server.write_concern.document
        self._database.command("createIndexes", MESSAGES, indexes=[definition], writeConcern=safely)

    def _beat(self, note: Note) -> None:
        mine = {"_id": MESSAGES, "operation": note.operation}
        while not self._over.wait(BEAT):
            with suppress(PyMongoError):
                self._notes.update_one(mine, {"$inc": {"beats": 1}})

"""The text index of messages, which may be left for the end of an import: when to drop it, when to build it.

Whatever ends the work on an operation, or lets it wait, builds the index. What could not be built then is
built by the next process that works on imports into that database.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Self

from chatferry.clock import now
from chatferry.destinations import is_server, open_text_index
from chatferry.documents import MESSAGES, Date
from chatferry.errors import DestinationError, SettingsError
from chatferry.problems import problem
from chatferry.records import Problem
from chatferry.store import Store, problems

if TYPE_CHECKING:
    from chatferry.destinations.mongodb.text_index import Note, TextIndex

_log = logging.getLogger(__name__)


def build_what_is_left(url: str, store: Store) -> None:
    """Build the text index that a process dropped, which has died since, in the destination that `url` names.

    `store` is that of the one process that works on imports in a data directory.
    """
    if is_server(url):
        try:
            with closing(open_text_index(url)) as index:
                _build_what_is_left(index, store)
        except (SettingsError, DestinationError) as error:  # no reason to do nothing else
            _log.warning("Whether the text index of %s is to be built is not known. %s", MESSAGES, error)


def _build_what_is_left(index: "TextIndex", store: Store) -> Problem | None:
    """Return why the index is still missing; "" if it is there."""
    note = index.note()
    if note is None:
        return None
    is_own = store.operations.get(note.operation) is not None
    if not is_own and not index.is_abandoned(note):
        reason = f"Another chatferry has dropped the text index {note.name} and is going to build it."
        return problem("text-index-not-dropped", reason)
    made = _built(index, note)
    if is_own:
        _tell(store, note.operation, made)
    return made if made.kind == "text-index-not-built" else None


def _built(index: "TextIndex", note: "Note") -> Problem:
    """Build the index; what became of it."""
    _log.warning("The text index %s of %s is being built. That may take long.", note.name, MESSAGES)
    fault = index.build(note)
    if not fault:
        return problem(
            "text-index-built", f"The text index {note.name} of {MESSAGES} was there again at {_time(now())}."
        )
    reason = (
        f"The text index {note.name} of {MESSAGES}, dropped at {_time(note.since)}, could not be built. "
        f"chatferry tries again when it starts. In mongosh: {index.command(note)} -- The reason: {fault}"
    )
    _log.warning("%s", reason)
    return problem("text-index-not-built", reason)


def _said(note: "Note | None") -> Problem:
    if note is None:
        return problem("text-index-not-dropped", f"{MESSAGES} has no text index.")
    when = _time(note.since)
    return problem("text-index-dropped", f"The text index {note.name} of {MESSAGES} was dropped at {when}.")


def _time(moment: int) -> str:
    return str(Date.at(moment).iso)


def _tell(store: Store, operation_id: str, made: Problem) -> None:
    """Add to the report of an operation what is not yet in it."""
    if made not in store.problems.all(operation_id):
        number = store.problems.next_number(operation_id, problems.TEXT_INDEX)
        store.problems.add(operation_id, problems.TEXT_INDEX, [made], number)


class TextIndexLast:
    """Keeps the text index away while the messages of an operation are written.

    `url` is that of a destination where messages may have one; with "" nothing is done. Threads may call it
    at once.
    """

    def __init__(self, operation_id: str, store: Store, url: str) -> None:
        self._operation_id = operation_id
        self._store = store
        self._url = url
        self._lock = threading.RLock()
        self._index: TextIndex | None = None
        self._note: Note | None = None  # of what is away
        self._is_over = not url

    def drop(self) -> None:
        """Drop the index, if there is one."""
        with self._lock:
            if self._is_over or self._note:
                return
            self._index = self._index or open_text_index(self._url)
            trouble = _build_what_is_left(self._index, self._store)
            self._note = None if trouble else self._index.take_note(self._operation_id, now())
            _tell(self._store, self._operation_id, trouble or _said(self._note))
            if self._note:
                self._index.drop(self._note)

    def build(self) -> None:
        """Build what was dropped."""
        with self._lock:
            if self._index and self._note:
                made = _built(self._index, self._note)
                _tell(self._store, self._operation_id, made)
                if made.kind == "text-index-built":
                    self._note = None

    @contextmanager
    def rest(self) -> Iterator[None]:
        """Build the index while the work waits; drop it again when the work goes on."""
        was_away = self._note is not None
        self.build()
        yield
        if was_away:
            self.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._is_over = True
            self.build()
            if self._index:
                self._index.close()

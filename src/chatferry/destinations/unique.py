"""Values that only one document may hold: usernames, names of rooms, a user's subscription of a room."""

from collections.abc import Callable, Collection, Iterable, Set

from chatferry.destinations.rules import UNIQUE, ChangeError

Key = tuple[str, str]
"""A field and a value, as `rules.keys` returns them. Those of fields that are not unique are ignored here."""


def require_free(id_: str, keys: Iterable[Key], holders: Callable[[Key], Collection[str]]) -> None:
    """Raise ChangeError if a document other than `id_` holds one of the keys."""
    for key in keys:
        if key[0] in UNIQUE and any(holder != id_ for holder in holders(key)):
            raise ChangeError(UNIQUE[key[0]].format(key[1]))


class UniqueKeys:
    """The holders of unique keys in one collection: in stored documents, and after the changes of a batch.

    `load` returns each of the given keys that a stored document holds, with the document's `_id`.
    """

    def __init__(self, load: Callable[[Collection[Key]], Iterable[tuple[Key, str]]]) -> None:
        self._load = load
        self._holders: dict[Key, set[str]] = {}
        self._released: set[tuple[Key, str]] = set()

    def expect(self, keys: Iterable[Key]) -> None:
        """Load the holders of the keys that are not loaded yet, all at once."""
        missing = {key for key in keys if key[0] in UNIQUE and key not in self._holders}
        if missing:
            self._holders.update((key, set()) for key in missing)
            for key, id_ in self._load(missing):
                if key in missing and (key, id_) not in self._released:
                    self._holders[key].add(id_)

    def move(self, id_: str, old: Set[Key], new: Set[Key]) -> None:
        """Let a document hold `new` in place of `old`. Raise ChangeError if another one holds a key of it."""
        gained = {key for key in new - old if key[0] in UNIQUE}
        self.expect(gained)
        require_free(id_, gained, self._holders.__getitem__)
        for key in gained:
            self._holders[key].add(id_)
            self._released.discard((key, id_))
        for key in old - new:
            self._holders.get(key, set()).discard(id_)
            self._released.add((key, id_))

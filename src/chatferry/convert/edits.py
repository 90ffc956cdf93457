"""Stored messages that this chatferry would write differently: which of them people have edited.

A message's digest proves what an import wrote. Replies, reactions and pins change other fields than the text,
and fetching a file changes how it is shown. If the rest of the stored message still has the digest, nobody
has edited it. This finds edits that leave no trace of their own.
"""

from chatferry.convert.messages import FIELDS, update_message
from chatferry.documents import Date, Document, Update, digest, encode, is_alike

LIVELY = frozenset(("reactions", "pinned", "pinnedAt", "pinnedBy", "tcount", "tlm", "replies"))
"""Fields that change when people react, pin and reply."""
_FILES = frozenset(("attachments", "files"))
"""Fields that change when the bytes of files are stored."""
_NONE: frozenset[str] = frozenset()
_BY_US = FIELDS | {"_id"}


def renewal(stored: Document, old: bytes, made: Document, shown: Document, new: bytes) -> Update | None:
    """Return the update that brings a stored message to how it is converted now; None if it was edited.

    `old` is the digest it was stored with, b"" if another program wrote it. `made` is the message as it is
    converted now, `new` its digest, `shown` the same with the files that are stored. What people did to the
    message without editing it stays.
    """
    if not old:
        return None if _is_edited_later(stored, made) else update_message(shown, new)
    if _is_as_imported(stored, made, _NONE, old):
        return update_message(shown, new)
    if _is_as_imported(stored, made, LIVELY | _FILES, old):
        return update_message(shown, new, kept=LIVELY)
    return None


def _is_as_imported(stored: Document, made: Document, free: frozenset[str], old: bytes) -> bool:
    """Return whether a message is as it was imported, but for `free` fields, taken as they are made now."""
    was = {key: value for key, value in stored.items() if key in _BY_US and key not in free}
    was |= {key: value for key, value in made.items() if key in free}
    # As it was stored first, and as an update of it put in fields that it had not.
    orders = [key for key in stored if key in was], [*(key for key in made if key in was), *was]
    return any(is_alike(digest(encode({key: was[key] for key in order})), old) for order in orders)


def _is_edited_later(stored: Document, made: Document) -> bool:
    """Return whether a message says that it was edited, later than the source says."""
    here, there = stored.get("editedAt"), made.get("editedAt")
    if here is None:
        return False
    return not (isinstance(here, Date) and isinstance(there, Date) and here.ms <= there.ms)

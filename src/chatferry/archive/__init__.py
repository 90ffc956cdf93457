"""An archive as it was given to us: a zip, a tar, a folder or a dict behind one read-only view.

`entry_rules` judges names, sizes and numbers of entries, and no other module does. Nothing is ever unpacked
under a name from the archive. Names use "/" and are relative.
"""

from chatferry.archive.archive import Archive, Spread
from chatferry.archive.entry_rules import DEFAULT_LIMITS, Limits
from chatferry.archive.opening import name_of, open_archive
from chatferry.archive.remote import is_url
from chatferry.sizes import GIB, MIB

__all__ = ["DEFAULT_LIMITS", "GIB", "MIB", "Archive", "Limits", "Spread", "is_url", "name_of", "open_archive"]

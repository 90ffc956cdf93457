"""Names of files and folders, as they are after an export was unzipped on another system."""

import re
from unicodedata import normalize

_NOT_ON_WINDOWS = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def on_windows(name: str) -> str:
    """Return the name that Windows gives a file or folder: "FC:F1:Plan" is FC_F1_Plan there."""
    return _NOT_ON_WINDOWS.sub("_", name).rstrip(". ")


def spellings(path: str) -> tuple[str, ...]:
    """Return a path as it is, and with its accents as part of a letter (NFC) or beside it (NFD)."""
    if path.isascii():
        return (path,)
    return tuple(dict.fromkeys((path, normalize("NFC", path), normalize("NFD", path))))

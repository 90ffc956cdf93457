"""Texts about refused archives: where, why and what to do; sizes and names as people read them."""

from chatferry.errors import ArchiveError
from chatferry.sizes import GIB, MIB

AGAIN = "Download the export again."
REPACK = "Unpack the archive, mend this, and pack it again as a zip."
TRUST = "If you trust the archive, raise the limit {}."


def fault(archive: str, why: str, remedy: str) -> ArchiveError:
    separator = ": " if why.startswith('"') else " "
    return ArchiveError(f"{archive}{separator}{why}. {remedy}")


def unreadable(what: str, error: OSError) -> ArchiveError:
    remedy = "Copy it to another place and try again."
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        remedy = "Check the path."
    elif isinstance(error, PermissionError):
        remedy = "Let the account that chatferry runs under read it."
    return fault(what, f"cannot be read ({reason(error)})", remedy)


def reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def quoted(name: str) -> str:
    """Return a name as it can be shown: an archive must not write control characters into a terminal."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
    return f'"{shown}"' if len(shown) <= 300 else f'"{shown[:150]}…{shown[-150:]}"'


def amount(count: int) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.4g} {name}"
    return f"{count} bytes"

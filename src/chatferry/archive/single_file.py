"""A single file that is no archive, shown as one with a single entry."""

from collections.abc import Iterator

from chatferry.archive.entry_rules import ArchiveEntry, EntryRules, Limits, Listing
from chatferry.archive.streams import FileContainer, OffsetFile


class SingleContainer(FileContainer):
    def blocks(self, entry: ArchiveEntry) -> Iterator[bytes]:
        return self._file.blocks(0, entry.size + 1)  # one more than there was shows that it has grown


def open_single(archive: str, file: OffsetFile, limits: Limits) -> tuple[Listing, SingleContainer]:
    """Open a single file as an archive with one entry, which bears the file's own name."""
    rules = EntryRules(archive, limits)
    name = archive.replace("\\", "/").rpartition("/")[2].replace("\0", "")
    if name in ("", ".", ".."):
        name = "file"
    admitted = rules.admit(name) or "file"
    rules.add(name, admitted, ArchiveEntry(file.size, file.size))
    return rules.contents(), SingleContainer(file)


_PICTURES = (b"\x89png", b"\xff\xd8\xff", b"gif8", b"%pdf", b"\xd0\xcf\x11\xe0")  # in lower case
_CONTROL = bytes({*range(32), 127} - set(b"\0\t\n\v\f\r\x1b"))


def is_text(head: bytes) -> bool:
    """Return whether a file that begins like this may be text: pictures are full of control characters."""
    if head.lower().startswith(_PICTURES):
        return False
    return len(head) - len(head.translate(None, _CONTROL)) <= len(head) // 20

"""How another process opens the archive of an import."""

from collections.abc import Callable

from msgspec import Struct

from chatferry.archive import Archive, Limits, open_archive
from chatferry.downloads import DEFAULT_RULES, Rules
from chatferry.errors import ArchiveError
from chatferry.importers import IMPORTERS


class ArchiveSpec(Struct, frozen=True):
    """Where records come from: an archive, by path or URL, and the key of the importer that reads it.

    `fingerprint` is what the archive had at its first reading, "" if this is that. `rules` are for URLs.
    """

    place: str
    limits: Limits
    name: str
    importer: str
    fingerprint: str = ""
    rules: Rules = DEFAULT_RULES

    def open(self, on_block: Callable[[], None] = lambda: None) -> Archive:
        """Open the archive. Raise ArchiveError if it cannot be read, or has changed."""
        single = IMPORTERS[self.importer].single
        source = self.place if self.place else dict[str, bytes]()
        archive = open_archive(source, self.limits, self.name, single, self.rules, on_block)
        if self.fingerprint and archive.fingerprint() != self.fingerprint:
            archive.close()
            raise ArchiveError(
                f"{archive.name} has changed since it was first read. "
                "Import it again, and leave it alone until that is done."
            )
        return archive

"""Importers: each reads one archive format and yields records. `IMPORTERS` holds all of them.

A format is a package or a module with an `IMPORTER`, independent of all others; `reading` is what they share.
"""

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers import csv, hipchat, omnichannel_contact, slack
from chatferry.importers.importer import Importer

__all__ = ["IMPORTERS", "PENDING_AVATARS", "PENDING_FILES", "Importer", "detect", "listed", "readers"]

PENDING_FILES, PENDING_AVATARS = "pending-files", "pending-avatars"

IMPORTERS = {
    importer.key: importer
    for importer in (
        csv.IMPORTER,
        slack.IMPORTER,
        slack.MEMBERS_IMPORTER,
        omnichannel_contact.IMPORTER,
        Importer("api", "API", hidden=True),  # users that come over the API itself
        hipchat.IMPORTER,
        Importer(PENDING_FILES, "Pending Files", hidden=True),
        Importer(PENDING_AVATARS, "Pending Avatars", hidden=True),
    )
}


def listed() -> list[Importer]:
    """Return the importers to choose from."""
    return [importer for importer in IMPORTERS.values() if not importer.hidden]


def readers() -> list[Importer]:
    """Return the importers that read archives."""
    return [importer for importer in IMPORTERS.values() if importer.source]


def detect(archive: Archive) -> Importer:
    """Return the one importer whose format an archive is in."""
    possible = [importer for importer in readers() if importer.single or not archive.is_single]
    found = [importer for importer in possible if importer.matches(archive)]
    found = [
        importer for importer in found if not any(importer.key in other.preferred_over for other in found)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(importer.name for importer in found)
        raise ArchiveError(f"{archive.name} could be an export of {names}. Say which one it is.")
    what = "neither a zip nor a tar, and no file" if archive.is_single else "not an export"
    raise ArchiveError(
        f"{archive.name} is {what} that chatferry knows. "
        f"It reads: {', '.join(importer.name for importer in readers())}."
    )

"""HipChat's exports, of the cloud and of servers."""

from chatferry.importers.hipchat.export import matches, read, scan
from chatferry.importers.importer import Importer

IMPORTER = Importer(
    "hipchatenterprise",
    "HipChat (tar.gz)",
    "a HipChat export",
    matches,
    scan,
    read,
    hidden=True,
    preferred_over=("slack",),  # it has a users.json too
)

__all__ = ["IMPORTER"]

"""Rocket.Chat's own database, beside the server that works on it.

Other packages use the destination, the lease and the text index; everything else is this package's own.
"""

from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.destinations.mongodb.lease import Lease
from chatferry.destinations.mongodb.text_index import TextIndex

__all__ = ["Lease", "MongoDestination", "TextIndex"]

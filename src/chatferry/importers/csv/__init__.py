"""CSV exports: tables of users, channels and messages, however they are written."""

from chatferry.importers.csv.export import matches, read, scan
from chatferry.importers.importer import Importer

IMPORTER = Importer("csv", "CSV", "a CSV export", matches, scan, read)

__all__ = ["IMPORTER"]

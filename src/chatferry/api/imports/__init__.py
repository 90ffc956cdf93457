"""Endpoints of operations: from a new import to its end, and files that are still to be fetched."""

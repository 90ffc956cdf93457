"""Endpoints of operations: new imports, selection, progress, control, and pending files."""

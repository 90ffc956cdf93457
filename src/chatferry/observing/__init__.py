"""Audit log, readiness and metrics of a running chatferry. Nothing below `api` and `cli` imports it."""

"""What operators see of a running chatferry: logs, audit, health and metrics."""

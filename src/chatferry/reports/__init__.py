"""What people read of an operation and of an archive, as JSON."""

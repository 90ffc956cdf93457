"""Uploads, in one request or resumable, and the disk space that they may take."""

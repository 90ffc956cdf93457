"""Uploads, in one request or resumable, and the room that they may take."""

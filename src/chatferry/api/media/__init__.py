"""Stored files and avatars."""

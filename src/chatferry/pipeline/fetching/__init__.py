"""Bytes that an import leaves for later: pending files and avatars, and archives given by their URL.

Its modules are imported where they are needed: an HTTP client takes as long to load as a small import.
"""

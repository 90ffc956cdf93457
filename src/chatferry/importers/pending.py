"""Pending files and avatars: bytes that earlier imports left to be fetched. There is no archive to read."""

from collections.abc import Iterator

from chatferry.archive import Archive
from chatferry.records import Message, Part, Problem, User

FILES, AVATARS = "pending-files", "pending-avatars"


def matches(archive: Archive) -> bool:
    return False


def scan(archive: Archive) -> Iterator[User]:
    return iter(())


def read(archive: Archive, part: Part) -> Iterator[Message | Problem]:
    return iter(())

"""Users that come over the API itself: they are staged as they come, so there is no archive to read."""

from collections.abc import Iterator

from chatferry.archive import Archive
from chatferry.records import Message, Part, Problem, User


def matches(archive: Archive) -> bool:
    return False


def scan(archive: Archive) -> Iterator[User]:
    return iter(())


def read(archive: Archive, part: Part) -> Iterator[Message | Problem]:
    return iter(())

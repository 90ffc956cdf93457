"""Lines of truth manifests about people, contacts and files alone; those of whole chats are in `truth`."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct, field


class Account(Struct, frozen=True, tag_field="kind", tag="account"):
    """Somebody who has to be in the workspace before the import; without an e-mail address where it is ""."""

    username: str
    name: str
    email: str


class Person(Struct, frozen=True, kw_only=True, tag_field="kind", tag="user"):
    """An account after the import. `joined`: it is new, and in the room that everybody joins."""

    import_ids: list[str]
    username: str
    name: str
    emails: list[str]
    type: str = "user"
    roles: list[str] = field(default_factory=lambda: ["user"])
    active: bool = True
    utc_offset: float | None = None
    avatar: str = ""
    status_text: str = ""
    bio: str = ""
    password: str = ""
    joined: bool = True


class Contact(Struct, frozen=True, kw_only=True, tag_field="kind", tag="contact"):
    """A contact after the import. `id` is "" where the row has none. `manager` is a username."""

    id: str
    name: str
    emails: list[str]
    phones: list[str]
    manager: str
    fields: dict[str, str]


class File(Struct, frozen=True, kw_only=True, tag_field="kind", tag="file"):
    """A file of messages, once fetched. `sha256` is "" if it does not come.

    `messages` are the texts of those that show it. `type` is the host's word where the export has none.
    """

    id: str
    name: str
    title: str
    type: str
    messages: list[str]
    sha256: str = ""
    size: int = 0
    pixels: list[int] = []  # width and height of an image


class Avatar(Struct, frozen=True, kw_only=True, tag_field="kind", tag="avatar"):
    """A person's picture, once fetched. `sha256` is "" if it does not come."""

    username: str
    type: str = ""
    sha256: str = ""
    size: int = 0


class Skipped(Struct, frozen=True, tag_field="kind", tag="skipped"):
    """An entry that makes no record of its own."""

    position: str
    why: str


class Noted(Struct, frozen=True, tag_field="kind", tag="noted"):
    """What an import has to say of an entry that it takes all the same."""

    position: str
    why: str


Line = Account | Person | Contact | File | Avatar | Skipped | Noted


def write_lines(path: Path, lines: Iterable[Line]) -> None:
    """Write a manifest: a JSON line each."""
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def read_lines(path: Path) -> list[Line]:
    """The lines of a manifest."""
    return [msgspec.json.decode(line, type=Line) for line in path.read_bytes().splitlines()]

"""HipChat exports of any size that never were, with the truth about them beside. See README.md.

Usage: python -m testdata.hipchat_export OUT.tar.gz --users 20 --rooms 8 --messages 2000 --truth T.jsonl
"""

import argparse
import gzip
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from msgspec import Struct

from testdata.people import room_name, username
from testdata.truth import File, Manifest, Message, Room, Skipped, User

BEGIN = 1_533_738_234_000_000  # 2018-08-08T14:23:54Z in microseconds
STEP = 37_000_123  # microseconds between a room's messages
CREATED = 1_454_472_306_000  # 2016-02-03T04:05:06Z in milliseconds
Json = dict[str, Any]
Add = Callable[[str, Iterator[Json]], None]


class Shape(Struct, frozen=True):
    """`messages` counts those of rooms and of private conversations, each once."""

    users: int = 20
    rooms: int = 8
    messages: int = 2000


class Said(Struct, frozen=True):
    """A message in both forms: as the export has it, and what it becomes (None: it is left out)."""

    entry: Json
    line: Message | None


def write_export(target: Path, shape: Shape, truth: Path | None = None) -> None:
    """Write an export (a tar.gz if the name says so, else a folder) and, if asked, its truth manifest."""
    with _container(target) as add, Manifest(truth) as manifest:
        add("users.json", ({"User": _user(number)} for number in range(1, shape.users + 1)))
        for number in range(1, shape.users + 1):
            manifest.user(_user_line(number))
        add("rooms.json", ({"Room": _room(number, shape)} for number in range(1, shape.rooms + 1)))
        for number in range(1, shape.rooms + 1):
            _write_room(number, shape, add, manifest)
        _write_private(shape, add, manifest)
        add("emoticons.json", iter([{"Emoticon": {"id": 1, "path": "emoticons/a.gif", "shortcut": "a"}}]))


@contextmanager
def _container(target: Path) -> Iterator[Add]:
    if target.name.endswith(".tar.gz"):
        with (
            target.open("wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0, compresslevel=1) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            yield lambda path, entries: _add_to_tar(archive, path, entries)
    else:
        yield lambda path, entries: _add_to_folder(target, path, entries)


def _add_to_tar(archive: tarfile.TarFile, path: str, entries: Iterator[Json]) -> None:
    with tempfile.TemporaryFile() as out:
        _write_list(out, entries)
        info = tarfile.TarInfo(path)
        info.size = out.tell()
        out.seek(0)
        archive.addfile(info, out)


def _add_to_folder(folder: Path, path: str, entries: Iterator[Json]) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with (folder / path).open("wb") as out:
        _write_list(out, entries)


def _write_list(out: IO[bytes], entries: Iterator[Json]) -> None:
    out.write(b"[")
    for number, entry in enumerate(entries):
        out.write((b",\n" if number else b"") + json.dumps(entry).encode())
    out.write(b"]")


# --- people and rooms ---------------------------------------------------------------------------------------


def _is_deleted(user: int) -> bool:
    return user % 7 == 6


def _user(number: int) -> Json:
    name = username(number)
    return {
        "id": number if number % 3 else str(number),
        "name": name.title(),
        "mention_name": name,
        "email": None if _is_deleted(number) else f"{name}@example.org",
        "title": "Engineer" if number % 2 else "",
        "is_deleted": _is_deleted(number),
        "avatar": "iVBORw0KGgo=\n" if number % 5 == 1 else None,
        "timezone": "UTC",
        "account_type": "user",
        "created": "2016-01-02T03:04:05+00:00",
    }


def _user_line(number: int) -> User:
    name = username(number)
    email = None if _is_deleted(number) else f"{name}@example.org"
    return User(str(number), name, name.title(), email, active=not _is_deleted(number))


def _person(number: int) -> Json:
    return {"id": number, "mention_name": username(number), "name": username(number).title(), "links": {}}


def _is_private(room: int) -> bool:
    return room % 3 == 0


def _members(room: int, shape: Shape) -> list[int]:
    return sorted({1 + (room * 5 + step * 3) % shape.users for step in range(5)})


def _room(number: int, shape: Shape) -> Json:
    members = _members(number, shape)
    return {
        "id": number,
        "name": f"{room_name(number, features=False)} {number}",
        "owner": members[0],
        "members": members if _is_private(number) else [],
        "privacy": "private" if _is_private(number) else "public",
        "topic": "All about it" if number % 2 else "",
        "created": "2016-02-03T04:05:06+00:00",
        "is_archived": number % 8 == 5,
    }


def _write_room(number: int, shape: Shape, add: Add, manifest: Manifest) -> None:
    members = _members(number, shape)
    said = [_said(number, place, members) for place in range(_share(shape, number))]
    ordered = said if number % 2 else said[::-1]  # histories run both ways
    add(f"rooms/{number}/history.json", (message.entry for message in ordered))
    for place, message in enumerate(ordered):
        manifest.totals.elements += 1
        if message.line is None:
            manifest.skipped(Skipped(f"rooms/{number}/history.json", f"$[{place}]", "guest access"))
    for message in said:
        if message.line is not None:
            manifest.message(message.line)
    entry = _room(number, shape)
    spoke = {
        members[0],
        *(members[place % len(members)] for place in range(len(said)) if place % 10 not in (4, 6)),
    }
    manifest.room(
        Room(
            str(number),
            "p" if _is_private(number) else "c",
            entry["name"],
            sorted(username(member) for member in (members if _is_private(number) else spoke)),
            entry["topic"],
            "",
            entry["is_archived"],
            CREATED,
        )
    )


def _share(shape: Shape, room: int) -> int:
    """How many messages a room has: half of all stand in rooms, most of them in the first ones."""
    weights = [1 / number for number in range(1, shape.rooms + 1)]
    return int(shape.messages / 2 * weights[room - 1] / sum(weights))


# --- messages -----------------------------------------------------------------------------------------------


def _time(micros: int) -> str:
    moment = datetime.fromtimestamp(micros // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ} {micros % 1_000_000:06}"


def _moment(place: int) -> tuple[int, int]:
    """The time of a message (microseconds), and where it stands (ms): every ninth shares the one before's."""
    micros = BEGIN + place * STEP
    if place % 9 == 8:
        before = BEGIN + (place - 1) * STEP
        shared = before - before % 1000 + 999
        return shared, shared // 1000 + 1
    return micros, micros // 1000


def _said(room: int, place: int, members: Sequence[int]) -> Said:
    sender, other = members[place % len(members)], members[(place + 1) % len(members)]
    micros, ts = _moment(place)
    base: Json = {"id": f"{room}-{place}", "sender": _person(sender), "timestamp": _time(micros)}
    line = Message("", str(room), username(sender), ts)
    kind = "user"
    match place % 10:
        case 1:
            base |= {"message": f"ask @{username(other).upper()}, please", "mentions": [other]}
            line.text, line.mentions = f"ask @{username(other)}, please", [username(other)]
        case 2:
            base["message"], line.text = "/me waves", "_waves_"
        case 3:
            base |= {"message": "look", "attachment": _file(place), "attachment_path": None}
            line.text, line.files = "look", [File("", f"plan-{place}.pdf")]
        case 4:
            kind, base["sender"] = "notif", "CI"
            base |= {
                "message": "<b>Build</b> <a href='https://ci.example.org/1'>#1</a>",
                "message_format": "html",
            }
            line.text, line.alias = "*Build* [#1](https://ci.example.org/1)", "CI"
            line.author = "rocket.cat"
        case 5:
            kind, base["message"] = "topic", f"Topic {place}"
            line.text, line.t = f"Topic {place}", "room_changed_topic"
        case 6:
            kind = "guest"
        case 7:
            base["message"], line.text = "/code\nx = 1", "```\nx = 1\n```"
        case _:
            base["message"] = line.text = f"message {place} – größer & <kleiner>"
    line.id = f"hipchatenterprise-{room}-{kind}-{room}-{place}"
    names = {"user": "User", "notif": "Notification", "topic": "TopicRoom", "guest": "GuestAccess"}
    return Said({f"{names[kind]}Message": base}, None if kind == "guest" else line)


def _file(place: int) -> Json:
    name = f"plan-{place}.pdf"
    return {"name": name, "path": f"1/{name}", "size": 1234, "url": f"https://files.example.org/1/{name}"}


def _write_private(shape: Shape, add: Add, manifest: Manifest) -> None:
    """Everybody talks with the next one: each conversation stands in both histories."""
    count = shape.messages // 2 // shape.users
    for number in range(1, shape.users + 1):
        before, after = (number - 2) % shape.users + 1, number % shape.users + 1
        both = [*_private(before, number, count), *_private(number, after, count)]
        add(f"users/{number}/history.json", (said.entry for said in both))
        for said in _private(number, after, count):
            if said.line is not None:
                manifest.message(said.line)
                manifest.totals.elements += 1
        if count:
            names = sorted((username(number), username(after)))
            channel = "/".join(sorted((str(number), str(after))))
            manifest.room(Room(channel, "d", None, names, "", "", False, BEGIN // 1000))


def _private(one: int, other: int, count: int) -> Iterator[Said]:
    channel = "/".join(sorted((str(one), str(other))))
    for place in range(count):
        sender, receiver = (one, other) if place % 2 == 0 else (other, one)
        micros, ts = _moment(place)
        id = f"{place:08x}-{one:04x}-{other:04x}-8000-000000000000"
        entry = {
            "id": id,
            "sender": _person(sender),
            "receiver": _person(receiver),
            "message": f"between us {place}",
            "timestamp": _time(micros),
        }
        line = Message(
            f"hipchatenterprise-private-{id}", channel, username(sender), ts, f"between us {place}"
        )
        yield Said({"PrivateUserMessage": entry}, line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--rooms", type=int, default=8)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--truth", type=Path)
    given = parser.parse_args()
    write_export(given.target, Shape(given.users, given.rooms, given.messages), given.truth)


if __name__ == "__main__":
    main()

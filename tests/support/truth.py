"""Compare an import with the truth manifest of a generated export, in the manifest's words."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatferry.documents import MESSAGES, ROOMS, SUBSCRIPTIONS, USERS, Date
from tests.support.importing import Imported

JSON = dict[str, Any]


class Truth:
    """A manifest: one JSON object a line; see testdata/README.md."""

    def __init__(self, path: Path) -> None:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.users = {line["id"]: line for line in lines if line["kind"] == "user"}
        self.rooms = {line["id"]: line for line in lines if line["kind"] == "room"}
        self.messages = {line["id"]: line for line in lines if line["kind"] == "message"}
        self.skipped = [line for line in lines if line["kind"] == "skipped"]
        self.faults = [line for line in lines if line["kind"] == "fault"]
        self.totals = lines[-1]


class Seen:
    """The workspace in the manifest's words."""

    def __init__(self, imported: Imported) -> None:
        users = imported.documents(USERS)
        self.names = {user["_id"]: user["username"] for user in users}
        self.rooms_by_id = imported.by_id(ROOMS)
        self.members: dict[str, list[str]] = {}
        for subscription in imported.documents(SUBSCRIPTIONS):
            self.members.setdefault(subscription["rid"], []).append(subscription["u"]["username"])
        self.users = {id: self._user(user) for user in users for id in user.get("importIds", ())}
        self.rooms = {
            id: self._room(room) for room in self.rooms_by_id.values() for id in room.get("importIds", ())
        }
        self.messages = {message["_id"]: self._message(message) for message in imported.documents(MESSAGES)}

    def _user(self, user: JSON) -> JSON:
        return {
            "username": user["username"],
            "name": user["name"],
            "email": user["emails"][0]["address"] if "emails" in user else None,
            "type": user["type"],
            "active": user["active"],
        }

    def _room(self, room: JSON) -> JSON:
        wire = {
            "type": room["t"],
            "members": sorted(set(self.members.get(room["_id"], ())) - {"admin", "rocket.cat"}),
            "topic": room.get("topic", ""),
            "description": room.get("description", ""),
            "archived": room.get("archived", False),
            "created": room["ts"].ms,
            "usersCount": room["usersCount"] == len(self.members.get(room["_id"], ())),
        }
        return wire if room["t"] == "d" else {**wire, "names": {room["name"], room.get("fname")}}

    def _message(self, message: JSON) -> JSON:
        cards = message.get("attachments", [])
        return {
            "room": self.rooms_by_id[message["rid"]]["importIds"],
            "author": message["u"]["username"],
            "ts": message["ts"].ms,
            "text": message["msg"],
            "t": message.get("t", ""),
            "alias": message.get("alias", ""),
            "thread": message.get("tmid", ""),
            "in_channel": message.get("tshow", False),
            "reply_count": message.get("tcount", 0),
            "repliers": [self.names[id] for id in message.get("replies", [])],
            "last_reply": _ms(message.get("tlm")),
            "reactions": {name: seen["usernames"] for name, seen in message.get("reactions", {}).items()},
            "pinned": self._act(message, "pinnedAt", "pinnedBy") if message.get("pinned") else None,
            "edited": self._act(message, "editedAt", "editedBy") if "editedAt" in message else None,
            "mentions": [mention["username"] for mention in message.get("mentions", [])],
            "channels": [channel["name"] for channel in message.get("channels", [])],
            "files": sorted(card["title"] for card in cards if card.get("type") == "file"),
            "attachments": sum(card.get("type") != "file" for card in cards),
        }

    def _act(self, message: JSON, at: str, by: str) -> JSON:
        return {"at": message[at].ms, "by": message[by]["username"] if by in message else None}


def _ms(date: Date | None) -> int:
    return date.ms if date else 0


def differences(truth: Truth, seen: Seen) -> Iterator[str]:
    """Every difference, as a line."""
    yield from _users(truth, seen)
    yield from _rooms(truth, seen)
    yield from _messages(truth, seen)


def _users(truth: Truth, seen: Seen) -> Iterator[str]:
    yield from _keys("user", truth.users.keys(), seen.users.keys())
    for id, user in seen.users.items():
        if id in truth.users:
            yield from _unlike(f"user {id}", truth.users[id], user)


def _rooms(truth: Truth, seen: Seen) -> Iterator[str]:
    yield from _keys("room", truth.rooms.keys(), seen.rooms.keys())
    for id, room in seen.rooms.items():
        if id in truth.rooms and "names" in room and truth.rooms[id]["name"] not in room.pop("names"):
            yield f"room {id}: name is not {truth.rooms[id]['name']!r}"
        room.pop("names", None)
        if not room.pop("usersCount"):
            yield f"room {id}: usersCount is wrong"
        if id in truth.rooms:
            yield from _unlike(f"room {id}", truth.rooms[id], room)


def _messages(truth: Truth, seen: Seen) -> Iterator[str]:
    yield from _keys("message", truth.messages.keys(), seen.messages.keys())
    for id, message in seen.messages.items():
        if id not in truth.messages:
            continue
        expected = dict(truth.messages[id])
        if expected["room"] not in message.pop("room"):
            yield f"message {id}: in the wrong room"
        files = message.pop("files")
        if len(files) != len(expected.pop("files")):
            yield f"message {id}: {files} are not its files"
        yield from _unlike(f"message {id}", expected, message)


def _keys(what: str, expected: Any, found: Any) -> Iterator[str]:
    yield from (f"{what} {id} is missing" for id in sorted(expected - found))
    yield from (f"{what} {id} should not be there" for id in sorted(found - expected))


def _unlike(what: str, expected: JSON, found: JSON) -> Iterator[str]:
    for key, value in found.items():
        if expected.get(key) != value:
            yield f"{what}: {key} is {value!r}, not {expected.get(key)!r}"


KINDS = ("users", "contacts", "rooms", "messages", "files")


def assert_sums(imported: Imported) -> None:
    for kind in KINDS:
        counts = dict(imported.report[kind])
        assert counts.pop("read") == sum(counts.values()), kind

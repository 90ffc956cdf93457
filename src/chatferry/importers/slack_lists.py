"""The lists of a Slack export: users.json, channels.json and their siblings, in every layout."""

import re
from collections.abc import Iterator, Mapping
from typing import Literal, TypeVar
from unicodedata import normalize

from msgspec import Struct
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.lenient_json import Flaw, decode_list, flaw_problem
from chatferry.importers.slack_messages import PinNote
from chatferry.importers.slack_text import without_secrets
from chatferry.importers.slack_wire import (
    SLACKBOT,
    Profile,
    SlackChannel,
    SlackUser,
    Writer,
    person,
)
from chatferry.problems import problem
from chatferry.records import Channel, Problem, User

T = TypeVar("T")

ROOM_LISTS: dict[str, Literal["c", "p", "d"]] = {
    "channels.json": "c",
    "groups.json": "p",
    "mpims.json": "d",
    "dms.json": "d",
    "file_conversations.json": "p",
}
USER_LISTS = ("users.json", "org_users.json")

_TEAM = re.compile(r"teams/[^/]+/")
_SLACKS_FIRST_DAY = 1_356_998_400  # 2013-01-01; earlier dates in exports mean "unknown"


class Conversation(Struct, frozen=True):
    """A channel, group or direct conversation, and the folder that holds its messages ("" for none)."""

    record: Channel
    folder: str
    members_known: bool = True
    pins: dict[str, PinNote] = {}


def prefixes(archive: Archive) -> list[str]:
    """Where lists may stand: the top, and one folder per workspace of an Enterprise Grid."""
    teams = {match[0] for name in archive.names() if (match := _TEAM.match(name))}
    return ["", *sorted(teams)]


def read_elements(archive: Archive, name: str, kind: type[T]) -> tuple[list[T | None], list[Flaw]]:
    """The elements of a file; an entry that cannot be read at all is one lost element."""
    try:
        return decode_list(archive.read(name), kind)
    except ArchiveError as error:
        return [None], [Flaw("", "", str(error), lost=True)]


# ---------------------------------------------------------------- users


def read_users(archive: Archive) -> Iterator[User | Problem]:
    """Every user once; of two entries with one id the one that has an e-mail."""
    users: dict[str, tuple[SlackUser, str, str]] = {}
    for prefix in prefixes(archive):
        for name in USER_LISTS:
            file = prefix + name
            if file not in archive:
                continue
            elements, flaws = read_elements(archive, file, SlackUser)
            for flaw in flaws:
                yield flaw_problem(flaw, file, "user-not-readable", "user")
            for index, user in enumerate(elements):
                known = users.get(user.id) if user else None
                if user and (known is None or (user.profile.email and not known[0].profile.email)):
                    users[user.id] = (user, file, f"$[{index}]")
    for user, file, position in users.values():
        yield from _user(user, file, position)


def bots(archive: Archive) -> dict[str, str]:
    """Bot ids, and the ids of the users that these bots write as."""
    return {
        user.profile.bot_id: user.id
        for prefix in prefixes(archive)
        for name in USER_LISTS
        if prefix + name in archive
        for user in read_elements(archive, prefix + name, Writer)[0]
        if user and user.profile.bot_id
    }


def _user(user: SlackUser, file: str, position: str) -> Iterator[User | Problem]:
    if user.id == SLACKBOT:
        reason = "Slackbot is part of Slack, not a member of the workspace"
        yield problem("user-is-slackbot", reason, file=file, position=position)
        return
    profile = user.profile
    if not profile.email and not user.is_bot and not user.deleted:
        reason = f"{user.name or user.id} has no e-mail address in the export"
        yield problem("user-without-email", reason, file=file, position=position, field="profile.email")
    yield User(
        id=user.id,
        username=user.name or "",
        name=shown_name(profile) or user.real_name or user.name or "",
        emails=(profile.email,) if profile.email else (),
        type="bot" if user.is_bot else "user",
        roles=("bot",) if user.is_bot else (),
        deleted=user.deleted,
        utc_offset=None if user.tz_offset is None else user.tz_offset / 3600,
        avatar_url=profile.image_original or profile.image_512 or "",
        status_text=profile.status_text or "",
        bio=profile.title or "",
        file=file,
        position=position,
    )


def shown_name(profile: Profile) -> str:
    return profile.real_name or profile.display_name or ""


# ---------------------------------------------------------------- rooms


def read_conversations(archive: Archive, folders: Mapping[str, object]) -> Iterator[Conversation | Problem]:
    """Every conversation once, with its folder. `folders` are those that hold day files."""
    found: dict[str, Conversation] = {}
    people: dict[str, str] = {}  # each id once: a list may name one a thousand times
    for prefix in prefixes(archive):
        for name, type_ in ROOM_LISTS.items():
            file = prefix + name
            if file not in archive:
                continue
            channels, flaws = read_elements(archive, file, SlackChannel)
            for flaw in flaws:
                yield flaw_problem(flaw, file, "channel-not-readable", "channel")
            for index, channel in enumerate(channels):
                if channel and channel.id not in found:
                    record = _channel(channel, file, f"$[{index}]", _type(channel, type_), people)
                    folder = _folder(channel, prefix, folders)
                    found[channel.id] = Conversation(
                        record, folder, channel.members is not None, _pins(channel)
                    )
                channels[index] = None
    claimed: dict[str, str] = {}
    for id in list(found):
        conversation = found.pop(id)
        folder, record = conversation.folder, conversation.record
        if folder in claimed:
            reason = f"{claimed[folder]} has the same name, and with it the folder with the messages"
            yield problem(
                "channel-name-twice", reason, file=record.file, position=record.position, field="name"
            )
            conversation = replace(conversation, folder="")
        elif folder:
            claimed[folder] = id
        yield conversation


def _pins(channel: SlackChannel) -> dict[str, PinNote]:
    return {
        pin.id: PinNote(_created(pin.created) or 0, pin.user or "") for pin in channel.pins or () if pin.id
    }


def _type(channel: SlackChannel, listed: Literal["c", "p", "d"]) -> Literal["c", "p", "d"]:
    """Some exporters put every conversation into channels.json, as Slack's API lists them."""
    if channel.is_im or channel.is_mpim:
        return "d"
    return "p" if channel.is_private and listed == "c" else listed


def _folder(channel: SlackChannel, prefix: str, folders: Mapping[str, object]) -> str:
    names = [normalize("NFC", name) for name in (channel.id, channel.name) if name]
    places = [prefix + name for name in names] + names
    return next((place for place in places if place in folders), "")


def _channel(
    channel: SlackChannel, file: str, position: str, type_: Literal["c", "p", "d"], people: dict[str, str]
) -> Channel:
    """The record. `people` has the ids met so far; equal ones become one text."""
    members = list(channel.members or ())
    if type_ == "d" and not members and channel.user:
        members = [channel.user]
    return Channel(
        id=channel.id,
        type=type_,
        name=channel.name or "",
        creator=person(channel.creator or ""),
        members=tuple(dict.fromkeys(people.setdefault(id, id) for id in map(person, members))),
        topic=without_secrets((channel.topic.value if channel.topic else "") or ""),
        description=without_secrets((channel.purpose.value if channel.purpose else "") or ""),
        created=_created(channel.created),
        archived=channel.is_archived is True,
        general=channel.is_general is True,
        file=file,
        position=position,
    )


def _created(value: int | str | None) -> int | None:
    text = str(value)
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) < _SLACKS_FIRST_DAY:
        return None
    return int(text) * 1000

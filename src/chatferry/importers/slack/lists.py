"""The lists of a Slack export: users.json, channels.json and their siblings, in every layout."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar
from unicodedata import normalize

from msgspec import Struct
from msgspec.structs import replace

from chatferry.archive import MIB, Archive
from chatferry.errors import ArchiveError
from chatferry.importers.reading.file_names import on_windows
from chatferry.importers.reading.json_list import Flaw, decode_list, flaw_problem
from chatferry.importers.reading.json_stream import CHUNK, numbered, read_list
from chatferry.importers.reading.texts import plain
from chatferry.importers.slack.messages import PinNote
from chatferry.importers.slack.schema import (
    SLACKBOT,
    About,
    Membership,
    Named,
    Profile,
    SlackChannel,
    SlackUser,
    Topic,
    Writer,
    person,
)
from chatferry.importers.slack.text import from_mrkdwn
from chatferry.problems import about, problem
from chatferry.records import Channel, ChannelMention, Problem, User, UserMention

T = TypeVar("T")

ROOM_LISTS: dict[str, Literal["c", "p", "d"]] = {
    "channels.json": "c",
    "groups.json": "p",
    "mpims.json": "d",
    "dms.json": "d",
    "file_conversations.json": "p",
}
USER_LISTS = ("users.json", "org_users.json")

_NO_PLACE = {
    "pronouns": "Rocket.Chat's users have no pronouns",
    "fields": "the export does not say what these custom fields are called, only their ids",
}
"""Fields of Slack's profiles that no user of Rocket.Chat has, and why."""
_NAMED = 5  # guests who are named

WHOLE = MIB  # bytes; longer lists are read in chunks

_TEAM_ID = re.compile(r"[TE][A-Z0-9]{1,63}")
_TEAM = re.compile(r"teams/[^/]+/")
_SLACKS_FIRST_DAY = 1_356_998_400  # 2013-01-01; earlier dates in exports mean "unknown"


class Conversation(Struct, frozen=True):
    """A channel, group or direct conversation, and the folder that holds its messages ("" for none)."""

    record: Channel
    folder: str
    members_known: bool = True
    pins: dict[str, PinNote] = {}


def prefixes(archive: Archive) -> list[str]:
    """Return the folders that may hold lists: the top, and one per workspace of an Enterprise Grid."""
    teams = {match[0] for name in archive.names() if (match := _TEAM.match(name))}
    return ["", *sorted(teams)]


def read_elements(archive: Archive, name: str, kind: type[T]) -> tuple[list[T | None], list[Flaw]]:
    """Return the elements of a file and its flaws; an unreadable file is one lost element."""
    try:
        return decode_list(archive.read(name), kind)
    except ArchiveError as error:
        return [None], [Flaw("", "", str(error), lost=True)]


def _listed(archive: Archive, file: str, kind: type[T]) -> Iterator[tuple[int, T] | Flaw]:
    """Yield the elements of a list with their numbers, and its flaws."""
    if archive.size(file) > WHOLE:
        if damage := _damage(archive, file):
            yield Flaw("", "", damage, lost=True)
            return
        yield from read_list(archive, file, kind, CHUNK)
        return
    elements, flaws = read_elements(archive, file, kind)
    yield from flaws
    yield from numbered(elements)


def _damage(archive: Archive, file: str) -> str:
    """Return why an entry cannot be read to its end; "" if it can. Nothing is taken from a damaged one."""
    try:
        with archive.open(file) as stream:
            while stream.read(MIB):
                pass
    except ArchiveError as error:
        return str(error)
    return ""


# ---------------------------------------------------------------- users


def read_users(archive: Archive) -> Iterator[User | Problem]:
    """Yield every user once; of two entries with one id the one that has an e-mail."""
    twice = _listed_twice(archive)
    best = _best(archive, twice) if twice else {}
    for file in _user_lists(archive):
        notes = _UserNotes()
        for item in _listed(archive, file, SlackUser):
            if isinstance(item, Flaw):
                yield flaw_problem(item, file, "user")
                continue
            index, user = item
            if user.id not in twice:
                notes.look_at(user)
                yield from _user(user, file, f"$[{index}]")
            elif user.id in best:
                notes.look_at(best[user.id][0])
                yield from _user(*best.pop(user.id))
        yield from notes.problems(file)


class GuestCount:
    """The number of guests in a list, and the names of the first."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._count = 0

    def add(self, name: str) -> None:
        self._count += 1
        if self._count <= _NAMED:
            self._first.append(name)

    def problems(self, file: str, field: str) -> Iterator[Problem]:
        if self._count:
            more = f" and {self._count - _NAMED:,} more" if self._count > _NAMED else ""
            who = ", ".join(self._first) + more
            reason = f"guests in Slack become users if --guests asks for nothing else: {who}"
            yield problem("user-is-guest", reason, file=file, field=field, count=self._count)


class _UserNotes:
    """What is reported once for a list about many of its users."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._guests = GuestCount()

    def look_at(self, user: SlackUser) -> None:
        if _is_guest(user):
            self._guests.add(user.name or user.id)
        self._counts["pronouns"] += bool(user.profile.pronouns)
        self._counts["fields"] += _has_fields(user.profile.fields)

    def problems(self, file: str) -> Iterator[Problem]:
        yield from self._guests.problems(file, "is_restricted")
        for field, reason in _NO_PLACE.items():
            if count := self._counts[field]:
                place = f"profile.{field}"
                yield problem("user-field-not-imported", reason, file=file, field=place, count=count)


def _is_guest(user: SlackUser) -> bool:
    return bool(user.is_restricted or user.is_ultra_restricted) and not user.is_bot


def _has_fields(fields: Any) -> bool:
    """Return whether one of a user's custom fields is filled in: {"Xf1": {"value": "Berlin", "alt": ""}}."""
    values = fields.values() if isinstance(fields, dict) else ()
    return any(isinstance(field, dict) and field.get("value") for field in values)


def _lists(archive: Archive, names: Iterable[str]) -> list[str]:
    """Return the lists of these names that the archive has."""
    places = [prefix + name for prefix in prefixes(archive) for name in names]
    return [place for place in places if place in archive]


def _user_lists(archive: Archive) -> list[str]:
    return _lists(archive, USER_LISTS)


def _listed_twice(archive: Archive) -> set[str]:
    """Return the ids that more than one entry has."""
    seen: set[str] = set()
    twice: set[str] = set()
    for one in _all(archive, _user_lists(archive), Named):
        (twice if one.id in seen else seen).add(one.id)
    return twice


def _best(archive: Archive, ids: set[str]) -> dict[str, tuple[SlackUser, str, str]]:
    """Return the entry to take for each of these ids, and its place."""
    best: dict[str, tuple[SlackUser, str, str]] = {}
    for file in _user_lists(archive):
        for item in _listed(archive, file, SlackUser):
            if isinstance(item, Flaw) or item[1].id not in ids:
                continue
            index, user = item
            known = best.get(user.id)
            if known is None or (user.profile.email and not known[0].profile.email):
                best[user.id] = (user, file, f"$[{index}]")
    return best


def bots(archive: Archive) -> dict[str, str]:
    """Return the ids of bots with the ids of the users that they write as."""
    writers = _all(archive, _user_lists(archive), Writer)
    return {one.profile.bot_id: one.id for one in writers if one.profile.bot_id}


def workspace(archive: Archive) -> str:
    """Return the id of the workspace or organisation that most users are of; "" if the lists name none.

    Lists name people of other workspaces too: guests of shared channels.
    """
    teams = Counter[str]()
    for user in _all(archive, _user_lists(archive), Membership):
        organisation = user.enterprise_user.enterprise_id if user.enterprise_user else None
        team = organisation or user.team_id or ""
        if _TEAM_ID.fullmatch(team):
            teams[team] += 1
    return max(sorted(teams), key=teams.__getitem__, default="")


def _user(user: SlackUser, file: str, position: str) -> Iterator[User | Problem]:
    if user.id == SLACKBOT:
        reason = "Slackbot is part of Slack, not a member of the workspace"
        yield problem("user-is-slackbot", reason, file=file, position=position)
        return
    profile = user.profile
    if not profile.email and not user.is_bot and not user.deleted:
        reason = f"{user.name or user.id} has no e-mail address in the export"
        yield problem("user-without-email", reason, file=file, position=position, field="profile.email")
    name = shown_name(profile) or user.real_name or user.name or ""
    shown = profile.display_name or ""
    yield User(
        id=user.id,
        username=user.name or "",
        name=name,
        emails=(profile.email,) if profile.email else (),
        type="bot" if user.is_bot else "user",
        roles=("bot",) if user.is_bot else (),
        deleted=user.deleted,
        utc_offset=None if user.tz_offset is None else user.tz_offset / 3600,
        avatar_url=profile.image_original or profile.image_512 or "",
        status_text=profile.status_text or "",
        bio=profile.title or "",
        nickname=shown if shown not in (name, user.name) else "",
        phone=profile.phone or "",
        guest=_is_guest(user),
        file=file,
        position=position,
    )


def shown_name(profile: Profile) -> str:
    return profile.real_name or profile.display_name or ""


# ---------------------------------------------------------------- rooms


def read_conversations(archive: Archive, folders: Mapping[str, object]) -> Iterator[Conversation | Problem]:
    """Yield every conversation once, with its folder. `folders` are the ones with day files."""
    seen: set[str] = set()
    claimed: dict[str, str] = {}
    for conversation in _listed_conversations(archive, folders):
        if isinstance(conversation, Problem):
            yield conversation
            continue
        folder, record = conversation.folder, conversation.record
        if record.id in seen:
            continue
        seen.add(record.id)
        if folder in claimed:
            reason = f"{claimed[folder]} has the same name, and with it the folder with the messages"
            yield about(record, "channel-name-twice", reason, "name")
            conversation = replace(conversation, folder="")
        elif folder:
            claimed[folder] = record.id
        yield conversation


def _listed_conversations(
    archive: Archive, folders: Mapping[str, object]
) -> Iterator[Conversation | Problem]:
    people: dict[str, str] = {}  # each id once: a list may name one a thousand times
    names = _named(archive)
    for prefix in prefixes(archive):
        for name, type_ in ROOM_LISTS.items():
            file = prefix + name
            for item in _listed(archive, file, SlackChannel) if file in archive else ():
                if isinstance(item, Flaw):
                    yield flaw_problem(item, file, "channel")
                    continue
                index, channel = item
                record = _channel(channel, file, f"$[{index}]", _type(channel, type_), people, names)
                folder = _folder(channel, prefix, folders)
                yield Conversation(record, folder, channel.members is not None, _pins(channel))


def _pins(channel: SlackChannel) -> dict[str, PinNote]:
    return {
        pin.id: PinNote(_created(pin.created) or 0, pin.user or "") for pin in channel.pins or () if pin.id
    }


def _type(channel: SlackChannel, listed: Literal["c", "p", "d"]) -> Literal["c", "p", "d"]:
    """Return the type of a conversation. Some exporters put all of them into channels.json."""
    if channel.is_im or channel.is_mpim:
        return "d"
    return "p" if channel.is_private and listed == "c" else listed


def _folder(channel: SlackChannel, prefix: str, folders: Mapping[str, object]) -> str:
    given = [normalize("NFC", name) for name in (channel.id, channel.name) if name]
    names = list(dict.fromkeys([*given, *map(on_windows, given)]))
    places = [prefix + name for name in names] + names
    return next((place for place in places if place in folders), "")


def _channel(
    channel: SlackChannel,
    file: str,
    position: str,
    type_: Literal["c", "p", "d"],
    people: dict[str, str],
    names: dict[str, str],
) -> Channel:
    """Return the record of a channel.

    `people` has the ids so far: equal ids share one text. `names` are the names of people in topics.
    """
    members = list(channel.members or ())
    if type_ == "d" and not members and channel.user:
        members = [channel.user]
    return Channel(
        id=channel.id,
        type=type_,
        name=channel.name or "",
        creator=person(channel.creator or ""),
        members=tuple(dict.fromkeys(people.setdefault(id, id) for id in map(person, members))),
        topic=_about(channel.topic, names),
        description=_about(channel.purpose, names),
        created=_created(channel.created),
        archived=channel.is_archived is True,
        general=channel.is_general is True,
        file=file,
        position=position,
    )


# ---------------------------------------------------------------- topics and descriptions


def _named(archive: Archive) -> dict[str, str]:
    """Return the names of the people and channels that topics and descriptions name."""
    wanted = {
        segment.id
        for about in _all(archive, _lists(archive, ROOM_LISTS), About)
        for topic in (about.topic, about.purpose)
        if topic and topic.value and "<" in topic.value
        for segment in from_mrkdwn(topic.value)
        if isinstance(segment, UserMention | ChannelMention)
    }
    if not wanted:
        return {}
    lists = [*_user_lists(archive), *_lists(archive, ROOM_LISTS)]
    return {one.id: one.name for one in _all(archive, lists, Named) if one.id in wanted and one.name}


def _all(archive: Archive, lists: Iterable[str], kind: type[T]) -> Iterator[T]:
    for file in lists:
        for item in _listed(archive, file, kind):
            if not isinstance(item, Flaw):
                yield item[1]


def _about(topic: Topic | None, names: dict[str, str]) -> str:
    """Return a topic or description; in rooms nobody can be named but as text."""
    text = from_mrkdwn((topic.value if topic else None) or "")
    return plain(
        tuple(
            replace(segment, label=names.get(segment.id) or segment.label)
            if isinstance(segment, UserMention | ChannelMention)
            else segment
            for segment in text
        )
    )


def _created(value: int | str | None) -> int | None:
    text = str(value)
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) < _SLACKS_FIRST_DAY:
        return None
    return int(text) * 1000

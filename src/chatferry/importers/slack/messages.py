"""One message of a Slack export, as a record.

What each subtype becomes follows Rocket.Chat's own importer where that keeps the message, and keeps the text
of all others. Only what repeats another message is left out.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from chatferry.importers.reading.json_list import NO_JSON
from chatferry.importers.reading.texts import VERY_LONG, fitting, joined
from chatferry.importers.slack.attachments import attachment, files
from chatferry.importers.slack.blocks import from_blocks
from chatferry.importers.slack.schema import (
    SLACKBOT,
    BotProfile,
    Envelope,
    SlackMessage,
    SlackReaction,
    micros,
    millis,
    person,
)
from chatferry.importers.slack.skin_tones import in_rocket_chat
from chatferry.importers.slack.text import from_mrkdwn, without_secrets
from chatferry.problems import Position
from chatferry.records import (
    ROCKET_CAT,
    Edit,
    GroupMention,
    Message,
    Pin,
    Problem,
    Reaction,
    Replies,
    Segment,
    Text,
)

CONTENT = {
    "", "me_message", "thread_broadcast", "reply_broadcast", "bot_message", "slackbot_response", "file_share",
    "file_comment", "file_mention", "file_created", "reminder_add", "reminder_delete", "share_shortcut",
    "joiner_notification", "joiner_notification_for_inviter", "bot_add", "bot_remove", "bot_enable",
    "bot_disable", "unpinned_item", "channel_posting_permissions", "group_posting_permissions",
    "channel_canvas_updated", "tabbed_canvas_updated", "sh_room_created", "huddle_thread",
    "channel_convert_to_private", "channel_convert_to_public",
}  # fmt: skip

SYSTEM = {  # subtype -> Rocket.Chat's message type
    "channel_join": "uj", "group_join": "uj", "app_conversation_join": "uj",
    "channel_leave": "ul", "group_leave": "ul", "app_conversation_leave": "ul",
    "channel_topic": "room_changed_topic", "group_topic": "room_changed_topic",
    "channel_purpose": "room_changed_description", "group_purpose": "room_changed_description",
    "channel_name": "r", "group_name": "r",
    "channel_archive": "room-archived", "group_archive": "room-archived",
    "channel_unarchive": "room-unarchived", "group_unarchive": "room-unarchived",
    "pinned_item": "message_pinned",
    "tombstone": "rm", "ekm_access_denied": "rm",
}  # fmt: skip

REPEATS = {
    "message_changed": "it announces an edit; the edited message itself holds its last text",
    "message_deleted": "it announces a deletion",
    "message_replied": "it announces a reply; the reply itself is there",
    "emoji_changed": "it announces a change of the custom emoji",
}


class PinNote(Struct, frozen=True, array_like=True):
    at: int
    by: str


class Room(Struct, frozen=True, kw_only=True):
    """What the messages of one part have in common."""

    channel: str
    folder: str
    threads: dict[str, tuple[Replies, ...]] = {}  # by the `ts` of their first message
    pins: dict[str, PinNote] = {}
    bots: dict[str, str] = {}  # bot id -> the user it writes as
    people: tuple[str, ...] = ()  # who posted something with an app that is not theirs


def message_id(channel: str, ts: str) -> str:
    """Rocket.Chat's own scheme for messages from Slack."""
    return f"slack-{channel}-{ts.replace('.', '-')}"


def author_of(message: SlackMessage | Envelope, bots: dict[str, str]) -> str:
    """The import id of who wrote a message; "" if it names nobody."""
    if message.subtype == "file_comment" and message.comment and message.comment.user:
        return person(message.comment.user)
    if message.subtype == "huddle_thread" and message.room and message.room.created_by:
        return person(message.room.created_by)
    if message.user:
        return person(message.user)
    if message.bot_id:
        return bots.get(message.bot_id, message.bot_id)
    return ROCKET_CAT if message.username else ""


def is_kept(message: SlackMessage | Envelope) -> bool:
    """Whether a message with a valid time becomes a record."""
    return message.type in (None, "message") and message.subtype not in REPEATS


def placeholder_root(ts: str, room: Room, file: str) -> Message:
    """Stands for a thread's first message that the archive does not hold."""
    return Message(
        message_id(room.channel, ts),
        room.channel,
        ROCKET_CAT,
        millis(ts) or 0,
        system="rm",
        replies=room.threads.get(ts, ()),
        placeholder=True,
        file=file,
    )


def skip_reason(message: SlackMessage) -> str:
    return REPEATS.get(message.subtype or "", f"its type is {message.type!r}, not a message")


def to_record(
    message: SlackMessage,
    ts: int,
    room: Room,
    file: str,
    index: int,
    stored: Callable[[str], bool],
    problems: list[Problem],
) -> Message:
    """The record of a kept message, element `index` of `file`, whose time is `ts`; what could not be taken
    over goes to `problems`.

    `stored(path)` tells whether the archive itself holds a file.
    """
    author = message.user or ""
    more: dict[str, Any] = {}
    # Most messages have an author, a text and a time, and none of the rest: this asks no more than it must.
    if message.subtype is not None or message.bot_id is not None or not author or author == SLACKBOT:
        author = _of_a_kind(message, room, Position(file, index), more, problems)
    if message.icons is not None:
        more["emoji"] = _emoji(message)
    if message.thread_ts is not None or message.ts in room.threads:
        _thread(message, room, Position(file, index), more, problems)
    if message.edited is not None:
        more["edit"] = _edit(message, room)
        if more["edit"] is None:
            reason = "the time of the edit is not a time"
            problems.append(Position(file, index).problem("field-dropped", reason, "edited"))
    if message.pinned_to is not None or message.ts in room.pins:
        more["pin"] = _pin(message, ts, room)
    if message.reactions is not None:
        more["reactions"] = _reactions(message.reactions, room.bots)
        for reaction in message.reactions:
            if reaction.count > len(reaction.users):
                problems.append(_missing(reaction, Position(file, index)))
    if message.files is not None or message.file is not None or message.attachments is not None:
        cards = message.attachments or ()
        more["attachments"] = tuple([attachment(card, Position(file, index), problems) for card in cards])
        more["files"] = tuple(files(message, room.folder, stored))
    text = _system_text(message, more["system"]) if "system" in more else _text(message)
    may_be_long = message.blocks is not NO_JSON or message.comment is not None
    if may_be_long or len(message.text or "") > VERY_LONG:
        text, long = fitting(text)
        if long:
            problems.append(Position(file, index).problem(*long, "text"))
    return Message(
        message_id(room.channel, message.ts or ""),
        room.channel,
        author,
        ts,
        text,
        file,
        index,
        **more,
    )


def _of_a_kind(
    message: SlackMessage, room: Room, spot: Position, more: dict[str, Any], problems: list[Problem]
) -> str:
    """The author; and what the message's subtype and a bot's message bring with them."""
    author = author_of(message, room.bots)
    if not author:
        author = ROCKET_CAT
        reason = "the message names no user and no bot"
        problems.append(spot.problem("message-without-author", reason, "user"))
    if message.subtype:
        _note_subtype(message.subtype, spot, more, problems)
    if message.bot_id or "bot" in more:
        profile = None if _is_persons(message, room) else message.bot_profile
        more["alias"] = message.username or (profile.name if profile else "") or ""
        more["avatar"] = _avatar(message, profile)
    return author


def _note_subtype(subtype: str, spot: Position, more: dict[str, Any], problems: list[Problem]) -> None:
    if subtype in SYSTEM:
        more["system"] = SYSTEM[subtype]
    elif subtype in ("bot_message", "slackbot_response"):
        more["bot"] = True
    elif subtype not in CONTENT:
        reason = f"the subtype {subtype!r} is not known"
        problems.append(spot.problem("message-of-unknown-type", reason, "subtype"))


# ---------------------------------------------------------------- text


def _system_text(message: SlackMessage, system: str) -> Text:
    match system:
        case "room_changed_topic":
            raw = message.topic
        case "room_changed_description":
            raw = message.purpose
        case "r":
            return (without_secrets(message.name),) if message.name else ()
        case _:
            return ()
    return from_mrkdwn(raw) if raw else ()


def _text(message: SlackMessage) -> Text:
    if message.subtype is not None:
        match message.subtype:
            case "file_comment" if message.comment and message.comment.comment:
                return from_mrkdwn(message.comment.comment)
            case "me_message":
                return joined(("_", *from_mrkdwn(message.text or ""), "_"))
            case "huddle_thread":
                return ("A huddle started" + _duration(message),)
            case "sh_room_created" if not message.text:
                return ("A call started" + _duration(message),)
    text = from_mrkdwn(message.text) if message.text else ()
    if message.blocks is NO_JSON or not _blocks_may_hold_more(message):
        return text
    blocks = from_blocks(_loads(message.blocks))
    said = _says(blocks)
    return text if text and said and said <= _says(text) else blocks or text


def _blocks_may_hold_more(message: SlackMessage) -> bool:
    """Slack writes `text` from the blocks of what people type; bots write it themselves, or leave it out."""
    if not message.text or message.bot_id or message.subtype == "bot_message":
        return True
    return len(memoryview(message.blocks)) > 600 + 8 * len(message.text)


def _loads(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


_WORD = re.compile(r"@S[A-Z0-9]{8,}\b|\w+|[^\w\s\x00-\x7f]")


def _says(text: Text) -> set[Segment]:
    """Return the words of a text, those of its addresses too, and who is named, each once."""
    words: set[Segment] = set()
    for segment in text:
        if isinstance(segment, str):
            words.update(_WORD.findall(segment))
        else:
            words.add(segment if isinstance(segment, GroupMention) else segment.id)
    return {word for word in words if not (isinstance(word, str) and word.startswith("@"))}


def _duration(message: SlackMessage) -> str:
    room = message.room
    if room is None or not room.date_start or not room.date_end:
        return ""
    return f" · {max(1, -(-(room.date_end - room.date_start) // 60))} min"


# ---------------------------------------------------------------- threads, edits, pins, reactions


def _thread(
    message: SlackMessage, room: Room, spot: Position, more: dict[str, Any], problems: list[Problem]
) -> None:
    """Note the thread that a message belongs to, and the replies to it that the export has."""
    more["replies"] = room.threads.get(message.ts or "", ())
    root = message.thread_ts or message.ts or ""
    if root != message.ts:
        if micros(root) is None:
            problems.append(spot.problem("field-dropped", f"{root!r} is not a time", "thread_ts"))
            return
        more["thread"] = message_id(room.channel, root)
        more["in_channel"] = message.subtype in ("thread_broadcast", "reply_broadcast")


def _edit(message: SlackMessage, room: Room) -> Edit | None:
    edited = message.edited
    at = millis(edited.ts) if edited else None
    if edited is None or at is None:
        return None
    editor = edited.user or ""
    return Edit(at, person(room.bots.get(editor, editor)))


def _pin(message: SlackMessage, ts: int, room: Room) -> Pin | None:
    note = room.pins.get(message.ts or "")
    if note is not None:
        return Pin(note.at or ts, person(note.by))
    return Pin(ts) if message.pinned_to else None


def _reactions(given: list[SlackReaction], bots: Mapping[str, str]) -> tuple[Reaction, ...]:
    """Return one reaction per name, each of its people once. `bots`: whom bots write as."""
    users: dict[str, tuple[str, ...]] = {}
    for reaction in given:
        if reaction.name:
            people = reaction.users
            if bots or SLACKBOT in people:
                people = [bots.get(user) or person(user) for user in people]
            name = in_rocket_chat(reaction.name) if "::" in reaction.name else reaction.name
            if len(people) > 1 or name in users:
                people = list(dict.fromkeys((*users.get(name, ()), *people)))
            users[name] = tuple(people)
    return tuple([Reaction(name, people) for name, people in users.items()])


def _missing(reaction: SlackReaction, spot: Position) -> Problem:
    missing = reaction.count - len(reaction.users)
    reason = f"{missing} of {reaction.count} people who reacted with :{reaction.name}: are not named"
    return spot.problem("reaction-users-missing", reason, "reactions")


# ---------------------------------------------------------------- bots


def _is_persons(message: SlackMessage, room: Room) -> bool:
    """Whether a person posted the message with an app, as with /giphy: Slack shows the person then."""
    return message.user in room.people and room.bots.get(message.bot_id or "") != message.user


def _emoji(message: SlackMessage) -> str:
    emoji = (message.icons or {}).get("emoji")
    return emoji if isinstance(emoji, str) else ""


def _avatar(message: SlackMessage, profile: BotProfile | None) -> str:
    """The largest picture a bot brought with the message; an emoji goes before it."""
    if _emoji(message):
        return ""
    icons = message.icons or (profile.icons if profile else None) or {}
    for size in ("image_72", "image_64", "image_48", "image_36"):
        url = icons.get(size)
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            return without_secrets(url)
    return ""

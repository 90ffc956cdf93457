"""One message of a Slack export, as a record.

Subtypes are converted as Rocket.Chat's own importer does it. Messages that it would lose keep their text.
Only messages that repeat another one are left out.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from chatferry.importers.reading.json_list import NO_JSON, decode_raw
from chatferry.importers.reading.texts import VERY_LONG, fitting, is_web, joined
from chatferry.importers.slack.attachments import all_attachments, files
from chatferry.importers.slack.blocks import from_blocks
from chatferry.importers.slack.emoji import rocket_chat_name
from chatferry.importers.slack.schema import (
    SLACKBOT,
    BotProfile,
    Edited,
    Envelope,
    SlackMessage,
    SlackReaction,
    micros,
    millis,
    person,
)
from chatferry.importers.slack.text import from_mrkdwn, without_secrets
from chatferry.problems import NO_PROBLEMS, Position
from chatferry.records import (
    ROCKET_CAT,
    Attachment,
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


class PartContext(Struct, frozen=True, kw_only=True):
    """What the messages of one part have in common."""

    channel: str
    folder: str
    threads: dict[str, tuple[Replies, ...]] = {}  # by the `ts` of their first message
    pins: dict[str, PinNote] = {}
    bots: dict[str, str] = {}  # bot id -> the user it writes as
    people: tuple[str, ...] = ()  # users who posted something with an app that is not theirs


def message_id(channel: str, ts: str) -> str:
    """Return the id of a message, in Rocket.Chat's own scheme for messages from Slack."""
    return f"slack-{channel}-{ts.replace('.', '-')}"


def author_of(message: SlackMessage | Envelope, bots: dict[str, str]) -> str:
    """Return the import id of a message's author; "" if it names nobody."""
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
    """Return whether a message with a valid time becomes a record."""
    return message.type in (None, "message") and message.subtype not in REPEATS


def placeholder_root(ts: str, room: PartContext, file: str) -> Message:
    """Return a placeholder for the first message of a thread, which the archive does not hold."""
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
    message: SlackMessage, ts: int, file: str, index: int, room: PartContext, stored: Callable[[str], bool]
) -> tuple[Message, tuple[Problem, ...]]:
    """Return the record of a kept message, element `index` of `file`, and what could not be taken over.

    `ts` is its time in milliseconds. `stored(path)` tells whether the archive itself holds a file.
    """
    # Most messages have an author, a text and a time, and nothing else: each `if` passes over what they lack.
    sender, problems = _Sender(message.user or ""), NO_PROBLEMS
    if message.subtype is not None or message.bot_id is not None or sender.id in ("", SLACKBOT):
        sender, problems = _sender(message, room, Position(file, index))
    thread, replies = "", room.threads.get(message.ts or "", ())
    if message.thread_ts is not None and message.thread_ts != message.ts:
        thread, found = _thread(message.thread_ts, room, Position(file, index))
        problems += found
    edit = None
    if message.edited is not None:
        edit, found = _edit(message.edited, room, Position(file, index))
        problems += found
    pin = _pin(message, ts, room) if message.pinned_to is not None or message.ts in room.pins else None
    reactions: tuple[Reaction, ...] = ()
    if message.reactions is not None:
        reactions, found = _reactions(message.reactions, room.bots, Position(file, index))
        problems += found
    attachments: tuple[Attachment, ...] = ()
    if message.attachments:
        attachments, found = all_attachments(message.attachments, Position(file, index))
        problems += found
    has_files = message.files is not None or message.file is not None or message.attachments is not None
    text = _system_text(message, sender.system) if sender.system else _text(message)
    may_be_long = message.blocks is not NO_JSON or message.comment is not None
    if may_be_long or len(message.text or "") > VERY_LONG:
        text, long = fitting(text)
        if long:
            problems += (Position(file, index).problem(*long, "text"),)
    # By position: with names this call takes seven times as long.
    record = Message(
        message_id(room.channel, message.ts or ""),
        room.channel,
        sender.id,
        ts,
        text,
        file,
        index,
        sender.system,
        sender.alias,
        _emoji(message.icons) if message.icons is not None else "",
        sender.avatar,
        sender.is_bot,
        thread,
        bool(thread) and message.subtype in _IN_CHANNEL,
        replies,
        False,
        edit,
        pin,
        reactions,
        attachments,
        tuple(files(message, room.folder, stored)) if has_files else (),
    )
    return record, problems


_IN_CHANNEL = ("thread_broadcast", "reply_broadcast")


class _Sender(Struct, frozen=True, gc=False):
    """Who wrote a message, and what its subtype and a bot's message bring with them."""

    id: str
    system: str = ""
    is_bot: bool = False
    alias: str = ""
    avatar: str = ""


def _sender(
    message: SlackMessage, room: PartContext, position: Position
) -> tuple[_Sender, tuple[Problem, ...]]:
    problems = NO_PROBLEMS
    author = author_of(message, room.bots)
    if not author:
        author = ROCKET_CAT
        reason = "the message names no user and no bot"
        problems = (position.problem("message-without-author", reason, "user"),)
    subtype = message.subtype or ""
    system = SYSTEM.get(subtype, "")
    is_bot = subtype in ("bot_message", "slackbot_response")
    if not system and subtype not in CONTENT:
        reason = f"the subtype {subtype!r} is not known"
        problems += (position.problem("message-of-unknown-type", reason, "subtype"),)
    if not message.bot_id and not is_bot:
        return _Sender(author, system), problems
    profile = None if _is_persons(message, room) else message.bot_profile
    alias = message.username or (profile.name if profile else "") or ""
    return _Sender(author, system, is_bot, alias, _avatar(message, profile)), problems


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
    blocks = from_blocks(decode_raw(message.blocks, Any))
    words = _words(blocks)
    return text if text and words and words <= _words(text) else blocks or text


def _blocks_may_hold_more(message: SlackMessage) -> bool:
    """Return whether blocks may hold more than `text`. Slack makes it of the blocks that people type."""
    if not message.text or message.bot_id or message.subtype == "bot_message":
        return True
    return len(memoryview(message.blocks)) > 600 + 8 * len(message.text)


_WORD = re.compile(r"@S[A-Z0-9]{8,}\b|\w+|[^\w\s\x00-\x7f]")


def _words(text: Text) -> set[Segment]:
    """Return the words of a text and of its addresses, and the people and channels it names, each once."""
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


def _thread(root: str, room: PartContext, position: Position) -> tuple[str, tuple[Problem, ...]]:
    """Return the id of a thread's first message."""
    if micros(root) is None:
        return "", (position.problem("field-dropped", f"{root!r} is not a time", "thread_ts"),)
    return message_id(room.channel, root), NO_PROBLEMS


def _edit(edited: Edited, room: PartContext, position: Position) -> tuple[Edit | None, tuple[Problem, ...]]:
    at = millis(edited.ts)
    if at is None:
        reason = "the time of the edit is not a time"
        return None, (position.problem("field-dropped", reason, "edited"),)
    editor = edited.user or ""
    return Edit(at, person(room.bots.get(editor, editor))), NO_PROBLEMS


def _pin(message: SlackMessage, ts: int, room: PartContext) -> Pin | None:
    note = room.pins.get(message.ts or "")
    if note is not None:
        return Pin(note.at or ts, person(note.by))
    return Pin(ts) if message.pinned_to else None


def _reactions(
    given: list[SlackReaction], bots: Mapping[str, str], position: Position
) -> tuple[tuple[Reaction, ...], tuple[Problem, ...]]:
    """Return one reaction per name, each of its people once. `bots`: the users that bots write as."""
    users: dict[str, tuple[str, ...]] = {}
    problems = NO_PROBLEMS
    for reaction in given:
        if reaction.count > len(reaction.users):
            problems += (_missing(reaction, position),)
        if reaction.name:
            people = reaction.users
            if bots or SLACKBOT in people:
                people = [bots.get(user) or person(user) for user in people]
            name = rocket_chat_name(reaction.name)
            if len(people) > 1 or name in users:
                people = list(dict.fromkeys((*users.get(name, ()), *people)))
            users[name] = tuple(people)
    return tuple([Reaction(name, people) for name, people in users.items()]), problems


def _missing(reaction: SlackReaction, position: Position) -> Problem:
    missing = reaction.count - len(reaction.users)
    reason = f"{missing} of {reaction.count} people who reacted with :{reaction.name}: are not named"
    return position.problem("reaction-users-missing", reason, "reactions")


# ---------------------------------------------------------------- bots


def _is_persons(message: SlackMessage, room: PartContext) -> bool:
    """Return whether a person posted the message with an app, as with /giphy: Slack shows the person."""
    return message.user in room.people and room.bots.get(message.bot_id or "") != message.user


def _emoji(icons: dict[str, Any]) -> str:
    emoji = icons.get("emoji")
    return emoji if isinstance(emoji, str) else ""


def _avatar(message: SlackMessage, profile: BotProfile | None) -> str:
    """Return the largest picture that a bot brought with the message; "" if it brought an emoji."""
    if message.icons and _emoji(message.icons):
        return ""
    icons = message.icons or (profile.icons if profile else None) or {}
    for size in ("image_72", "image_64", "image_48", "image_36"):
        url = icons.get(size)
        if isinstance(url, str) and is_web(url):
            return without_secrets(url)
    return ""

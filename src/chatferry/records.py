"""What an importer yields: users, channels, contacts, parts, messages, files and problems.

All ids in records are *import ids*, the ids things had in the source, except a message's own `id` and
`thread`, which are final: they derive from the source and are the same in every run.
Times are integers in milliseconds since the epoch, UTC.
"""

from enum import StrEnum
from typing import Literal

from msgspec import Struct

ROCKET_CAT = "rocket.cat"
"""The import id of Rocket.Chat's own bot, which every archive may use."""

# ---------------------------------------------------------------- text


class UserMention(Struct, frozen=True, gc=False, tag_field="mention", tag="user"):
    """A user named in a text. `label` is how the source shows it when the user is not known."""

    id: str
    label: str = ""


class ChannelMention(Struct, frozen=True, gc=False, tag_field="mention", tag="channel"):
    """A channel named in a text. `label` is its name in the source, where the source gives one."""

    id: str
    label: str = ""


class GroupMention(Struct, frozen=True, gc=False, tag_field="mention", tag="group"):
    """Everybody in the room ("all") or everybody who is there ("here")."""

    name: Literal["all", "here"]


Segment = str | UserMention | ChannelMention | GroupMention
Text = tuple[Segment, ...]
"""A text in Rocket.Chat's markdown, cut where it names users or channels."""


# ---------------------------------------------------------------- people and rooms


class User(Struct, frozen=True, gc=False, kw_only=True, tag_field="is", tag="user"):
    """A person or bot.

    further_ids   import ids beside `id`
    deleted       None if the source does not say
    password      its bcrypt hash, for a new account only
    guest         whether the user may enter only some rooms of the source
    placeholder   whether the archive holds messages of the user but does not list the user
    """

    id: str
    further_ids: tuple[str, ...] = ()
    username: str = ""
    name: str = ""
    emails: tuple[str, ...] = ()
    type: Literal["user", "bot"] = "user"
    roles: tuple[str, ...] = ()
    deleted: bool | None = None
    utc_offset: float | None = None
    avatar_url: str = ""
    status_text: str = ""
    bio: str = ""
    nickname: str = ""
    phone: str = ""
    password: str = ""
    guest: bool = False
    placeholder: bool = False
    file: str = ""
    position: str = ""

    @property
    def import_ids(self) -> tuple[str, ...]:
        return (self.id, *self.further_ids)


class Contact(Struct, frozen=True, gc=False, kw_only=True, tag_field="is", tag="contact"):
    """A person outside the workspace, whom the account with the username `manager` looks after."""

    id: str
    name: str = ""
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    manager: str = ""
    custom_fields: dict[str, str] = {}
    file: str = ""
    position: str = ""


class Channel(Struct, frozen=True, gc=False, kw_only=True, tag_field="is", tag="channel"):
    """A channel ("c"), private group ("p") or direct conversation ("d") of the source.

    `listed`: a list of the archive names it; False for a folder of messages that no list names.
    """

    id: str
    type: Literal["c", "p", "d"]
    name: str = ""
    creator: str = ""
    members: tuple[str, ...] = ()
    topic: str = ""
    description: str = ""
    created: int | None = None
    archived: bool = False
    general: bool = False
    listed: bool = True
    file: str = ""
    position: str = ""


# ---------------------------------------------------------------- messages


class Reaction(Struct, frozen=True, gc=False):
    """`name` as Rocket.Chat writes it, without colons: "+1_tone2"."""

    name: str
    users: tuple[str, ...]


class Replies(Struct, frozen=True, gc=False, array_like=True):
    """What one person or bot wrote in a thread: how many replies, and when the last one."""

    author: str
    count: int
    last: int


class Edit(Struct, frozen=True, gc=False):
    at: int
    by: str = ""


class Pin(Struct, frozen=True, gc=False):
    at: int
    by: str = ""


class Attachment(Struct, frozen=True, kw_only=True):
    """A card below a message, with Rocket.Chat's names of fields.

    texts    fields that may mention users and channels
    fields   title, value, and whether they are short
    """

    texts: dict[str, Text] = {}
    values: dict[str, str | int | float | bool] = {}
    fields: tuple[tuple[Text, Text, bool], ...] = ()


class File(Struct, frozen=True, kw_only=True):
    """A file of a message. `url` may hold a secret: it goes to the store, never into a document."""

    id: str
    name: str = ""
    title: str = ""
    mime: str = ""
    size: int | None = None
    url: str = ""
    path: str = ""  # inside the archive, where the archive brings the bytes
    link: str = ""  # where an external file lives, to be shown as it is
    width: int | None = None
    height: int | None = None
    preview: str = ""
    gone: str = ""  # why there is nothing to fetch


class Message(Struct, frozen=True, gc=False, tag_field="is", tag="message"):
    """A message.

    replies       on the first message of a thread: the replies that the archive holds
    placeholder   whether it takes the place of a first message that the archive does not hold
    """

    id: str
    channel: str
    author: str
    ts: int
    text: Text = ()
    file: str = ""
    position: str | int = ""
    system: str = ""  # Rocket.Chat's message type `t`, "" for what a person or bot wrote
    alias: str = ""
    emoji: str = ""
    avatar: str = ""
    bot: bool = False
    thread: str = ""  # id of the thread's first message
    in_channel: bool = False  # a reply that is shown in the channel too
    replies: tuple[Replies, ...] = ()
    placeholder: bool = False
    edit: Edit | None = None
    pin: Pin | None = None
    reactions: tuple[Reaction, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    files: tuple[File, ...] = ()


class Part(Struct, frozen=True, gc=False, kw_only=True, tag_field="is", tag="part"):
    """Some messages of one channel: the unit of progress, parallel work and resume.

    channel    "" if the archive mixes messages of several channels: each message has its own
    data       what the importer needs to find and read them
    """

    channel: str
    messages: int
    data: bytes = b""


# ---------------------------------------------------------------- problems


class Outcome(StrEnum):
    """What became of a record."""

    INSERTED = "inserted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"


class Effect(StrEnum):
    """What a problem did to its record: it was imported all the same, left out, or could not be imported."""

    NOTED = "noted"
    SKIPPED = "skipped"
    FAILED = "failed"


RecordType = Literal["user", "contact", "channel", "message", "file", "archive"]


class Problem(Struct, frozen=True, gc=False, kw_only=True, tag_field="is", tag="problem"):
    """Something that could not be read or applied as it was.

    kind      a word of docs/problems.md
    position  the place in the file: "$[12]", or a row
    reason    why, in a sentence; remedy: what to do about it
    count     how many records of `file` it stands for
    """

    kind: str
    record: RecordType
    effect: Effect
    reason: str
    remedy: str = ""
    file: str = ""
    position: str = ""
    field: str = ""
    count: int = 1


class PendingFile(Struct, frozen=True, kw_only=True):
    """A file whose bytes are still to be stored. `url` may hold a secret: it goes to the store alone."""

    upload_id: str
    import_id: str
    message_id: str
    room_id: str
    user_id: str
    name: str
    mime: str
    size: int | None
    url: str
    path: str

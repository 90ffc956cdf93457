"""Messages: documents as Rocket.Chat 8.x clients read them."""

import re
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from chatferry.convert.id_map import LoggedIdMap, MappedUser
from chatferry.documents import MESSAGES, Date, Document, Update
from chatferry.ids import derived_hex
from chatferry.problems import NO_PROBLEMS, about, capped
from chatferry.records import (
    ROCKET_CAT,
    Attachment,
    ChannelMention,
    File,
    GroupMention,
    Message,
    Outcome,
    PendingFile,
    Problem,
    Replies,
    Segment,
    Text,
    UserMention,
)

# Every field that an import may write: what a changed message no longer has is taken away. `md` is the text
# as Rocket.Chat parsed it after an edit; it is shown instead of `msg`.
FIELDS = frozenset(
    (
        "rid", "u", "msg", "ts", "urls", "t", "groupable", "tmid", "tshow", "alias", "emoji", "avatar", "bot",
        "tcount", "tlm", "replies", "editedAt", "editedBy", "mentions", "channels", "attachments", "files",
        "reactions", "pinned", "pinnedAt", "pinnedBy", "md",
    )
)  # fmt: skip


class Converted(Struct, frozen=True, gc=False):
    """A message as it is to be written.

    document      None if the message cannot be imported
    pending       files whose bytes are still to be stored
    files         what became of the other files
    links         how many files are only links: they share the outcome of the message
    placeholder   whether it stands for a message that was not imported
    """

    document: Document | None
    problems: tuple[Problem, ...]
    pending: tuple[PendingFile, ...] = ()
    files: dict[Outcome, int] = {}
    links: int = 0
    placeholder: bool = False

    @property
    def all_files(self) -> int:
        """How many files the message has."""
        return sum(self.files.values()) + len(self.pending) + self.links


_NO_FIELDS: Document = {}
_NO_FILES: dict[Outcome, int] = {}


def convert_message(record: Message, known: LoggedIdMap) -> Converted:
    """Return the document of a message, with the destination's ids in place of the archive's."""
    room = known.rooms[record.channel]
    author = known.users[record.author]
    if room is None or room.absent or author is None or author.absent:
        return _refused(record, known)
    text, scope = record.text, known.scope
    msg, named, problems = (
        (text[0], _NO_FIELDS, NO_PROBLEMS)
        if len(text) == 1 and type(text[0]) is str
        else _text(record, known)
    )
    # The order of the fields counts: it is part of the document's digest.
    document: Document = {
        "_id": f"{scope}-{record.id}" if scope else record.id,
        "rid": room.id,
        "u": {"_id": author.id, "username": author.username},
        "msg": msg,
        "ts": Date.at(record.ts),
        "urls": [{"url": url, "meta": {}} for url in urls_in(msg)] if "://" in msg else [],
        **named,
    }
    if record.system:
        document["t"] = record.system
        document["groupable"] = False
    if record.thread:
        document["tmid"] = f"{scope}-{record.thread}" if scope else record.thread
        if record.in_channel:
            document["tshow"] = True
    if record.replies:
        document |= _replies(record.replies, known)
    if record.alias or record.emoji or record.avatar or record.bot:
        document |= _appearance(record)
    if record.edit is not None or record.pin is not None:
        fields, found = _edit_and_pin(record, known)
        document, problems = document | fields, problems + found
    if record.reactions:
        fields, found = _reactions(record, known)
        document, problems = document | fields, problems + found
    if record.attachments:
        document["attachments"] = [_attachment(card, known) for card in record.attachments]
    if not record.files:
        return Converted(document, problems, (), _NO_FILES, placeholder=record.placeholder)
    return _with_files(record, document, problems, author, scope)


def _appearance(record: Message) -> Document:
    shown = {"alias": record.alias, "emoji": record.emoji, "avatar": record.avatar, "bot": record.bot}
    return {key: value for key, value in shown.items() if value}


def update_message(document: Document, digest: bytes, kept: frozenset[str] = frozenset()) -> Update:
    """Return the update that replaces the imported fields of a stored message, but for `kept` fields."""
    return Update(
        collection=MESSAGES,
        id=document["_id"],
        set={key: value for key, value in document.items() if key != "_id" and key not in kept},
        unset=tuple(sorted(FIELDS - document.keys() - kept)),
        digest=digest,
    )


def _refusal(record: Message, known: LoggedIdMap) -> Problem:
    """Return why a message cannot be imported: its channel or its author was not."""
    room, author = known.rooms[record.channel], known.users[record.author]
    if room is None:
        reason = f"the channel {record.channel} is not in the export"
        return about(record, "message-channel-failed", reason, "channel")
    if room.absent:
        kind = "message-channel-failed" if room.absent == "failed" else "message-channel-not-selected"
        return about(record, kind, f"the channel {room.name} was not imported: {room.absent}", "channel")
    if author is None:
        reason = f"the author {record.author} is not in the export"
        return about(record, "message-author-failed", reason, "user")
    kind = "message-author-failed" if author.absent == "failed" else "message-author-not-selected"
    reason = f"its author {author.username or record.author} was not imported: {author.absent}"
    return about(record, kind, reason, "user")


def _refused(record: Message, known: LoggedIdMap) -> Converted:
    """Leave out a message with its files. The first message of a thread leaves a placeholder if replies to it
    are imported."""
    refusal, room = _refusal(record, known), known.rooms[record.channel]
    files = {Outcome(refusal.effect.value): len(record.files)} if record.files else _NO_FILES
    if room is None or room.absent or record.placeholder or not _present(record.replies, known):
        return Converted(None, (refusal,), (), files)
    root = Message(
        record.id,
        record.channel,
        ROCKET_CAT,
        record.ts,
        system="rm",
        replies=record.replies,
        placeholder=True,
    )
    note = about(record, "thread-root-left-out", f"{refusal.reason}; others replied to it", "user")
    return replace(convert_message(root, known), problems=(note,), files=files)


def _present(replies: Iterable[Replies], known: LoggedIdMap) -> list[tuple[MappedUser, Replies]]:
    """Return the replies whose authors are imported, each with its author."""
    found = [(known.users[one.author], one) for one in replies]
    return [(user, one) for user, one in found if user is not None and not user.absent]


def _replies(replies: Iterable[Replies], known: LoggedIdMap) -> Document:
    """Return the fields that count the imported replies of a thread and name its followers, their authors."""
    present = _present(replies, known)
    if not present:
        return {}
    return {
        "tcount": sum(one.count for _, one in present),
        "tlm": Date.at(max(one.last for _, one in present)),
        "replies": list(dict.fromkeys(user.id for user, _ in present)),
    }


# ---------------------------------------------------------------- text


def _text(record: Message, known: LoggedIdMap) -> tuple[str, Document, tuple[Problem, ...]]:
    """Return a message's text, the fields with the people and channels it names, and the unknown ones."""
    mentions: dict[str, Document] = {}
    channels: dict[str, Document] = {}
    unknown: list[Problem] = []
    for segment in record.text:
        if type(segment) is UserMention:
            user = known.users[segment.id]
            if user is None:
                reason = f"nobody in the export has the id {segment.id}, which the text mentions"
                unknown.append(about(record, "unknown-mention", reason, "text"))
            elif not user.absent:
                mentions[user.id] = _mention(user)
        elif type(segment) is ChannelMention:
            room = known.rooms[segment.id]
            if room is None:
                reason = f"no channel in the export has the id {segment.id}, which the text mentions"
                unknown.append(about(record, "unknown-mention", reason, "text"))
            elif not room.absent and room.name:
                channels[room.id] = {"_id": room.id, "name": room.name}
        elif type(segment) is GroupMention:
            mentions[segment.name] = {"_id": segment.name, "username": segment.name}
    fields: Document = {}
    if mentions:
        fields["mentions"] = list(mentions.values())
    if channels:
        fields["channels"] = list(channels.values())
    return _written(record.text, known), fields, capped(unknown)


def _shown(segment: Segment, known: LoggedIdMap) -> str:
    if isinstance(segment, str):
        return segment
    if isinstance(segment, UserMention):
        user = known.users[segment.id]
        return f"@{user.username if user and user.username else segment.label or segment.id}"
    if isinstance(segment, ChannelMention):
        room = known.rooms[segment.id]
        return f"#{room.name if room and room.name else segment.label or segment.id}"
    return f"@{segment.name}"


def _mention(user: MappedUser) -> Document:
    mention = {"_id": user.id, "username": user.username}
    if user.name:
        mention["name"] = user.name
    return mention


def _written(text: Text, known: LoggedIdMap) -> str:
    return "".join([_shown(segment, known) for segment in text])


_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
# Looked for only where a run of a scheme's characters begins: from each of them it would take quadratic time.
_SCHEME = r"[a-zA-Z][\w+.-]*+://"
_URL = re.compile(
    rf"(?<=<){_SCHEME}[^\s<>|]++(?=\|)|(?<=\(){_SCHEME}[^\s()]++(?=\))|"
    rf"(?<![\w+.-])(?:[^\Wa-zA-Z]|[+.-])*+({_SCHEME}[^\s<>]++)"
)
_OWN_LABEL = re.compile(r"\[https?://[^\s\[\]]+\]\(")  # the label of a link that is its address
_NOT_ALONE = re.compile("[()<>]")
_TRAILING = ".,;:!?'\"*_~"


def urls_in(text: str) -> list[str]:
    """Return the addresses in a text, outside of code, each once."""
    if "`" in text:
        text = _CODE.sub(" ", text)
    if "](" in text:
        text = _OWN_LABEL.sub("(", text)
    found: dict[str, None] = {}
    for word in text.split():
        if "://" not in word:
            continue
        if word.startswith(("https://", "http://")) and _NOT_ALONE.search(word) is None:
            found[word.rstrip(_TRAILING)] = None
            continue
        for match in _URL.finditer(word):
            found[_without_trailing(match[1] or match[0])] = None
    return list(found)


def _without_trailing(url: str) -> str:
    """Return an address without punctuation at its end, and without brackets there that it does not open."""
    url = url.rstrip(_TRAILING)
    if url[-1] != ")":
        return url
    end = len(url)
    surplus = url.count(")") - url.count("(")
    while surplus > 0 and url[end - 1] == ")":
        surplus -= 1
        end -= 1
        while url[end - 1] in _TRAILING:
            end -= 1
    return url[:end]


# ---------------------------------------------------------------- edits, pins, reactions


def _edit_and_pin(record: Message, known: LoggedIdMap) -> tuple[Document, tuple[Problem, ...]]:
    """Return the fields that say when a message was edited and pinned, and by whom."""
    fields: Document = {}
    problems = NO_PROBLEMS
    if edit := record.edit:
        fields["editedAt"] = Date.at(edit.at)
        editor, problems = _actor(edit.by, "unknown-editor", record, known)
        if editor:
            fields["editedBy"] = editor
    if pin := record.pin:
        fields |= {"pinned": True, "pinnedAt": Date.at(pin.at)}
        pinner, found = _actor(pin.by, "unknown-pinner", record, known)
        problems += found
        if pinner:
            fields["pinnedBy"] = pinner
    return fields, problems


def _actor(
    import_id: str, kind: str, record: Message, known: LoggedIdMap
) -> tuple[Document | None, tuple[Problem, ...]]:
    """Return who edited or pinned a message, or why nobody can be named."""
    if not import_id:
        return None, NO_PROBLEMS
    user = known.users[import_id]
    field, lost = ("edited", "editor's name") if kind == "unknown-editor" else ("pinned_to", "pinner's name")
    if user is None:
        return None, (about(record, kind, f"nobody in the export has the id {import_id}", field),)
    if user.absent:
        return None, (_left_out(user, import_id, lost, record, field),)
    return {"_id": user.id, "username": user.username}, NO_PROBLEMS


def _left_out(user: MappedUser, import_id: str, lost: str, record: Message, field: str) -> Problem:
    """Return the problem that a message loses what a person did who was not imported."""
    reason = f"{user.username or import_id} was not imported ({user.absent}), so the {lost} is left out"
    return about(record, "person-not-imported", reason, field)


def _reactions(record: Message, known: LoggedIdMap) -> tuple[Document, tuple[Problem, ...]]:
    """Return the field with a message's reactions, and who of the people who reacted is missing."""
    reactions: Document = {}
    missing: list[Problem] = []
    for reaction in record.reactions:
        usernames: dict[str, None] = {}
        for import_id in reaction.users:
            user = known.users[import_id]
            if user is None:
                reason = f"nobody in the export has the id {import_id}"
                field = f"reactions (:{reaction.name}:)"
                missing.append(about(record, "unknown-reaction-user", reason, field))
            elif user.absent:
                missing.append(_left_out(user, import_id, "reaction", record, "reactions"))
            else:
                usernames[user.username] = None
        if usernames:
            reactions[f":{reaction.name}:"] = {"usernames": list(usernames)}
    return {"reactions": reactions} if reactions else {}, capped(missing)


# ---------------------------------------------------------------- attachments and files


def _attachment(card: Attachment, known: LoggedIdMap) -> Document:
    document: Document = dict(card.values)
    if "ts" in card.values:
        document["ts"] = Date.at(int(card.values["ts"])).iso
    for name, text in card.texts.items():
        document[name] = _written(text, known)
    if card.fields:
        document["fields"] = [
            {"title": _written(title, known), "value": _written(value, known), "short": short}
            for title, value, short in card.fields
        ]
    return document


def _with_files(
    record: Message, document: Document, problems: tuple[Problem, ...], author: MappedUser, scope: str
) -> Converted:
    """Return a message with its files: those that are still to be stored, and what became of the rest."""
    attachments: list[Document] = document.get("attachments", [])
    entries: list[Document] = []
    pending: list[PendingFile] = []
    outcomes: dict[Outcome, int] = {}
    found: list[Problem] = []
    for number, file in enumerate(record.files):
        own_id = file.id or f"{record.id}/{number}"
        upload_id = derived_hex("upload", scope, own_id) if scope else derived_hex("upload", own_id)
        outcome, problem = _file_outcome(file, record)
        is_fetched = outcome is None and not file.link
        if problem is not None:
            found.append(problem)
        if outcome is not None:
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        elif is_fetched:
            entries.append(_file_entry(file, upload_id))
            pending.append(_pending(file, upload_id, document, author))
        attachments.append(_file_card(file, upload_id if is_fetched else ""))
    document["attachments"] = attachments
    if entries:
        document["files"] = entries
    links = sum(bool(file.link and not file.gone) for file in record.files)
    return Converted(document, problems + capped(found), tuple(pending), outcomes, links)


def _file_outcome(file: File, record: Message) -> tuple[Outcome | None, Problem | None]:
    """Return what became of a file that cannot be fetched, else None, and what there is to say."""
    field = f"files ({file.name or file.id})"
    if file.gone:
        reason = f"it is not in the export: {file.gone}"
        return Outcome.SKIPPED, about(record, "file-gone", reason, field)
    if file.link:
        return None, about(record, "file-external", "it is stored outside of Slack", field)
    if not file.url and not file.path:
        reason = "the export has neither the file nor its address"
        return Outcome.FAILED, about(record, "file-without-address", reason, field)
    return None, None


def _file_entry(file: File, upload_id: str) -> Document:
    entry: Document = {"_id": upload_id, "name": file.name or file.id}
    if file.mime:
        entry["type"] = file.mime
    if file.size is not None:
        entry["size"] = file.size
    if suffix := extension(file.name):
        entry["format"] = suffix
    return entry


def _file_card(file: File, upload_id: str) -> Document:
    """Return the attachment that shows a file. Its address is added once the bytes are stored."""
    card: Document = {"title": file.title or file.name or file.id or "File", "type": "file"}
    if upload_id:
        card["fileId"] = upload_id
    kind = file.mime.partition("/")[0]
    if kind in ("image", "audio", "video"):
        card[f"{kind}_type"] = file.mime
        if file.size is not None:
            card[f"{kind}_size"] = file.size
        if kind == "image" and file.width and file.height:
            card["image_dimensions"] = {"width": file.width, "height": file.height}
    else:
        if suffix := extension(file.name):
            card["format"] = suffix
        if file.size is not None:
            card["size"] = file.size
    if file.gone:
        card["text"] = f"This file is not here: {file.gone}."
    elif file.preview:
        card["text"] = f"```\n{file.preview}\n```"
    if file.link:
        card["title_link"] = file.link
    return card


def extension(name: str) -> str:
    """Return the ending of a file's name, "" if it has none."""
    stem, dot, suffix = name.rpartition(".")
    return suffix.lower() if dot and stem and len(suffix) <= 10 else ""


def _pending(file: File, upload_id: str, message: Document, author: MappedUser) -> PendingFile:
    return PendingFile(
        upload_id=upload_id,
        import_id=file.id,
        message_id=message["_id"],
        room_id=message["rid"],
        user_id=author.id,
        name=file.name or file.id,
        mime=file.mime,
        size=file.size,
        url=file.url,
        path=file.path,
    )

"""Messages: documents as Rocket.Chat 8.x clients read them."""

import re
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from chatferry.convert.id_map import LoggedIdMap, MappedUser
from chatferry.documents import MESSAGES, Date, Document, Update
from chatferry.ids import derived_hex
from chatferry.problems import MOST_OF_RECORD, Notes, problem
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
    Reaction,
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
    """A message's document (None if it cannot be imported), what was not taken over, and its files."""

    document: Document | None
    problems: list[Problem]
    pending: list[PendingFile]
    files: dict[Outcome, int]
    links: int = 0  # files that live elsewhere: what becomes of the message becomes of them
    placeholder: bool = False  # stands for a message that was not imported

    @property
    def all_files(self) -> int:
        """How many files the message has."""
        return sum(self.files.values()) + len(self.pending) + self.links


_NO_FILES: dict[Outcome, int] = {}


def convert_message(record: Message, known: LoggedIdMap) -> Converted:
    """The document of a message, with every id of the archive replaced by what stands for it."""
    problems: list[Problem] = []
    room = known.rooms[record.channel]
    author = known.users[record.author]
    if room is None or room.absent or author is None or author.absent:
        return _refused(record, known)
    text = record.text
    only = text[0] if len(text) == 1 else None
    msg = only if isinstance(only, str) else ""
    scope = known.scope
    document: Document = {
        "_id": f"{scope}-{record.id}" if scope else record.id,
        "rid": room.id,
        "u": {"_id": author.id, "username": author.username},
        "msg": msg,
        "ts": Date.at(record.ts),
        "urls": [],
    }
    if text and not msg:
        _write_text(record, known, document, problems)
        msg = document["msg"]
    if "://" in msg:
        document["urls"] = [{"url": url, "meta": {}} for url in urls_in(msg)]
    if record.system:
        document["t"] = record.system
        document["groupable"] = False
    if record.thread:
        document["tmid"] = f"{scope}-{record.thread}" if scope else record.thread
        if record.in_channel:
            document["tshow"] = True
    if record.replies:
        _write_thread(record.replies, known, document)
    if record.alias:
        document["alias"] = record.alias
    if record.emoji:
        document["emoji"] = record.emoji
    if record.avatar:
        document["avatar"] = record.avatar
    if record.bot:
        document["bot"] = True
    if record.edit is not None:
        _write_edit(record, known, document, problems)
    if record.pin is not None:
        _write_pin(record, known, document, problems)
    if record.reactions:
        _write_reactions(record, known, document, problems)
    if record.attachments:
        document["attachments"] = [_attachment(card, known) for card in record.attachments]
    if not record.files:
        return Converted(document, problems, [], _NO_FILES, placeholder=record.placeholder)
    pending, files = _write_files(record, scope, author, document, problems)
    links = sum(bool(file.link and not file.gone) for file in record.files)
    return Converted(document, problems, pending, files, links)


def update_message(document: Document, mark: bytes, kept: frozenset[str] = frozenset()) -> Update:
    """Bring a stored message to what the source says now, and take away what it no longer has.

    `mark` is the document's digest. What people did to the message in other fields, and in those that are
    `kept`, stays.
    """
    return Update(
        collection=MESSAGES,
        id=document["_id"],
        set={key: value for key, value in document.items() if key != "_id" and key not in kept},
        unset=tuple(sorted(FIELDS - document.keys() - kept)),
        digest=mark,
    )


def _problem(kind: str, reason: str, record: Message, field: str) -> Problem:
    return problem(kind, reason, file=record.file, position=record.position, field=field)


def _refusal(record: Message, known: LoggedIdMap) -> Problem:
    room, author = known.rooms[record.channel], known.users[record.author]
    if room is None:
        reason = f"the channel {record.channel} is not in the export"
        return _problem("message-channel-failed", reason, record, "channel")
    if room.absent:
        kind = "message-channel-failed" if room.absent == "failed" else "message-channel-not-selected"
        return _problem(kind, f"the channel {room.name} was not imported: {room.absent}", record, "channel")
    if author is None:
        reason = f"the author {record.author} is not in the export"
        return _problem("message-author-failed", reason, record, "user")
    kind = "message-author-failed" if author.absent == "failed" else "message-author-not-selected"
    return _problem(
        kind,
        f"its author {author.username or record.author} was not imported: {author.absent}",
        record,
        "user",
    )


def _lost_files(record: Message, known: LoggedIdMap) -> dict[Outcome, int]:
    """Files share the fate of their message."""
    if not record.files:
        return _NO_FILES
    refusal = _refusal(record, known)
    return {Outcome(refusal.effect.value): len(record.files)}


def _refused(record: Message, known: LoggedIdMap) -> Converted:
    """Leave a message out; the first one of a thread that is imported leaves a placeholder."""
    refusal, files = _refusal(record, known), _lost_files(record, known)
    room = known.rooms[record.channel]
    if room is None or room.absent or record.placeholder or not _present(record.replies, known):
        return Converted(None, [refusal], [], files)
    root = Message(
        record.id,
        record.channel,
        ROCKET_CAT,
        record.ts,
        system="rm",
        replies=record.replies,
        placeholder=True,
    )
    note = _problem("thread-root-left-out", f"{refusal.reason}; others replied to it", record, "user")
    return replace(convert_message(root, known), problems=[note], files=files)


def _present(replies: Iterable[Replies], known: LoggedIdMap) -> list[tuple[MappedUser, Replies]]:
    """Return those replies whose authors are there, with these."""
    found = [(known.users[one.author], one) for one in replies]
    return [(user, one) for user, one in found if user is not None and not user.absent]


def _write_thread(replies: Iterable[Replies], known: LoggedIdMap, document: Document) -> None:
    """Count the replies of a thread that are imported; whoever wrote one follows it."""
    present = _present(replies, known)
    if present:
        document["tcount"] = sum(one.count for _, one in present)
        document["tlm"] = Date.at(max(one.last for _, one in present))
        document["replies"] = list(dict.fromkeys(user.id for user, _ in present))


# ---------------------------------------------------------------- text


def _write_text(record: Message, known: LoggedIdMap, document: Document, problems: list[Problem]) -> None:
    mentions: dict[str, Document] = {}
    channels: dict[str, Document] = {}
    words: list[str] = []
    notes = Notes(MOST_OF_RECORD)
    for segment in record.text:
        if type(segment) is str:
            words.append(segment)
        elif type(segment) is UserMention:
            user = known.users[segment.id]
            if user is None:
                words.append(f"@{segment.label or segment.id}")
                reason = f"nobody in the export has the id {segment.id}, which the text mentions"
                notes.append(_problem("unknown-mention", reason, record, "text"))
            else:
                words.append(f"@{user.username or segment.label or segment.id}")
                if not user.absent:
                    mentions[user.id] = _mention(user)
        elif type(segment) is ChannelMention:
            room = known.rooms[segment.id]
            words.append(f"#{room.name if room and room.name else segment.label or segment.id}")
            if room is None:
                reason = f"no channel in the export has the id {segment.id}, which the text mentions"
                notes.append(_problem("unknown-mention", reason, record, "text"))
            elif not room.absent and room.name:
                channels[room.id] = {"_id": room.id, "name": room.name}
        elif type(segment) is GroupMention:
            words.append(f"@{segment.name}")
            mentions[segment.name] = {"_id": segment.name, "username": segment.name}
    problems += notes
    document["msg"] = "".join(words)
    if mentions:
        document["mentions"] = list(mentions.values())
    if channels:
        document["channels"] = list(channels.values())


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
    """The addresses in a text, outside of code, each once."""
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
    """The address without punctuation at its end, and without brackets there that it does not open."""
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


def _actor(
    import_id: str, kind: str, record: Message, known: LoggedIdMap, problems: list[Problem]
) -> Document | None:
    if not import_id:
        return None
    user = known.users[import_id]
    field, lost = ("edited", "editor's name") if kind == "unknown-editor" else ("pinned_to", "pinner's name")
    if user is None:
        reason = f"nobody in the export has the id {import_id}"
        problems.append(_problem(kind, reason, record, field))
        return None
    if user.absent:
        problems.append(_left_out(user, import_id, lost, record, field))
        return None
    return {"_id": user.id, "username": user.username}


def _left_out(user: MappedUser, import_id: str, lost: str, record: Message, field: str) -> Problem:
    """Return the problem that a message loses what somebody did who was not imported."""
    reason = f"{user.username or import_id} was not imported ({user.absent}), so the {lost} is left out"
    return _problem("person-not-imported", reason, record, field)


def _write_edit(record: Message, known: LoggedIdMap, document: Document, problems: list[Problem]) -> None:
    if record.edit is None:
        return
    document["editedAt"] = Date.at(record.edit.at)
    editor = _actor(record.edit.by, "unknown-editor", record, known, problems)
    if editor:
        document["editedBy"] = editor


def _write_pin(record: Message, known: LoggedIdMap, document: Document, problems: list[Problem]) -> None:
    if record.pin is None:
        return
    document["pinned"] = True
    document["pinnedAt"] = Date.at(record.pin.at)
    pinner = _actor(record.pin.by, "unknown-pinner", record, known, problems)
    if pinner:
        document["pinnedBy"] = pinner


def _write_reactions(
    record: Message, known: LoggedIdMap, document: Document, problems: list[Problem]
) -> None:
    reactions: Document = {}
    notes = Notes(MOST_OF_RECORD)
    for reaction in record.reactions:
        usernames = _reacting(reaction, record, known, notes)
        if usernames:
            reactions[f":{reaction.name}:"] = {"usernames": usernames}
    problems += notes
    if reactions:
        document["reactions"] = reactions


def _reacting(reaction: Reaction, record: Message, known: LoggedIdMap, problems: list[Problem]) -> list[str]:
    usernames: dict[str, None] = {}
    for import_id in reaction.users:
        user = known.users[import_id]
        if user is None:
            reason = f"nobody in the export has the id {import_id}"
            field = f"reactions (:{reaction.name}:)"
            problems.append(_problem("unknown-reaction-user", reason, record, field))
        elif user.absent:
            problems.append(_left_out(user, import_id, "reaction", record, "reactions"))
        else:
            usernames[user.username] = None
    return list(usernames)


# ---------------------------------------------------------------- attachments and files


def _attachment(card: Attachment, known: LoggedIdMap) -> Document:
    document: Document = dict(card.values)
    if "ts" in card.values:
        document["ts"] = _iso(int(card.values["ts"]))
    for name, text in card.texts.items():
        document[name] = _written(text, known)
    if card.fields:
        document["fields"] = [
            {"title": _written(title, known), "value": _written(value, known), "short": short}
            for title, value, short in card.fields
        ]
    return document


def _iso(ms: int) -> str:
    return Date.at(ms).iso


def _write_files(
    record: Message, scope: str, author: MappedUser, document: Document, problems: list[Problem]
) -> tuple[list[PendingFile], dict[Outcome, int]]:
    attachments: list[Document] = document.setdefault("attachments", [])
    files: list[Document] = []
    pending: list[PendingFile] = []
    outcomes: dict[Outcome, int] = {}
    notes = Notes(MOST_OF_RECORD)
    for number, file in enumerate(record.files):
        own_id = file.id or f"{record.id}/{number}"
        upload_id = derived_hex("upload", scope, own_id) if scope else derived_hex("upload", own_id)
        outcome = _file_outcome(file, record, notes)
        is_fetched = outcome is None and not file.link
        if outcome is not None:
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        elif is_fetched:
            files.append(_file_entry(file, upload_id))
            pending.append(_pending(file, upload_id, document, author))
        attachments.append(_file_card(file, upload_id if is_fetched else ""))
    problems += notes
    if files:
        document["files"] = files
    return pending, outcomes


def _file_outcome(file: File, record: Message, problems: list[Problem]) -> Outcome | None:
    """What became of a file that cannot be brought; None for one that can."""
    if file.gone:
        problems.append(_file_problem("file-gone", f"it is not in the export: {file.gone}", file, record))
        return Outcome.SKIPPED
    if file.link:
        problems.append(_file_problem("file-external", "it is stored outside of Slack", file, record))
    elif not file.url and not file.path:
        reason = "the export has neither the file nor its address"
        problems.append(_file_problem("file-without-address", reason, file, record))
        return Outcome.FAILED
    return None


def _file_problem(kind: str, reason: str, file: File, record: Message) -> Problem:
    return _problem(kind, reason, record, f"files ({file.name or file.id})")


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
    """The attachment that shows a file; where its bytes are is added once they are there."""
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
    """The ending of a file's name, "" if it has none."""
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

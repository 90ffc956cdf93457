"""Slack exports: standard, corporate and Enterprise Grid, and what third-party exporters make like them.

Which files exist: https://slack.com/help/articles/220556107-How-to-read-Slack-data-exports.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from unicodedata import normalize

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from xxhash import xxh3_128_digest

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.reading.json_list import decode_list, flaw_problem
from chatferry.importers.reading.json_stream import read_chunks, read_ranges
from chatferry.importers.reading.timeline import spread
from chatferry.importers.reading.unlisted import UNLISTED_ROOM, not_listed
from chatferry.importers.slack.first_pass import SlackFirstPass, nameless
from chatferry.importers.slack.large_files import FileSection, Sizes
from chatferry.importers.slack.lists import (
    ROOM_LISTS,
    USER_LISTS,
    Conversation,
    bots,
    prefixes,
    read_conversations,
    read_elements,
    read_users,
)
from chatferry.importers.slack.messages import placeholder_root, to_record
from chatferry.importers.slack.ordering import in_order
from chatferry.importers.slack.parts import SlackPartSpec, parts
from chatferry.importers.slack.schema import Envelope, SlackMessage, micros
from chatferry.problems import MOST_OF_PART, Notes, Position, about, problem
from chatferry.records import ROCKET_CAT, Channel, Message, Part, Problem, User

SIZES = Sizes()
_CONVERSATIONS = 300  # of one task of the first pass

# Files of a Slack export that hold no chat, and what they hold.
NOT_CHAT = {
    "integration_logs.json": "the log of installed apps",
    "canvases.json": "canvases",
    "lists.json": "lists",
    "huddle_transcripts.json": "transcripts of huddles",
    "content_flags.json": "flagged messages",
    "canvas_in_the_conversation.json": "a channel's canvas",
}
_DAY_FILE = re.compile(r"(?P<folder>.+)/\d{4}-\d{2}-\d{2}\.json")


def matches(archive: Archive) -> bool:
    """Return whether this looks like a Slack export: one of its lists, or folders of day files."""
    lists = {*ROOM_LISTS, *USER_LISTS}
    return any(
        name.rpartition("/")[2] in lists or (_DAY_FILE.fullmatch(name) and not _is_stored_file(name))
        for name in archive.names()
    )


def scan(archive: Archive, sizes: Sizes = SIZES) -> Iterator[User | Channel | Part | Problem]:
    """Yield users, conversations and the parts of their messages; see `Importer.scan`."""
    _require_export(archive)
    folders = _folders(archive)
    yield from _files_left_out(archive)
    users: set[str] = set()
    for user in read_users(archive):
        if isinstance(user, User):
            users.add(user.id)
        yield user
    conversations: list[Conversation] = []
    for conversation in read_conversations(archive, folders):
        if isinstance(conversation, Problem):
            yield conversation
            continue
        if conversation.members_known:
            yield conversation.record
        conversations.append(_without_members(conversation))
    claimed = {conversation.folder for conversation in conversations}
    unknown = [_unlisted(folder) for folder in folders if folder not in claimed]
    for conversation in unknown:
        reason = f"no list names a channel for this folder; {UNLISTED_ROOM}"
        yield problem("unknown-folder", reason, file=conversation.folder)
    if not users and not conversations and not unknown:
        raise ArchiveError(
            f"{archive.name}: neither its users nor its channels nor any messages can be read. "
            "Download the export again."
        )
    yield from _scan_messages(archive, [*conversations, *unknown], folders, users, sizes)


def read(archive: Archive, part: Part) -> Iterator[Message | Problem]:
    """Yield the messages of a part in order of time; see `Importer.read`."""
    spec = msgspec.msgpack.decode(part.data, type=SlackPartSpec)
    for root, reply in spec.missing_roots.items():
        reason = "the first message of the thread is not in the archive"
        yield Position(reply.file, reply.index).problem("thread-without-root", reason, f"thread_ts ({root})")
        yield placeholder_root(root, spec.room, reply.file)
    if spec.section is not None:
        yield from _read_section(archive, spec, spec.files[0], spec.section)
        return
    after = spec.after
    seen = {time for ts in spec.duplicates if (time := micros(ts)) is not None}
    for file in spec.files:
        elements, flaws = read_elements(archive, file, SlackMessage)
        for flaw in flaws:
            yield flaw_problem(flaw, file, "message")
        times, places, left_out = in_order(elements, file, seen)
        problems = Notes(MOST_OF_PART, left_out)
        for index, ts in zip(places, spread(times, after), strict=True):
            message = elements[index]
            if message is not None:
                record, found = to_record(message, ts, file, index, spec.room, archive.__contains__)
                problems.extend(found)
                yield record
                after = ts
        yield from problems


def content_keys(archive: Archive) -> Callable[[Part], bytes]:
    """Return a function that gives the content key of a part; see `Importer.content_keys`."""
    stored = [(name, archive.size(name)) for name in archive.names() if _is_stored_file(name)]
    bytes_of_files = xxh3_128_digest(msgspec.msgpack.encode(stored))

    def content_key(part: Part) -> bytes:
        files = msgspec.msgpack.decode(part.data, type=SlackPartSpec).files
        checksums = [archive.checksum(file) for file in files]
        return b"" if None in checksums else msgspec.msgpack.encode((bytes_of_files, checksums))

    return content_key


def _read_section(
    archive: Archive, spec: SlackPartSpec, file: str, section: FileSection
) -> Iterator[Message | Problem]:
    try:
        data = read_ranges(archive, file, [section])
    except ArchiveError as error:
        yield problem("message-not-readable", str(error), file=file, count=section.messages)
        return
    elements, flaws = decode_list(data, SlackMessage, section.numbers)
    for flaw in [*flaws, section.lost] if section.lost else flaws:
        yield flaw_problem(flaw, file, "message")
    times, places, left_out = in_order(elements, file, set(), section.first, section.duplicates)
    problems = Notes(MOST_OF_PART, left_out)
    for index, time in zip(places, times, strict=True):
        message = elements[index - section.first]
        if message is not None:
            ts = section.moved.get(index, time // 1000)
            record, found = to_record(message, ts, file, index, spec.room, archive.__contains__)
            problems.extend(found)
            yield record
    yield from problems


# ---------------------------------------------------------------- which files


def _require_export(archive: Archive) -> None:
    names = archive.names()
    if not names:
        raise ArchiveError(f"{archive.name} is empty. Download the export again.")
    if matches(archive):
        return
    if any(re.match(r"(channels|dms|groups|mpims)/.*\.txt$", name, re.IGNORECASE) for name in names):
        raise ArchiveError(
            f"{archive.name} is a Slack export in TXT format, which does not say who wrote what and when. "
            "Export again and choose JSON."
        )
    raise ArchiveError(
        f"{archive.name} is no Slack export: it holds neither users.json nor channels.json nor folders "
        f"with files such as general/2023-01-31.json. It holds {', '.join(names[:3])} ..."
    )


def _folders(archive: Archive) -> dict[str, list[str]]:
    folders: dict[str, list[str]] = {}
    for name in archive.names():
        if (match := _DAY_FILE.fullmatch(name)) and not _is_stored_file(name):
            # macOS writes names decomposed: the lists have "é" as one character, its archives as two.
            folders.setdefault(normalize("NFC", match["folder"]), []).append(name)
    return {folder: sorted(files) for folder, files in folders.items()}


def _files_left_out(archive: Archive) -> Iterator[Problem]:
    lists = {prefix + name for prefix in prefixes(archive) for name in (*ROOM_LISTS, *USER_LISTS)}
    for name in archive.names():
        if name in lists or _DAY_FILE.fullmatch(name) or _is_stored_file(name):
            continue
        what = NOT_CHAT.get(name.rpartition("/")[2])
        reason = f"it holds {what}, which is no chat" if what else "chatferry does not know such a file"
        yield problem("file-not-imported", reason, file=name)


def _is_stored_file(name: str) -> bool:
    """Return whether an entry is a stored file, as exporters that are not Slack's own bring them."""
    return name.startswith("__uploads/") or "/attachments/" in name


def _unlisted(folder: str) -> Conversation:
    name = folder.rpartition("/")[2]
    return Conversation(
        record=Channel(id=name, type="p", name=name, listed=False, file=folder),
        folder=folder,
        members_known=False,
    )


# ---------------------------------------------------------------- first pass


_Task = list[tuple[Conversation, list[str]]]
"""Conversations with their day files, for one task of the first pass."""


class _FirstPassInput(Struct, frozen=True):
    """What every task needs: the listed users, the users that bots write as, and the sizes."""

    users: set[str]
    bots: dict[str, str]
    sizes: Sizes


class _Scanned(Struct, frozen=True):
    """The result of the first pass over a conversation."""

    parts: list[Part]
    authors: tuple[str, ...]
    unlisted_users: dict[str, User]


def _scan_messages(
    archive: Archive,
    conversations: list[Conversation],
    folders: dict[str, list[str]],
    users: set[str],
    sizes: Sizes,
) -> Iterator[User | Channel | Part | Problem]:
    shared = _FirstPassInput(
        users, {bot: user for bot, user in bots(archive).items() if user in users}, sizes
    )
    unlisted_users: dict[str, User] = {}
    tasks = list(_tasks(archive, conversations, folders, sizes.first))
    for task, all_found in zip(tasks, archive.each(_scan_task, shared, tasks), strict=True):
        for (conversation, files), found in zip(task, all_found, strict=True):
            for id, user in found.unlisted_users.items():
                if id not in unlisted_users or unlisted_users[id].name == id.lower():
                    unlisted_users[id] = user
            if not conversation.members_known:
                conversation = _with_authors(conversation, found.authors)
                yield conversation.record
                if files and conversation.record.listed:
                    yield _members_guessed(conversation.record)
            record = conversation.record
            for member in record.members if record.type == "d" else ():
                if member != ROCKET_CAT and member not in users and member not in unlisted_users:
                    unlisted_users[member] = nameless(member, record.file, record.position)
            yield from found.parts
    yield from unlisted_users.values()
    yield from not_listed(map(_not_listed, unlisted_users.values()), bool(users), "an inactive placeholder")


def _not_listed(user: User) -> Problem:
    reason = f"no list of users names {user.id}, an inactive placeholder stands for it"
    return about(user, "user-not-listed", reason, "user")


def _tasks(
    archive: Archive, conversations: Iterable[Conversation], folders: dict[str, list[str]], enough: int
) -> Iterator[_Task]:
    task: _Task = []
    size = 0
    for conversation in conversations:
        files = folders.get(conversation.folder, [])
        task.append((conversation, files))
        size += sum(map(archive.size, files))
        if size >= enough or len(task) >= _CONVERSATIONS:
            yield task
            task, size = [], 0
    if task:
        yield task


def _scan_task(archive: Archive, shared: _FirstPassInput, task: _Task) -> list[_Scanned]:
    return [_scan_conversation(archive, shared, conversation, files) for conversation, files in task]


def _scan_conversation(
    archive: Archive, shared: _FirstPassInput, conversation: Conversation, files: list[str]
) -> _Scanned:
    first_pass, sizes = SlackFirstPass(shared.users, shared.bots), shared.sizes
    for file in files:
        elements = _whole(archive, file, sizes)
        if elements is not None:
            first_pass.add(file, elements)
        else:
            first_pass.add_chunks(file, read_chunks(archive, file, Envelope, sizes.chunk), sizes)
    findings = first_pass.findings
    authors = () if conversation.members_known else tuple(findings.authors)
    found = list(parts(archive, conversation, first_pass, sizes))
    return _Scanned(found, authors, findings.unlisted_users)


def _whole(archive: Archive, file: str, sizes: Sizes) -> list[Envelope | None] | None:
    """Return the elements of a day file; None for a file that is to be read in chunks."""
    if archive.size(file) > sizes.whole:
        return None
    try:
        data = archive.read(file)
    except ArchiveError:
        return [None]
    is_small = len(data) <= sizes.objects or data.count(b"{") <= sizes.objects
    return decode_list(data, Envelope)[0] if is_small else None


def _without_members(conversation: Conversation) -> Conversation:
    """Drop member lists that are not needed later; they can be huge."""
    record = conversation.record
    if record.type == "d" or not conversation.members_known:
        return conversation
    return replace(conversation, record=replace(record, members=()))


def _with_authors(conversation: Conversation, authors: Iterable[str]) -> Conversation:
    people = (author for author in authors if author != ROCKET_CAT)
    members = tuple(dict.fromkeys((*conversation.record.members, *people)))
    return replace(conversation, record=replace(conversation.record, members=members))


def _members_guessed(record: Channel) -> Problem:
    reason = f"the export does not list the members of {record.name or record.id}"
    return about(record, "channel-without-members", reason, "members")

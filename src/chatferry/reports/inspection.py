"""The content of an export and its problems, found without writing anything."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from chatferry import accounts
from chatferry.archive import Archive
from chatferry.clock import now
from chatferry.destinations.memory import PassingDestination
from chatferry.documents import USERS, Date, Insert
from chatferry.errors import EmptyArchiveError
from chatferry.importers import Importer
from chatferry.operations import EVERYTHING, Operation, Selection, Status, advance
from chatferry.pipeline import commands
from chatferry.pipeline.context import ImportContext
from chatferry.pipeline.prepare import prepare
from chatferry.pipeline.run import run
from chatferry.problems import causes
from chatferry.records import Channel, Contact, Message, Part, Problem, User
from chatferry.reports.operation import MOST_CAUSES, problem_as_json, tallies
from chatferry.reports.operation_json import iso
from chatferry.store import Store

_STARTER = "starter"


class Share(Struct, kw_only=True):
    """What an export holds of a room or of a user.

    kind         of a room: public, private or direct; of a user: user, guest, bot, deleted or placeholder
    members      of a room
    first, last  the times of the messages, in ms; None without messages
    """

    id: str
    name: str
    kind: str
    members: int = 0
    messages: int = 0
    first: int | None = None
    last: int | None = None
    files: int = 0
    file_bytes: int = 0

    def add(self, message: Message) -> None:
        """Count a message."""
        self.messages += 1
        self.first = message.ts if self.first is None else min(self.first, message.ts)
        self.last = message.ts if self.last is None else max(self.last, message.ts)
        self.files += len(message.files)
        self.file_bytes += sum(file.size or 0 for file in message.files)

    def as_json(self) -> dict[str, Any]:
        """Return the share with ISO dates of the first and last message."""
        return {
            "id": self.id,
            "name": self.name,
            "kind": self.kind,
            "members": self.members,
            "messages": self.messages,
            "first": day(self.first),
            "last": day(self.last),
            "files": self.files,
            "fileBytes": self.file_bytes,
        }


def day(ms: int | None) -> str | None:
    """Return the day of a time in UTC: "2024-01-31"."""
    return None if ms is None else iso(ms)[:10]


class Inspection(Struct, kw_only=True):
    """The counts of an export, its rooms and users by their ids, and its problems, one per cause."""

    name: str
    importer: str
    users: int = 0
    placeholders: int = 0
    contacts: int = 0
    bots: int = 0
    channels: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    left_out: int = 0
    threads: int = 0
    reactions: int = 0
    files: int = 0
    file_bytes: int = 0
    rooms_by_id: dict[str, Share] = {}
    users_by_id: dict[str, Share] = {}
    problems: list[Problem] = []
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def period(self) -> tuple[int | None, int | None]:
        """Return the times of the first and the last message, in ms."""
        rooms = self.rooms_by_id.values()
        return (
            min((room.first for room in rooms if room.first is not None), default=None),
            max((room.last for room in rooms if room.last is not None), default=None),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the counts and problems."""
        return {
            "archive": self.name,
            "importer": self.importer,
            "users": self.users,
            "bots": self.bots,
            "placeholders": self.placeholders,
            "contacts": self.contacts,
            "publicChannels": self.channels["c"],
            "privateChannels": self.channels["p"],
            "directConversations": self.channels["d"],
            "first": day(self.period[0]),
            "last": day(self.period[1]),
            "messages": self.messages,
            "messagesLeftOut": self.left_out,
            "threads": self.threads,
            "reactions": self.reactions,
            "files": self.files,
            "fileBytes": self.file_bytes,
            "problemKinds": dict(self.kinds),
            "problems": [problem_as_json(problem) for problem in self.problems],
        }


def inspect_archive(importer: Importer, archive: Archive) -> Inspection:
    """Import the whole archive into a new workspace that keeps nothing, as a dry run does."""
    inspection = Inspection(name=archive.name, importer=importer.name)
    with Store() as store:
        operation = _imported(_counting(importer, inspection), archive, store)
        messages = tallies(operation, store)["messages"]
        inspection.left_out = messages.skipped + messages.failed
        inspection.messages = messages.read - inspection.left_out
        inspection.problems += causes(store.problems.all(operation.id), MOST_CAUSES)
    for problem in inspection.problems:
        inspection.kinds[problem.kind] += problem.count
    return inspection


def _imported(importer: Importer, archive: Archive, store: Store) -> Operation:
    """Import everything; return the operation at its end."""
    workspace = PassingDestination()
    moment = Date.at(now())
    accounts.found_workspace(workspace, moment)
    workspace.apply([Insert(USERS, accounts.administrator(_STARTER, "admin", moment))])
    everything = Selection(EVERYTHING, EVERYTHING, EVERYTHING)
    operation = replace(commands.new_operation(importer.key, _STARTER), selection=everything)
    store.operations.add(operation)
    context = ImportContext(store, workspace, importer, archive)
    try:
        operation = prepare(operation, context)
    except EmptyArchiveError:  # its problems say why
        return operation
    return run(advance(operation, Status.IMPORTING, now()), context)


def _counting(importer: Importer, inspection: Inspection) -> Importer:
    """Return a copy of the importer that counts the records it reads."""

    def scan(archive: Archive) -> Iterator[User | Channel | Contact | Part | Problem]:
        for item in importer.scan(archive):
            if isinstance(item, User):
                inspection.users += 1
                inspection.bots += item.type == "bot"
                inspection.placeholders += item.placeholder
                inspection.users_by_id[item.id] = Share(
                    id=item.id, name=item.username or item.name, kind=_kind_of_user(item)
                )
            elif isinstance(item, Contact):
                inspection.contacts += 1
            elif isinstance(item, Channel):
                inspection.channels[item.type] += 1
                inspection.rooms_by_id[item.id] = Share(
                    id=item.id, name=item.name, kind=_ROOM_KINDS[item.type], members=len(item.members)
                )
            yield item

    def read(archive: Archive, part: Part) -> Iterator[Message | Problem]:
        for record in importer.read(archive, part):
            if isinstance(record, Message):
                inspection.threads += bool(record.replies)
                inspection.reactions += sum(len(reaction.users) for reaction in record.reactions)
                inspection.files += len(record.files)
                inspection.file_bytes += sum(file.size or 0 for file in record.files)
                for share in (
                    inspection.rooms_by_id.get(record.channel),
                    inspection.users_by_id.get(record.author),
                ):
                    if share is not None:
                        share.add(record)
            yield record

    # Without marks no part is cached for a later import.
    return replace(importer, scan=scan, read=read, content_keys=None)


_ROOM_KINDS = {"c": "public", "p": "private", "d": "direct"}


def _kind_of_user(user: User) -> str:
    if user.placeholder:
        return "placeholder"
    if user.deleted:
        return "deleted"
    return "guest" if user.guest else user.type

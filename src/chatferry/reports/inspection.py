"""The content of an export and its problems, found without writing anything."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from msgspec import Struct
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
from chatferry.store import Store

_STARTER = "starter"


class Inspection(Struct, kw_only=True):
    """The counts of an export, and its problems, one per cause."""

    name: str
    importer: str
    users: int = 0
    placeholders: int = 0
    contacts: int = 0
    bots: int = 0
    channels: Counter[str]
    messages: int = 0
    left_out: int = 0
    threads: int = 0
    reactions: int = 0
    files: int = 0
    file_bytes: int = 0
    problems: list[Problem]
    kinds: Counter[str]

    def as_json(self) -> dict[str, Any]:
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
    """Import the whole archive into a new workspace that keeps nothing, as a dry run does.

    Raise ArchiveError if nothing can be read.
    """
    inspection = Inspection(
        name=archive.name,
        importer=importer.name,
        channels=Counter(),
        problems=[],
        kinds=Counter(),
    )
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
    operation = replace(
        commands.new_operation(importer.key, _STARTER),
        selection=Selection(EVERYTHING, EVERYTHING, EVERYTHING),
    )
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
            elif isinstance(item, Contact):
                inspection.contacts += 1
            elif isinstance(item, Channel):
                inspection.channels[item.type] += 1
            yield item

    def read(archive: Archive, part: Part) -> Iterator[Message | Problem]:
        for record in importer.read(archive, part):
            if isinstance(record, Message):
                inspection.threads += bool(record.replies)
                inspection.reactions += sum(len(reaction.users) for reaction in record.reactions)
                inspection.files += len(record.files)
                inspection.file_bytes += sum(file.size or 0 for file in record.files)
            yield record

    # Without marks no part is cached for a later import.
    return replace(importer, scan=scan, read=read, content_keys=None)

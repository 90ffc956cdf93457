"""What is inside an export and what of it will be lost, found without writing anything."""

from collections import Counter
from typing import Any

from msgspec import Struct

from chatferry.archive import Archive
from chatferry.importers import Importer
from chatferry.records import Channel, Contact, Effect, Message, Part, Problem, User
from chatferry.report import problem_as_json

KEPT_PROBLEMS = 10_000  # more are only counted


class Inspection(Struct, kw_only=True):
    """Counts by what they are called in a report, and the problems of the export."""

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
    """Read the whole archive once. Raises ArchiveError if nothing of it can be read."""
    found = Inspection(
        name=archive.name, importer=importer.name, channels=Counter(), problems=[], kinds=Counter()
    )
    parts: list[Part] = []
    for item in importer.scan(archive):
        if isinstance(item, Part):
            parts.append(item)
        elif isinstance(item, User):
            found.users += 1
            found.bots += item.type == "bot"
            found.placeholders += item.placeholder
        elif isinstance(item, Contact):
            found.contacts += 1
        elif isinstance(item, Channel):
            found.channels[item.type] += 1
        elif isinstance(item, Problem):
            _note(item, found)
    for part in parts:
        for record in importer.read(archive, part):
            if isinstance(record, Message):
                _count(record, found)
            else:
                _note(record, found)
    return found


def _count(message: Message, found: Inspection) -> None:
    found.messages += 1
    found.threads += bool(message.replies)
    found.reactions += sum(len(reaction.users) for reaction in message.reactions)
    found.files += len(message.files)
    found.file_bytes += sum(file.size or 0 for file in message.files)


def _note(problem: Problem, found: Inspection) -> None:
    found.kinds[problem.kind] += problem.count
    if problem.record == "message" and problem.effect != Effect.NOTED:
        found.left_out += problem.count
    if len(found.problems) < KEPT_PROBLEMS:
        found.problems.append(problem)

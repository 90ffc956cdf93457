"""Every kind of problem: which record it concerns, what it does to it, and what to do about it.

docs/problems.md lists the same kinds for administrators.
"""

from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from chatferry.records import Channel, Contact, Effect, Message, Problem, RecordType, User

MOST_OF_RECORD, MOST_OF_PART, MOST_OF_ARCHIVE = 100, 1_000, 10_000
"""Problems of one kind that are listed one by one: of a record, a part, the first pass over an archive."""
_LONGEST = 1000  # characters of a reason, and of the name of a file

NO_PROBLEMS: tuple[Problem, ...] = ()
"""What a function returns that found nothing wrong."""


class ProblemKind(Struct, frozen=True):
    record: RecordType
    effect: Effect
    remedy: str


NOTED, SKIPPED, FAILED = Effect.NOTED, Effect.SKIPPED, Effect.FAILED

_REMEDIES: dict[tuple[RecordType, Effect], dict[str, str]] = {
    ("archive", NOTED): {
        "file-not-readable": "Repair the file, or download the export again, and import again.",
        "file-not-imported": "Keep the export: the content of this file is only there.",
        "file-encoding-guessed": "Look at names with accents. "
        "If they are wrong, save the file as UTF-8 and import again.",
        "column-not-imported": "Keep the export: the content of this column is only there.",
    },
    ("user", NOTED): {
        "user-without-name": "Rename the user in Rocket.Chat, and set an e-mail address.",
        "user-without-email": "Set it in Rocket.Chat, or import Slack's list of members (slack-users). "
        "It is needed to log in.",
        "user-is-admin": "Take the role away in Rocket.Chat if the person is not to be an administrator.",
        "user-is-guest": "Nothing if they may be users. "
        "If not, import with --guests guest, or --guests skip: placeholders.",
        "user-field-not-imported": "Keep the export if it matters: this field's content stays only there.",
        "user-merged-by-email": "Nothing, if both are one person. "
        "If not, restore your backup, change one address, and import again.",
        "user-merged-by-username": "Nothing, if both are one person. "
        "If not, restore your backup, rename the account, and import again.",
        "username-changed": "Rename the user in Rocket.Chat if another name is wanted.",
        "user-not-listed": "Nothing: the messages are kept. "
        "Activate the placeholder in Rocket.Chat if the person is to log in.",
        "account-not-changed": "Let an administrator import again, or change the account in Rocket.Chat.",
        "user-field-dropped": "Set the value in Rocket.Chat if it is needed.",
        "role-not-granted": "Let an administrator grant the role in Rocket.Chat.",
    },
    ("user", SKIPPED): {
        "user-without-id": "Give the user an e-mail address in the file and import again.",
        "user-twice": "Nothing, if both are one person. If not, correct the second entry and import again.",
        "user-is-slackbot": "Nothing: Rocket.Chat's own bot, rocket.cat, takes its place.",
        "user-exists": "Nothing: the account was left as it is.",
        "user-not-selected": "Import again with the user selected.",
    },
    ("user", FAILED): {
        "user-not-readable": "Correct the entry in the file and import again.",
        "user-rejected": "Correct what the reason names and import again.",
    },
    ("contact", NOTED): {
        "contact-without-name": "Name the contact in Rocket.Chat.",
        "unknown-manager": "Name a manager in Rocket.Chat, "
        "or import the account and then the contacts again.",
    },
    ("contact", SKIPPED): {
        "contact-empty": "Give the row a name, an e-mail address or a number, and import again.",
        "contact-twice": "Nothing, if both are one contact. "
        "If not, give the second another id and import again.",
        "contact-not-selected": "Import again with the contact selected.",
    },
    ("contact", FAILED): {
        "contact-not-readable": "Correct the row in the file and import again.",
        "contact-rejected": "Correct what the reason names and import again.",
    },
    ("channel", NOTED): {
        "unknown-folder": "Invite members, or make the room public, "
        "in Rocket.Chat if more people are to read it.",
        "channel-without-name": "Rename the room in Rocket.Chat.",
        "channel-without-members": "Check the members in Rocket.Chat: they are the authors of its messages.",
        "room-name-changed": "Rename the room, "
        "or let UTF8_Channel_Names_Validation allow the characters before you import.",
        "room-merged": "Nothing, if both are one. "
        "If not, restore your backup, rename the room, and import again.",
        "channel-name-taken": "Rename the room in Rocket.Chat if another name is wanted.",
        "channel-name-twice": "Look into the room of the other channel: it has the messages of both.",
        "channel-too-large": "Nothing: a private room holds the conversation.",
        "unknown-creator": "Make somebody else the owner in Rocket.Chat if that is needed.",
        "unknown-member": "Invite the person in Rocket.Chat, "
        "or import again with a list of users that has the person.",
        "member-not-added": "Let an administrator, or a member of the room, "
        "import again or invite the people.",
    },
    ("channel", SKIPPED): {
        "channel-twice": "Nothing, if both are one channel. "
        "If not, correct the second entry and import again.",
        "direct-member-not-selected": "Import again with all its people selected.",
        "channel-not-selected": "Import again with the channel selected.",
    },
    ("channel", FAILED): {
        "channel-not-readable": "Correct the entry in the file and import again.",
        "direct-without-members": "See the reason: "
        "add the people to the file, or correct the user that failed, and import again.",
        "channel-rejected": "Correct what the reason names and import again.",
    },
    ("message", NOTED): {
        "encoding-repaired": "Look at the text. If it is wrong, correct the file and import again.",
        "field-dropped": "Correct the field in the file and import again.",
        "message-of-unknown-type": "Nothing: the text was kept as an ordinary message.",
        "message-very-long": "Nothing, but clients may be slow to show it.",
        "message-cut": "Find the whole text in the export.",
        "message-without-author": "Nothing: rocket.cat stands in as its author.",
        "unknown-mention": "Nothing: the name was kept as plain text.",
        "unknown-editor": "Nothing: the time of the edit was kept.",
        "unknown-pinner": "Nothing: the message is pinned all the same.",
        "unknown-reaction-user": "Nothing: the other people's reactions were kept.",
        "person-not-imported": "Import again with the person to bring it.",
        "reaction-users-missing": "Nothing: the export does not name these people.",
        "attachment-link-dropped": "Find the address in the export if it matters.",
        "attachment-not-readable": "Find the attachment in the export.",
        "thread-without-root": "Nothing: a placeholder opens the thread. "
        "An older export may hold the message.",
        "thread-root-left-out": "A placeholder opens the thread. "
        "Select the author, or correct why it failed, and import again.",
        "message-edited": "Nothing; "
        "or import again with --rewrite, which overwrites what people have edited.",
        "text-index-dropped": "Nothing: it is built after the messages. "
        "Until then search finds none of them.",
        "text-index-built": "Nothing: search finds messages again.",
        "text-index-not-built": "See the reason: "
        "remove what is in the way and start chatferry, or use mongosh.",
        "text-index-not-dropped": "Nothing: the messages were written all the same.",
    },
    ("message", SKIPPED): {
        "message-without-recipient": "Name the recipient in the row and import again.",
        "message-not-chat": "Nothing: it only repeats or announces something else.",
        "message-twice": "Nothing: the first message was kept.",
        "message-channel-not-selected": "Import again with the channel selected.",
        "message-author-not-selected": "Import again with the author selected.",
    },
    ("message", FAILED): {
        "message-not-readable": "Correct the message in the file and import again.",
        "message-without-time": "Give the message its time in the file and import again.",
        "message-channel-failed": "See why the channel failed, correct it, and import again.",
        "message-author-failed": "See why the author failed, correct it, and import again.",
        "message-rejected": "Correct what the reason names and import again.",
    },
    ("file", NOTED): {
        "file-external": "Nothing: the link to where it lives was kept.",
    },
    ("file", SKIPPED): {
        "file-gone": "Nothing can be fetched. Ask the owner for a copy if it matters.",
        "file-without-message": "Nothing: the message that had it is not there any more.",
    },
    ("file", FAILED): {
        "file-of-others": "Let an administrator import the export again if the rooms should have this file.",
        "file-not-fetched": "Correct what the reason names, "
        "then fetch what is pending again (`chatferry files`).",
        "file-archive-gone": "Import the export again, then fetch what is pending again (`chatferry files`).",
        "file-messages-missing": "Restore the destination with the messages, "
        "then fetch what is pending again (`chatferry files`).",
        "avatar-not-fetched": "Correct what the reason names, "
        "then fetch what is pending again (`chatferry files`).",
        "file-without-address": "Export again with file access, then import again.",
    },
}
KINDS = {
    kind: ProblemKind(record, effect, remedy)
    for (record, effect), remedies in _REMEDIES.items()
    for kind, remedy in remedies.items()
}


def problem(
    kind: str, reason: str, *, file: str = "", position: str | int = "", field: str = "", count: int = 1
) -> Problem:
    """Return a problem of a kind. A number as its position is the place in the file's JSON list."""
    known = KINDS[kind]
    return Problem(
        kind=kind,
        record=known.record,
        effect=known.effect,
        reason=_shortened(reason),
        remedy=known.remedy,
        file=_shortened(file),
        position=f"$[{position}]" if isinstance(position, int) else position,
        field=_shortened(field),
        count=count,
    )


def about(
    record: User | Contact | Channel | Message, kind: str, reason: str, field: str = "", count: int = 1
) -> Problem:
    """Return a problem of a kind at the place of a record."""
    return problem(kind, reason, file=record.file, position=record.position, field=field, count=count)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 100]}…{text[-99:]}"


class Notes(list[Problem]):
    """A list of the first `most` problems of each kind, in order.

    A further problem adds its count to the last listed problem of its reason; one more problem counts the
    rest of the kind. `counting` has the indexes of the problems that count further ones.
    """

    def __init__(self, most: int, problems: Iterable[Problem] = ()) -> None:
        super().__init__()
        self.counting: set[int] = set()
        self._most = most
        self._counts: dict[str, int] = {}
        self._indexes: dict[tuple[str, str], int] = {}
        self.extend(problems)

    def extend(self, problems: Iterable[Problem]) -> None:
        for note in problems:
            self.append(note)

    def append(self, note: Problem) -> None:
        count = self._counts[note.kind] = self._counts.get(note.kind, 0) + 1
        if count <= self._most:
            self._indexes[note.kind, note.reason] = len(self)
            super().append(note)
            return
        index = self._indexes.get((note.kind, note.reason))
        if index is None:
            index = self._indexes.setdefault((note.kind, UNLISTED), len(self))
        self.counting.add(index)
        if index == len(self):
            super().append(replace(note, reason=UNLISTED, position="", field=""))
        else:
            self[index] = _with_more(self[index], note)


def capped(problems: Collection[Problem]) -> tuple[Problem, ...]:
    """Return the problems of one record: the first of each kind, and how many more there are."""
    return tuple(Notes(MOST_OF_RECORD, problems)) if problems else NO_PROBLEMS


UNLISTED = "there are more problems of this kind than are listed one by one"


def _with_more(listed: Problem, note: Problem) -> Problem:
    file = listed.file if listed.file == note.file or listed.reason != UNLISTED else ""
    return replace(listed, file=file, count=listed.count + note.count)


def causes(problems: Iterable[Problem], most: int) -> list[Problem]:
    """Return one problem per cause, which is a kind and a reason: the first one, with the count of all.

    The worst come first. Of a kind these are the `most` causes with the most records, and one that counts the
    rest.
    """
    found: dict[str, dict[str, Problem]] = {}
    for note in problems:
        of_kind = found.setdefault(note.kind, {})
        reason = note.reason if note.reason in of_kind or len(of_kind) < _COMPARED else UNLISTED
        first = of_kind.get(reason)
        of_kind[reason] = replace(note, reason=reason) if first is None else _with_more(first, note)
    by_effect = sorted(found.values(), key=lambda of_kind: _ORDER[next(iter(of_kind.values())).effect])
    return [cause for of_kind in by_effect for cause in _largest(of_kind, most)]


_COMPARED = 1000  # causes of a kind
_ORDER = {FAILED: 0, SKIPPED: 1, NOTED: 2}


def _largest(of_kind: dict[str, Problem], most: int) -> Iterator[Problem]:
    """Yield the causes with the most records, and one that counts the rest."""
    rest = of_kind.pop(UNLISTED, None)
    ordered = sorted(of_kind.values(), key=lambda cause: -cause.count)
    yield from ordered[:most]
    for cause in ordered[most:]:
        unlisted = replace(cause, reason=UNLISTED, position="", field="")
        rest = unlisted if rest is None else _with_more(rest, cause)
    if rest is not None:
        yield replace(rest, position="", field="")


class Position(Struct, frozen=True, gc=False, array_like=True):
    """The place of a message: a file, and the index in its JSON list. Makes the message's problems."""

    file: str
    index: int

    def problem(self, kind: str, reason: str, field: str = "") -> Problem:
        return problem(kind, reason, file=self.file, position=self.index, field=field)

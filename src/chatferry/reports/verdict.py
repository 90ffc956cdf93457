"""The last lines of an import: what arrived, what did not, and what to do next. Pure."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from chatferry.operations import Operation, Status
from chatferry.reports.shown import in_words, megabytes, several

_KINDS = {"users": "user", "contacts": "contact", "rooms": "room", "messages": "message", "files": "file"}
_ARRIVED = ("inserted", "updated", "unchanged")


EXPORT = "the export"
"""Stands for the host of files whose bytes lie in the export."""


class Remaining(Struct, frozen=True, kw_only=True):
    """What an administrator has to do yet.

    files, file_bytes  files to be fetched, and the bytes that the export says they have
    avatars            avatars to be fetched
    hosts              where the files are, the host of most files first; none for addresses without a host
    accounts           accounts that the import made for people and that have no password; None if that is
                       not known any more
    """

    files: int = 0
    file_bytes: int = 0
    avatars: int = 0
    hosts: tuple[str, ...] = ()
    accounts: int | None = None


class Ending(Struct, frozen=True, kw_only=True):
    """How an import ended.

    operation    at its end
    counts       the report without its problems
    destination  what people call it
    rooms        how many rooms messages went to, and the name of the one with most; "" if it has none
    remaining    what remains to be done; None if nobody has looked
    is_dry       whether it was a dry run
    """

    operation: Operation
    counts: dict[str, Any]
    destination: str
    rooms: tuple[int, str] = (0, "")
    remaining: Remaining | None = None
    is_dry: bool = False


def verdict(ending: Ending) -> Iterator[str]:
    """Yield the last lines about an operation; commands in them are between backquotes: `chatferry files`."""
    status = ending.operation.status
    took = in_words(ending.operation.seconds)
    if status == Status.FAILED:
        yield f"Failed after {took}, into {ending.destination}: {_arrived(ending)}."
        yield ending.operation.error or "The reason is not known."
        yield f"What was imported stays. When this is mended: `chatferry retry {ending.operation.id}`"
        return
    if status == Status.CANCELLED:
        yield f"Cancelled after {took}, into {ending.destination}: {_arrived(ending)}."
        yield "What was imported stays. Importing the same export again adds what is missing."
        return
    if status != Status.DONE:
        return
    failed = _failed(ending.counts)
    lost = f"; {failed} could not be imported, see above" if failed else ""
    if ending.is_dry:
        yield f"Dry run of {took}: {_arrived(ending)}{lost}. Nothing was written."
        return
    yield f"Done in {took}, into {ending.destination}: {_arrived(ending)}{lost}."
    if ending.remaining:
        yield from _next(ending.remaining, ending.destination)


def _arrived(ending: Ending) -> str:
    """Return what is in the destination: "1,204 messages are in #general and 7 other rooms"."""
    counts = {kind: sum(ending.counts[kind][one] for one in _ARRIVED) for kind in _KINDS}
    would = "would be" if ending.is_dry else ""
    if counts["messages"]:
        number = counts["messages"]
        be = would or ("is" if number == 1 else "are")
        return f"{several(number, 'message')} {be} in {_rooms(*ending.rooms)}"
    found = [several(number, noun) for kind, noun in _KINDS.items() if (number := counts[kind])]
    if not found:
        return "nothing was imported" if not ending.is_dry else "nothing would be imported"
    only_one = len(found) == 1 and found[0].startswith("1 ")
    return f"{_listed(found)} {would or ('is' if only_one else 'are')} there"


def _rooms(number: int, fullest: str) -> str:
    if not number:
        return "its rooms"
    if not fullest:
        return several(number, "room")
    fullest = fullest.replace("`", "'")  # between backquotes it would be taken for a command
    return f"#{fullest}" if number == 1 else f"#{fullest} and {several(number - 1, 'other room')}"


def _failed(counts: dict[str, Any]) -> str:
    numbers = {noun: counts[kind]["failed"] for kind, noun in _KINDS.items()}
    return _listed([several(number, noun) for noun, number in numbers.items() if number])


def _next(remaining: Remaining, destination: str) -> Iterator[str]:
    waiting = []
    if remaining.files:
        size = f" ({megabytes(remaining.file_bytes)})" if remaining.file_bytes else ""
        waiting.append(several(remaining.files, "file") + size)
    if remaining.avatars:
        waiting.append(several(remaining.avatars, "avatar"))
    if waiting:
        hosts = f" at {_listed(remaining.hosts)}" if remaining.hosts and EXPORT not in remaining.hosts else ""
        expire = "; their links expire" if hosts else ""
        wait = "waits" if waiting == ["1 file"] or waiting == ["1 avatar"] else "wait"
        yield f"Next: {_listed(waiting)} {wait}{hosts}{expire}: `chatferry files`"
    if remaining.accounts:
        have = "has" if remaining.accounts == 1 else "have"
        how = (
            'people choose one with Rocket.Chat\'s "Forgot your password?", or you set it there'
            if destination.startswith("Rocket.Chat")
            else "`chatferry password --user NAME` sets one"
        )
        yield f"{several(remaining.accounts, 'new account')} {have} no password: {how}."


def _listed(words: list[str] | tuple[str, ...]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)

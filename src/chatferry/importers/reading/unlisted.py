"""People and rooms that no list of an export names."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from chatferry.records import Problem

UNLISTED_ROOM = "its messages go to a private room of their authors, which the account that imports owns"


def not_listed(notes: Iterable[Problem], lists_users: bool, substitute: str) -> Iterator[Problem]:
    """Yield the problems of people whom no list names; a single one if the export lists no users."""
    if lists_users:
        yield from notes
        return
    first, count = None, 0
    for note in notes:
        first, count = first or note, count + 1
    if first is not None:
        reason = f"the export lists no users, so {substitute} stands for each person"
        yield replace(first, reason=reason, count=count)

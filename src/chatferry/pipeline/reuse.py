"""Parts that an earlier import brought as they are now: their messages are not read again.

What a part's messages become depends on the bytes that hold them, on what the import ids in them stand for,
and on chatferry itself. Where all that is as it was, the messages would be what they became then, so it is
enough to ask the destination whether it still has them, each with the digest it was given. A part of which
this is not true is read and converted as if it were new.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from xxhash import xxh3_128_digest

from chatferry import __version__
from chatferry.archive import Archive
from chatferry.convert import IdMap
from chatferry.destinations import Destination
from chatferry.documents import FORMAT
from chatferry.importers import Importer
from chatferry.pipeline.convert_parts import PartResult
from chatferry.pipeline.write_batches import merged
from chatferry.records import Outcome, Part
from chatferry.store import Store
from chatferry.store.part_cache import CachedPart
from chatferry.store.parts import NumberedPart

_ENOUGH = 5000  # messages that are looked for at once

CacheKeys = Callable[[Part], bytes]
"""What tells a part from all others, and from itself after a change; b"" where that cannot be told."""


class Recognised(Struct, frozen=True):
    """A part that an earlier import brought as it is now, and what becomes of it in this one."""

    mark: bytes
    result: PartResult


def cache_keys(importer: Importer, archive: Archive, scope: str = "") -> CacheKeys:
    """The marks of an archive's parts. `scope` is that of the archive's origin."""
    if importer.marks is None:
        return lambda part: b""
    contents = importer.marks(archive)
    beginning = f"{__version__}\0{FORMAT}\0{importer.key}\0{scope}".encode()

    def mark(part: Part) -> bytes:
        content = contents(part)
        return xxh3_128_digest(beginning + msgspec.msgpack.encode((part, content))) if content else b""

    return mark


def imprint(result: PartResult, known: IdMap) -> CachedPart:
    """What is kept of a part that was imported, for the next import."""
    trace = result.trace
    users, rooms = tuple(sorted(trace.users)), tuple(sorted(trace.rooms))
    return CachedPart(
        users=users,
        rooms=rooms,
        known=_meaning(users, rooms, known),
        ids=tuple(trace.ids),
        digests=xxh3_128_digest(b"".join(trace.digests)),
        messages=_again(result.messages),
        files=_again(result.files),
        problems=merged(result.problems),
        pending=[replace(file, url="") for file in result.pending],
    )


def recognised(
    parts: Iterable[NumberedPart], mark_of: CacheKeys, known: IdMap, store: Store, destination: Destination
) -> Iterator[list[Recognised]]:
    """Those of the parts that need not be read, some at a time."""
    likely: list[tuple[int, bytes, CachedPart]] = []
    waiting = 0
    for numbered in parts:
        mark = mark_of(numbered.part)
        kept = store.part_cache.get(mark) if mark else None
        if kept is not None and kept.known == _meaning(kept.users, kept.rooms, known):
            likely.append((numbered.number, mark, kept))
            waiting += len(kept.ids)
        if waiting >= _ENOUGH:
            yield _still_there(likely, destination)
            likely, waiting = [], 0
    yield _still_there(likely, destination)


def _still_there(likely: list[tuple[int, bytes, CachedPart]], destination: Destination) -> list[Recognised]:
    found = destination.digests([id for _, _, kept in likely for id in kept.ids]) if likely else {}
    return [
        Recognised(
            mark, PartResult(number, Counter(kept.messages), Counter(kept.files), kept.problems, kept.pending)
        )
        for number, mark, kept in likely
        if xxh3_128_digest(b"".join([found.get(id, b"") for id in kept.ids])) == kept.digests
    ]


def _again(outcomes: Mapping[Outcome, int]) -> dict[Outcome, int]:
    """What would become of the same records in another import."""
    again: Counter[Outcome] = Counter()
    for outcome, count in outcomes.items():
        is_there = outcome in (Outcome.INSERTED, Outcome.UPDATED)
        again[Outcome.UNCHANGED if is_there else outcome] += count
    return dict(again)


def _meaning(users: Iterable[str], rooms: Iterable[str], known: IdMap) -> bytes:
    """A digest of what these import ids stand for."""
    meaning = ([known.users.get(id) for id in users], [known.rooms.get(id) for id in rooms])
    return xxh3_128_digest(msgspec.msgpack.encode(meaning))

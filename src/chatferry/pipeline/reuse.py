"""Parts that an earlier import brought as they are now: their messages are not read again.

What a part's messages become depends on the bytes that hold them, on what the import ids in them stand for,
and on chatferry itself. Where all that is as it was, the messages would be what they became then, so it is
enough to ask the destination whether it still has them, each with the digest it was given. A part of which
this is not true is read and converted as if it were new.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
from msgspec.structs import replace
from xxhash import xxh3_128_digest

from chatferry import __version__
from chatferry.archive import Archive
from chatferry.convert import IdMap
from chatferry.destinations import Destination
from chatferry.documents import FORMAT
from chatferry.importers import Importer
from chatferry.pipeline.results import PartResult
from chatferry.pipeline.write_batches import merged
from chatferry.records import Outcome, Part
from chatferry.store import Store
from chatferry.store.part_cache import CachedPart
from chatferry.store.parts import NumberedPart

_ENOUGH = 5000  # messages that are looked for at once

CacheKey = Callable[[Part], bytes]
"""Tells a part from all others, and from itself after a change; b"" where that cannot be told."""


def cache_key_of(importer: Importer, archive: Archive, scope: str = "") -> CacheKey:
    """Return the cache keys of an archive's parts. `scope` is that of the archive's origin."""
    if importer.content_keys is None:
        return lambda part: b""
    contents = importer.content_keys(archive)
    beginning = f"{__version__}\0{FORMAT}\0{importer.key}\0{scope}".encode()

    def cache_key(part: Part) -> bytes:
        content = contents(part)
        return xxh3_128_digest(beginning + msgspec.msgpack.encode((part, content))) if content else b""

    return cache_key


def cached_part(result: PartResult, id_map: IdMap) -> CachedPart:
    """Return what is kept of a part that was imported, for the next import."""
    users, rooms = tuple(sorted(result.users)), tuple(sorted(result.rooms))
    return CachedPart(
        users=users,
        rooms=rooms,
        known=_meaning(users, rooms, id_map),
        ids=tuple(result.ids),
        digests=xxh3_128_digest(b"".join(result.digests)),
        messages=_again(result.messages),
        files=_again(result.files),
        problems=merged(result.problems),
        pending=[replace(file, url="") for file in result.pending],
    )


def reusable_parts(
    parts: Iterable[NumberedPart],
    cache_key: CacheKey,
    id_map: IdMap,
    store: Store,
    destination: Destination,
) -> Iterator[list[tuple[bytes, PartResult]]]:
    """Yield the parts that need not be read, several at a time, each with its cache key."""
    likely: list[tuple[NumberedPart, bytes, CachedPart]] = []
    waiting = 0
    for part in parts:
        key = cache_key(part.part)
        cached = store.part_cache.get(key) if key else None
        if cached is not None and cached.known == _meaning(cached.users, cached.rooms, id_map):
            likely.append((part, key, cached))
            waiting += len(cached.ids)
        if waiting >= _ENOUGH:
            yield _still_there(likely, destination)
            likely, waiting = [], 0
    yield _still_there(likely, destination)


def _still_there(
    likely: list[tuple[NumberedPart, bytes, CachedPart]], destination: Destination
) -> list[tuple[bytes, PartResult]]:
    digests = destination.digests([id for _, _, cached in likely for id in cached.ids]) if likely else {}
    return [
        (key, _result(part, cached))
        for part, key, cached in likely
        if xxh3_128_digest(b"".join([digests.get(id, b"") for id in cached.ids])) == cached.digests
    ]


def _result(part: NumberedPart, cached: CachedPart) -> PartResult:
    messages, files = Counter(cached.messages), Counter(cached.files)
    return PartResult(part, messages, files, cached.problems, cached.pending, is_last=True)


def _again(outcomes: Mapping[Outcome, int]) -> dict[Outcome, int]:
    """Return what would become of the same records in another import."""
    again: Counter[Outcome] = Counter()
    for outcome, count in outcomes.items():
        is_there = outcome in (Outcome.INSERTED, Outcome.UPDATED)
        again[Outcome.UNCHANGED if is_there else outcome] += count
    return dict(again)


def _meaning(users: Iterable[str], rooms: Iterable[str], id_map: IdMap) -> bytes:
    """Return a digest of what these import ids stand for."""
    meaning = ([id_map.users.get(id) for id in users], [id_map.rooms.get(id) for id in rooms])
    return xxh3_128_digest(msgspec.msgpack.encode(meaning))

"""Changes of any kind have the same effect in every destination, and in memory laid over one."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatferry.destinations import Destination, Lookup
from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import MESSAGES, ROOMS, SUBSCRIPTIONS, USERS, Change, Date, Insert, Update
from tests.support.destinations import (
    DESTINATIONS,
    everything,
    ids,
    message,
    rejected,
    room,
    subscription,
    user,
)

# ---------------------------------------------------------------- any changes


few = st.sampled_from
names = few(["ada", "Ada", "ben", "ÄDA", "äda"])
values = few(["ada", "x", 1, True, 2.5, Date.at(1000), ["a"], {"k": "a"}, {"deep": [{"k": 1}]}, "\ud83d"])
fields = few(["name", "fname", "bio", "a", "list", "_hidden", "tshow", "tmid", "default"])
paths = fields | few(["username", "a.b", "a.b.c", "list.0", "rid", "t"])
extras = st.dictionaries(fields, values)


targets = [
    (USERS, "u1"),
    (USERS, "u2"),
    (ROOMS, "r1"),
    (SUBSCRIPTIONS, "r1a"),
    (MESSAGES, "m1"),
    (MESSAGES, "m2"),
]


users = st.builds(
    lambda id_, username, roles, more: user(id_, **more, username=username, roles=roles),
    few(["u1", "u2", "u3"]),
    names,
    st.lists(few(["user", "admin"])),
    extras,
)


rooms = st.builds(
    lambda id_, t, name, more: room(id_, t, **more | {"name": name}),
    few(["r1", "r2", "r3"]),
    few(["c", "p", "d"]),
    names,
    extras,
)


subscriptions = st.builds(
    lambda rid, suffix, uid: subscription(rid + suffix, rid, uid),
    few(["r1", "r2"]),
    few(["a", "b"]),
    few(["u1", "u2"]),
)


messages = st.builds(
    lambda id_, rid, ts, digest, more: Insert(MESSAGES, message(id_, rid, ts).document | more, digest),
    few(["m1", "m2", "m3", "m4"]),
    few(["r1", "r2"]),
    few([0, 1000, 1001]),
    few([b"", b"12345678"]),
    extras,
)


updates = st.builds(
    lambda target, **how: Update(collection=target[0], id=target[1], **how),
    few(targets),
    set=st.dictionaries(paths, values, max_size=2),
    unset=st.lists(paths, max_size=2).map(tuple),
    add=st.dictionaries(paths, st.lists(values, max_size=2).map(tuple), max_size=1),
    pull=st.dictionaries(paths, st.tuples(few(["k"]), values), max_size=1),
    digest=few([b"", b"87654321"]),
)


changes = users | rooms | subscriptions | messages | updates
batches = st.lists(st.lists(changes, max_size=12), max_size=4)


def state(destination: Destination) -> Any:
    """All that can be seen of a destination."""
    asked = ["ada", "äda", "user", "r1", "r2", "true", "m1", "u1"]
    found = {lookup: ids(destination.find(lookup, asked)) for lookup in Lookup}
    return everything(destination), found, destination.digests(["m1", "m2", "m3", "m4"])


@given(batches=batches)
@settings(deadline=None, max_examples=60)
def test_any_changes_give_the_same_everywhere(batches: list[list[Change]]) -> None:
    require_the_same([name for name in DESTINATIONS if name != "mongodb"], batches)


@given(batches=batches)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changes_give_the_same_in_mongodb(mongodb: None, batches: list[list[Change]]) -> None:
    require_the_same(["sqlite", "mongodb"], batches)


def require_the_same(names: Sequence[str], batches: list[list[Change]]) -> None:
    with TemporaryDirectory() as directory:
        first, *others = [DESTINATIONS[name](Path(directory, name)) for name in names]
        for batch in batches:
            expected = rejected(first, batch)
            first.refresh_rooms(["r1", "r2", "r3"])
            for other in others:
                assert rejected(other, batch) == expected
                other.refresh_rooms(["r1", "r2", "r3"])
                assert state(other) == state(first)
        for destination in (first, *others):
            destination.close()


# ---------------------------------------------------------------- memory laid over a base


def keeps_its_room(change: Change) -> bool:
    """A base cannot be asked for a subscription by its `_id`, so memory laid over it counts on this."""
    how = (*change.set, *change.unset, *change.add) if isinstance(change, Update) else ()
    return change.collection != SUBSCRIPTIONS or "rid" not in how


settled = st.lists(st.lists(changes.filter(keeps_its_room), max_size=12), max_size=4)


@given(below=settled, above=settled)
@settings(deadline=None, max_examples=100)
def test_memory_over_a_base_shows_both_and_never_changes_the_base(
    below: list[list[Change]], above: list[list[Change]]
) -> None:
    base, plain = MemoryDestination(), MemoryDestination()
    for batch in below:
        assert rejected(base, batch) == rejected(plain, batch)
    before = state(base)
    laid_over = MemoryDestination(base)
    for batch in above:
        assert rejected(laid_over, batch) == rejected(plain, batch)
        assert state(laid_over) == state(plain)
    assert state(base) == before

"""The rooms of an invented workspace, and all that is known of them before a message is written."""

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

from testdata import truth
from testdata.clock import Clock, day_start, slack_ts
from testdata.people import NEWCOMER, Json, Layout, Person, member, newcomer, room_name, slack_id, stranger
from testdata.phrases import Names

_OPENED = -60  # the day on which the workspace was opened


class Shape(Struct, frozen=True):
    """What to generate. `messages` counts the elements of day files, `users` leaves USLACKBOT out."""

    users: int
    channels: int
    messages: int
    seed: int = 1
    days: int | None = None
    layout: Layout = "corporate"
    features: bool = True

    @property
    def span(self) -> int:
        return self.days or min(750, max(5, self.messages // (self.channels * 100)))


class Pin(Struct, frozen=True):
    """`place`: of the pinned message; `note`: of the pinned_item; `how`: what the archive tells of it."""

    place: int
    note: int
    by: Person
    how: Literal["all", "message", "channel"]


class Segment(Struct, frozen=True):
    """A stretch of a room's messages. The later one is what a newer archive holds beyond the older."""

    clock: Clock
    seed: str


class Room(Struct, frozen=True):
    id: str
    number: int
    file: str  # the list that it stands in: channels.json, groups.json, ...
    type: Literal["c", "p", "d"]
    name: str
    members: list[Person]
    entry: Json
    authors: list[Person] = []
    segments: list[Segment] = []
    pins: list[Pin] = []
    home: str = ""  # in a grid: the folder of its team
    general: bool = False
    truth_name: str = ""

    @property
    def folder(self) -> str:
        return self.name or self.id

    @property
    def path(self) -> str:
        return f"{self.home}{self.folder}/"

    @property
    def kind(self) -> str:
        return {"channels.json": "channel", "groups.json": "group"}.get(self.file, "direct")

    def line(self, members: Iterable[str]) -> truth.Room:
        direct = self.type == "d"
        return truth.Room(
            self.id,
            self.type,
            None if direct else self.truth_name or self.name,
            members=sorted(set(members)),
            topic="" if direct else _value(self.entry, "topic"),
            description="" if direct else _value(self.entry, "purpose"),
            archived=self.entry.get("is_archived") is True,
            created=int(str(self.entry["created"])) * 1000,
        )


def _value(entry: Json, field: str) -> str:
    holder = entry.get(field)
    return str(holder["value"]) if isinstance(holder, dict) else ""


class World(Struct, frozen=True):
    shape: Shape
    people: list[Person]
    rooms: list[Room]
    names: Names

    @property
    def elders(self) -> list[Person]:
        """Whom the older archive knows too."""
        return [person for person in self.people if person.username != NEWCOMER]

    @property
    def general(self) -> Room:
        return self.rooms[0]

    def bot(self) -> Person | None:
        return next((person for person in self.people if person.bot_id), None)


class _Draft(Struct):
    """A room before it is known how many messages it gets."""

    file: str
    name: str
    members: list[Person]
    listed: list[str]  # whom the archive names
    weight: float
    entry: Json
    new: bool = False  # only a newer archive holds it

    @property
    def type(self) -> Literal["c", "p", "d"]:
        if self.file == "dms.json" or (self.file == "mpims.json" and len(self.members) <= 8):
            return "d"
        return "c" if self.file == "channels.json" else "p"


def build_world(shape: Shape, extended: float) -> World:
    if shape.users < 2 or shape.channels < 1:
        raise ValueError("a workspace needs two users and a channel")
    rng = random.Random(f"world/{shape.seed}/{shape.users}/{shape.channels}")
    people = [member(number, shape.layout) for number in range(shape.users)]
    drafts = list(_drafts(shape, people, rng))
    if extended:
        people, drafts = _grown(shape, people, drafts)
    rooms = list(_rooms(shape, drafts, extended))
    old = [room for draft, room in zip(drafts, rooms, strict=True) if not draft.new]
    return World(shape, people, rooms, _names(people, old))


def _names(people: Sequence[Person], rooms: Sequence[Room]) -> Names:
    """Whom and what texts may mention: what the older archive knows too, and no name that needs a slug."""
    humans = [person for person in people if not person.bot_id and person.username != NEWCOMER]
    channels = [
        (room.id, room.name) for room in rooms if room.file == "channels.json" and room.name.isascii()
    ]
    hyphenated = [pair for pair in channels if "-" in pair[1]]
    return Names([(person.id, person.username) for person in humans], hyphenated + channels[:2])


def _grown(shape: Shape, people: list[Person], drafts: list[_Draft]) -> tuple[list[Person], list[_Draft]]:
    """One more user, in #general too, and one more channel."""
    new = newcomer(shape.layout == "grid")
    drafts[0].members.append(new)
    drafts[0].listed.append(new.id)
    channel = _channel(shape, shape.channels, "new-horizon", [people[0], new], people[0])
    channel.new = True
    return [*people, new], [*drafts, channel]


# --- which rooms there are ----------------------------------------------------------------------------------


def _drafts(shape: Shape, people: list[Person], rng: random.Random) -> Iterator[_Draft]:
    humans = [person for person in people if not person.bot_id]
    for number in range(shape.channels):
        size = min(len(people), 3 + int(rng.random() ** 2 * 60))
        members = rng.sample(people, size) if number else list(people)
        yield _channel(shape, number, room_name(number, shape.features), members, rng.choice(humans))
    if shape.layout != "standard":
        yield from _directs(shape, humans, rng)
        yield from _groups(shape, humans, rng)
    if shape.features:
        yield _file_conversation(people[0])


def _channel(shape: Shape, number: int, name: str, members: list[Person], creator: Person) -> _Draft:
    private = shape.layout != "standard" and number % 4 == 2
    created, topic = _created(number), f"All about {name}" if number % 3 else ""
    entry: Json = {
        "name": name,
        "created": created,
        "creator": creator.id,
        "is_archived": number % 9 == 5,
        "is_general": number == 0,
        "topic": {"value": topic, "creator": creator.id, "last_set": created},
        "purpose": {
            "value": "" if number % 2 else f"Talk of {name} – and more",
            "creator": "",
            "last_set": 0,
        },
    }
    draft = _Draft(
        "groups.json" if private else "channels.json",
        name,
        members if creator in members else [*members, creator],
        [person.id for person in members],
        1 / (number + 1) ** 0.7,
        entry,
    )
    if shape.features and number:
        _oddity(draft, number, members, creator)
    return draft


def _oddity(draft: _Draft, number: int, members: list[Person], creator: Person) -> None:
    """What archives hold too: a creator who left, or who is null; a creation time in quotes; Slackbot."""
    match number % 5:
        case 1:
            draft.listed = [id for id in draft.listed if id != creator.id]
        case 3:
            draft.entry["creator"] = None
            draft.members = members
        case 4:
            draft.entry["created"] = str(draft.entry["created"])
    if number == 1:
        draft.listed.append("USLACKBOT")


def _created(number: int) -> int:
    return day_start(_OPENED) // 1_000_000 + 36_000 + number * 60


def _directs(shape: Shape, humans: list[Person], rng: random.Random) -> Iterator[_Draft]:
    count = min(len(humans) // 2, shape.channels)
    met: set[tuple[str, ...]] = set()
    while len(met) < count:
        pair = rng.sample(humans, 2)
        key = tuple(sorted(person.id for person in pair))
        if key not in met:
            met.add(key)
            entry: Json = {"created": _created(200 + len(met))}
            yield _Draft("dms.json", "", pair, [person.id for person in pair], 0.03, entry)


def _groups(shape: Shape, humans: list[Person], rng: random.Random) -> Iterator[_Draft]:
    """Group conversations of 3 to 5, the second one of 9: too many for a direct room."""
    met: set[tuple[str, ...]] = set()
    for number in range(max(2, shape.channels // 4)):
        size = 9 if number == 1 else 3 + number % 3
        group = rng.sample(humans, min(size, len(humans)))
        key = tuple(sorted(person.id for person in group))
        if len(group) > 2 and key not in met:
            met.add(key)
            yield _group(shape, group, number)


def _group(shape: Shape, members: list[Person], number: int) -> _Draft:
    owner, created = members[0].id, _created(400 + number)
    purpose = "Group messaging" if len(members) > 8 else ""
    entry: Json = {
        "name": f"mpdm-{'--'.join(person.username for person in members)}-1",
        "created": created,
        "creator": owner,
        "is_archived": False,
        "topic": {"value": "", "creator": "", "last_set": 0},
        "purpose": {"value": purpose, "creator": owner, "last_set": created},
    }
    listed = [person.id for person in members]
    if shape.features and number == 0:
        listed.append(listed[1])  # Slack has been seen to list somebody twice
    return _Draft("mpims.json", str(entry["name"]), members, listed, 0.03, entry)


def _file_conversation(owner: Person) -> _Draft:
    """The comments on a canvas: a private room that belongs to a file."""
    name = "FC:F0EXAMPLE1:Plan"
    entry: Json = {"name": name, "created": _created(600), "creator": "USLACKBOT", "is_archived": False}
    entry |= {"topic": {"value": ""}, "purpose": {"value": ""}}
    return _Draft("file_conversations.json", name, [owner], [owner.id], 0.02, entry)


# --- what each of them holds --------------------------------------------------------------------------------


def _rooms(shape: Shape, drafts: list[_Draft], extended: float) -> Iterator[Room]:
    sizes = share(shape.messages, [0.0 if draft.new else draft.weight for draft in drafts])
    later = share(round(shape.messages * extended), [draft.weight for draft in drafts])
    for number, (draft, size, more) in enumerate(zip(drafts, sizes, later, strict=True)):
        yield _room(shape, number, draft, size, more)


def share(total: int, weights: Sequence[float]) -> list[int]:
    """Cut a total by weight; every weight gets one at least, as long as there is enough."""
    taking = [weight > 0 for weight in weights]
    least = 1 if total >= 4 * sum(taking) else 0
    left, full, reached, cuts = total - least * sum(taking), sum(weights), 0.0, [0]
    for weight in weights:
        reached += weight
        cuts.append(round(left * reached / full))
    return [b - a + least * takes for a, b, takes in zip(cuts, cuts[1:], taking, strict=False)]


_PREFIXES = {"channels.json": "C", "dms.json": "D", "file_conversations.json": "C0"}
_PINNABLE = ("channels.json", "groups.json")


def _room(shape: Shape, number: int, draft: _Draft, size: int, more: int) -> Room:
    id = slack_id(_PREFIXES.get(draft.file, "G"), number)
    old, later = (random.Random(f"{when}/{shape.seed}/{number}") for when in ("room", "later room"))
    base = Clock(size, _days(old, 0, shape.span, size), old, shape.features)
    after = Clock(more, _days(later, shape.span, max(1, shape.span // 10), more), later, shape.features)
    authors = [person for person in draft.members if not person.bot_id] or list(draft.members)
    if not draft.new:
        authors = [person for person in authors if person.username != NEWCOMER]
    pins = _pins(old, base, authors, number) if shape.features and draft.file in _PINNABLE else []
    if shape.features and draft.name == "random":
        authors.insert(len(authors) // 2, stranger())
    entry: Json = {"id": id, **draft.entry, "members": draft.listed}
    if draft.file in _PINNABLE:
        entry["pins"] = [_pin_entry(base, pin) for pin in pins if pin.how != "message"]
    return Room(
        id,
        number,
        draft.file,
        draft.type,
        draft.name,
        draft.members,
        entry,
        authors,
        segments=[
            Segment(base, f"base/{shape.seed}/{number}"),
            Segment(after, f"later/{shape.seed}/{number}"),
        ],
        pins=pins,
        home=_home(shape.layout, number),
        general=number == 0,
    )


def _home(layout: Layout, number: int) -> str:
    """A grid keeps rooms that several teams share at its root, the others with their team."""
    return ("teams/alpha/", "", "teams/beta/")[number % 3] if layout == "grid" else ""


def _days(rng: random.Random, first: int, count: int, messages: int) -> list[int]:
    """On which days there was talk: some four messages a day at least, and quiet week-ends."""
    days = range(first, first + count)
    weekdays = [day for day in days if day % 7 < 5] or list(days)
    return sorted(rng.sample(weekdays, min(len(weekdays), max(1, messages // 4))))


def _pins(rng: random.Random, clock: Clock, authors: list[Person], first: int) -> list[Pin]:
    """Up to six pins, in three forms. Each takes a place of its own, and one more for the note of it."""
    places = [place for place in range(4, clock.size - 4, max(24, clock.size // 6)) if _alone(clock, place)]
    hows: tuple[Literal["all", "message", "channel"], ...] = ("all", "message", "channel")
    return [
        Pin(place, place + 3, rng.choice(authors), hows[turn % 3]) for turn, place in enumerate(places, first)
    ]


def _alone(clock: Clock, place: int) -> bool:
    """No neighbour so near that the message would have to move: a pin can take the message's time."""
    return clock.micros(place) - clock.micros(place - 1) > 10_000


def _pin_entry(clock: Clock, pin: Pin) -> Json:
    id, noted = slack_ts(clock.micros(pin.place)), clock.micros(pin.note) // 1_000_000
    return {"id": id, "type": "C", "created": noted, "user": pin.by.id, "owner": pin.by.id}

"""CSV exports of any size that never were, with the truth about them beside. See README.md.

Usage: python -m testdata.csv_export OUT.zip --users 20 --channels 8 --messages 2000 --truth T.jsonl
"""

import argparse
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct

from testdata.clock import day_start
from testdata.container import Container, open_container
from testdata.people import room_name, username
from testdata.phrases import words
from testdata.sheet import quoted
from testdata.truth import Manifest, Message, Room, Skipped, User

_WORDS = words("the plan is fine; we, you and they see it at noon. Grüße \"quoted\" 5 € 😀 ümlaut 'x'")


class Shape(Struct, frozen=True):
    """What to generate: `messages` counts the rows of message files, broken ones too.

    tidy      as Rocket.Chat's own documentation describes it
    excel     header rows, columns in another order, semicolons, Windows line ends, UTF-16, in a folder
    shuffled  rows in no order, over several files per channel
    """

    users: int = 20
    channels: int = 8
    messages: int = 2000
    seed: int = 1
    style: Literal["tidy", "excel", "shuffled"] = "tidy"


class _Row(Struct, frozen=True):
    author: str
    to: str  # "" in channels
    time: int  # ms
    text: str


def write_export(target: Path, shape: Shape, *, truth: Path | None = None, extended: float = 0.0) -> None:
    """Write an export (a zip if the name says so, else a folder) and, if asked, its truth manifest.

    `extended` makes a newer one: the same, and so much more at the end, as a fraction.
    """
    with open_container(target) as container, Manifest(truth) as manifest:
        _Export(shape, container, manifest, 1 + extended).write()


class _Export:
    def __init__(self, shape: Shape, container: Container, manifest: Manifest, factor: float) -> None:
        self._shape = shape
        self._container = container
        self._manifest = manifest
        self._factor = factor
        self._people = [username(number) for number in range(shape.users)]
        self._strangers: set[str] = set()

    def write(self) -> None:
        shape = self._shape
        names = [room_name(number + 1, features=True) for number in range(shape.channels)]
        self._write_users()
        self._write("channels.csv", ("name", "creator", "type", "members"), self._channels(names))
        size = shape.messages // (shape.channels + 1)
        for number, name in enumerate(names):
            members = self._members(number)
            rows = list(self._rows(number, size, members if number else [*members, "visitor"]))
            self._write_room(name, rows)
            self._manifest.room(_room(name, "p" if number % 3 == 2 else "c", members))
        self._write_direct(shape.messages - size * shape.channels)
        for stranger in sorted(self._strangers):
            line = User(stranger, stranger, stranger, active=False, placeholder=True)
            self._manifest.user(line)

    def _write_users(self) -> None:
        rows = []
        for number, name in enumerate(self._people):
            email = None if number % 8 == 4 else f"{name}@example.org"
            full = name.replace(".", " ").title()
            rows.append((name, email or "", full))
            self._manifest.user(User(name, name, full, email))
        self._write("users.csv", ("username", "email", "name"), rows)

    def _channels(self, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
        for number, name in enumerate(names):
            members = self._members(number)
            yield name, members[0], "private" if number % 3 == 2 else "public", ";".join(members)

    def _members(self, number: int) -> list[str]:
        rng = random.Random(f"members/{self._shape.seed}/{number}")
        return rng.sample(self._people, min(len(self._people), 3 + number * 2))

    def _rows(self, number: int, size: int, authors: Sequence[str]) -> Iterator[_Row]:
        """Messages in order of time; now and then several share a second, or are equal altogether."""
        rng = random.Random(f"rows/{self._shape.seed}/{number}")
        time = day_start(0) // 1_000_000 * 1000
        last = _Row("", "", 0, "")
        for _ in range(int(size * self._factor)):
            if rng.random() < 0.03 and last.author:
                yield last
                continue
            time += 0 if rng.random() < 0.1 else 1000 * rng.randrange(2, 4000)
            text = " ".join(rng.choices(_WORDS, k=rng.randrange(1, 12)))
            last = _Row(rng.choice(authors), "", time, text.replace(" they", "\nthey"))
            if last.author not in self._people:
                self._strangers.add(last.author)
            yield last

    # --- writing --------------------------------------------------------------------------------------------

    def _write_room(self, name: str, rows: list[_Row]) -> None:
        for row, ts in _placed(rows):
            self._manifest.message(Message("", name, row.author, ts, row.text))
        self._manifest.totals.elements += len(rows)
        files = 3 if self._shape.style == "shuffled" else 1
        for number, part in enumerate(_dealt(rows, files, self._shape.seed)):
            cells = ((row.author, _time(row, self._shape), row.text) for row in part)
            self._write(f"{name}/{number}.csv", ("username", "timestamp", "text"), cells)

    def _write_direct(self, size: int) -> None:
        """Conversations of two, of three and with oneself; some rows name no recipient."""
        groups = [self._people[:2], self._people[1:3], self._people[:3], self._people[3:4]]
        rooms: dict[str, list[_Row]] = {}
        rng = random.Random(f"direct/{self._shape.seed}")
        rows: list[_Row] = []
        for place, row in enumerate(self._rows(-1, size, self._people[:1])):
            group = groups[rng.randrange(4)]
            author = rng.choice(group)
            others = [name for name in group if name != author] or [author]
            row = _Row(author, "" if place % 50 == 49 else ";".join(others), row.time, row.text)
            rows.append(row)
            if row.to:
                rooms.setdefault("/".join(sorted(group) if len(group) > 1 else group * 2), []).append(row)
            else:
                self._manifest.skipped(Skipped("directmessages/all.csv", "", "no recipient"))
        for id, own in rooms.items():
            for row, ts in _placed(own):
                self._manifest.message(Message("", id, row.author, ts, row.text))
            self._manifest.room(_room(id, "d", id.split("/")))
        self._manifest.totals.elements += len(rows)
        cells = ((row.author, row.to, _time(row, self._shape), row.text) for row in rows)
        self._write("directmessages/all.csv", ("from", "to", "time", "message"), cells)

    def _write(self, path: str, names: Sequence[str], rows: Iterable[tuple[str, ...]]) -> None:
        if self._shape.style == "excel":
            order = [*range(1, len(names)), 0]
            lines = [
                [names[place].title() for place in order],
                *([row[place] for place in order] for row in rows),
            ]
            text = "".join(";".join(map(quoted, line)) + "\r\n" for line in lines)
            path, data = f"My Export/{path}", b"\xff\xfe" + text.encode("utf-16-le")
        else:
            data = "".join(",".join(map(quoted, row)) + "\n" for row in rows).encode()
        with self._container.entry(path) as out:
            out.write(data)


def _room(name: str, type: Literal["c", "p", "d"], members: Sequence[str]) -> Room:
    shown = None if type == "d" else name
    return Room(name, type, shown, sorted(set(members)), "", "", False, 0)


def _time(row: _Row, shape: Shape) -> str:
    if shape.style == "excel":
        return datetime.fromtimestamp(row.time // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return str(row.time if shape.style == "tidy" else row.time // 1000)


def _placed(rows: Sequence[_Row]) -> Iterator[tuple[_Row, int]]:
    """Messages that share a millisecond follow each other by one each."""
    before, count = -1, 0
    for row in rows:
        count = count + 1 if row.time == before else 0
        before = row.time
        yield row, row.time + count


def _dealt(rows: Sequence[_Row], files: int, seed: int) -> Iterator[list[_Row]]:
    """Several files: messages of one second stay together and in order, all else is shuffled."""
    if files == 1:
        yield list(rows)
        return
    seconds: dict[int, list[_Row]] = {}
    for row in rows:
        seconds.setdefault(row.time, []).append(row)
    groups = list(seconds.values())
    random.Random(f"deal/{seed}").shuffle(groups)
    for number in range(files):
        yield [row for group in groups[number::files] for row in group]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", type=Path, help="a name that ends in .zip, or a folder")
    for name in ("users", "channels", "messages", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Shape(), name))
    parser.add_argument("--style", choices=("tidy", "excel", "shuffled"), default="tidy")
    parser.add_argument("--truth", type=Path, help="where to write the truth manifest")
    parser.add_argument(
        "--extended", type=float, default=0.0, help="a newer export: so much more, as a fraction"
    )
    options = parser.parse_args(arguments)
    shape = Shape(options.users, options.channels, options.messages, options.seed, options.style)
    write_export(options.target, shape, truth=options.truth, extended=options.extended)


if __name__ == "__main__":
    main()

"""Slack exports of any size that never were, with the truth about them beside. See README.md.

Usage: python -m testdata.slack_export OUT.zip --users 20 --channels 8 --messages 2000 --truth T.jsonl
"""

import argparse
import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import msgspec

from testdata.catalogue import wheel
from testdata.clock import day_name, day_start
from testdata.container import Container, open_container
from testdata.faults import FAULTS, Injection, inject
from testdata.messages import Deal, Later, Pools, Turn, plan_pins
from testdata.root_files import canvas, root_files
from testdata.truth import Manifest, Message, Skipped
from testdata.world import Room, Shape, World, build_world

__all__ = ["FAULTS", "Shape", "main", "write_export"]

_FLUSH = 1 << 18


def write_export(
    target: Path,
    shape: Shape,
    *,
    truth: Path | None = None,
    faults: Sequence[str] = (),
    extended: float = 0.0,
    revised: bool = True,
) -> None:
    """Write an export (a zip if the name says so, else a folder) and, if asked, its truth manifest.

    `extended`: a newer archive, with so much more; `revised`: in it some of the older messages have changed.
    """
    world = build_world(shape, extended)
    injection = inject(world, faults)
    with open_container(target) as container, Manifest(truth) as manifest:
        _Export(world, injection, container, manifest, revised and extended > 0).write()


class _Export:
    def __init__(
        self, world: World, injection: Injection, container: Container, manifest: Manifest, revised: bool
    ) -> None:
        self._world = world
        self._injection = injection
        self._container = container
        self._manifest = manifest
        self._revised = revised
        self._last = 0  # the time of the room's message before, in ms
        self._people = world.people + injection.people
        self._encode = msgspec.json.Encoder().encode_into
        pools = Pools(world)
        self._deals = [self._deal(pools, number) for number in (0, 1)]

    def _deal(self, pools: Pools, number: int) -> Deal:
        deal = Deal(self._world, pools)
        for kind in ("channel", "group", "direct"):
            places = sum(room.segments[number].clock.size for room in self._world.rooms if room.kind == kind)
            deal.wheels[kind] = wheel(deal, kind, places)
        return deal

    def write(self) -> None:
        if self._injection.txt:
            self._write_txt()
        else:
            self._write_root_files()
            self._write_users()
            self._write_added_files()
            for room in (*self._world.rooms, *self._injection.rooms):
                self._write_room(room)
            self._write_strangers()
        for fault in self._injection.faults:
            self._manifest.fault(fault)

    def _entry(self, path: str) -> AbstractContextManager[IO[bytes]]:
        return self._container.entry(self._injection.folder + path)

    def _write_txt(self) -> None:
        for path in ("channels/general.txt", "dms/somebody.txt", "files/list.txt"):
            with self._entry(path) as out:
                out.write(b"[2023-01-02 09:00] somebody: hello\n")

    def _write_root_files(self) -> None:
        rooms = [*self._world.rooms, *self._injection.rooms]
        replaced = self._injection.replaced
        for path, content in root_files(self._world, self._people, rooms):
            data = replaced.get(path.rpartition("/")[2], msgspec.json.encode(content))
            if data is not None:
                with self._entry(path) as out:
                    out.write(data)

    def _write_users(self) -> None:
        if "users.json" in self._injection.replaced:
            return
        for line in (*(person.line for person in self._world.people), *self._injection.user_lines):
            self._manifest.user(line)

    def _write_strangers(self) -> None:
        """Who wrote, but does not stand in users.json."""
        for person in (self._deals[0].seen | self._deals[1].seen).values():
            self._manifest.user(person.line)

    def _write_added_files(self) -> None:
        for path, body, lines in self._injection.files:
            with self._entry(path) as out:
                out.write(body)
            for line in lines:
                self._tell(line)

    def _tell(self, line: Message | Skipped) -> None:
        if isinstance(line, Skipped):
            self._manifest.skipped(line)
        else:
            self._manifest.message(line)
        if isinstance(line, Skipped) or line.placeholder is not True:
            self._manifest.totals.elements += 1

    def _write_room(self, room: Room) -> None:
        lost = self._injection.lost.get(room.file, "")
        self._last = 0
        seen = [dict(deal.seen) for deal in self._deals]
        for turn in self._turns(room):
            for index, day in enumerate(turn.clock.days):
                path = f"{room.path}{day_name(day)}.json"
                with self._entry(path) as out:
                    self._write_day(out, path, turn, turn.clock.places(index), lost)
        if self._world.shape.features and room.segments and room.number % 4 == 1:
            with self._entry(f"{room.path}canvas_in_the_conversation.json") as out:
                out.write(msgspec.json.encode([canvas(room.id, self._people[0], room.number)]))
        if lost:
            for deal, before in zip(self._deals, seen, strict=True):
                deal.seen = before
        else:
            self._manifest.room(room.line(self._members(room)))

    def _members(self, room: Room) -> list[str]:
        if not room.general:
            return [person.username for person in room.members]
        added = [line.username for line in self._injection.user_lines if not line.placeholder]
        return [person.username for person in self._world.people] + added

    def _turns(self, room: Room) -> list[Turn]:
        turns = [
            Turn(room, segment.clock, segment.seed, deal)
            for segment, deal in zip(room.segments, self._deals, strict=False)
        ]
        if turns:
            plan_pins(turns[0])
        if turns and self._revised:
            turns[0].later = self._later(turns[1])
        return turns

    def _later(self, turn: Turn) -> Later:
        shape = self._world.shape
        rng = random.Random(f"late/{shape.seed}/{turn.room.number}")
        return Later(day_start(shape.span), turn.clock, turn.planned, iter(range(1, turn.clock.size, 3)), rng)

    def _write_day(self, out: IO[bytes], path: str, turn: Turn, places: range, lost: str) -> None:
        """The inner loop: every message passes here, and none is kept."""
        encode, manifest = self._encode, self._manifest
        planned, wheel = turn.planned, turn.deal.wheels[turn.room.kind]
        buffer, opening = bytearray(), b"["
        for position, place in enumerate(places):
            turn.move(place)
            maker = planned.pop(place, None) or next(wheel)
            element, line = maker(turn)
            buffer += opening
            encode(element, buffer, -1)
            opening = b",\n"
            if lost or isinstance(line, str):
                manifest.skipped(Skipped(path, f"$[{position}]", lost or str(line)))
            else:
                line.ts = self._last = max(line.ts, self._last + 1)
                manifest.message(line)
            if len(buffer) > _FLUSH:
                out.write(buffer)
                buffer.clear()
        out.write(buffer + b"]")
        manifest.totals.elements += len(places)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    shape = Shape(
        options.users,
        options.channels,
        options.messages,
        options.seed,
        options.days,
        options.layout,
        not options.plain,
    )
    write_export(
        options.target,
        shape,
        truth=options.truth,
        faults=options.fault,
        extended=options.extended,
        revised=not options.unrevised,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.epilog = "faults:\n" + "\n".join(f"  {name:30} {what}" for name, what in FAULTS.items())
    parser.add_argument("target", type=Path, help="a name that ends in .zip, or a folder")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int)
    parser.add_argument("--layout", choices=("standard", "corporate", "grid"), default="corporate")
    parser.add_argument("--plain", action="store_true", help="only words and threads")
    parser.add_argument("--truth", type=Path, help="where to write the truth manifest")
    parser.add_argument(
        "--fault", action="append", default=[], choices=FAULTS, metavar="NAME", help="can be repeated"
    )
    parser.add_argument(
        "--extended", type=float, default=0.0, help="a newer archive: so much more, as a fraction"
    )
    parser.add_argument(
        "--unrevised", action="store_true", help="in a newer archive the older messages are as they were"
    )
    return parser


if __name__ == "__main__":
    main()

"""Writing slowly: how long a write makes the next one wait, and imports that keep to it."""

import time
from collections.abc import Sequence

import pytest

from chatferry.destinations import Destination, Rejection
from chatferry.destinations.memory import MemoryDestination
from chatferry.destinations.throttled import (
    LONGEST,
    SLICE,
    Pace,
    Throttled,
    TimedWrite,
    next_write,
    throttled,
)
from chatferry.documents import MESSAGES, ROOMS, Insert, Update, digest, encode
from chatferry.errors import CancelledError, SettingsError
from chatferry.settings import from_environment

RATE = Pace(messages_per_second=50)
BUSY = Pace(latency=0.05)


def write(documents: int, messages: int, took: float) -> TimedWrite:
    return TimedWrite(documents, messages, began=1000.0, ended=1000.0 + took)


@pytest.mark.parametrize(
    ("pace", "done", "rest"),
    [
        (Pace(), write(100, 100, 9.0), 0),  # nothing is limited
        (RATE, write(50, 50, 0.2), 0.8),  # 50 messages are a second
        (RATE, write(50, 50, 3.0), 0),  # they took longer than that
        (RATE, write(80, 5, 0.0), 0.1),  # only messages count
        (RATE, write(80, 0, 0.0), 0),
        (BUSY, write(100, 100, 0.05), 0),  # quick enough
        (BUSY, write(100, 0, 0.2), 0.8),  # four times too slow: four times the rest
        (BUSY, write(200, 200, 0.2), 0.4),  # twice the documents may take twice as long
        (BUSY, write(10, 10, 0.2), 0.8),  # but few may not be slow
        (BUSY, write(100, 100, 60.0), LONGEST),
        (BUSY, write(0, 0, 0.2), 0.8),
        (Pace(messages_per_second=10, latency=0.05), write(10, 10, 0.1), 0.9),  # the longer of both
        (Pace(messages_per_second=1000, latency=0.05), write(10, 10, 0.2), 0.8),
    ],
)
def test_when_the_next_write_may_begin(pace: Pace, done: TimedWrite, rest: float) -> None:
    assert next_write(pace, done) - done.ended == pytest.approx(rest)


def test_a_write_holds_at_most_the_messages_of_one_second() -> None:
    assert [Pace(messages_per_second=rate).at_once for rate in (1, 7, 99, 5000)] == [1, 7, 99, SLICE]
    assert BUSY.at_once == SLICE


def test_without_a_limit_the_destination_stays_as_it_is() -> None:
    destination = MemoryDestination()
    assert throttled(destination, Pace(), nothing) is destination


def test_a_pace_is_kept_by_one_process() -> None:
    class Shared(MemoryDestination):
        address = "mongodb://db.example.org/rocketchat"

    assert throttled(Shared(), Pace(messages_per_second=1), nothing).address == ""


def nothing() -> None:
    """Go on."""


class Recording(MemoryDestination):
    """Keeps the sizes of what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def apply(self, changes: Sequence[Insert | Update]) -> list[Rejection]:
        self.sizes.append(len(changes))
        return super().apply(changes)


def packed(destination: Destination, number: int) -> tuple[object, ...]:
    document = {"_id": f"m{number}", "rid": "r", "msg": "x"}
    return destination.pack(document, encode(document), digest(encode(document)))


def test_slices_come_in_order_and_rejections_keep_their_places() -> None:
    below = Recording()
    slow = Throttled(below, Pace(messages_per_second=1000), nothing)
    assert slow.insert([packed(slow, number) for number in range(250)]) == []
    assert below.sizes == [100, 100, 50]
    assert len(list(slow.dump(MESSAGES))) == 250
    rooms = [Insert(ROOMS, {"_id": f"r{n}", "t": "c", "name": f"n{n % 120}"}) for n in range(150)]
    assert [one.index for one in slow.apply(rooms)] == list(range(120, 150))


def test_waiting_ends_when_the_work_is_to_stop() -> None:
    asked = 0

    def stop_at_third() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise CancelledError

    slow = Throttled(MemoryDestination(), Pace(messages_per_second=0.001), stop_at_third)
    began = time.monotonic()
    with pytest.raises(CancelledError):
        slow.insert([packed(slow, number) for number in range(2)])
    assert time.monotonic() - began < 60  # and not a quarter of an hour
    assert len(list(slow.dump(MESSAGES))) == 1


def test_the_settings() -> None:
    assert not from_environment({}).pace.is_limited
    off = {"CHATFERRY_MESSAGES_PER_SECOND": "0", "CHATFERRY_MAX_LATENCY_MS": ""}
    assert not from_environment(off).pace.is_limited
    on = {"CHATFERRY_MESSAGES_PER_SECOND": "250", "CHATFERRY_MAX_LATENCY_MS": "40"}
    assert from_environment(on).pace == Pace(messages_per_second=250, latency=0.04)
    for wrong in ("-1", "fast", "1.5"):
        with pytest.raises(SettingsError, match="CHATFERRY_MAX_LATENCY_MS"):
            from_environment({"CHATFERRY_MAX_LATENCY_MS": wrong})


def test_a_cluster_keeps_no_pace() -> None:
    paced = {"CHATFERRY_MESSAGES_PER_SECOND": "250"}
    with pytest.raises(SettingsError, match="only one process keeps a pace"):
        from_environment(paced, destination="mongodb://db/rocketchat", cluster="tcp://scheduler:8786")

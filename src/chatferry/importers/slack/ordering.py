"""The messages of a day file in order of time, and why some have no place there."""

from collections.abc import Mapping, Sequence

from chatferry.importers.slack.messages import REPEATS, is_kept, skip_reason
from chatferry.importers.slack.schema import Envelope, SlackMessage, micros
from chatferry.problems import Position
from chatferry.records import Problem

NO_TIME = -1
_NO_STAMP = "0000000000.000000"

Messages = list[SlackMessage | None]


def times_of(elements: Sequence[SlackMessage | Envelope | None]) -> list[int]:
    """The time (microseconds) of each element; NO_TIME for one that has no place."""
    stamps = [
        message.ts
        if message is not None
        and message.ts is not None
        and len(message.ts) == 17
        and message.type == "message"
        and message.subtype not in REPEATS
        else _NO_STAMP
        for message in elements
    ]
    times = _numbers(stamps)
    if times is None:
        stamps, times = [_NO_STAMP] * len(elements), [NO_TIME] * len(elements)
    for index, stamp in enumerate(stamps):
        if stamp is _NO_STAMP:
            message = elements[index]
            time = micros(message.ts) if message is not None and is_kept(message) else None
            times[index] = NO_TIME if time is None else time
    return times


def in_order(
    elements: Messages, file: str, seen: set[int], first: int = 0, twins: Mapping[int, int | None] = {}
) -> tuple[list[int], list[int], list[Problem]]:
    """The times (microseconds, ascending) of a file's messages, their indexes, and why others are left out.

    `seen` are the times of messages before, which another message of the same time would repeat; the file's
    own are added to it. `first` is the index of the first element; `twins` are the indexes of messages whose
    time another one of the file has, with that one's, or None if it stands in another file.
    """
    times = _times_as_they_stand(elements)
    if times is not None and not twins and seen.isdisjoint(times):
        seen.update(times)
        return times, list(range(first, first + len(times))), []
    places: dict[int, int] = {}
    left_out: list[Problem] = []
    for index, message in enumerate(elements, first):
        if message is None:
            continue
        time = micros(message.ts)
        if time is None or time in places or time in seen or index in twins or not is_kept(message):
            twin = twins[index] if index in twins else places.get(time or 0)
            left_out.append(_left_out(message, Position(file, index), twin))
        else:
            places[time] = index
    seen.update(places)
    times = sorted(places)
    return times, [places[time] for time in times], left_out


def _times_as_they_stand(elements: Sequence[SlackMessage | Envelope | None]) -> list[int] | None:
    """The times of a file in which every message has a place and each is later than the one before.

    Nearly all files are so: this looks at the whole file at once, which takes a fifth of the time.
    """
    kept = [
        message.ts
        for message in elements
        if message is not None and message.type == "message" and message.subtype not in REPEATS
    ]
    stamps = [ts for ts in kept if ts is not None and len(ts) == 17]
    times = _numbers(stamps) if len(stamps) == len(elements) else None
    return times if times is not None and times == sorted(set(times)) else None


def _numbers(stamps: list[str]) -> list[int] | None:
    """The microseconds in Slack's times of 17 characters each; None if one of them is no time."""
    count = len(stamps)
    together = "".join(stamps)
    if together[10::17] != "." * count:
        return None
    digits = together.replace(".", "")
    if len(digits) != 16 * count or not (digits.isascii() and digits.isdigit()):
        return None
    return [int(digits[start : start + 16]) for start in range(0, 16 * count, 16)]


def _left_out(message: SlackMessage, spot: Position, twin: int | None) -> Problem:
    if not is_kept(message):
        return spot.problem("message-not-chat", skip_reason(message), "subtype")
    if micros(message.ts) is None:
        reason = f"{message.ts!r} is not a time" if message.ts else "the message has no time"
        return spot.problem("message-without-time", reason, "ts")
    where = "a message of another day file" if twin is None else f"message {twin} of the same file"
    reason = f"{where} has the same time, which is a message's identity"
    return spot.problem("message-twice", reason, "ts")

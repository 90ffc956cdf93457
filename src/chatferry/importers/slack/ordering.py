"""The messages of a day file in order of time, and why some are left out."""

from collections.abc import Mapping, Sequence

from chatferry.importers.slack.messages import REPEATS, is_kept, skip_reason
from chatferry.importers.slack.schema import Envelope, SlackMessage, micros
from chatferry.problems import Position
from chatferry.records import Problem

NO_TIME = -1
_NO_STAMP = "0000000000.000000"

Messages = list[SlackMessage | None]


def times_of(elements: Sequence[SlackMessage | Envelope | None]) -> list[int]:
    """Return the time (microseconds) of each element; NO_TIME for elements that are left out."""
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
    elements: Messages, file: str, seen: set[int], first: int = 0, duplicates: Mapping[int, int | None] = {}
) -> tuple[list[int], list[int], list[Problem]]:
    """Return the times (microseconds, ascending) of a file's messages, their indexes, and what is left out.

    seen         times of earlier messages, which a message of the same time repeats; the file's are added
    first        the index of the first element
    duplicates   indexes of messages that have the time of an earlier message, with the index of that one;
                 None if it is in another file
    """
    times = _times_as_they_stand(elements)
    if times is not None and not duplicates and seen.isdisjoint(times):
        seen.update(times)
        return times, list(range(first, first + len(times))), []
    places: dict[int, int] = {}
    left_out: list[Problem] = []
    for index, message in enumerate(elements, first):
        if message is None:
            continue
        time = micros(message.ts)
        if time is None or time in places or time in seen or index in duplicates or not is_kept(message):
            duplicate_of = duplicates[index] if index in duplicates else places.get(time or 0)
            left_out.append(_left_out(message, Position(file, index), duplicate_of))
        else:
            places[time] = index
    seen.update(places)
    times = sorted(places)
    return times, [places[time] for time in times], left_out


def _times_as_they_stand(elements: Sequence[SlackMessage | Envelope | None]) -> list[int] | None:
    """Return the times of a file in which no message is left out and each is later than the one before.

    Nearly all files are like this: checking the whole file at once takes a fifth of the time.
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
    """Return Slack's times of 17 characters as microseconds; None if one of them is invalid."""
    count = len(stamps)
    together = "".join(stamps)
    if together[10::17] != "." * count:
        return None
    digits = together.replace(".", "")
    if len(digits) != 16 * count or not (digits.isascii() and digits.isdigit()):
        return None
    return [int(digits[start : start + 16]) for start in range(0, 16 * count, 16)]


def _left_out(message: SlackMessage, position: Position, duplicate_of: int | None) -> Problem:
    if not is_kept(message):
        return position.problem("message-not-chat", skip_reason(message), "subtype")
    if micros(message.ts) is None:
        reason = f"{message.ts!r} is not a time" if message.ts else "the message has no time"
        return position.problem("message-without-time", reason, "ts")
    where = (
        "a message of another day file"
        if duplicate_of is None
        else f"message {duplicate_of} of the same file"
    )
    reason = f"{where} has the same time, which is a message's identity"
    return position.problem("message-twice", reason, "ts")

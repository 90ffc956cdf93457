"""The messages of a day file in order of time, and why some have no place there."""

from chatferry.importers.slack_messages import REPEATS, is_kept, skip_reason
from chatferry.importers.slack_wire import SlackMessage, micros
from chatferry.problems import Spot
from chatferry.records import Problem

Messages = list[SlackMessage | None]


def in_order(elements: Messages, file: str, seen: set[int]) -> tuple[list[int], list[int], list[Problem]]:
    """The times (microseconds, ascending) of a file's messages, their indexes, and why others are left out.

    `seen` are the times of messages before, which another message of the same time would repeat; the file's
    own are added to it.
    """
    times = _times_as_they_stand(elements)
    if times is not None and seen.isdisjoint(times):
        seen.update(times)
        return times, list(range(len(times))), []
    places: dict[int, int] = {}
    left_out: list[Problem] = []
    for index, message in enumerate(elements):
        if message is None:
            continue
        time = micros(message.ts)
        if time is None or time in places or time in seen or not is_kept(message):
            left_out.append(_left_out(message, Spot(file, index), places.get(time or 0)))
        else:
            places[time] = index
    seen.update(places)
    times = sorted(places)
    return times, [places[time] for time in times], left_out


def _times_as_they_stand(elements: Messages) -> list[int] | None:
    """The times of a file in which every message has a place and each is later than the one before.

    Nearly all files are so: this looks at the whole file at once, which takes a fifth of the time.
    """
    kept = [
        message.ts
        for message in elements
        if message is not None and message.type == "message" and message.subtype not in REPEATS
    ]
    stamps = [ts for ts in kept if ts is not None and len(ts) == 17]
    count = len(elements)
    together = "".join(stamps)
    if len(stamps) != count or together[10::17] != "." * count:
        return None
    digits = together.replace(".", "")
    if len(digits) != 16 * count or not (digits.isascii() and digits.isdigit()):
        return None
    times = [int(digits[start : start + 16]) for start in range(0, 16 * count, 16)]
    return times if times == sorted(set(times)) else None


def _left_out(message: SlackMessage, spot: Spot, twin: int | None) -> Problem:
    if not is_kept(message):
        return spot.problem("message-not-chat", skip_reason(message), "subtype")
    if micros(message.ts) is None:
        reason = f"{message.ts!r} is not a time" if message.ts else "the message has no time"
        return spot.problem("message-without-time", reason, "ts")
    where = "a message of another day file" if twin is None else f"message {twin} of the same file"
    reason = f"{where} has the same time, which is a message's identity"
    return spot.problem("message-twice", reason, "ts")

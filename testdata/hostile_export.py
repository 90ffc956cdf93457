"""Slack exports whose messages anybody in the source workspace could have written to do harm. See README.md.

Every message has some hundred kB of one awkward thing. There is no truth about them beyond this: each is
imported, or said to be lost.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testdata.container import open_container

Json = dict[str, Any]
SIZE = 100_000
_AUTHOR = "U0ALICE01"
_BEGIN = 1_600_000_000


def _repeated(piece: str, before: str = "", after: str = "") -> Callable[[int], str]:
    return lambda size: before + piece * (size // len(piece)) + after


TEXTS: dict[str, Callable[[int], str]] = {
    "a scheme without an end": _repeated("a", before="://"),
    "a scheme at the end": _repeated("a", after="://"),
    "closing brackets": _repeated(")", before="https://example.org/"),
    "brackets and dots": _repeated(").", before="https://example.org/"),
    "open brackets": _repeated("(a://b"),
    "half an address": _repeated("a://"),
    "angles": _repeated("<"),
    "angles and bars": _repeated("<|"),
    "open tokens": _repeated("<@U1"),
    "people": _repeated("<@U1>"),
    "strangers": lambda size: "".join(f"<@U{number:06}>" for number in range(size // 10)),
    "half an entity": _repeated("&"),
    "entities": _repeated("&amp;lt;"),
    "back quotes": _repeated("`"),
    "back quotes and lines": _repeated("`\n"),
    "open code": _repeated("a", before="```"),
    "pairs of back quotes": _repeated("``a"),
    "colons": _repeated(":memo"),
    "half a secret": _repeated("?t=xox"),
    "the beginning of a token": _repeated("xox"),
    "stars": _repeated("* _ ~"),
    "spaces": _repeated(" "),
    "lines": _repeated("\n"),
    "zero bytes": _repeated("\0"),
    "accents": _repeated("e\u0301"),
    "faces": _repeated("\U0001f600"),
}
"""Texts of about as many characters as asked for."""


def _rich_text(*elements: Json) -> list[Json]:
    return [{"type": "rich_text", "elements": list(elements)}]


def _nested_lists(size: int) -> list[Json]:
    element: Json = {"type": "rich_text_section", "elements": [{"type": "text", "text": "deep"}]}
    for _ in range(min(size // 40, 150)):
        element = {"type": "rich_text_list", "elements": [element]}
    return _rich_text(element)


FIELDS: dict[str, Callable[[int], Json]] = {
    "pieces of rich text": lambda size: {
        "text": "",
        "blocks": _rich_text(
            {"type": "rich_text_section", "elements": [{"type": "text", "text": "a"}] * (size // 26)}
        ),
    },
    "lists within lists": lambda size: {"text": "", "blocks": _nested_lists(size)},
    "fields of a wrong type": lambda size: {"text": "a", "reply_users": [1] * (size // 2)},
    "files of a wrong type": lambda size: {"text": "a", "files": [{"id": 1, "size": "b"}] * (size // 22)},
    "reactions of nobody": lambda size: {
        "text": "a",
        "reactions": [{"name": "b", "count": 1}] * (size // 24),
    },
    "reactions of strangers": lambda size: {
        "text": "a",
        "reactions": [{"name": "b", "users": [f"U{number:06}" for number in range(size // 11)]}],
    },
    "attachments with unsafe links": lambda size: {
        "text": "a",
        "attachments": [{"title_link": "javascript:"}] * (size // 30),
    },
    "files without an address": lambda size: {"text": "a", "files": [{}] * (size // 3)},
    "lists of nothing": lambda size: {"text": "a", "attachments": [{"a": [[]] * (size // 3)}]},
}
"""Fields of messages whose JSON has about as many characters as asked for."""


def messages(size: int = SIZE) -> list[Json]:
    """A message for each awkward thing, one second after the other."""
    kinds = [{"text": text(size)} for text in TEXTS.values()] + [make(size) for make in FIELDS.values()]
    return [
        {"type": "message", "user": _AUTHOR, "ts": f"{_BEGIN + number}.000100", **fields}
        for number, fields in enumerate(kinds)
    ]


def write_export(target: Path, size: int = SIZE, days: int = 1) -> int:
    """Write an export with all messages on each day; how many they are."""
    some = messages(size)
    with open_container(target) as container:

        def put(path: str, value: object) -> None:
            with container.entry(path) as out:
                out.write(json.dumps(value).encode())

        profile = {"real_name": "Alice", "email": "alice@example.org"}
        put("users.json", [{"id": _AUTHOR, "name": "alice", "profile": profile}])
        put("channels.json", [{"id": "C0GENERAL", "name": "general", "members": [_AUTHOR]}])
        for day in range(days):
            shift = day * 86_400
            said = [{**one, "ts": f"{int(one['ts'][:10]) + shift}.000100"} for one in some]
            put(f"general/{datetime.fromtimestamp(_BEGIN + shift, UTC):%Y-%m-%d}.json", said)
    return len(some) * days


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write a Slack export whose messages are meant to do harm.")
    parser.add_argument("target", type=Path, help="a .zip, or a folder")
    parser.add_argument("--size", type=int, default=SIZE, help="characters of each message")
    parser.add_argument("--days", type=int, default=1, help="how often all messages come")
    given = parser.parse_args(arguments)
    print(write_export(given.target, given.size, given.days), "messages")


if __name__ == "__main__":
    main()

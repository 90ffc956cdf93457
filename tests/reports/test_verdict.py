"""The last lines of an import."""

from typing import Any

import pytest
from msgspec.structs import replace

from chatferry.operations import Status
from chatferry.pipeline.commands import new_operation
from chatferry.reports.verdict import EXPORT, Ending, Remaining, verdict

OPERATION = replace(new_operation("slack", "u"), id="abc", status=Status.DONE, seconds=7.2)
HERE = "the embedded workspace in data"
SERVER = "Rocket.Chat's database rocketchat at db:27017"


def counts(**numbers: dict[str, int]) -> dict[str, Any]:
    names = ("inserted", "updated", "unchanged", "skipped", "failed")
    kinds = ("users", "contacts", "rooms", "messages", "files")
    return {kind: dict.fromkeys(names, 0) | numbers.get(kind, {}) for kind in kinds}


MANY = counts(messages={"inserted": 199_000, "unchanged": 304, "failed": 5}, users={"failed": 1})


@pytest.mark.parametrize(
    ("ending", "lines"),
    [
        (
            Ending(operation=OPERATION, counts=MANY, destination=SERVER, rooms=(181, "general")),
            [
                f"Done in 7 s, into {SERVER}: 199,304 messages are in #general and 180 other rooms; "
                "1 user and 5 messages could not be imported, see above."
            ],
        ),
        (
            Ending(
                operation=OPERATION,
                counts=counts(messages={"inserted": 1}),
                destination=HERE,
                rooms=(1, "general"),
                remaining=Remaining(files=24, file_bytes=3_100_000, avatars=9, hosts=("files.slack.com",)),
            ),
            [
                f"Done in 7 s, into {HERE}: 1 message is in #general.",
                "Next: 24 files (3.1 MB) and 9 avatars wait at files.slack.com; their links expire: "
                "`chatferry files`",
            ],
        ),
        (
            Ending(
                operation=OPERATION,
                counts=counts(users={"inserted": 3}, rooms={"updated": 1}),
                destination=HERE,
                remaining=Remaining(files=1, hosts=(EXPORT,), accounts=3),
            ),
            [
                f"Done in 7 s, into {HERE}: 3 users and 1 room are there.",
                "Next: 1 file waits: `chatferry files`",
                "3 new accounts have no password: `chatferry password --user NAME` sets one.",
            ],
        ),
        (
            Ending(
                operation=OPERATION,
                counts=counts(users={"inserted": 1}),
                destination=SERVER,
                remaining=Remaining(accounts=1),
            ),
            [
                f"Done in 7 s, into {SERVER}: 1 user is there.",
                "1 new account has no password: people choose one with Rocket.Chat's "
                '"Forgot your password?", or you set it there.',
            ],
        ),
        (
            Ending(operation=OPERATION, counts=counts(), destination=HERE, is_dry=True),
            ["Dry run of 7 s: nothing would be imported. Nothing was written."],
        ),
        (
            Ending(
                operation=replace(OPERATION, status=Status.FAILED, error="The disk is full."),
                counts=counts(messages={"inserted": 12}),
                destination=HERE,
                rooms=(2, ""),
            ),
            [
                f"Failed after 7 s, into {HERE}: 12 messages are in 2 rooms.",
                "The disk is full.",
                "What was imported stays. When this is mended: `chatferry retry abc`",
            ],
        ),
        (
            Ending(operation=replace(OPERATION, status=Status.CANCELLED), counts=counts(), destination=HERE),
            [
                f"Cancelled after 7 s, into {HERE}: nothing was imported.",
                "What was imported stays. Importing the same export again adds what is missing.",
            ],
        ),
        (
            Ending(operation=replace(OPERATION, status=Status.SELECTION), counts=counts(), destination=HERE),
            [],
        ),
    ],
)
def test_the_verdict_says_what_arrived_and_what_is_next(ending: Ending, lines: list[str]) -> None:
    assert list(verdict(ending)) == lines

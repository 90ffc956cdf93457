"""Where an operation stands, in words."""

import pytest
from msgspec.structs import replace

from chatferry.operations import Counts, Operation, Status
from chatferry.pipeline.commands import new_operation
from chatferry.reports.states import STEPS, Circumstances, state_in_words

OPERATION = new_operation("slack", "u")
HALF = replace(OPERATION, status=Status.IMPORTING_MESSAGES, count=Counts(total=1200, completed=1000, error=1))
WORKED_ON = Circumstances(is_worked_on=True)


def test_every_status_has_words() -> None:
    assert set(STEPS) == set(Status)
    assert not {words for words in STEPS.values() if "importer_" in words}


@pytest.mark.parametrize(
    ("operation", "around", "words"),
    [
        (replace(OPERATION, status=Status.DONE), Circumstances(), "done"),
        (
            replace(OPERATION, status=Status.DONE, valid=False, count=Counts(error=5)),
            WORKED_ON,
            "done, 5 failed",
        ),
        (replace(OPERATION, status=Status.FAILED), WORKED_ON, "failed"),
        (replace(OPERATION, status=Status.CANCELLED, valid=False), WORKED_ON, "cancelled"),
        (HALF, WORKED_ON, "running here: importing messages, 1,001 of 1,200"),
        (HALF, Circumstances(), "stopped while importing messages, 1,001 of 1,200"),
        (
            HALF,
            Circumstances(is_worked_on=True, is_paused=True),
            "paused while importing messages, 1,001 of 1,200",
        ),
        (replace(HALF, waiting_for="db is away"), WORKED_ON, "waiting: db is away"),
        (replace(HALF, valid=False), Circumstances(successor="xyz"), "replaced by xyz"),
        (replace(HALF, valid=False), WORKED_ON, "cancelled"),
        (
            replace(OPERATION, status=Status.PREPARING_MESSAGES),
            WORKED_ON,
            "running here: reading messages",
        ),
        (
            replace(OPERATION, status=Status.SELECTION),
            Circumstances(),
            "waiting for a choice of users and rooms",
        ),
    ],
)
def test_a_state_is_said_in_words(operation: Operation, around: Circumstances, words: str) -> None:
    assert state_in_words(operation, around) == words

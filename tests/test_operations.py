"""Which status may follow which, and what `import.status` calls them."""

import pytest
from msgspec.structs import replace

from chatferry.operations import ENDS, Operation, Status, advance, may_follow, state
from tests.support.states import STATES

OPERATION = Operation(
    id="x",
    type="Slack",
    importer_key="slack",
    ts=1,
    status=Status.NEW,
    valid=True,
    user="u",
    updated_at=1,
)


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_its_state(status: Status) -> None:
    assert state(replace(OPERATION, status=status)) == STATES[status]
    invalid = state(replace(OPERATION, status=status, valid=False))
    assert invalid == ("done" if status == Status.DONE else "error")
    assert state(None) == "none"


@pytest.mark.parametrize("end", sorted(ENDS))
def test_nothing_follows_an_end(end: Status) -> None:
    assert not any(may_follow(end, status) for status in Status)


@pytest.mark.parametrize("status", [status for status in Status if status not in ENDS])
def test_every_status_but_an_end_may_fail_or_be_cancelled(status: Status) -> None:
    assert may_follow(status, Status.FAILED)
    assert may_follow(status, Status.CANCELLED)


def test_work_goes_forward_and_may_be_repeated() -> None:
    assert may_follow(Status.PREPARING_MESSAGES, Status.PREPARING)
    assert may_follow(Status.IMPORTING_MESSAGES, Status.IMPORTING)
    assert may_follow(Status.FINISHING, Status.DONE)
    assert may_follow(Status.IMPORTING_FILES, Status.DONE)
    assert not may_follow(Status.IMPORTING_MESSAGES, Status.DONE)
    assert not may_follow(Status.SELECTION, Status.PREPARING)
    assert not may_follow(Status.FILE_LOADED, Status.IMPORTING)
    assert not may_follow(Status.IMPORTING_MESSAGES, Status.IMPORTING_USERS)


def test_advancing_against_the_table_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="importer_new to importer_done"):
        advance(OPERATION, Status.DONE, 5)
    assert advance(OPERATION, Status.FILE_LOADED, 5).updated_at == 5

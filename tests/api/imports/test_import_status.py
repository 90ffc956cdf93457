"""import.status: without an operation, and at every status that one can have."""

import httpx
import pytest

from chatferry.operations import Status
from tests.support.refusals import NO_OPERATION
from tests.support.serving import current
from tests.support.states import STATES, Stand

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_before_the_first_operation(http: httpx.Client) -> None:
    assert http.get("import.status").json() == NO_OPERATION


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_its_state(librarian: httpx.Client, stand: Stand, status: Status) -> None:
    """An operation that was cleared is an error, unless it was done."""
    taken_back = "done" if status == Status.DONE else "error"
    for valid, state in ((True, STATES[status]), (False, taken_back)):
        stand(status, valid=valid)
        operation = current(librarian)
        assert (operation["status"], operation["valid"]) == (status, valid)
        answer = librarian.get("import.status").json()
        assert answer == {"state": state, "operation": operation, "success": True}
        assert list(answer) == ["state", "operation", "success"]

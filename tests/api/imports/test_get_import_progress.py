"""getImportProgress: without an operation, and at every status that one can have."""

import httpx
import pytest

from chatferry.operations import Status
from tests.support.refusals import action_error, call, refusal
from tests.support.states import Stand

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_before_the_first_operation(http: httpx.Client) -> None:
    expected = action_error("Import Operation Not Found", "error-operation-not-found", "getImportProgress")
    assert refusal(call(http, "GET getImportProgress")) == expected


@pytest.mark.parametrize("status", list(Status))
def test_every_status_is_a_step(librarian: httpx.Client, stand: Stand, status: Status) -> None:
    for valid in (True, False):
        stand(status, valid=valid)
        answer = librarian.get("getImportProgress").json()
        count = {"completed": 0, "total": 0, "error": 0}
        assert answer == {"key": "slack", "name": "Slack", "step": status, "count": count, "success": True}
        assert list(answer)[-1] == "success"

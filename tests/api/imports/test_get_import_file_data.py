"""getImportFileData: without an operation, and at every status that one can have."""

import httpx
import pytest

from chatferry.operations import Status, is_importing, is_preparing
from tests.support.refusals import action_error, call, failure, refusal
from tests.support.serving import current
from tests.support.states import Stand

pytestmark = pytest.mark.usefixtures("nothing_is_left")

WAITING = {"waiting": True, "success": True}


def test_before_the_first_operation(http: httpx.Client) -> None:
    expected = action_error("Import Operation Not Found", "error-operation-not-found", "getImportFileData")
    assert refusal(call(http, "GET getImportFileData")) == expected


@pytest.mark.parametrize("status", [status for status in Status if is_preparing(status)])
def test_while_the_archive_is_read(librarian: httpx.Client, stand: Stand, status: Status) -> None:
    stand(status)
    assert librarian.get("getImportFileData").json() == WAITING
    stand(status, valid=False)
    reason, code = "Invalid Import Operation", "error-import-operation-invalid"
    assert refusal(librarian.get("getImportFileData")) == action_error(reason, code, "getImportFileData")
    assert current(librarian)["status"] == status


@pytest.mark.parametrize("status", [status for status in Status if is_importing(status)])
def test_during_an_import(librarian: httpx.Client, stand: Stand, status: Status) -> None:
    for valid in (True, False):
        stand(status, valid=valid)
        assert librarian.get("getImportFileData").json() == WAITING
        assert current(librarian)["status"] == status


@pytest.mark.parametrize("status", [Status.SELECTION, Status.DONE, Status.CANCELLED])
def test_no_records_are_shown_at_other_statuses(
    librarian: httpx.Client, stand: Stand, status: Status
) -> None:
    for valid in (True, False):
        stand(status, valid=valid)
        before = current(librarian)
        assert librarian.get("getImportFileData").json() == {
            "name": "Slack",
            "users": [],
            "channels": [],
            "contacts": [],
            "message_count": 0,
            "success": True,
        }
        assert current(librarian) == before


def test_after_a_failure(librarian: httpx.Client, stand: Stand) -> None:
    for valid in (True, False):
        stand(Status.FAILED, valid=valid)
        assert refusal(librarian.get("getImportFileData")) == failure("The import failed.")
        assert current(librarian)["status"] == Status.FAILED

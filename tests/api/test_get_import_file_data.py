"""getImportFileData: without an operation, and with one that was taken back."""

from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from chatferry.api.imports import get_import_file_data
from chatferry.api.services import Call, Services
from chatferry.errors import RequestError
from chatferry.settings import Settings
from chatferry.store import Store
from chatferry.worker import Worker
from tests.api.refusals import (
    action_error,
    call,
    refusal,
)
from tests.importing import new_operation, workspace

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_before_the_first_operation(http: httpx.Client) -> None:
    expected = action_error("Import Operation Not Found", "error-operation-not-found", "getImportFileData")
    assert refusal(call(http, "GET getImportFileData")) == expected


def test_waiting_for_an_operation_that_was_taken_back(tmp_path: Path) -> None:
    """Over HTTP this shows only for the moment until the worker takes notice: so here without HTTP."""
    settings = Settings(data=tmp_path)
    taken_back = replace(new_operation(tmp_path / "x.zip", workspace()), valid=False)
    with Store() as store, pytest.raises(RequestError) as caught:
        store.operations.add(taken_back)
        services = Services(settings, store, Worker(store, settings))
        get_import_file_data(Call(services=services, user={}, token="", body={}, site=""))
    error = caught.value
    wire = {"success": False, "error": str(error), "errorType": error.type, "details": error.details}
    reason, code = "Invalid Import Operation", "error-import-operation-invalid"
    assert (error.status, wire) == action_error(reason, code, "getImportFileData")

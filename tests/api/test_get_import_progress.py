"""getImportProgress: without an operation."""

import httpx
import pytest

from tests.api.refusals import (
    action_error,
    call,
    refusal,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_before_the_first_operation(http: httpx.Client) -> None:
    expected = action_error("Import Operation Not Found", "error-operation-not-found", "getImportProgress")
    assert refusal(call(http, "GET getImportProgress")) == expected

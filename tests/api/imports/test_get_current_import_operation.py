"""getCurrentImportOperation: without an operation."""

import httpx
import pytest

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_before_the_first_operation(http: httpx.Client) -> None:
    assert http.get("getCurrentImportOperation").content == b'{"success":true}'

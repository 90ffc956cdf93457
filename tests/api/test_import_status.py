"""import.status: without an operation."""

import httpx
import pytest

from tests.api.refusals import (
    NO_OPERATION,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_before_the_first_operation(http: httpx.Client) -> None:
    assert http.get("import.status").json() == NO_OPERATION

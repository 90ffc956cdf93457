"""import.clear: without an operation, and whatever its body is."""

import httpx
import pytest

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_before_the_first_operation(http: httpx.Client) -> None:
    assert http.post("import.clear").json() == {"success": True}
    assert http.post("import.clear", content=b"{ignored").json() == {"success": True}

"""info: what server this is, for everybody."""

import pytest

from tests.support.refusals import refusal
from tests.support.serving import Server, client

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize("query", ["", "?a=1"])
def test_info(server: Server, query: str) -> None:
    with client(server) as nobody:
        answer = nobody.get(f"{server.address}/api/info{query}")
    status, info = refusal(answer)
    assert (status, info["version"], info["success"]) == (200, "8.8", True)
    assert info["minimumClientVersions"].keys() == {"desktop", "mobile"}

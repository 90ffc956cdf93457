"""logout: a session ends."""

import pytest

from tests.support.refusals import GUARDED, call, refusal
from tests.support.serving import UNAUTHORIZED, Server, login

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_logout(server: Server, method: str) -> None:
    with login(server, "plain", "plain") as plain, login(server, "plain", "plain") as other:
        answer = plain.request(method, "logout")
        wire = {"status": "success", "data": {"message": "You've been logged out!"}}
        assert refusal(answer) == (200, wire)
        for endpoint in GUARDED:
            assert refusal(call(plain, endpoint)) == (401, UNAUTHORIZED)
        assert other.get("me").status_code == 200

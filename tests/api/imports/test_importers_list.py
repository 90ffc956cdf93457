"""importers.list: what can be chosen."""

import httpx
import pytest

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_the_importers(http: httpx.Client) -> None:
    """The importer of users over the API cannot be chosen, only named."""
    assert http.get("importers.list").content == (
        b'[{"key":"csv","name":"CSV"},{"key":"slack","name":"Slack"},'
        b'{"key":"slack-users","name":"Slack_Users"},'
        b'{"key":"omnichannel_contact","name":"omnichannel_contacts_importer"}]'
    )

"""What an administrator can set about downloads."""

import pytest

from chatferry.downloads import DEFAULT_RULES
from chatferry.errors import SettingsError
from chatferry.settings import from_environment
from chatferry.sizes import MIB


def test_hosts_and_limit_are_read_from_the_environment() -> None:
    environment = {
        "CHATFERRY_DOWNLOAD_HOSTS": "Files.example, 10.0.0.7:9000",
        "CHATFERRY_MAX_DOWNLOAD_MIB": "5",
    }
    rules = from_environment(environment).downloads
    assert rules.hosts == {"files.example", "10.0.0.7:9000"}
    assert rules.limit == 5 * MIB
    assert from_environment({}).downloads == DEFAULT_RULES


@pytest.mark.parametrize(
    ("name", "value"), [("CHATFERRY_DOWNLOAD_HOSTS", "http://x"), ("CHATFERRY_MAX_DOWNLOAD_MIB", "big")]
)
def test_a_setting_that_cannot_work_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        from_environment({name: value})

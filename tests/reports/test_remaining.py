"""What remains to be done after an import."""

from typing import Any

import pytest

from chatferry.pipeline.commands import new_operation
from chatferry.records import PendingFile
from chatferry.redaction import host_of
from chatferry.reports.remaining import remaining
from chatferry.reports.verdict import EXPORT
from chatferry.store import Store
from tests.support.importing import workspace

NAMES = ("upload_id", "import_id", "message_id", "room_id", "user_id", "name", "mime")


def pending(id: str, url: str, path: str = "", size: int | None = 1000) -> PendingFile:
    plain: dict[str, Any] = dict.fromkeys(NAMES, "x") | {"upload_id": id}
    return PendingFile(**plain, url=url, path=path, size=size)


def test_files_are_counted_with_their_sizes_and_hosts() -> None:
    files = [
        pending("1", "https://files.slack.com/1?t=xoxe-1"),
        pending("2", "https://user:word@FILES.slack.com:443/2", size=None),
        pending("3", "http://[::1]/3"),
        pending("4", "https://[bad/4"),
        pending("5", "https://host:99999/5"),
        pending("6", "", path="uploads/6.png"),
    ]
    with Store() as store:
        store.pending_files.add("op", files)
        found = remaining(new_operation("slack", "u"), store, workspace())
    assert (found.files, found.file_bytes, found.avatars) == (6, 5000, 0)
    assert found.hosts[0] == "files.slack.com"
    assert set(found.hosts) == {"files.slack.com", "[::1]", EXPORT}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://files.slack.com/a?b#c", "files.slack.com"),
        ("HTTPS://Files.Slack.Com", "files.slack.com"),
        ("https://a:b@host:8080/x", "host"),
        ("https://[2001:db8::1]:1/x", "[2001:db8::1]"),
        ("https://b\u00fcro.example/x", "b\u00fcro.example"),
        ("https://[bad/x", ""),
        ("https://host:65536/", ""),
        ("https://`chatferry purge`/", ""),
        ("https://two words/", ""),
        ("ftp://host/x", ""),
        ("data:image/png;base64,x", ""),
        ("", ""),
    ],
)
def test_the_host_of_an_address(url: str, host: str) -> None:
    assert host_of(url) == host

"""One file from a real host: whole, over redirects, until the caller stops it."""

import gzip
import hashlib
import logging
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace

from chatferry.downloads import Downloaded, Rules
from chatferry.downloads.fetch_one import fetch
from chatferry.downloads.network import World
from chatferry.errors import DownloadError
from tests.support.downloading import DATA, SECRET, StopError, failing, wanted
from tests.support.filehost import MIB, Exchange, FileHost, hosting, noise

# ---------------------------------------------------------------- what goes well


def test_a_file_comes_whole_with_its_digest(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    url = host.put("/a", lambda to: to.whole(DATA, content_type="image/png"))
    found = fetch(wanted(f"{url}?t={SECRET}#part", tmp_path, key="one"), rules, outside=outside)
    assert found == Downloaded(
        key="one",
        path=tmp_path / "file",
        size=len(DATA),
        sha256=hashlib.sha256(DATA).hexdigest(),
        content_type="image/png",
    )
    assert (tmp_path / "file").read_bytes() == DATA
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    ((path, headers),) = host.asked
    assert path == f"/a?t={SECRET}"
    assert headers["Host"] == host.name
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "tiny", "large"])
@pytest.mark.parametrize("how", ["length", "chunks", "close"])
def test_the_length_may_be_told_in_each_way_http_has(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, data: bytes, how: str
) -> None:
    def answer(to: Exchange) -> None:
        if how == "length":
            to.whole(data)
        elif how == "chunks":
            to.head(transfer_encoding="chunked")
            for at in range(0, len(data), 70_000):
                block = data[at : at + 70_000]
                to.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))
            to.wfile.write(b"0\r\n\r\n")
        else:
            to.head(connection="close")
            to.wfile.write(data)

    fetch(wanted(host.put("/a", answer), tmp_path), rules, outside=outside)
    assert (tmp_path / "file").read_bytes() == data


def test_an_older_file_of_that_name_is_replaced_only_by_a_whole_one(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    (tmp_path / "file").write_bytes(b"old")
    url = host.put("/a", lambda to: to.whole(b"gone", 404))
    with pytest.raises(DownloadError):
        fetch(wanted(url, tmp_path), rules, outside=outside)
    assert (tmp_path / "file").read_bytes() == b"old"
    host.put("/a", b"new")
    with (tmp_path / "file").open("rb") as reader:
        fetch(wanted(url, tmp_path), rules, outside=outside)
        assert reader.read() == b"old"  # nobody ever sees one half of each
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_body_in_gzip_is_unpacked(host: FileHost, tmp_path: Path, rules: Rules, outside: World) -> None:
    url = host.put("/a", lambda to: to.whole(gzip.compress(DATA), content_encoding="gzip"))
    found = fetch(wanted(url, tmp_path), rules, outside=outside)
    assert (tmp_path / "file").read_bytes() == DATA
    assert found.size == len(DATA)


# ---------------------------------------------------------------- redirects


def test_redirects_are_followed_and_secrets_stay_with_their_host(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    with hosting() as other:
        target = other.put("/c", lambda to: to.whole(b"there", set_cookie="a=b"))
        host.put("/b", lambda to: to.head(307, location=target, content_length=0, set_cookie="a=b"))
        url = host.put("/a", lambda to: to.head(302, location="/b", content_length=0, set_cookie="a=b"))
        allowed = replace(rules, hosts=rules.hosts | {other.name})
        headers = {"Authorization": f"Bearer {SECRET}", "Cookie": SECRET}
        fetch(wanted(f"{url}?t={SECRET}", tmp_path, headers=headers), allowed, outside=outside)
        assert [path for path, _ in host.asked] == [f"/a?t={SECRET}", "/b"]
        assert all(sent["Authorization"] == f"Bearer {SECRET}" for _, sent in host.asked)
        ((path, sent),) = other.asked
    assert path == "/c"
    assert not {"Authorization", "Cookie", "Referer"} & set(sent)
    assert SECRET not in repr(sent)
    assert sent["Host"] == other.name
    assert (tmp_path / "file").read_bytes() == b"there"


def test_secrets_do_not_come_back_by_way_of_another_host(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    back = host.put("/back", b"x")
    with hosting() as other:
        target = other.put("/c", lambda to: to.head(302, location=back, content_length=0))
        url = host.put("/a", lambda to: to.head(302, location=target, content_length=0))
        allowed = replace(rules, hosts=rules.hosts | {other.name})
        fetch(wanted(url, tmp_path, headers={"Authorization": SECRET}), allowed, outside=outside)
    assert "Authorization" not in host.asked[-1][1]


def test_redirects_end_somewhere(host: FileHost, tmp_path: Path, rules: Rules, outside: World) -> None:
    url = host.put("/a", lambda to: to.head(302, location=f"/a?t={SECRET}", content_length=0))
    error = failing(wanted(url, tmp_path), rules, outside)
    assert error.is_final
    assert "redirects again and again" in str(error)
    assert len(host.asked) == rules.redirects + 1


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://127.0.0.2/x", "leads to an address that is not public"),
        ("http://localhost/x", "leads to an address that is not public"),
        ("http://169.254.169.254/latest/meta-data/", "leads to an address that is not public"),
        ("http://[::ffff:10.0.0.1]/x", "leads to an address that is not public"),
        ("http://0/x", "leads to an address that is not public"),
        ("http://2130706433/x", "leads to an address that is not public"),
        ("http://0x7f.1/x", "leads to an address that is not public"),
        ("file:///etc/passwd", "only http and https"),
        (f"https://user:{SECRET}@files.example/", "user name or password"),
        ("http://files.example:22/", "port 22"),
        (f"http://[x/{SECRET}", "no valid address"),
    ],
)
def test_a_redirect_to_where_nothing_may_be_asked_is_refused(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, naps: list[float], target: str, why: str
) -> None:
    url = host.put("/a", lambda to: to.head(302, location=target, content_length=0))
    error = failing(wanted(url, tmp_path), rules, outside)
    assert error.is_final
    assert why in error.reason
    assert error.url.startswith(url)
    assert not naps


# ---------------------------------------------------------------- cancelling


@pytest.mark.parametrize("when", ["at once", "silent", "within"])
def test_a_caller_can_stop_at_any_time(host: FileHost, tmp_path: Path, rules: Rules, when: str) -> None:
    def answer(to: Exchange) -> None:
        if when == "within":
            to.head(content_length=10 * len(DATA))
            to.wfile.write(DATA)
        to.stall()

    def check() -> None:
        if when == "at once" or host.asked:
            raise StopError

    with pytest.raises(StopError):
        fetch(wanted(host.put("/a", answer), tmp_path), rules, check)
    assert list(tmp_path.iterdir()) == []
    assert len(host.asked) == (0 if when == "at once" else 1)


def test_a_caller_can_stop_while_a_host_is_left_alone(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, naps: list[float]
) -> None:
    def check() -> None:
        if len(naps) == 3:
            raise StopError

    url = host.put("/a", lambda to: to.whole(b"later", 503, retry_after="10"))
    with pytest.raises(StopError):
        fetch(wanted(url, tmp_path), rules, check, outside)
    assert len(naps) == 3


def test_a_caller_is_asked_after_every_block(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    packed = gzip.compress(bytes(4 * MIB))
    plain = host.put("/plain", noise(4 * MIB))
    for url in (plain, host.put("/packed", lambda to: to.whole(packed, content_encoding="gzip"))):
        asked = count()
        fetch(wanted(url, tmp_path), rules, partial(next, asked), outside)
        assert next(asked) > 4 * MIB / (1 << 16)


# ---------------------------------------------------------------- logs


def test_no_log_tells_a_secret(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    host.put("/b", b"x")
    url = host.put("/a", lambda to: to.head(302, location=f"/b?t={SECRET}", content_length=0))
    fetch(wanted(f"{url}?t={SECRET}", tmp_path, headers={"Cookie": SECRET}), rules, outside=outside)
    assert SECRET not in caplog.text

"""One file from a real host, in all weathers."""

import gzip
import hashlib
import logging
import resource
import socket
import traceback
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chatferry.downloads import Downloaded, Request, Rules
from chatferry.downloads.fetch_one import Downloader, fetch
from chatferry.downloads.network import World
from chatferry.errors import DownloadError, NoRoomError
from tests.support.filehost import MIB, Exchange, FileHost, hosting, noise

SECRET = "xoxe-1-VERYSECRET"
DATA = noise(300_000)
PAGE = b"<!DOCTYPE html><title>Sign in</title>"


class StopError(Exception):
    """What a caller raises to end a download."""


def wanted(url: str, folder: Path, **more: object) -> Request:
    request = Request(url=url, path=folder / "file")
    return replace(request, **more)


def failing(request: Request, rules: Rules, outside: World) -> DownloadError:
    """The error of a download, once it is sure that it tells no secret and has left nothing behind."""
    with pytest.raises(DownloadError) as caught:
        fetch(request, rules, outside=outside)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(vars(caught.value))
    assert caught.value.__context__ is None
    assert caught.value.reason and caught.value.remedy
    if not request.resumable:
        assert list(request.path.parent.iterdir()) == []
    return caught.value


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


def test_what_a_host_packs_unasked_is_unpacked(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
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


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_a_refusal_is_not_argued_with(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, naps: list[float], status: int
) -> None:
    url = host.put("/a", lambda to: to.whole(b"no", status))
    error = failing(wanted(f"{url}?token={SECRET}", tmp_path), rules, outside)
    assert error.is_final
    assert str(error).startswith(f"{url}?token=***: the host answered {status}")
    assert len(host.asked) == 1
    assert not naps


@pytest.mark.parametrize("headers", [{"content_type": "text/html"}, {"content_type": "image/png"}, {}])
@pytest.mark.parametrize("padding", [0, 100_000])
def test_a_web_page_is_not_kept_as_a_file(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, headers: dict[str, Any], padding: int
) -> None:
    url = host.put("/a", lambda to: to.whole(PAGE + b" " * padding, etag='"x"', **headers))
    error = failing(wanted(url, tmp_path), rules, outside)
    assert error.is_final
    assert "web page" in error.reason
    failing(wanted(url, tmp_path, resumable=True), rules, outside)
    assert list(tmp_path.iterdir()) == []
    fetch(wanted(url, tmp_path, mime="text/html"), rules, outside=outside)


def test_a_page_that_comes_byte_by_byte_is_known_too(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    def answer(to: Exchange) -> None:
        to.head(content_length=len(PAGE))
        for at in range(len(PAGE)):
            to.wfile.write(PAGE[at : at + 1])

    assert "web page" in failing(wanted(host.put("/a", answer), tmp_path), rules, outside).reason


def test_a_page_is_refused_before_its_end(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    def answer(to: Exchange) -> None:
        to.head(content_length=1 << 30)
        to.wfile.write(PAGE + b" " * 1000)
        to.stall()

    assert "web page" in failing(wanted(host.put("/a", answer), tmp_path), rules, outside).reason


def test_only_images_are_kept_where_one_is_wanted(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    url = host.put("/a", lambda to: to.whole(DATA, content_type="application/zip"))
    assert "not an image" in failing(wanted(url, tmp_path, only_images=True), rules, outside).reason
    host.put("/a", lambda to: to.whole(DATA, content_type="image/gif"))
    fetch(wanted(url, tmp_path, only_images=True), rules, outside=outside)


@pytest.mark.parametrize("is_declared", [True, False])
def test_nothing_larger_than_the_limit_is_kept(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, is_declared: bool
) -> None:
    def answer(to: Exchange) -> None:
        if is_declared:
            to.head(content_length=1 << 40)
        else:
            to.head(connection="close")
        to.drip(bytes(1 << 16))

    error = failing(wanted(host.put("/a", answer), tmp_path), replace(rules, limit=MIB), outside)
    assert error.is_final
    assert "larger than 1 MiB" in error.reason
    assert len(host.asked) == 1


def test_a_bomb_stops_at_the_limit(host: FileHost, tmp_path: Path, rules: Rules, outside: World) -> None:
    bomb = gzip.compress(bytes(32 * MIB))
    url = host.put("/a", lambda to: to.whole(bomb, content_encoding="gzip"))
    assert "larger than 1 MiB" in failing(wanted(url, tmp_path), replace(rules, limit=MIB), outside).reason


def test_more_than_declared_is_not_kept(host: FileHost, tmp_path: Path, rules: Rules, outside: World) -> None:
    def answer(to: Exchange) -> None:
        to.head(content_length=5, transfer_encoding="chunked")
        to.wfile.write(b"8\r\nabcdefgh\r\n0\r\n\r\n")

    error = failing(wanted(host.put("/a", answer), tmp_path), rules, outside)
    assert "more than the 5 declared bytes" in error.reason
    assert not error.is_final


def test_what_comes_behind_a_body_is_no_answer_to_the_next_request(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    def answer(to: Exchange) -> None:
        to.head(content_length=5)
        to.wfile.write(b"12345HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    host.put("/a", answer)
    host.put("/b", b"good")
    with closing(Downloader(rules, lambda: None, outside)) as downloader:
        with pytest.raises(DownloadError, match="more than the 5 declared bytes"):
            downloader.fetch(wanted(host.url("/a"), tmp_path))
        downloader.fetch(wanted(host.url("/b"), tmp_path))
    assert (tmp_path / "file").read_bytes() == b"good"


@pytest.mark.parametrize("between", [b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"])
@pytest.mark.parametrize("line", [b"\r\n", b"\n"])
def test_odd_heads_are_no_part_of_the_body(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, between: bytes, line: bytes
) -> None:
    def answer(to: Exchange) -> None:
        to.wfile.write(between + line.join([b"HTTP/1.1 200 OK", b"Content-Length: 5", b"", b"12345"]))

    fetch(wanted(host.put("/a", answer), tmp_path), rules, outside=outside)
    assert (tmp_path / "file").read_bytes() == b"12345"


def test_a_connection_serves_one_file_after_another(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    lookups: list[str] = []

    def resolve(name: str, port: int) -> list[str]:
        lookups.append(name)
        return [name]

    url = host.put("/a", DATA)
    with closing(Downloader(rules, lambda: None, replace(outside, resolve=resolve))) as downloader:
        for _ in range(3):
            downloader.fetch(wanted(url, tmp_path))
    assert lookups == ["127.0.0.1"]
    assert len(host.asked) == 3


def test_a_full_disk_is_no_fault_of_the_file_and_a_missing_folder_is(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(NoRoomError, match=rf"{tmp_path}: File too large\. Make room\."):
            fetch(wanted(host.put("/a", DATA), tmp_path), rules, outside=outside)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    missing = failing_in(host.put("/a", DATA), tmp_path / "missing" / "file", rules, outside)
    assert "no such file or directory" in missing.reason


def failing_in(url: str, path: Path, rules: Rules, outside: World) -> DownloadError:
    with pytest.raises(DownloadError) as caught:
        fetch(Request(url=url, path=path), rules, outside=outside)
    return caught.value


# ---------------------------------------------------------------- trying again


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_host_in_trouble_is_asked_again(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, naps: list[float], status: int
) -> None:
    def answer(to: Exchange) -> None:
        if to.attempt < 3:
            to.whole(b"later", status)
        else:
            to.whole(DATA)

    fetch(wanted(host.put("/a", answer), tmp_path), rules, outside=outside)
    assert (tmp_path / "file").read_bytes() == DATA
    assert len(host.asked) == 3
    assert 1.5 <= sum(naps) <= 4.5 + 0.5  # one and two seconds, by a half more or less, in naps


def test_patience_ends(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, naps: list[float]
) -> None:
    url = host.put("/a", lambda to: to.whole(b"later", 503))
    error = failing(wanted(f"{url}?sig={SECRET}", tmp_path), rules, outside)
    assert not error.is_final
    assert "503" in error.reason
    assert len(host.asked) == rules.attempts


@pytest.mark.parametrize(("asked", "waited"), [("7", 7), ("100000", 30)])
def test_a_host_is_left_alone_as_long_as_it_asks_within_bounds(
    host: FileHost,
    tmp_path: Path,
    rules: Rules,
    outside: World,
    naps: list[float],
    asked: str,
    waited: float,
) -> None:
    def answer(to: Exchange) -> None:
        if to.attempt == 1:
            to.whole(b"", 429, retry_after=asked)
        else:
            to.whole(DATA)

    fetch(wanted(host.put("/a", answer), tmp_path), replace(rules, longest_wait=30), outside=outside)
    assert sum(naps) == waited


def test_nobody_waits_beyond_the_end(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, naps: list[float]
) -> None:
    url = host.put("/a", lambda to: to.whole(b"", 429, retry_after="90"))
    error = failing(wanted(url, tmp_path), rules, outside)
    assert "429" in error.reason
    assert not naps


@pytest.mark.parametrize("fault", ["drop", "garbage", "short", "chunk"])
def test_a_broken_connection_is_made_again(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, fault: str
) -> None:
    def answer(to: Exchange) -> None:
        if to.attempt > 2:
            to.whole(DATA)
        elif fault == "garbage":
            to.wfile.write(b"SSH-2.0-OpenSSH\r\n")
        elif fault == "short":
            to.head(content_length=len(DATA))
            to.wfile.write(DATA[:1000])
        elif fault == "chunk":
            to.head(transfer_encoding="chunked")
            to.wfile.write(b"ffff\r\nabc")
        to.cut() if to.attempt < 3 else None

    fetch(wanted(host.put("/a", answer), tmp_path), rules, outside=outside)
    assert (tmp_path / "file").read_bytes() == DATA
    assert "Range" not in host.asked[-1][1]


def test_a_host_that_is_not_there_is_tried_again(
    tmp_path: Path, rules: Rules, outside: World, naps: list[float]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        name = f"127.0.0.1:{free.getsockname()[1]}"
    allowed = replace(rules, hosts=frozenset({name}))
    error = failing(wanted(f"http://{name}/a?t={SECRET}", tmp_path), allowed, outside)
    assert not error.is_final
    assert "connection refused" in error.reason
    assert naps


@pytest.mark.parametrize("when", ["before", "within"])
def test_a_host_that_falls_silent_is_given_up(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, when: str
) -> None:
    def answer(to: Exchange) -> None:
        if when == "within":
            to.head(content_length=len(DATA))
            to.wfile.write(DATA[:1000])
        to.stall()

    quick = replace(rules, idle_seconds=0.1, attempts=2)
    error = failing(wanted(host.put("/a", answer), tmp_path), quick, outside)
    assert "silent" in error.reason
    assert not error.is_final
    assert len(host.asked) == 2


@pytest.mark.parametrize("when", ["head", "body"])
def test_a_host_that_never_ends_is_given_up(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, when: str
) -> None:
    def answer(to: Exchange) -> None:
        if when == "body":
            to.head(content_length=1 << 30)
        to.drip(b"x")

    error = failing(wanted(host.put("/a", answer), tmp_path), replace(rules, total_seconds=0.3), outside)
    assert "longer than 0.3 seconds" in error.reason
    assert not error.is_final
    assert len(host.asked) == 1


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


# ---------------------------------------------------------------- going on where it broke off


def test_a_broken_download_goes_on(host: FileHost, tmp_path: Path, rules: Rules, outside: World) -> None:
    breaks = [100_000, 200_000, None]
    url = host.put("/a", lambda to: to.ranged(DATA, until=breaks[to.attempt - 1]))
    found = fetch(wanted(url, tmp_path), rules, outside=outside)
    assert (tmp_path / "file").read_bytes() == DATA
    assert found.sha256 == hashlib.sha256(DATA).hexdigest()
    assert [sent.get("Range") for _, sent in host.asked] == [None, "bytes=100000-", "bytes=200000-"]
    assert [sent.get("If-Range") for _, sent in host.asked] == [None, '"one"', '"one"']


def test_a_date_is_as_good_as_an_etag(host: FileHost, tmp_path: Path, rules: Rules, outside: World) -> None:
    date = "Thu, 29 Feb 2024 12:00:00 GMT"

    def answer(to: Exchange) -> None:
        if to.attempt == 1:
            to.head(content_length=len(DATA), etag='W/"weak"', last_modified=date)
            to.wfile.write(DATA[:1000])
            to.cut()
        else:
            to.whole(DATA[1000:], 206, content_range=f"bytes 1000-{len(DATA) - 1}/{len(DATA)}")

    fetch(wanted(host.put("/a", answer), tmp_path), rules, outside=outside)
    assert (tmp_path / "file").read_bytes() == DATA
    assert host.asked[1][1]["If-Range"] == date


@pytest.mark.parametrize(
    "change", ["ignored", "changed", "refused", "other place", "other size", "other name"]
)
def test_a_rest_that_does_not_fit_means_starting_again(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, change: str
) -> None:
    newer = noise(200_000, seed=2)

    def answer(to: Exchange) -> None:
        if to.attempt == 1:
            to.ranged(DATA, until=100_000)
        elif "Range" not in to.headers or change == "ignored":
            to.whole(newer)
        elif change == "changed":
            to.ranged(newer, etag='"two"')
        elif change == "refused":
            to.whole(b"", 416)
        elif change == "other place":
            to.whole(newer[50_000:], 206, content_range="bytes 50000-199999/200000")
        elif change == "other size":
            to.whole(newer[100_000:], 206, content_range="bytes 100000-199999/200000")
        else:
            rest = noise(200_000)
            to.whole(rest, 206, content_range="bytes 100000-299999/300000", etag='"two"')

    fetch(wanted(host.put("/a", answer), tmp_path), rules, outside=outside)
    assert (tmp_path / "file").read_bytes() == newer
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_host_may_send_the_rest_in_pieces(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    def answer(to: Exchange) -> None:
        if to.attempt == 1:
            to.ranged(DATA, until=100_000)
        else:
            start = 100_000 * (to.attempt - 1)
            piece = DATA[start : start + 100_000]
            content_range = f"bytes {start}-{start + len(piece) - 1}/{len(DATA)}"
            to.whole(piece, 206, content_range=content_range, etag='"one"')

    fetch(wanted(host.put("/a", answer), tmp_path), rules, outside=outside)
    assert (tmp_path / "file").read_bytes() == DATA
    assert len(host.asked) == 3


def test_many_breaks_are_no_reason_to_give_up_while_the_file_grows(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    data = noise(10 * MIB)
    url = host.put("/a", lambda to: to.ranged(data, until=min(to.attempt * MIB + 5, len(data))))
    fetch(wanted(url, tmp_path), replace(rules, attempts=2), outside=outside)
    assert (tmp_path / "file").read_bytes() == data


def test_what_has_come_is_kept_for_the_next_fetch_if_asked_for(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    url = host.put("/a", lambda to: to.ranged(DATA, until=100_000 if to.attempt == 1 else 0))
    request = wanted(f"{url}?t={SECRET}", tmp_path, resumable=True)
    failing(request, rules, outside)
    assert list(tmp_path.iterdir()) == [tmp_path / "file.part"]
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in (tmp_path / "file.part").iterdir())
    host.put("/a", lambda to: to.ranged(DATA))
    found = fetch(replace(request, url=f"{url}?t=xoxe-2-other"), rules, outside=outside)
    assert host.asked[-1][1]["Range"] == "bytes=100000-"
    assert (tmp_path / "file").read_bytes() == DATA
    assert found.sha256 == hashlib.sha256(DATA).hexdigest()
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("damage", ["origin", "bytes", "broken", "address", "none wanted"])
def test_remains_that_are_of_no_use_are_replaced(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, damage: str
) -> None:
    url = host.put("/a", lambda to: to.ranged(DATA, until=100_000 if to.attempt == 1 else 0))
    request = wanted(url, tmp_path, resumable=True)
    failing(request, rules, outside)
    part = tmp_path / "file.part"
    if damage in ("origin", "bytes"):
        (part / ("origin.json" if damage == "origin" else "bytes")).unlink()
    elif damage == "broken":
        (part / "origin.json").write_bytes(b'{"url": "\xff')
    elif damage == "address":
        request = replace(request, url=f"{url}?page=2")
    else:
        request = replace(request, resumable=False)
    host.put("/a", lambda to: to.ranged(DATA))
    fetch(request, rules, outside=outside)
    assert "Range" not in host.asked[-1][1]
    assert (tmp_path / "file").read_bytes() == DATA
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_stop_keeps_what_has_come_too(host: FileHost, tmp_path: Path, rules: Rules, outside: World) -> None:
    part = tmp_path / "file.part" / "bytes"

    def check() -> None:
        if part.exists() and part.stat().st_size:
            raise StopError

    url = host.put("/a", lambda to: to.ranged(DATA))
    with pytest.raises(StopError):
        fetch(wanted(url, tmp_path, resumable=True), rules, check, outside)
    fetch(wanted(url, tmp_path, resumable=True), rules, outside=outside)
    assert "Range" in host.asked[-1][1]
    assert (tmp_path / "file").read_bytes() == DATA


# ---------------------------------------------------------------- logs


def test_no_log_tells_a_secret(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    host.put("/b", b"x")
    url = host.put("/a", lambda to: to.head(302, location=f"/b?t={SECRET}", content_length=0))
    fetch(wanted(f"{url}?t={SECRET}", tmp_path, headers={"Cookie": SECRET}), rules, outside=outside)
    assert SECRET not in caplog.text

"""Answers that are not kept as a file, from a real host."""

import gzip
import resource
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chatferry.downloads import Request, Rules
from chatferry.downloads.fetch_one import Downloader, fetch
from chatferry.downloads.network import World
from chatferry.errors import DownloadError, NoRoomError
from tests.support.downloading import DATA, SECRET, failing, wanted
from tests.support.filehost import MIB, Exchange, FileHost

PAGE = b"<!DOCTYPE html><title>Sign in</title>"


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


def test_only_an_image_is_kept_if_an_image_is_wanted(
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


def test_bytes_after_a_body_never_answer_the_next_request(
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

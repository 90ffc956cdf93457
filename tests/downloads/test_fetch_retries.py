"""Downloads that break: tried again, and continued where they broke off."""

import hashlib
import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from chatferry.downloads import Rules
from chatferry.downloads.fetch_one import fetch
from chatferry.downloads.network import World
from tests.support.downloading import DATA, SECRET, StopError, failing, wanted
from tests.support.filehost import MIB, Exchange, FileHost, noise

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


def test_a_resumable_download_keeps_its_bytes_for_the_next_fetch(
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
def test_unusable_remains_are_replaced(
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


def test_a_stopped_download_keeps_its_bytes_too(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
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

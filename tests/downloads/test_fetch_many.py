"""Many files from real hosts."""

import gc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sys import getallocatedblocks
from threading import Barrier, Event
from threading import enumerate as enumerate_threads

import pytest
from msgspec.structs import replace

from chatferry.downloads import Downloaded, Failed, Request, Rules
from chatferry.downloads.fetch_many import LOOK_AHEAD, fetch_all
from chatferry.downloads.network import World
from tests.support.filehost import Exchange, FileHost, hosting

SECRET = "xoxe-1-VERYSECRET"


class StopError(Exception):
    """Raised by a caller to end all downloads."""


def requests(folder: Path, *urls: str) -> Iterator[Request]:
    for number, url in enumerate(urls):
        yield Request(url=url, path=folder / str(number), key=str(number))


def test_each_request_has_its_result_and_a_failure_stops_no_other(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    good = host.put("/good", b"hello")
    gone = host.put("/gone", lambda to: to.whole(b"", 404))
    sick = host.put("/sick", lambda to: to.whole(b"", 503))
    urls = [
        good,
        gone,
        f"ftp://x/?t={SECRET}",
        f"{sick}?t={SECRET}",
        "http://[",
        "http://127.0.0.1:8080/",
        good,
    ]
    found = {result.key: result for result in fetch_all(requests(tmp_path, *urls), rules, outside=outside)}
    assert set(found) == {str(number) for number in range(len(urls))}
    assert {key for key, result in found.items() if isinstance(result, Downloaded)} == {"0", "6"}
    assert {key for key, result in found.items() if isinstance(result, Failed) and not result.is_final} == {
        "3"
    }
    assert SECRET not in repr(found)
    failed = found["3"]
    assert isinstance(failed, Failed)
    assert failed.url_without_secrets == f"{sick}?t=***"
    assert "503" in failed.reason
    assert failed.remedy


def test_no_requests_no_results(rules: Rules) -> None:
    assert list(fetch_all([], rules)) == []


def test_a_url_is_fetched_once(host: FileHost, tmp_path: Path, rules: Rules, outside: World) -> None:
    urls = [host.put(f"/{number}", b"x" * number) for number in range(3)] * (2 * LOOK_AHEAD)
    urls[1] = urls[4] = host.put("/gone", lambda to: to.whole(b"", 404))
    found = list(fetch_all(requests(tmp_path, *urls), rules, outside=outside))
    assert len(found) == len(urls)
    assert sorted(path for path, _ in host.asked) == ["/0", "/1", "/2", "/gone"]
    assert len(list(tmp_path.iterdir())) == 3
    assert {result.path.read_bytes() for result in found if isinstance(result, Downloaded)} == {
        b"",
        b"x",
        b"xx",
    }
    assert len([result for result in found if isinstance(result, Failed)]) == 2


def test_requests_that_ask_for_something_else_are_not_the_same(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    url = host.put("/a", b"hello")
    first = Request(url=url, path=tmp_path / "1", key="1")
    others = [
        replace(first, path=tmp_path / "2", key="2", only_images=True),
        replace(first, path=tmp_path / "3", key="3", headers={"Cookie": "a"}),
    ]
    found = {result.key: result for result in fetch_all([first, *others], rules, outside=outside)}
    assert [isinstance(found[key], Downloaded) for key in "123"] == [True, False, True]
    assert len(host.asked) == 3


def test_several_at_once_but_few_of_one_host(tmp_path: Path, rules: Rules, outside: World) -> None:
    together = Barrier(4)  # two of each host: less than that, and this test never gets anywhere

    def answer(to: Exchange) -> None:
        together.wait(60)
        to.whole(b"hello")

    with hosting() as one, hosting() as other:
        # two names, as hosts are told apart by name and not by port
        names = [f"one.example:{one.port}", f"other.example:{other.port}"]
        urls = [f"http://{name}/{number}" for name in names for number in range(10)]
        for number in range(10):
            one.put(f"/{number}", answer)
            other.put(f"/{number}", answer)
        few = replace(rules, hosts=frozenset(names), parallel=8, per_host=2)
        local = replace(outside, resolve=lambda *_: ["127.0.0.1"])
        found = list(fetch_all(requests(tmp_path, *urls), few, outside=local))
        assert all(isinstance(result, Downloaded) for result in found)
        assert (one.most_at_once, other.most_at_once) == (2, 2)


def test_never_more_at_once_than_allowed(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    urls = [host.put(f"/{number}", b"hello") for number in range(60)]
    list(fetch_all(requests(tmp_path, *urls), replace(rules, parallel=3, per_host=50), outside=outside))
    assert len(host.asked) == 60
    assert host.most_at_once <= 3


def test_results_come_as_soon_as_they_are_there(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    was_seen = Event()

    def slow(to: Exchange) -> None:
        was_seen.wait(60)
        to.whole(b"slow")

    urls = [host.put("/slow", slow), host.put("/quick", b"quick")]
    results = fetch_all(requests(tmp_path, *urls), rules, outside=outside)
    assert next(results).key == "1"
    was_seen.set()
    assert next(results).key == "0"
    assert list(results) == []


def test_an_error_of_check_stops_all_downloads(host: FileHost, tmp_path: Path, rules: Rules) -> None:
    def check() -> None:
        if len(host.asked) == 4:
            raise StopError

    urls = [host.put(f"/{number}", lambda to: to.stall()) for number in range(20)]
    with pytest.raises(StopError):
        list(fetch_all(requests(tmp_path, *urls), rules, check))
    assert list(tmp_path.iterdir()) == []
    assert len(host.asked) == 4
    assert not [thread for thread in enumerate_threads() if thread.name.startswith("download")]


def test_closing_the_iterator_ends_what_is_under_way(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    urls = [
        host.put("/0", b"hello"),
        *(host.put(f"/{number}", lambda to: to.stall()) for number in range(1, 20)),
    ]
    results = fetch_all(requests(tmp_path, *urls), rules, outside=outside)
    with closing(results):
        assert next(results).key == "0"
    assert list(tmp_path.iterdir()) == [tmp_path / "0"]


def test_a_source_that_fails_ends_everything(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    def source() -> Iterator[Request]:
        yield from requests(tmp_path, host.put("/a", b"hello"))
        raise StopError

    with pytest.raises(StopError):
        list(fetch_all(source(), rules, outside=outside))


def test_requests_are_taken_only_as_they_are_needed(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    taken: list[str] = []

    def source() -> Iterator[Request]:
        for request in requests(
            tmp_path, *(host.put(f"/{number}", b"x") for number in range(3 * LOOK_AHEAD))
        ):
            taken.append(request.key)
            yield request

    results = fetch_all(source(), rules, outside=outside)
    next(results)
    assert len(taken) <= LOOK_AHEAD + 1
    assert len(list(results)) == 3 * LOOK_AHEAD - 1


def test_memory_does_not_grow_with_the_number_of_requests(tmp_path: Path, outside: World) -> None:
    urls = (f"ftp://files.example/{number}" for number in range(6 * LOOK_AHEAD))
    results = fetch_all(requests_of(urls, tmp_path), Rules(), outside=outside)
    gc.freeze()  # collecting looks at nothing but what is made here
    blocks = []
    for _ in results:
        gc.collect()
        blocks.append(getallocatedblocks())
    gc.unfreeze()
    early, late = min(blocks[LOOK_AHEAD : 2 * LOOK_AHEAD]), min(blocks[-LOOK_AHEAD:])
    assert len(blocks) == 6 * LOOK_AHEAD
    assert late - early < LOOK_AHEAD  # less than one block for each of four times as many requests


def requests_of(urls: Iterator[str], folder: Path) -> Iterator[Request]:
    return (Request(url=url, path=folder / "x", key=url) for url in urls)

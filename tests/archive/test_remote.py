"""Archives at a URL, read by ranges from real servers: never whole, and never two states of one file."""

import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatferry.archive import MIB, open_archive
from chatferry.downloads import Rules
from chatferry.errors import ArchiveError
from chatferry.settings import from_environment
from tests.support.clusters import s3_server
from tests.support.command_line import chatferry
from tests.support.filehost import Exchange, FileHost, hosting, ranges
from tests.support.paths import GOLDEN


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


def s3_environment(address: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
    }


def zipped(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_only_the_ranges_that_are_read_are_fetched(host: FileHost) -> None:
    files = {f"f{number}": random.Random(number).randbytes(6 * MIB) for number in range(5)}
    data = zipped(**files)
    url = host.put("/big.zip", ranges(lambda: data))
    with open_archive(url) as archive:
        assert archive.name == "big.zip"
        assert archive.read("f3") == files["f3"]
    wanted = [headers["Range"].removeprefix("bytes=").split("-") for _, headers in host.asked]
    assert sum(int(last) - int(first) + 1 for first, last in wanted) < 20 * MIB < len(data)


def test_an_import_from_a_url_is_that_from_the_file(host: FileHost, tmp_path: Path) -> None:
    data = GOLDEN.read_bytes()
    url = host.put("/exports/export%20of%20May.zip", ranges(lambda: data)) + "?sig=TOPSECRETTOPSECRET"
    done = chatferry("import", "slack", url, "--data", tmp_path, "--json", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["messages"]["inserted"] == 300
    assert "TOPSECRET" not in done.stdout + done.stderr
    found = chatferry("inspect", url, "--json")
    assert json.loads(found.stdout)["archive"] == "export of May.zip"


def test_an_import_from_s3_is_that_from_the_file(s3: str, tmp_path: Path) -> None:
    boto3 = pytest.importorskip("boto3")
    client = boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id="key", aws_secret_access_key="hush", region_name="us-east-1"
    )
    client.create_bucket(Bucket="exports")
    client.put_object(Bucket="exports", Key="a/b.zip", Body=GOLDEN.read_bytes())
    variables = s3_environment(s3)
    done = chatferry("import", "slack", "s3://exports/a/b.zip", "--data", tmp_path, "--json", **variables)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["messages"]["inserted"] == 300
    missing = chatferry("inspect", "s3://exports/a/c.zip", **variables)
    assert "s3://exports/a/c.zip does not exist" in missing.stderr and missing.returncode == 1


def test_an_object_in_s3_that_changes_is_noticed(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    boto3 = pytest.importorskip("boto3")
    for name, value in s3_environment(s3).items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=s3)
    client.create_bucket(Bucket="changing")
    before, after = (zipped(a=random.Random(seed).randbytes(9 * MIB), b=b"b") for seed in (1, 2))
    client.put_object(Bucket="changing", Key="x.zip", Body=before)
    with open_archive("s3://changing/x.zip") as archive:
        client.put_object(Bucket="changing", Key="x.zip", Body=after)
        with pytest.raises(ArchiveError, match="has changed while it was read"):
            archive.read("a")


def test_a_server_without_ranges_is_refused(host: FileHost) -> None:
    url = host.put("/x.zip", GOLDEN.read_bytes())
    with pytest.raises(ArchiveError, match=r"does not answer requests for ranges\. Download it first"):
        open_archive(url)


@pytest.mark.parametrize("sign", ["tag", "size"])
def test_a_file_that_changes_is_noticed(host: FileHost, sign: str) -> None:
    before, after = (zipped(a=random.Random(seed).randbytes(9 * MIB), b=b"b") for seed in (1, 2))
    states = [(before, '"one"')]
    url = host.put("/x.zip", ranges(lambda: states[-1][0], lambda: states[-1][1]))
    with open_archive(url) as archive:
        states.append((after, '"two"') if sign == "tag" else (after + b"\0", '"one"'))
        with pytest.raises(ArchiveError, match="has changed while it was read"):
            archive.read("a")
    with open_archive(url) as changed:
        assert changed.fingerprint() != archive.fingerprint()


def test_a_server_that_stumbles_is_asked_again(host: FileHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatferry.archive.remote_http._PAUSES", (0, 0))
    data = zipped(a=b"a")
    good = ranges(lambda: data)

    def stumbling(exchange: Exchange) -> None:
        if exchange.attempt % 3 == 1:
            exchange.cut()
        elif exchange.attempt % 3 == 2:
            exchange.whole(b"", 503)
        else:
            good(exchange)

    with open_archive(host.put("/x.zip", stumbling)) as archive:
        assert archive.read("a") == b"a"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda to: to.whole(b"", 404), "its server answers 404"),
        (lambda to: to.whole(b"", 403), "its server answers 403"),
        (lambda to: to.head(416, content_length=0, content_range="bytes */0"), "is empty"),
        (lambda to: to.head(206, content_length=0, content_range="bytes 5-5/9"), "in other pieces"),
        (lambda to: to.whole(b"xx", 206, content_range="bytes 0-0/9"), "in another length"),
        (lambda to: to.whole(b"x", 206, content_range="nonsense"), "does not answer requests for ranges"),
    ],
)
def test_faults_of_servers_are_explained_without_secrets(
    host: FileHost, answer: Callable[[Exchange], None], reason: str
) -> None:
    with pytest.raises(ArchiveError, match=reason) as told:
        open_archive(host.put("/x.zip", answer) + "?token=TOPSECRETTOPSECRET")
    assert "TOPSECRET" not in str(told.value)


def test_a_host_that_does_not_answer_is_an_error(host: FileHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatferry.archive.remote_http._PAUSES", ())
    host.close()
    with pytest.raises(ArchiveError, match="cannot be read"):
        open_archive(host.url("/x.zip"))


def test_the_host_that_was_named_is_asked_and_its_redirects_are_judged(host: FileHost) -> None:
    """Its address may be a private one, and its port any; those of another host may not."""
    data = zipped(a=b"a")
    host.put("/x.zip", ranges(lambda: data))
    there = f"http://127.0.0.1:{host.port}"
    with open_archive(
        host.put("/near", lambda to: to.head(302, location="/x.zip", content_length=0))
    ) as archive:
        assert archive.read("a") == b"a"
    with hosting() as other:
        url = other.put(
            "/far", lambda to: to.head(302, location=f"{there}/x.zip?t=TOPSECRET", content_length=0)
        )
        with pytest.raises(ArchiveError, match=f"port {host.port} is not one that") as told:
            open_archive(url)
        assert "TOPSECRET" not in str(told.value)
        with open_archive(url, rules=Rules(hosts=frozenset({f"127.0.0.1:{host.port}"}))) as archive:
            assert archive.read("a") == b"a"
    url = host.put("/metadata", lambda to: to.head(302, location="http://169.254.169.254/", content_length=0))
    with pytest.raises(ArchiveError, match="asks only public hosts"):
        open_archive(url)
    loop = host.put("/loop", lambda to: to.head(302, location="/loop", content_length=0))
    with pytest.raises(ArchiveError, match="redirects again and again"):
        open_archive(loop)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://user:TOPSECRET@files.example/x.zip", "holds a user name or password"),
        ("https:///x.zip", "names no host"),
        ("http://files.example:99999/x.zip", "there is no port 99999"),
    ],
)
def test_addresses_that_are_not_asked(url: str, reason: str) -> None:
    with pytest.raises(ArchiveError, match=reason) as told:
        open_archive(url)
    assert "TOPSECRET" not in str(told.value)


def test_proxies_of_the_environment_are_used_only_when_asked_for(
    host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatferry.archive.remote_http._PAUSES", ())
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{host.port}")
    monkeypatch.setenv("no_proxy", "internal.example")
    data = zipped(a=b"a")
    for name in ("files.invalid", "internal.example"):
        host.answers[f"http://{name}/x.zip"] = ranges(lambda: data)
    with pytest.raises(ArchiveError, match=r"files\.invalid"):
        open_archive("http://files.invalid/x.zip")
    assert host.asked == []
    asked_for = from_environment({"CHATFERRY_ARCHIVE_PROXIES": "on"}).downloads
    with open_archive("http://files.invalid/x.zip", rules=asked_for) as archive:
        assert archive.read("a") == b"a"
    with pytest.raises(ArchiveError):
        open_archive("http://internal.example/x.zip", rules=asked_for)


def test_proxies_are_not_used_for_s3_either(host: FileHost, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_environment("http://s3.invalid").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{host.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    host.answers["http://s3.invalid/exports/x.zip"] = lambda to: to.whole(b"", 404)
    pytest.importorskip("boto3")
    with pytest.raises(ArchiveError):
        open_archive("s3://exports/x.zip")
    assert host.asked == []

"""downloadPublicImportFile with a URL, over HTTP against the real server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.exports import DAY, TOKEN, message, write_export
from tests.support.filehost import Exchange, FileHost, hosting
from tests.support.serving import Server, current, latest, login, serving, start, until, wait_for

ETAG = '"one"'


@pytest.fixture(scope="module")
def host() -> Iterator[FileHost]:
    with hosting() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, host: FileHost) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("archives") / "data"
    with serving(data, CHATFERRY_DOWNLOAD_HOSTS=host.name) as running:
        yield running


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as found:
        yield found


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("export") / "export"
    noise = {"integration_logs.json": list(range(50_000))}
    return write_export(folder, {DAY: [message(1), message(2)], **noise}).read_bytes()


def ask(http: httpx.Client, url: str) -> tuple[int, dict[str, Any]]:
    answer = http.post("downloadPublicImportFile", json={"fileUrl": url, "importerKey": "slack"})
    return answer.status_code, answer.json()


def fails(http: httpx.Client, url: str, error: str, details: str) -> None:
    status, body = ask(http, url)
    hint = body.pop("hint", "")
    assert (status, body) == (400, {"success": False, "error": error})
    operation = current(http)
    assert (operation["status"], operation["valid"]) == ("importer_import_failed", True)
    told = http.get("getImportFileData").json()["error"]
    assert details in told
    assert hint in ("", told)
    assert "abcdefSECRET" not in told


def test_an_archive_is_downloaded_and_imported(
    server: Server, http: httpx.Client, host: FileHost, archive: bytes
) -> None:
    url = host.put("/the export.zip", archive).replace(" ", "%20")
    host.answers["/the%20export.zip"] = host.answers["/the export.zip"]
    assert ask(http, f"{url}?token={TOKEN}") == (200, {"success": True})
    operation = wait_for(http, "importer_user_selection")
    assert operation["file"].endswith("_the export.zip") and "contentType" not in operation
    assert [path.name for path in (server.data / "downloads").iterdir()] == [operation["_id"]]
    assert http.get("getImportFileData").json()["message_count"] == 2
    http.post("startImport", json={"input": {"users": {"all": True}, "channels": {"all": True}}})
    wait_for(http, "importer_done")
    assert "abcdefSECRET" not in repr(latest(http))
    until(lambda: not list((server.data / "downloads").iterdir()))


def test_the_answer_waits_for_the_host_and_not_for_the_bytes(http: httpx.Client, host: FileHost) -> None:
    """Cancelled while the bytes come."""
    url = host.put("/slow.zip", Exchange.endless)
    assert ask(http, url) == (200, {"success": True})
    operation = current(http)
    assert operation["status"] == "importer_downloading_file"
    assert http.get("getImportFileData").json() == {"waiting": True, "success": True}
    http.post("import.clear")
    wait_for(http, "importer_import_cancelled", id=operation["_id"])


@pytest.mark.parametrize("status", [404, 403, 500, 302, 204])
def test_a_host_that_refuses(http: httpx.Client, host: FileHost, status: int) -> None:
    url = host.put(f"/{status}", lambda to: to.head(status, content_length=0))
    fails(http, f"{url}?t={TOKEN}", f"Unexpected response status {status}", f"the host answered {status}")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/export.zip",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/export.zip",
        "http://localhost:8080/export.zip",
        "https://user:abcdefSECRET@example.com/export.zip",
        "http://example.com:22/export.zip",
        "http:///export.zip",
    ],
)
def test_addresses_that_are_not_asked(http: httpx.Client, url: str) -> None:
    fails(http, url, "error-ssrf-validation-failed", "http")


def test_a_redirect_to_an_address_that_is_not_asked(http: httpx.Client, host: FileHost) -> None:
    url = host.put("/away", lambda to: to.head(302, location="http://10.0.0.1/x", content_length=0))
    fails(http, url, "error-ssrf-validation-failed", "10.0.0.1")


def _typed_page(to: Exchange) -> None:
    to.whole(b"<!DOCTYPE html><html>Sign in</html>", content_type="text/html; charset=utf-8")


def test_a_page_to_log_in_is_no_archive(http: httpx.Client, host: FileHost) -> None:
    url = host.put("/view", _typed_page)
    status, answer = ask(http, f"{url}?usp=sharing")
    assert status == 400
    assert answer["error"] == (
        f"{url}?usp=sharing: the host sent a web page, perhaps one to log in, instead of the file. "
        "Give an address that leads to the file itself, without logging in, or upload the file."
    )


def test_a_page_without_a_type_is_no_archive(http: httpx.Client, host: FileHost) -> None:
    url = host.put("/untyped", b"<!DOCTYPE html><html>Sign in</html>")
    assert ask(http, url) == (200, {"success": True})
    while current(http)["status"] != "importer_import_failed":
        pass
    assert "the host sent a web page" in http.get("getImportFileData").json()["error"]


def test_no_connection(http: httpx.Client, host: FileHost) -> None:
    url = host.put("/cut", lambda to: to.cut())
    status, answer = ask(http, url)
    assert (status, answer["error"]) == (
        400,
        f"{url}: the connection broke, or the host does not speak HTTP. Try again later.",
    )


def test_an_unknown_importer_begins_nothing(http: httpx.Client, host: FileHost) -> None:
    before = latest(http)
    body = {"fileUrl": "http://127.0.0.1/", "importerKey": "png"}
    answer = http.post("downloadPublicImportFile", json=body)
    assert answer.json()["errorType"] == "error-importer-not-defined"
    assert latest(http) == before


def test_a_crash_in_the_middle(tmp_path: Path, host: FileHost, archive: bytes) -> None:
    """The next start goes on where the download broke off."""
    data, half = tmp_path / "data", len(archive) // 2

    def stalled(to: Exchange) -> None:
        to.head(etag=ETAG, content_length=len(archive))
        to.wfile.write(archive[:half])
        to.stall()

    url = host.put("/crash.zip", stalled)
    server = start(data, CHATFERRY_DOWNLOAD_HOSTS=host.name)
    with login(server) as http:
        assert ask(http, url) == (200, {"success": True})
        id = current(http)["_id"]
        part = data / "downloads" / f"{id}.part" / "bytes"
        while not part.exists() or part.stat().st_size < half // 4096 * 4096:
            assert current(http)["status"] == "importer_downloading_file"
    server.kill()
    host.asked.clear()
    host.put("/crash.zip", lambda to: to.ranged(archive, ETAG))
    with serving(data, CHATFERRY_DOWNLOAD_HOSTS=host.name) as server, login(server) as http:
        wait_for(http, "importer_user_selection")
        assert current(http)["_id"] == id
        ((_, headers),) = host.asked
        assert headers["Range"] == f"bytes={part_size(headers)}-" and part_size(headers) > 0
        http.post("import.clear")
    with serving(data) as server:
        assert list((data / "downloads").iterdir()) == []


def part_size(headers: Any) -> int:
    return int(headers["Range"].removeprefix("bytes=").removesuffix("-"))

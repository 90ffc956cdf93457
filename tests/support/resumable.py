"""Uploads by the tus protocol, request by request."""

import base64
import hashlib
import socket
from pathlib import Path

import httpx
from tusclient.client import TusClient

from tests.support.paths import GOLDEN
from tests.support.serving import Server, sent

MIB = 2**20
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
ARCHIVE = GOLDEN.read_bytes()


def metadata(**values: str) -> str:
    return ",".join(f"{key} {encoded(value)}".strip() for key, value in values.items())


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


NAMED = metadata(importerKey="slack", filename="export.zip", filetype="application/zip")


def create(http: httpx.Client, length: int, content: bytes = b"", **headers: str) -> httpx.Response:
    """Announce an upload of this length, with its first bytes if there are any. It may replace an import."""
    given = {**(BYTES if content else TUS), "Upload-Length": str(length), "Upload-Metadata": NAMED}
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.post("import.uploads?replace=true", content=content, headers={**given, **more})


def created(http: httpx.Client, length: int = len(ARCHIVE), **headers: str) -> str:
    """Return the path of a new upload."""
    answer = create(http, length, b"", **headers)
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"].removeprefix("/api/v1/")


def patch(http: httpx.Client, path: str, offset: int, content: bytes, **headers: str) -> httpx.Response:
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.patch(path, content=content, headers={**BYTES, "Upload-Offset": str(offset), **more})


def offset(http: httpx.Client, path: str) -> int:
    answer = http.head(path, headers=TUS)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    return int(answer.headers["Upload-Offset"])


def refused(answer: httpx.Response, status: int, reason: str) -> None:
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert (answer.status_code, answer.json()["success"]) == (status, False), answer.text
    assert reason in answer.json()["error"]


def promise(algorithm: str, content: bytes) -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


def piece(
    server: Server, http: httpx.Client, path: str, content: bytes, length: int, **headers: str
) -> socket.socket:
    """Return the connection of a first piece of `length` bytes after sending these."""
    more = {"Tus_Resumable": "1.0.0", "Content_Type": BYTES["Content-Type"], "Upload_Offset": "0", **headers}
    return sent(server, http, "PATCH", path, content, Content_Length=str(length), **more)


def on_disk(server: Server, path: str) -> int:
    file = server.data / "uploads" / Path(path).name
    return file.stat().st_size if file.exists() else 0


def tus_client(server: Server, http: httpx.Client) -> TusClient:
    mine = {name: http.headers[name] for name in ("X-User-Id", "X-Auth-Token")}
    return TusClient(f"{server.address}/api/v1/import.uploads?replace=true", headers=mine)

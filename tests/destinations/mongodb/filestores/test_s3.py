"""Files in a bucket, as Rocket.Chat's AmazonS3 store has them."""

import socket
import sys
import threading
from contextlib import suppress

import pytest

from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.destinations.mongodb.filestores import s3_client
from chatferry.documents import UPLOADS
from chatferry.errors import ChatferryError, DestinationError, SettingsError
from tests.support.file_stores import MIB, UPLOAD, Open, keys_of, noise
from tests.support.s3 import KEY, SECRET, S3Server


def refused(destination: MongoDestination, kind: type[ChatferryError] = SettingsError) -> str:
    """Why a file cannot be stored; nothing of it is, and no secret is told."""
    with pytest.raises(kind) as caught:
        destination.put_file(UPLOAD, [bytes(9 * MIB)])
    assert list(destination.dump(UPLOADS)) == []
    text = str(caught.value)
    assert not [word for word in (KEY, SECRET, "hunter2", "Hunter2") if word in text]
    assert text.endswith("fetch what is pending.")
    return text


def test_a_bucket_that_is_not_there(opened: Open, s3: S3Server) -> None:
    text = refused(opened(s3.settings("none-of-this-name")))
    assert "bucket none-of-this-name at 127.0.0.1: there is no such bucket" in text
    assert "names no bucket" in refused(opened(s3.settings("")))
    assert "cannot be that of a bucket" in refused(opened(s3.settings("not a/bucket")))


def test_keys_that_are_refused(opened: Open, bucket: str, s3: S3Server) -> None:
    key, secret = s3.check_keys()
    try:
        assert "refuses the access key" in refused(opened(s3.settings(bucket)))
        known = s3.settings(bucket, FileUpload_S3_AWSAccessKeyId=key)
        assert "refuses the access key" in refused(opened(known))
        known["FileUpload_S3_AWSSecretAccessKey"] = secret
        text = refused(opened(known))
        assert "does not allow it" in text and secret not in text
    finally:
        s3.check_no_keys()
    assert keys_of(s3, bucket) == []


def test_keys_of_the_machine_are_used_if_the_settings_have_none(
    opened: Open, bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = s3.settings(bucket, FileUpload_S3_AWSAccessKeyId="", FileUpload_S3_AWSSecretAccessKey="")
    for name, value in {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    assert "no access key is set" in refused(opened(none))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    opened(none).put_file(UPLOAD, [b"bytes"])
    assert len(keys_of(s3, bucket)) == 1


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:1", DestinationError),
        ("http://bob:hunter2@127.0.0.1:1", DestinationError),
        ("127.0.0.1:1", DestinationError),
        ("ftp://127.0.0.1", SettingsError),
        ("http://:x", SettingsError),
    ],
)
def test_a_server_that_does_not_answer(
    opened: Open, s3: S3Server, url: str, kind: type[ChatferryError]
) -> None:
    settings = s3.settings("some-bucket", FileUpload_S3_BucketURL=url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(s3_client._OPTIONS, "retries", {"mode": "standard", "max_attempts": 1})
        assert "does not answer" in refused(opened(settings), kind)


def test_without_the_library(opened: Open, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3.session", None)
    assert "-m pip install 'boto3>=" in refused(opened(s3.settings("some-bucket")))


def test_an_old_signature(opened: Open, s3: S3Server, bucket: str) -> None:
    opened(s3.settings(bucket, FileUpload_S3_SignatureVersion="v2")).put_file(UPLOAD, [b"bytes"])
    assert len(keys_of(s3, bucket)) == 1


@pytest.mark.parametrize("is_path", [True, False])
def test_the_style_of_addresses(opened: Open, s3: S3Server, bucket: str, is_path: bool) -> None:
    url = f"http://localhost:{s3.port}"
    style = {"FileUpload_S3_ForcePathStyle": is_path, "FileUpload_S3_BucketURL": url}
    destination = opened(s3.settings(bucket, **style))
    client = destination._files._bucket._opened()
    signed = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "key"})
    shown = f"http://localhost:{s3.port}/{bucket}/" if is_path else f"http://{bucket}.localhost:{s3.port}/"
    assert signed.startswith(shown)


def test_a_file_that_is_replaced_while_it_is_read(opened: Open, s3: S3Server, bucket: str) -> None:
    destination = opened(s3.settings(bucket))
    destination.put_file(UPLOAD, [noise(3 * MIB)])
    pieces = destination.read_file(UPLOAD["_id"])
    next(pieces)
    destination.put_file(UPLOAD, [bytes(3 * MIB)])
    with pytest.raises(DestinationError, match="was replaced while it was read"):
        next(pieces)


class Cutting:
    """Stands before a server, and breaks off its first answers of more than `most` bytes."""

    def __init__(self, server: S3Server, times: int, most: int = 300_000) -> None:
        self.left, self._most, self._server = times, most, server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self._server.port))
            for one, other, most in ((here, there, 0), (there, here, self._most)):
                threading.Thread(target=self._pass_on, args=(one, other, most), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, most: int) -> None:
        passed = 0
        try:
            while data := source.recv(65536):
                target.sendall(data)
                passed += len(data)
                if most and passed > most and self.left:
                    self.left -= 1
                    break
        except OSError:
            pass
        for each in (source, target):
            _end(each)

    def close(self) -> None:
        self._listener.close()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@pytest.mark.parametrize("times", [0, 2, 99])
def test_an_answer_that_breaks_off_is_asked_for_again(
    opened: Open, s3: S3Server, bucket: str, times: int
) -> None:
    content = noise(3 * MIB)
    opened(s3.settings(bucket)).put_file(UPLOAD, [content])
    between = Cutting(s3, times)
    try:
        pieces = opened(s3.settings(bucket, FileUpload_S3_BucketURL=between.url)).read_file(UPLOAD["_id"])
        if times < 99:
            assert b"".join(pieces) == content
            assert between.left == 0
        else:
            with pytest.raises(DestinationError, match="does not answer"):
                next(pieces)
    finally:
        between.close()

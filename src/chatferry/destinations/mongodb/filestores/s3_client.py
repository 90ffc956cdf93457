"""A bucket of Amazon S3, or of a server that speaks its protocol, as Rocket.Chat's settings describe it."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from chatferry.errors import ChatferryError, DestinationError, SettingsError
from chatferry.extras import advice

T = TypeVar("T")
_ATTEMPTS = 4  # at an answer that breaks off; the client itself repeats what fails earlier
_OPTIONS: dict[str, Any] = {
    "connect_timeout": 10,
    "read_timeout": 60,
    "retries": {"mode": "standard", "max_attempts": 5},
    "request_checksum_calculation": "when_required",  # many servers do not know the newer checksums
    "response_checksum_validation": "when_required",
}
_OLD_SIGNATURES = ("v2", "s3")
_KEYS = "FileUpload_S3_AWSAccessKeyId and FileUpload_S3_AWSSecretAccessKey"
_REFUSED = f"it refuses the access key; check {_KEYS}"
_NOT_ALLOWED = "the access key does not allow it; let it get, put and list objects of the bucket"
_ELSEWHERE = "the bucket is in another region; check FileUpload_S3_Region and FileUpload_S3_BucketURL"
_AWAY = "it does not answer; check FileUpload_S3_BucketURL and FileUpload_S3_Region, and that it runs"
_TROUBLE = {
    "AccessDenied": _NOT_ALLOWED,
    "AllAccessDisabled": _NOT_ALLOWED,
    "InvalidAccessKeyId": _REFUSED,
    "SignatureDoesNotMatch": _REFUSED,
    "ExpiredToken": _REFUSED,
    "InvalidToken": _REFUSED,
    "RequestTimeTooSkewed": "its clock and that of this machine differ; set them",
    "NoSuchBucket": "there is no such bucket; check FileUpload_S3_Bucket and FileUpload_S3_BucketURL",
    "PermanentRedirect": _ELSEWHERE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
    "PreconditionFailed": "the file was replaced while it was read; ask for it again",
    "NoCredentialsError": f"no access key is set; set {_KEYS}",
    "PartialCredentialsError": f"no access key is set; set {_KEYS}",
    "ParamValidationError": "its name cannot be that of a bucket; check FileUpload_S3_Bucket",
    "EndpointConnectionError": _AWAY,
    "EndpointResolutionError": _AWAY,
    "ConnectTimeoutError": _AWAY,
    "ReadTimeoutError": _AWAY,
    "ConnectionClosedError": _AWAY,
    "SSLError": "its certificate is not trusted; check FileUpload_S3_BucketURL",
}
_OUTAGES = {
    "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError",
    "HTTPClientError", "ProxyConnectionError", "PreconditionFailed", "RequestTimeout", "SlowDown",
    "Throttling",
}  # fmt: skip
_log = logging.getLogger(__name__)


class BucketError(ChatferryError):
    """What the bucket did not do. `code` is S3's name of the error, or that of the client's exception."""

    after = "Then start chatferry again"

    def __init__(self, name: str, code: str) -> None:
        self.code = code
        reason = _TROUBLE.get(code, f"it answers with the error {code}")
        super().__init__(f"{name}: {reason}. {self.after}, and fetch what is pending.")


class BucketRefusal(BucketError, SettingsError):  # noqa: N818  # named after what is so  # both kinds are errors of a bucket
    """Something has to be set in another way before the bucket does it."""


class BucketAway(BucketError, DestinationError):  # noqa: N818
    """The bucket cannot be used just now."""

    after = "Try again when it is back"


def _bucket_error(name: str, code: str, status: int = 0) -> BucketError:
    """Return what the code means; `status` is that of the answer, 0 without one."""
    is_away = code in _OUTAGES or (status >= 500 and code not in _TROUBLE)
    return (BucketAway if is_away else BucketRefusal)(name, code)


class S3Bucket:
    """Opened when it is first asked. `name` is what people see: no key, no password."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._client: Any = None
        self._lock = threading.Lock()
        endpoint = self._endpoint
        where = f" at {urlsplit(endpoint).hostname}" if endpoint else ""
        self.name = f"The S3 bucket {self._text('Bucket')}{where}"

    def ask(self, work: Callable[[Any, str], T]) -> T:
        """Return the result of the work, which gets the client and the bucket's name. Raise BucketError."""
        client = self._opened()
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            IncompleteReadError,
            ResponseStreamingError,
        )

        for attempt in range(_ATTEMPTS):
            try:
                return work(client, self._text("Bucket"))
            except (IncompleteReadError, ResponseStreamingError) as error:
                _log.info("%s: %s, attempt %d", self.name, type(error).__name__, attempt + 1)
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                raise _bucket_error(self.name, code, status) from None
            except BotoCoreError as error:
                raise _bucket_error(self.name, type(error).__name__) from None
        raise _bucket_error(self.name, "ConnectionClosedError")

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def _opened(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._open()
            return self._client

    def _open(self) -> Any:
        if not self._text("Bucket"):
            raise SettingsError(
                "Rocket.Chat keeps files in AmazonS3, and its setting FileUpload_S3_Bucket names no bucket. "
                "Set it, start chatferry again, and fetch what is pending."
            )
        try:
            from boto3.session import Session
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError:
            where = "AmazonS3, where Rocket.Chat keeps files,"
            raise SettingsError(advice(where, "s3", "fetch what is pending")) from None
        is_old = self._text("SignatureVersion") in _OLD_SIGNATURES
        style = "path" if self._settings.get("FileUpload_S3_ForcePathStyle") is True else "virtual"
        config = Config(
            signature_version="s3" if is_old else "s3v4", s3={"addressing_style": style}, **_OPTIONS
        )
        region = self._text("Region") or "us-east-1"
        try:
            return Session().client(
                "s3", region, endpoint_url=self._endpoint or None, config=config, **self._keys()
            )
        except ValueError:
            raise _bucket_error(self.name, "EndpointResolutionError") from None
        except BotoCoreError as error:
            raise _bucket_error(self.name, type(error).__name__) from None

    def _keys(self) -> dict[str, str]:
        """Return the keys of the settings; if none, the client uses this machine's, as Rocket.Chat does."""
        key, secret = self._text("AWSAccessKeyId"), self._text("AWSSecretAccessKey")
        return {"aws_access_key_id": key, "aws_secret_access_key": secret} if key and secret else {}

    @property
    def _endpoint(self) -> str:
        url = self._text("BucketURL")
        return f"https://{url}" if url and "://" not in url else url

    def _text(self, name: str) -> str:
        return str(self._settings.get(f"FileUpload_S3_{name}") or "").strip()

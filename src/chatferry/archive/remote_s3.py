"""An object in S3, or in a server that speaks its protocol, read by ranges."""

import os

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chatferry.archive.messages import fault
from chatferry.archive.remote import CHANGED, ONCE_MORE, SILENCE
from chatferry.downloads import Rules
from chatferry.errors import ArchiveError

_ERRORS = (OSError, ValueError, BotoCoreError, ClientError)


class S3Object:
    """A `Remote` at s3://BUCKET/KEY. Each answer has to be of the state that was opened."""

    def __init__(self, url: str, shown: str, rules: Rules) -> None:
        self._shown = shown
        bucket, _, key = url.partition("://")[2].partition("/")
        self._object = {"Bucket": bucket, "Key": key}
        own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        try:
            self._client = boto3.client(
                "s3",
                config=Config(
                    connect_timeout=10,
                    read_timeout=SILENCE,
                    retries={"mode": "standard", "max_attempts": 5},
                    # servers of one's own have no host for each bucket
                    s3={"addressing_style": "path"} if own else {},
                    proxies=None if rules.proxies else {},  # None: those of the environment
                ),
            )
            head = self._client.head_object(**self._object)
        except _ERRORS as error:
            raise self._fault(error) from error
        self.size, self.tag = int(head["ContentLength"]), str(head.get("ETag", ""))

    def fetch(self, start: int, end: int) -> bytes:
        try:
            answer = self._client.get_object(
                **self._object, Range=f"bytes={start}-{end - 1}", IfMatch=self.tag
            )
            data: bytes = answer["Body"].read()
        except _ERRORS as error:
            raise self._fault(error) from error
        if len(data) != end - start:
            raise fault(self._shown, CHANGED, ONCE_MORE)
        return data

    def close(self) -> None:
        self._client.close()

    def _fault(self, error: Exception) -> ArchiveError:
        code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
        if code in ("PreconditionFailed", "412", "InvalidRange", "416"):
            return fault(self._shown, CHANGED, ONCE_MORE)
        if code in ("NoSuchKey", "NoSuchBucket", "404"):
            return fault(self._shown, "does not exist", "Check bucket and key.")
        return fault(
            self._shown,
            f"cannot be read ({str(error).rstrip('.') or type(error).__name__})",
            "Check the credentials and the endpoint in the environment: AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL.",
        )

"""A real S3 server for tests: a process of its own, which keeps its objects in memory."""

import socket
import subprocess
import sys
import time
from typing import Any

import boto3
import httpx
from botocore.config import Config

PATIENCE = 60  # seconds until a test gives up; no test expects to wait that long
KEY, SECRET = "AKIAEXAMPLEKEY000001", "secretOfTheBucketHunter2"


class S3Server:
    def __init__(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port: int = taken.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + PATIENCE
        while not self._is_ready():
            assert self._process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self, service: str = "s3", key: str = KEY, secret: str = SECRET) -> Any:
        return boto3.session.Session(key, secret).client(
            service,
            region_name="us-east-1",
            endpoint_url=self.url,
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )

    def check_keys(self) -> tuple[str, str]:
        """From now on keys are checked. What comes back is one that is known and may do nothing."""
        iam = self.client("iam")
        iam.create_user(UserName="nobody")
        key = iam.create_access_key(UserName="nobody")["AccessKey"]
        self._count_free_calls("0")
        return key["AccessKeyId"], key["SecretAccessKey"]

    def check_no_keys(self) -> None:
        self._count_free_calls("inf")

    def _count_free_calls(self, number: str) -> None:
        url = f"{self.url}/moto-api/reset-auth"
        assert httpx.post(url, content=number.encode(), trust_env=False).status_code == 200

    def settings(self, bucket: str, **more: Any) -> dict[str, Any]:
        """The settings with which Rocket.Chat keeps files in this bucket."""
        return {
            "FileUpload_Storage_Type": "AmazonS3",
            "FileUpload_S3_Bucket": bucket,
            "FileUpload_S3_AWSAccessKeyId": KEY,
            "FileUpload_S3_AWSSecretAccessKey": SECRET,
            "FileUpload_S3_Region": "us-east-1",
            "FileUpload_S3_BucketURL": self.url,
            "FileUpload_S3_ForcePathStyle": True,
            "uniqueID": "uniqueOfServer",
        } | more

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)

"""A real dask.distributed cluster for tests: a scheduler and workers as processes on loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from distributed import Client

from tests.support.serving import PATIENCE, environment


class DaskCluster:
    """A scheduler and its workers, from the beginning of a `with` to its end. `log` has what they say."""

    def __init__(self, folder: Path, workers: int, **variables: str) -> None:
        self.address = f"tcp://127.0.0.1:{_free_port()}"
        self.log = folder / "cluster.log"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        self._count = workers
        self._variables = variables
        self._others: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.start_scheduler()
        for _ in range(self._count):
            self.add_worker()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self.workers, *self._others):
            process.kill()
            process.wait(PATIENCE)

    def start_scheduler(self) -> None:
        port = self.address.rpartition(":")[2]
        where = ("--host", "127.0.0.1", "--port", port, "--dashboard-address", "127.0.0.1:0")
        self.scheduler = self._start("distributed.cli.dask_scheduler", *where)
        self._others.append(self.scheduler)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", int(port))) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def add_worker(self, *options: str, **variables: str) -> None:
        """A worker that joins when it is ready, which is later."""
        worker = self._start(
            *("distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-nanny"),
            *("--host", "127.0.0.1", "--no-dashboard", "--local-directory", str(self._folder)),
            *options,
            **variables,
        )
        self.workers.append(worker)

    def is_ready(self, workers: int) -> None:
        """Return when so many workers are there."""
        with Client(self.address, set_as_default=False) as client:  # type: ignore[no-untyped-call]  # Dask has few types
            client.wait_for_workers(workers, timeout=PATIENCE)

    def _start(self, module: str, *arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=environment(**self._variables, **variables),
            )


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """An S3 server of its own process; its address."""
    port = _free_port()
    with (folder / "s3.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(PATIENCE)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port

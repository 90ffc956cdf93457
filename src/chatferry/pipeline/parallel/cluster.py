"""Processes on several machines: the workers of a dask.distributed cluster.

The first half runs where the import does, the second in the workers. Dask shows arguments in logs and on its
pages: what they hold travels `Hidden`.
"""

import asyncio
import logging
import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError as LostError
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, Self
from uuid import uuid4

import dask
import msgspec
from distributed import Client, KilledWorker, get_worker
from distributed.versions import get_versions
from msgspec import Struct

from chatferry.convert import IdMap
from chatferry.errors import (
    ArchiveError,
    CancelledError,
    ChatferryError,
    DestinationError,
    ProcessError,
    SettingsError,
)
from chatferry.pipeline.parallel import PartsToWrite
from chatferry.pipeline.parallel.archive_spec import ArchiveSpec
from chatferry.pipeline.parallel.scheduling import Chunk, WorkResult, chunked, work_on_chunks
from chatferry.pipeline.parallel.worker_context import WorkerContext
from chatferry.pipeline.results import PartResult
from chatferry.runtime import collect_rarely, peak_memory

_ANSWER = 5  # seconds within which a scheduler has to answer
_PATIENCE = 15  # seconds that a cluster may be without workers
_ENDING = 10  # seconds that groups may take to stop
_COUNTING = 2  # seconds between two countings of workers
_UNUSED = 600  # seconds after which a worker closes what a vanished import has left

_Client: Any = Client  # dask declares no types for most of it
_PACKAGES = ("chatferry", "msgspec", "distributed")
Versions = dict[str, str]
_AGAIN = "What has been imported stays; import again to go on."


class Hidden:
    """Bytes that nobody is shown: they hold passwords, names and what people wrote."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __repr__(self) -> str:
        return f"<{len(self.content)} bytes of chatferry>"


class Cluster:
    """Keeps `chunks.PartWorkers`: the workers of the scheduler at `address`, for one archive."""

    def __init__(self, address: str, source: ArchiveSpec) -> None:
        self._address = address
        self._source = source
        self._session = uuid4().hex
        self._memory: dict[str, float] = {}
        self._threads = 0
        self._counted = self._manned = 0.0  # when workers were counted, and when there were some

    def __enter__(self) -> Self:
        self._client = _connected(self._address)
        try:
            with self._plainly():
                _require_same_versions(self._client)
        except BaseException:
            self._client.close(timeout=_ANSWER)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._client.status == "running":
            telling = threading.Thread(target=self._end_session, daemon=True)
            telling.start()
            telling.join(_ENDING + _ANSWER)  # a worker may be out of reach
        with suppress(OSError, TimeoutError):
            self._client.close(timeout=_ANSWER)

    @property
    def peak_memory(self) -> float:
        return sum(self._memory.values())

    def write(self, wanted: PartsToWrite) -> Iterator[list[PartResult]]:
        """Keep `PartWorkers.write`. The id map goes to one worker, and from there to all."""
        with self._plainly():
            executor = self._client.get_executor(pure=False)
            try:
                given = self._give(wanted.id_map)
                versions = _own_versions()

                def submit(chunk: Chunk) -> Future[WorkResult]:
                    parcel = Hidden(pickle.dumps(_Parcel(self._source, wanted.destination.address, chunk)))
                    future: Future[WorkResult] = executor.submit(
                        import_group, versions, self._session, parcel, given
                    )
                    return future

                chunks, check = chunked(wanted.parts), wanted.check
                for done in work_on_chunks(chunks, submit, {}, lambda: self._room(check), check):
                    self._memory[done.process] = done.memory
                    yield from done.made
            finally:
                with suppress(Exception):  # a client that has lost its scheduler cannot cancel
                    executor.shutdown(wait=False)

    def _give(self, id_map: IdMap) -> Any:
        """Give the id map as a task: scattered data is lost with the last worker that holds it."""
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GB"}):
            return self._client.submit(_given, Hidden(msgspec.msgpack.encode(id_map)), pure=False)

    def _room(self, check: Callable[[], None]) -> int:
        """Return how many chunks may be under way: two for every thread. Wait until there is a thread."""
        while time.monotonic() - self._counted > _COUNTING or not self._threads:
            self._threads = sum(self._client.nthreads().values())
            self._counted = time.monotonic()
            if self._threads or not self._manned:
                self._manned = self._counted
            if self._counted - self._manned > _PATIENCE:
                raise ProcessError(
                    f"The cluster at {self._address} has no workers, and none came in {_PATIENCE} seconds. "
                    f"Start some: dask worker {self._address} --nthreads 1. {_AGAIN}"
                )
            if not self._threads:
                check()
                time.sleep(0.2)
        return 2 * self._threads

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Say in plain words what has happened to the cluster."""
        try:
            yield
        except (ChatferryError, GeneratorExit, KeyboardInterrupt):
            raise
        except KilledWorker as error:
            raise ProcessError(
                "Every worker that was given the same messages ended while it worked on them, "
                f"{error.allowed_failures + 1} in all, mostly for want of memory. Their logs may say why. "
                f"Give them more memory (dask worker --memory-limit). {_AGAIN}"
            ) from error
        except (LostError, asyncio.CancelledError) as error:
            raise self._lost() from error
        except Exception as error:
            if self._client.status != "running" or isinstance(error, OSError | TimeoutError):
                raise self._lost() from error
            _require_same_versions(self._client)  # most likely the reason, with workers that came later
            raise

    def _lost(self) -> ProcessError:
        return ProcessError(
            f"The scheduler at {self._address} went away or was started anew. "
            f"Start it and its workers. {_AGAIN}"
        )

    def _end_session(self) -> None:
        with suppress(Exception):
            self._client.run(end_session, self._session, on_error="ignore")


class _Parcel(Struct):
    """What a worker needs for a chunk."""

    source: ArchiveSpec
    address: str
    chunk: Chunk


def _connected(address: str) -> Any:
    for name in ("distributed", "distributed.client"):  # what they have to say is said in plain words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return _Client(address, timeout=_ANSWER, set_as_default=False, name="chatferry")
    except (OSError, TimeoutError, ValueError) as error:
        raise ProcessError(
            f"No scheduler answers at {address}. Check the address, for instance tcp://scheduler:8786, "
            "and that it runs: dask scheduler."
        ) from error


def _own_versions() -> Versions:
    return _versions(get_versions(packages=_PACKAGES))


def _versions(told: dict[str, Any]) -> Versions:
    """Return the versions that have to be the same everywhere, from what a process tells of itself."""
    found = told["packages"]
    python = ".".join(str(found["python"]).split(".")[:2])
    return {"Python": python} | {name: found.get(name) or "none" for name in _PACKAGES}


def _require_same_versions(client: Any) -> None:
    """Raise SettingsError unless scheduler and workers have the versions of this process."""
    found = client.get_versions(packages=_PACKAGES)
    own = _own_versions()
    _judge("The scheduler", _versions(found["scheduler"]), own)
    for address, told in found["workers"].items():
        _judge(f"The worker {address}", _versions(told), own)


def _judge(who: str, theirs: Versions, own: Versions) -> None:
    for name, version in own.items():
        if theirs[name] != version:
            raise SettingsError(
                f"{who} has {name} {theirs[name]}, the chatferry that imports has {name} {version}. "
                f"Both must be the same: install chatferry {own['chatferry']} on all machines alike."
            )


# ---------------------------------------------------------------- in the workers


class _Session:
    """An import, as this worker knows it."""

    def __init__(self, source: ArchiveSpec, id_map: Hidden) -> None:
        self.over = threading.Event()
        self.context = WorkerContext(source, lambda: id_map.content, self.over.is_set)
        self.chunks = 0  # that are being worked on
        self.used = time.monotonic()


_sessions: dict[str, _Session] = {}
_ended: set[str] = set()
_entering = threading.Lock()


def _given(id_map: Hidden) -> Hidden:
    return id_map


def import_group(versions: Versions, session: str, parcel: Hidden, id_map: Hidden) -> WorkResult:
    """Import a group; looks at the versions before anything that could be different in another one."""
    _judge(f"The worker {get_worker().address}", _own_versions(), versions)
    content: _Parcel = pickle.loads(parcel.content)
    with _in_session(session, content.source, id_map) as context:
        try:
            made = [*context.write(content.chunk, content.address)]
        except (ArchiveError, SettingsError, DestinationError) as error:
            raise type(error)(f"On the worker {get_worker().address}: {error}") from None
    return WorkResult(made, f"{socket.gethostname()} {os.getpid()}", peak_memory())


@contextmanager
def _in_session(id: str, source: ArchiveSpec, id_map: Hidden) -> Iterator[WorkerContext]:
    with _entering:
        if id in _ended:
            raise CancelledError("The import was stopped.")
        if id not in _sessions:
            collect_rarely()
            _close_unused()
            _sessions[id] = _Session(source, id_map)
        session = _sessions[id]
        session.chunks += 1
    try:
        yield session.context
    finally:
        with _entering:
            session.chunks -= 1
            session.used = time.monotonic()
            if session.over.is_set():
                _close(id)


def _close_unused() -> None:
    for id, session in list(_sessions.items()):
        if time.monotonic() - session.used > _UNUSED:
            _close(id)


def _close(id: str) -> None:
    """Close what an import has open here, unless it is still at work."""
    if (session := _sessions.get(id)) is not None and not session.chunks:
        _sessions.pop(id).context.close()


async def end_session(id: str) -> None:
    """Stop what this worker does for an import, and close what it has open; returns when that is done."""
    with _entering:
        _ended.add(id)
        if (session := _sessions.get(id)) is not None:
            session.over.set()
        _close(id)
    end = time.monotonic() + _ENDING
    while id in _sessions and time.monotonic() < end:
        await asyncio.sleep(0.05)

"""Pending files: fetched, stored in the destination, and shown by their messages."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from itertools import groupby
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from chatferry import private
from chatferry.archive import Archive, open_archive
from chatferry.convert.files import completed, upload_document
from chatferry.convert.messages import PendingFile
from chatferry.destinations import Lookup
from chatferry.documents import MESSAGES, Date, Document, Update
from chatferry.downloads import Downloaded, Request
from chatferry.downloads.many import fetch_all
from chatferry.errors import ArchiveError
from chatferry.fetching.content import FILES, content_of, keep, new_token, pieces_of
from chatferry.fetching.run import Run
from chatferry.pipeline import now
from chatferry.problems import problem
from chatferry.records import Outcome, Problem

_PIECE = 1 << 20


class _Wanted(Struct, frozen=True):
    """One file, with all the messages that show it."""

    source: str
    files: tuple[PendingFile, ...]

    @property
    def file(self) -> PendingFile:
        return self.files[0]

    @property
    def ids(self) -> list[tuple[str, str]]:
        return [(file.upload_id, file.message_id) for file in self.files]


def fetch_files(run: Run) -> None:
    """Bring the bytes of every pending file; each ends as stored, skipped or failed."""
    run.expect(run.store.pending_files.count(run.operation.id))
    with ExitStack() as stack:
        work = _Files(run, stack)
        for result in fetch_all(work.requests(), run.settings.downloads, run.check):
            run.check()
            if isinstance(result, Downloaded):
                work.store_downloaded(result)
            else:
                reason = f"{result.url_without_secrets}: {result.reason}"
                work.give_up(work.asked.pop(result.key), "file-not-fetched", reason, result.remedy)
    run.destination.finish(sorted(run.store.pending_files.fetched_rooms(run.operation.id)))


class _Files:
    """`asked` are the files that are being downloaded, by the ids of their uploads."""

    def __init__(self, run: Run, stack: ExitStack) -> None:
        self._run = run
        self._stack = stack
        self._archives: dict[str, Archive | None] = {}
        self._folder = run.settings.fetched / FILES
        private.make_folder(self._folder)
        self.asked: dict[str, _Wanted] = {}

    def requests(self) -> Iterator[Request]:
        """What is to be downloaded. Files whose bytes are nearer at hand are dealt with on the way."""
        pending = self._run.store.pending_files.pending(self._run.operation.id)
        for upload_id, group in groupby(pending, lambda found: found.file.upload_id):
            self._run.check()
            some = list(group)
            wanted = self._shown(_Wanted(some[-1].source, tuple(found.file for found in some)))
            if not wanted.files or self._is_stored(wanted) or self._is_in_archive(wanted):
                continue
            if wanted.file.url:
                self.asked[upload_id] = wanted
                path = self._folder / upload_id
                yield Request(
                    url=wanted.file.url, path=path, key=upload_id, mime=wanted.file.mime, resumable=True
                )
            else:
                reason = f"{wanted.file.name} lay in the export, which is not there any more"
                self.give_up(wanted, "file-archive-gone", reason)

    def store_downloaded(self, result: Downloaded) -> None:
        """Store a file that came, or that came for another room just before."""
        wanted = self.asked.pop(result.key)
        if result.path.exists():
            self._store(wanted, result.path, result)
        else:
            twin = self._run.destination.read_file(result.path.name)
            path = self._folder / result.key
            keep(twin, path)
            self._store(wanted, path, replace(result, path=path))

    def give_up(self, wanted: _Wanted, kind: str, reason: str, remedy: str = "") -> None:
        """A file that did not come stays pending; the report says why."""
        self._run.settle(Outcome.FAILED, wanted.ids, _noted(kind, wanted.file, reason, remedy))

    def _shown(self, wanted: _Wanted) -> _Wanted:
        """Without the messages that are not there any more: their files are pending no longer.

        Unless none of all messages with files is there: somebody has emptied the destination, and what was
        imported into it may come back.
        """
        messages = self._messages(wanted)
        gone = tuple(file for file in wanted.files if file.message_id not in messages)
        for file in gone:
            if self._has_messages:
                self._drop(file)
            else:
                reason = f"{file.name} stays pending: not one of the messages that had files is there"
                self.give_up(replace(wanted, files=(file,)), "file-messages-missing", reason)
        return replace(wanted, files=tuple(file for file in wanted.files if file not in gone))

    @cached_property
    def _has_messages(self) -> bool:
        """Whether the destination has any message that the store knows a file of."""
        pages = self._run.store.pending_files.message_ids()
        return any(self._run.destination.find(Lookup.MESSAGE_ID, ids) for ids in pages)

    def _drop(self, file: PendingFile) -> None:
        note = _noted("file-without-message", file, f"the message that had {file.name} is not there any more")
        with self._run.store.transaction():
            self._run.settle(Outcome.SKIPPED, [(file.upload_id, file.message_id)], note)
            self._run.store.pending_files.remove(file.upload_id, file.message_id)

    def _messages(self, wanted: _Wanted) -> dict[str, Document]:
        ids = [file.message_id for file in wanted.files]
        return {found["_id"]: found for found in self._run.destination.find(Lookup.MESSAGE_ID, ids)}

    def _is_stored(self, wanted: _Wanted) -> bool:
        """True if the bytes are there, for another message or from before a crash."""
        found = self._run.destination.find(Lookup.UPLOAD_ID, [wanted.file.upload_id])
        if not found:
            return False
        self._show(wanted, found[0])
        return True

    def _is_in_archive(self, wanted: _Wanted) -> bool:
        """True if the bytes are in the export itself, and were taken from there or found damaged."""
        archive = self._archive(wanted.source) if wanted.file.path else None
        if archive is None or wanted.file.path not in archive:
            return False
        path = self._folder / wanted.file.upload_id
        try:
            with archive.open(wanted.file.path) as stream:
                content = keep(iter(lambda: stream.read(_PIECE), b""), path)
        except ArchiveError as error:
            self.give_up(wanted, "file-not-fetched", str(error))
        else:
            told = Downloaded(
                key=path.name, path=path, size=content.size, sha256=content.sha256, content_type=""
            )
            self._store(wanted, path, told)
        return True

    def _archive(self, operation_id: str) -> Archive | None:
        """The archive of an operation, open; None if it cannot be read any more."""
        if operation_id not in self._archives:
            self._archives[operation_id] = self._opened(operation_id)
        return self._archives[operation_id]

    def _opened(self, operation_id: str) -> Archive | None:
        source = self._run.store.operations.get(operation_id)
        if source is None or not source.archive:
            return None
        try:
            archive = open_archive(source.archive, self._run.settings.limits)
        except ArchiveError:
            return None
        archive.before_read = self._run.check
        return self._stack.enter_context(archive)

    def _store(self, wanted: _Wanted, path: Path, told: Downloaded) -> None:
        moment = Date.at(now())
        upload = upload_document(wanted.file, content_of(told), told.content_type, moment, new_token())
        self._run.destination.put_file(upload, pieces_of(path, self._run.stop))
        path.unlink()
        self._show(wanted, upload)

    def _show(self, wanted: _Wanted, upload: Document) -> None:
        """Let the messages show their file."""
        changes = [
            Update(collection=MESSAGES, id=id, set=fields)
            for id, message in self._messages(wanted).items()
            if (fields := completed(message, {upload["_id"]: upload}))
        ]
        if changes:
            self._run.destination.apply(changes)
        self._run.settle(Outcome.INSERTED, wanted.ids)


def _noted(kind: str, file: PendingFile, reason: str, remedy: str = "") -> Problem:
    note = problem(kind, reason, file=file.name, position=file.message_id, field="files")
    return replace(note, remedy=f"{remedy}.") if remedy else note

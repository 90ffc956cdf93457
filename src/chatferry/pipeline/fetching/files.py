"""Pending files: fetched, stored in the destination, and shown by their messages."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cached_property
from itertools import groupby
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from chatferry import private
from chatferry.archive import Archive, open_archive
from chatferry.clock import now
from chatferry.convert.files import completed, upload_document
from chatferry.destinations import Lookup
from chatferry.documents import MESSAGES, Date, Document, Update
from chatferry.downloads import Downloaded, Failed, Request
from chatferry.downloads.fetch_many import fetch_all
from chatferry.errors import ArchiveError
from chatferry.pipeline.fetching.content import content_of, keep, new_token, pieces_of
from chatferry.pipeline.fetching.run import FetchRun
from chatferry.pipeline.linking import is_administrator
from chatferry.pipeline.retention import FILES
from chatferry.problems import problem
from chatferry.records import Outcome, PendingFile, Problem
from chatferry.store.pending_files import SourcedFile

_PIECE = 1 << 20


class _Wanted(Struct, frozen=True):
    """One file, with messages that are to show it.

    `source` is the operation that brought the messages, `is_trusted` whether an administrator started it:
    then the file may be opened to the rooms of the messages wherever its bytes come from.
    """

    source: str
    files: tuple[PendingFile, ...]
    is_trusted: bool

    @property
    def file(self) -> PendingFile:
        return self.files[0]

    @property
    def ids(self) -> list[tuple[str, str]]:
        return [(file.upload_id, file.message_id) for file in self.files]

    @property
    def key(self) -> str:
        """Return the name of the download, and of the file on the way."""
        return self.file.upload_id if self.is_trusted else f"{self.file.upload_id}-{self.source}"


def fetch_files(run: FetchRun) -> None:
    """Bring the bytes of every pending file; each ends as stored, skipped or failed."""
    run.expect(run.store.pending_files.count(run.operation.id))
    with ExitStack() as stack:
        work = _Files(run, stack)
        for result in fetch_all(work.requests(), run.settings.downloads, run.check):
            run.check()
            if isinstance(result, Downloaded):
                work.store_downloaded(result)
            else:
                work.fail(result)
    run.destination.refresh_rooms(sorted(run.store.pending_files.fetched_rooms(run.operation.id)))


class _Files:
    """`asked` are the files that are being downloaded, by their keys."""

    def __init__(self, run: FetchRun, stack: ExitStack) -> None:
        self._run = run
        self._stack = stack
        self._archives: dict[str, Archive | None] = {}
        self._folder = run.settings.fetched / FILES
        private.make_folder(self._folder)
        self._administrators: dict[str, bool] = {}
        self._stored_as: dict[str, str] = {}  # the upload that a downloaded file became
        self.asked: dict[str, _Wanted] = {}

    def requests(self) -> Iterator[Request]:
        """Yield the downloads. Files whose bytes are nearer at hand are dealt with on the way."""
        pending = self._run.store.pending_files.pending(self._run.operation.id)
        for _, chunk in groupby(pending, lambda found: found.file.upload_id):
            self._run.check()
            for some in self._by_right(chunk):
                wanted = self._without_open(self._shown(some))
                if not wanted.files or self._is_stored(wanted) or self._is_in_archive(wanted):
                    continue
                if wanted.file.url:
                    self.asked[wanted.key] = wanted
                    file, path = wanted.file, self._folder / wanted.key
                    yield Request(url=file.url, path=path, key=wanted.key, mime=file.mime, resumable=True)
                else:
                    reason = "it was in the export, which is no longer there"
                    self.give_up(wanted, "file-archive-gone", reason)

    def _by_right(self, pending: Iterable[SourcedFile]) -> Iterator[_Wanted]:
        """Yield one file: first for the imports of administrators, then for each other import by itself.

        A message of another import may name a file of a room that its starter cannot read.
        """
        trusted: list[SourcedFile] = []
        untrusted: dict[str, list[PendingFile]] = {}
        for found in pending:
            if self._is_administrators(found.source):
                trusted.append(found)
            else:
                untrusted.setdefault(found.source, []).append(found.file)
        if trusted:
            yield _Wanted(trusted[-1].source, tuple(found.file for found in trusted), is_trusted=True)
        for source, files in untrusted.items():
            yield _Wanted(source, tuple(files), is_trusted=False)

    def _is_administrators(self, operation_id: str) -> bool:
        """Return whether an administrator started an import."""
        if operation_id not in self._administrators:
            operation = self._run.store.operations.get(operation_id)
            starter = (operation.starter or operation.user) if operation else ""
            self._administrators[operation_id] = is_administrator(self._run.destination, starter)
        return self._administrators[operation_id]

    def _without_open(self, wanted: _Wanted) -> _Wanted:
        """Show a stored file where its room has it already; return the rest of an untrusted import's."""
        if wanted.is_trusted or not wanted.files:
            return wanted
        upload = self._upload(wanted)
        if upload is None:
            return wanted
        open_to = {upload.get("rid"), *self._run.store.pending_files.rooms(wanted.file.upload_id)}
        shown = tuple(file for file in wanted.files if file.room_id in open_to)
        if shown:
            self._show(replace(wanted, files=shown), upload)
        return replace(wanted, files=tuple(file for file in wanted.files if file not in shown))

    def store_downloaded(self, result: Downloaded) -> None:
        """Store a file that came, or that came for another room just before."""
        wanted = self.asked.pop(result.key)
        if result.path.exists():
            self._store(wanted, result.path, result)
        else:
            twin = self._run.destination.read_file(self._stored_as[result.path.name])
            path = self._folder / result.key
            keep(twin, path)
            self._store(wanted, path, replace(result, path=path))

    def give_up(self, wanted: _Wanted, kind: str, reason: str) -> None:
        """Note why a file did not come; it stays pending."""
        self._run.settle(Outcome.FAILED, wanted.ids, _noted(kind, wanted.file, reason))

    def fail(self, result: Failed) -> None:
        """Note why a download failed, and its address; the file stays pending."""
        wanted = self.asked.pop(result.key)
        note = _noted("file-not-fetched", wanted.file, result.reason)
        note = replace(note, field=f"files ({result.url_without_secrets})", remedy=f"{result.remedy}.")
        self._run.settle(Outcome.FAILED, wanted.ids, note)

    def _shown(self, wanted: _Wanted) -> _Wanted:
        """Leave out messages that no longer exist: their files are pending no longer.

        If not one of all messages with files exists, the files stay pending: somebody has emptied the
        destination, and its messages may come back.
        """
        messages = self._messages(wanted)
        gone = tuple(file for file in wanted.files if file.message_id not in messages)
        for file in gone:
            if self._has_messages:
                self._drop(file)
            else:
                reason = "it stays pending: not one of the messages that had files is there"
                self.give_up(replace(wanted, files=(file,)), "file-messages-missing", reason)
        return replace(wanted, files=tuple(file for file in wanted.files if file not in gone))

    @cached_property
    def _has_messages(self) -> bool:
        """Return whether the destination has any message that the store knows a file of."""
        pages = self._run.store.pending_files.message_ids()
        return any(self._run.destination.find(Lookup.MESSAGE_ID, ids) for ids in pages)

    def _drop(self, file: PendingFile) -> None:
        note = _noted("file-without-message", file, "the message that had it is no longer there")
        with self._run.store.transaction():
            self._run.settle(Outcome.SKIPPED, [(file.upload_id, file.message_id)], note)
            self._run.store.pending_files.remove(file.upload_id, file.message_id)

    def _messages(self, wanted: _Wanted) -> dict[str, Document]:
        ids = [file.message_id for file in wanted.files]
        return {found["_id"]: found for found in self._run.destination.find(Lookup.MESSAGE_ID, ids)}

    def _is_stored(self, wanted: _Wanted) -> bool:
        """Return whether the bytes are there, for another message or from before a crash."""
        upload = self._upload(wanted) if wanted.is_trusted else None
        if upload is None:
            return False
        self._show(wanted, upload)
        return True

    def _upload(self, wanted: _Wanted) -> Document | None:
        found = self._run.destination.find(Lookup.UPLOAD_ID, [wanted.file.upload_id])
        return found[0] if found else None

    def _is_in_archive(self, wanted: _Wanted) -> bool:
        """Return whether the bytes are in the export itself, and were taken from there or found damaged."""
        archive = self._archive(wanted.source) if wanted.file.path else None
        if archive is None or wanted.file.path not in archive:
            return False
        path = self._folder / wanted.key
        try:
            with archive.open(wanted.file.path) as stream:
                kept = keep(iter(lambda: stream.read(_PIECE), b""), path)
        except ArchiveError as error:
            self.give_up(wanted, "file-not-fetched", str(error))
        else:
            self._store(wanted, path, kept)
        return True

    def _archive(self, operation_id: str) -> Archive | None:
        """Return the archive of an operation, open; None if it cannot be read any more."""
        if operation_id not in self._archives:
            self._archives[operation_id] = self._opened(operation_id)
        return self._archives[operation_id]

    def _opened(self, operation_id: str) -> Archive | None:
        source = self._run.store.operations.get(operation_id)
        if source is None or not source.archive:
            return None
        try:
            settings = self._run.settings
            archive = open_archive(
                source.archive, settings.limits, rules=settings.downloads, on_block=self._run.check
            )
        except ArchiveError:
            return None
        return self._stack.enter_context(archive)

    def _store(self, wanted: _Wanted, path: Path, told: Downloaded) -> None:
        moment = Date.at(now())
        upload = upload_document(wanted.file, content_of(told), told.content_type, moment, new_token())
        stored = None if wanted.is_trusted else self._upload(wanted)
        if stored is not None and stored.get("etag") != upload["etag"]:
            self._stack.callback(path.unlink, missing_ok=True)
            reason = "another file is stored under its id, for other rooms"
            self.give_up(wanted, "file-of-others", reason)
            return
        if stored is None:
            self._run.destination.put_file(upload, pieces_of(path, self._run.stop))
        self._stored_as[path.name] = upload["_id"]
        path.unlink()
        self._show(wanted, stored or upload)

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


def _noted(kind: str, file: PendingFile, reason: str) -> Problem:
    return problem(kind, reason, file=file.name, position=file.message_id, field="files")

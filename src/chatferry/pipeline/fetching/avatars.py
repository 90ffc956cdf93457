"""Pending avatars: fetched, stored in the destination, and noted on their users."""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from chatferry import private
from chatferry.clock import now
from chatferry.convert.files import avatar_document, avatar_id, media_type
from chatferry.destinations import Destination, Lookup
from chatferry.documents import AVATARS, PENDING_AVATAR, USERS, Date, Document, Update, decode
from chatferry.downloads import Downloaded, Request
from chatferry.downloads.fetch_many import fetch_all
from chatferry.pipeline.fetching.content import content_of, keep, new_token, pieces_of
from chatferry.pipeline.fetching.run import FetchRun
from chatferry.pipeline.retention import FILES
from chatferry.problems import problem
from chatferry.records import Outcome
from chatferry.sizes import MIB

LARGEST = 16 * MIB
_BATCH = 100


def count_avatars(destination: Destination) -> int:
    """Return how many users have an avatar that is still to be fetched."""
    return sum(1 for _ in _pending_ids(destination))


def fetch_avatars(run: FetchRun) -> None:
    """Bring every pending avatar; each ends as stored or failed."""
    ids = [id for id in _pending_ids(run.destination) if not run.store.fetches.is_noted(run.operation.id, id)]
    run.expect(len(ids))
    work = _Avatars(run)
    rules = replace(run.settings.downloads, limit=min(LARGEST, run.settings.downloads.limit))
    for result in fetch_all(work.requests(ids), rules, run.check):
        run.check()
        if isinstance(result, Downloaded):
            work.store_downloaded(result)
        else:
            user, address = work.asked.pop(result.key), f" ({result.url_without_secrets})"
            work.give_up(user, result.reason, f"{result.remedy}.", address)


def _pending_ids(destination: Destination) -> Iterator[str]:
    for user in map(decode, destination.dump(USERS)):
        if user.get(PENDING_AVATAR):
            yield user["_id"]


class _Avatars:
    """`asked` are the users whose avatars are being downloaded, by their ids."""

    def __init__(self, run: FetchRun) -> None:
        self._run = run
        self._folder = run.settings.fetched / FILES
        private.make_folder(self._folder)
        self.asked: dict[str, Document] = {}

    def requests(self, ids: list[str]) -> Iterator[Request]:
        """Yield the downloads. Pictures that the address itself holds are stored on the way."""
        for start in range(0, len(ids), _BATCH):
            for user in self._run.destination.find(Lookup.USER_ID, ids[start : start + _BATCH]):
                self._run.check()
                id = user["_id"]
                url = self._run.store.avatar_addresses.get(id) or user[PENDING_AVATAR]
                if url.startswith("data:"):
                    self._store_given(user, url)
                else:
                    self.asked[id] = user
                    yield Request(url=url, path=self._folder / avatar_id(id), key=id, only_images=True)

    def store_downloaded(self, result: Downloaded) -> None:
        """Store an avatar that came, or that came for another user just before."""
        user = self.asked.pop(result.key)
        path = self._folder / avatar_id(result.key)
        if not result.path.exists():
            keep(self._run.destination.read_file(result.path.name, AVATARS), path)
        self._store(user, path, result)

    def give_up(self, user: Document, reason: str, remedy: str, address: str = "") -> None:
        """Note why an avatar did not come; it stays pending."""
        name = user.get("username", user["_id"])
        note = problem("avatar-not-fetched", reason, field=f"avatar of {name}{address}")
        self._run.settle(Outcome.FAILED, [(user["_id"], "")], replace(note, remedy=remedy))

    def _store_given(self, user: Document, url: str) -> None:
        """Store a picture in the address itself: `data:image/png;base64,...`."""
        head, _, text = url.partition(",")
        type = media_type(head.removeprefix("data:"))
        try:
            data = base64.b64decode(text, validate=True)
        except binascii.Error:
            data = b""
        if not type.startswith("image/") or not head.endswith(";base64") or not data:
            self.give_up(user, "its address holds no picture", "Upload a picture in Rocket.Chat.")
            return
        path = self._folder / avatar_id(user["_id"])
        self._store(user, path, keep([data], path, type))

    def _store(self, user: Document, path: Path, told: Downloaded) -> None:
        content = content_of(replace(told, path=path))
        avatar = avatar_document(user, content, told.content_type, Date.at(now()), new_token())
        self._run.destination.put_file(avatar, pieces_of(path, self._run.stop), AVATARS)
        path.unlink()
        news = {"avatarOrigin": "url", "avatarETag": avatar["etag"]}
        self._run.destination.apply(
            [Update(collection=USERS, id=user["_id"], set=news, unset=(PENDING_AVATAR,))]
        )
        self._run.settle(Outcome.INSERTED, [(user["_id"], "")])

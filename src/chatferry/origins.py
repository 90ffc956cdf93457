"""Origins: the workspace, server, team or realm that an archive comes from. Pure.

Import ids are unique within one origin only: every HipChat server has a user 1. A destination keeps its
origins, and for each of them links: which document an import id of that origin stands for. A document whose
`_id` derives from its origin and import id needs no link.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from chatferry.documents import LINKS, Change, Date, Document, Insert, Update
from chatferry.errors import OriginError
from chatferry.ids import derived_hex, derived_id

RecordType = Literal["user", "channel", "contact"]

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What an origin may be called."""
_EXAMPLES = 3  # contradictions that are told to people


class Origin(Struct, frozen=True):
    """The workspace, server, team or realm whose import ids an archive uses.

    name    its name: a team id that the archive states, or what an administrator calls it
    scope   what keeps the ids of its documents apart from those of other origins; "" for none
    adopts  whether documents that were imported before origins were kept are of this origin
    """

    key: str
    name: str
    scope: str = ""
    adopts: bool = False

    @property
    def id(self) -> str:
        return f"{self.key}/{self.name}"

    @property
    def is_stranger(self) -> bool:
        """Whether another origin, perhaps with the same import ids, was there before."""
        return bool(self.scope)

    def document_id(self, type: str, import_id: str) -> str:
        """Return the `_id` of the account that is made of a user with this import id."""
        return derived_id(type, *self._source(import_id))

    def document_hex(self, type: str, import_id: str) -> str:
        """Return the `_id` of the room, contact or upload that is made of a record with this import id."""
        return derived_hex(type, *self._source(import_id))

    def _source(self, import_id: str) -> tuple[str, ...]:
        return (self.key, self.scope, import_id) if self.scope else (self.key, import_id)


def check_name(name: str) -> str:
    """Return the name if an origin may have it; raise OriginError if not. "" stands for no name."""
    if name and not NAME.fullmatch(name):
        raise OriginError(
            f"{name[:80]!r} cannot be the name of an origin. Use up to 64 letters, digits, dots, dashes and "
            "underscores, such as acme-2019."
        )
    return name


# ---------------------------------------------------------------- origins as documents


def origin_document(origin: Origin, now: Date) -> Document:
    return {
        "_id": origin.id,
        "importer": origin.key,
        "name": origin.name,
        "scope": origin.scope,
        "adopts": origin.adopts,
        "createdAt": now,
    }


def alias_document(key: str, name: str, origin: Origin, now: Date) -> Document:
    """Return the document that gives an origin a second name."""
    return {"_id": f"{key}/{name}", "importer": key, "name": name, "same": origin.name, "createdAt": now}


def origins_of(documents: Iterable[Document], key: str) -> dict[str, Origin]:
    """Return the origins of an importer by their names; one that has two names is there twice."""
    own = [document for document in documents if document.get("importer") == key]
    origins = {
        str(document["name"]): Origin(
            key, str(document["name"]), str(document.get("scope", "")), document.get("adopts") is True
        )
        for document in own
        if "same" not in document
    }
    aliases = {
        str(document["name"]): origins[document["same"]]
        for document in own
        if document.get("same") in origins
    }
    return {**origins, **aliases}


# ---------------------------------------------------------------- links


def link_id(origin: Origin, type: RecordType, import_id: str) -> str:
    return derived_hex("link", origin.id, type, import_id)


class Links:
    """The documents that import ids of one origin and type stand for.

    `stored` are links that the destination has. `adopted` are documents that carry the import id without a
    link, and count as linked.
    """

    def __init__(
        self,
        origin: Origin,
        type: RecordType,
        stored: Iterable[Document] = (),
        adopted: Mapping[str, str] | None = None,
    ) -> None:
        self._origin = origin
        self._type: RecordType = type
        self._stored = {str(link["importId"]): str(link["document"]) for link in stored}
        self._adopted = dict(adopted or {})

    def get(self, import_id: str) -> str:
        """Return the `_id` of the document that an import id is linked to; "" for none."""
        return self._stored.get(import_id) or self._adopted.get(import_id, "")

    def changes(self, import_ids: Iterable[str], document_id: str, derived: str) -> tuple[Change, ...]:
        """Return the changes after which all these import ids lead to a document.

        `derived` is the first import id: its link is left out if the document's `_id` derives from it.
        """
        changes: list[Change] = []
        for import_id in import_ids:
            before = self._stored.get(import_id)
            if before == document_id or (before is None and import_id == derived):
                continue
            id = link_id(self._origin, self._type, import_id)
            if before is None:
                changes.append(Insert(LINKS, self._document(id, import_id, document_id)))
            else:
                changes.append(Update(collection=LINKS, id=id, set={"document": document_id}))
            self._stored[import_id] = document_id
        return tuple(changes)

    def _document(self, id: str, import_id: str, document_id: str) -> Document:
        return {
            "_id": id,
            "origin": self._origin.id,
            "type": self._type,
            "importId": import_id,
            "document": document_id,
        }


# ---------------------------------------------------------------- comparing an archive with what is there


Verdict = Literal["same", "different", "unknown"]


class Comparison(Struct):
    """How the records of an archive compare with the documents that their import ids lead to.

    `examples` say for people which records contradict; `may_show`: with what the destination has.
    """

    may_show: bool = True

    same: int = 0
    different: int = 0
    unknown: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, verdict: Verdict, record: str, document: str) -> None:
        """Count a record; keep the first contradictions as examples, made of what both sides say."""
        if verdict == "same":
            self.same += 1
        elif verdict == "unknown":
            self.unknown += 1
        else:
            self.different += 1
            example = f"{record} in the export and {document if self.may_show else 'not'} in the destination"
            if len(self.examples) < _EXAMPLES and example not in self.examples:
                self.examples.append(example)

    @property
    def meets(self) -> bool:
        """Whether any import id leads to a document."""
        return self.same + self.different + self.unknown > 0

    @property
    def contradicts(self) -> bool:
        """Whether at least as many records differ from their documents as agree with them."""
        return self.different >= max(self.same, 1)


def compare_user(import_id: str, record: tuple[str, str, Sequence[str]], account: Document) -> Verdict:
    """Compare a user's username, name and e-mails with the account that the import id leads to.

    A text that equals the import id proves nothing: the same import id is why the two are compared.
    """
    username, name, emails = record
    own = {email.strip().casefold() for email in emails if email.strip()}
    stored = {
        str(entry["address"]).casefold()
        for entry in account.get("emails") or ()
        if isinstance(entry, dict) and "address" in entry
    }
    if own & stored:
        return "same"
    nothing = {"", import_id.casefold()}
    shown, known = name.strip().casefold(), str(account.get("name", "")).casefold()
    is_alike = shown == known and shown not in nothing
    if own and stored:
        return "same" if is_alike else "different"
    told = {shown, username.casefold()} - nothing
    names = {known, str(account.get("username", "")).casefold()} - nothing
    if told & names:
        return "same"
    return "different" if told and names else "unknown"


def compare_contact(name: str, emails: Iterable[str], phones: Iterable[str], contact: Document) -> Verdict:
    """Compare a contact with the one that the import id leads to."""
    own = {text.strip().casefold() for text in (name, *emails, *phones)} - {""}
    entries = [*(contact.get("emails") or ()), *(contact.get("phones") or ())]
    known = {
        str(value).casefold() for entry in entries if isinstance(entry, dict) for value in entry.values()
    }
    known.add(str(contact.get("name", "")).casefold())
    if own & known:
        return "same"
    return "different" if own and known - {""} else "unknown"


def compare_room(
    import_id: str,
    name: str,
    is_private: bool,
    members: frozenset[str],
    room: Document,
    inside: frozenset[str],
) -> Verdict:
    """Compare a channel with the room that its import id leads to.

    `members` are the accounts of its members as far as they were not found to be different people, `inside`
    those in the room. A private room with quite other members is another room, whatever its name.
    """
    if members & inside:
        return "same"
    own = name.strip().casefold()
    known = {str(room.get(key, "")).casefold() for key in ("name", "fname")} - {""}
    is_told = bool(own) and own != import_id.casefold()
    if inside and is_private:
        return "different"
    # Every workspace has a room that is called general, or random: an equal name proves nothing.
    return "different" if is_told and known and own not in known else "unknown"


# ---------------------------------------------------------------- choosing


class Candidate(Struct, frozen=True):
    """An origin, None for documents from before origins were kept, and how an archive compares with it."""

    origin: Origin | None
    comparison: Comparison


class ChosenOrigin(Struct, frozen=True):
    """The origin of an archive. `is_new`: the destination does not know it yet; `alias`: its second name."""

    origin: Origin
    is_new: bool = False
    alias: str = ""


def choose_origin(
    key: str, given: str, stated: str, known: Mapping[str, Origin], candidates: Sequence[Candidate]
) -> ChosenOrigin:
    """Choose the origin of an archive.

    `given` is the name that a person gave, `stated` the one that the archive states, `known` the origins of
    this importer in the destination. Raises OriginError if that cannot be told without asking.
    """
    same = _agreeing(candidates)
    if given:
        return (
            ChosenOrigin(known[given])
            if given in known
            else _new(key, given, known, candidates, apart=bool(same))
        )
    if stated:
        if stated in known:
            return ChosenOrigin(known[stated])
        return ChosenOrigin(same, alias=stated) if same else _new(key, stated, known, candidates)
    if same:
        return ChosenOrigin(same)
    meeting = [candidate for candidate in candidates if candidate.comparison.meets]
    if any(candidate.origin is None and not candidate.comparison.contradicts for candidate in meeting):
        return _new(key, _unused(key, known), known, candidates)
    if meeting:
        raise OriginError(_question(key, known, meeting))
    if not known:
        return _new(key, key, known, candidates)
    if len(origins := {origin.id: origin for origin in known.values()}) == 1:
        return ChosenOrigin(next(iter(origins.values())))
    raise OriginError(_question(key, known, []))


def _agreeing(candidates: Sequence[Candidate]) -> Origin | None:
    """Return the known origin with whose documents most records agree; None if there is none."""
    agreeing = [
        (candidate.comparison.same, candidate.origin)
        for candidate in candidates
        if candidate.origin is not None
        and candidate.comparison.meets
        and not candidate.comparison.contradicts
    ]
    return max(agreeing, key=lambda pair: pair[0])[1] if agreeing else None


def _new(
    key: str, name: str, known: Mapping[str, Origin], candidates: Sequence[Candidate], *, apart: bool = False
) -> ChosenOrigin:
    """Choose a new origin. `apart`: it is none of the known ones, although its records agree with one.

    An origin that is called as its importer is the workspace of the documents from before origins were kept.
    """
    earlier = next((one.comparison for one in candidates if one.origin is None), Comparison())
    if earlier.meets and not apart and (not earlier.contradicts or name == key):
        return ChosenOrigin(Origin(key, name, adopts=True), is_new=True)
    if earlier.meets or any(not origin.scope for origin in known.values()):
        return ChosenOrigin(Origin(key, name, scope=derived_hex("origin", key, name)[:8]), is_new=True)
    return ChosenOrigin(Origin(key, name), is_new=True)


def _unused(key: str, known: Collection[str]) -> str:
    number = 2
    name = key
    while name in known:
        name, number = f"{key}-{number}", number + 1
    return name


def _question(key: str, known: Mapping[str, Origin], meeting: Sequence[Candidate]) -> str:
    examples = [*dict.fromkeys(text for one in meeting for text in one.comparison.examples)][:_EXAMPLES]
    if examples:
        why = (
            "The import ids of this export belong to other people or rooms in the destination: "
            f"{'; '.join(examples)}."
        )
    else:
        why = (
            "The destination holds exports of several origins, and this export does not say which is its own."
        )
    same = " or ".join(sorted(known)) or key
    return (
        f"{why} Nothing was written. If the export comes from the same workspace as before, give {same} as "
        f"its origin; if not, give a new name, such as {_unused(key, {key, *known})}."
    )

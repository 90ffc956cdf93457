"""Which documents of a destination the import ids of an archive stand for, and which origin it comes from."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from chatferry.destinations import Destination, Lookup
from chatferry.documents import ORIGINS, Date, Document, Insert, decode
from chatferry.importers import IMPORTERS, Importer
from chatferry.operations import Operation
from chatferry.origins import (
    Candidate,
    ChosenOrigin,
    Comparison,
    Links,
    Origin,
    RecordType,
    alias_document,
    choose_origin,
    compare_contact,
    compare_room,
    compare_user,
    link_id,
    origin_document,
    origins_of,
)
from chatferry.records import Channel, Contact, User
from chatferry.store import Store
from chatferry.store.staging import batches

_BATCH = 1000
_ENOUGH = 500  # records that were compared: more would not change the answer
_LOOKUPS: Mapping[RecordType, tuple[Lookup, Lookup]] = {
    "user": (Lookup.USER_ID, Lookup.USER_IMPORT_ID),
    "channel": (Lookup.ROOM_ID, Lookup.ROOM_IMPORT_ID),
    "contact": (Lookup.CONTACT_ID, Lookup.CONTACT_IMPORT_ID),
}
"""By `_id`, and by import id."""


class Origins:
    """The origins that a destination has, and one of them that an archive comes from."""

    def __init__(self, documents: Sequence[Document], own: Origin) -> None:
        self.own = own
        self._rivals = [
            *{
                origin.id: origin for key in IMPORTERS for origin in origins_of(documents, key).values()
            }.values(),
            *(Origin(key, "") for key in IMPORTERS if key != own.key),
        ]

    @property
    def all(self) -> tuple[Origin, ...]:
        """Return all origins, and the origins of documents that were imported before origins were kept."""
        return (self.own, *self._rivals)

    def links(self, destination: Destination, type: RecordType, import_ids: Collection[str]) -> Links:
        """Return what the import ids of the archive's own origin are linked to."""
        wanted = {link_id(self.own, type, import_id) for import_id in import_ids}
        stored = destination.find(Lookup.LINK_ID, wanted)
        adopted: dict[str, str] = {}
        if self.own.adopts:
            linked = {str(link["importId"]) for link in stored}
            adopted = self._adopted(destination, type, [one for one in import_ids if one not in linked])
        return Links(self.own, type, stored, adopted)

    def _adopted(
        self, destination: Destination, type: RecordType, import_ids: Sequence[str]
    ) -> dict[str, str]:
        """Return the documents that carry an import id and are of no other origin."""
        wanted = frozenset(import_ids)
        found = destination.find(_LOOKUPS[type][1], wanted)
        pairs = [
            (import_id, str(document["_id"]))
            for document in found
            for import_id in document.get("importIds") or ()
            if import_id in wanted
        ]
        rivals = [origin for origin in self._rivals if origin.id != self.own.id]
        ids = {link_id(origin, type, import_id) for origin in rivals for import_id, _ in pairs}
        claimed = {
            (str(link["importId"]), str(link["document"])) for link in destination.find(Lookup.LINK_ID, ids)
        }
        return {
            import_id: document_id
            for import_id, document_id in pairs
            if (import_id, document_id) not in claimed
            and all(document_id != _own_id(origin, type, import_id) for origin in rivals)
        }


def _own_id(origin: Origin, type: RecordType, import_id: str) -> str:
    """Return the id of the document that is made of a record of an origin."""
    if type == "user":
        return origin.document_id("user", import_id)
    return origin.document_hex("room" if type == "channel" else type, import_id)


def is_administrator(destination: Destination, user_id: str) -> bool:
    """Return whether an account has the role of an administrator."""
    users = destination.find(Lookup.USER_ID, [user_id]) if user_id else []
    return any("admin" in (user.get("roles") or ()) for user in users)


# ---------------------------------------------------------------- settling the origin of an archive


def settle_origin(
    operation: Operation, importer: Importer, store: Store, destination: Destination, now: int
) -> Origins:
    """Return the origin of an operation's archive; the destination keeps one that is new to it.

    Raises OriginError if it cannot be told. Only an administrator is told who is there already. Nothing else
    is written.
    """
    documents = [decode(line) for line in destination.dump(ORIGINS)]
    known = origins_of(documents, importer.key)
    if operation.origin in known:
        return Origins(documents, known[operation.origin])
    if not importer.source:  # users over the API: every import id is the caller's own
        choice = ChosenOrigin(
            known.get(importer.key) or Origin(importer.key, importer.key, adopts=True), is_new=not known
        )
    else:
        candidates = _candidates(operation, importer.key, known, documents, store, destination)
        choice = choose_origin(importer.key, operation.origin, operation.stated_origin, known, candidates)
    new: list[Document] = []
    if choice.is_new:
        new.append(origin_document(choice.origin, Date.at(now)))
    if choice.alias:
        new.append(alias_document(importer.key, choice.alias, choice.origin, Date.at(now)))
    if new:
        destination.apply([Insert(ORIGINS, document) for document in new])
    return Origins([*documents, *new], choice.origin)


def _candidates(
    operation: Operation,
    key: str,
    known: Mapping[str, Origin],
    documents: Sequence[Document],
    store: Store,
    destination: Destination,
) -> list[Candidate]:
    """Compare an archive with each origin of its importer, and with the documents of none."""
    if operation.stated_origin in known and not operation.origin:
        return []
    earlier = Origin(key, "", adopts=True)
    unique = {origin.id: origin for origin in known.values()}
    return [
        Candidate(
            None if origin is earlier else origin,
            _compared(operation, Origins(documents, origin), store, destination),
        )
        for origin in (*unique.values(), earlier)
    ]


def _compared(operation: Operation, origins: Origins, store: Store, destination: Destination) -> Comparison:
    may_see = is_administrator(destination, operation.starter or operation.user)
    comparison = Comparison(may_show=may_see)
    strangers = _compare_users(operation, origins, store, destination, comparison)
    _compare_rooms(operation, origins, store, destination, comparison, strangers)
    _compare_contacts(operation, origins, store, destination, comparison)
    return comparison


def _compare_users(
    operation: Operation, origins: Origins, store: Store, destination: Destination, comparison: Comparison
) -> set[str]:
    """Compare users; return the import ids of users who are other people than their accounts."""
    different: set[str] = set()
    staged = store.staging.records(operation.id, "user")
    users = (one.record for one in staged if isinstance(one.record, User) and not one.record.placeholder)
    for batch in batches(users, _BATCH):
        linked = _linked(origins, "user", [user.id for user in batch], destination)
        for user in batch:
            if account := linked.get(user.id):
                verdict = compare_user(user.id, (user.username, user.name, user.emails), account)
                if verdict == "different":
                    different.add(user.id)
                comparison.add(
                    verdict,
                    f"user {user.id} is {_person(user.name or user.username, user.emails)}",
                    _account(account),
                )
        if comparison.same + comparison.different >= _ENOUGH:
            break
    return different


def _compare_rooms(
    operation: Operation,
    origins: Origins,
    store: Store,
    destination: Destination,
    comparison: Comparison,
    strangers: Collection[str],
) -> None:
    compared = 0
    staged = store.staging.records(operation.id, "channel")
    channels = (one.record for one in staged if isinstance(one.record, Channel) and one.record.type != "d")
    for batch in batches(channels, _BATCH // 10):
        rooms = _linked(origins, "channel", [channel.id for channel in batch], destination)
        if not rooms:
            continue
        people = {
            member
            for channel in batch
            if channel.id in rooms
            for member in channel.members
            if member not in strangers
        }
        accounts = {
            id: account["_id"] for id, account in _linked(origins, "user", people, destination).items()
        }
        inside: dict[str, set[str]] = {}
        for subscription in destination.find(
            Lookup.SUBSCRIPTION_ROOM, {room["_id"] for room in rooms.values()}
        ):
            inside.setdefault(subscription["rid"], set()).add(subscription["u"]["_id"])
        for channel in batch:
            if room := rooms.get(channel.id):
                members = frozenset(accounts[id] for id in channel.members if id in accounts)
                present = frozenset(inside.get(room["_id"], ()))
                is_private = "p" in (channel.type, room.get("t"))
                told = present if channel.members else frozenset()
                verdict = compare_room(channel.id, channel.name, is_private, members, room, told)
                comparison.add(
                    verdict,
                    f"channel {channel.id} is {channel.name} with {len(channel.members)} members",
                    f"{room.get('name', room['_id'])} with {len(present)} other members",
                )
                compared += 1
        if compared >= _ENOUGH:
            break


def _compare_contacts(
    operation: Operation, origins: Origins, store: Store, destination: Destination, comparison: Comparison
) -> None:
    compared = 0
    staged = store.staging.records(operation.id, "contact")
    contacts = (one.record for one in staged if isinstance(one.record, Contact))
    for batch in batches(contacts, _BATCH):
        linked = _linked(origins, "contact", [contact.id for contact in batch], destination)
        for contact in batch:
            if known := linked.get(contact.id):
                comparison.add(
                    compare_contact(contact.name, contact.emails, contact.phones, known),
                    f"contact {contact.id} is {_person(contact.name, contact.emails)}",
                    _account(known),
                )
        compared += len(linked)
        if compared >= _ENOUGH:
            break


def _linked(
    origins: Origins, type: RecordType, import_ids: Collection[str], destination: Destination
) -> dict[str, Document]:
    """Return the documents that import ids lead to, by import id."""
    links = origins.links(destination, type, import_ids)
    ids = {import_id: links.get(import_id) for import_id in import_ids}
    own = {import_id: _own_id(origins.own, type, import_id) for import_id in import_ids}
    wanted = {id for id in (*ids.values(), *own.values()) if id}
    documents = {document["_id"]: document for document in destination.find(_LOOKUPS[type][0], wanted)}
    found = {id: documents.get(ids[id]) or documents.get(own[id]) for id in import_ids}
    return {id: document for id, document in found.items() if document is not None}


def _person(name: str, emails: Iterable[str]) -> str:
    address = next(iter(emails), "")
    return f"{name} <{address}>" if address else name


def _account(account: Document) -> str:
    emails = [
        str(entry.get("address", "")) for entry in account.get("emails") or () if isinstance(entry, dict)
    ]
    return _person(str(account.get("name") or account.get("username") or account["_id"]), emails)

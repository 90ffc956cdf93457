"""Contacts: matched by import id; what people added to one since stays."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from chatferry.convert.decision import Decision, changed_documents
from chatferry.convert.id_map import MappedUser
from chatferry.documents import CONTACTS, Change, Date, Document, Insert, Update, encode
from chatferry.origins import Links, Origin
from chatferry.problems import NO_PROBLEMS, about
from chatferry.records import Contact, Outcome, Problem


class ContactPolicy(Struct, frozen=True, kw_only=True):
    """What holds for all contacts of an operation. `users` are the archive's, by their import ids."""

    origin: Origin
    users: Mapping[str, MappedUser]


class ContactIndex:
    """The contacts that a batch may meet, and the accounts that its managers' usernames may mean."""

    def __init__(self, contacts: Iterable[Document], accounts: Iterable[Document], links: Links) -> None:
        self.links = links
        self._by_id: dict[str, Document] = {}
        self._account_ids = {account["username"].casefold(): account["_id"] for account in accounts}
        for contact in contacts:
            self.fold(contact)

    def take(self, changes: Iterable[Change]) -> None:
        """Apply changes to the contacts of the index."""
        for contact in changed_documents(changes, CONTACTS, self._by_id):
            self.fold(contact)

    def fold(self, contact: Document) -> None:
        """Add a contact, or replace it."""
        self._by_id[contact["_id"]] = contact

    def match(self, record: Contact, policy: ContactPolicy) -> Document | None:
        """Return the contact that an earlier import made of this one, or linked to it."""
        return self._by_id.get(self.links.get(record.id)) or self._by_id.get(new_id(record, policy))

    def manager_id(self, record: Contact, policy: ContactPolicy) -> str:
        """Return the id of the manager's account: the archive's user, or the account of that username."""
        user = policy.users.get(record.manager)
        if user is not None and not user.absent:
            return user.id
        return str(self._account_ids.get(record.manager.casefold(), ""))


def new_id(record: Contact, policy: ContactPolicy) -> str:
    """Return the `_id` of the contact that is made of a record."""
    return policy.origin.document_hex("contact", record.id)


def decide_contact(record: Contact, known: ContactIndex, policy: ContactPolicy, now: Date) -> Decision:
    """Insert a new contact, or complete the one that an earlier import made."""
    wanted, problems = _details(record, known, policy)
    match = known.match(record, policy)
    change: Change | None
    links: tuple[Change, ...] = ()
    if match is None:
        change, outcome = _insert(record, wanted, policy, now), Outcome.INSERTED
    else:
        change = _update(record, wanted, match)
        outcome = Outcome.UPDATED if change else Outcome.UNCHANGED
        derived = record.id if match["_id"] == new_id(record, policy) else ""
        links = known.links.changes((record.id,), match["_id"], derived)
    return Decision(
        outcome=outcome,
        id=match["_id"] if match else new_id(record, policy),
        name=wanted["name"],
        changes=(change, *links) if change else links,
        problems=problems,
    )


def _details(
    record: Contact, known: ContactIndex, policy: ContactPolicy
) -> tuple[Document, tuple[Problem, ...]]:
    """Return the fields of a contact that the archive has, as Rocket.Chat stores them."""
    problems = NO_PROBLEMS
    details: Document = {"name": record.name or next(iter((*record.emails, *record.phones)), record.id)}
    if not record.name:
        reason = f"the contact has no name; {details['name']} stands in for it"
        problems = (about(record, "contact-without-name", reason, "name"),)
    if record.emails:
        details["emails"] = [{"address": address} for address in record.emails]
    if record.phones:
        details["phones"] = [{"phoneNumber": number} for number in record.phones]
    if record.custom_fields:
        details["customFields"] = dict(record.custom_fields)
    if record.manager:
        manager = known.manager_id(record, policy)
        if manager:
            details["contactManager"] = manager
        else:
            reason = f"nobody has the username {record.manager}, which is named as the contact's manager"
            problems += (about(record, "unknown-manager", reason, "manager"),)
    return details, problems


def _insert(record: Contact, wanted: Document, policy: ContactPolicy, now: Date) -> Insert:
    document: Document = {
        "_id": new_id(record, policy),
        **wanted,
        "channels": [],
        "unknown": False,
        "preRegistration": True,  # no visitor is linked to it yet; one of this e-mail or number may be
        "createdAt": now,
        "importIds": [record.id],
    }
    return Insert(CONTACTS, document)


def _update(record: Contact, wanted: Document, match: Document) -> Update | None:
    """Bring a contact up to date: entries of lists and fields are added and replaced, never removed."""
    news: Document = {}
    for key, value in wanted.items():
        have = match.get(key)
        if key in ("emails", "phones"):
            had = {encode(entry) for entry in have or ()}
            value = [*(have or ()), *(entry for entry in value if encode(entry) not in had)]
        elif key == "customFields":
            value = {**(have or {}), **value}
        if key == "name" and not record.name:
            continue  # a name that somebody gave it is better than ours
        if value != have:
            news[key] = value
    is_linked = record.id in match.get("importIds", ())
    if not news and is_linked:
        return None
    add = {} if is_linked else {"importIds": (record.id,)}
    return Update(collection=CONTACTS, id=match["_id"], set=news, add=add)

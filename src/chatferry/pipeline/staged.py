"""The staged records of an operation, brought into the destination in batches: users, contacts, channels.

Done a second time each goes on where it stopped.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from msgspec import Struct

from chatferry.convert import Decision, MappedRoom, MappedUser
from chatferry.convert import contacts as convert_contacts
from chatferry.convert import rooms as convert_rooms
from chatferry.convert import users as convert_users
from chatferry.convert.names import SETTINGS as NAME_SETTINGS
from chatferry.convert.names import room_names
from chatferry.destinations import Destination, Lookup, Rejection
from chatferry.documents import Date, Document
from chatferry.errors import CancelledError
from chatferry.operations import DIRECT_MESSAGES, Operation
from chatferry.origins import Links
from chatferry.pipeline.linking import Origins, is_administrator
from chatferry.problems import problem
from chatferry.records import ROCKET_CAT, Channel, Contact, Outcome, User
from chatferry.redaction import holds_secret
from chatferry.store import Store, problems
from chatferry.store.staging import Result, Staged, Type, batches

Entered = dict[str, list[str]]
"""The ids of users, and of the channels and groups that they are in."""

STAGE_BATCH, USER_BATCH, CONTACT_BATCH = 1000, 1000, 200
ROOM_BATCH, MEMBER_BATCH = 500, 10_000
"""Rooms that are imported at once, and their members: some of them may have everybody."""
TYPES: tuple[Type, ...] = ("user", "contact", "channel")
_PHASES = {"user": problems.USERS, "contact": problems.CONTACTS, "channel": problems.CHANNELS}


class Work(Struct, frozen=True):
    """What an operation's records are imported with. `origins` has the one of its archive; `check` raises if
    the work is to stop."""

    operation: Operation
    origins: Origins
    store: Store
    destination: Destination
    check: Callable[[], None]
    now: Callable[[], int]

    @property
    def starter(self) -> str:
        """The id of the user in whose name the import runs."""
        return self.operation.starter or self.operation.user

    def links(self, type: Type, import_ids: Collection[str]) -> Links:
        """Return what import ids of the archive's origin are linked to."""
        return self.origins.links(self.destination, type, import_ids)


# ---------------------------------------------------------------- users


def import_users(work: Work) -> None:
    starter = work.destination.find(Lookup.USER_ID, [work.starter])
    default_rooms = [] if work.operation.only_new else work.destination.find(Lookup.ROOM_DEFAULT, ["true"])
    setup = convert_users.UserPolicy(
        origin=work.origins.own,
        archive_ids=work.store.staging.import_ids(work.operation.id, "user"),
        starter_roles=frozenset(starter[0].get("roles", ())) if starter else frozenset(),
        default_rooms=tuple(default_rooms),
        skip_existing=work.operation.only_new,
        makers=work.origins.all,
        guests=work.operation.guests,
    )
    undecided = work.store.staging.records(work.operation.id, "user", undecided=True)
    for batch in batches(undecided, USER_BATCH):
        work.check()
        records = [staged.record for staged in batch if isinstance(staged.record, User)]
        known = _known_accounts(records, setup, work)
        moment = Date.at(work.now())
        decisions = []
        for record in records:
            if record.id in work.operation.selection.users:
                decision = convert_users.decide_user(record, known, setup, moment)
            else:
                decision = _unselected_user(record, known, setup)
            known.take(decision.changes)
            decisions.append(decision)
        _carry_out(work, "user", batch, decisions)


def _known_accounts(
    records: list[User], setup: convert_users.UserPolicy, work: Work
) -> convert_users.UserIndex:
    """Return the accounts that the records may meet. A record that has its own account meets no other, unless
    it has the e-mail address that its account lacks."""
    destination = work.destination
    import_ids = [id for record in records for id in record.import_ids]
    links = work.links("user", import_ids)
    own_ids = {convert_users.new_id(record, setup) for record in records}
    linked_ids = {id for id in map(links.get, import_ids) if id}
    known = convert_users.UserIndex(destination.find(Lookup.USER_ID, own_ids | linked_ids), links)
    own = [(record, known.own(record, setup)) for record in records]
    new = [record for record, account in own if account is None]
    addresses = [email for one, account in own if not (account or {}).get("emails") for email in one.emails]
    known.fold_all(destination.find(Lookup.USER_EMAIL, addresses))
    named = destination.find(Lookup.USERNAME, convert_users.first_wishes(new))
    known.fold_all(named)
    known.claimed.update(_claimed(named, work))
    known.fold_all(destination.find(Lookup.USERNAME, convert_users.further_wishes(new, known)))
    return known


def _claimed(accounts: Collection[Document], work: Work) -> Iterator[str]:
    """Yield the ids of the accounts that stand for users of the archive's origin already."""
    links = work.links("user", {id for account in accounts for id in account.get("importIds") or ()})
    for account in accounts:
        for id in account.get("importIds") or ():
            if account["_id"] in (links.get(id), work.origins.own.document_id("user", id)):
                yield account["_id"]


def _unselected_user(
    record: User, known: convert_users.UserIndex, setup: convert_users.UserPolicy
) -> Decision:
    """Left out; but if an earlier import brought the account, it stays the author of its messages."""
    own = known.own(record, setup)
    reason = f"{record.username or record.id} was not selected"
    skipped = problem("user-not-selected", reason, file=record.file, position=record.position)
    return Decision(
        outcome=Outcome.SKIPPED,
        id=own["_id"] if own else "",
        name=own.get("username", "") if own else record.username,
        problems=(skipped,),
    )


def known_users(work: Work) -> dict[str, MappedUser]:
    """What stands for each user of the archive."""
    users: dict[str, MappedUser] = {}
    cats = work.destination.find(Lookup.USER_ID, [ROCKET_CAT])
    for batch in batches(work.store.staging.records(work.operation.id, "user"), STAGE_BATCH):
        ids = {staged.document_id for staged in batch if staged.document_id}
        documents = {document["_id"]: document for document in work.destination.find(Lookup.USER_ID, ids)}
        for staged in batch:
            document = documents.get(staged.document_id)
            users[staged.record.id] = _account(document) if document else _absent_user(staged)
    users[ROCKET_CAT] = _account(cats[0]) if cats else MappedUser(ROCKET_CAT, ROCKET_CAT, "Rocket.Cat")
    return users


def _account(document: Document) -> MappedUser:
    return MappedUser(
        document["_id"],
        document.get("username", ""),
        document.get("name", ""),
        document.get("active", True),
    )


def _absent_user(staged: Staged) -> MappedUser:
    record = staged.record
    name = record.username if isinstance(record, User) else ""
    return MappedUser("", name, record.name, absent=_absence(staged))


def _absence(staged: Staged) -> str:
    return "failed" if staged.outcome == Outcome.FAILED else "not selected"


# ---------------------------------------------------------------- contacts


def import_contacts(work: Work, users: dict[str, MappedUser]) -> None:
    setup = convert_contacts.ContactPolicy(origin=work.origins.own, users=users)
    undecided = work.store.staging.records(work.operation.id, "contact", undecided=True)
    for batch in batches(undecided, CONTACT_BATCH):
        work.check()
        records = [staged.record for staged in batch if isinstance(staged.record, Contact)]
        managers = work.destination.find(
            Lookup.USERNAME, {record.manager for record in records if record.manager}
        )
        links = work.links("contact", [record.id for record in records])
        ids = {
            id for record in records for id in (links.get(record.id), convert_contacts.new_id(record, setup))
        }
        contacts = work.destination.find(Lookup.CONTACT_ID, ids - {""})
        known = convert_contacts.ContactIndex(contacts, managers, links)
        moment = Date.at(work.now())
        decisions = []
        for record in records:
            if record.id in work.operation.selection.contacts:
                decision = convert_contacts.decide_contact(record, known, setup, moment)
            else:
                decision = _unselected_contact(record)
            known.take(decision.changes)
            decisions.append(decision)
        _carry_out(work, "contact", batch, decisions)


def _unselected_contact(record: Contact) -> Decision:
    reason = f"{record.name or record.id} was not selected"
    skipped = problem("contact-not-selected", reason, file=record.file, position=record.position)
    return Decision(outcome=Outcome.SKIPPED, name=record.name, problems=(skipped,))


# ---------------------------------------------------------------- channels


def import_channels(work: Work, users: dict[str, MappedUser]) -> None:
    starter = work.destination.find(Lookup.USER_ID, [work.starter])
    setup = convert_rooms.RoomPolicy(
        origin=work.origins.own,
        archive_ids=work.store.staging.import_ids(work.operation.id, "channel"),
        users=users,
        lists_users=_lists_users(work),
        starter=_account(starter[0]) if starter else users[ROCKET_CAT],
        may_add=is_administrator(work.destination, work.starter),
        names=room_names(work.destination.settings(NAME_SETTINGS)),
    )
    entered = _entered_before(work)
    try:
        for batch in _room_batches(work.store.staging.records(work.operation.id, "channel", undecided=True)):
            work.check()
            _import_rooms(work, setup, batch, entered)
    except CancelledError:  # what was imported is to be whole
        _list_rooms(work, entered)
        raise
    _list_rooms(work, entered)


def _lists_users(work: Work) -> bool:
    """Return whether the archive names any user beyond those whom placeholders stand for."""
    staged = work.store.staging.records(work.operation.id, "user")
    return any(isinstance(one.record, User) and not one.record.placeholder for one in staged)


def _room_batches(channels: Iterable[Staged]) -> Iterator[list[Staged]]:
    batch: list[Staged] = []
    members = 0
    for staged in channels:
        batch.append(staged)
        members += len(staged.record.members) if isinstance(staged.record, Channel) else 0
        if len(batch) >= ROOM_BATCH or members >= MEMBER_BATCH:
            yield batch
            batch, members = [], 0
    if batch:
        yield batch


def _import_rooms(work: Work, setup: convert_rooms.RoomPolicy, batch: list[Staged], entered: Entered) -> None:
    records = [staged.record for staged in batch if isinstance(staged.record, Channel)]
    links = work.links("channel", [record.id for record in records])
    rooms = list(_room_documents(records, setup, links, work.destination))
    inside = work.destination.find(Lookup.SUBSCRIPTION_ROOM, {room["_id"] for room in rooms})
    known = convert_rooms.RoomIndex(rooms, inside, links)
    moment = Date.at(work.now())
    decisions = []
    for record in records:
        if record.id in work.operation.selection.channels or (
            record.type == "d" and DIRECT_MESSAGES in work.operation.selection.channels
        ):
            decision = convert_rooms.decide_room(record, known, setup, moment)
        else:
            decision = _unselected_channel(record)
        known.take(decision.changes)
        decisions.append(decision)
    for result in _carry_out(work, "channel", batch, decisions):
        for user_id in known.people(result.document_id):
            entered.setdefault(user_id, []).append(result.document_id)


def _entered_before(work: Work) -> Entered:
    """Who is in the channels and groups that this operation has brought so far, before it was interrupted."""
    entered: Entered = {}
    decided = (one for one in work.store.staging.records(work.operation.id, "channel") if one.outcome)
    for batch in batches(decided, ROOM_BATCH):
        ids = {one.document_id: one.number for one in batch if one.document_id}
        found = work.destination.find(Lookup.SUBSCRIPTION_ROOM, ids)
        for subscription in sorted(found, key=lambda one: ids[one["rid"]]):
            if subscription["t"] != "d":
                entered.setdefault(subscription["u"]["_id"], []).append(subscription["rid"])
    return entered


def _list_rooms(work: Work, entered: Entered) -> None:
    """Each user's rooms, on the user: all at once, as people are in many rooms."""
    for ids in batches(entered, USER_BATCH):
        users = work.destination.find(Lookup.USER_ID, ids)
        updates = [convert_rooms.list_rooms(user, entered[user["_id"]]) for user in users]
        if changes := [update for update in updates if update is not None]:
            work.destination.apply(changes)


def _room_documents(
    records: list[Channel], setup: convert_rooms.RoomPolicy, links: Links, destination: Destination
) -> Iterator[Document]:
    ids = [convert_rooms.new_id(record, setup) for record in records]
    ids += [id for id in (links.get(record.id) for record in records) if id]
    # Everybody is in the general room: it is looked up, and with it its people, where it is asked for.
    general = [convert_rooms.GENERAL] if any(record.general for record in records) else []
    yield from destination.find(Lookup.ROOM_ID, [*ids, *general])
    named = [record for record in records if record.type != "d" or record.name]
    wishes = [name for record in named for name in convert_rooms.name_wishes(record, setup.names)]
    yield from destination.find(Lookup.ROOM_NAME, wishes)
    keys = [
        convert_rooms.members_key(
            user.id for user in map(setup.users.get, record.members) if user is not None and not user.absent
        )
        for record in records
        if record.type == "d"
    ]
    yield from destination.find(Lookup.ROOM_MEMBERS, keys)


def _unselected_channel(record: Channel) -> Decision:
    reason = f"{record.name or record.id} was not selected"
    skipped = problem("channel-not-selected", reason, file=record.file, position=record.position)
    return Decision(outcome=Outcome.SKIPPED, name=record.name, problems=(skipped,))


def known_rooms(work: Work) -> dict[str, MappedRoom]:
    rooms: dict[str, MappedRoom] = {}
    for staged in work.store.staging.records(work.operation.id, "channel"):
        if staged.document_id:
            rooms[staged.record.id] = MappedRoom(staged.document_id, staged.name)
        else:
            rooms[staged.record.id] = MappedRoom("", staged.record.name, absent=_absence(staged))
    return rooms


# ---------------------------------------------------------------- carrying out decisions


def _keep_address(store: Store, user_id: str, url: str, decision: Decision) -> None:
    """Keep the secret address of an avatar that is pending: from now on, or since an earlier import."""
    is_new = any(convert_users.is_avatar_pending(change) for change in decision.changes)
    if is_new or store.avatar_addresses.get(user_id):
        store.avatar_addresses.put(user_id, url)


def _carry_out(
    work: Work, type: Type, batch: Sequence[Staged], decisions: Sequence[Decision]
) -> list[Result]:
    """Apply the changes of a batch and note what became of each record."""
    changes = [change for decision in decisions for change in decision.changes]
    owners = [place for place, decision in enumerate(decisions) for _ in decision.changes]
    refused: dict[int, Rejection] = {}
    for rejection in work.destination.apply(changes) if changes else ():
        refused.setdefault(owners[rejection.index], rejection)
    results: list[Result] = []
    with work.store.transaction():
        for place, (staged, decision) in enumerate(zip(batch, decisions, strict=True)):
            notes = list(decision.problems)
            outcome, id = decision.outcome, decision.id
            if place in refused:
                outcome, id = Outcome.FAILED, ""
                record = staged.record
                reason = refused[place].reason
                notes.append(problem(f"{type}-rejected", reason, file=record.file, position=record.position))
            results.append(Result(staged.number, outcome, id, decision.name))
            if isinstance(staged.record, User) and id and holds_secret(staged.record.avatar_url):
                _keep_address(work.store, id, staged.record.avatar_url, decision)
            if notes:
                work.store.problems.add(work.operation.id, _PHASES[type], notes, staged.number * 1000)
        work.store.staging.decide(work.operation.id, type, results)
    return results

"""The users of an archive, in batches. Done a second time it goes on where it stopped."""

from collections.abc import Collection, Iterator

from chatferry.clock import now
from chatferry.convert import MappedUser
from chatferry.convert import users as convert_users
from chatferry.destinations import Lookup
from chatferry.documents import Date, Document
from chatferry.pipeline.apply import (
    STAGE_BATCH,
    RecordContext,
    absence_of,
    carry_out,
    mapped_user,
    not_selected,
)
from chatferry.records import ROCKET_CAT, User
from chatferry.store.staging import Staged, batches

USER_BATCH = 1000


def import_users(context: RecordContext) -> None:
    starter = context.destination.find(Lookup.USER_ID, [context.starter])
    default_rooms = (
        [] if context.operation.only_new else context.destination.find(Lookup.ROOM_DEFAULT, ["true"])
    )
    policy = convert_users.UserPolicy(
        origin=context.origins.own,
        archive_ids=context.store.staging.import_ids(context.operation.id, "user"),
        starter_roles=frozenset(starter[0].get("roles", ())) if starter else frozenset(),
        default_rooms=tuple(default_rooms),
        skip_existing=context.operation.only_new,
        makers=context.origins.all,
        guests=context.operation.guests,
    )
    undecided = context.store.staging.records(context.operation.id, "user", undecided=True)
    for batch in batches(undecided, USER_BATCH):
        context.check()
        records = [staged.record for staged in batch if isinstance(staged.record, User)]
        known = _accounts_of(records, policy, context)
        moment = Date.at(now())
        decisions = []
        for record in records:
            if record.id in context.operation.selection.users:
                decision = convert_users.decide_user(record, known, policy, moment)
            else:
                own = known.own(record, policy)
                decision = not_selected("user", record, record.username, own)
            known.take(decision.changes)
            decisions.append(decision)
        carry_out(context, "user", batch, decisions)


def _accounts_of(
    records: list[User], policy: convert_users.UserPolicy, context: RecordContext
) -> convert_users.UserIndex:
    """Return the accounts that the records may meet. A record that has its own account meets no other, unless
    it has the e-mail address that its account lacks."""
    destination = context.destination
    import_ids = [id for record in records for id in record.import_ids]
    links = context.links("user", import_ids)
    own_ids = {convert_users.new_id(record, policy) for record in records}
    linked_ids = {id for id in map(links.get, import_ids) if id}
    known = convert_users.UserIndex(destination.find(Lookup.USER_ID, own_ids | linked_ids), links)
    own = [(record, known.own(record, policy)) for record in records]
    new = [record for record, account in own if account is None]
    addresses = [email for one, account in own if not (account or {}).get("emails") for email in one.emails]
    known.fold_all(destination.find(Lookup.USER_EMAIL, addresses))
    named = destination.find(Lookup.USERNAME, [convert_users.base_name(record) for record in new])
    known.fold_all(named)
    known.claimed.update(_claimed(named, context))
    known.fold_all(destination.find(Lookup.USERNAME, convert_users.further_wishes(new, known)))
    return known


def _claimed(accounts: Collection[Document], context: RecordContext) -> Iterator[str]:
    """Yield the ids of the accounts that stand for users of the archive's origin already."""
    links = context.links("user", {id for account in accounts for id in account.get("importIds") or ()})
    for account in accounts:
        for id in account.get("importIds") or ():
            if account["_id"] in (links.get(id), context.origins.own.document_id("user", id)):
                yield account["_id"]


def mapped_users(context: RecordContext) -> dict[str, MappedUser]:
    """Return what each user of the archive is mapped to."""
    users: dict[str, MappedUser] = {}
    cats = context.destination.find(Lookup.USER_ID, [ROCKET_CAT])
    for batch in batches(context.store.staging.records(context.operation.id, "user"), STAGE_BATCH):
        ids = {staged.document_id for staged in batch if staged.document_id}
        documents = {document["_id"]: document for document in context.destination.find(Lookup.USER_ID, ids)}
        for staged in batch:
            document = documents.get(staged.document_id)
            users[staged.record.id] = mapped_user(document) if document else _absent_user(staged)
    users[ROCKET_CAT] = mapped_user(cats[0]) if cats else MappedUser(ROCKET_CAT, ROCKET_CAT, "Rocket.Cat")
    return users


def _absent_user(staged: Staged) -> MappedUser:
    record = staged.record
    name = record.username if isinstance(record, User) else ""
    return MappedUser("", name, record.name, absent=absence_of(staged))

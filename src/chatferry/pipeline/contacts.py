"""The contacts of an archive, in batches. Done a second time it goes on where it stopped."""

from chatferry.clock import now
from chatferry.convert import MappedUser
from chatferry.convert import contacts as convert_contacts
from chatferry.destinations import Lookup
from chatferry.documents import Date
from chatferry.pipeline.apply import RecordContext, carry_out, not_selected
from chatferry.records import Contact
from chatferry.store.staging import batches

CONTACT_BATCH = 200


def import_contacts(context: RecordContext, users: dict[str, MappedUser]) -> None:
    policy = convert_contacts.ContactPolicy(origin=context.origins.own, users=users)
    undecided = context.store.staging.records(context.operation.id, "contact", undecided=True)
    for batch in batches(undecided, CONTACT_BATCH):
        context.check()
        records = [staged.record for staged in batch if isinstance(staged.record, Contact)]
        managers = context.destination.find(
            Lookup.USERNAME, {record.manager for record in records if record.manager}
        )
        links = context.links("contact", [record.id for record in records])
        ids = {
            id for record in records for id in (links.get(record.id), convert_contacts.new_id(record, policy))
        }
        contacts = context.destination.find(Lookup.CONTACT_ID, ids - {""})
        known = convert_contacts.ContactIndex(contacts, managers, links)
        moment = Date.at(now())
        decisions = []
        for record in records:
            if record.id in context.operation.selection.contacts:
                decision = convert_contacts.decide_contact(record, known, policy, moment)
            else:
                decision = not_selected("contact", record, record.name, None)
            known.take(decision.changes)
            decisions.append(decision)
        carry_out(context, "contact", batch, decisions)

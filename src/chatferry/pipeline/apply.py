"""Bringing decisions on users, contacts and channels into the destination. Harmless to repeat."""

from collections.abc import Callable, Collection, Sequence

from msgspec import Struct

from chatferry.convert import Decision, MappedUser
from chatferry.convert import users as convert_users
from chatferry.destinations import Destination, Rejection
from chatferry.documents import Document
from chatferry.operations import Operation
from chatferry.origins import Links
from chatferry.pipeline.linking import Origins
from chatferry.problems import about
from chatferry.records import Channel, Contact, Outcome, User
from chatferry.redaction import holds_secret
from chatferry.store import Store, problems
from chatferry.store.staging import Result, Staged, Type

STAGE_BATCH = 1000
TYPES: tuple[Type, ...] = ("user", "contact", "channel")
_PHASES = {"user": problems.USERS, "contact": problems.CONTACTS, "channel": problems.CHANNELS}


class RecordContext(Struct, frozen=True):
    """What an operation's users, contacts and channels are imported with.

    origins  has the origin of the archive
    check    raises CancelledError if the work is to stop
    """

    operation: Operation
    origins: Origins
    store: Store
    destination: Destination
    check: Callable[[], None]

    @property
    def starter(self) -> str:
        """Return the id of the user in whose name the import runs."""
        return self.operation.starter or self.operation.user

    def links(self, type: Type, import_ids: Collection[str]) -> Links:
        """Return what import ids of the archive's origin are linked to."""
        return self.origins.links(self.destination, type, import_ids)


def mapped_user(document: Document) -> MappedUser:
    return MappedUser(
        document["_id"],
        document.get("username", ""),
        document.get("name", ""),
        document.get("active", True),
    )


def absence_of(staged: Staged) -> str:
    return "failed" if staged.outcome == Outcome.FAILED else "not selected"


def not_selected(
    type: Type, record: User | Contact | Channel, name: str, account: Document | None
) -> Decision:
    """Leave out a record; an account that an earlier import brought stays the author of its messages."""
    reason = f"{name or record.id} was not selected"
    note = about(record, f"{type}-not-selected", reason)
    id, name = (account["_id"], account.get("username", "")) if account else ("", name)
    return Decision(outcome=Outcome.SKIPPED, id=id, name=name, problems=(note,))


def _keep_address(store: Store, user_id: str, url: str, decision: Decision) -> None:
    """Keep the secret address of an avatar that is pending: from now on, or since an earlier import."""
    is_new = any(convert_users.is_avatar_pending(change) for change in decision.changes)
    if is_new or store.avatar_addresses.get(user_id):
        store.avatar_addresses.put(user_id, url)


def carry_out(
    context: RecordContext, type: Type, batch: Sequence[Staged], decisions: Sequence[Decision]
) -> list[Result]:
    """Apply the changes of a batch and note what became of each record."""
    changes = [change for decision in decisions for change in decision.changes]
    owners = [place for place, decision in enumerate(decisions) for _ in decision.changes]
    refused: dict[int, Rejection] = {}
    for rejection in context.destination.apply(changes) if changes else ():
        refused.setdefault(owners[rejection.index], rejection)
    results: list[Result] = []
    with context.store.transaction():
        for place, (staged, decision) in enumerate(zip(batch, decisions, strict=True)):
            notes = list(decision.problems)
            outcome, id = decision.outcome, decision.id
            if place in refused:
                outcome, id = Outcome.FAILED, ""
                notes.append(about(staged.record, f"{type}-rejected", refused[place].reason))
            results.append(Result(staged.number, outcome, id, decision.name))
            if isinstance(staged.record, User) and id and holds_secret(staged.record.avatar_url):
                _keep_address(context.store, id, staged.record.avatar_url, decision)
            if notes:
                context.store.problems.add(context.operation.id, _PHASES[type], notes, staged.number * 1000)
        context.store.staging.decide(context.operation.id, type, results)
    return results

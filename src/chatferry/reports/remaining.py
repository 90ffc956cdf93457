"""What remains to be done after an import: files and avatars to fetch, passwords to set."""

from collections import Counter

from chatferry.destinations import Destination
from chatferry.documents import PENDING_AVATAR, USERS, decode
from chatferry.operations import Summary
from chatferry.records import Outcome, User
from chatferry.redaction import host_of
from chatferry.reports.verdict import EXPORT, Remaining
from chatferry.store import Store


def remaining(operation: Summary, store: Store, destination: Destination | None) -> Remaining:
    """Return what remains to be done; without a destination avatars are not counted.

    Reads the addresses of all pending files, and all users of the destination.
    """
    hosts = Counter[str]()
    size = 0
    for pending in store.pending_files.pending(""):
        file = pending.file
        hosts[EXPORT if file.path else host_of(file.url)] += 1
        size += file.size or 0
    users = destination.dump(USERS) if destination else ()
    return Remaining(
        files=hosts.total(),
        file_bytes=size,
        avatars=sum(PENDING_AVATAR in decode(user) for user in users),
        hosts=tuple(host for host, _ in hosts.most_common(4) if host)[:3],
        accounts=_accounts_without_password(operation, store),
    )


def _accounts_without_password(operation: Summary, store: Store) -> int | None:
    if store.staging.outcomes(operation.id, "user") and not store.staging.count(operation.id):
        return None
    return sum(
        staged.outcome == Outcome.INSERTED
        and isinstance(record := staged.record, User)
        and record.type == "user"
        and not (record.placeholder or record.deleted or record.password)
        for staged in store.staging.records(operation.id, "user")
    )

"""The content of a workspace in the words of manifests about people, contacts and files."""

from collections.abc import Iterable
from typing import Any, TypeVar

from chatferry.destinations import Destination
from chatferry.documents import SUBSCRIPTIONS, USERS, Document, Insert
from chatferry.ids import derived_id
from testdata.entries import Account, Line, Noted, Person, Skipped

JSON = dict[str, Any]
L = TypeVar("L", bound=Line)


def add_accounts(destination: Destination, accounts: Iterable[Account]) -> None:
    """Give the workspace the accounts that a manifest wants to be there."""
    users = [
        Insert(
            USERS,
            {
                "_id": derived_id("test", account.username),
                "username": account.username,
                "name": account.name,
                "emails": [{"address": account.email, "verified": True}] if account.email else [],
                "type": "user",
                "roles": ["user"],
                "active": True,
                "services": {},
            },
        )
        for account in accounts
    ]
    assert destination.apply(users) == []


def persons(documents: dict[str, list[Document]]) -> dict[str, Person]:
    """Everybody who is linked to a source, by the first import id. `documents` are those of collections."""
    joined = {one["u"]["username"] for one in documents[SUBSCRIPTIONS]}
    return {
        user["importIds"][0]: _person(user, user["username"] in joined)
        for user in documents[USERS]
        if "importIds" in user
    }


def _person(user: Document, joined: bool) -> Person:
    return Person(
        import_ids=user["importIds"],
        username=user["username"],
        name=user["name"],
        emails=[email["address"] for email in user.get("emails", ())],
        type=user["type"],
        roles=user["roles"],
        active=user["active"],
        utc_offset=user.get("utcOffset"),
        avatar=user.get("_pendingAvatarUrl", ""),
        status_text=user.get("statusText", ""),
        bio=user.get("bio", ""),
        joined=joined,
    )


def of_kind(kind: type[L], lines: Iterable[Line]) -> list[L]:
    return [line for line in lines if isinstance(line, kind)]


def said(lines: Iterable[Line], kinds: dict[str, str]) -> list[tuple[str, str]]:
    """Return the expected problems of a report: kind (`kinds` by the manifest's words) and position."""
    return sorted((kinds[line.why], line.position) for line in lines if isinstance(line, (Skipped, Noted)))


def told(report: JSON) -> list[tuple[str, str]]:
    """Return the problems of a report: kind and position."""
    return sorted((problem["kind"], problem["position"]) for problem in report["problems"])


def counts(tally: JSON) -> JSON:
    """Return the counts that are not 0, once it is sure that they add up."""
    ended = {name: count for name, count in tally.items() if name != "read"}
    assert tally["read"] == sum(ended.values())
    return {name: count for name, count in tally.items() if count}

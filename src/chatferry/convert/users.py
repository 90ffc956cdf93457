"""Users: matched by import id, e-mail or username; existing passwords and roles stay untouched."""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace
from slugify import slugify

from chatferry.convert.decision import Decision, changed_documents
from chatferry.convert.subscriptions import subscription_id
from chatferry.documents import PENDING_AVATAR, SUBSCRIPTIONS, USERS, Change, Date, Document, Insert, Update
from chatferry.operations import Guests
from chatferry.origins import Links, Origin
from chatferry.problems import NO_PROBLEMS, about
from chatferry.records import Outcome, Problem, User
from chatferry.redaction import holds_secret, without_secrets

NAME_TRIES = 9  # alice, alice-1 ... alice-9
_VALID_NAME = re.compile(r"[0-9a-zA-Z\-_.]+")  # Rocket.Chat's UTF8_User_Names_Validation

Means = Literal["id", "email", "username"]
"""What a user and an account have in common."""


class UserPolicy(Struct, frozen=True, kw_only=True):
    """What holds for all users of an operation.

    origin          the workspace that their import ids are unique in
    starter_roles   the roles of the account in whose name it runs
    skip_existing   accounts that exist are left as they are, and not even linked
    makers          the origins whose users may have become accounts
    """

    origin: Origin
    archive_ids: frozenset[str]
    starter_roles: frozenset[str]
    default_rooms: tuple[Document, ...] = ()
    skip_existing: bool = False
    makers: tuple[Origin, ...] = ()
    guests: Guests = Guests.USER


class Match(Struct, frozen=True):
    """The account of a user, and by what it was found."""

    account: Document
    by: Means


class UserIndex:
    """The accounts that a batch may meet, by everything that identifies them, and the links of its users.

    `claimed` are the accounts that stand for users of this origin already.
    """

    def __init__(self, documents: Iterable[Document], links: Links) -> None:
        self.links = links
        self.claimed: set[str] = set()
        self._by_id: dict[str, Document] = {}
        self._by_email: dict[str, Document] = {}
        self._by_username: dict[str, Document] = {}
        self.fold_all(documents)

    def fold_all(self, documents: Iterable[Document]) -> None:
        for document in documents:
            self.fold(document)

    def take(self, changes: Iterable[Change]) -> None:
        """Apply changes to the accounts of the index."""
        self.fold_all(changed_documents(changes, USERS, self._by_id))

    def fold(self, document: Document) -> None:
        """Add an account, or replace it."""
        self._by_id[document["_id"]] = document
        if username := document.get("username"):
            self._by_username[username.casefold()] = document
        for address in _addresses(document):
            self._by_email[address] = document

    def own(self, record: User, policy: UserPolicy) -> Document | None:
        """Return the account that an earlier import made of this user, or linked to it."""
        ids = (*map(self.links.get, record.import_ids), new_id(record, policy))
        return next((self._by_id[id] for id in ids if id in self._by_id), None)

    def match(self, record: User, policy: UserPolicy) -> Match | None:
        """Return the account of this user.

        A placeholder is nobody's account but its own, unless its source knows people by their usernames:
        then it is the account of exactly that username.
        """
        own = self.own(record, policy)
        if own is not None:
            return Match(own, "id")
        if record.placeholder and record.username != record.id:
            return None
        for email in record.emails[:1]:
            if account := self.by_email(email):
                return Match(account, "email")
        account = self.namesake(record)
        if account is None or self.why_another(record, account, policy):
            return None
        if record.placeholder and account["username"] != record.username:
            return None
        return Match(account, "username")

    def holder(self, record: User, policy: UserPolicy) -> Match | None:
        """Return the account that had the user's username before the import, whoever owns it."""
        account = self.namesake(record)
        if account is None or not policy.archive_ids.isdisjoint(account.get("importIds", ())):
            return None
        return Match(account, "username")

    def namesake(self, record: User) -> Document | None:
        """Return the account that has the user's username."""
        return self._by_username.get(record.username.casefold())

    def why_another(self, record: User, account: Document, policy: UserPolicy) -> str:
        """Return why the account of a user's username is somebody else's; "" if nothing speaks against it."""
        if "admin" in account.get("roles", ()):
            return "is an administrator's"
        known = frozenset(_addresses(account))
        if known and record.emails and known.isdisjoint(email.strip().casefold() for email in record.emails):
            return "has another e-mail address"
        # Two people of one archive are never one account because their names are alike, nor are two of
        # different workspaces.
        imported = frozenset(account.get("importIds", ()))
        if account["_id"] in self.claimed or imported & policy.archive_ids:
            return "has another import id"
        if imported and policy.origin.is_stranger:
            return "was imported from another workspace"
        return "is in use: somebody has logged in to it" if account.get("lastLogin") else ""

    def by_email(self, address: str) -> Document | None:
        return self._by_email.get(address.strip().casefold())

    def is_taken(self, username: str) -> bool:
        return username.casefold() in self._by_username or username.casefold() in ("all", "here")


def _addresses(account: Document) -> list[str]:
    return [email["address"].casefold() for email in account.get("emails") or ()]


def new_id(record: User, policy: UserPolicy) -> str:
    """Return the `_id` of the account that is made of a user."""
    return _new_id(policy.origin, record.id)


@lru_cache(maxsize=2000)
def _new_id(origin: Origin, import_id: str) -> str:
    """Return the `_id` of a new account. Cached: a batch asks for each several times."""
    return origin.document_id("user", import_id)


def username_wishes(record: User) -> list[str]:
    """Return the usernames that `decide_user` may give to a new account, best first."""
    base = base_name(record)
    return [base, *(f"{base}-{number}" for number in range(1, NAME_TRIES + 1))]


def further_wishes(records: Iterable[User], known: UserIndex) -> list[str]:
    """Return fallback usernames for records whose first choice may be taken."""
    wishes: dict[str, list[str]] = {}
    contested: set[str] = set()
    for record in records:
        base, *others = username_wishes(record)
        if base.casefold() in wishes or known.is_taken(base):
            contested.add(base.casefold())
        wishes.setdefault(base.casefold(), []).extend(others)
    found: dict[str, None] = {}
    while contested:
        names = [name for base in contested for name in wishes.pop(base)]
        found.update(dict.fromkeys(names))
        contested = wishes.keys() & {name.casefold() for name in names}
    return list(found)


def may_grant(own: Collection[str], role: str) -> bool:
    """Return whether a person with these roles may grant a role: administrators any, others their own."""
    return "admin" in own or role in own or role == "user"


def decide_user(record: User, known: UserIndex, policy: UserPolicy, now: Date) -> Decision:
    """Insert a new account, or link and complete the one that matches."""
    match = known.match(record, policy)
    if policy.skip_existing:
        match = match or known.holder(record, policy)
        if match is not None:
            return _left_alone(record, match)
    if record.guest and policy.guests == Guests.SKIP and (match is None or match.by == "id"):
        record = _guest_left_out(record, is_new=match is None)
    if match is not None:
        return _merge(record, match, known, policy)
    document, problems = _new_user(record, known, policy, now)
    changes: list[Change] = [Insert(USERS, document)]
    if not record.placeholder:
        document["__rooms"] = [room["_id"] for room in policy.default_rooms]
        changes += [Insert(SUBSCRIPTIONS, _joined(document, room, now)) for room in policy.default_rooms]
    changes += known.links.changes(record.import_ids, document["_id"], record.id)
    return Decision(
        outcome=Outcome.INSERTED,
        id=document["_id"],
        name=document["username"],
        changes=tuple(changes),
        problems=tuple(problems),
    )


def _guest_left_out(record: User, is_new: bool) -> User:
    """Return a placeholder for a guest. If the account exists, the placeholder changes nothing of it."""
    bare = User(
        id=record.id,
        further_ids=record.further_ids,
        placeholder=True,
        file=record.file,
        position=record.position,
    )
    if not is_new:
        return bare
    return replace(
        bare, username=record.username, name=record.name, avatar_url=record.avatar_url, deleted=True
    )


# ---------------------------------------------------------------- new accounts


def _new_user(
    record: User, known: UserIndex, policy: UserPolicy, now: Date
) -> tuple[Document, list[Problem]]:
    problems: list[Problem] = []
    if not _own_name(record):
        reason = f"the user {record.id} has neither a name nor an e-mail address; the id is the username"
        problems.append(about(record, "user-without-name", reason, "name"))
    username = next((name for name in username_wishes(record) if not known.is_taken(name)), "")
    if not username:
        username = f"{base_name(record)}-{new_id(record, policy)[:6]}"
    is_wish = bool(record.username) and (not record.placeholder or record.username == record.id)
    if is_wish and username != record.username:
        why = _why_not(record, known, policy)
        reason = f"{_person(record)} is {username} in Rocket.Chat, not {record.username}: {why}"
        problems.append(about(record, "username-changed", reason, "name"))
    granted = [role for role in record.roles if may_grant(policy.starter_roles, role)]
    if refused := [role for role in record.roles if role not in granted]:
        reason = f"{username} was not given {', '.join(refused)}: the import's starter may not grant that"
        problems.append(about(record, "role-not-granted", reason, "roles"))
    document: Document = {
        "_id": new_id(record, policy),
        "createdAt": now,
        "type": record.type,
        "username": username,
        "name": record.name or _name_from(username),
        "roles": list(dict.fromkeys((*granted, _base_role(record, policy)))),
        "active": not record.deleted,
        "status": "offline",
        "importIds": list(record.import_ids),
        # Rocket.Chat's default: a code by e-mail beside the password. No password is made up.
        "services": {"email2fa": {"enabled": True, "changedAt": now}},
    }
    if record.password:
        document["services"]["password"] = {"bcrypt": record.password}
    if record.emails:
        document["emails"] = _emails(record)
    document.update(_details(record))
    return document, problems


def _base_role(record: User, policy: UserPolicy) -> str:
    """Return the role of a new account that its starter need not have: `guest` allows less than `user`."""
    return "guest" if record.guest and policy.guests == Guests.GUEST else "user"


def _why_not(record: User, known: UserIndex, policy: UserPolicy) -> str:
    """Return why a user cannot have the username of the archive."""
    account = known.namesake(record)
    if account is None:
        is_reserved = known.is_taken(record.username)
        return "that name is reserved" if is_reserved else "that is no valid username there"
    why = known.why_another(record, account, policy)
    return f"the account of that name {why}" if why else "another account has that name"


def _person(record: User) -> str:
    """Return how a report names a user: by name, import id and e-mail address."""
    known_by = ", ".join(dict.fromkeys((record.id, *record.emails[:1])))
    name = record.name or record.username
    return f"{name} ({known_by})" if name and name != record.id else known_by


def is_avatar_pending(change: Change) -> bool:
    """Return whether a change leaves a user's avatar to be fetched."""
    fields = change.document if isinstance(change, Insert) else change.set
    return PENDING_AVATAR in fields


def _details(record: User) -> Document:
    given = {
        "statusText": record.status_text,
        "bio": record.bio,
        "nickname": record.nickname,
        "phone": record.phone,
    }
    details: Document = {key: value for key, value in given.items() if value}
    if record.utc_offset is not None:
        details["utcOffset"] = int(record.utc_offset) if record.utc_offset % 1 == 0 else record.utc_offset
    if record.avatar_url:
        # what is left out here the store keeps
        secret = holds_secret(record.avatar_url)
        details[PENDING_AVATAR] = without_secrets(record.avatar_url) if secret else record.avatar_url
    return details


def base_name(record: User) -> str:
    """Return the first choice of username; the import id if the archive has nothing better."""
    return _own_name(record) or _slug(record.id.lower()) or "user"


def _own_name(record: User) -> str:
    """Return the archive's username, or one made of the name or the e-mail's first part; "" for none."""
    for wish in (record.username, record.name, *(email.partition("@")[0] for email in record.emails)):
        if _VALID_NAME.fullmatch(wish):
            return wish
        if made := _slug(wish):
            return made
    return ""


def _slug(text: str) -> str:
    return str(slugify(text, separator=".", regex_pattern=r"[^0-9a-zA-Z\-_.]+"))


def _name_from(username: str) -> str:
    """Return "John Doe" for "john.doe", as Rocket.Chat does it."""
    return " ".join(word[:1].upper() + word[1:] for word in re.split(r"\W+", username) if word)


def _joined(user: Document, room: Document, now: Date) -> Document:
    """Return the subscription with which Rocket.Chat lets every new user join a default room."""
    subscription: Document = {
        "_id": subscription_id(room["_id"], user["_id"]),
        "rid": room["_id"],
        "t": room["t"],
        "name": room["name"],
        "ts": now,
        "u": {"_id": user["_id"], "username": user["username"], "name": user["name"]},
        "open": True,
        "alert": True,
        "unread": 1,
        "userMentions": 1,
        "groupMentions": 0,
    }
    if "fname" in room:
        subscription["fname"] = room["fname"]
    return subscription


# ---------------------------------------------------------------- existing accounts


_GUARDED = {"emails": "e-mail address", "active": "activity", "roles": "role"}
"""Fields of an account that only administrators change, and their names for people."""
_SHARED: dict[Means, str] = {"id": "import id", "email": "e-mail address", "username": "username"}


def _left_alone(record: User, match: Match) -> Decision:
    account = match.account
    username = account.get("username", account["_id"])
    reason = f"the account {username} has the same {_SHARED[match.by]} as {record.id}"
    return Decision(
        outcome=Outcome.SKIPPED,
        id=account["_id"],
        name=account.get("username", ""),
        problems=(about(record, "user-exists", reason),),
    )


def _merge(record: User, match: Match, known: UserIndex, policy: UserPolicy) -> Decision:
    """Link an account that was there before; bring one that an import made up to date."""
    account = match.account
    is_own = account["_id"] == new_id(record, policy)
    is_linked = is_own or all(known.links.get(one) == account["_id"] for one in record.import_ids)
    links = known.links.changes(record.import_ids, account["_id"], record.id if is_own else "")
    wanted = _wanted(record, account, policy) if is_own else {}
    if record.emails and not account.get("emails") and (is_own or _is_imported(account, policy)):
        wanted["emails"] = _emails(record)
    set_, problems = _news(wanted, record, account, known, policy)
    if match.by != "id":
        problems += (_merged(record, match),)
    there = set(account.get("importIds", ()))
    new_ids = tuple(one for one in record.import_ids if one not in there)
    changes: tuple[Change, ...] = links
    if set_ or new_ids:
        add = {"importIds": new_ids} if new_ids else {}
        changes = (Update(collection=USERS, id=account["_id"], set=set_, add=add), *links)
    return Decision(
        outcome=Outcome.UPDATED if set_ or new_ids or not is_linked else Outcome.UNCHANGED,
        id=account["_id"],
        name=account.get("username", ""),
        changes=changes,
        problems=problems,
    )


def _merged(record: User, match: Match) -> Problem:
    account = match.account
    name = account.get("username", account["_id"])
    whose = f" of {account['name']}" if account.get("name", name) != name else ""
    reason = f"{_person(record)} becomes the account {name}{whose}, which has the same {_SHARED[match.by]}"
    return about(record, f"user-merged-by-{match.by}", reason)


def _is_imported(account: Document, policy: UserPolicy) -> bool:
    """Return whether an import made an account, of whatever origin."""
    made = (origin.document_id("user", id) for id in account.get("importIds", ()) for origin in policy.makers)
    return account["_id"] in made


def _emails(record: User) -> list[Document]:
    return [{"address": email, "verified": False} for email in record.emails]


def _wanted(record: User, document: Document, policy: UserPolicy) -> Document:
    """Return what the account that an import made of a user should have by now.

    A role that somebody may have given since is left alone: so are accounts with other roles than `user`, and
    those that somebody has logged in to.
    """
    wanted = _details(record)
    if document.get("roles") == ["user"] and not document.get("lastLogin"):
        wanted["roles"] = [_base_role(record, policy)]
    if record.name:
        wanted["name"] = record.name
    if "avatarOrigin" in document:  # the picture has been fetched
        wanted.pop(PENDING_AVATAR, None)
    if record.deleted:
        wanted["active"] = False
    return wanted


def _news(
    wanted: Document, record: User, document: Document, known: UserIndex, policy: UserPolicy
) -> tuple[Document, tuple[Problem, ...]]:
    """Return the wanted fields that differ from an account's and may be written."""
    news = {key: value for key, value in wanted.items() if document.get(key) != value}
    problems = NO_PROBLEMS
    # The owner of an account's e-mail address may ask for a new password.
    kept = [] if "admin" in policy.starter_roles else [key for key in _GUARDED if key in news]
    username = document.get("username", document["_id"])
    if kept:
        what = " and ".join(_GUARDED[key] for key in kept)
        reason = f"{username} keeps its {what}: only administrators change that"
        problems = (about(record, "account-not-changed", reason),)
    if "emails" in news and "emails" not in kept:
        holders = [holder for email in record.emails if (holder := known.by_email(email)) is not None]
        if holders:
            kept.append("emails")
            holder = holders[0].get("username", holders[0]["_id"])
            reason = (
                f"{username} gets no e-mail address: the account {holder} has the one of {_person(record)}"
            )
            problems += (about(record, "account-not-changed", reason),)
    return {key: value for key, value in news.items() if key not in kept}, problems

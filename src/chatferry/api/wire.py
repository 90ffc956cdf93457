"""Translation between Rocket.Chat's JSON and our types. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from chatferry.documents import Date, Document
from chatferry.operations import DIRECT_MESSAGES, Choice, Selection, Summary
from chatferry.problems import problem
from chatferry.records import Channel, Contact, Problem, User
from chatferry.reports.operation_json import iso

JSON = dict[str, Any]

OPERATION_ID = "Import-Operation-Id"
"""The header with the id of the operation that a call began or continued."""


def is_json(content_type: str) -> bool:
    """Return whether a body with this Content-Type is JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def size(limit: int) -> str:
    """Return a number of bytes as people read it: 10 KiB, 16 MiB."""
    return f"{limit // 2**20} MiB" if limit >= 2**20 else f"{limit // 1024} KiB"


def page(query: Mapping[str, Any], default: int, most: int) -> tuple[int, int]:
    """Return the offset and the count that a checked query asks for."""
    return query.get("offset", 0), min(query.get("count") or default, most)


def progress(value: Summary, name: str) -> JSON:
    """Return the answer of getImportProgress; `name` is the importer's."""
    return {
        "key": value.importer_key,
        "name": name,
        "step": value.status.value,
        "count": {name: getattr(value.count, name) or 0 for name in ("completed", "total", "error")},
    }


def selection(
    name: str,
    users: Iterable[User],
    channels: Iterable[Channel],
    contacts: Iterable[Contact],
    message_count: int,
) -> JSON:
    """Return the answer of getImportFileData. Direct conversations are one entry, the last."""
    rooms = list(channels)
    listed = [_channel(channel) for channel in rooms if channel.type != "d"]
    if len(listed) < len(rooms):
        listed.append(_DIRECT_MESSAGES)
    return {
        "name": name,
        "users": [_user(user) for user in users],
        "channels": listed,
        "contacts": [_contact(contact) for contact in contacts],
        "message_count": message_count,
    }


def _user(user: User) -> JSON:
    wire: JSON = {"user_id": user.id}
    if user.username:
        wire["username"] = user.username
    if user.emails:
        wire["email"] = user.emails[0]
    return {
        **wire,
        "is_deleted": user.deleted is True,
        "is_bot": user.type == "bot",
        "do_import": True,
        "is_email_taken": False,
    }


def _channel(channel: Channel) -> JSON:
    wire: JSON = {"channel_id": channel.id}
    if channel.name:
        wire["name"] = channel.name
    return {
        **wire,
        "is_archived": channel.archived,
        "do_import": True,
        "is_private": channel.type == "p",
        "is_direct": False,
    }


_DIRECT_MESSAGES: JSON = {
    "channel_id": DIRECT_MESSAGES,
    "name": "Direct Messages",
    "is_archived": False,
    "do_import": True,
    "is_private": True,
    "is_direct": True,
}


def _contact(contact: Contact) -> JSON:
    return {
        "id": contact.id,
        "name": contact.name,
        "emails": list(contact.emails),
        "phones": list(contact.phones),
        "do_import": True,
    }


ADDED = "import.addUsers"
"""What problems name as the file of users that came over the API."""


def added_user(item: JSON, number: int, roles: tuple[str, ...], password: str) -> tuple[User, list[Problem]]:
    """Return the user of a checked item of addUsers, and problems with its fields. `password` is a hash."""
    import_id, *further = dict.fromkeys(value for value in item["importIds"] if value)
    position = f"$.users[{number}]"
    offset, type = item.get("utcOffset"), item.get("type")
    problems: list[Problem] = []

    def drop(kind: str, field: str, reason: str) -> None:
        problems.append(problem(kind, reason, file=ADDED, position=position, field=field))

    if offset is not None and not -24 <= offset <= 24:
        drop("user-field-dropped", "utcOffset", f"the utcOffset of {import_id} is no number of hours")
        offset = None
    if type not in (None, "user", "bot"):
        drop("user-field-dropped", "type", f"{import_id} is neither a user nor a bot: imported as a user")
    if refused := [role for role in item.get("roles") or () if role not in roles]:
        drop(
            "role-not-granted", "roles", f"{import_id} was not given {', '.join(refused)}: not yours to grant"
        )
    user = User(
        id=import_id,
        further_ids=tuple(further),
        username=item.get("username") or "",
        name=item.get("name") or "",
        emails=tuple(dict.fromkeys(email for email in item["emails"] if email)),
        type="bot" if type == "bot" else "user",
        roles=roles,
        deleted=item.get("deleted"),
        utc_offset=offset,
        avatar_url=item.get("avatarUrl") or "",
        status_text=item.get("statusText") or "",
        bio=item.get("bio") or "",
        password=password,
        file=ADDED,
        position=position,
    )
    return user, problems


def chosen(input: Mapping[str, Any]) -> Selection:
    """Return the selection of a checked startImport body, in the form since 7.0 or the older one."""
    return Selection(
        users=_choice(input.get("users"), "user_id"),
        channels=_choice(input.get("channels"), "channel_id"),
        contacts=_choice(input.get("contacts"), "id"),
    )


def _choice(value: Any, id_key: str) -> Choice:
    if isinstance(value, list):  # before 7.0: every record, each with `do_import`
        return Choice(list=frozenset(item[id_key] for item in value if item["do_import"]))
    if not isinstance(value, dict):
        return Choice()
    return Choice(all=value.get("all", False), list=frozenset(value.get("list", ())))


def stamp(ms: int) -> str:
    """Return the digits that begin an upload's name: UTC, JavaScript's zero-based month, no padding."""
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{at.year}{at.month - 1}{at.day}{at.hour}{at.minute}{at.second}"


_ME = ("_id", "name", "username", "emails", "status", "statusConnection", "utcOffset", "active", "roles")


def me(user: Document, site: str) -> JSON:
    """Return an account as its owner sees it, without hashes and tokens."""
    wire: JSON = {key: plain(user[key]) for key in _ME if key in user}
    verified = [email["address"] for email in user.get("emails", ()) if email.get("verified")]
    if verified:
        wire["email"] = verified[0]
    wire["settings"] = {"profile": {}, "preferences": {}, "calendar": {}}
    if "username" in user:
        wire["avatarUrl"] = f"{site}/avatar/{user['username']}"
    wire["isOAuthUser"] = False
    wire["services"] = {"password": {"exists": "bcrypt" in user.get("services", {}).get("password", {})}}
    return wire


def personal_token(entry: Document) -> JSON:
    """Return a personal access token as its owner sees it."""
    return {
        "name": entry.get("name", ""),
        "createdAt": plain(entry.get("createdAt", "")),
        "lastTokenPart": entry.get("lastTokenPart", ""),
        "bypassTwoFactor": bool(entry.get("bypassTwoFactor")),
    }


def plain(value: Any) -> Any:
    """Return a document's value as REST shows it: dates as ISO strings."""
    if isinstance(value, Date):
        return iso(value.ms)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value

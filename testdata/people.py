"""Ids, names and people: the n-th member of the workspace is always the same."""

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from testdata import truth
from testdata.phrases import words

Layout = Literal["standard", "corporate", "grid"]
Json = dict[str, object]

TEAM = "T0EXAMPLE1"

# --- ids and names ------------------------------------------------------------------------------------------

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def slack_id(prefix: str, number: int, width: int = 8) -> str:
    """Ids that look drawn by lot and never meet: a multiplication that has an inverse, in base 36."""
    rest = (number * 2_654_435_761 + 987_654_321) % 36**width
    digits = ""
    for _ in range(width):
        rest, digit = divmod(rest, 36)
        digits += _DIGITS[digit]
    return prefix + digits


_COLOURS = words(
    "amber azure brass brown coral ebony grape green ivory khaki lemon lilac linen mauve ochre olive peach "
    "pearl plum ruby rust sand teal white"
)
_ANIMALS = words(
    "badger beaver bison camel crane eagle ferret finch gecko heron ibis jackal koala lemur lynx magpie "
    "marten newt otter panda puffin raven robin stoat tapir wombat"
)
_JOINTS = (".", "-", "_", "")
_TOPICS = words("team ops design sales docs infra web mobile help fun test data legal press travel office")
_PARTS = words(
    "north south east west core labs desk crew room news plans alerts ideas jobs log talk wiki zone"
)


def username(number: int) -> str:
    colour, animal, suffix = _pair(number, 7, _COLOURS, _ANIMALS)
    return f"{colour}{_JOINTS[number % 4]}{animal}{suffix}"


def room_name(number: int, features: bool) -> str:
    if number < 2:
        return ("general", "random")[number]
    if number == 3 and features:
        return "büro-münchen"
    topic, part, suffix = _pair(number, 11, _TOPICS, _PARTS)
    return f"{topic}{'_' if number % 5 == 1 else '-'}{part}{suffix}"


def _pair(number: int, stride: int, first: list[str], second: list[str]) -> tuple[str, str, str]:
    """Two words, and a number once all pairs were had.

    No pair comes twice: the stride and the count of pairs have no common factor, nor have the lengths of
    `second` and of `first` plus one.
    """
    pairs = len(first) * len(second)
    row, column = divmod(number * stride % pairs, len(first))
    suffix = str(number // pairs + 1) if number >= pairs else ""
    return first[column], second[(row * (len(first) + 1) + column) % len(second)], suffix


# --- people -------------------------------------------------------------------------------------------------


class Person(Struct, frozen=True):
    """A member of the workspace, a bot user, or (not `known`) a stranger whom users.json does not hold."""

    id: str
    username: str
    name: str
    email: str | None
    entry: Json
    profile: Raw  # as it stands in messages
    bot_id: str = ""
    deleted: bool = False
    known: bool = True

    @property
    def line(self) -> truth.User:
        return truth.User(
            self.id,
            self.username,
            self.name,
            self.email,
            type="bot" if self.bot_id else "user",
            active=self.known and not self.deleted,
            placeholder=not self.known,
        )


NEWCOMER = "newcomer"


def member(number: int, layout: Layout) -> Person:
    """Some are bots, some deleted, some without e-mail, and their names stand in various fields."""
    login = username(number)
    name = login.replace(".", " ").replace("-", " ").replace("_", " ").title()
    bot_id = slack_id("B", number) if number % 12 == 3 else ""
    return make_person(
        slack_id("W" if layout == "grid" and number % 4 == 1 else "U", number),
        login,
        f"{name} Ö’{number}" if number % 7 == 2 else name,
        None if bot_id or number % 8 == 4 else f"{login}@example.org",
        bot_id=bot_id,
        deleted=number % 10 == 6,
        name_in=_NAME_FIELDS.get(number % 9, ("profile.real_name", "real_name")),
        grid=layout == "grid",
    )


_NAME_FIELDS: dict[int, tuple[str, ...]] = {5: ("real_name",), 7: ("profile.display_name",), 8: ()}


def make_person(
    id: str,
    username: str,
    name: str,
    email: str | None,
    *,
    bot_id: str = "",
    deleted: bool = False,
    known: bool = True,
    grid: bool = False,
    name_in: tuple[str, ...] = ("profile.real_name", "real_name"),
) -> Person:
    name = name if name_in else username
    profile: Json = {
        "title": "Tester",
        "phone": "",
        "display_name": "",
        "status_text": "",
        "status_emoji": "",
        "image_512": f"https://example.org/avatars/{id}.png",
        "fields": {},
    }
    entry: Json = {"id": id, "team_id": TEAM, "name": username, "deleted": deleted, "color": "9f69e7"}
    for field in name_in:
        (profile if field.startswith("profile.") else entry)[field.removeprefix("profile.")] = name
    profile |= {"email": email} if email else {}
    profile |= {"bot_id": bot_id, "api_app_id": "A0EXAMPLE1"} if bot_id else {}
    if grid:
        entry["enterprise_user"] = {"id": id, "enterprise_id": "E0EXAMPLE1", "teams": [TEAM]}
    entry |= {"profile": profile, "is_bot": bool(bot_id), **_ENTRY}
    return Person(
        id, username, name, email, entry, _message_profile(id, username, name), bot_id, deleted, known
    )


_ENTRY = {
    "tz": "Europe/Berlin",
    "tz_label": "Central European Time",
    "tz_offset": 3600,
    "is_admin": False,
    "is_owner": False,
    "is_app_user": False,
    "is_restricted": False,
    "is_ultra_restricted": False,
    "updated": 1_660_000_000,
}


def _message_profile(id: str, username: str, name: str) -> Raw:
    profile = {"real_name": name, "display_name": "", "name": username, "team": TEAM, "is_restricted": False}
    profile["image_72"] = f"https://example.org/avatars/{id}-72.png"
    return Raw(msgspec.json.encode(profile))


def slackbot() -> Json:
    entry = make_person("USLACKBOT", "slackbot", "Slackbot", None).entry
    return {**entry, "updated": 0}


def stranger() -> Person:
    """Somebody from another workspace, with whom a channel is shared."""
    return make_person("U0STRANGER", "visiting.vole", "Visiting Vole", None, known=False)


def newcomer(grid: bool) -> Person:
    """Who joined after the older archive was made."""
    return make_person("U0NEWCOMER", NEWCOMER, "New Comer", "newcomer@example.org", grid=grid)

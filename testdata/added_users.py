"""Users as a script may send them to import.addUsers, with the truth about them beside. See README.md.

Usage: python -m testdata.added_users OUT.jsonl --users 300 --truth T.jsonl
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from testdata.entries import Account, Line, Noted, Person, Skipped, write_lines
from testdata.people import username

Json = dict[str, Any]
HELPER = "helper"
"""A role and a user who has it alone: of roles, that user may give this one to others, and "user"."""


class Shape(Struct, frozen=True):
    """`users` are sent in bodies of `size`. The helper sends every third, an administrator the others."""

    users: int = 300
    size: int = 40
    seed: int = 1


class Item(Struct, frozen=True, kw_only=True):
    """What is sent, and what it becomes: `person` is None where an account is there already."""

    sent: Json
    person: Person | None
    why: Sequence[str] = ()
    account: Account | None = None


def write_bodies(target: Path, shape: Shape, truth: Path | None = None) -> None:
    """Write bodies, a line each (`by`, the sender's username, and `users`) and, if asked, the manifest."""
    lines, bodies = list[Line](), list[Json]()
    for first in range(0, shape.users, shape.size):
        by = HELPER if len(bodies) % 3 == 2 else "admin"
        numbers = range(first, min(first + shape.size, shape.users))
        items = [_item(number, by, shape) for number in numbers]
        bodies.append({"by": by, "users": [item.sent for item in items]})
        for number, item in zip(numbers, items, strict=True):
            place = f"$.users[{number}]"
            lines += [line for line in (item.account, item.person) if line]
            lines += [Noted(place, why) if item.person else Skipped(place, why) for why in item.why]
    target.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    if truth:
        write_lines(truth, lines)


def _login(number: int, shape: Shape) -> str:
    return username(number + 1000 * shape.seed)


def _item(number: int, by: str, shape: Shape) -> Item:
    return _KINDS[number % len(_KINDS)](number, by, shape)


def _given(number: int, shape: Shape, **more: Any) -> tuple[Json, Json]:
    """What is sent of an ordinary user, and what it becomes; `more` is sent besides."""
    login = _login(number, shape)
    sent = {"emails": [f"{login}@Example.org"], "importIds": [f"id {number}"], "username": login, **more}
    becomes = {
        "import_ids": sent["importIds"],
        "username": login,
        "name": f"Ann Example {number}",
        "emails": sent["emails"],
        "joined": False,
    }
    return {**sent, "name": becomes["name"]}, becomes


def _roles(asked: Sequence[str], by: str) -> tuple[list[str], list[str]]:
    """The roles that a user gets, and what is said of those that the sender may not give."""
    given = [role for role in asked if by == "admin" or role in (HELPER, "user")]
    return list(dict.fromkeys([*given, "user"])), ["role not granted"] if set(asked) > set(given) else []


# ---------------------------------------------------------------- kinds of users


def _plain(number: int, by: str, shape: Shape) -> Item:
    sent, becomes = _given(number, shape)
    return Item(sent=sent, person=Person(**becomes))


def _everything(number: int, by: str, shape: Shape) -> Item:
    sent, becomes = _given(number, shape, utcOffset=2, deleted=False, type="user", roles=["moderator"])
    sent |= {"avatarUrl": f"https://example.org/{number}.png", "statusText": "at läst 🌍", "bio": "a\nb"}
    roles, why = _roles(["moderator"], by)
    becomes |= {"utc_offset": 2, "avatar": sent["avatarUrl"], "status_text": "at läst 🌍", "bio": "a\nb"}
    return Item(sent=sent, person=Person(**becomes, roles=roles), why=why)


def _nothing(number: int, by: str, shape: Shape) -> Item:
    """Null is as good as nothing."""
    sent, becomes = _given(number, shape)
    empty = ("username", "name", "utcOffset", "avatarUrl", "deleted", "statusText", "roles", "type", "bio")
    sent |= dict.fromkeys((*empty, "password")) | {"emails": [f"mail.nr{number}@example.org"]}
    becomes |= {"username": f"mail.nr{number}", "name": f"Mail Nr{number}", "emails": sent["emails"]}
    return Item(sent=sent, person=Person(**becomes))


def _several(number: int, by: str, shape: Shape) -> Item:
    sent, becomes = _given(number, shape)
    (email,), (id,) = sent["emails"], sent["importIds"]
    sent["emails"] = ["", email, f"second{number}@example.org", email]
    sent["importIds"] = ["", id, f"second {number}", id, ""]
    becomes |= {"emails": [email, f"second{number}@example.org"], "import_ids": [id, f"second {number}"]}
    return Item(sent=sent, person=Person(**becomes))


def _deleted(number: int, by: str, shape: Shape) -> Item:
    sent, becomes = _given(number, shape, deleted=True)
    return Item(sent=sent, person=Person(**becomes, active=False))


def _bot(number: int, by: str, shape: Shape) -> Item:
    sent, becomes = _given(number, shape, type="bot", roles=["bot"])
    roles, why = _roles(["bot"], by)
    return Item(sent=sent, person=Person(**becomes, type="bot", roles=roles), why=why)


def _app(number: int, by: str, shape: Shape) -> Item:
    sent, becomes = _given(number, shape, type="app")
    return Item(sent=sent, person=Person(**becomes), why=["field dropped"])


def _half_hour(number: int, by: str, shape: Shape) -> Item:
    sent, becomes = _given(number, shape, utcOffset=-3.5)
    return Item(sent=sent, person=Person(**becomes, utc_offset=-3.5))


def _far_away(number: int, by: str, shape: Shape) -> Item:
    sent, becomes = _given(number, shape, utcOffset=99)
    return Item(sent=sent, person=Person(**becomes), why=["field dropped"])


def _secret(number: int, by: str, shape: Shape) -> Item:
    address = f"https://files.example.org/{number}.png?token="
    sent, becomes = _given(number, shape, avatarUrl=f"{address}xoxe-1234-SECRET")
    return Item(sent=sent, person=Person(**becomes, avatar=f"{address}***"))


def _password(number: int, by: str, shape: Shape) -> Item:
    """Few of them: each takes its time."""
    if number > 5 * len(_KINDS):
        return _plain(number, by, shape)
    sent, becomes = _given(number, shape, password=f"Sesame, öffne {number}")
    return Item(sent=sent, person=Person(**becomes, password=sent["password"]))


def _odd_username(number: int, by: str, shape: Shape) -> Item:
    sent, becomes = _given(number, shape)
    sent["username"] = f"Jörg Vogel {number}"
    becomes["username"] = f"jorg.vogel.{number}"
    return Item(sent=sent, person=Person(**becomes), why=["username changed"])


def _name_only(number: int, by: str, shape: Shape) -> Item:
    sent, becomes = _given(number, shape)
    del sent["username"]
    sent["name"] = becomes["name"] = f"Zoë Ämsel {number}"
    return Item(sent=sent, person=Person(**becomes | {"username": f"zoe.amsel.{number}"}))


def _email_exists(number: int, by: str, shape: Shape) -> Item:
    sent, _ = _given(number, shape, password="stolen") if number < 40 else _given(number, shape)
    account = Account(f"old{number}", f"Old {number}", sent["emails"][0].upper())
    return Item(sent=sent, person=None, why=["exists"], account=account)


def _username_exists(number: int, by: str, shape: Shape) -> Item:
    sent, _ = _given(number, shape)
    account = Account(sent["username"], f"Old {number}", "")
    return Item(
        sent={**sent, "username": account.username.upper()}, person=None, why=["exists"], account=account
    )


def _id_again(number: int, by: str, shape: Shape) -> Item:
    sent, _ = _given(number, shape)
    return Item(sent={**sent, "importIds": [f"id {number - 15}"]}, person=None, why=["exists"])


def _other_types(number: int, by: str, shape: Shape) -> Item:
    """Scalars of other types than those asked for."""
    sent, becomes = _given(number, shape, utcOffset="-3", deleted="true", bio=True, statusText=4.5)
    becomes |= {"utc_offset": -3, "active": False, "bio": "true", "status_text": "4.5", "name": str(number)}
    return Item(sent={**sent, "name": number}, person=Person(**becomes))


def _username_again(number: int, by: str, shape: Shape) -> Item:
    sent, becomes = _given(number, shape)
    sent["username"] = _login(number - 17, shape).upper()
    becomes["username"] = f"{sent['username']}-1"
    return Item(sent=sent, person=Person(**becomes), why=["username changed"])


def _no_name_at_all(number: int, by: str, shape: Shape) -> Item:
    sent = {"emails": [f"@nowhere{number}"], "importIds": [f"Odd Id {number}"]}
    person = Person(
        import_ids=sent["importIds"],
        username=f"odd.id.{number}",
        name=f"Odd Id {number}",
        emails=sent["emails"],
        joined=False,
    )
    return Item(sent=sent, person=person, why=["no name"])


def _beyond(number: int, by: str, shape: Shape) -> Item:
    """What nobody asked for is left."""
    sent, becomes = _given(number, shape, roles=["guest", "user", "guest"], services={"x": 1}, active=False)
    roles, why = _roles(["guest", "user"], by)
    return Item(sent=sent, person=Person(**becomes, roles=roles), why=why)


def _administrator(number: int, by: str, shape: Shape) -> Item:
    sent, becomes = _given(number, shape, roles=["admin", HELPER])
    roles, why = _roles(["admin", HELPER], by)
    return Item(sent=sent, person=Person(**becomes, roles=roles), why=why)


_KINDS: tuple[Callable[[int, str, Shape], Item], ...] = (
    _plain, _everything, _nothing, _several, _deleted, _bot, _app, _half_hour, _far_away, _secret, _password,
    _odd_username, _name_only, _email_exists, _username_exists, _id_again, _other_types, _username_again,
    _no_name_at_all, _beyond, _administrator,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", type=Path)
    for name in ("users", "size", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Shape(), name))
    parser.add_argument("--truth", type=Path, help="where to write the truth manifest")
    options = parser.parse_args(arguments)
    write_bodies(options.target, Shape(options.users, options.size, options.seed), options.truth)


if __name__ == "__main__":
    main()

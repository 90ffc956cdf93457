"""Slack's list of members as it never was, with the truth about it beside. See README.md.

Usage: python -m testdata.slack_users_export OUT.csv --users 300 --truth T.jsonl
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from testdata.entries import Account, Line, Noted, Person, Skipped, write_lines
from testdata.people import username
from testdata.sheet import Sheet, Style

COLUMNS = (
    "username", "email", "status", "billing-active", "has-2fa", "has-sso", "userid", "fullname",
    "displayname", "expiration-timestamp",
)  # fmt: skip
_REORDERED = (7, 2, 9, 1, 3, 8, 0, 4, 6, 5)


class Shape(Struct, frozen=True):
    """`users` counts the rows; `excel` has its columns in another order, `windows` does not name them."""

    users: int = 300
    seed: int = 1
    style: Style = "tidy"


class Row(Struct, frozen=True, kw_only=True):
    """A row, and what it becomes: `person` is None where it is left out, `why` says what is said of it."""

    username: str = ""
    email: str = ""
    status: str = "Member"
    full_name: str = ""
    shown_name: str = ""
    person: Person | None
    why: Sequence[str] = ()
    account: Account | None = None


def write_export(target: Path, shape: Shape, truth: Path | None = None) -> None:
    """Write a list of members and, if asked, its truth manifest."""
    sheet, lines = Sheet(shape.style), list[Line]()
    if shape.style != "windows":
        sheet.add(_cells(COLUMNS, shape))
    for number in range(shape.users):
        row = _row(number, shape)
        cells = ["", "", "", "1", "0", "0", "U0", "", "", ""]
        cells[0], cells[1], cells[2] = row.username, row.email, row.status
        cells[7], cells[8] = row.full_name, row.shown_name
        if number % len(_KINDS) == 18:
            cells[2:] = [""] * 8
        place = sheet.add(_cells(cells, shape), short=True)
        lines += [line for line in (row.account, row.person) if line]
        lines += [Noted(place, why) if row.person else Skipped(place, why) for why in row.why]
    target.write_bytes(sheet.data)
    if truth:
        write_lines(truth, lines)


def _cells(cells: Sequence[str], shape: Shape) -> Sequence[str]:
    return [cells[place] for place in _REORDERED] if shape.style == "excel" else cells


def _row(number: int, shape: Shape) -> Row:
    return _KINDS[number % len(_KINDS)](_login(number, shape), number, shape)


def _login(number: int, shape: Shape) -> str:
    return username(number + 1000 * shape.seed)


def _address(login: str) -> str:
    return f"{login}@Example.org"


def _person(
    login: str, name: str = "", kind: str = "user", role: str = "", active: bool = True, email: str = ""
) -> Person:
    email = email or _address(login)
    roles = [role, "user"] if role else ["user"]
    return Person(
        import_ids=[email],
        username=login,
        name=name or login,
        emails=[email],
        type=kind,
        roles=roles,
        active=active,
    )


# ---------------------------------------------------------------- kinds of rows


def _plain(login: str, number: int, shape: Shape) -> Row:
    name = f"Ann Example {number}"
    return Row(
        username=login,
        email=_address(login),
        full_name=name,
        shown_name="annie",
        person=_person(login, name),
    )


def _admin(login: str, number: int, shape: Shape) -> Row:
    return Row(
        username=login,
        email=_address(login),
        status="Admin" if number % 2 else "ADMIN",
        person=_person(login, role="admin"),
        why=["is admin"],
    )


def _bot(login: str, number: int, shape: Shape) -> Row:
    person = _person(login, kind="bot", role="bot")
    return Row(username=login, email=_address(login), status="Bot" if number % 2 else "bot", person=person)


def _deactivated(login: str, number: int, shape: Shape) -> Row:
    person = _person(login, f"Gone {number}", active=False)
    return Row(
        username=login,
        email=_address(login),
        status="Deactivated",
        full_name=person.name,
        person=person,
    )


def _shown_name(login: str, number: int, shape: Shape) -> Row:
    person = _person(login, "Bobby")
    return Row(
        username=login, email=_address(login), status="Primary Owner", shown_name="Bobby", person=person
    )


def _no_name(login: str, number: int, shape: Shape) -> Row:
    return Row(username=login, email=_address(login), status="Restricted Member", person=_person(login))


def _at(login: str, number: int, shape: Shape) -> Row:
    return Row(username=f" @{login} ", email=f" {_address(login)} ", person=_person(login))


def _name_only(login: str, number: int, shape: Shape) -> Row:
    email, name = _address(login), f"Zoë Ämsel {number}"
    person = _person(f"zoe.amsel.{number}", name, email=email)
    return Row(email=email, full_name=name, person=person)


def _email_only(login: str, number: int, shape: Shape) -> Row:
    person = _person(f"mail.nr{number}", f"Mail Nr{number}")
    return Row(email=person.emails[0], person=person)


def _odd_username(login: str, number: int, shape: Shape) -> Row:
    given, email = f"jörg vogel {number}", _address(login)
    person = _person(f"jorg.vogel.{number}", given, email=email)
    return Row(username=given, email=email, person=person, why=["username changed"])


def _no_email(login: str, number: int, shape: Shape) -> Row:
    return Row(username=login, full_name="Nobody", person=None, why=["no e-mail"])


def _bad_email(login: str, number: int, shape: Shape) -> Row:
    return Row(username=login, email="nobody at example", person=None, why=["no e-mail"])


def _two_emails(login: str, number: int, shape: Shape) -> Row:
    email = _address(login)
    return Row(username=login, email=f"{email}; other{number}@example.org", person=_person(login))


def _good_and_bad_email(login: str, number: int, shape: Shape) -> Row:
    email = f"nonsense, {_address(login)}"
    return Row(username=login, email=email, person=_person(login), why=["e-mail dropped"])


def _email_again(login: str, number: int, shape: Shape) -> Row:
    earlier = _address(_login(number - 14, shape))
    return Row(username=login, email=earlier.upper(), person=None, why=["e-mail twice"])


def _username_again(login: str, number: int, shape: Shape) -> Row:
    taken, email = _login(number - 15, shape).upper(), _address(login)
    person = _person(f"{taken}-1", taken, email=email)
    return Row(username=taken, email=email, person=person, why=["username changed"])


def _same_email(login: str, number: int, shape: Shape) -> Row:
    """Somebody of the workspace under another username, who stays as they are."""
    email = _address(login)
    account = Account(f"old{number}", f"Old {number}", email.upper())
    return _merged(account, Row(username=login, email=email, status="Deactivated", person=None))


def _same_username(login: str, number: int, shape: Shape) -> Row:
    account = Account(login, f"Old {number}", "")
    row = Row(username=login.upper(), email=_address(login), full_name="New Name", person=None)
    return _merged(account, row, "merged by username")


def _merged(account: Account, row: Row, why: str = "merged") -> Row:
    person = Person(
        import_ids=[row.email],
        username=account.username,
        name=account.name,
        emails=[account.email] if account.email else [],
        joined=False,
    )
    return Row(
        username=row.username,
        email=row.email,
        status=row.status,
        full_name=row.full_name,
        person=person,
        why=[why],
        account=account,
    )


def _odd_name(login: str, number: int, shape: Shape) -> Row:
    name = f'Grüße, "Ö {number}’";\tvon\nhier €' + ("" if shape.style == "windows" else " 😀 日本")
    return Row(username=login, email=_address(login), full_name=f" {name} ", person=_person(login, name))


def _reserved(login: str, number: int, shape: Shape) -> Row:
    if number >= len(_KINDS):  # the second to wish for the name
        return _plain(login, number, shape)
    email = _address(login)
    return Row(
        username="all",
        email=email,
        person=_person("all-1", "all", email=email),
        why=["username changed"],
    )


_KINDS = (
    _plain, _admin, _bot, _deactivated, _shown_name, _no_name, _at, _name_only, _email_only, _odd_username,
    _no_email, _bad_email, _two_emails, _good_and_bad_email, _email_again, _username_again, _same_email,
    _same_username, _no_name, _odd_name, _reserved, _admin,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", type=Path)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--style", choices=("tidy", "excel", "windows"), default="tidy")
    parser.add_argument("--truth", type=Path, help="where to write the truth manifest")
    options = parser.parse_args(arguments)
    write_export(options.target, Shape(options.users, options.seed, options.style), options.truth)


if __name__ == "__main__":
    main()

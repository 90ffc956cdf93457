"""Contacts as they never were, with the truth about them beside. See README.md.

Usage: python -m testdata.contacts_export OUT.csv --contacts 300 --truth T.jsonl
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from testdata.entries import Account, Contact, Line, Noted, Skipped, write_lines
from testdata.people import username
from testdata.sheet import Sheet, Style

_NAMES = {
    "tidy": ("id", "name", "emails", "phones", "manager", "city", "plan.name", "$rank", ""),
    "excel": ("ID", "Name", "E-Mail", "Phone", "Manager", "city", "plan.name", "$rank", ""),
    "windows": ("Id", "NAME", "email", "phones", "manager", "city", "plan.name", "$rank", ""),
}
_FIELDS = ("city", "plan_name", "_rank", "column8")  # as they are called where they cannot be as they were
_REORDERED = (5, 4, 3, 2, 1, 0, 7, 6, 8)
_LONG = "x" * 501


class Shape(Struct, frozen=True):
    """`contacts` counts the rows. `excel` has its columns in another order."""

    contacts: int = 300
    seed: int = 1
    style: Style = "tidy"


class Row(Struct, frozen=True, kw_only=True):
    """A row without its custom fields, and what it becomes; `why` says why it becomes nothing."""

    id: str = ""
    name: str = ""
    emails: str = ""
    phones: str = ""
    manager: str = ""
    contact: Contact | None = None
    why: Sequence[str] = ()


def write_export(target: Path, shape: Shape, truth: Path | None = None) -> None:
    """Write contacts and, if asked, their truth manifest: first the managers who have to be there."""
    sheet = Sheet(shape.style)
    sheet.add(_cells(_NAMES[shape.style], shape))
    lines: list[Line] = [_manager(number, shape) for number in range(5)]
    for number in range(shape.contacts):
        fields = _fields(number, shape)
        row = _row(number, shape, dict(zip(_FIELDS, fields, strict=True)))
        cells = (row.id, row.name, row.emails, row.phones, row.manager, *fields)
        place = sheet.add(_cells(cells, shape), short=True)
        lines += [row.contact] if row.contact else []
        lines += [Noted(place, why) if row.contact else Skipped(place, why) for why in row.why]
    target.write_bytes(sheet.data)
    if truth:
        write_lines(truth, lines)


def _cells(cells: Sequence[str], shape: Shape) -> Sequence[str]:
    return [cells[place] for place in _REORDERED] if shape.style == "excel" else cells


def _manager(number: int, shape: Shape) -> Account:
    login = username(number + 1000 * shape.seed)
    return Account(login, login.title(), f"{login}@example.org")


def _fields(number: int, shape: Shape) -> list[str]:
    """Custom fields; some are empty, and some rows have none at all."""
    rng = random.Random(f"fields/{shape.seed}/{number}")
    if rng.random() < 0.3:
        return [""] * len(_FIELDS)
    values = (f"Köln, {number}", 'the "best";', "line\nline", f"€ {number}")
    return [value if rng.random() < 0.6 else "" for value in values]


def _row(number: int, shape: Shape, fields: dict[str, str]) -> Row:  # noqa: C901  # one case per number
    id, name, email, phone = f"c-{number}", f"Ünal Ex “{number}”", f"c{number}@Example.org", f"+49 {number}"
    fields = {key: value for key, value in fields.items() if value}
    account = _manager(number % 5, shape).username

    def contact(
        id: str = id,
        name: str = name,
        emails: Sequence[str] = (email,),
        phones: Sequence[str] = (phone,),
        manager: str = "",
    ) -> Contact:
        return Contact(
            id=id, name=name, emails=list(emails), phones=list(phones), manager=manager, fields=fields
        )

    whole = {"id": id, "name": name, "emails": email, "phones": phone}
    match number % 16:
        case 0:
            return Row(**whole, contact=contact())
        case 1:
            given = f"{account.upper()}" if number % 2 else f"@{account}"
            return Row(**whole, manager=given, contact=contact(manager=account))
        case 2:
            return Row(**whole, manager="nobody.here", contact=contact(), why=["unknown manager"])
        case 3:
            several = f" {email}; second{number}@example.org;{email};;"
            found = contact(emails=(email, f"second{number}@example.org"), phones=())
            return Row(id=id, name=name, emails=several, contact=found)
        case 4:
            found = contact(emails=(), phones=(phone, f"0221/{number}"))
            return Row(id=id, name=name, phones=f"{phone} ;0221/{number}; {phone}", contact=found)
        case 5:
            found = contact(name=email)
            return Row(id=id, emails=email, phones=phone, contact=found, why=["no name"])
        case 6:
            return Row(id=id, phones=phone, contact=contact(name=phone, emails=()), why=["no name"])
        case 7:
            return Row(id=id, name=name, contact=contact(emails=(), phones=()))
        case 8:
            return Row(id=id, manager=account, why=["empty"])
        case 9:
            earlier = f"c-{number - 9}"
            return Row(id=earlier, name=name, emails=email, why=["id twice"])
        case 10:
            return Row(id=id, name=_LONG, emails=email, why=["too long"])
        case 11:
            return Row(id=_LONG, name=name, why=["too long"])
        case 12:  # without an id, of an address that others have too
            shared = f"team{number % 3}@example.org"
            return Row(name=name, emails=shared, contact=contact(id="", emails=(shared,), phones=()))
        case 13:
            return Row(name=name, phones=phone, contact=contact(id="", emails=()))
        case 14:  # all alike, and all of them contacts
            return Row(name="Otto", contact=contact(id="", name="Otto", emails=(), phones=()))
        case _:
            odd = f'"{number}" O’Neill,\tAnn;\nCo. §' + ("" if shape.style == "windows" else " 😀")
            row = {**whole, "name": f"  {odd} "}
            return Row(**row, contact=contact(name=odd))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", type=Path)
    parser.add_argument("--contacts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--style", choices=("tidy", "excel", "windows"), default="tidy")
    parser.add_argument("--truth", type=Path, help="where to write the truth manifest")
    options = parser.parse_args(arguments)
    write_export(options.target, Shape(options.contacts, options.seed, options.style), options.truth)


if __name__ == "__main__":
    main()

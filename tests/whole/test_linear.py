"""The work on texts and lists from outside grows no faster than they do.

Anybody in the source workspace can write a message. One with quadratic work in it stops the server.
"""

import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chatferry import redaction
from chatferry.api import validation
from chatferry.api.media import ranges
from chatferry.api.uploads import tus
from chatferry.api.uploads.form_body import FormBody
from chatferry.api.uploads.json_body import UploadBody
from chatferry.archive import open_archive
from chatferry.archive.messages import quoted
from chatferry.cli.terminal import _harmless
from chatferry.convert import IdMap, MappedRoom, MappedUser
from chatferry.convert import contacts as convert_contacts
from chatferry.convert import rooms as convert_rooms
from chatferry.convert import users as convert_users
from chatferry.convert.messages import urls_in
from chatferry.convert.names import SETTINGS, RoomNames, room_names
from chatferry.destinations import rules
from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import USERS, Date, Update
from chatferry.downloads import DEFAULT_RULES, urls
from chatferry.downloads.addresses import parse_hosts
from chatferry.errors import ChatferryError, DownloadError
from chatferry.importers import IMPORTERS
from chatferry.importers.csv import times
from chatferry.importers.hipchat import schema as hipchat_wire
from chatferry.importers.hipchat.messages import names_in, with_names
from chatferry.importers.reading.html import from_html
from chatferry.importers.reading.table import Form, Rows, repaired
from chatferry.importers.reading.table_people import split
from chatferry.importers.reading.texts import delimited, fitting, joined, link
from chatferry.importers.slack import schema as slack_wire
from chatferry.importers.slack import text as slack_text
from chatferry.importers.slack.blocks import from_blocks
from chatferry.importers.slack.emoji import rocket_chat_name
from chatferry.importers.slack.first_pass import Day
from chatferry.importers.slack.parts import _stretches
from chatferry.operations import Status
from chatferry.origins import Links, Origin
from chatferry.pipeline.convert_parts import convert_parts
from chatferry.records import Channel, Contact, Part, User
from chatferry.store.parts import NumberedPart
from testdata.hostile_export import FIELDS, TEXTS, write_export
from tests.support.importing import import_archive
from tests.support.work import growth, is_linear

NAMES = {"ann": "1", "bob": "2"}
ALICE = {"id": "U0ALICE01", "name": "alice"}
SLACK = Origin("slack", "T1")
USERS_BEFORE = Links(SLACK, "user")
NOW = Date.at(1_600_000_000_000)


def name_of_user(text: str) -> object:
    user = User(id="U1", username=text, name=text, emails=(text,))
    return convert_users.further_wishes([user], convert_users.UserIndex([], USERS_BEFORE))


def name_of_room(text: str) -> object:
    channel = Channel(id="C1", type="c", name=text)
    embedded = room_names(rules.embedded_settings(SETTINGS))
    return convert_rooms.name_wishes(channel, RoomNames()), convert_rooms.name_wishes(channel, embedded)


def avatar_of_user(text: str) -> object:
    setup = convert_users.UserPolicy(origin=SLACK, archive_ids=frozenset(), starter_roles=frozenset())
    user = User(id="U1", username="a", avatar_url=f"https://example.org/?{text}")
    return convert_users.decide_user(user, convert_users.UserIndex([], USERS_BEFORE), setup, NOW)


def body_of_upload(text: str) -> object:
    body = UploadBody(io.BytesIO())
    body.feed(b'{"binaryContent": "' + text.encode("utf-8", "replace"))
    return body.finish()


def body_beside_the_file(text: str) -> object:
    body = UploadBody(io.BytesIO())
    body.feed(text.encode("utf-8", "replace")[:60_000])
    return body.finish()


def form_of_upload(text: str) -> object:
    form = FormBody("multipart/form-data; boundary=xyz", io.BytesIO())
    form.feed(b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')
    form.feed(text.encode("utf-8", "replace"))
    return form.finish()


def head_of_form(text: str) -> object:
    data = text[:60_000].encode("latin-1", "replace")
    form = FormBody(f"multipart/form-data; {data.decode('latin-1')}; boundary=xyz", io.BytesIO())
    form.feed(b"--xyz\r\nContent-Disposition: form-data; " + data)
    return form.finish()


def range_asked_for(text: str) -> None:
    with suppress(ValueError):
        ranges.requested_range({"range": f"bytes={text}"}, 100, "")


def entry_of_archive(text: str) -> object:
    with open_archive({text: b"", "b": b""}) as archive:
        return archive.names()


def file_of_slack(text: str) -> object:
    name = "general/2020-01-01.json"
    with open_archive({name: text.encode("utf-8", "replace"), f"a/{text}.json": b""}) as archive:
        return list(IMPORTERS["slack"].scan(archive))


def rows_of_csv(text: str) -> object:
    data = text.encode("utf-8", "replace")
    return list(Rows(io.BytesIO(data), Form(), 0, 1))


def file_of_hipchat(text: str) -> object:
    data = text.encode("utf-8", "replace")
    with open_archive({"users.json": data, "rooms.json": data, "rooms/1/history.json": data}) as archive:
        return list(IMPORTERS["hipchatenterprise"].scan(archive))


def rich_text(text: str) -> list[dict[str, Any]]:
    """Return a block with the text in a link, in code, and around somebody named."""
    link = {"type": "link", "url": f"https://example.org/{text}", "text": text}
    inline: list[dict[str, Any]] = [
        {"type": "text", "text": text},
        {"type": "user", "user_id": "U1"},
        link,
        link,
    ]
    styled = [{**one, "style": {"code": True, "bold": True}} for one in inline]
    section = {"type": "rich_text_section", "elements": inline + styled}
    code = {"type": "rich_text_preformatted", "elements": inline}
    return [{"type": "rich_text", "elements": [section, code, section]}]


OF_TEXT: Mapping[str, Callable[[str], object]] = {
    "slack: text": slack_text.from_mrkdwn,
    "slack: one token": lambda text: slack_text.from_mrkdwn(f"<{text}|{text}>"),
    "slack: after every token": lambda text: slack_text.from_mrkdwn(f"<@U1>{text}<https://a.b|{text}>{text}"),
    "slack: code": lambda text: slack_text.from_mrkdwn(f"```{text}``` `{text}"),
    "slack: tone": lambda text: rocket_chat_name(f"{text}::skin-tone-2"),
    "slack: rich text": lambda text: from_blocks(rich_text(text)),
    "slack: secrets": slack_text.without_secrets,
    "slack: blocks": lambda text: from_blocks(
        [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "rich_text", "elements": [
                {"type": kind, "elements": [{"type": "text", "text": text, "style": {"bold": True}}]}
                for kind in ("rich_text_section", "rich_text_quote", "rich_text_preformatted")
            ]},
        ]
    ),
    "slack: time": slack_wire.micros,
    "slack: a file": file_of_slack,
    "addresses": urls_in,
    "addresses in brackets": lambda text: urls_in(f"(https://example.org/{text}"),
    "addresses after code": lambda text: urls_in(f"```{text}"),
    "link": lambda text: link(f"https://example.org/{text}", text),
    "mark": lambda text: delimited(text, "*"),
    "length": lambda text: fitting((text,)),
    "html": from_html,
    "html: in a tag": lambda text: from_html(f"<a href='{text}"),
    "html: in a pre": lambda text: from_html(f"<pre><b>{text}</b>"),
    "hipchat: names": lambda text: (with_names(text, NAMES), list(names_in(text))),
    "hipchat: time": hipchat_wire.micros,
    "hipchat: a file": file_of_hipchat,
    "csv: time": times.micros_of,
    "csv: cell": lambda text: (split(text), repaired(text, "utf-8")),
    "csv: rows": rows_of_csv,
    "csv: a quoted cell": lambda text: rows_of_csv(f'a,b\n"{text}'),
    "user: name": name_of_user,
    "user: avatar": avatar_of_user,
    "room: name": name_of_room,
    "secrets: shown": redaction.without_secrets,
    "secrets: shown, invalid": lambda text: redaction.without_secrets(f"http://{text}\n"),
    "secrets: told": redaction.holds_secret,
    "download: address": lambda text: urls.accepted_url(f"https://example.org/{text}", DEFAULT_RULES),
    "setting: hosts": parse_hosts,
    "archive: name": entry_of_archive,
    "archive: name, shown": quoted,
    "terminal": _harmless,
    "api: number": lambda text: validation.coerced({"type": "number"}, text),
    "api: boolean": lambda text: validation.coerced({"type": "boolean"}, text),
    "api: upload": body_of_upload,
    "api: upload, beside the file": body_beside_the_file,
    "api: form": form_of_upload,
    "api: form's head": head_of_form,
    "api: range": range_asked_for,
    "api: metadata": tus.metadata,
}  # fmt: skip

_JSON = '[]{}":,\\1'
TELLING = {
    "slack: a file": _JSON,
    "hipchat: a file": _JSON,
    "api: upload, beside the file": _JSON,
    "api: upload": '"\\=- \n:,/',
    "html": "<&",
    "html: in a tag": "<&='\" ",
    "html: in a pre": "<&\n ",
    "csv: rows": '",;\n\r\t',
    "csv: a quoted cell": '",;\n\r\t',
    "user: name": "-_.&1 é",
    "room: name": "-_.&1 é",
    "hipchat: names": "@`.-/",
    "secrets: shown": "@:/?&;=x.-",
    "secrets: shown, invalid": "@:/?&;=x.-",
    "archive: name, shown": "\0é",
}
"""Characters that mean something to a function: on texts without them it does not take much work."""

PIECES = [
    *"<>()[]{}|@#!&;:`*_~\\/.,'\"?=%+-^$\0\n\r\t a1é", "\ufeff", "\ud800", "\u2028", "a.", "a@", "@a ",
    "1.", "-1", "1e", "&#1", "&#x1", "&#", "&amp", "xox", "xoxb-", "t=", "token=xox", "?a=b", "&a=b", "%20",
    "\\u0000", '\\"', '""', '","', '"a', 'a"', "a,b;", "a\n", "\r\n", "sep=;", "[]", "[[", "{}", "{},",
    '{"a":', '{"id":"a"},', "[1,", "1,", '"\\', "//", "/*", "../", "./", "a/", "<a ", "<b>", "</b>", "<ul>",
    "<li>", "<p>", "<!--", "<![CDATA[", "<div>", "<a href='", "<b><i>x</b>", "<br/>", "<pre>",
    "<blockquote>", "<a:", "<@U1|", "<!date^", "http://a ", "(http://a)", "a://", "--xyz", "\r\n--xyz",
    "\r\n-", "; a=b", ';a="', "data:", "=",
]  # fmt: skip

BEGUN = [
    *(("[", piece) for piece in ('{"a":', "{},", '{"id":"a"},', "1,", "[", "1")),
    ("&#", "1"), ("&#x", "f"), ("&#", "0"), ("<a ", "b "), ("<a ", "b='c'"), ("<!--", "-"), ("//", "@"),
    ("//a@", "a"), ("+", "1"), ("a;", " "), ("a=", '\\"'),
]  # fmt: skip


def _shapes() -> dict[str, Callable[[int], str]]:
    plain = {repr(piece): _repeating(piece) for piece in PIECES}
    begun = {f"{before!r} and {piece!r}": _repeating(piece, before) for before, piece in BEGUN}
    return {**TEXTS, **plain, **begun}


def _quietly(function: Callable[[str], object], text: str) -> None:
    with suppress(ChatferryError, DownloadError):
        function(text)


def _repeating(piece: str, before: str = "") -> Callable[[int], str]:
    return lambda size: before + piece * (size // len(piece))


SHAPES = _shapes()


@pytest.mark.parametrize("name", OF_TEXT)
def test_work_on_a_text_grows_as_the_text_does(name: str) -> None:
    function = OF_TEXT[name]
    telling = TELLING.get(name, "")

    def call(shape: Callable[[int], str], size: int) -> Callable[[], object]:
        text = shape(size)

        return partial(_quietly, function, text)

    for shape, make in SHAPES.items():
        if not telling or not set(telling).isdisjoint(make(100)):
            factor = growth(partial(call, make))
            assert is_linear(factor), f"{shape}: {factor:.0f} times the work for 8 times the text"


# ---------------------------------------------------------------- lists

Files = dict[str, bytes | str]


def imported(key: str, files: Files) -> None:
    """Read an archive and convert its messages."""
    importer = IMPORTERS[key]
    users: dict[str, MappedUser] = {}
    rooms: dict[str, MappedRoom] = {}
    parts: list[NumberedPart] = []
    with suppress(ChatferryError), open_archive(files) as archive:
        for item in importer.scan(archive):
            if isinstance(item, User):
                users[item.id] = MappedUser(item.id, item.username)
            elif isinstance(item, Channel):
                rooms[item.id] = MappedRoom(item.id, item.name)
            elif isinstance(item, Part):
                parts.append(NumberedPart(len(parts), item))
        for _ in convert_parts(parts, IdMap(users, rooms), importer, archive, MemoryDestination.pack):
            pass


def slack(messages: list[Any], channel: Mapping[str, Any] = {}) -> Files:
    general = {"id": "C0GENERAL", "name": "general", "members": ["U0ALICE01"], **channel}
    return {
        "users.json": json.dumps([ALICE]),
        "channels.json": json.dumps([general]),
        "general/2020-09-13.json": json.dumps(messages),
    }


def said(number: int = 0, **fields: Any) -> dict[str, Any]:
    ts = f"{1_600_000_000 + number}.000100"
    return {"type": "message", "user": "U0ALICE01", "ts": ts, "text": "a", **fields}


def thread_of_many(size: int) -> Files:
    """People who reply in one thread, whose first message is not there."""
    many = range(size // 100)
    return slack([said(n + 1, user=f"U{n:06}", thread_ts="1600000000.000100") for n in many])


def many_pins(size: int) -> Files:
    pins = [{"id": f"{1_600_000_000 + n}.000100", "user": "U0ALICE01"} for n in range(size // 60)]
    return slack([said(n) for n in range(size // 100)], {"pins": pins})


def many_days(size: int) -> Files:
    """Day files without a message."""
    days = {f"general/{1000 + n // 28:04}-01-{1 + n % 28:02}.json": "[]" for n in range(size // 40)}
    return {**slack([said()]), **days}


def hipchat(*events: Mapping[str, Any]) -> Files:
    person = {"User": {"id": 1, "name": "Ann", "mention_name": "ann"}}
    room = {"Room": {"id": 7, "name": "Room", "members": [1]}}
    kept = [
        {"UserMessage": {"id": f"m{n}", "sender": {"id": 1}, "timestamp": "2018-08-08T14:23:54Z", **event}}
        for n, event in enumerate(events)
    ]
    lists = {"users.json": json.dumps([person]), "rooms.json": json.dumps([room])}
    return {**lists, "rooms/7/history.json": json.dumps(kept)}


def csv(**files: str) -> Files:
    all_files = {
        "users": "username,email,name\nann,ann@example.org,Ann\n",
        "channels": "name,creator,type,members\ngeneral,ann,,ann\n",
        "messages": "username,timestamp,text\nann,1600000000,a\n",
        **files,
    }
    messages = all_files.pop("messages")
    return {"general/1.csv": messages, **{f"{name}.csv": text for name, text in all_files.items()}}


def numbered(form: str, size: int) -> list[str]:
    """Texts that differ, with about so many characters in all."""
    return [form.format(n) for n in range(size // (len(form) + 2))]


def day(elements: str) -> Files:
    return {**slack([]), "general/2020-01-01.json": elements}


def html(message: str) -> Files:
    return hipchat({"message": message, "message_format": "html"})


def history(elements: list[Any]) -> Files:
    return {**hipchat(), "rooms/7/history.json": json.dumps(elements)}


def listed(form: str, size: int) -> str:
    return ";".join(numbered(form, size))


OF_SLACK: Mapping[str, Callable[[int], Files]] = {
    # mypy infers no default
    **{name: lambda size, make=make: slack([said(**make(size))]) for name, make in FIELDS.items()},  # type: ignore[misc]
    "a thread of many": thread_of_many,
    "many pins": many_pins,
    "many days": many_days,
    "many members": lambda size: slack([], {"members": numbered("U{:06}", size)}),
    "one member": lambda size: slack([], {"members": ["U1"] * (size // 5)}),
    "elements that are none": lambda size: slack([1] * (size // 3)),
    "empty elements": lambda size: slack([{}] * (size // 4)),
    "equal messages": lambda size: slack([said()] * (size // 80)),
    "deep elements": lambda size: day("[" + ("[" * 2000 + "]" * 2000 + ",") * (size // 4000) + "1]"),
    "elements without an end": lambda size: day('[{"blocks": ' + "[" * size),
    "a long number": lambda size: day(f'[{{"ts": {"1" * size}}}]'),
    "a long number with a wrong field": lambda size: day(
        f'[{{"text": 1, "files": [{{"size": {"1" * size}.5}}]}}]'
    ),
}
OF_HIPCHAT: Mapping[str, Callable[[int], Files]] = {
    "names": lambda size: hipchat({"message": "@ann " * (size // 5)}),
    "html": lambda size: html("<p>a<b>@ann</b>" * (size // 15)),
    "wrong mentions": lambda size: hipchat({"message": "a", "mentions": [[]] * (size // 4)}),
    "unknown kinds": lambda size: history([{"Odd": {"message": "a"}}] * (size // 29)),
    "elements that are none": lambda size: history([1] * (size // 3)),
}
OF_CSV: Mapping[str, Callable[[int], Files]] = {
    "members": lambda size: csv(channels="name,creator,type,members\ngeneral,ann,," + listed("u{:06}", size)),
    "e-mails": lambda size: csv(users="username,email\nann," + listed("{:06}", size)),
    "columns": lambda size: csv(users=listed("c{:06}", size).replace(";", ",") + ",username,email\nann,a@b"),
    "cells": lambda size: csv(messages="ann,1600000000,a" + ",a" * (size // 2)),
    "quoted cells": lambda size: csv(messages="ann,1600000000,a\n" + '"a""b",' * (size // 7)),
    "quotes that stay open": lambda size: csv(messages='"ann,1600000000,a\n' * (size // 18)),
    "recipients": lambda size: {
        "directmessages/1.csv": "from,to,timestamp,text\nann," + listed("u{:06}", size) + ",1600000000,a"
    },
    "equal messages": lambda size: csv(
        messages="username,timestamp,text\n" + "ann,1600000000,a\n" * (size // 17)
    ),
}
OF_CONTACTS: Mapping[str, Callable[[int], Files]] = {
    "columns": lambda size: {"c.csv": "name,emails\nann,a@b" + ",a" * (size // 2)},
    "e-mails": lambda size: {"c.csv": "name,emails\nann," + listed("a{:06}@b", size)},
}
OF_ARCHIVE = [
    pytest.param(key, make, id=f"{key}: {name}")
    for key, shapes in {
        "slack": OF_SLACK,
        "hipchatenterprise": OF_HIPCHAT,
        "csv": OF_CSV,
        "omnichannel_contact": OF_CONTACTS,
    }.items()
    for name, make in shapes.items()
]


@pytest.mark.parametrize(("key", "make"), OF_ARCHIVE)
def test_work_on_an_archive_grows_as_it_does(key: str, make: Callable[[int], Files]) -> None:
    factor = growth(lambda size: partial(imported, key, make(size)))
    assert is_linear(factor), f"{factor:.0f} times the work for 8 times the archive"


def link_user(size: int) -> Callable[[], object]:
    """An account is linked to a user with as many import ids as it has."""
    setup = convert_users.UserPolicy(origin=SLACK, archive_ids=frozenset(), starter_roles=frozenset())
    account = {
        "_id": "u",
        "username": "ann",
        "emails": [{"address": "ann@example.org"}],
        "importIds": numbered("a{:06}", size),
    }
    further = tuple(numbered("b{:06}", size))
    record = User(id="b", further_ids=further, username="ann", emails=("ann@example.org",))

    def link() -> None:
        known = convert_users.UserIndex([account], USERS_BEFORE)
        known.take(convert_users.decide_user(record, known, setup, NOW).changes)

    return link


def complete_contact(size: int) -> Callable[[], object]:
    """A contact gets as many addresses as it has."""
    setup = convert_contacts.ContactPolicy(origin=SLACK, users={})
    addresses = [{"address": address} for address in numbered("a{:06}", size)]
    contact = {"_id": "c", "name": "Ann", "importIds": ["1"], "emails": addresses}
    record = Contact(id="1", name="Ann", emails=tuple(numbered("b{:06}", size)))
    known = convert_contacts.ContactIndex([contact], [], Links(SLACK, "contact"))
    return lambda: convert_contacts.decide_contact(record, known, setup, NOW)


def fill_room(size: int) -> Callable[[], object]:
    """A room has members whom nobody knows."""
    starter = MappedUser("s", "starter")
    setup = convert_rooms.RoomPolicy(
        origin=SLACK, archive_ids=frozenset(), users={}, starter=starter, may_add=True
    )
    record = Channel(id="C1", type="c", name="room", members=tuple(numbered("u{:06}", size)))
    known = convert_rooms.RoomIndex([], [], Links(SLACK, "channel"))
    return lambda: convert_rooms.decide_room(record, known, setup, NOW)


def add_values(size: int) -> Callable[[], object]:
    """A list gets as many values as it has."""
    update = Update(collection=USERS, id="u", add={"__rooms": tuple(numbered("b{:06}", size))})
    return lambda: rules.patched({"_id": "u", "__rooms": numbered("a{:06}", size)}, update)


def wish_names(size: int) -> Callable[[], object]:
    """Users who all would like the same name."""
    records = [User(id=id, username="ann") for id in numbered("u{:06}", size)]
    return lambda: convert_users.further_wishes(records, convert_users.UserIndex([], USERS_BEFORE))


def coerce_list(size: int) -> Callable[[], object]:
    schema = {"type": "array", "items": {"type": "number"}}
    return lambda: validation.coerced(schema, ["1."] * (size // 6))


def open_many(size: int) -> Callable[[], object]:
    files = dict.fromkeys(numbered("a/b/c{:06}", size), b"")
    return lambda: open_archive(files).close()


def write_blocks(size: int) -> Callable[[], object]:
    """Each block asks how a long text before it ends."""
    return lambda: from_html("a" * (64 * size) + "<div>" * (size // 10))


def group_days(size: int) -> Callable[[], object]:
    """Day files without a message."""
    days = [Day(file, 0, 0) for file in numbered("{:06}", size)]
    return lambda: list(_stretches(days, 1000))


def join_words(size: int) -> Callable[[], object]:
    return lambda: joined(["a"] * size)


OF_LIST = [
    write_blocks,
    group_days,
    join_words,
    link_user,
    complete_contact,
    fill_room,
    add_values,
    wish_names,
    coerce_list,
    open_many,
]


@pytest.mark.parametrize("make", OF_LIST)
def test_work_on_a_list_grows_as_the_list_does(make: Callable[[int], Callable[[], object]]) -> None:
    factor = growth(make)
    assert is_linear(factor), f"{factor:.0f} times the work for 8 times the list"


def test_an_import_of_hostile_messages_ends(tmp_path: Path) -> None:
    count = write_export(tmp_path / "export.zip", size=20_000)
    found = import_archive(tmp_path / "export.zip")
    assert found.operation.status == Status.DONE
    assert found.report["messages"]["inserted"] == found.report["messages"]["read"] == count
    assert len(found.report["problems"]) < 5000

"""What can be wrong with an export: each fault is put into an otherwise good one, with the truth about it.

A fault adds a user, a room, or a day file of its own in #general on a day before all others. So
nothing else changes, apart from the few that break a file on which everything hangs: these say what they
still promise.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from testdata.clock import day_name, day_start, slack_ts
from testdata.people import Json, Person, make_person, slack_id
from testdata.root_files import canvas, user_position, users_file
from testdata.truth import Fault, Message, Skipped, User
from testdata.world import Room, World

Record = Literal["user", "channel", "message", "file", "archive"]
Expect = Literal["as-is", "substituted", "lost", "optional", "partial", "refused"]
Body = Sequence[tuple[object, Message | str]]


class DayFile(NamedTuple):
    path: str
    body: bytes
    lines: list[Message | Skipped]


class Injection(Struct):
    """What the faults add to an export, replace in it and take from it."""

    people: list[Person] = []
    user_lines: list[User] = []
    rooms: list[Room] = []
    files: list[DayFile] = []
    replaced: dict[str, bytes | None] = {}  # by base name: other content, or no file
    lost: dict[str, str] = {}  # a list of rooms that is gone, and why their messages are
    folder: str = ""  # a wrapping folder
    txt: bool = False
    faults: list[Fault] = []


class _Case:
    """The export that a fault is put into, and verbs for putting it there."""

    def __init__(self, world: World, injection: Injection, name: str, number: int) -> None:
        self.injection = injection
        self.general = world.general
        self.ann, self.bob = world.people[:2]
        self._world = world
        self._name = name
        self._number = number
        self._said = 0
        self.users_file = users_file(world.shape.layout)
        self.path = f"{self.general.path}{day_name(-1 - number)}.json"

    def micros(self) -> int:
        self._said += 1
        return self._minute(self._said)

    def _minute(self, number: int) -> int:
        return day_start(-1 - self._number) + 36_000_000_000 + number * 60_000_000

    def nobody(self, seen: bool = False) -> str:
        """The id of somebody whom users.json does not hold; who is seen to write gets a placeholder."""
        id = f"U0NOBODY{self._number:02}"
        if seen:
            username = id.lower()
            self.injection.user_lines.append(User(id, username, username, active=False, placeholder=True))
        return id

    def say(
        self, text: str, *, by: str = "", room: Room | None = None, at: int | None = None
    ) -> tuple[Json, Message]:
        """A message of Ann's, or of somebody unknown: a minute after the one before, or at a given minute."""
        room, micros = room or self.general, self.micros() if at is None else self._minute(at)
        ts, author = slack_ts(micros), by.lower() or self.ann.username
        element: Json = {"type": "message", "user": by or self.ann.id, "text": text, "ts": ts}
        return element, Message(
            f"slack-{room.id}-{ts.replace('.', '-')}", room.id, author, micros // 1000, text
        )

    def day_file(self, body: Body, *, path: str = "", damage: Callable[[bytes], bytes] | None = None) -> None:
        path = path or self.path
        data = b"[" + b",\n".join(msgspec.json.encode(element) for element, _ in body) + b"]"
        lines = [
            Skipped(path, f"$[{position}]", line) if isinstance(line, str) else line
            for position, (_, line) in enumerate(body)
        ]
        self.injection.files.append(DayFile(path, damage(data) if damage else data, lines))

    def between(
        self,
        bad: tuple[object, Message | str],
        expect: Expect,
        damage: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """A day file of three messages; the second is the faulty one."""
        before, after = self.say("a good one before", at=0), self.say("a good one after")
        self.day_file([before, bad, after], damage=damage)
        self.fault("message", expect, self.path, "$[1]")

    def raw_file(
        self, data: bytes, expect: Expect, lines: Sequence[Message | Skipped] = (), path: str = ""
    ) -> None:
        self.injection.files.append(DayFile(path or self.path, data, list(lines)))
        self.fault("file", expect, path or self.path)

    def user(self, person: Person, line: User, expect: Expect) -> None:
        number = len(self._world.people) + len(self.injection.people)
        self.injection.people.append(person)
        self.injection.user_lines.append(line)
        self.fault("user", expect, self.users_file, user_position(number))

    def room(
        self,
        expect: Expect,
        members: list[Person],
        listed: list[str] | None,
        *,
        file: str = "channels.json",
        **entry: object,
    ) -> Room:
        """A room of the fault's own: its `members`, and whom the archive lists as such."""
        direct = file == "dms.json"
        number = 5000 + self._number
        id = slack_id("D" if direct else "C", number)
        fields: Json = {"id": id, "created": 1_600_000_000 + number, "members": listed}
        if not direct:
            fields |= {"name": f"fault-{self._name}", "creator": self.ann.id, "is_archived": False}
            fields |= {"topic": {"value": ""}, "purpose": {"value": ""}, **entry}
        name = str(fields.get("name", ""))
        room = Room(
            id=id, number=number, file=file, type="d" if direct else "c", name=name, members=members,
            entry=fields, home=self.general.home,
        )  # fmt: skip
        rooms = (*self._world.rooms, *self.injection.rooms)
        position = sum((other.home, other.file) == (room.home, file) for other in rooms)
        self.injection.rooms.append(room)
        self.fault("channel", expect, room.home + file, f"$[{position}]")
        return room

    def fault(
        self, record: Record, expect: Expect, file: str = "", position: str = "", fields: str = ""
    ) -> None:
        promised = fields.split() if fields else msgspec.UNSET
        self.injection.faults.append(Fault(self._name, file, position, record, expect, promised))

    def fill(self, room: Room) -> None:
        """Two messages in the fault's own room, the second one Bob's."""
        path = f"{room.path}{day_name(-1 - self._number)}.json"
        first, (element, line) = self.say("first", room=room), self.say("second", room=room)
        line.author = self.bob.username
        self.day_file([first, ({**element, "user": self.bob.id}, line)], path=path)

    def other_channel(self) -> str:
        return next(room.name for room in reversed(self._world.rooms) if room.file == "channels.json")


# --- people -------------------------------------------------------------------------------------------------


def _user_without_email(case: _Case) -> None:
    person = make_person("U0FAULTY01", "without.mail", "Without Mail", None)
    case.user(person, person.line, "as-is")


def _duplicate_user_email(case: _Case) -> None:
    """Two accounts of one person: users are matched by e-mail, so the second becomes part of the first."""
    twin = make_person("U0FAULTY02", "twin.of.ann", "Twin", case.ann.email)
    line = case.ann.line
    line.id, line.merged_into = twin.id, case.ann.id
    case.user(twin, line, "substituted")
    element, said = case.say("said with the second account")
    case.day_file([({**element, "user": twin.id}, said)])


def _unknown_author(case: _Case) -> None:
    case.between(case.say("who am I?", by=case.nobody(seen=True)), "substituted")


def _unknown_mention(case: _Case) -> None:
    who = case.nobody()
    element, line = case.say(f"<@{who}> or <@{who}|zed>")
    line.text = f"@{who} or @zed"
    case.between((element, line), "substituted")


def _unknown_reaction_user(case: _Case) -> None:
    who = case.nobody(seen=True)
    element, line = case.say("who likes it?")
    element["reactions"] = [
        {"name": "eyes", "users": [case.bob.id, who], "count": 2},
        {"name": "+1", "users": [who], "count": 1},
    ]
    line.reactions = {":eyes:": [case.bob.username, who.lower()], ":+1:": [who.lower()]}
    case.between((element, line), "substituted")


# --- rooms --------------------------------------------------------------------------------------------------


def _unknown_creator(case: _Case) -> None:
    members = [case.ann, case.bob]
    case.fill(case.room("substituted", members, [person.id for person in members], creator=case.nobody()))


def _unknown_member(case: _Case) -> None:
    members = [case.ann, case.bob]
    case.fill(case.room("substituted", members, [case.ann.id, case.nobody(), case.bob.id]))


def _members_null(case: _Case) -> None:
    case.fill(case.room("substituted", [case.ann, case.bob], None))


def _duplicate_channel_name(case: _Case) -> None:
    """A second channel of a name that is taken; the folder of that name belongs to the first."""
    name = case.other_channel()
    room = case.room("substituted", [case.ann], [case.ann.id], name=name)
    case.injection.rooms[-1] = msgspec.structs.replace(room, truth_name=f"{name}-1")


def _one_member_dm(case: _Case) -> None:
    room = case.room("as-is", [case.ann], [case.ann.id], file="dms.json")
    case.day_file([case.say("a note to myself", room=room)], path=f"{room.path}{day_name(-1)}.json")


def _dm_unknown_member(case: _Case) -> None:
    who = case.nobody(seen=True)
    stranger = make_person(who, who.lower(), who.lower(), None, known=False)
    room = case.room("substituted", [case.ann, stranger], [case.ann.id, who], file="dms.json")
    body = [case.say("hello?", room=room), case.say("hello!", by=who, room=room)]
    case.day_file(body, path=f"{room.path}{day_name(-1)}.json")


def _unknown_folder(case: _Case) -> None:
    """Messages in a folder that no list names."""
    path = f"{case.general.home}fault-no-such-room/{day_name(-1)}.json"
    body = [(case.say(text)[0], "no room of that name") for text in ("first", "second")]
    case.day_file(body, path=path)
    case.fault("channel", "lost", path.rpartition("/")[0] + "/")


# --- messages -----------------------------------------------------------------------------------------------


def _message_without_ts(case: _Case) -> None:
    element, _ = case.say("when was this?")
    del element["ts"]
    case.between((element, "no ts"), "lost")


def _malformed_ts(case: _Case) -> None:
    element, _ = case.say("when was this?")
    case.between(({**element, "ts": "yesterday"}, "malformed ts"), "lost")


def _nul_byte(case: _Case) -> None:
    _damaged_text(case, b"\x00", "")


def _invalid_utf8(case: _Case) -> None:
    _damaged_text(case, b"\xff", "\ufffd")


def _damaged_text(case: _Case, bad: bytes, shown: str) -> None:
    element, line = case.say("before@after")
    line.text = f"before{shown}after"
    case.between(
        (element, line),
        "substituted",
        damage=lambda data: data.replace(b"before@after", b"before" + bad + b"after"),
    )


def _escaped_nul(case: _Case) -> None:
    element, line = case.say("before\x00after")
    line.text = "beforeafter"
    case.between((element, line), "substituted")


def _huge_message(case: _Case) -> None:
    case.between(case.say("0123456789" * 1_000_000), "as-is")


def _unknown_subtype(case: _Case) -> None:
    element, line = case.say("a kind that nobody knows yet")
    case.between(({**element, "subtype": "brand_new_thing"}, line), "substituted")


def _wrong_type_field(case: _Case) -> None:
    element, line = case.say("reactions are a string")
    line.optional = True
    case.between(({**element, "reactions": "many"}, line), "optional")


def _element_not_object(case: _Case) -> None:
    case.between((42, "not an object"), "lost")


def _missing_thread_root(case: _Case) -> None:
    root = case.micros()
    ts = slack_ts(root)
    element, line = case.say("a reply to what is gone")
    line.thread = f"slack-{case.general.id}-{ts.replace('.', '-')}"
    case.between(({**element, "thread_ts": ts}, line), "substituted")
    gone = Message(
        line.thread, case.general.id, "rocket.cat", root // 1000, t="rm", reply_count=1, placeholder=True
    )
    gone.repliers, gone.last_reply = [line.author], line.ts
    path, data, lines = case.injection.files[-1]
    case.injection.files[-1] = DayFile(path, data, [gone, *lines])


def _reply_before_root(case: _Case) -> None:
    root, root_line = case.say("the root, which stands second")
    reply, line = case.say("the reply, which stands first")
    root |= {
        "thread_ts": root["ts"],
        "reply_count": 1,
        "latest_reply": reply["ts"],
        "reply_users": [case.ann.id],
    }
    root_line.reply_count, root_line.last_reply, root_line.repliers = 1, line.ts, [line.author]
    line.thread = root_line.id
    case.day_file([({**reply, "thread_ts": root["ts"]}, line), (root, root_line)])
    case.fault("message", "as-is", case.path, "$[0]")


def _duplicate_message(case: _Case) -> None:
    """The same element twice."""
    element, line = case.say("said once, exported twice")
    case.day_file([case.say("a good one before", at=0), (element, line), (element, "the same ts as $[1]")])
    case.fault("message", "lost", case.path, "$[2]")


# --- day files ----------------------------------------------------------------------------------------------


def _canvas_file(case: _Case) -> None:
    """Slack puts a file that holds no messages among the day files."""
    data = msgspec.json.encode([canvas(case.general.id, case.ann, 9)])
    case.raw_file(data, "as-is", path=f"{case.general.path}canvas_in_the_conversation.json")


def _day_file_not_json(case: _Case) -> None:
    case.raw_file(b"<html><body>Please sign in</body></html>", "lost")


def _day_file_truncated(case: _Case) -> None:
    """Cut within its third message. Whether the first two are saved is the importer's choice."""
    body = [case.say(f"number {number}") for number in range(3)]
    for _, line in body:
        line.optional = True
    data = b"[" + b",\n".join(msgspec.json.encode(element) for element, _ in body)
    case.raw_file(data[:-20], "optional", [line for _, line in body[:2]])


def _day_file_not_list(case: _Case) -> None:
    case.raw_file(b'{"ok": false, "error": "internal_error"}', "lost")


def _empty_day_file(case: _Case) -> None:
    case.raw_file(b"", "as-is")


def _empty_list_day_file(case: _Case) -> None:
    case.raw_file(b"[]", "as-is")


# --- the archive --------------------------------------------------------------------------------------------

_ROOM_FIELDS = "type name topic description archived created"
_WITHOUT_USERS = (
    f"id room ts t thread in_channel alias reply_count last_reply files attachments {_ROOM_FIELDS}"
)
_WITHOUT_CHANNELS = (
    "id room ts author t thread in_channel alias reply_count repliers last_reply reactions pinned edited "
    f"files attachments members {_ROOM_FIELDS}"
)


def _users_file(case: _Case, content: bytes | None) -> None:
    case.injection.replaced |= {"users.json": content, "org_users.json": content}
    case.fault("archive", "partial", case.users_file, fields=_WITHOUT_USERS)


def _users_json_not_json(case: _Case) -> None:
    _users_file(case, b"<html><body>Please sign in</body></html>")


def _users_json_not_list(case: _Case) -> None:
    _users_file(case, b'{"ok": false, "error": "internal_error"}')


def _users_json_missing(case: _Case) -> None:
    _users_file(case, None)


def _channels_json_missing(case: _Case) -> None:
    case.injection.replaced["channels.json"] = None
    case.injection.lost["channels.json"] = "no room of that name"
    case.fault("archive", "partial", "channels.json", fields=_WITHOUT_CHANNELS)


def _txt_export(case: _Case) -> None:
    case.injection.txt = True
    case.fault("archive", "refused")


def _wrapping_folder(case: _Case) -> None:
    case.injection.folder = "Example export Jan 2 2023/"
    case.fault("archive", "as-is")


def _beside(case: _Case, path: str, data: bytes) -> None:
    case.injection.files.append(DayFile(path, data, []))
    case.fault("file", "as-is", path)


def _macos_entries(case: _Case) -> None:
    _beside(case, f"__MACOSX/{case.general.folder}/._2023-01-02.json", b"\x00\x05\x16\x07")


def _slackdump_uploads(case: _Case) -> None:
    _beside(case, "__uploads/F0EXAMPLE1/plan.png", b"\x89PNG\r\n\x1a\n")


def _slackdump_attachments(case: _Case) -> None:
    _beside(case, f"{case.general.path}attachments/F0EXAMPLE1-plan.png", b"\x89PNG\r\n\x1a\n")


_TABLE: tuple[tuple[Callable[[_Case], None], str], ...] = (
    (_user_without_email, "a user without e-mail"),
    (_duplicate_user_email, "two users with the same e-mail"),
    (_unknown_author, "a message by somebody whom users.json does not hold, without user_profile"),
    (_unknown_mention, "a mention of somebody unknown, with and without a label"),
    (
        _unknown_reaction_user,
        "a reaction by somebody known and somebody unknown, and one by the latter alone",
    ),
    (_unknown_creator, "a channel whose creator is unknown"),
    (_unknown_member, "a channel with an unknown member"),
    (_members_null, "a channel whose members are null"),
    (_duplicate_channel_name, "two channels of the same name"),
    (_one_member_dm, "a direct conversation of one member"),
    (_dm_unknown_member, "a direct conversation with somebody unknown"),
    (_unknown_folder, "a folder of day files that no list of rooms names"),
    (_message_without_ts, "a message without ts"),
    (_malformed_ts, 'a message whose ts is "yesterday"'),
    (_nul_byte, "a raw NUL byte in a text: not valid JSON"),
    (_escaped_nul, "an escaped NUL in a text"),
    (_invalid_utf8, "a byte in a text that is not UTF-8"),
    (_huge_message, "a text of 10 MB"),
    (_unknown_subtype, "a message of a subtype that nobody knows"),
    (_wrong_type_field, "a message whose reactions are a string"),
    (_element_not_object, "a number among the messages"),
    (_missing_thread_root, "a reply whose root is not in the archive"),
    (_reply_before_root, "a reply that stands before its root in the file"),
    (_duplicate_message, "the same message twice"),
    (_canvas_file, "canvas_in_the_conversation.json among the day files"),
    (_day_file_not_json, "a day file that is an HTML page"),
    (_day_file_truncated, "a day file that ends within a message"),
    (_day_file_not_list, "a day file that is an object"),
    (_empty_day_file, "a day file of no bytes"),
    (_empty_list_day_file, "a day file of no messages"),
    (_users_json_not_json, "users.json is an HTML page"),
    (_users_json_not_list, "users.json is an object"),
    (_users_json_missing, "no users.json"),
    (_channels_json_missing, "no channels.json"),
    (_txt_export, "a TXT export, which cannot be imported"),
    (_wrapping_folder, "everything stands in one folder"),
    (_macos_entries, "what macOS adds when it packs a zip"),
    (_slackdump_uploads, "file contents in __uploads, as slackdump and slack-advanced-exporter write them"),
    (_slackdump_attachments, "file contents in a room's attachments folder, as slackdump writes them"),
)

_NAMES = {"reply-before-root": "reply-before-root-file-order"}


def _name(fault: Callable[[_Case], None]) -> str:
    name = fault.__name__.strip("_").replace("_", "-")
    return _NAMES.get(name, name)


FAULTS: dict[str, str] = {_name(fault): what for fault, what in _TABLE}
_FUNCTIONS = {_name(fault): fault for fault, _ in _TABLE}


def inject(world: World, faults: Sequence[str]) -> Injection:
    injection = Injection()
    for name in faults:
        if name not in FAULTS:
            raise ValueError(f"no such fault: {name}; there are {', '.join(FAULTS)}")
        _FUNCTIONS[name](_Case(world, injection, name, list(FAULTS).index(name)))
    return injection

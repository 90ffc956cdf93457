"""What Slack, its apps and its files add to a conversation, as tables; catalogue.py makes messages of them.

Here $u $n are the author's id and username, $u2 $n2 somebody else's, $r the room's name, $f a file's id,
$b a bot's id, $s the time in seconds.
"""

from typing import NamedTuple

from testdata.people import Json, make_person

SLACKBOT = "rocket.cat"


class Notice(NamedTuple):
    """A message that Slack wrote, or wrote on somebody's behalf."""

    subtype: str
    text: str
    shown: str | None = None  # None: the text as it is, or nothing for a system message
    t: str = ""
    fields: str = "{}"
    mentions: str = ""
    by: str = "$n"


ROOM_NOTICES = (
    Notice("${kind}_join", "<@$u> has joined the $kind", t="uj", fields='{"inviter": "$u2"}'),
    Notice("${kind}_leave", "<@$u> has left the $kind", t="ul"),
    Notice(
        "${kind}_topic",
        "<@$u> set the $kind topic: Ship it :rocket:",
        "Ship it :rocket:",
        "room_changed_topic",
        '{"topic": "Ship it :rocket:"}',
    ),
    Notice(
        "${kind}_purpose",
        "<@$u> set the $kind purpose: Where we test",
        "Where we test",
        "room_changed_description",
        '{"purpose": "Where we test"}',
    ),
    Notice(
        "${kind}_name",
        '<@$u> has renamed the $kind from "old-$r" to "$r"',
        "$r",
        "r",
        '{"old_name": "old-$r", "name": "$r"}',
    ),
    Notice(
        "${kind}_archive", "<@$u> archived the $kind", t="room-archived", fields='{"members": ["$u", "$u2"]}'
    ),
    Notice("${kind}_unarchive", "<@$u> un-archived the $kind", t="room-unarchived"),
    Notice(
        "${kind}_posting_permissions",
        "set this channel’s posting permissions: admins &amp; owners",
        "set this channel’s posting permissions: admins & owners",
        fields='{"posting_permissions": "admins"}',
    ),
)

_LINK = "https://example.slack.com/services/B0EXAMPLE1"
_CANVAS = "https://example.slack.com/docs/T0EXAMPLE1/F0EXAMPLE9"


def _app_notice(subtype: str, did: str) -> Notice:
    text, shown = f"{did} this channel: <{_LINK}|Deploy>", f"{did} this channel: [Deploy]({_LINK})"
    return Notice(subtype, text, shown, fields=f'{{"bot_id": "B0EXAMPLE1", "bot_link": "<{_LINK}|Deploy>"}}')


NOTICES = (
    _app_notice("bot_add", "added an integration to"),
    _app_notice("bot_remove", "removed an integration from"),
    _app_notice("bot_enable", "enabled an integration in"),
    _app_notice("bot_disable", "disabled an integration in"),
    Notice("app_conversation_join", "<@$u> was added to this conversation", t="uj"),
    Notice("app_conversation_leave", "<@$u> was removed from this conversation", t="ul"),
    Notice(
        "unpinned_item",
        "<@$u> unpinned a message from this channel.",
        "@$n unpinned a message from this channel.",
        mentions="$n",
    ),
    Notice(
        "channel_canvas_updated",
        f"updated the channel canvas: <{_CANVAS}|Plan>",
        f"updated the channel canvas: [Plan]({_CANVAS})",
        fields='{"canvas_update_section_id": "x1"}',
    ),
    Notice(
        "tabbed_canvas_updated",
        f"updated a canvas tab: <{_CANVAS}|Plan>",
        f"updated a canvas tab: [Plan]({_CANVAS})",
        fields='{"tab_id": "Ct0EXAMPLE1"}',
    ),
    Notice(
        "share_shortcut",
        "shared a shortcut: <https://example.org/s|Daily>",
        "shared a shortcut: [Daily](https://example.org/s)",
    ),
    Notice(
        "joiner_notification",
        "I accepted your invitation, <@$u2>!",
        "I accepted your invitation, @$n2!",
        mentions="$n2",
    ),
    Notice(
        "joiner_notification_for_inviter",
        "<@$u2> joined Slack – say hello!",
        "@$n2 joined Slack – say hello!",
        fields='{"user": "USLACKBOT"}',
        mentions="$n2",
        by=SLACKBOT,
    ),
    Notice(
        "slackbot_response",
        "The *key* is under the _mat_ &amp; oiled.",
        "The *key* is under the _mat_ & oiled.",
        fields='{"user": "USLACKBOT"}',
        by=SLACKBOT,
    ),
    Notice(
        "ekm_access_denied",
        "This content is unavailable.",
        t="rm",
        fields='{"ekm_access_denied": true}',
    ),
)

_ROOM = '"room": {"id": "R0EXAMPLE1", "created_by": "$u", "date_start": $s, "date_end": %s, "has_ended": %s}}'
_HUDDLE = '{"user": "USLACKBOT", "no_notifications": true, ' + _ROOM


def _huddle(minutes: str, end: str) -> Notice:
    shown = f"A huddle started · {minutes} min"
    return Notice("huddle_thread", "A huddle started", shown, fields=_HUDDLE % (end, "true"))


DIRECT_NOTICES = (
    Notice(
        "me_message",
        "is away &amp; back with <@$u2>",
        "_is away & back with @${n2}_",
        mentions="$n2",
    ),
    Notice("reminder_add", "set up a reminder “stand-up” in this channel at 9AM every weekday."),
    Notice("sh_room_created", "started a call", fields="{" + _ROOM % ("0", "false")),
    _huddle("10", "$s600"),
    _huddle("11", "$s601"),
    _huddle("1", "$s5"),
    Notice("huddle_thread", "A huddle started", fields=_HUDDLE % ("0", "false")),
)

_OLD = '{"type": "message", "user": "$u", "text": "old", "ts": "$s.000001", "thread_ts": "$s.000001"}'

WRAPPERS = {  # elements that are about a message and are none themselves
    "message_changed": f'{{"hidden": true, "message": {_OLD}, "previous_message": {_OLD}}}',
    "message_deleted": f'{{"hidden": true, "deleted_ts": "$s.000001", "previous_message": {_OLD}}}',
    "message_replied": f'{{"hidden": true, "message": {_OLD}}}',
    "emoji_changed": '{"emoji_subtype": "add", "name": "parrot", "value": "https://example.org/p.gif"}',
}

# --- files --------------------------------------------------------------------------------------------------

_PRIVATE = "https://files.slack.com/files-pri/T0EXAMPLE1-$f"
_HOSTED = (
    '{"id": "$f", "created": $s, "timestamp": $s, "name": "%(name)s", "title": "%(title)s", '
    '"mimetype": "%(mime)s", "filetype": "%(kind)s", "pretty_type": "%(kind)s", "user": "$u", '
    '"mode": "%(mode)s", "size": %(size)d, "is_external": false, "external_type": "", "is_public": true, '
    f'"editable": false, "url_private": "{_PRIVATE}/%(name)s?t=xoxe-EXAMPLE", '
    f'"url_private_download": "{_PRIVATE}/download/%(name)s?t=xoxe-EXAMPLE", '
    '"permalink": "https://example.slack.com/files/$u/$f/%(name)s"}'
)


class FileEntry(NamedTuple):
    entry: str
    name: str = ""  # what is known of it


def _hosted(name: str, title: str, mime: str, mode: str = "hosted", size: int = 1234) -> FileEntry:
    kind = name.rpartition(".")[2]
    values = {"name": name, "title": title, "mime": mime, "kind": kind, "mode": mode, "size": size}
    return FileEntry(_HOSTED % values, name)


FILES = {
    "image": _hosted("plan.png", "Plan", "image/png"),
    "pdf": _hosted("größe 1.pdf", "Größe", "application/pdf", size=99_999),
    "video": _hosted("demo.mp4", "Demo", "video/mp4", size=5_000_000),
    "snippet": _hosted("main.py", "main.py", "text/plain", "snippet"),
    "post": _hosted("Minutes", "Minutes", "application/vnd.slack-docs", "post"),
    "space": _hosted("Notes", "Notes", "application/vnd.slack-docs", "space"),
    "canvas": _hosted("Roadmap", "Roadmap", "application/vnd.slack-docs", "quip"),
    "email": _hosted("Hello_there", "Hello there", "text/html", "email"),
    "external": FileEntry(
        '{"id": "$f", "created": 0, "timestamp": 0, "user": "", "mode": "external", "name": "doc", '
        '"is_external": true, "external_type": "gdrive", "url_private": "https://example.org/doc"}',
        "doc",
    ),
    "tombstone": FileEntry('{"id": "$f", "mode": "tombstone"}'),
    "hidden": FileEntry('{"id": "$f", "mode": "hidden_by_limit", "date_delete": 0}'),
    "denied": FileEntry('{"id": "$f", "file_access": "access_denied"}'),
    "not found": FileEntry('{"id": "$f", "file_access": "file_not_found"}'),
    "elsewhere": FileEntry(
        '{"id": "$f", "file_access": "check_file_info", "created": 0, "mode": "hosted", '
        '"name": "shared.txt", "user": ""}',
        "shared.txt",
    ),
}

FILE_MESSAGES: tuple[tuple[str, ...], ...] = (
    *((name,) for name in FILES if name not in ("pdf", "video")),
    ("pdf", "image", "video"),
    ("image", "tombstone", "hidden", "external"),
)


class OldFile(NamedTuple):
    """The form with one `file` instead of `files`, and a text that Slack made up."""

    subtype: str
    text: str
    shown: str
    file: str


_OLD_URL = "https://example.slack.com/files/$u/$f/old.txt"
_OLD_LINK = f"<{_OLD_URL}|old.txt>", f"[old.txt]({_OLD_URL})"


def _old_file(subtype: str, did: str, file: str) -> OldFile:
    link, shown = _OLD_LINK
    return OldFile(subtype, f"<@$u> {did} a file: {link}", f"@$n {did} a file: {shown}", file)


OLD_FILES = (
    _old_file("file_share", "uploaded", "image"),
    OldFile(
        "file_share",
        f"<@$u|$n> uploaded a file: {_OLD_LINK[0]} and commented: nice &amp; neat",
        f"@$n uploaded a file: {_OLD_LINK[1]} and commented: nice & neat",
        "snippet",
    ),
    _old_file("file_mention", "mentioned", "pdf"),
    _old_file("file_created", "created", "post"),
)

# --- bots ---------------------------------------------------------------------------------------------------

ORPHANS = {  # bots that users.json does not hold: placeholders
    id: make_person(id, username, name, None, bot_id=id, known=False)
    for id, username, name in (
        ("B0ORPHAN01", "build-bot", "Build Bot"),
        ("B0ORPHAN02", "ops-alerts", "Ops / Alerts"),
        ("B0ORPHAN03", "cron", "Cron"),
    )
}

_ATTACHMENT = (
    '{"fallback": "build ok", "color": "36a64f", "pretext": "", "author_name": "CI", "title": "Build 1", '
    '"title_link": "https://example.org/1", "text": "ok &amp; green", "footer": "ci", "ts": $s, '
    '"fields": [{"title": "Env", "value": "prod", "short": true}], "image_url": "https://example.org/i"}'
)


class BotRow(NamedTuple):
    """`who`: the id of an orphan, "bot" for a bot user, "" for nobody; `user`: the message has one."""

    who: str
    alias: str
    fields: str
    user: bool = False
    text: str = "Deployed &lt;v1.2&gt; to <https://example.org/prod|prod>"
    shown: str = "Deployed <v1.2> to [prod](https://example.org/prod)"
    attachments: int = 0


def _bot(who: str, username: str = "", profile: str = "", more: str = "") -> BotRow:
    """A bot_message: its name stands in `username`, in `bot_profile`, or in both (the first wins)."""
    fields = ['"subtype": "bot_message"']
    fields += ['"bot_id": "$b"'] if who else []
    fields += [f'"username": "{username}"'] if username else []
    fields += [_profile(profile)] if profile else []
    fields += [more] if more else []
    return BotRow(who, username or profile, "{" + ", ".join(fields) + "}")


def _profile(name: str) -> str:
    return f'"bot_profile": {{"id": "$b", "app_id": "A0EXAMPLE1", "name": "{name}", "deleted": false}}'


BOTS = (
    _bot("bot", "Deploy", more='"icons": {"emoji": ":rocket:"}'),
    _bot("bot", "Night Deploy", "Deploy")._replace(user=True),
    BotRow("bot", "Deploy", '{"bot_id": "$b", ' + _profile("Deploy") + "}", user=True),  # newer: no subtype
    _bot("B0ORPHAN01", "Build Bot", "Build Bot", '"icons": {"image_48": "https://example.org/b48.png"}'),
    _bot("B0ORPHAN02", profile="Ops / Alerts"),
    _bot("B0ORPHAN03", "Cron"),
    _bot("", "Old Webhook", more='"icons": {"emoji": ":ghost:"}'),
    _bot("bot", "Deploy", more=f'"attachments": [{_ATTACHMENT}, {_ATTACHMENT}]')._replace(
        text="", shown="", attachments=2
    ),
)

PREVIEWS: tuple[Json, ...] = (  # a link's page, and a message that was shared
    {
        "from_url": "https://example.org/a",
        "original_url": "https://example.org/a",
        "service_name": "Example",
        "id": 1,
        "title": "A page",
        "title_link": "https://example.org/a",
        "text": "About &amp; more",
        "fallback": "Example: A page",
    },
    {
        "is_msg_unfurl": True,
        "is_share": True,
        "channel_id": "C0EXAMPLE1",
        "ts": "1600000200.000100",
        "author_name": "Ann",
        "text": "said before",
        "from_url": "https://example.slack.com/archives/C0EXAMPLE1/p1600000200000100",
        "fallback": "[September 13th, 2020] ann: said before",
    },
)

"""Slack's JSON: the shapes of its export files.

Format: https://slack.com/help/articles/220556107-How-to-read-Slack-data-exports and what exports hold.
"""

import re
from typing import Any

from msgspec import Raw, Struct

from chatferry.importers.reading.json_list import NO_JSON
from chatferry.records import ROCKET_CAT

SLACKBOT = "USLACKBOT"


def person(id: str) -> str:
    """Return the import id of a person or bot; Rocket.Chat's own bot takes Slackbot's place."""
    return ROCKET_CAT if id == SLACKBOT else id


class Topic(Struct, frozen=True):
    value: str | None = None


class ChannelPin(Struct, frozen=True):
    id: str | None = None
    created: int | str | None = None
    user: str | None = None


class About(Struct, frozen=True, kw_only=True):
    """What a channel is about."""

    topic: Topic | None = None
    purpose: Topic | None = None


class SlackChannel(About, frozen=True, kw_only=True):
    """An entry of channels.json, groups.json, mpims.json, dms.json or file_conversations.json."""

    id: str
    name: str | None = None
    created: int | str | None = None  # a string in exports before 2014
    creator: str | None = None
    is_archived: bool | None = None
    is_general: bool | None = None
    is_private: bool | None = None
    is_im: bool | None = None
    is_mpim: bool | None = None
    user: str | None = None  # the other person, in lists made from Slack's API
    members: list[str] | None = None
    pins: list[ChannelPin] | None = None


class Profile(Struct, frozen=True, kw_only=True):
    real_name: str | None = None
    display_name: str | None = None
    name: str | None = None
    email: str | None = None
    title: str | None = None
    status_text: str | None = None
    image_original: str | None = None
    image_512: str | None = None
    image_72: str | None = None
    bot_id: str | None = None


class UserProfile(Profile, frozen=True, kw_only=True):
    """A profile in a list of users. `fields` are the workspace's own, by ids; a list if there are none."""

    phone: str | None = None
    pronouns: str | None = None
    fields: Any = None


class SlackUser(Struct, frozen=True, kw_only=True):
    """An entry of users.json or org_users.json."""

    id: str
    name: str | None = None
    real_name: str | None = None
    deleted: bool | None = None
    is_bot: bool | None = None
    is_restricted: bool | None = None  # a guest in some channels
    is_ultra_restricted: bool | None = None  # a guest in one channel
    tz_offset: int | float | None = None
    profile: UserProfile = UserProfile()


class Named(Struct, frozen=True, gc=False):
    """The fields of a `SlackUser` or `SlackChannel` that name it."""

    id: str
    name: str | None = None


class BotLink(Struct, frozen=True, gc=False):
    bot_id: str | None = None


class Writer(Struct, frozen=True, gc=False):
    """The fields of a `SlackUser` that tell which bot it writes as."""

    id: str
    profile: BotLink = BotLink()


class EnterpriseUser(Struct, frozen=True, gc=False):
    enterprise_id: str | None = None


class Membership(Struct, frozen=True, gc=False):
    """The fields of a `SlackUser` that tell its workspace."""

    team_id: str | None = None
    enterprise_user: EnterpriseUser | None = None


class SlackFile(Struct, frozen=True, kw_only=True, gc=False):
    id: str = ""
    name: str | None = None
    title: str | None = None
    mimetype: str | None = None
    mode: str | None = None
    file_access: str | None = None
    size: int | None = None
    is_external: bool | None = None
    is_hidden_by_limit: bool | int | None = None  # beyond the limit of a free plan
    url_private: str | None = None
    url_private_download: str | None = None
    permalink: str | None = None
    preview: str | None = None
    original_w: int | float | None = None
    original_h: int | float | None = None


class SlackReaction(Struct, frozen=True, gc=False):
    name: str = ""
    users: list[str] = []
    count: int = 0


class Edited(Struct, frozen=True, gc=False):
    user: str | None = None
    ts: str | None = None


class Comment(Struct, frozen=True, gc=False):
    user: str | None = None
    comment: str | None = None


class Huddle(Struct, frozen=True, kw_only=True):
    created_by: str | None = None
    date_start: int | None = None
    date_end: int | None = None


class BotProfile(Struct, frozen=True, gc=False):
    name: str | None = None
    icons: dict[str, Any] | None = None


class PinnedItem(Struct, frozen=True, gc=False):
    ts: str | None = None


class _AnyMessage(Struct, frozen=True, kw_only=True, gc=False):
    type: str | None = None
    subtype: str | None = None
    ts: str | None = None
    thread_ts: str | None = None
    user: str | None = None
    bot_id: str | None = None
    username: str | None = None
    comment: Comment | None = None
    room: Huddle | None = None
    edited: Edited | None = None
    reactions: list[SlackReaction] | None = None


class Envelope(_AnyMessage, frozen=True, kw_only=True, gc=False):
    """The fields of a message that the first pass needs: author, time and thread."""

    user_profile: Raw = NO_JSON
    bot_profile: Raw = NO_JSON
    item: PinnedItem | None = None


class SlackMessage(_AnyMessage, frozen=True, kw_only=True, gc=False):
    """An element of a day file."""

    text: str | None = None
    bot_profile: BotProfile | None = None
    icons: dict[str, Any] | None = None
    blocks: Raw = NO_JSON  # decoded only where it may hold more than `text`
    attachments: list[dict[str, Any]] | None = None
    files: list[SlackFile] | None = None
    file: SlackFile | None = None
    pinned_to: list[str] | None = None
    topic: str | None = None
    purpose: str | None = None
    name: str | None = None


_TS = re.compile(r"\d{1,10}(?:\.\d{1,6})?")


def micros(ts: str | None) -> int | None:
    """Return Slack's `ts` ("1600000200.000100") as microseconds since the epoch; None if invalid."""
    if ts is None or not ts.isascii():
        return None
    if len(ts) == 17 and ts[10] == "." and (digits := ts[:10] + ts[11:]).isdigit():
        return int(digits)
    if _TS.fullmatch(ts) is None:
        return None
    seconds, _, fraction = ts.partition(".")  # never through a float: it loses the last digits,
    return int(seconds) * 1_000_000 + int(f"{fraction:0<6}")  # and they are the message's identity


def millis(ts: str | None) -> int | None:
    exact = micros(ts)
    return None if exact is None else exact // 1000

"""Slack's exports, and its list of members."""

from chatferry.importers.importer import Importer
from chatferry.importers.slack import export, lists, members

IMPORTER = Importer(
    "slack",
    "Slack",
    "a Slack export",
    export.matches,
    export.scan,
    export.read,
    content_keys=export.content_keys,
    origin=lists.workspace,
)
MEMBERS_IMPORTER = Importer(
    "slack-users",
    "Slack_Users",
    "Slack's list of members",
    members.matches,
    members.scan,
    single=True,
)

__all__ = ["IMPORTER", "MEMBERS_IMPORTER"]

"""Rocket.Chat shows of a document exactly what Slack shows of the text.

Both sides have rules of their own (tests/support/shown), none of which is chatferry's.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from chatferry.documents import MESSAGES
from tests.support.shown import corpus, rocketchat
from tests.support.shown.exports import imported, message
from tests.support.shown.slack import Slack

Json = dict[str, Any]
COUNT = 3_000
LONG = 60_000


def differences(said: list[Json], documents: dict[str, Json]) -> list[str]:
    slack = Slack(corpus.USERS, corpus.CHANNELS)
    found = []
    for one in said:
        document = documents[f"slack-C0PLANS01-{one['ts'].replace('.', '-')}"]
        expected, seen = rocketchat.decoded(slack.shown(one)), rocketchat.decoded(rocketchat.shown(document))
        if expected != seen:
            given = json.dumps(one.get("blocks") or one["text"], ensure_ascii=False)
            found.append(f"{given}\n{document['msg']!r}\n  Slack: {expected}\n  Rocket.Chat: {seen}")
    return found


def check(place: Path, count: int, seed: int) -> None:
    said = [message(number, one) for number, one in enumerate(corpus.messages(count, seed))]
    found = differences(said, imported(place, said).by_id(MESSAGES))
    assert not found, f"{len(found)} of {count} texts show something else\n" + "\n\n".join(found[:10])


def test_documents_show_what_slack_shows(tmp_path: Path) -> None:
    check(tmp_path, COUNT, seed=14)


@pytest.mark.long
@pytest.mark.skipif(os.environ.get("CHATFERRY_TEST_LONG") != "1", reason="long")
def test_many_more_documents_show_what_slack_shows(tmp_path: Path) -> None:
    check(tmp_path, LONG, seed=29)

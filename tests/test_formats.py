"""Messages that are converted differently than before have another format: FORMAT in documents.py.

`formats.json` has the digests of what fixed exports become. If they changed without FORMAT, importing an
unchanged export again would overwrite what people have edited since.
"""

import json
import os
from pathlib import Path

from xxhash import xxh3_128_hexdigest

from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import FORMAT, MESSAGES
from tests.support.golden import write
from tests.support.importing import founded, import_archive
from tests.support.paths import CASES, EXAMPLES, GOLDEN, TESTS

RECORDED = TESTS / "formats.json"
UPDATE = os.environ.get("CHATFERRY_UPDATE_GOLDEN") == "1"
HIPCHAT = "hipchatenterprise"
HIPCHAT_CASES = (
    "code-and-quote", "file-to-fetch", "html-malformed", "html-notification", "me-message", "mentions",
    "message-time-forms", "notification-card",
)  # fmt: skip
CHANGED = (
    "The same exports become other messages than before. If that is intended, raise FORMAT in "
    "src/chatferry/documents.py by one, then run: CHATFERRY_UPDATE_GOLDEN=1 pytest tests/test_formats.py"
)


def made_of(archive: Path, importer: str) -> str:
    """Return one digest of all messages of an export, without their formats."""
    imported = import_archive(archive, founded(MemoryDestination()), importer_key=importer)
    found = imported.destination.digests([one["_id"] for one in imported.documents(MESSAGES)])
    assert found
    return xxh3_128_hexdigest(b"".join(id.encode() + found[id][:8] for id in sorted(found)))


def test_messages_change_only_with_their_format(tmp_path: Path) -> None:
    exports = {
        "examples/slack-small.zip": (EXAMPLES / "slack-small.zip", "slack"),
        "examples/csv-small.zip": (EXAMPLES / "csv-small.zip", "csv"),
        "tests/golden/slack-300": (GOLDEN, "slack"),
        **{
            f"{HIPCHAT}/{name}": (write(CASES / HIPCHAT / name / "archive.json", tmp_path / name), HIPCHAT)
            for name in HIPCHAT_CASES
        },
    }
    found = {name: made_of(*export) for name, export in exports.items()}
    recorded = json.loads(RECORDED.read_text())
    if UPDATE and (recorded["format"] < FORMAT or recorded["messages"].items() <= found.items()):
        RECORDED.write_text(json.dumps({"format": FORMAT, "messages": found}, indent=2) + "\n")
    else:
        assert recorded == {"format": FORMAT, "messages": found}, CHANGED

"""Paths of files that several tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
EXAMPLES = ROOT / "examples"
SLACK_EXAMPLE, CSV_EXAMPLE = EXAMPLES / "slack-small.zip", EXAMPLES / "csv-small.zip"
GOLDEN_FOLDER = TESTS / "golden" / "slack-300"
GOLDEN = GOLDEN_FOLDER / "input-slack-300.zip"
GOLDEN_INDEXES = GOLDEN_FOLDER / "indexes.json"
CASES = TESTS / "importers" / "cases"
SEEDS = TESTS / "api" / "seeds"
UNVERSIONED = TESTS / "upgrades" / "unversioned.tar.xz"
"""A data directory into which chatferry imported examples/slack-small.zip before stores had versions."""
HALFWAY = TESTS / "upgrades" / "halfway.tar.xz"
"""A data directory of an earlier version: it imported examples/slack-small.zip, and was killed while it
imported the messages of the golden export, with the origin "golden"."""

"""A file host for each test, and the settings with which a server or an import may ask it."""

from pathlib import Path

import pytest

from chatferry.downloads import Rules
from chatferry.settings import Settings
from tests.support.filehost import FileHost


@pytest.fixture
def settings(host: FileHost, tmp_path: Path) -> Settings:
    """Attempts follow each other at once."""
    rules = Rules(hosts=frozenset({host.name}), attempts=2, first_wait=0.01, idle_seconds=1, total_seconds=30)
    return Settings(data=tmp_path / "data", downloads=rules)

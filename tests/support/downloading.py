"""One download, and the checks that hold for every failure."""

import traceback
from pathlib import Path

import pytest
from msgspec.structs import replace

from chatferry.downloads import Request, Rules
from chatferry.downloads.fetch_one import fetch
from chatferry.downloads.network import World
from chatferry.errors import DownloadError
from tests.support.filehost import noise

SECRET = "xoxe-1-VERYSECRET"
DATA = noise(300_000)


class StopError(Exception):
    """Raised by a caller to end a download."""


def wanted(url: str, folder: Path, **more: object) -> Request:
    request = Request(url=url, path=folder / "file")
    return replace(request, **more)


def failing(request: Request, rules: Rules, outside: World) -> DownloadError:
    """The error of a download, once it is sure that it tells no secret and has left nothing behind."""
    with pytest.raises(DownloadError) as caught:
        fetch(request, rules, outside=outside)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(vars(caught.value))
    assert caught.value.__context__ is None
    assert caught.value.reason and caught.value.remedy
    if not request.resumable:
        assert list(request.path.parent.iterdir()) == []
    return caught.value

"""Slack exports with files and pictures that lie on a host of the test."""

import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

from tests.support.importing import write_folder

TOKEN = "xoxe-123456789-abcdefSECRET"
DAY = "general/2020-09-13.json"


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    """An image of this size, with some bytes after it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + chunk + extra


def file(id: str, url: str, name: str = "", mime: str = "image/png", **more: Any) -> dict[str, Any]:
    """Return a file as Slack describes it, with a wrong size and wrong dimensions."""
    return {
        "id": id,
        "name": name or f"{id}.png",
        "title": f"Title of {id}",
        "mimetype": mime,
        "mode": "hosted",
        "size": 7,
        "original_w": 1,
        "original_h": 2,
        "url_private_download": url,
        **more,
    }


def message(number: int, *files: dict[str, Any], user: str = "UALICE001", **more: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "user": user,
        "ts": f"{1600000200 + number}.000100",
        "text": f"message {number}",
        "files": list(files),
        **more,
    }


def user(id: str, name: str, **profile: Any) -> dict[str, Any]:
    return {"id": id, "name": name, "profile": {"email": f"{name}@example.com", **profile}}


def channel(id: str, name: str, *members: str) -> dict[str, Any]:
    return {"id": id, "name": name, "members": list(members), "creator": members[0], "created": 1600000000}


ALICE, BOB = user("UALICE001", "alice"), user("UBOB00001", "bob")


def write_export(folder: Path, days: dict[str, Any], **more: Any) -> Path:
    """A zip: `days` are its day files; `more` are lists in the place of the usual ones (users, dms ...)."""
    lists = {
        "users": [ALICE, BOB],
        "channels": [channel("C0GENERAL", "general", "UALICE001", "UBOB00001")],
        **more,
    }
    write_folder(folder, {**{f"{name}.json": entries for name, entries in lists.items()}, **days})
    return Path(shutil.make_archive(str(folder), "zip", folder))

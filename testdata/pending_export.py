"""Slack exports whose files and pictures lie on a host, with the truth about them beside. See README.md.

There is no command line: what the host has to serve is made together with the export.
"""

import hashlib
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from testdata.container import open_container
from testdata.entries import Avatar, File, Line, write_lines
from testdata.people import username

Json = dict[str, Any]
TOKEN = "xoxe-1234-SECRET"
_BEGIN = 1_600_000_000
_CHANNELS = ("general", "random")


class Shape(Struct, frozen=True):
    """`messages` have a file each, or none that has bytes; some have two, and some files two messages."""

    users: int = 54
    messages: int = 220
    seed: int = 1


class Served(Struct, frozen=True, kw_only=True):
    """What the host answers for a path.

    broken    the connection breaks once in the middle
    moved     the answer leads to another path, where the bytes are
    """

    data: bytes = b""
    type: str = ""
    status: int = 200
    how: Literal["whole", "gzip", "broken", "moved"] = "whole"


class Export(Struct):
    """What is written: what the host serves by path, the files of the archive, and the manifest.

    `external` and `gone` count the files that are not to be fetched.
    """

    host: str
    served: dict[str, Served] = {}
    files: dict[str, bytes] = {}
    messages: dict[str, list[Json]] = {}
    lines: list[Line] = []
    external: int = 0
    gone: int = 0


def write_export(target: Path, host: str, shape: Shape, truth: Path) -> Export:
    """Write an export (a zip or a folder) and its truth manifest; `host` begins all addresses."""
    export = Export(host, messages={name: [] for name in _CHANNELS})
    users = [_user(number, export, shape) for number in range(shape.users)]
    for number in range(shape.messages):
        _FILES[number % len(_FILES)](number, export, shape)
    ids = [user["id"] for user in users]
    lists = {
        "users.json": users,
        "channels.json": [
            {"id": f"C{name.upper()}", "name": name, "members": ids, "creator": ids[0], "created": _BEGIN}
            for name in _CHANNELS
        ],
    }
    days = {f"{name}/2020-09-13.json": said for name, said in export.messages.items()}
    written = {path: json.dumps(value).encode() for path, value in (lists | days).items()}
    with open_container(target) as container:
        for path, data in (written | export.files).items():
            with container.entry(path) as out:
                out.write(data)
    write_lines(truth, export.lines)
    return export


# ---------------------------------------------------------------- bytes


def _noise(name: str, shape: Shape) -> bytes:
    rng = random.Random(f"{name}/{shape.seed}")
    return b"\x89" + rng.randbytes(rng.randrange(100, 5000))


def _png(name: str, width: int, shape: Shape) -> bytes:
    size = struct.pack(">IIBBBBB", width, 20, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + size + bytes(4) + _noise(name, shape)


def _gif(name: str, width: int, shape: Shape) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, 20) + _noise(name, shape)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------- files


def _text(number: int) -> str:
    return f"message {number}"


def _say(number: int, export: Export, shape: Shape, *files: Json, of: str = "", **more: Any) -> None:
    """A message with files, in the channel of its number or `of`."""
    message = {
        "type": "message",
        "user": _user_id(number % shape.users),
        "ts": f"{_BEGIN + number}.000100",
        "text": _text(number),
        "files": list(files),
    }
    export.messages[of or _CHANNELS[number % 2]].append({**message, **more})


def _file(number: int, export: Export, name: str, mime: str, query: str = "", **more: Any) -> Json:
    """A file as Slack describes it; what it says of size and dimensions is wrong."""
    file = {
        "id": f"F{number:05}",
        "name": name,
        "title": f"Title of {number}",
        "mimetype": mime,
        "mode": "hosted",
        "size": 7,
        "original_w": 1,
        "original_h": 2,
        "url_private_download": f"{export.host}/files/{number}{query}",
    }
    return {**file, **more}


def _line(
    file: Json, number: int, data: bytes, type: str = "", pixels: tuple[int, int] | None = None
) -> File:
    """A file that comes."""
    return File(
        id=file["id"],
        name=file["name"] or file["title"],
        title=file["title"],
        type=type or file["mimetype"],
        messages=[_text(number)],
        sha256=_sha256(data),
        size=len(data),
        pixels=list(pixels or ()),
    )


def _serve(number: int, export: Export, data: bytes, type: str = "", **more: Any) -> None:
    export.served[f"/files/{number}"] = Served(data=data, type=type, **more)


def _fetched(name: str, mime: str, **how: Any) -> Callable[[int, Export, Shape], None]:
    """A kind of file with nothing special but its name, type or how it is served."""

    def kind(number: int, export: Export, shape: Shape) -> None:
        data = _noise(f"file {number}", shape)
        file = _file(number, export, name.format(number), mime, query=how.get("query", ""))
        _say(number, export, shape, file)
        told = how.get("told", mime)
        _serve(number, export, data, told, how=how.get("how", "whole"))
        export.lines.append(_line(file, number, data, mime or how["type"]))

    return kind


def _image(number: int, export: Export, shape: Shape) -> None:
    data = _png(f"file {number}", 100 + number, shape)
    file = _file(number, export, f"{number}.PNG", "image/png")
    _say(number, export, shape, file)
    _serve(number, export, data, "image/png")
    export.lines.append(_line(file, number, data, pixels=(100 + number, 20)))


def _drawing(number: int, export: Export, shape: Shape) -> None:
    data = _gif(f"file {number}", 100 + number, shape)
    file = _file(number, export, f"größer? 100% #{number} & 'x'.gif", "image/gif")
    _say(number, export, shape, file)
    _serve(number, export, data, "image/gif")
    export.lines.append(_line(file, number, data, pixels=(100 + number, 20)))


def _in_two_rooms(number: int, export: Export, shape: Shape) -> None:
    data = _noise(f"file {number}", shape)
    file = _file(number, export, f"{number}.pdf", "application/pdf")
    _say(number, export, shape, file)
    _say(number + 10_000, export, shape, file, of=_CHANNELS[(number + 1) % 2])
    _serve(number, export, data, "application/pdf")
    line = _line(file, number, data)
    export.lines.append(replace(line, messages=[*line.messages, _text(number + 10_000)]))


def _same_address(number: int, export: Export, shape: Shape) -> None:
    """Another file with the bytes of a message before."""
    data = _noise(f"file {number - 1}", shape)
    file = _file(number, export, f"{number}.pdf", "application/pdf")
    file["url_private_download"] = f"{export.host}/files/{number - 1}"
    _say(number, export, shape, file)
    export.lines.append(_line(file, number, data))


def _two_in_a_reply(number: int, export: Export, shape: Shape) -> None:
    image, sound = (_png(f"file {number}", 9, shape), _noise(f"file {number + 5000}", shape))
    files = (
        _file(number, export, f"{number}.png", "image/png"),
        _file(number + 5000, export, f"{number}.mp3", "audio/mpeg"),
    )
    _say(number, export, shape)
    thread = f"{_BEGIN + number}.000100"
    _say(number + 20_000, export, shape, *files, of=_CHANNELS[number % 2], thread_ts=thread)
    _serve(number, export, image, "image/png")
    _serve(number + 5000, export, sound, "audio/mpeg")
    export.lines.append(_line(files[0], number + 20_000, image, pixels=(9, 20)))
    export.lines.append(_line(files[1], number + 20_000, sound))


def _in_uploads(number: int, export: Export, shape: Shape) -> None:
    """In the archive itself: the host is not asked."""
    data = _noise(f"file {number}", shape)
    file = _file(number, export, f"{number}.bin", "application/x-own")
    export.files[f"__uploads/{file['id']}/{file['name']}"] = data
    _say(number, export, shape, file)
    export.lines.append(_line(file, number, data))


def _in_attachments(number: int, export: Export, shape: Shape) -> None:
    data = _noise(f"file {number}", shape)
    file = _file(number, export, f"{number}.bin", "application/x-own")
    del file["url_private_download"]
    export.files[f"{_CHANNELS[number % 2]}/attachments/{file['id']}-{file['name']}"] = data
    _say(number, export, shape, file)
    export.lines.append(_line(file, number, data))


def _missing(number: int, export: Export, shape: Shape) -> None:
    _lost(number, export, shape, Served(data=b"gone", status=404))


def _login_page(number: int, export: Export, shape: Shape) -> None:
    _lost(number, export, shape, Served(data=b"<!DOCTYPE html><html>log in</html>", type="text/html"))


def _lost(number: int, export: Export, shape: Shape, served: Served) -> None:
    file = _file(number, export, f"{number}.zip", "application/zip", query=f"?t={TOKEN}")
    _say(number, export, shape, file)
    export.served[f"/files/{number}"] = served
    export.lines.append(replace(_line(file, number, b""), sha256=""))


def _external(number: int, export: Export, shape: Shape) -> None:
    _say(number, export, shape, _file(number, export, f"{number}.doc", "", mode="external"))
    export.external += 1


def _tombstone(number: int, export: Export, shape: Shape) -> None:
    _say(number, export, shape, {"id": f"F{number:05}", "mode": "tombstone"})
    export.gone += 1


_FILES: tuple[Callable[[int, Export, Shape], None], ...] = (
    _image,
    _drawing,
    _fetched("{}.mp3", "audio/mpeg"),
    _fetched("{}.mp4", "video/mp4"),
    _fetched("{}.tar.gz", "application/gzip"),
    _fetched("README", "", told="Text/Plain; charset=utf-8", type="text/plain"),
    _fetched("", "application/x-own"),
    _fetched("{}.unknown", "", type="application/octet-stream"),
    _in_two_rooms,
    _same_address,
    _two_in_a_reply,
    _in_uploads,
    _in_attachments,
    _fetched("{}.json", "application/json", how="gzip"),
    _fetched("{}.iso", "application/x-iso", how="moved"),
    _fetched("{}.img", "application/x-img", how="broken"),
    _fetched("{}.heic", "image/heic", query=f"?t={TOKEN}"),
    _missing,
    _login_page,
    _external,
    _tombstone,
)

# ---------------------------------------------------------------- pictures of people


def _user_id(number: int) -> str:
    return f"U{number:05}"


def _user(number: int, export: Export, shape: Shape) -> Json:
    login = username(number + 1000 * shape.seed)
    profile = {"email": f"{login}@example.org", **_picture(number, login, export, shape)}
    return {"id": _user_id(number), "name": login, "profile": profile}


def _picture(number: int, login: str, export: Export, shape: Shape) -> Json:
    """What the profile says; what the host serves and what it becomes go into the export."""
    path, data = f"/avatars/{number}", _png(f"avatar {number}", 96, shape)
    address = f"{export.host}{path}"
    served = Served(data=data, type="image/png")
    come = Avatar(username=login, type="image/png", sha256=_sha256(data), size=len(data))
    profile: Json = {"image_original": f"{address}?t={TOKEN}"}
    match number % 8:
        case 0:
            profile["image_512"] = f"{export.host}/none"
        case 1:
            profile = {"image_512": address}
        case 2:
            served = replace(served, type="Image/X-Own; q=1", how="gzip")
            come = replace(come, type="image/x-own")
        case 3:
            served = replace(served, how="moved")
        case 4:  # the picture of somebody else
            data = _png(f"avatar {number - 4}", 96, shape)
            profile = {"image_original": f"{export.host}/avatars/{number - 4}?t={TOKEN}"}
            come = replace(come, sha256=_sha256(data), size=len(data))
        case 5:
            return {}
        case 6:
            served, come = Served(data=b"gone", status=404), Avatar(username=login)
        case _:
            served, come = Served(data=b"text", type="text/plain"), Avatar(username=login)
    export.served[path] = served
    export.lines.append(come)
    return profile

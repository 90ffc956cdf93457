"""What an image's first bytes say of its size: what an export says of it may be wrong."""

import io
import struct

import imagesize  # type: ignore[import-untyped]  # it brings no types

from chatferry.sizes import MIB

HEAD = MIB  # bytes: cameras put much before an image's size, and nothing beyond this is worth reading

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"BM": "bmp",
}


def image_size(head: bytes) -> tuple[str, int, int]:
    """Return format (png, jpeg, gif, webp or bmp), width and height; ("", 0, 0) for anything else."""
    format = _format(head)
    if not format:
        return "", 0, 0
    try:
        width, height = imagesize.get(io.BytesIO(head[:HEAD]))
    except (ValueError, struct.error, IndexError, OverflowError, OSError):  # a damaged image
        return "", 0, 0
    return (format, int(width), int(height)) if width > 0 and height > 0 else ("", 0, 0)


def _format(head: bytes) -> str:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return next((format for magic, format in _MAGIC.items() if head.startswith(magic)), "")

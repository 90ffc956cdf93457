"""The size of an image, as its first bytes tell it."""

import random
import struct

import pytest

from chatferry.pipeline.fetching.images import image_size
from tests.support.exports import png

JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08\x00\x10\x00\x20\x03" + bytes(40)
BMP = b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 3, -4, 1, 24) + bytes(40)
VP8X = b"VP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x0b\x00\x00\x15\x00\x00"
WEBP = b"RIFF" + struct.pack("<I", 4 + len(VP8X)) + b"WEBP" + VP8X


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (png(640, 480), ("png", 640, 480)),
        (b"GIF89a" + struct.pack("<HH", 5, 7) + bytes(20), ("gif", 5, 7)),
        (b"GIF87a" + struct.pack("<HH", 5, 7) + bytes(20), ("gif", 5, 7)),
        (JPEG, ("jpeg", 32, 16)),
        (BMP, ("bmp", 3, 4)),
        (WEBP, ("webp", 12, 22)),
        (b"", ("", 0, 0)),
        (png(640, 480)[:18], ("", 0, 0)),
        (png(0, 480), ("", 0, 0)),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='5' height='5'/>", ("", 0, 0)),
        (b"%PDF-1.7", ("", 0, 0)),
    ],
)
def test_sizes(head: bytes, expected: tuple[str, int, int]) -> None:
    assert image_size(head) == expected


def test_damaged_images_have_no_size_or_some() -> None:
    chance = random.Random(1)
    for whole in (png(640, 480), JPEG, BMP, WEBP, b"RIFF1234WEBPVP8L", b"RIFF1234WEBPVP8 "):
        for _ in range(500):
            damaged = bytearray(whole + chance.randbytes(20))
            for _ in range(3):
                damaged[chance.randrange(3, len(damaged))] = chance.randrange(256)
            format, width, height = image_size(bytes(damaged[: chance.randrange(len(damaged))]))
            assert (width > 0) == (height > 0) == bool(format)

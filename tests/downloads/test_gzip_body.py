"""Bodies in gzip."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatferry.downloads.gzip_body import unpacked
from chatferry.errors import DownloadError


@given(st.lists(st.binary(max_size=200_000), min_size=1, max_size=3), st.integers(1, 5000))
def test_gzip_is_unpacked_from_blocks_of_any_size(parts: list[bytes], size: int) -> None:
    packed = b"".join(gzip.compress(part) for part in parts)
    blocks = (packed[at : at + size] for at in range(0, len(packed), size))
    assert b"".join(unpacked(blocks)) == b"".join(parts)


def test_a_bomb_comes_out_a_little_at_a_time() -> None:
    sizes = [len(block) for block in unpacked([gzip.compress(bytes(20 << 20))])]
    assert sum(sizes) == 20 << 20
    assert max(sizes) <= 1 << 16


PACKED = gzip.compress(b"hello" * 1000, mtime=0)  # the names of tests are always the same


@pytest.mark.parametrize("data", [PACKED[:-9], b"x" + PACKED, PACKED[:-8] + bytes(8), b""])
def test_damage_is_noticed(data: bytes) -> None:
    with pytest.raises(DownloadError):
        list(unpacked([data]))

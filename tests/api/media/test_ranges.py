"""Which bytes of a file a request asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatferry.api.media.ranges import ByteRange, requested_range


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-9", ByteRange(0, 10)),
        ("bytes=5-", ByteRange(5, 100)),
        ("bytes=-7", ByteRange(93, 100)),
        ("bytes=-700", ByteRange(0, 100)),
        ("bytes=90-1000", ByteRange(90, 100)),
        ("bytes=99-99", ByteRange(99, 100)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("bytes=a-b", None),
        ("", None),
    ],
)
def test_pieces(asked: str, expected: ByteRange | None) -> None:
    assert requested_range({"range": asked}, 100, '"e"') == expected


@pytest.mark.parametrize(
    ("asked", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)]
)
def test_pieces_that_are_not_there(asked: str, size: int) -> None:
    with pytest.raises(ValueError, match=f"the file has {size} bytes"):
        requested_range({"range": asked}, size, '"e"')


def test_another_version_is_sent_whole() -> None:
    assert requested_range({"range": "bytes=0-1", "if-range": '"old"'}, 100, '"e"') is None
    assert requested_range({"range": "bytes=0-1", "if-range": '"e"'}, 100, '"e"') == ByteRange(0, 2)


@given(st.text(alphabet="bytes=0123456789-, "), st.integers(0, 1000))
def test_a_piece_lies_inside_the_file(asked: str, size: int) -> None:
    try:
        piece = requested_range({"range": asked}, size, '"e"')
    except ValueError:
        return
    assert piece is None or 0 <= piece.start < piece.end <= size

"""The elements of a list, wherever the windows through which it is read begin and end."""

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatferry.errors import ArchiveError
from chatferry.importers.reading import json_stream
from chatferry.importers.reading.json_stream import BrokenError, Element, Window, chunks

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


def found(data: bytes, window: int) -> list[Element | BrokenError]:
    elements: list[Element | BrokenError] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "WINDOW", window)
        try:
            for chunk in chunks(Window(io.BytesIO(data)), Any, 2 * window):
                elements.extend(chunk.elements())
        except BrokenError as error:
            elements.append(error)
    return elements


@given(st.lists(VALUES), st.integers(1, 60), st.booleans(), st.sampled_from([None, 1]))
def test_every_element_is_found(values: list[Any], window: int, ascii: bool, indent: int | None) -> None:
    data = json.dumps(values, ensure_ascii=ascii, indent=indent).encode("utf-8", "surrogatepass")
    got = found(data, window)
    assert all(isinstance(element, Element) for element in got)
    assert [json.loads(element.data) for element in got if isinstance(element, Element)] == values
    for element in got:
        assert isinstance(element, Element)
        assert data[element.start : element.start + len(element.data)] == element.data


@given(st.lists(st.dictionaries(st.text(), st.text()), min_size=1), st.integers(1, 60), st.data())
def test_a_list_that_breaks_off_gives_what_comes_before(values: list[Any], window: int, draw: Any) -> None:
    data = json.dumps(values).encode()
    cut = data[: draw.draw(st.integers(0, len(data) - 1))]
    *whole, last = found(cut, window)
    assert isinstance(last, BrokenError)
    assert [json.loads(element.data) for element in whole if isinstance(element, Element)] == values[
        : len(whole)
    ]


@given(st.binary(), st.integers(1, 60))
def test_anything_is_taken(data: bytes, window: int) -> None:
    found(data, window)
    found(b"[{}," + data, window)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "does not hold a JSON list"),
        (b"{}", "does not hold a JSON list"),
        (b"[1 2]", "breaks off or is damaged at byte 3"),
        (b"[1,", "breaks off at byte 3"),
        (b"[1] x", "more follows the end of the list, from byte 4 on"),
        (b"[1," + b"[" * 100_000, "not valid JSON from byte 3"),
        (b"[1, @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@]", "not valid JSON from byte 4 on"),
    ],
)
def test_why_nothing_more_can_be_read(data: bytes, why: str) -> None:
    last = found(data, 7)[-1]
    assert isinstance(last, BrokenError)
    assert why in str(last)


def test_nested_too_deep_costs_only_itself() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    got = found(b"[1," + deep + b",2]", 1 << 12)
    assert [len(element.data) for element in got if isinstance(element, Element)] == [1, 200_000, 1]


def test_memory_does_not_grow_with_the_list() -> None:
    data = b"[" + b",".join([b'{"text": "%s"}' % (b"x" * 1000)] * 15_000) + b"]"
    stream = io.BytesIO(data)
    tracemalloc.start()
    count = sum(len(chunk.values) for chunk in chunks(Window(stream), dict, json_stream.CHUNK))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 15_000
    assert peak < 8 * json_stream.WINDOW


class Damaged(io.BytesIO):
    """A stream that can be read to a place, and not behind it."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            raise ArchiveError("the archive is damaged")
        return data


@pytest.mark.parametrize("size", [1, json_stream.CHUNK])
def test_elements_before_damage_are_read(size: int) -> None:
    whole = [b'{"n": %d}' % n for n in range(1000)]
    window = Window(Damaged(b"[" + b",".join(whole) + b',{"n": 10'))
    got: list[Element] = []
    with pytest.raises(BrokenError):
        for chunk in chunks(window, Any, size):
            got.extend(chunk.elements())
    assert [element.data for element in got] == whole
    assert str(window.damage) == "the archive is damaged"

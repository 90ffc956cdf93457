"""How long to wait before the next attempt."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatferry.downloads import Rules
from chatferry.downloads.retries import count_failures, pause_before, retry_after
from chatferry.sizes import MIB

RULES = Rules(first_wait=1, longest_wait=60)
NOW = datetime(2024, 2, 29, 12, tzinfo=UTC)
DICE = st.floats(0, 1)


@given(st.integers(1, 10_000), st.floats(0, 1e12), DICE)
def test_a_pause_is_never_shorter_than_asked_for_nor_longer_than_allowed(
    failures: int, asked: float, dice: float
) -> None:
    pause = pause_before(failures, asked, RULES, dice)
    assert min(asked, 60) <= pause <= 60
    assert pause >= 0.5


def test_pauses_double_and_differ() -> None:
    assert [pause_before(failures, 0, RULES, 0.5) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pause_before(1, 0, RULES, 0) == 0.5
    assert pause_before(1, 0, RULES, 1) == 1.5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("120", 120),
        (" 7 ", 7),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("9" * 400, 999_999_999),
        ("١٢", 0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        ("Thu, 29 Feb 2024 12:00:30", 30),
        ("Thu, 29 Feb 2024 13:01:00 +0100", 60),
        ("Fri, 30 Feb 2024 12:00:30 GMT", 0),
    ],
)
def test_a_host_says_when_to_come_back(value: str | None, seconds: float) -> None:
    assert retry_after(value, NOW.timestamp()) == seconds


@given(st.text() | st.text("0123456789 :+-,GMTJanFeb"))
def test_every_retry_after_header_gives_seconds(value: str) -> None:
    assert retry_after(value, NOW.timestamp()) >= 0


def test_an_attempt_that_got_far_is_the_first_of_a_new_series() -> None:
    assert count_failures(4, 0) == 5
    assert count_failures(4, MIB - 1) == 5
    assert count_failures(4, MIB) == 1

"""How numbers, durations, sizes and texts are shown."""

from chatferry.reports.shown import in_words, megabytes, no_formula, several


def test_durations_sizes_and_numbers_are_in_words() -> None:
    assert [in_words(seconds) for seconds in (0.04, 7.4, 59.6, 200, 7500)] == [
        "0.0 s", "7 s", "1 min 0 s", "3 min 20 s", "2 h 5 min",
    ]  # fmt: skip
    assert [megabytes(size) for size in (0, 3_140_000, 2_400_000_000)] == ["0.0 MB", "3.1 MB", "2.4 GB"]
    assert [several(number, "file") for number in (0, 1, 1204)] == ["0 files", "1 file", "1,204 files"]


def test_no_value_of_a_table_is_a_formula() -> None:
    assert [no_formula(value) for value in ("=1+1", "+1", "-1", "@a", "\t=1", "a=1", "", 7, -7)] == [
        "'=1+1", "'+1", "'-1", "'@a", "'\t=1", "a=1", "", 7, -7,
    ]  # fmt: skip

"""How often the process died over an operation."""

from chatferry.store import Store


def test_deaths_count_in_a_row_at_one_place() -> None:
    with Store() as store:
        assert [store.attempts.begin("one", "here") for _ in range(3)] == [0, 1, 2]
        assert store.attempts.begin("one", "further on") == 1
        assert store.attempts.begin("another", "here") == 0
        store.attempts.end("one")
        assert store.attempts.begin("one", "further on") == 0

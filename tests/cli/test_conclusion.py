"""How commands end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from chatferry.cli.conclusion import AWAY, DONE, FAILED, PARTLY, Printing, conclude, worst
from chatferry.destinations.memory import MemoryDestination
from chatferry.errors import DestinationError
from chatferry.operations import Status
from chatferry.pipeline.commands import new_operation
from chatferry.settings import Settings
from chatferry.store import Store

OPERATION = new_operation("slack", "u")


class Away(MemoryDestination):
    """A destination whose server is away."""

    def dump(self, collection: str) -> Iterator[bytes]:
        raise DestinationError("The server is away.")


@pytest.mark.parametrize(
    ("change", "printing", "code"),
    [
        ({"status": Status.FAILED, "error": "no answer", "waiting_for": "db"}, Printing(), AWAY),
        ({"status": Status.FAILED, "error": "no answer"}, Printing(is_short=True), FAILED),
        ({"status": Status.CANCELLED}, Printing(), FAILED),
        ({"status": Status.DONE}, Printing(as_json=True), DONE),
        ({"status": Status.DONE}, Printing(), DONE),
    ],
)
def test_a_report_needs_no_destination(
    tmp_path: Path,
    change: dict[str, object],
    printing: Printing,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    operation = replace(OPERATION, **change)
    with Store() as store:
        store.operations.add(operation)
        assert conclude(operation, store, Settings(data=tmp_path), printing, Away()) == code
    assert capsys.readouterr().out


def test_of_several_ends_the_worst_counts() -> None:
    assert worst(DONE) == DONE
    assert worst(PARTLY, DONE) == PARTLY
    assert worst(PARTLY, FAILED, DONE) == FAILED
    assert worst(FAILED, AWAY) == AWAY

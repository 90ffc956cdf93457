"""The destination's server is away: calls say so, soon and then at once; what needs none is answered."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from select import select

import pytest

from chatferry.api.circuit_breaker import PAUSE, CircuitBreaker
from chatferry.api.services import Services
from chatferry.destinations import Lookup
from chatferry.errors import DestinationError, NoRoomError
from chatferry.pipeline.background import BackgroundRunner
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support import rocketchat
from tests.support.mongo import Mongod
from tests.support.serving import PATIENCE, Server, answered, client, serving, until


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def asked(outage: CircuitBreaker, error: Exception | None) -> str:
    """Ask a destination that answers like this; what comes of it."""
    try:
        outage.check()
        with outage.watched():
            if error:
                raise error
    except DestinationError as told:
        return str(told)
    return "answered"


def test_after_a_failure_calls_are_refused_until_one_may_try_again() -> None:
    clock = Clock()
    outage = CircuitBreaker(PAUSE, clock)
    assert asked(outage, None) == "answered"
    assert asked(outage, DestinationError("away")) == "away"
    assert asked(outage, None) == "away"  # nobody asked
    clock.now += PAUSE
    outage.check()  # one looks, and waits
    assert asked(outage, None) == "away"  # and nobody else
    clock.now += PAUSE
    assert asked(outage, DestinationError("still away")) == "still away"
    clock.now += PAUSE - 0.1
    assert asked(outage, None) == "still away"
    clock.now += 0.1
    assert asked(outage, None) == "answered"
    assert asked(outage, None) == "answered"


def test_without_a_pause_everybody_asks() -> None:
    outage = CircuitBreaker(0.0, Clock())
    assert asked(outage, DestinationError("away")) == "away"
    assert asked(outage, DestinationError("still away")) == "still away"
    assert asked(outage, None) == "answered"


def test_a_full_disk_is_no_outage() -> None:
    outage = CircuitBreaker(PAUSE, Clock())
    assert asked(outage, NoRoomError("full")) == "full"
    assert asked(outage, None) == "answered"


def test_several_threads_ask_mongodb_at_once(mongod: Mongod, tmp_path: Path) -> None:
    """One that holds it does not keep the others waiting; SQLite has one at a time."""
    settings = Settings(data=tmp_path, destination=mongod.database_url("at_once"))
    with mongod.client() as mongo:
        rocketchat.seed(mongo.at_once)
    with Store() as store:
        services = Services(settings, store, BackgroundRunner(store, settings))
        with ThreadPoolExecutor(1) as thread, services.destination() as held:

            def found() -> int:
                with services.reading() as destination:
                    return len(destination.find(Lookup.USER_ROLE, ["admin"]))

            assert thread.submit(found).result(PATIENCE) == len(held.find(Lookup.USER_ROLE, ["admin"])) > 0


@pytest.fixture(scope="module")
def own_mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    mongod = Mongod(tmp_path_factory.mktemp("mongod"))
    mongod.start()
    with mongod.client() as mongo:
        rocketchat.seed(mongo.beside)
    yield mongod
    mongod.kill()


@pytest.fixture
def server(own_mongod: Mongod, tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "data", "--destination", own_mongod.database_url("beside")) as running:
        yield running


def ask(server: Server) -> socket.socket:
    """The connection of a call that asks the destination."""
    user, token = f"root{'x' * 17}"[:17], rocketchat.token("root")
    head = f"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nX-User-Id: {user}\r\nX-Auth-Token: {token}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    connection.sendall(head.encode())
    return connection


def me(server: Server) -> bytes:
    with ask(server) as connection:
        return answered(connection).partition(b" ")[2]


@pytest.mark.long
def test_a_mongodb_that_says_nothing(own_mongod: Mongod, server: Server) -> None:
    assert me(server).startswith(b"200 ")
    own_mongod.fall_silent()
    with ExitStack() as stack, client(server) as anybody:
        waiting = [stack.enter_context(ask(server)) for _ in range(80)]  # twice as many as there are threads
        assert anybody.get("../info").status_code == 200
        assert len(select(waiting, [], [], 0)[0]) < 40
        for connection in waiting:
            answer = answered(connection)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"mongodb://" not in answer  # where it is is nobody's business
    told = (server.data / "stderr").read_text()
    assert told.count("the destination cannot be used") == 1 and "mongodb://" in told
    own_mongod.go_on()
    until(lambda: me(server).startswith(b"200 "))


@pytest.mark.long
def test_a_mongodb_that_is_gone(own_mongod: Mongod, server: Server) -> None:
    assert me(server).startswith(b"200 ")
    own_mongod.kill()
    until(lambda: me(server).startswith(b"503 "))
    assert b"[error-destination-away]" in me(server)
    for _ in range(200):  # each is refused at once, or this would take a quarter of an hour
        assert me(server).startswith(b"503 ")
    with client(server) as anybody:
        assert anybody.get("../info").status_code == 200
    own_mongod.start()
    until(lambda: me(server).startswith(b"200 "))

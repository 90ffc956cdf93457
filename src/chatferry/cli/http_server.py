"""The server process: sockets, signals, and what it says when it starts."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import closing

import uvicorn
from msgspec.structs import replace

from chatferry import accounts
from chatferry.api.app import create_app
from chatferry.api.services import Services
from chatferry.api.sockets.connections import ConnectionLimits, Connections
from chatferry.api.sockets.listening import Listener, keep_sweeping, protocol, room_for_connections
from chatferry.api.sockets.tls import check_certificate
from chatferry.api.uploads import resumable
from chatferry.cli import demo, terminal
from chatferry.clock import now
from chatferry.documents import Date
from chatferry.errors import SettingsError
from chatferry.logs import event
from chatferry.observing.metrics import Metrics
from chatferry.observing.seldom import SeldomFilter
from chatferry.pipeline.background import BackgroundRunner
from chatferry.pipeline.binding import open_bound
from chatferry.pipeline.retention import clear_away
from chatferry.settings import Settings
from chatferry.store import Store

LOG = logging.getLogger("chatferry.server")

WORKER_ENDED = 1  # the exit code when operations cannot be worked on any more

# A call is answered in many short steps. Before each it waits until the thread that imports has had its turn.
_TURN = 0.0005  # seconds; Python's own are ten times as long

MOST_HEAD = 32 * 1024  # bytes of the head of a call


def serve_http(settings: Settings, *, is_demo: bool) -> None:
    """Serve until the process is told to stop."""
    sys.setswitchinterval(_TURN)
    settings = replace(settings, serving=True)
    if settings.tls_cert:
        check_certificate(settings.tls_cert, settings.tls_key)
    connections = Connections(_limits(settings))
    listener = _listen(settings, connections)
    store = Store(settings.store_path)
    metrics = Metrics(store)
    worker = BackgroundRunner(
        store, settings, metrics.watch, give_up=lambda: os.kill(os.getpid(), signal.SIGTERM)
    )
    services = Services(settings, store, worker, demo.UNLISTED if is_demo else frozenset(), metrics)
    admin = ""
    with closing(open_bound(settings, store)) as workspace:
        if is_demo:
            demo.seed_demo(store, workspace, Date.at(now()))
        else:
            made = accounts.open_workspace(
                workspace, settings.server_database, os.environ, Date.at(now()), is_served=True
            )
            terminal.welcome(made, settings.data)
            if not settings.server_database:
                terminal.warn_of_unused(accounts.unused_admin_settings(workspace, os.environ))
        first = accounts.first_administrator(workspace)
        admin = str(first.get("username", "")) if first else ""
    resumable.sweep(services)
    resumable.take_up(services)
    clear_away(store, settings, now(), is_idle=True)
    host, port = listener.getsockname()[:2]
    address = f"{'https' if settings.tls_cert else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    config = uvicorn.Config(
        create_app(services),
        log_config=None,  # logs.set_up has done it
        loop="asyncio",  # others do not ask the listener for connections
        http=protocol(connections),
        ws="none",
        access_log=False,
        server_header=False,
        forwarded_allow_ips=",".join(settings.trusted_proxies),  # where it is empty nobody is believed
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        h11_max_incomplete_event_size=MOST_HEAD,
        timeout_keep_alive=settings.connection_wait,
        timeout_graceful_shutdown=5,
    )
    # uvicorn shuts down first and then raises the signal again: let it end like any other program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(WORKER_ENDED if worker.has_given_up else 0))

    def announce() -> None:
        terminal.announce(address, settings, admin, is_demo)
        event(LOG, "serving", address=address)
        if settings.is_open:
            event(LOG, "serving beyond this machine without TLS", logging.WARNING, host=settings.host)

    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(SeldomFilter())
    server = _Announcing(config, announce, services.streams.stop, connections)
    server.run(sockets=[listener])


class _Announcing(uvicorn.Server):
    """Says where it is once it answers, and stops when it is told to."""

    def __init__(
        self,
        config: uvicorn.Config,
        announce: Callable[[], None],
        stopping: Callable[[], None],
        connections: Connections,
    ) -> None:
        super().__init__(config)
        self._announce = announce
        self._stopping = stopping
        self._connections = connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._sweeping = asyncio.create_task(keep_sweeping(self._connections))
        self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()  # calls are waited for: lasting answers end now
        await super().shutdown(sockets)


def _limits(settings: Settings) -> ConnectionLimits:
    """Return how many connections there may be: no more than there are descriptors for."""
    most = min(settings.most_connections, room_for_connections())
    return ConnectionLimits(
        connections=most,
        per_address=settings.most_connections_of_one,
        proxies=settings.trusted_proxies,
        wait=settings.connection_wait,
        stall=settings.upload_silence,
    )


def _listen(settings: Settings, connections: Connections) -> Listener:
    host, port = settings.host, settings.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = Listener(family, connections, is_tls=settings.tls_cert is not None)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        raise SettingsError(
            f"chatferry cannot listen on {host}:{port}: {error.strerror or error}. "
            "Choose another with --host and --port, or CHATFERRY_HOST and CHATFERRY_PORT."
        ) from error
    return listener

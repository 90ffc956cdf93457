"""The server process: sockets, signals, and what it says when it starts."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn
from msgspec.structs import replace

from chatferry import accounts, console, demo
from chatferry.api import resumable
from chatferry.api.app import create_app
from chatferry.api.services import Services
from chatferry.api.uploads import clear_uploads
from chatferry.documents import Date
from chatferry.errors import SettingsError
from chatferry.fetching.archives import clear_archives
from chatferry.observing.logs import event
from chatferry.pipeline import now
from chatferry.settings import Settings
from chatferry.store import Store
from chatferry.worker import Worker

LOG = logging.getLogger("chatferry.server")

# A call is answered in many short steps. Before each it waits until the thread that imports has had its turn.
_TURN = 0.0005  # seconds; Python's own are ten times as long


def serve_http(settings: Settings, *, is_demo: bool) -> None:
    """Serve until the process is told to stop."""
    sys.setswitchinterval(_TURN)
    settings = replace(settings, serving=True)
    listener = _listen(settings.host, settings.port)
    store = Store(settings.store_path)
    services = Services(settings, store, Worker(store, settings), demo.UNLISTED if is_demo else frozenset())
    with services.destination() as workspace:
        if is_demo:
            demo.furnish(store, workspace, Date.at(now()))
        else:
            console.welcome(
                accounts.open_workspace(workspace, settings.server_database, os.environ, Date.at(now()))
            )
    resumable.sweep(services)
    resumable.take_up(services)
    clear_uploads(settings.uploads, store)
    clear_archives(settings, store)
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    config = uvicorn.Config(
        create_app(services),
        log_config=None,  # logs.set_up has done it
        access_log=False,
        server_header=False,
        forwarded_allow_ips=",".join(settings.trusted_proxies),  # where it is empty nobody is believed
        timeout_graceful_shutdown=5,
    )
    # uvicorn shuts down first and then raises the signal again: let it end like any other program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    def announce() -> None:
        console.announce(address, settings, is_demo)
        event(LOG, "serving", address=address)

    server = _Announcing(config, announce)
    server.run(sockets=[listener])


class _Announcing(uvicorn.Server):
    """Says where it is once it answers, and stops when it is told to."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # The protocol named: only then does asyncio switch off Nagle's delay for what it accepts.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        raise SettingsError(
            f"chatferry cannot listen on {host}:{port}: {error.strerror or error}. "
            "Choose another with --host and --port, or CHATFERRY_HOST and CHATFERRY_PORT."
        ) from error
    return listener

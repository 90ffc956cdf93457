"""`chatferry serve`."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from chatferry import logs
from chatferry.cli.app import app
from chatferry.cli.lock import only_worker
from chatferry.cli.options import (
    ClusterAddress,
    Data,
    FormatOfLog,
    LevelOfLog,
    TextIndexAtEnd,
    TlsCertificate,
    TlsKey,
    Where,
    Workers,
)
from chatferry.errors import SettingsError
from chatferry.logs import LogFormat, LogLevel
from chatferry.pipeline.binding import bound_destination
from chatferry.settings import from_environment, is_loopback


@app.command()
def serve(
    data: Data = Path("data"),
    host: Annotated[
        str, typer.Option("--host", envvar="CHATFERRY_HOST", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", envvar="CHATFERRY_PORT", help="Port; 0 picks a free one.", min=0, max=65535),
    ] = 3000,
    destination: Where = "",
    workers: Workers = None,
    cluster: ClusterAddress = "",
    text_index_last: TextIndexAtEnd = False,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    log_level: LevelOfLog = None,
    log_format: FormatOfLog = LogFormat.TEXT,
    demo_: Annotated[
        bool,
        typer.Option(
            "--demo",
            envvar="CHATFERRY_DEMO",
            help="A throw-away workspace with the user, token and operations of Rocket.Chat's documentation.",
        ),
    ] = False,
) -> None:
    """Serve Rocket.Chat's import API."""
    from chatferry.cli.http_server import serve_http

    logs.set_up(log_level or LogLevel.INFO, log_format)
    if demo_:
        if not is_loopback(host):
            raise SettingsError(f"--demo has a token that everybody knows: it cannot listen on {host}.")
        with tempfile.TemporaryDirectory(prefix="chatferry-demo-") as folder:
            settings = from_environment(
                data=Path(folder), host=host, port=port, tls_cert=tls_cert, tls_key=tls_key
            )
            serve_http(settings, is_demo=True)
        return
    settings = from_environment(
        data=data,
        host=host,
        port=port,
        destination=bound_destination(data, destination),
        workers=workers,
        cluster=cluster,
        text_index_last=text_index_last,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    with only_worker(settings, serves=True):
        serve_http(settings, is_demo=False)

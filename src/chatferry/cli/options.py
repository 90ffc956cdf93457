"""The options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from chatferry.logs import LogFormat, LogLevel
from chatferry.operations import Guests

Data = Annotated[
    Path, typer.Option("--data", envvar="CHATFERRY_DATA", help="Where chatferry keeps what it needs.")
]
Where = Annotated[
    str,
    typer.Option(
        "--destination",
        envvar="CHATFERRY_DESTINATION",
        help="Where documents go: sqlite:PATH or mongodb://HOST:PORT/DATABASE. "
        "Default: the one that the data directory belongs to; for a new one, a workspace in it.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", envvar="CHATFERRY_JSON", help="Print one JSON object.")]
EveryProblem = Annotated[
    bool,
    typer.Option(
        "--all",
        "-v",
        envvar="CHATFERRY_ALL",
        help="Show every problem. Default: the largest causes of each kind.",
    ),
]
Short = Annotated[
    bool, typer.Option("--quiet", "-q", envvar="CHATFERRY_QUIET", help="Show nothing but how it ended.")
]
ClusterAddress = Annotated[
    str,
    typer.Option(
        "--cluster",
        envvar="CHATFERRY_CLUSTER",
        help="Scheduler of a dask.distributed cluster whose workers import the messages, for instance "
        "tcp://scheduler:8786. Needs MongoDB as destination.",
    ),
]
TextIndexAtEnd = Annotated[
    bool,
    typer.Option(
        "--text-index-last",
        envvar="CHATFERRY_TEXT_INDEX_LAST",
        help="Drop the text index of messages before they are written and build it after them: faster "
        "for many, but until then search finds no messages. Needs MongoDB as destination.",
    ),
]
TlsCertificate = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert",
        envvar="CHATFERRY_TLS_CERT",
        help="PEM file with the certificate, and those between it and its authority: serve https.",
    ),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(
        "--tls-key",
        envvar="CHATFERRY_TLS_KEY",
        help="PEM file with the certificate's key. Default: it is in the file of --tls-cert.",
    ),
]
Export = Annotated[
    str,
    typer.Argument(
        help="The export: a zip or tar file, a folder, or a file of its own kind; "
        "or the URL (s3, http, https) of such a file."
    ),
]
As = Annotated[
    str,
    typer.Option(
        "--as",
        envvar="CHATFERRY_AS",
        help="Username of the account that starts this. Default: the first active administrator.",
    ),
]
Users = Annotated[
    list[str] | None,
    typer.Option(
        "--users",
        envvar="CHATFERRY_USERS",
        help="Ids or names to import, separated by commas. Default: all.",
    ),
]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channels",
        envvar="CHATFERRY_CHANNELS",
        help="Ids or names to import, separated by commas; __directMessages__ for those. Default: all.",
    ),
]
OriginName = Annotated[
    str,
    typer.Option(
        "--origin",
        envvar="CHATFERRY_ORIGIN",
        help="Name of the workspace that the export comes from. Default: what the export says of it, or the "
        "one whose people and rooms it has.",
    ),
]
GuestsAs = Annotated[
    Guests,
    typer.Option(
        "--guests",
        envvar="CHATFERRY_GUESTS",
        help="What becomes of Slack's guests: user: ordinary users; guest: users with Rocket.Chat's role "
        "guest; skip: inactive placeholders.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        envvar="CHATFERRY_WORKERS",
        min=0,
        max=256,
        help="Processes that read and convert messages, beside the one that leads; 0: one does it all. "
        "Default: as many as there are cores, once an import is large enough.",
    ),
]
Rewrite = Annotated[
    bool,
    typer.Option(
        "--rewrite",
        envvar="CHATFERRY_REWRITE",
        help="Overwrite messages that people have edited since their import, where a newer chatferry would "
        "import them differently. Default: they are left alone.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", envvar="CHATFERRY_DRY_RUN", help="Say what would happen; change nothing."),
]
OperationId = Annotated[str, typer.Argument(help="Id of an operation. Default: the last one.")]
LevelOfLog = Annotated[
    LogLevel | None,
    typer.Option(
        "--log-level",
        envvar="CHATFERRY_LOG_LEVEL",
        help="Least important events to log to stderr. Default: info for serve, warning elsewhere.",
    ),
]
FormatOfLog = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        envvar="CHATFERRY_LOG_FORMAT",
        help="How the log looks: text, or a JSON object per line.",
    ),
]

"""`chatferry inspect` and `chatferry dump`."""

import csv
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from chatferry.archive import open_archive
from chatferry.cli import report_text, terminal
from chatferry.cli.app import app
from chatferry.cli.conclusion import print_json
from chatferry.cli.options import (
    AsJson,
    Data,
    Export,
    Where,
)
from chatferry.cli.workplace import place_of
from chatferry.documents import COLLECTIONS
from chatferry.errors import SettingsError
from chatferry.importers import detect
from chatferry.pipeline.binding import bound_destination, open_to_look
from chatferry.reports.inspection import inspect_archive
from chatferry.settings import from_environment


@app.command()
def inspect(
    export: Export,
    channels: Annotated[
        bool, typer.Option("--channels", help="List the rooms: members, messages, first and last day, files.")
    ] = False,
    users: Annotated[bool, typer.Option("--users", help="List the users likewise.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="With --channels or --users: print CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what an export holds and what an import would lose, without writing anything."""
    if channels and users:
        raise SettingsError("Give --channels or --users, not both: they are two lists.")
    if as_csv and not (channels or users):
        raise SettingsError("--csv prints a list: give --channels or --users too.")
    settings = from_environment()
    place = place_of(export, "an export: a zip file or a folder")
    with open_archive(place, settings.limits, single=True, rules=settings.downloads) as archive:
        found = inspect_archive(detect(archive), archive)
    shares = list((found.rooms_by_id if channels else found.users_by_id).values())
    if as_csv:
        csv.writer(sys.stdout).writerows(report_text.share_rows(shares))
    elif as_json:
        print_json([share.as_json() for share in shares] if channels or users else found.as_json())
    elif channels or users:
        report_text.print_shares(shares)
    else:
        report_text.print_inspection(found)


@app.command()
def dump(
    collection: Annotated[str, typer.Argument(help=f"One of: {', '.join(COLLECTIONS)}.")],
    data: Data = Path("data"),
    destination: Where = "",
) -> None:
    """Print a collection's documents as JSON lines (relaxed Extended JSON)."""
    if collection not in COLLECTIONS:
        raise SettingsError(f"There is no collection {collection}. Choose one of: {', '.join(COLLECTIONS)}.")
    settings = from_environment(data=data, destination=bound_destination(data, destination))
    if not settings.destination and not settings.workspace_path.exists():
        raise SettingsError(f"{data} holds no workspace. Give the directory of the import with --data.")
    workspace = open_to_look(settings)
    try:
        if sys.stdout.isatty():
            terminal.print_raw(line.decode("utf-8", "replace") + "\n" for line in workspace.dump(collection))
        else:
            sys.stdout.buffer.writelines(line + b"\n" for line in workspace.dump(collection))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        workspace.close()

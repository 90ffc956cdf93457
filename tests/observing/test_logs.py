"""Lines of the log: one event each, whatever texts from outside are in it, and never a secret."""

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatferry import logs
from chatferry.logs import LogFormat, LogLevel
from tests.support.paths import GOLDEN
from tests.support.serving import environment

LOG = logging.getLogger("chatferry.tests")
SECRETS = (
    "https://files.slack.com/files-pri/T1-F1/a.png?t=xoxe-1-ABCDEF0123456789",
    "https://ada:hunter2-hunter2@example.org/export.zip",
    "mongodb://chatferry:hunter2-hunter2@db.example.org:27017/rocketchat?replicaSet=rs0",
    "mongodb+srv://chatferry:hunter2%40hunter2@db.example.org/rocketchat",
    "said the host of https://example.org/a?signature=hunter2-hunter2, too late",
    "xoxb-1234-hunter2-hunter2",
)


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """The loggers of this process are as before afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("chatferry")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def test_a_text_line_has_time_level_logger_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogLevel.INFO, LogFormat.TEXT)
    logs.event(LOG, "upload received", operation="Xyz", bytes=12, file='a "b".zip', error=None)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO chatferry\.tests upload received "
        r'operation=Xyz bytes=12 file="a \\"b\\"\.zip"\n',
        capsys.readouterr().err,
    )


def test_a_json_line_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogLevel.INFO, LogFormat.JSON)
    logs.event(LOG, "upload received", logging.WARNING, operation="Xyz", bytes=12, time="mine")
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found == {
        "level": "warning",
        "logger": "chatferry.tests",
        "event": "upload received",
        "operation": "Xyz",
        "bytes": 12,
    }


@pytest.mark.parametrize("format", LogFormat)
def test_no_text_from_outside_breaks_a_line_or_reaches_a_terminal(
    format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up(LogLevel.INFO, format)
    awkward = "".join(
        map(chr, (*range(0x20), 0x7F, *range(0x80, 0xA0), 0x2028, 0x202E, 0x2066, 0xFEFF, 0xD800))
    )
    logs.event(LOG, "refused", user=f"ada{awkward}2026-01-01T00:00:00.000Z INFO chatferry.audit", quote='"\\')
    logging.getLogger("a.library").warning("%s", awkward)
    lines = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    if format == LogFormat.JSON:
        assert awkward in json.loads(lines[0])["user"]


@pytest.mark.parametrize("format", LogFormat)
@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_is_logged(secret: str, format: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogLevel.DEBUG, format)
    logs.event(LOG, f"fetching {secret}", where=secret, authToken="hunter2", password="hunter2", error="why")
    logging.getLogger("a.library").error("cannot fetch %s", secret)
    try:
        raise OSError(f"cannot fetch {secret}")
    except OSError:
        LOG.exception("fetching failed")
    told = capsys.readouterr().err
    assert told.count("\n") == 3
    assert "why" in told and "OSError" in told
    assert not re.search("hunter2|ABCDEF|Traceback", told)


def test_a_field_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogLevel.INFO, LogFormat.TEXT)
    logs.event(LOG, "long", text="://" * 100_000, other="https://" + "@" * 100_000)
    assert len(capsys.readouterr().err) < 3 * logs.LONGEST_VALUE


def test_the_level_says_which_events_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogLevel.WARNING, LogFormat.TEXT)
    logs.event(LOG, "a step")
    logs.event(LOG, "a failure", logging.ERROR)
    told = capsys.readouterr().err
    assert "a step" not in told and "a failure" in told


def test_libraries_log_nothing_below_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogLevel.DEBUG, LogFormat.TEXT)
    logging.getLogger("httpx").info("GET https://example.org/?t=secret")
    logging.getLogger("httpx").warning("bad %d", "arguments that do not fit")
    told = capsys.readouterr().err
    assert "GET" not in told and "bad %d" in told


def test_a_closed_stderr_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.set_up(LogLevel.INFO, LogFormat.TEXT)
    stream.close()
    logs.event(LOG, "nobody reads this")


@pytest.mark.parametrize(
    ("option", "variable"),
    [(("--log-level", "loud"), {}), ((), {"CHATFERRY_LOG_FORMAT": "xml"})],
)
def test_an_unknown_level_or_format_is_wrong_usage(
    option: tuple[str, ...], variable: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chatferry", "import", "slack", str(GOLDEN), "--data", str(tmp_path), *option],
        env=environment(**variable),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert "'debug', 'info', 'warning', 'error'" in done.stderr or "'text', 'json'" in done.stderr


def test_the_level_of_an_event_may_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogLevel.WARNING, LogFormat.TEXT)
    logs.event(LOG, "named", level=logging.ERROR, why="so")
    logs.event(LOG, "third", logging.ERROR, why="so")
    told = capsys.readouterr().err
    assert re.findall(r" (ERROR chatferry\.tests .*)", told) == [
        "ERROR chatferry.tests named why=so",
        "ERROR chatferry.tests third why=so",
    ]

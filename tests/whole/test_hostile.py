"""Others are served while a crowd means the server harm, and an import of hostile messages runs."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from testdata import hostile_export
from tests.support.serving import PATIENCE, Server, client, login, serving, upload, wait_for

MIB = 2**20


@contextmanager
def crowd(server: Server, answers: dict[str, int], **many: int) -> Iterator[None]:
    """Attack the server for the length of a block; `answers` then has its answers."""
    options = [text for name, number in many.items() for text in (f"--{name.replace('_', '-')}", str(number))]
    command = [sys.executable, "-m", "benchmarks.crowd", str(server.port), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield
        process.terminate()
        answers.update(json.loads(process.communicate(timeout=PATIENCE)[0]))
    finally:
        process.kill()
        process.wait()


def peak(server: Server) -> float:
    """The most memory that the server's process has held, in MiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def logged(server: Server) -> int:
    """How many bytes the server has written for people."""
    names = ("stderr", "errors.log", "audit.log")
    return sum(path.stat().st_size for name in names if (path := server.data / name).exists())


def calls_under_attack(
    tmp_path: Path, days: int, seconds: float, **many: int
) -> tuple[dict[str, list[float]], dict[str, int], float, int]:
    """Import hostile messages while a crowd does harm, for so many seconds at least.

    Gives how long calls took, what the crowd was answered, the server's memory, and the size of its logs.
    """
    export = tmp_path / "hostile.zip"
    hostile_export.write_export(export, days=days)
    took: dict[str, list[float]] = {"../info": [], "getImportProgress": []}
    answers: dict[str, int] = {}
    with serving(tmp_path / "data", CHATFERRY_RATE_LIMIT="on") as server, login(server) as http:
        with crowd(server, answers, **many):
            upload(http, export)
            wait_for(http, "importer_user_selection")
            everything = {"users": {"all": True}, "channels": {"all": True}}
            assert http.post("startImport", json={"input": everything}).status_code == 200
            began, status = time.monotonic(), ""
            while status != "importer_done" or time.monotonic() < began + seconds:
                for path, times in took.items():
                    asked = time.perf_counter()
                    answer = http.get(path)
                    times.append(time.perf_counter() - asked)
                    assert answer.status_code == 200
                    status = answer.json().get("step", "")
                time.sleep(0.04)
        assert (server.data / "audit.log").read_text().count("too many attempts") in (1, 2, 3)  # one a minute
        return took, answers, peak(server), logged(server)


def assert_harmless(answers: dict[str, int], memory: float, log: int) -> None:
    assert memory < 200, f"{memory:.0f} MiB"
    assert log < MIB
    assert not [answer for answer in answers if " 5" in answer], answers


def test_a_small_crowd(tmp_path: Path) -> None:
    took, answers, memory, log = calls_under_attack(tmp_path, 1, 3, silent=150, slow=10, log_ins=30)
    assert_harmless(answers, memory, log)
    assert len(took["../info"]) > 10
    assert {"log-in 401", "log-in 429"} <= answers.keys()


def test_large_bodies_at_once(tmp_path: Path) -> None:
    """One at a time is in memory; their last user is wrong."""
    user = b'{"emails":["ada@example.org"],"importIds":["U1"],"bio":"%b"},' % (b"x" * 100)
    body = b'{"users":[' + user * (15 * MIB // len(user)) + b"{}]}"
    with serving(tmp_path) as server, login(server) as http, ThreadPoolExecutor(6) as threads:
        http.post("import.new")
        before = peak(server)

        def send(_: int) -> str:
            headers = {**http.headers, "Content-Type": "application/json"}
            with client(server) as somebody:
                return somebody.post("import.addUsers", content=body, headers=headers).text

        assert "must have required property 'emails'" in threads.submit(send, 0).result()
        alone = peak(server) - before
        assert len(set(threads.map(send, range(6)))) == 1
        assert peak(server) - before < 2 * alone
        assert peak(server) < 200


@pytest.mark.long
def test_a_large_crowd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    took, answers, memory, log = calls_under_attack(tmp_path, 5, 60, silent=1000, slow=50, log_ins=200)
    with capsys.disabled():
        for path, times in took.items():
            times.sort()
            shown = [f"p{share} {times[len(times) * share // 100] * 1000:.0f} ms" for share in (50, 95, 99)]
            sys.stdout.write(f"\n{path}: {len(times)} calls, {', '.join(shown)}\n")
        sys.stdout.write(f"memory {memory:.0f} MiB, log {log / MIB:.2f} MiB, {answers}\n")
    assert_harmless(answers, memory, log)

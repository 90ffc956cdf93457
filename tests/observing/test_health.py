"""Whether the server lives, whether it is ready, and what it counts."""

import shutil
import sqlite3
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chatferry.api.probes import probes
from chatferry.api.routes import ENDPOINTS
from chatferry.api.services import Services
from chatferry.errors import SettingsError
from chatferry.observing import metrics, readiness
from chatferry.observing.current import CallRecord
from chatferry.observing.metrics import Metrics
from chatferry.observing.readiness import Finding, Readiness
from chatferry.pipeline.background import BackgroundRunner
from chatferry.problems import KINDS
from chatferry.settings import Settings, from_environment
from chatferry.store import Store
from tests.support.mongo import Mongod
from tests.support.paths import GOLDEN
from tests.support.serving import Server, login, run_import, serving, upload, wait_for

TOKEN = "read-the-metrics-0123456789"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def get(server: Server, path: str, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.get(f"{server.address}{path}", headers=given, trust_env=False, timeout=60)


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def sample(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("healthy") / "data"
    with serving(data, CHATFERRY_TRUSTED_PROXIES="192.0.2.0/24") as running:
        yield running


# ---------------------------------------------------------------- health


def test_health_and_readiness(server: Server) -> None:
    answer = get(server, "/api/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive", "success": True})
    answer = get(server, "/api/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "checks": {name: {"ok": True} for name in ("store", "destination", "worker", "disk")},
        "success": True,
    }


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        other = sqlite3.connect(tmp_path / "store.sqlite3", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answer = get(server, "/api/ready")
        assert answer.status_code == 503
        why = "does not answer in time"
        assert answer.json()["checks"].pop("store") == {"ok": False, "why": why}
        assert all(check["ok"] for name, check in answer.json()["checks"].items() if name != "store")
        assert get(server, "/api/health").status_code == 200
        other.execute("ROLLBACK")
        other.close()
        _until_ready(server)
    told = (tmp_path / "stderr").read_text()
    assert f'WARNING chatferry.ready not ready what=store why="{why}"' in told


def _until_ready(server: Server) -> None:
    deadline = time.monotonic() + 60
    while get(server, "/api/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_destination_that_is_away(tmp_path: Path, mongod: Mongod) -> None:
    away = Mongod(tmp_path / "mongod")
    away.start()
    with away.client() as client:
        client["rocketchat"]["users"].insert_one({"_id": "ada", "username": "ada", "roles": ["admin"]})
    url = f"{away.database_url('rocketchat')}&appName=TOPSECRET"
    with serving(tmp_path / "data", CHATFERRY_DESTINATION=url) as server:
        assert get(server, "/api/ready").status_code == 200
        away.kill()
        deadline = time.monotonic() + 60
        while (answer := get(server, "/api/ready")).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert answer.status_code == 503
        checks = answer.json()["checks"]
        assert checks["destination"]["ok"] is False and checks["destination"]["why"]
        assert checks["store"]["ok"] and checks["worker"]["ok"]
        assert "TOPSECRET" not in answer.text and str(away.port) not in answer.text
        assert get(server, "/api/health").status_code == 200


def test_a_worker_that_does_not_run_and_a_full_disk(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, min_free=2**62)
    with Store(settings.store_path) as store:
        worker = BackgroundRunner(store, settings)
        services = Services(settings, store, worker)
        found = {name: probe() for name, probe in probes(store, services.reading, worker, settings).items()}
    assert found["worker"] == "does not run"
    assert found["disk"] == "is almost full"


def test_a_probe_that_hangs_is_run_once_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PATIENCE", 0.05)
    monkeypatch.setattr(readiness, "KEPT", 0)
    free, runs = threading.Event(), 0

    def hang() -> str:
        nonlocal runs
        runs += 1
        free.wait(60)
        return ""

    looking = Readiness({"hangs": hang, "well": lambda: "", "unwell": lambda: "is unwell"})
    slow = Finding(False, "does not answer in time")
    for _ in range(3):
        assert looking.look() == {"hangs": slow, "well": Finding(True), "unwell": Finding(False, "is unwell")}
    assert runs == 1
    free.set()
    deadline = time.monotonic() + 60
    while looking.look()["hangs"] != Finding(True):
        assert time.monotonic() < deadline


def test_a_probe_that_fails_tells_strangers_nothing() -> None:
    def fail() -> str:
        raise SettingsError("mongodb://ada:secret@db.example.org is away")

    def break_() -> str:
        raise ValueError("secret")

    found = Readiness({"fails": fail, "breaks": break_}).look()
    assert found == {"fails": Finding(False, "cannot be used"), "breaks": Finding(False, "cannot be used")}


def test_a_finding_is_told_again_for_a_moment() -> None:
    runs = 0

    def count() -> str:
        nonlocal runs
        runs += 1
        return ""

    looking = Readiness({"counted": count})
    for _ in range(100):
        looking.look()
    assert runs == 1


# ---------------------------------------------------------------- metrics


def test_metrics_of_an_import(tmp_path: Path) -> None:
    with serving(tmp_path) as server, login(server) as http:
        run_import(http, _with_a_problem(tmp_path / "export.zip"))
        broken = tmp_path / "broken.zip"
        broken.write_bytes(b"no zip")
        upload(http, broken)
        wait_for(http, "importer_import_failed")
        upload(http, GOLDEN)
        wait_for(http, "importer_user_selection")
        http.get("no-such-endpoint")
        httpx.request("BREW", f"{server.address}/api/info", trust_env=False)
        answer = get(server, "/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        found = samples(answer.text)
        known = {endpoint.path for endpoint in ENDPOINTS} | {"unknown"}
        assert {
            dict(labels)["endpoint"] for name, labels in found if name == "chatferry_calls_total"
        } <= known
        assert sample(found, "chatferry_calls_total", method="GET", endpoint="unknown", status="404") == 1
        assert sample(found, "chatferry_calls_total", method="other", endpoint="unknown", status="405") == 1
        assert sample(found, "chatferry_call_seconds_sum", endpoint="/api/v1/login") > 0
        assert sample(found, "chatferry_call_seconds_count", endpoint="/api/v1/login") == 1
        assert sample(found, "chatferry_call_seconds_bucket", endpoint="/api/v1/login", le="+Inf") == 1
        assert sample(found, "chatferry_records_total", kind="messages", outcome="inserted") == 300
        assert sample(found, "chatferry_operations", status="importer_done") == 1
        assert sample(found, "chatferry_operations", status="importer_import_failed") == 1
        assert sample(found, "chatferry_operations", status="importer_user_selection") == 1
        for status in ("importer_done", "importer_import_failed"):
            assert sample(found, "chatferry_operations_ended_total", importer="slack", status=status) == 1
        assert sample(found, "chatferry_queue_length") == 0
        assert sample(found, "chatferry_pending_files") == 9
        assert sample(found, "process_resident_memory_bytes") > 10_000_000
        kinds = {dict(labels)["kind"] for name, labels in found if name == "chatferry_problems_total"}
        assert kinds and kinds <= KINDS.keys()


def _with_a_problem(path: Path) -> Path:
    """A copy of the golden export with a day file that is broken."""
    shutil.copy(GOLDEN, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("general/2001-01-01.json", "no JSON")
    return path


def test_metrics_start_at_zero_with_each_process(tmp_path: Path) -> None:
    with serving(tmp_path) as server, login(server) as http:
        run_import(http)
    with serving(tmp_path) as server:
        found = samples(get(server, "/metrics").text)
    assert not [name for name, _ in found if name == "chatferry_records_total"]
    assert sample(found, "chatferry_operations", status="importer_done") == 1


def test_labels_have_a_bounded_number_of_values() -> None:
    with Store() as store:
        counted = Metrics(store)
        for number in range(1000):
            counted.call_ended(CallRecord(str(number), "192.0.2.1", f"M{number}"), 404, 0.1)
        found = samples(counted.exposition(0)[0].decode())
    assert sample(found, "chatferry_calls_total", method="other", endpoint="unknown", status="404") == 1000


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"])
def test_only_this_machine_reads_the_metrics(server: Server, header: str) -> None:
    assert get(server, "/metrics").status_code == 200
    answer = get(server, "/metrics", **{header: "192.0.2.7"})
    assert (answer.status_code, answer.json()["success"]) == (403, False)
    assert "CHATFERRY_METRICS_TOKEN" in answer.json()["error"]


def test_a_caller_behind_a_trusted_proxy_is_not_this_machine(tmp_path: Path) -> None:
    with serving(tmp_path, CHATFERRY_TRUSTED_PROXIES="127.0.0.1") as server:
        assert get(server, "/metrics", X_Forwarded_For="192.0.2.7").status_code == 403
        assert get(server, "/metrics").status_code == 200


def test_with_a_token_everybody_has_to_give_it(tmp_path: Path) -> None:
    with serving(tmp_path, CHATFERRY_METRICS_TOKEN=TOKEN) as server:
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            assert get(server, "/metrics", **given).status_code == 401
        answer = get(server, "/metrics", Authorization=f"Bearer {TOKEN}", X_Forwarded_For="192.0.2.7")
        assert answer.status_code == 200
        assert TOKEN not in (tmp_path / "stderr").read_text()


@pytest.mark.parametrize("token", ["short", "with spaces in it 0123", "with-umläut-0123456789"])
def test_short_metrics_tokens_are_refused(token: str) -> None:
    with pytest.raises(SettingsError, match="at least 16"):
        from_environment({"CHATFERRY_METRICS_TOKEN": token})


def test_bucket_bounds_belong_to_their_bucket() -> None:
    with Store() as store:
        counted = Metrics(store)
        for seconds in (metrics.SECONDS[0], metrics.SECONDS[0] * 1.01, 1000.0):
            counted.call_ended(CallRecord("a", "192.0.2.1", "GET", "/api/info"), 200, seconds)
        found = samples(counted.exposition(0)[0].decode())
    counts = [
        sample(found, "chatferry_call_seconds_bucket", endpoint="/api/info", le=bound)
        for bound in ("0.005", "0.01", "10.0", "+Inf")
    ]
    assert counts == [1, 2, 2, 3]

"""Files in deploy/: nginx passes the import endpoints and nothing else; systemd accepts the unit."""

import configparser
import json
import re
import shutil
import socket
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from chatferry.api.routes import ENDPOINTS
from tests.support.paths import ROOT
from tests.support.serving import UNAUTHORIZED, Server, add_users, client, login, run_import, serving, until

DEPLOY = ROOT / "deploy"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
LEFT = ("login", "logout", "me", "users.", "info", "openapi.json")
"""What chatferry has besides the import endpoints: with Rocket.Chat in front these are Rocket.Chat's."""

needs_nginx = pytest.mark.skipif(NGINX is None, reason="there is no nginx on this machine")


class StandIn(BaseHTTPRequestHandler):
    """For Rocket.Chat: says which path it was asked for."""

    def _answer(self) -> None:
        body = json.dumps({"rocketchat": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815  (the names are the library's)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def rocketchat() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def chatferry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("chatferry") / "data"
    add_users(data, {"starter": ["starter"]}, run_import=("starter",))
    with serving(data, CHATFERRY_TRUSTED_PROXIES="127.0.0.1", CHATFERRY_RATE_LIMIT="on") as running:
        yield running


def sent(path: str, rules: list[str]) -> bool:
    """Whether a file is sent to a build: the last rule that names it, or a directory above it, says so."""
    result = True
    for rule in rules:
        pattern = re.escape(rule.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if re.fullmatch(f"{pattern}(/.*)?", path):
            result = rule.startswith("!")
    return result


def test_an_image_is_built_from_the_source_alone() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    secret = [
        *("data/store.sqlite3", "data-2/uploads/x", "deploy/data/workspace.sqlite3", ".git/config"),
        *(".venv/bin/python", ".env", "deploy/chatferry.env", "export.zip", "exports/acme.zip"),
        *("src/data/x", "src/chatferry/__pycache__/cli.cpython-312.pyc", "auth.txt", "errors.log"),
    ]
    assert [path for path in secret if sent(path, rules)] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = ["pyproject.toml", project["readme"], *project["license-files"]]
    for path in (ROOT / "src").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            needed.append(str(path.relative_to(ROOT)))
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    needed += [source for line in copied for source in line.split() if source != "."]
    assert "deploy/requirements.lock" in needed
    assert [path for path in needed if not sent(path, rules) or not (ROOT / path).exists()] == []


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{rocketchat}; }}
        include {folder}/locations.conf;
    }}
}}
"""


@pytest.fixture(scope="module")
def nginx(chatferry: Server, rocketchat: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The site: nginx in front of both, as a server that tests can talk to."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    locations = (DEPLOY / "nginx-locations.conf").read_text()
    assert locations.count("127.0.0.1:3100") == 1
    (folder / "locations.conf").write_text(locations.replace(":3100", f":{chatferry.port}"))
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, rocketchat=rocketchat))
    process = subprocess.Popen([str(NGINX), "-p", folder, "-c", configuration], stderr=subprocess.DEVNULL)
    site = Server(chatferry.data, f"http://127.0.0.1:{port}", process)
    try:
        until(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "error.log").read_text()
        yield site
    finally:
        site.stop()


def answers(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


IMPORTING = [one for one in ENDPOINTS if one.path.startswith("/api/v1/") and not one.name.startswith(LEFT)]


@needs_nginx
def test_every_import_endpoint_is_chatferrys(nginx: Server) -> None:
    assert len(IMPORTING) > 20
    with client(nginx) as nobody:
        for endpoint in IMPORTING:
            path = endpoint.path.replace("{upload}", "abc")
            answer = nobody.request(endpoint.method, nginx.address + path)
            assert answer.status_code == 401, endpoint
            assert endpoint.method == "HEAD" or answer.json() == UNAUTHORIZED


@needs_nginx
@pytest.mark.parametrize(
    "path",
    [
        *("/", "/admin/import", "/websocket", "/sockjs/info", "/file-upload/abc/x.png", "/avatar/ada"),
        *("/api/info", "/api/docs", "/api/v1/login", "/api/v1/me", "/api/v1/logout", "/api/v1/users.list"),
        *(
            "/api/v1/importersXlist",
            "/api/v1/import.uploads/a/b",
            "/api/v1/import.newest",
            "/x/api/v1/startImport",
        ),
        *("/api/v1/startImports", "/api/v1/im.list", "/api/v1/method.call/getImportFileData", "/import.new"),
    ],
)
def test_everything_else_is_rocketchats(nginx: Server, path: str) -> None:
    with client(nginx) as nobody:
        for method in ("GET", "POST"):
            answer = nobody.request(method, nginx.address + path)
            assert answer.json() == {"rocketchat": path}


@needs_nginx
def test_an_import_goes_through_it(nginx: Server, chatferry: Server) -> None:
    with login(chatferry) as direct:
        credentials = {name: direct.headers[name] for name in ("X-User-Id", "X-Auth-Token")}
    with client(nginx) as admin:
        admin.headers.update(credentials)
        assert run_import(admin)["count"]["completed"] == 331
        large = {"file": ("large.zip", b"x" * 3_000_000)}  # nginx's own limit is 1 MiB
        answer = admin.post("import.upload", data={"importerKey": "slack"}, files=large)
        assert answer.json() == {"success": True}
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "9", "Upload-Metadata": "importerKey c2xhY2s="}
        made = admin.post("import.uploads", headers=tus)
        assert made.status_code == 201
        assert made.headers["Location"].startswith("/api/v1/import.uploads/")
        assert admin.head(nginx.address + made.headers["Location"], headers=tus).status_code == 200


@needs_nginx
def test_callers_are_told_apart_by_the_address_that_nginx_sees(nginx: Server, chatferry: Server) -> None:
    """An address in a header of the caller does not count."""
    with login(chatferry, "starter", "starter") as direct, client(nginx) as limited:
        limited.headers.update({name: direct.headers[name] for name in ("X-User-Id", "X-Auth-Token")})
        told = [
            limited.get("import.status", headers={"X-Forwarded-For": f"10.0.0.{n}"}).status_code
            for n in range(11)
        ]
    assert told == [200] * 10 + [429]


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("there is no systemd-analyze on this machine")
    unit = (DEPLOY / "chatferry.service").read_text()
    assert "/opt/chatferry/bin/chatferry serve" in unit
    (tmp_path / "chatferry.service").write_text(unit.replace("/opt/chatferry/bin/chatferry", "/bin/true"))
    done = subprocess.run(
        [verify, "verify", "--man=no", tmp_path / "chatferry.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    about_it = [line for line in done.stderr.splitlines() if "chatferry" in line]
    assert (done.returncode, about_it) == (0, [])


def test_the_unit_restarts_after_a_failure() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "chatferry.service")
    service = unit["Service"]
    assert (service["Restart"], service["OOMPolicy"]) == ("on-failure", "continue")
    assert service["RestartPreventExitStatus"] == "2"
    assert int(service["LimitNOFILE"]) >= 10_000
    assert {"MemoryHigh", "MemoryMax", "TasksMax"} <= set(service)
    # An outage of the destination, at every start, must not use the starts up.
    minutes = int(unit["Unit"]["StartLimitIntervalSec"].removesuffix("min"))
    assert minutes * 60 / int(service["RestartSec"]) < int(unit["Unit"]["StartLimitBurst"])


def test_the_settings_are_known_ones() -> None:
    known = (DEPLOY.parent / "docs" / "settings.md").read_text()
    for file in ("chatferry.env", "compose.yaml", "Containerfile"):
        named = set(re.findall(r"CHATFERRY_[A-Z_]+", (DEPLOY / file).read_text()))
        assert named
        assert not {name for name in named if f"`{name}`" not in known}


def test_the_image_installs_the_lock_file_and_nothing_else() -> None:
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
    wanted = [Requirement(text) for text in project["project"]["dependencies"]]
    wanted += [Requirement(text) for text in project["build-system"]["requires"]]
    text = (DEPLOY / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).strip())
    locked = {}
    for entry in entries:
        pinned = re.fullmatch(
            r"([\w.-]+)==([\w.]+)(?: ; [^\\]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)", entry
        )
        assert pinned, entry
        locked[canonicalize_name(pinned[1])] = pinned[2]
    for requirement in wanted:
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement
    assert "://" not in text and "index" not in text
    image = (DEPLOY / "Containerfile").read_text()
    assert len(re.findall("pip install .*", image)) == 2
    assert "--require-hashes --only-binary :all: -r /requirements.lock" in image
    assert "--no-deps --no-build-isolation --no-index /src" in image


def test_the_image_is_asked_whether_it_lives() -> None:
    assert "/api/health'" in (DEPLOY / "Containerfile").read_text()


def test_files_that_were_not_tried_say_so_at_the_top() -> None:
    for file in ("compose.yaml", "Containerfile"):
        assert (DEPLOY / file).read_text().startswith("# Not tried")

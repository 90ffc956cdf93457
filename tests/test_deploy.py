"""Files in deploy/: proxies pass the import endpoints and nothing else; systemd accepts the unit."""

import configparser
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from chatferry.api.routes import ENDPOINTS
from chatferry.extras import NEEDED
from tests.support.paths import ROOT
from tests.support.serving import UNAUTHORIZED, Server, add_users, client, login, run_import, serving, until

DEPLOY = ROOT / "deploy"
PROGRAMS = f"{os.environ['PATH']}:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
NGINX, CADDY = shutil.which("nginx", path=PROGRAMS), shutil.which("caddy", path=PROGRAMS)
LEFT = ("login", "logout", "me", "users.", "info", "openapi.json")
"""What chatferry has besides the import endpoints: with Rocket.Chat in front these are Rocket.Chat's."""


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
    assert "deploy/requirements*.lock" in needed
    needed = [str(path.relative_to(ROOT)) for one in needed for path in ROOT.glob(one)]
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


@contextmanager
def proxy(
    command: Sequence[str | Path], folder: Path, port: int, server: Server, **variables: str
) -> Iterator[Server]:
    """Run a proxy in front of chatferry; yield it as a server that tests can talk to."""
    with (folder / "error.log").open("w") as log:
        environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), **variables}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    site = Server(server.data, f"http://127.0.0.1:{port}", process)
    try:
        until(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "error.log").read_text()
        yield site
    finally:
        site.stop()


@contextmanager
def nginx(chatferry: Server, rocketchat: int, folder: Path) -> Iterator[Server]:
    port = free_port()
    locations = (DEPLOY / "nginx-locations.conf").read_text()
    assert locations.count("127.0.0.1:3100") == 1
    (folder / "locations.conf").write_text(locations.replace(":3100", f":{chatferry.port}"))
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, rocketchat=rocketchat))
    with proxy([str(NGINX), "-p", folder, "-c", configuration], folder, port, chatferry) as site:
        yield site


@contextmanager
def caddy(chatferry: Server, rocketchat: int, folder: Path) -> Iterator[Server]:
    """Rocket.Chat's site as chatferry.caddy shows it in its first lines."""
    port = free_port()
    shown = re.findall(r"^#     (.*)$", (DEPLOY / "chatferry.caddy").read_text(), re.MULTILINE)
    text = "\n".join(shown).replace("/etc/caddy/", f"{DEPLOY}/").replace(":3000", f":{rocketchat}")
    text = text.replace("chat.example.org", f"http://127.0.0.1:{port}")
    assert text.count(str(rocketchat)) == 1
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text + "\n")
    command: list[str | Path] = [str(CADDY), "run", "--config", folder / "Caddyfile"]
    with proxy(command, folder, port, chatferry, CHATFERRY=f"127.0.0.1:{chatferry.port}") as site:
        yield site


@contextmanager
def front(chatferry: Server, rocketchat: int, folder: Path) -> Iterator[Server]:
    """The front of compose.rocketchat.yaml, with what that sets."""
    port = free_port()
    shutil.copy(DEPLOY / "chatferry.caddy", folder)
    text = (DEPLOY / "front.caddy").read_text()
    assert text.count("\n:3000 {") == 1
    (folder / "front.caddy").write_text(text.replace("\n:3000 {", f"\n:{port} {{"))
    service = composed("compose.rocketchat.yaml")["services"]["chatferry-front"]
    assert set(service["environment"]) == {"CHATFERRY", "ROCKETCHAT", "BEFORE_CADDY"}
    mounted = {mount.split(":")[0].rpartition("/")[2] for mount in service["volumes"]}
    assert mounted == {"front.caddy", "chatferry.caddy"}
    _, *arguments = service["command"]
    command = [str(CADDY), *(argument.replace("/etc/caddy", str(folder)) for argument in arguments)]
    variables = {
        "CHATFERRY": f"127.0.0.1:{chatferry.port}",
        "ROCKETCHAT": f"127.0.0.1:{rocketchat}",
        "BEFORE_CADDY": service["environment"]["BEFORE_CADDY"],
    }
    with proxy(command, folder, port, chatferry, **variables) as site:
        yield site


WAYS = {"nginx": (NGINX, nginx), "caddy": (CADDY, caddy), "front": (CADDY, front)}


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """The proxy in front of chatferry and Rocket.Chat."""
    name: str = request.param
    if WAYS[name][0] is None:
        pytest.skip(f"there is no {'nginx' if name == 'nginx' else 'caddy'} on this machine")
    return name


@pytest.fixture(scope="module")
def chatferry(way: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for each proxy: its limits count the calls through one."""
    data = tmp_path_factory.mktemp("chatferry") / "data"
    add_users(data, {"starter": ["starter"]}, run_import=("starter",))
    with serving(data, CHATFERRY_TRUSTED_PROXIES="127.0.0.1", CHATFERRY_RATE_LIMIT="on") as running:
        yield running


@pytest.fixture(scope="module")
def site(
    way: str, chatferry: Server, rocketchat: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Rocket.Chat's site."""
    with WAYS[way][1](chatferry, rocketchat, tmp_path_factory.mktemp("proxy")) as running:
        yield running


def answers(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


IMPORTING = [one for one in ENDPOINTS if one.path.startswith("/api/v1/") and not one.name.startswith(LEFT)]


def test_every_import_endpoint_is_chatferrys(site: Server) -> None:
    assert len(IMPORTING) > 20
    with client(site) as nobody:
        for endpoint in IMPORTING:
            path = re.sub(r"{\w+}", "abc", endpoint.path)
            answer = nobody.request(endpoint.method, site.address + path)
            assert answer.status_code == 401, endpoint
            assert endpoint.method == "HEAD" or answer.json() == UNAUTHORIZED


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
def test_everything_else_is_rocketchats(site: Server, path: str) -> None:
    with client(site) as nobody:
        for method in ("GET", "POST"):
            answer = nobody.request(method, site.address + path)
            assert answer.json() == {"rocketchat": path}


def test_an_import_goes_through_it(site: Server, chatferry: Server) -> None:
    with login(chatferry) as direct:
        credentials = {name: direct.headers[name] for name in ("X-User-Id", "X-Auth-Token")}
    with client(site) as admin:
        admin.headers.update(credentials)
        assert run_import(admin)["count"]["completed"] == 331
        large = {"file": ("large.zip", b"x" * 3_000_000)}  # nginx's own limit is 1 MiB
        answer = admin.post("import.upload?replace=true", data={"importerKey": "slack"}, files=large)
        assert answer.json() == {"success": True}
        tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "9", "Upload-Metadata": "importerKey c2xhY2s="}
        made = admin.post("import.uploads", headers=tus)
        assert made.status_code == 201
        assert made.headers["Location"].startswith("/api/v1/import.uploads/")
        assert admin.head(site.address + made.headers["Location"], headers=tus).status_code == 200


def test_callers_are_told_apart_by_the_address_that_the_proxy_sees(
    site: Server, chatferry: Server, way: str
) -> None:
    """An address in a caller's header does not count, except at the front, which only Traefik calls."""
    with login(chatferry, "starter", "starter") as direct, client(site) as limited:
        limited.headers.update({name: direct.headers[name] for name in ("X-User-Id", "X-Auth-Token")})
        told = [
            limited.get("import.status", headers={"X-Forwarded-For": f"10.0.0.{n}"}).status_code
            for n in range(11)
        ]
    assert told == [200] * 10 + [200 if way == "front" else 429]


DROP_INS = sorted(path.name for path in (DEPLOY / "chatferry.service.d").iterdir())


@pytest.mark.parametrize("drop_ins", [[], *([name] for name in DROP_INS), DROP_INS], ids="-".join)
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path, drop_ins: list[str]) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("there is no systemd-analyze on this machine")
    unit = (DEPLOY / "chatferry.service").read_text()
    assert "/opt/chatferry/bin/chatferry serve" in unit
    (tmp_path / "chatferry.service").write_text(unit.replace("/opt/chatferry/bin/chatferry", "/bin/true"))
    (tmp_path / "chatferry.service.d").mkdir()
    for name in drop_ins:
        shutil.copy(DEPLOY / "chatferry.service.d" / name, tmp_path / "chatferry.service.d")
    done = subprocess.run(
        [verify, "verify", "--man=no", tmp_path / "chatferry.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    about_it = [line for line in done.stderr.splitlines() if "chatferry" in line]
    assert (done.returncode, about_it) == (0, [])


SYSTEMCTL = """#!/bin/sh
[ "$*" = "cat chatferry.service" ] || exit 9
cat "{folder}/unit"
"""
SYSTEMD_RUN = """#!/bin/sh
printf '%s\\n' "$@" > "{folder}/arguments"
echo to stdout
exit 3
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with programs for systemd's own, which no container has."""
    for name, text in {"systemctl": SYSTEMCTL, "systemd-run": SYSTEMD_RUN}.items():
        (tmp_path / name).write_text(text.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    unit = "# /etc/systemd/system/chatferry.service\n" + (DEPLOY / "chatferry.service").read_text()
    for name in DROP_INS:
        path = DEPLOY / "chatferry.service.d" / name
        unit += f"\n# /etc/systemd/system/chatferry.service.d/{name}\n{path.read_text()}"
    (tmp_path / "unit").write_text(unit)
    return tmp_path


def wrapped(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DEPLOY / "chatferry-service", *arguments],
        env={"PATH": f"{machine}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_other_commands_run_as_the_service_does(machine: Path) -> None:
    done = wrapped(machine, "report", "--all", "an id")
    assert (done.returncode, done.stdout, done.stderr) == (3, "to stdout\n", "")
    told = (machine / "arguments").read_text().splitlines()
    assert told[:4] == ["--quiet", "--collect", "--wait", "--pipe"]
    assert told[told.index("--") :] == ["--", "/opt/chatferry/bin/chatferry", "report", "--all", "an id"]
    properties = [argument.removeprefix("--property=") for argument in told[4 : told.index("--")]]
    wanted = (
        *("EnvironmentFile=/etc/chatferry.env", "Environment=CHATFERRY_DATA=/var/lib/chatferry"),
        *("StateDirectory=chatferry", "ProtectSystem=strict", "UMask=0077"),
        *("ReadWritePaths=/opt/Rocket.Chat/uploads", "BindReadOnlyPaths=/home/anna/exports"),
    )
    assert set(wanted) <= set(properties)
    assert properties.index("DynamicUser=yes") < properties.index("DynamicUser=no")  # the drop-in is later
    left = {"ExecStart", "Restart", "RestartSec", "RestartPreventExitStatus", "TimeoutStopSec", "OOMPolicy"}
    assert not left & {one.partition("=")[0] for one in properties}
    assert not [one for one in properties if one.startswith(("Description", "After", "WantedBy", "#"))]


def test_the_wrapper_where_there_is_no_unit(machine: Path) -> None:
    (machine / "unit").unlink()
    done = wrapped(machine, "report")
    assert (done.returncode, done.stdout) == (2, "")
    assert "chatferry-service: systemd knows no chatferry.service" in done.stderr


def test_scripts_are_ones_that_bash_and_shellcheck_take() -> None:
    script = DEPLOY / "chatferry-service"
    subprocess.run(["bash", "-n", script], check=True)
    if checker := shutil.which("shellcheck"):
        subprocess.run([checker, script], check=True)


def test_the_unit_restarts_after_a_failure() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as the documentation has it
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
    for file in (
        "chatferry.env",
        "compose.yaml",
        "compose.rocketchat.yaml",
        "Containerfile",
        "chatferry.service",
    ):
        named = set(re.findall(r"\bCHATFERRY_[A-Z_]+", (DEPLOY / file).read_text()))
        assert named
        assert not {name for name in named if f"`{name}`" not in known}


def composed(file: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / file).read_text())
    return found


def routes(file: str) -> list[str]:
    """Return the regular expressions of paths in a file, as a proxy reads them."""
    return re.findall(r"\^/api/v1/[^\s\"`]*?\$", (DEPLOY / file).read_text())


@pytest.mark.parametrize("file", ["nginx-locations.conf", "chatferry.caddy", "compose.yaml"])
def test_every_proxy_passes_the_same_paths(file: str) -> None:
    (pattern,) = routes(file)
    for endpoint in ENDPOINTS:
        path = re.sub(r"{\w+}", "abc", endpoint.path)
        assert bool(re.fullmatch(pattern, path)) == (endpoint in IMPORTING), (file, path)
    for path in (
        "/api/v1/importersXlist",
        "/api/v1/import.uploads/a/b",
        "/x/api/v1/startImport",
        "/api/v1/login",
    ):
        assert not re.fullmatch(pattern, path)
    assert [pattern] == routes("nginx-locations.conf")


def test_traefik_is_told_the_paths_by_labels() -> None:
    labels = composed("compose.yaml")["services"]["chatferry"]["labels"]
    rule = labels["traefik.http.routers.chatferry.rule"].replace("$$", "$")  # as compose reads it
    (pattern,) = routes("nginx-locations.conf")
    assert rule == f"Host(`${{DOMAIN:-localhost}}`) && PathRegexp(`{pattern}`)"
    image = (DEPLOY / "Containerfile").read_text()
    assert f"CHATFERRY_PORT={labels['traefik.http.services.chatferry.loadbalancer.server.port']}" in image


@pytest.mark.parametrize("file", ["compose.yaml", "compose.rocketchat.yaml"])
def test_a_compose_file_builds_the_image_with_extras(file: str) -> None:
    build = composed(file)["services"]["chatferry"]["build"]
    assert (DEPLOY.parent / build["dockerfile"]).is_file()
    (argument,) = build["args"]
    assert f"\nARG {argument}=" in (DEPLOY / "Containerfile").read_text()


def locked(file: str) -> dict[str, str]:
    """Return the versions that a lock file pins, each with hashes."""
    text = (DEPLOY / file).read_text()
    assert "://" not in text and "index" not in text
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).strip())
    found: dict[str, str] = {}
    for entry in entries:
        pinned = re.fullmatch(
            r"([\w.-]+)==([\w.]+)(?: ; [^\\]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)", entry
        )
        assert pinned, entry
        found[canonicalize_name(pinned[1])] = pinned[2]
    return found


def test_the_image_installs_the_lock_files_and_nothing_else() -> None:
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
    base = locked("requirements.lock")
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    versions = dict(base)
    for extra, library in NEEDED.items():
        of_extra = locked(f"requirements-{extra}.lock")
        assert {name: of_extra[name] for name in of_extra.keys() & versions} == {
            name: versions[name] for name in of_extra.keys() & versions
        }
        versions |= of_extra
        needed.append(library)
    for requirement in map(Requirement, needed):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement
    image = (DEPLOY / "Containerfile").read_text()
    assert len(re.findall("pip install .*", image)) == 2
    assert '--require-hashes --only-binary :all: "$@"' in image
    assert "--no-deps --no-build-isolation --no-index /src" in image


def builder() -> str:
    """Return a program that can build and run containers here, or skip."""
    reasons = ["there is no docker and no podman on this machine"]
    for name in ("docker", "podman"):
        if (program := shutil.which(name)) is None:
            continue
        told = subprocess.run([program, "info"], capture_output=True, text=True, timeout=60, check=False)
        if told.returncode == 0 and "ERROR" not in told.stdout + told.stderr:
            return program
        reasons.append(f"{name} does not work: {told.stderr.strip().splitlines()[-1]}")
    pytest.skip(reasons[-1])


@pytest.mark.parametrize("extras", ["", "s3", "s3 cluster"])
def test_a_container_is_built_and_started(extras: str) -> None:
    program, name = builder(), f"chatferry-test-{os.getpid()}"
    options = ["-q", "-f", str(DEPLOY / "Containerfile"), "--build-arg", f"EXTRAS={extras}", "-t", name]
    subprocess.run([program, "build", *options, ROOT], check=True, timeout=600)
    libraries = {"s3": "boto3", "cluster": "distributed"}
    imports = ", ".join(["chatferry", *(libraries[extra] for extra in extras.split())])
    python = ["--entrypoint", "/opt/chatferry/bin/python", name, "-c", f"import {imports}"]
    subprocess.run([program, "run", "--rm", *python], check=True, timeout=60)
    port = free_port()
    started = [program, "run", "-d", "--rm", "--name", name, "-p", f"127.0.0.1:{port}:3100", name]
    subprocess.run(started, check=True, timeout=60, stdout=subprocess.DEVNULL)
    try:
        until(lambda: healthy(port))
        asked = [program, "exec", name, "/opt/chatferry/bin/chatferry", "dump", "users"]
        assert (
            '"username"'
            in subprocess.run(asked, check=True, timeout=60, capture_output=True, text=True).stdout
        )
    finally:
        subprocess.run([program, "rm", "-f", name], check=True, timeout=60, stdout=subprocess.DEVNULL)


def healthy(port: int) -> bool:
    with suppress(OSError):
        return bool(urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5).status == 200)
    return False


def test_the_image_is_asked_whether_it_lives() -> None:
    assert "/api/health'" in (DEPLOY / "Containerfile").read_text()


def test_files_that_were_not_tried_say_so_at_the_top() -> None:
    untried = ["compose.yaml", "compose.rocketchat.yaml", "Containerfile"]
    for file in (*untried, *(f"chatferry.service.d/{name}" for name in DROP_INS)):
        assert (DEPLOY / file).read_text().startswith("# Not tried")
    assert (DEPLOY / "chatferry-service").read_text().startswith("#!/bin/bash\n# Not tried")

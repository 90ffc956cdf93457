"""The ways to install chatferry work as docs/installing.md and docs/releasing.md write them.

No index is asked: pip builds with, and finds libraries in, the Python that runs the tests.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from chatferry import __version__
from chatferry.extras import NEEDED, advice
from tests.support.paths import ROOT

INSTALLING = (ROOT / "docs" / "installing.md").read_text()
RELEASING = (ROOT / "docs" / "releasing.md").read_text()
WHEEL = f"chatferry-{__version__}-py3-none-any.whl"


def blocks(page: str, heading: str = "") -> list[str]:
    """Return the commands of a page, or of a section, block by block."""
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0] if heading else page
    found = re.findall(r"^( *)```bash\n(.*?)^ *```", section, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


class Machine:
    """A folder in which commands run, with virtual environments that see the libraries of this Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, script: str) -> str:
        """Run commands line by line; return what they print."""
        return "".join(self._line(line) for line in script.replace("\\\n", " ").splitlines() if line.strip())

    def _line(self, line: str) -> str:
        environment = {
            **{name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ},
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip takes this one the wrong way round
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if made := re.fullmatch(r"python3 -m venv (\S+)", line):
            self.lend(self.folder / made[1])
        return done.stdout

    def lend(self, environment: Path) -> None:
        """Let a virtual environment find the libraries of this Python, chatferry not among them."""
        (packages,) = environment.glob("lib/python3*/site-packages")
        (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A copy of what a checkout has, in which `make dist` was run."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("src", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "Makefile", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    machine = Machine(folder)
    machine.run("python3 -m venv .venv")
    (dist,) = blocks(INSTALLING, "A wheel")[:1]
    machine.run(dist)
    return machine


@pytest.fixture(scope="module")
def elsewhere(checkout: Machine, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Another machine, to which the wheel was copied and where it was installed."""
    machine = Machine(tmp_path_factory.mktemp("elsewhere"))
    shutil.copy(checkout.folder / "dist" / WHEEL, machine.folder)
    _, install = blocks(INSTALLING, "A wheel")
    assert "Usage: chatferry" in machine.run(install)
    return machine


def test_a_checkout(checkout: Machine) -> None:
    (script,) = blocks(INSTALLING, "A checkout")
    assert "an export of Slack" in checkout.run(script)
    in_checkout, _ = blocks(INSTALLING, "Extras")
    checkout.run(in_checkout)


def test_a_wheel_on_another_machine(elsewhere: Machine) -> None:
    program = f"chatferry-{__version__}/bin/chatferry"
    export = ROOT / "examples" / "slack-small.zip"
    assert "an export of Slack" in elsewhere.run(f"{program} inspect {export}")
    assert re.search(r"messages +220", elsewhere.run(f"{program} import slack {export}"))
    where = elsewhere.run(
        f"chatferry-{__version__}/bin/python -c 'import chatferry; print(chatferry.__file__)'"
    )
    assert where.startswith(str(elsewhere.folder))
    _, with_wheel = blocks(INSTALLING, "Extras")
    elsewhere.run(with_wheel)


def test_the_wheel_has_every_file_of_the_source_and_nothing_else(checkout: Machine) -> None:
    source = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "chatferry").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(checkout.folder / "dist" / WHEEL) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == source


def test_a_wheel_is_the_same_every_time(checkout: Machine) -> None:
    wheel = checkout.folder / "dist" / WHEEL
    before = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for path in (checkout.folder / "src").rglob("*.py"):
        path.touch()
    checkout.run("make dist")
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == before


def test_the_steps_of_a_release(checkout: Machine) -> None:
    pins_and_tests, wheel, commit = blocks(RELEASING)
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\S+)", pins_and_tests):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    shown = checkout.run(wheel)
    assert "an export of Slack" in shown
    assert shown.endswith(f"  dist/{WHEEL}\n")
    name = "-c user.name=x -c user.email=x@example.org"
    commit = commit.replace("git ", f"git {name} ")
    checkout.run(f"git init -q\ngit add --all\n{commit}")
    assert checkout.run("git tag") == f"v{__version__}\n"


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    named = re.findall(r"\b\d+\.\d+\.\d+\b", INSTALLING + RELEASING)
    assert set(named) == {__version__}


def test_the_advice_for_a_missing_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, library in NEEDED.items():
        assert extras[extra] == [library]
        assert f"| `{extra}` |" in INSTALLING
        said = advice("This", extra)
        assert said.startswith(f'This needs chatferry\'s extra "{extra}". Install it (')
        command = said.partition("Install it (")[2].removesuffix("), then try again.")
        done = subprocess.run(
            ["bash", "-c", f"{command} --no-index"], capture_output=True, text=True, timeout=60, check=False
        )
        assert "already satisfied" in done.stdout, done.stderr


def test_nothing_says_that_an_index_has_chatferry() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")]
    pages += [path for path in (ROOT / "deploy").iterdir() if path.is_file()]
    said = [page.name for page in pages if re.search(r"pip install '?chatferry\b", page.read_text())]
    assert said == ["releasing.md"]

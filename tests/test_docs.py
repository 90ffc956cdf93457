"""The documentation names existing things, and its commands work as written."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from typer.main import get_command

from chatferry.api.routes import ENDPOINTS
from chatferry.cli.app import app
from chatferry.importers import IMPORTERS, readers
from chatferry.problems import KINDS
from chatferry.settings import from_environment
from tests.support.paths import ROOT
from tests.support.serving import environment, latest, login, serving, wait_for

README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
UPLOADING = (ROOT / "docs" / "uploading.md").read_text()
PASSWORD = "change-me"


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_the_readme_names_every_endpoint(endpoint: object) -> None:
    path = str(getattr(endpoint, "path", ""))
    assert path.removeprefix("/api/v1/").removeprefix("/api/") in README


def test_problems_md_lists_exactly_the_kinds_there_are() -> None:
    text = (ROOT / "docs" / "problems.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \| (\w+) \| [A-Z`].+\. \| (.*) \|$", text, re.MULTILINE)
    assert {row[0]: row[1:] for row in rows} == {
        kind: (known.record, known.effect.value, known.remedy) for kind, known in KINDS.items()
    }
    assert len(rows) == len(KINDS)


def test_every_kind_of_problem_is_raised_somewhere() -> None:
    paths = (path for path in (ROOT / "src").rglob("*.py") if path.name != "problems.py")
    source = "".join(path.read_text() for path in paths)
    words = {text for text in re.findall(r'"([a-z{}._-]+)"', source) if text.count("{") < 2}
    raised = "|".join(re.sub(r"{[a-z._]+}", "[a-z]+", word.replace(".by", "")) for word in sorted(words))
    assert not [kind for kind in KINDS if not re.fullmatch(raised, kind)]


def test_every_option_and_its_variable_are_documented() -> None:
    command = get_command(app)
    groups = [command]
    options: set[str] = set()
    while groups:
        group = groups.pop()
        groups += list(getattr(group, "commands", {}).values())
        for parameter in group.params:
            options |= {name for name in parameter.opts if name.startswith("--")} - {"--help"}
            variable = getattr(parameter, "envvar", None)
            if variable:
                options.add(str(variable))
    assert not {option for option in options if f"`{option}" not in SETTINGS}


def test_every_variable_that_the_source_reads_is_documented() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    names = set(re.findall(r"\"(CHATFERRY_[A-Z_]+|ADMIN_[A-Z]+)\"", source))
    assert len(names) > 10
    assert not {name for name in names if f"`{name}`" not in SETTINGS}


def test_every_setting_has_an_example_that_works() -> None:
    (example,) = blocks("An example", SETTINGS, "ini")
    settings = dict(line.split("=", 1) for line in example.splitlines())
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert set(settings) == set(re.findall(r"\"(CHATFERRY_[A-Z_]+|ADMIN_[A-Z]+)\"", source))
    from_environment(settings)


def test_the_readme_has_an_example_of_every_importer() -> None:
    section = README.partition("## What it knows\n")[2].partition("\n## ")[0]
    for importer in IMPORTERS.values():
        assert f"`{importer.key}`" in section
    (examples,) = blocks("What it knows")
    assert set(re.findall(r"chatferry import (\S+)", examples)) == {importer.key for importer in readers()}
    others = {importer.key for importer in IMPORTERS.values() if not importer.source}
    told = {key.strip() for note in re.findall(r"# (.*)", examples) for key in note.split(",")}
    assert told == others


def test_links_inside_the_documentation_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
            linked = page.parent / target if target else page
            assert linked.exists(), f"{page}: {target}"
            assert not anchor or anchor in anchors(linked), f"{page}: {target}#{anchor}"


def test_paths_in_the_guides_for_contributors_exist() -> None:
    named: set[str] = set()
    for page in (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"):
        named |= set(re.findall(r"`([\w./*-]+/[\w.*-]*)`", page.read_text()))
    assert len(named) > 50
    package = ROOT / "src" / "chatferry"
    places = (ROOT, package, *package.glob("*/"))

    def is_there(name: str) -> bool:
        patterns = (name.rstrip("/"), f"{name}.py")
        return any(list(place.glob(pattern)) for place in places for pattern in patterns)

    assert not {name for name in named if "NNNN" not in name and not is_there(name)}


def test_modules_that_the_documentation_names_are_there() -> None:
    folders = ("src", "tests", "benchmarks", "testdata", "examples")
    files = [f"/{path.relative_to(ROOT)}" for folder in folders for path in (ROOT / folder).rglob("*.py")]
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(r"`([\w./]+\.py)`", page.read_text()):
            assert any(file.endswith(f"/{name}") for file in files), f"{page}: {name}"


def test_the_glossary_has_every_class_of_the_engine_once() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text().partition("## Glossary\n")[2]
    rows = re.findall(r"^\| ([a-z][^|]*) \| ([^|]*) \| [^|]+ \|$", text, re.MULTILINE)
    words = [word for word, _ in rows[1:]]
    assert words == sorted(set(words))
    named = [name for _, names in rows for name in re.findall(r"`(\w+)`", names)]
    assert len(named) == len(set(named))
    package = ROOT / "src" / "chatferry"
    aliases = {"Document", "Packed", "Text"}
    assert set(named) - aliases <= classes(package)
    assert not (classes(package / "pipeline") | classes(package / "convert")) - set(named)


def test_no_class_name_is_used_twice() -> None:
    found = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    names = Counter(re.findall(r"^class _?(\w+)", found, re.MULTILINE))
    assert not [name for name, count in names.items() if count > 1]


def classes(folder: Path) -> set[str]:
    """Return the public classes of a package."""
    found = "".join(path.read_text() for path in folder.rglob("*.py"))
    return set(re.findall(r"^class ([A-Z]\w*)", found, re.MULTILINE))


def test_the_teaching_importer_is_short() -> None:
    """CONTRIBUTING says how long it is."""
    assert len((ROOT / "examples" / "importer" / "irssi.py").read_text().splitlines()) <= 150


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def blocks(heading: str, page: str = README, language: str = "bash") -> list[str]:
    """The blocks of a section in this language."""
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def run(script: str, folder: Path) -> str:
    """Run a block with bash, in a folder that looks like a checkout."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**environment(), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the files that the README's commands refer to."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    program = tmp_path / ".venv" / "bin" / "chatferry"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m chatferry "$@"\n')
    program.chmod(0o755)
    return tmp_path


def test_the_readmes_api_calls_work_as_written(checkout: Path) -> None:
    calls, looking = blocks("Import a Slack export over the API")
    with serving(checkout / "data", ADMIN_PASS=PASSWORD, CHATFERRY_RATE_LIMIT="on") as server:
        script = calls.replace("http://127.0.0.1:3000", server.address)
        shown = run(script, checkout)
    assert '"waiting":true' not in shown
    assert '"message_count":220' in shown
    assert shown.count('"step":"importer_done"') == 1
    assert '"status":"importer_done"' in shown
    report = run(looking, checkout)
    assert re.search(r"messages +220", report)
    assert '"_id":"slack-' in report


def test_the_readmes_command_line_works_as_written(checkout: Path) -> None:
    (script,) = blocks("Import without a server")
    shown = run(script, checkout)
    assert "Nothing was written." in shown
    assert '"peakMemoryMiB"' in shown
    assert (checkout / "data-2" / "workspace.sqlite3").exists()


def test_every_way_to_upload_works_as_written(checkout: Path) -> None:
    before, *ways = blocks("Three ways to upload", UPLOADING)
    (program,) = blocks("Three ways to upload", UPLOADING, "python")
    with serving(checkout / "data") as server, login(server) as http:
        before, program = (
            text.replace("http://127.0.0.1:3000", server.address) for text in (before, program)
        )
        (checkout / "upload.py").write_text(program)
        for way in (*ways, f"{sys.executable} upload.py"):
            began = len(latest(http))
            shown = run(before + way, checkout)
            assert len(latest(http)) == began + 1, shown
            operation = wait_for(http, "importer_user_selection")
            assert operation["file"].endswith("_slack-small.zip")
            assert "success" in shown or not shown or shown == operation["_id"] + "\n"

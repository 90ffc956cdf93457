"""The files at the root of an export (and, in a grid, of each team): who and what there is."""

from collections.abc import Iterable, Iterator

from testdata.people import TEAM, Json, Layout, Person, slack_id, slackbot
from testdata.world import Room, World

LISTS = ("channels.json", "groups.json", "dms.json", "mpims.json")
_CREATED = 1_700_000_000


def root_files(world: World, people: list[Person], rooms: list[Room]) -> Iterator[tuple[str, object]]:
    layout = world.shape.layout
    yield from _user_files(layout, people)
    yield from _lists(layout, rooms)
    if world.shape.features:
        yield from _other_files(layout, world)


def users_file(layout: Layout) -> str:
    return "org_users.json" if layout == "grid" else "users.json"


def user_position(number: int) -> str:
    """Where the n-th person stands in the file: Slackbot comes second."""
    return f"$[{number + (number > 0)}]"


def _user_files(layout: Layout, people: list[Person]) -> Iterator[tuple[str, object]]:
    yield users_file(layout), _entries(people)
    if layout == "grid":  # most people are in both teams
        for team, absent in (("alpha", 2), ("beta", 1)):
            members = [person for number, person in enumerate(people) if number % 3 != absent]
            yield f"teams/{team}/users.json", _entries(members)


def _entries(people: list[Person]) -> list[Json]:
    first, *rest = (person.entry for person in people)
    return [first, slackbot(), *rest]


def _lists(layout: Layout, rooms: Iterable[Room]) -> Iterator[tuple[str, object]]:
    homes = ("", "teams/alpha/", "teams/beta/") if layout == "grid" else ("",)
    expected = LISTS[:1] if layout == "standard" else LISTS
    lists: dict[str, list[Json]] = {home + file: [] for home in homes for file in expected}
    for room in rooms:
        lists.setdefault(room.home + room.file, []).append(room.entry)
    yield from lists.items()


def _other_files(layout: Layout, world: World) -> Iterator[tuple[str, object]]:
    user = world.people[0]
    yield "integration_logs.json", [
        {"user_id": user.id, "user_name": user.username, "date": "1600000000", "change_type": change,
         "app_type": "Example App", "app_id": "A0EXAMPLE1", "scope": "incoming-webhook"}
        for change in ("added", "removed")
    ]  # fmt: skip
    yield "canvases.json", [canvas(world.general.id, user, number) for number in range(2)]
    yield "lists.json", [{**canvas(world.general.id, user, 2), "filetype": "list", "mode": "list"}]
    yield "huddle_transcripts.json", []
    if layout == "grid":
        flag = {"user": user.id, "channel": world.general.id, "ts": "1600000200.000100"}
        yield "content_flags.json", [flag]


def canvas(room: str, user: Person, number: int) -> Json:
    id = slack_id("F", number, 10)
    url = f"https://files.slack.com/files-pri/{TEAM}-{id}/download/canvas?token=xoxe-EXAMPLE"
    return {
        "id": id, "created": _CREATED, "name": "Plan", "title": "Plan", "mode": "quip", "user": user.id,
        "mimetype": "application/vnd.slack-docs", "filetype": "quip", "pretty_type": "Canvas",
        "editable": True, "size": 120,
        "is_public": False, "is_tombstoned": False, "public_url_shared": False, "date_delete": 0,
        "url_private_download": url, "shares": [{"team": TEAM, "channel": room}], "is_modified_by_ai": False,
        "permalink": f"https://example.slack.com/docs/{TEAM}/{id}", "export_timestamp": _CREATED + 1,
    }  # fmt: skip

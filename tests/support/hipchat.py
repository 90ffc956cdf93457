"""Small HipChat exports."""

from pathlib import Path
from typing import Any

from tests.support.importing import write_folder


def person(id: int, name: str, company: str) -> dict[str, Any]:
    email = f"{name.lower()}@{company}.example"
    return {"User": {"id": id, "name": f"{name} of {company}", "mention_name": name.lower(), "email": email}}


def hipchat(folder: Path, company: str, *names: str, first: int = 1, privacy: str = "private") -> Path:
    """A HipChat export: a room for the first two people, and their conversation. `first`: lowest id."""
    room = {
        "id": first,
        "name": "management",
        "privacy": privacy,
        "owner": first,
        "members": [first, first + 1],
    }

    def said(id: str, sender: int, **more: Any) -> dict[str, Any]:
        text = f"{names[sender - first]} of {company} says {id}"
        when = "2018-08-08T14:23:54Z 000001"
        return {"id": id, "sender": {"id": sender}, "message": text, "timestamp": when, **more}

    return write_folder(
        folder,
        {
            "users.json": [person(number, name, company) for number, name in enumerate(names, first)],
            "rooms.json": [{"Room": room}],
            f"rooms/{first}/history.json": [
                {"UserMessage": said("m1", first)},
                {"UserMessage": said("m2", first + 1)},
            ],
            f"users/{first}/history.json": [
                {"PrivateUserMessage": said("p1", first, receiver={"id": first + 1})}
            ],
        },
    )


KEY = "hipchatenterprise"

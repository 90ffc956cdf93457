"""A database as a Rocket.Chat server leaves it: its indexes, accounts, rooms and settings."""

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from chatferry.accounts import hash_password
from tests.support.paths import GOLDEN_INDEXES

Document = dict[str, Any]
Contents = dict[str, dict[Any, bytes]]
"""Of a database: collection -> `_id` -> the document's bytes."""

PASSWORD = "correct horse"
DAY = datetime(2024, 5, 6, 7, 8, 9, 123000, UTC)
LONG_AGO = datetime(2019, 1, 2, 3, 4, 5, 678000, UTC)
ROOT, ADA, BEN, DAN, GONE, MOVER = (
    f"{name}{'x' * 17}"[:17] for name in ("root", "ada", "ben", "dan", "gone", "mover")
)
CAT = "rocket.cat"
GENERAL, TOWN, VAULT, CELLAR = (
    "GENERAL",
    "6512bd43d9caa6e02c990b0a",
    "c20ad4d76fe97759aa27a0c9",
    "c51ce410c124a10e",
)
DIRECT = ADA + BEN
MOVERS = "Qx7kLw3mNp2RtYv9z"
"""The `_id` of a role that the administrators made: its name is another."""


def token(name: str) -> str:
    """The login token of a user, as their client has it."""
    return f"{name}-{'t' * 43}"[:43]


def personal_token(name: str) -> str:
    return f"{name}-{'p' * 43}"[:43]


def _hashed(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def seed(database: Database[Document]) -> None:
    """Fill an empty database."""
    for collection, indexes in json.loads(GOLDEN_INDEXES.read_text()).items():
        _make_indexes(database, collection, indexes)
    database.rocketchat_import.create_index([("ts", -1)])
    database.rocketchat_uploads.create_index("rid", sparse=True)
    database.users.insert_many(list(_users()))
    database.rocketchat_roles.insert_many(
        [
            *(
                {"_id": role, "name": role, "scope": "Users", "protected": True}
                for role in ("admin", "user", "bot")
            ),
            {"_id": MOVERS, "name": "movers", "description": "", "scope": "Users", "mandatory2fa": False},
        ]
    )
    database.rocketchat_permissions.insert_many(
        [
            {"_id": "run-import", "roles": ["admin", MOVERS], "_updatedAt": DAY},
            {"_id": "view-import-operations", "roles": ["admin"], "_updatedAt": DAY},
            {"_id": "api-bypass-rate-limit", "roles": ["admin", "bot", "app"], "_updatedAt": DAY},
            {"_id": "create-c", "roles": ["admin", "user", "bot", "app"], "_updatedAt": DAY},
        ]
    )
    database.rocketchat_room.insert_many(list(_rooms()))
    database.rocketchat_subscription.insert_many(list(_subscriptions()))
    database.rocketchat_message.insert_many(list(_messages()))
    database.rocketchat_import.insert_many(list(_imports()))
    database.rocketchat_settings.insert_many(
        [
            {"_id": "FileUpload_Storage_Type", "value": "GridFS", "type": "select", "i18nLabel": "x"},
            {"_id": "Site_Url", "value": "https://chat.example.org", "valueSource": "customValue"},
        ]
    )
    database.instances.insert_one({"_id": ObjectId(), "name": "rocket.chat", "load": Decimal128("0.25")})


def _make_indexes(database: Database[Document], collection: str, indexes: list[Document]) -> None:
    for index in indexes:
        options = {name: value for name, value in index.items() if name not in ("v", "key", "name")}
        keys = list(index["key"].items())
        if "weights" in options:
            keys = [(field, "text") for field in options.pop("weights")]
            options.pop("textIndexVersion")
        options.pop("2dsphereIndexVersion", None)
        if index["name"] != "_id_":
            database[collection].create_index(keys, name=index["name"], **options)


# ---------------------------------------------------------------- documents


def _users() -> Iterator[Document]:
    yield {
        "_id": CAT,
        "createdAt": LONG_AGO,
        "username": "rocket.cat",
        "name": "Rocket.Cat",
        "type": "bot",
        "roles": ["bot"],
        "active": True,
        "status": "online",
        "utcOffset": 0,
        "_updatedAt": DAY,
    }
    yield _user(ROOT, "root", ["admin", "user"], createdAt=LONG_AGO)
    yield _user(ADA, "ada", ["user", "livechat-agent"], name="Ada of Rocket.Chat", bio=None)
    yield _user(BEN, "ben", ["user"], name="Ben", customFields={"shoe": 44.5, "badge": ObjectId()})
    yield _user(DAN, "dan", ["user"])
    yield _user(GONE, "gone", ["admin", "user"], active=False, createdAt=datetime(2018, 1, 1, tzinfo=UTC))
    yield _user(MOVER, "mover", ["user", MOVERS])
    yield {
        "_id": "noTokensAtAll1234",
        "createdAt": DAY,
        "username": "ldap.only",
        "roles": ["user"],
        "active": True,
        "type": "user",
        "services": {"ldap": {"id": "x"}, "resume": {"loginTokens": None}},
    }


def _user(id: str, username: str, roles: list[str], **more: Any) -> Document:
    tokens = [
        {"when": LONG_AGO, "hashedToken": _hashed(f"old of {username}")},
        {"when": DAY, "hashedToken": _hashed(token(username)), "twoFactorAuthorizedHash": "x"},
        {
            "hashedToken": _hashed(personal_token(username)),
            "type": "personalAccessToken",
            "createdAt": DAY,
            "lastTokenPart": "pppppp",
            "name": "scripts",
            "bypassTwoFactor": False,
        },
    ]
    return {
        "_id": id,
        "createdAt": DAY,
        "username": username,
        "name": username.title(),
        "emails": [{"address": f"{username}@example.org", "verified": True}],
        "services": {
            "password": {"bcrypt": hash_password(PASSWORD), "reset": {"when": DAY}},
            "email2fa": {"enabled": False, "changedAt": DAY},
            "resume": {"loginTokens": tokens},
        },
        "roles": roles,
        "type": "user",
        "active": True,
        "status": "away",
        "statusConnection": "away",
        "utcOffset": 2,
        "lastLogin": DAY,
        "settings": {
            "preferences": {"enableAutoAway": True, "idleTimeLimit": 300.5, "themeAppearence": "auto"}
        },
        "__rooms": [GENERAL],
        "_updatedAt": DAY,
        **more,
    }


def _rooms() -> Iterator[Document]:
    root = {"_id": ROOT, "username": "root", "name": "Root"}
    shared: Document = {"ts": LONG_AGO, "ro": False, "sysMes": True, "_updatedAt": DAY}
    yield {
        "_id": GENERAL,
        "t": "c",
        "name": "general",
        "default": True,
        "featured": True,
        "msgs": 2,
        "usersCount": 6,
        "usernames": [],
        "lm": DAY,
        "lastMessage": _message("m2", GENERAL, ADA, "ada", "Hello"),
        **shared,
    }
    yield {
        "_id": TOWN,
        "t": "c",
        "name": "town",
        "fname": "town",
        "msgs": 1,
        "usersCount": 1,
        "u": root,
        "topic": "All about town",
        **shared,
    }
    for id, name in ((VAULT, "vault"), (CELLAR, "cellar")):
        yield {
            "_id": id,
            "t": "p",
            "name": name,
            "fname": name,
            "msgs": 1,
            "usersCount": 1,
            "u": root,
            **shared,
        }
    yield {
        "_id": DIRECT,
        "t": "d",
        "usernames": ["ada", "ben"],
        "uids": [ADA, BEN],
        "msgs": 1,
        "usersCount": 2,
        **shared,
    }


def _subscriptions() -> Iterator[Document]:
    for id, name in (
        (ROOT, "root"),
        (ADA, "ada"),
        (BEN, "ben"),
        (DAN, "dan"),
        (GONE, "gone"),
        (MOVER, "mover"),
    ):
        yield _subscription(GENERAL, "c", "general", id, name)
    yield _subscription(TOWN, "c", "town", ADA, "ada", unread=3, alert=True, userMentions=1)
    yield _subscription(VAULT, "p", "vault", ROOT, "root")
    yield _subscription(CELLAR, "p", "cellar", ROOT, "root")
    yield _subscription(DIRECT, "d", "ben", ADA, "ada")
    yield _subscription(DIRECT, "d", "ada", BEN, "ben", unread=1, alert=True)


def _subscription(rid: str, type_: str, name: str, user: str, username: str, **more: Any) -> Document:
    return {
        "_id": ObjectId().binary.hex(),
        "rid": rid,
        "t": type_,
        "name": name,
        "fname": name,
        "open": True,
        "u": {"_id": user, "username": username, "name": username.title()},
        "ts": LONG_AGO,
        "ls": DAY,
        "lr": DAY,
        "unread": 0,
        "alert": False,
        "userMentions": 0,
        "groupMentions": 0,
        "_updatedAt": DAY,
        **more,
    }


def _messages() -> Iterator[Document]:
    yield _message("m1", GENERAL, ROOT, "root", "Welcome")
    yield _message("m2", GENERAL, ADA, "ada", "Hello")
    yield _message("m3", TOWN, ADA, "ada", "Nobody here yet")
    yield _message("m4", VAULT, ROOT, "root", "The combination is 1234")
    yield _message("m5", CELLAR, ROOT, "root", "Twelve bottles")
    yield _message("m6", DIRECT, ADA, "ada", "Lunch?")


def _message(id: str, rid: str, user: str, username: str, text: str) -> Document:
    return {
        "_id": id * 8,
        "rid": rid,
        "msg": text,
        "ts": DAY,
        "u": {"_id": user, "username": username},
        "urls": [],
        "mentions": [],
        "channels": [],
        "md": [{"type": "PARAGRAPH", "value": []}],
        "_updatedAt": DAY,
    }


def _imports() -> Iterator[Document]:
    """Operations of ten years, the newest first."""
    yield {
        "_id": "64d69545ee8ae821983005f5",
        "type": "CSV",
        "importerKey": "csv",
        "ts": DAY,
        "valid": False,
        "status": "importer_done",
        "user": ROOT,
        "_updatedAt": DAY,
        "file": "20244679_root_x.zip",
        "contentType": "application/zip",
        "count": {"total": 5.0, "completed": 5, "users": 2, "odd": 1},
        "messagesstatus": None,
    }
    yield {
        "_id": "2nVbvsnKJD9ZAqw38",
        "type": "Slack",
        "importerKey": "slack",
        "ts": 1600000000123.0,
        "status": "importer_archived_step",
        "valid": True,
        "user": ROOT,
        "fileData": {"users": []},
    }
    yield {"_id": ObjectId("5f0000000000000000000000"), "type": "HipChat"}


# ---------------------------------------------------------------- looking


def contents(database: Database[Document]) -> Contents:
    """Every document of every collection, to the byte."""
    return {name: _raw(database, name) for name in database.list_collection_names()}


def _raw(database: Database[Document], collection: str) -> dict[Any, bytes]:
    options: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    rows: Any = database.get_collection(collection, options).find()
    return {row["_id"]: row.raw for row in rows}


def indexes(database: Database[Document]) -> dict[str, Any]:
    return {name: database[name].index_information() for name in database.list_collection_names()}

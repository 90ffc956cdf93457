"""Stored files and avatars: their own documents, and the messages and users that show them."""

from collections.abc import Mapping

from msgspec import Struct

from chatferry.convert.messages import extension
from chatferry.documents import Date, Document, file_path, kept_in
from chatferry.ids import derived_hex, derived_id
from chatferry.records import PendingFile

UNKNOWN_TYPE = "application/octet-stream"


class Content(Struct, frozen=True, kw_only=True):
    """What the bytes of a file tell. Only images have `format`, `width` and `height`."""

    size: int
    sha256: str
    format: str = ""
    width: int = 0
    height: int = 0


def upload_document(file: PendingFile, content: Content, told_type: str, now: Date, token: str) -> Document:
    """Return the upload of a file. `told_type` is the media type that the host gave."""
    stored = _stored("GridFS:Uploads", file.upload_id, file.name, content, now, token)
    document: Document = {
        **stored,
        "type": file.mime or media_type(told_type),
        "userId": file.user_id,
        "rid": file.room_id,
        "message_id": f"{file.message_id}-file-{file.import_id or file.upload_id}",
    }
    if content.format:
        size = {"width": content.width, "height": content.height}
        document["identify"] = {"format": content.format, "size": size}
    return document


def _stored(store: str, id: str, name: str, content: Content, now: Date, token: str) -> Document:
    """Return the fields of every stored file."""
    return {
        "_id": id,
        "name": name,
        "size": content.size,
        **kept_in(store, id, name),
        "complete": True,
        "uploading": False,
        "progress": 1,
        "etag": derived_id("etag", content.sha256),
        "token": token,
        "uploadedAt": now,
    }


def media_type(told: str) -> str:
    """Return a media type without its parameters; that of unknown bytes for ""."""
    return told.partition(";")[0].strip().lower() or UNKNOWN_TYPE


def completed(message: Document, uploads: Mapping[str, Document]) -> Document:
    """Return the fields of a message that change once the bytes of these uploads are stored."""
    fields: Document = {}
    for name, key, complete in (("attachments", "fileId", _card), ("files", "_id", _entry)):
        before = message.get(name, [])
        after = [complete(item, uploads[item[key]]) if item.get(key) in uploads else item for item in before]
        if after != before:
            fields[name] = after
    return fields


def files_of(message: Document) -> list[str]:
    """Return the ids of the uploads that a message shows."""
    return [entry["_id"] for entry in message.get("files", ())]


_SHOWN = {"image", "audio", "video"}
_OF_BYTES = {
    "title_link", "title_link_download", "format", "size", "image_dimensions",
    *(f"{kind}_{field}" for kind in _SHOWN for field in ("url", "type", "size")),
}  # fmt: skip


def _card(placeholder: Document, upload: Document) -> Document:
    """Return the attachment of a stored file: its bytes are more reliable than the export."""
    card = {key: value for key, value in placeholder.items() if key not in _OF_BYTES}
    link, type, size = file_path(upload["_id"], upload["name"]), upload["type"], upload["size"]
    card |= {"title_link": link, "title_link_download": True}
    kind = type.partition("/")[0]
    if kind in _SHOWN:
        card |= {f"{kind}_url": link, f"{kind}_type": type, f"{kind}_size": size}
    else:
        card["size"] = size
        if suffix := extension(upload["name"]):
            card["format"] = suffix
    if kind == "image" and "identify" in upload:
        card["image_dimensions"] = dict(upload["identify"]["size"])
    return card


def _entry(placeholder: Document, upload: Document) -> Document:
    return {**placeholder, "name": upload["name"], "type": upload["type"], "size": upload["size"]}


# ---------------------------------------------------------------- avatars


def avatar_id(user_id: str) -> str:
    """Return the id of the document of a user's avatar."""
    return derived_hex("avatar", user_id)


def avatar_document(user: Document, content: Content, told_type: str, now: Date, token: str) -> Document:
    name = str(user.get("username", user["_id"]))
    stored = _stored("GridFS:Avatars", avatar_id(user["_id"]), name, content, now, token)
    return {**stored, "type": media_type(told_type), "userId": user["_id"]}

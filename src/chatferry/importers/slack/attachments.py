"""What hangs below a message of a Slack export: attachments and files."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from chatferry.importers.reading.file_names import on_windows, spellings
from chatferry.importers.reading.texts import is_web
from chatferry.importers.slack.blocks import from_blocks
from chatferry.importers.slack.schema import SlackFile, SlackMessage, millis
from chatferry.importers.slack.text import from_mrkdwn, without_secrets
from chatferry.problems import Position
from chatferry.records import Attachment, File, Problem, Text

# ---------------------------------------------------------------- attachments

_ALWAYS = ("text", "title", "fallback")  # Rocket.Chat's importer sets these three in every attachment
_TEXTS = {*_ALWAYS, "pretext", "footer", "service_name", "author_name"}
_LINKS = {
    "title_link", "image_url", "thumb_url", "author_link", "author_icon", "audio_url", "video_url",
    "message_link",
}  # fmt: skip


def all_attachments(
    cards: list[dict[str, Any]], position: Position
) -> tuple[tuple[Attachment, ...], tuple[Problem, ...]]:
    """Return the attachments of a message, and what could not be taken over."""
    problems = tuple([problem for card in cards for problem in _problems(card, position)])
    return tuple([_attachment(card) for card in cards]), problems


def _problems(card: dict[str, Any], position: Position) -> Iterator[Problem]:
    for name, value in card.items():
        if name in _LINKS and value and not _is_link(value):
            reason = "only an http or https address can be shown"
            yield position.problem("attachment-link-dropped", reason, f"attachments.{name}")
        elif name == "fields" and value is not None and not isinstance(value, list):
            yield position.problem("attachment-not-readable", "a list was expected", "attachments.fields")


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and is_web(value)


def _attachment(card: dict[str, Any]) -> Attachment:
    texts: dict[str, Text] = {}
    values: dict[str, str | int | float | bool] = {}
    for name, value in card.items():
        if name in _TEXTS:
            texts[name] = from_mrkdwn(value) if isinstance(value, str) else ()
        elif name == "ts":
            if (at := millis(str(value))) is not None:
                values["ts"] = at
        elif name == "fields" or (name in _LINKS and not _is_link(value)):
            continue
        elif isinstance(value, str):
            values[name] = without_secrets(value)
        elif isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**53):
            values[name] = value
    for name in _ALWAYS:
        texts.setdefault(name, ())
    if not texts["text"] and (blocks := from_blocks(card.get("blocks") or _message_blocks(card))):
        texts["text"] = blocks
    return Attachment(texts=texts, values=values, fields=tuple(_fields(card.get("fields"))))


def _message_blocks(card: dict[str, Any]) -> Any:
    """Return the blocks of a shared message, which keeps them in `message_blocks[].message.blocks`."""
    blocks = card.get("message_blocks")
    if not isinstance(blocks, list):
        return None
    inner = [entry.get("message") for entry in blocks if isinstance(entry, dict)]
    return [block for entry in inner if isinstance(entry, dict) for block in entry.get("blocks") or ()]


def _fields(fields: Any) -> Iterator[tuple[Text, Text, bool]]:
    """Yield title, value and shortness of each field.

    Rocket.Chat shows only fields with both: a zero-width space stands in for a missing one.
    """
    for field in fields if isinstance(fields, list) else ():
        if isinstance(field, dict):
            title, value = (from_mrkdwn(str(field.get(key) or "")) for key in ("title", "value"))
            if title or value:
                yield title or ("\u200b",), value or ("\u200b",), field.get("short") is True


# ---------------------------------------------------------------- files

_GONE = {
    "tombstone": "it was deleted in Slack",
    "hidden_by_limit": "it is beyond the limit of the workspace's plan",
    "access_denied": "the exporter was not allowed to see it",
    "file_not_found": "Slack no longer has it",
    "check_file_info": "the export names it without saying where it is",
}


def files(message: SlackMessage, folder: str, stored: Callable[[str], bool]) -> Iterator[File]:
    given = list(message.files or ())
    if message.file is not None and message.subtype != "file_comment":
        given.append(message.file)
    for card in message.attachments or ():  # a shared message brings its files along
        given.extend(_shared_files(card.get("files")))
    seen: set[str] = set()
    for file in given:
        if not file.id or file.id not in seen:
            seen.add(file.id)
            yield _file(file, folder, stored)


def _shared_files(files: Any) -> Iterator[SlackFile]:
    for file in files if isinstance(files, list) else ():
        try:
            yield msgspec.convert(file, SlackFile)
        except msgspec.ValidationError:
            yield SlackFile(file_access="check_file_info")


def _file(file: SlackFile, folder: str, stored: Callable[[str], bool]) -> File:
    name = file.name or file.title or ""
    path = next((path for path in _paths(file.id, name, folder) if stored(path)), "") if file.id else ""
    external = file.mode == "external" or file.is_external is True
    address = file.url_private_download or file.url_private or ""
    gone = "" if path else _gone(file)
    return File(
        id=file.id,
        name=name,
        title=file.title or name,
        mime=file.mimetype or "",
        size=file.size if file.size is not None and 0 <= file.size < 2**53 else None,
        url=address if not external and not gone and is_web(address) else "",
        path=path,
        link=without_secrets(address) if external and is_web(address) else "",
        width=_pixels(file.original_w),
        height=_pixels(file.original_h),
        preview=without_secrets(file.preview or ""),
        gone=gone,
    )


def _gone(file: SlackFile) -> str:
    """Return why there is nothing to fetch, "" if there is."""
    if file.is_hidden_by_limit:
        return _GONE["hidden_by_limit"]
    return _GONE.get(file.mode or "", "") or _GONE.get(file.file_access or "", "")


def _pixels(number: int | float | None) -> int | None:
    return int(number) if number is not None and 0 < number < 2**31 else None


def _paths(id: str, name: str, folder: str) -> Iterator[str]:
    """Yield where exporters that are not Slack's own put the bytes, as any system may have unzipped them."""
    for place, file in ((f"__uploads/{id}", name), (f"{folder}/attachments", f"{id}-{name}")):
        for known_as in dict.fromkeys((file, on_windows(file))):
            yield from spellings(f"{place}/{known_as}")

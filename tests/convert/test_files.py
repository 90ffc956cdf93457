"""Cards of messages after the bytes of their files were stored."""

from chatferry.convert.files import completed, media_type
from chatferry.documents import file_path

UPLOAD = {
    "_id": "u1",
    "name": "a.png",
    "type": "image/png",
    "size": 50,
    "identify": {"format": "png", "size": {"width": 4, "height": 3}},
}
CARD = {"title": "A", "type": "file", "fileId": "u1"}


def test_only_files_that_are_there_are_completed() -> None:
    other = {"title": "B", "type": "file", "fileId": "u2"}
    link = {"title": "C", "text": "a card of a link"}
    message = {"attachments": [other, CARD, link], "files": [{"_id": "u2"}, {"_id": "u1", "name": "x"}]}
    found = completed(message, {"u1": UPLOAD})
    assert (found["attachments"][0], found["attachments"][2]) == (other, link)
    assert found["attachments"][1]["image_url"] == "/file-upload/u1/a.png"
    assert found["files"] == [{"_id": "u2"}, {"_id": "u1", "name": "a.png", "type": "image/png", "size": 50}]
    assert completed(message | found, {"u1": UPLOAD}) == {}
    assert completed({"msg": "no files"}, {"u1": UPLOAD}) == {}


def test_the_bytes_of_a_file_overrule_the_export() -> None:
    """A text file that the export calls an image is shown as text; the other fields stay."""
    wrong = CARD | {"image_type": "image/png", "image_size": 1, "image_dimensions": {"width": 9, "height": 9}}
    text = UPLOAD | {"type": "text/plain", "name": "a.txt"}
    (card,) = completed({"attachments": [wrong | {"text": "preview"}]}, {"u1": text})["attachments"]
    link = {"title_link": "/file-upload/u1/a.txt", "title_link_download": True}
    assert card == CARD | link | {"text": "preview", "format": "txt", "size": 50}


def test_paths() -> None:
    assert file_path("u1", "Füße & 1/2?#.png") == "/file-upload/u1/F%C3%BC%C3%9Fe%20&%201%2F2%3F%23.png"
    assert file_path("u1", "\ud83d") == "/file-upload/u1/%3F"


def test_types() -> None:
    assert media_type("Image/PNG; charset=x") == "image/png"
    assert media_type("") == "application/octet-stream"

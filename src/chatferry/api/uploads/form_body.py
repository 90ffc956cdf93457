"""The multipart form of import.upload, read as it arrives; its file is written to disk."""

import logging
from typing import BinaryIO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from chatferry.errors import RequestError

FILE = "file"
FIELDS = ("importerKey", "contentType", "fileName", "origin")
FIELDS_LIMIT = 64 * 1024
_EXPECTED = "send multipart/form-data with the field importerKey and the file as the part named file"
_UNTYPED = "application/octet-stream"
_PLAIN = (b"", b"binary", b"8bit", b"7bit")

# The parser also raises every error that it logs, and the caller answers with it.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())


class FormBody:
    """A reader of one form: `feed` every chunk, then `finish`. Errors are raised as RequestError."""

    def __init__(self, content_type: str, sink: BinaryIO) -> None:
        self._sink = sink
        self._fields: dict[str, bytearray] = {}
        self._file: dict[str, str] | None = None  # name and type, as its part gives them
        self._name = ""  # of the part that is being read
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value = bytearray(), bytearray()
        self._received, self._kept = 0, 0
        self._complete = False
        self._parser = self._open(content_type)

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes of the body; chunks may end anywhere."""
        self._received += len(chunk)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _invalid(
                f"The body is no form: near byte {self._received} it is broken; {_EXPECTED}."
            ) from error

    def finish(self) -> dict[str, object]:
        """Return the fields of the form; name and type of the file come from its part if no field gives them.

        `file` is "" if the file was written.
        """
        if not self._complete:
            raise _invalid(
                f"The body ended after {self._received} bytes, inside the form: send all of it again."
            )
        fields: dict[str, object] = {
            name: text.decode(errors="replace") for name, text in self._fields.items()
        }
        return fields if self._file is None else {**self._file, **fields, FILE: ""}

    def _open(self, content_type: str) -> MultipartParser:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise _invalid(f"The body is no form: {_EXPECTED}.", status=415)
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_field": self._on_header,
                    "on_header_value": self._on_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_part,
                    "on_part_data": self._on_data,
                    "on_end": self._on_end,
                },
                max_header_size=FIELDS_LIMIT,
            )
        except FormParserError as error:
            raise _invalid(
                "The boundary of the form is too long: take one of at most 70 characters."
            ) from error

    # Callbacks of the parser; `data[start:end]` is the next piece of a name, header or value.

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += self._bounded(data[start:end])

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._bounded(data[start:end])

    def _on_header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b"").decode("latin-1"))
        self._name = options.get(b"name", b"").decode(errors="replace")
        if self._name in self._fields or (self._name == FILE and self._file is not None):
            raise _invalid(f"The form has {self._name} twice: send one file in one form.")
        if self._headers.get(b"content-transfer-encoding", b"").strip().lower() not in _PLAIN:
            raise _invalid(
                f"The part {self._name} has a Content-Transfer-Encoding: send it as it is, without."
            )
        if self._name == FILE:
            type_ = self._headers.get(b"content-type", b"").decode(errors="replace").strip()
            name = options.get(b"filename", b"").decode(errors="replace")
            self._file = {"fileName": name, "contentType": type_ or _UNTYPED}
        elif self._name in FIELDS:
            self._fields[self._name] = bytearray()
        else:
            raise _invalid("must NOT have additional properties")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE:
            self._sink.write(data[start:end])
        else:
            self._fields[self._name] += self._bounded(data[start:end])

    def _on_end(self) -> None:
        self._complete = True

    def _bounded(self, data: bytes) -> bytes:
        self._kept += len(data)
        if self._kept > FIELDS_LIMIT:
            raise _invalid(f"The form has more than {FIELDS_LIMIT // 1024} KiB beside the file: {_EXPECTED}.")
        return data


def _invalid(reason: str, status: int = 400) -> RequestError:
    return RequestError(reason, type_="invalid-params", status=status)

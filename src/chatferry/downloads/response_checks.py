"""Which answers are kept: status, range, length and type are what was asked for."""

import re
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from chatferry.downloads import Request
from chatferry.downloads.failures import AGAIN, CHECK_ADDRESS, EXPORT_AGAIN
from chatferry.downloads.retries import retry_after
from chatferry.errors import DownloadError
from chatferry.sizes import MIB

HEAD = 512  # bytes at the beginning of a file that tell what it is

_REDIRECTS = {301, 302, 303, 307, 308}
_PASSING = {408, 425, 429}
_HTML_TYPES = {"text/html", "application/xhtml+xml"}
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?>(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*)"
    rb"<(?:!doctype\s+html|html|head|title|body|script|meta|iframe)[\s>/]",
    re.IGNORECASE | re.DOTALL,
)
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_MEANINGS = {
    401: " (log in first)",
    403: " (forbidden)",
    404: " (not found)",
    410: " (gone)",
    429: " (too many requests)",
}
_REMEDIES = {401: EXPORT_AGAIN, 403: EXPORT_AGAIN, 404: CHECK_ADDRESS, 410: CHECK_ADDRESS}


class Version(Struct, frozen=True, kw_only=True):
    """A host's description of a file.

    total         its size, if the host says so
    validator     a strong ETag or a date; "" if there is none, and then a broken download cannot continue
    """

    total: int | None = None
    validator: str = ""
    content_type: str = ""


class Kept(Struct, frozen=True):
    """The first `size` bytes of a version are kept already; above 0, only the rest was asked for."""

    size: int
    version: Version


class Accepted(Struct, frozen=True, kw_only=True):
    """The body of an accepted answer: the bytes of a version of the file, from `start` on."""

    start: int
    version: Version
    is_gzip: bool


NOTHING = Kept(0, Version())


def location(status: int, headers: Mapping[str, str]) -> str | None:
    """Return where the answer redirects to; None if it does not."""
    return headers.get("location") if status in _REDIRECTS else None


def declared_length(headers: Mapping[str, str]) -> int | None:
    """Return how many bytes the body will have, if the host says so."""
    return _number(headers.get("content-length"))


def range_headers(kept: Kept) -> dict[str, str]:
    """Return headers that ask the host to continue where the file broke off, if it still has that version."""
    if not kept.size:
        return {}
    return {"Range": f"bytes={kept.size}-", "If-Range": kept.version.validator}


def judge(
    status: int, headers: Mapping[str, str], request: Request, kept: Kept, *, limit: int, now: float
) -> Accepted:
    """Return the body, if it may be kept. Raise DownloadError."""
    _check_status(status, headers, kept, now)
    content_type = headers.get("content-type", "")
    _check_type(content_type, request)
    is_gzip = _is_gzip(headers)
    if status == 206:
        body = _rest(headers, kept, is_gzip)
    elif is_gzip:  # length and names are those of the packed bytes
        body = Accepted(start=0, version=Version(content_type=content_type), is_gzip=True)
    else:
        total = declared_length(headers)
        version = Version(total=total, validator=_validator(headers), content_type=content_type)
        body = Accepted(start=0, version=version, is_gzip=False)
    check_size(0, body.version.total, limit)
    return body


def check_head(head: bytes, request: Request, content_type: str) -> None:
    """Raise DownloadError if the first bytes are those of an unexpected web page."""
    if _is_html_wanted(request.mime) or not _HTML.match(head):
        return
    # the source of a page, kept as text: the export calls it text, and so does the host
    if request.mime.startswith("text/") and _media_type(content_type).startswith("text/"):
        return
    raise _web_page()


def check_size(size: int, total: int | None, limit: int) -> None:
    """Raise DownloadError if more bytes have come than were declared, or more than are allowed will come."""
    if max(size, total or 0) > limit:
        raise DownloadError(
            f"the file is larger than {limit / MIB:.6g} MiB",
            "If the host can be trusted, raise CHATFERRY_MAX_DOWNLOAD_MIB",
            is_final=True,
            is_stale=True,
        )
    if total is not None and size > total:
        raise too_many(total)


def too_many(declared: int) -> DownloadError:
    return DownloadError(f"more than the {declared} declared bytes came", AGAIN, is_stale=True)


def check_end(size: int, total: int | None) -> None:
    """Raise DownloadError if fewer bytes have come than were declared."""
    if total is not None and size < total:
        raise DownloadError(f"only {size} of {total} bytes came", AGAIN)


def _check_status(status: int, headers: Mapping[str, str], kept: Kept, now: float) -> None:
    if status in (200, 203) or (status == 206 and kept.size):
        return
    if status == 416 and kept.size:
        raise DownloadError("the host cannot go on where the file broke off", AGAIN, is_stale=True)
    why = f"the host answered {status}{_MEANINGS.get(status, '')}"
    if status in _PASSING or status >= 500:
        raise DownloadError(why, AGAIN, wait=retry_after(headers.get("retry-after"), now), status=status)
    raise DownloadError(why, _REMEDIES.get(status, CHECK_ADDRESS), is_final=True, status=status)


def _check_type(content_type: str, request: Request) -> None:
    media_type = _media_type(content_type)
    if media_type in _HTML_TYPES and not _is_html_wanted(request.mime):
        raise _web_page()
    if request.only_images and not media_type.startswith("image/"):
        raise DownloadError("the host sent something that is not an image", CHECK_ADDRESS, is_final=True)


def _is_gzip(headers: Mapping[str, str]) -> bool:
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise DownloadError("the host packs the file in a way nobody asked for", CHECK_ADDRESS, is_final=True)
    return "gzip" in encoding


def _rest(headers: Mapping[str, str], kept: Kept, is_gzip: bool) -> Accepted:
    """Return the body of a partial answer: exactly the missing rest of the version that has begun."""
    found = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if found is None or int(found[1]) != kept.size or is_gzip:
        raise DownloadError(
            "the host sent another piece of the file than was asked for", AGAIN, is_stale=True
        )
    sizes = {size for size in (_number(found[3]), kept.version.total) if size is not None}
    length = declared_length(headers)
    if len(sizes) != 1 or length not in (None, int(found[2]) - kept.size + 1):
        raise DownloadError("the host contradicts itself about the length of the file", AGAIN, is_stale=True)
    if _validator(headers) not in ("", kept.version.validator):
        raise DownloadError("the host has another version of the file by now", AGAIN, is_stale=True)
    return Accepted(start=kept.size, version=replace(kept.version, total=sizes.pop()), is_gzip=False)


def _validator(headers: Mapping[str, str]) -> str:
    etag = headers.get("etag", "").strip()
    is_strong = len(etag) >= 2 and etag.startswith('"') and etag.endswith('"')
    return etag if is_strong else headers.get("last-modified", "").strip()


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else None


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_html_wanted(mime: str) -> bool:
    return _media_type(mime) in _HTML_TYPES


def _web_page() -> DownloadError:
    why = "the host sent a web page, perhaps one to log in, instead of the file"
    return DownloadError(why, EXPORT_AGAIN, is_final=True, is_stale=True)

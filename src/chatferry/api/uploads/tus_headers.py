"""The headers of the calls and answers of the tus protocol, for the description of the API. Pure."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from chatferry.api.uploads import tus
from chatferry.api.wire import OPERATION_ID


class TusHeader(Struct, frozen=True):
    """A header: its description, schema and example."""

    text: str
    schema: Mapping[str, Any]
    example: str


_STRING, _BYTES = {"type": "string"}, {"type": "string", "pattern": "^[0-9]{1,18}$"}
HEADERS = {
    "Tus-Resumable": TusHeader("The version of the protocol.", {"const": tus.VERSION}, tus.VERSION),
    "Tus-Version": TusHeader("Supported versions of the protocol.", _STRING, tus.VERSION),
    "Tus-Extension": TusHeader("Supported extensions of the protocol.", _STRING, tus.EXTENSIONS),
    "Tus-Max-Size": TusHeader("The largest upload, in bytes.", _BYTES, "107374182400"),
    "Tus-Checksum-Algorithm": TusHeader(
        "Supported algorithms of Upload-Checksum.", _STRING, ",".join(tus.ALGORITHMS)
    ),
    "Location": TusHeader("The path of the upload.", _STRING, "/api/v1/import.uploads/rbAXPnMktTFbNpwtJ"),
    "Upload-Offset": TusHeader("How many bytes have arrived.", _BYTES, "1000"),
    "Upload-Length": TusHeader("The size of the file in bytes.", _BYTES, "48213"),
    "Upload-Metadata": TusHeader(
        "`importerKey`, and optionally `filename` and `filetype`, each with its value in base64.",
        _STRING,
        "importerKey c2xhY2s=,filename ZXhwb3J0LnppcA==",
    ),
    "Upload-Checksum": TusHeader(
        "An algorithm, and the checksum of the body in base64.", _STRING, "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="
    ),
    "Upload-Expires": TusHeader(
        "When an incomplete upload is removed.", _STRING, "Sat, 12 Aug 2023 20:08:37 GMT"
    ),
    OPERATION_ID: TusHeader(
        "The id of the operation that the call began or continued.", _STRING, "rbAXPnMktTFbNpwtJ"
    ),
    "X-HTTP-Method-Override": TusHeader(
        "The method to use instead of POST.", {"enum": ["HEAD", "PATCH", "DELETE"]}, "HEAD"
    ),
}
REASONS = {
    400: "The request is invalid, or the bytes cannot be stored.",
    404: "The upload does not exist, or no longer exists.",
    405: "X-HTTP-Method-Override names another method.",
    408: "No bytes came for too long.",
    409: "The request does not fit the state of the upload, or another import is running.",
    412: "The version of the protocol is not supported.",
    413: "The upload is too large.",
    415: "The Content-Type is not application/offset+octet-stream.",
    423: "Another request is writing to the upload.",
    460: "The checksum is wrong.",
}


class Exchange(Struct, frozen=True, kw_only=True):
    """The headers of a call and of its answer.

    needs, may_have  required and optional headers of the call
    bytes            description of the body, "" if there is none
    returns          headers of the answer
    """

    needs: tuple[str, ...] = ()
    may_have: tuple[str, ...] = ()
    bytes: str = ""
    status: tuple[int, ...] = (204,)
    returns: tuple[str, ...] = ()
    refusals: tuple[int, ...] = ()


_VERSION = "Tus-Resumable"
_STATE = ("Upload-Offset", "Upload-Expires", OPERATION_ID)
_WRITING = (400, 408, 413, 415, 423, 460)

DESCRIBE = Exchange(returns=("Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm"))
CREATE = Exchange(
    needs=(_VERSION, "Upload-Length", "Upload-Metadata"),
    may_have=("Upload-Checksum",),
    status=(201,),
    returns=("Location", *_STATE),
    refusals=(409, 412, *_WRITING),
)
LOOK = Exchange(
    needs=(_VERSION,),
    status=(200,),
    returns=("Upload-Length", "Upload-Metadata", *_STATE),
    refusals=(404, 412),
)
RESUME = Exchange(
    needs=(_VERSION, "Upload-Offset"),
    may_have=("Upload-Checksum",),
    bytes="The bytes from Upload-Offset on.",
    returns=_STATE,
    refusals=(404, 409, 412, *_WRITING),
)
END = Exchange(needs=(_VERSION,), refusals=(404, 409, 412, 423))
BY_HEADER = Exchange(
    needs=(_VERSION, "X-HTTP-Method-Override"),
    may_have=("Upload-Offset", "Upload-Checksum"),
    status=(200, 204),
    returns=("Upload-Length", "Upload-Metadata", *_STATE),
    refusals=(404, 405, 409, 412, *_WRITING),
)

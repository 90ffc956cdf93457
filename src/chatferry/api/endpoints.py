"""Every endpoint: its path, method, permission, what it takes, and the function behind it."""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct
from starlette.requests import Request

from chatferry.api import imports, pending, public_files, schemas, sessions, uploads
from chatferry.api.services import Call, Services
from chatferry.documents import Document

RUN, VIEW = "run-import", "view-import-operations"


class Endpoint(Struct, frozen=True, kw_only=True):
    """`query` is None where any query is accepted, `body` None where the body is not looked at.

    `any_body`: the body is read but not checked here. `receive`, instead of `answer`, reads the body itself.
    """

    method: str
    path: str
    answer: Callable[[Call], Any] | None = None
    receive: Callable[[Request, Services, Document], Awaitable[Any]] | None = None
    auth: bool = True
    permission: str = ""
    query: schemas.Schema | None = None
    body: schemas.Schema | None = None
    any_body: bool = False
    enveloped: bool = True  # whether an object says `success`


def _get(name: str, answer: Callable[[Call], Any], **more: Any) -> Endpoint:
    more = {"permission": RUN, "query": schemas.NO_QUERY, **more}
    return Endpoint(method="GET", path=f"/api/v1/{name}", answer=answer, **more)


def _post(name: str, answer: Callable[[Call], Any] | None, **more: Any) -> Endpoint:
    return Endpoint(method="POST", path=f"/api/v1/{name}", answer=answer, **{"permission": RUN, **more})


ENDPOINTS = (
    _post("uploadImportFile", None, receive=uploads.upload_import_file),
    _post(
        "downloadPublicImportFile",
        public_files.download_public_import_file,
        body=schemas.DOWNLOAD_PUBLIC_IMPORT_FILE,
    ),
    _post("startImport", imports.start_import, body=schemas.START_IMPORT),
    _get("getImportFileData", imports.get_import_file_data),
    _get("getImportProgress", imports.get_import_progress),
    _get("getLatestImportOperations", imports.get_latest_import_operations, permission=VIEW),
    _get("getCurrentImportOperation", imports.get_current_import_operation),
    _get("importers.list", imports.importers_list),
    _get("import.status", imports.import_status, query=None),
    _post("import.clear", imports.import_clear),
    _post("downloadPendingFiles", pending.download_pending_files, body=schemas.DOWNLOAD_PENDING),
    _post("downloadPendingAvatars", pending.download_pending_avatars, body=schemas.DOWNLOAD_PENDING),
    _post("login", sessions.login, auth=False, permission="", any_body=True),
    _post("logout", sessions.logout, permission="", enveloped=False),
    _get("logout", sessions.logout, permission="", query=None, enveloped=False),
    _get("me", sessions.me, permission="", query=None),
    Endpoint(method="GET", path="/api/info", answer=sessions.info, auth=False),
    Endpoint(method="GET", path="/api/v1/info", answer=sessions.info, auth=False),
)

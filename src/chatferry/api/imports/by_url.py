"""downloadPublicImportFile: an archive from a URL, or a path on the server."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from chatferry.api import wire
from chatferry.api.imports import operations
from chatferry.api.services import Call, OperationAnswer, Services
from chatferry.api.uploads.single import file_name
from chatferry.clock import now
from chatferry.errors import DownloadError, RequestError
from chatferry.importers import Importer
from chatferry.operations import Status
from chatferry.pipeline import commands
from chatferry.pipeline.fetching.archives import ask_for_archive


def download_public_import_file(call: Call) -> OperationAnswer:
    """Begin an import from an http(s) URL, or a file or folder on the server."""
    url, key = str(call.body["fileUrl"]), str(call.body["importerKey"])
    importer = operations.importer_of(key, "downloadImportFile")
    if url.lower().startswith(("http:", "https:")):
        return _begin_download(call, importer, url)
    path = _allowed_path(url, call.services.settings.import_dirs)
    if path is None:
        raise RequestError(
            url,
            code="error-import-file-missing",
            details="downloadPublicImportFile",
            hint=_missing_hint(call.services.settings.import_dirs),
        )
    moment = now()
    file = url if path.is_dir() else f"{wire.stamp(moment)}_{call.user['_id']}_{path.name}"
    new = commands.new_operation(importer.key, str(call.user["_id"]))
    begun = operations.begin(call.services, replace(new, archive=str(path), file=file))
    return OperationAnswer({}, begun.id)


def _begin_download(call: Call, importer: Importer, url: str) -> OperationAnswer:
    """Wait until the host begins to answer, and download in the background."""
    services = call.services
    new = commands.new_operation(importer.key, str(call.user["_id"]), Status.DOWNLOADING)
    file = f"{wire.stamp(new.ts)}_{new.user}_{file_name(_path_of(url))}"
    archive = str(services.settings.fetched / new.id)
    operation = operations.take_over(services, replace(new, file=file, archive=archive, url=url))
    try:
        ask_for_archive(operation, services.settings, lambda: _check_valid(services, operation.id))
    except DownloadError as error:
        commands.fail(services.store, operation.id, str(error))
        raise _refused_download(error) from None
    services.worker.wake(operation.id)
    return OperationAnswer({}, operation.id)


def _missing_hint(allowed: tuple[Path, ...]) -> str:
    """Return the same for a path that does not exist and for one that may not be read."""
    if not allowed:
        return (
            "This server reads no files of its machine: CHATFERRY_IMPORT_DIRS names no directory. Upload the "
            "export, or have the administrator name its directory there."
        )
    return (
        "Either there is no such file, or it is not below a directory of CHATFERRY_IMPORT_DIRS. Check the "
        "path, or have the administrator add its directory there."
    )


def _path_of(url: str) -> str:
    try:
        return unquote(urlsplit(url).path)
    except ValueError:
        return ""


def _check_valid(services: Services, operation_id: str) -> None:
    operation = services.store.operations.get(operation_id)
    if operation is None or not operation.valid:
        raise RequestError(
            "Invalid Import Operation",
            code="error-import-operation-invalid",
            details="downloadPublicImportFile",
        )


def _refused_download(error: DownloadError) -> RequestError:
    """Return the error in Rocket.Chat's words if it has any; getImportFileData gives the details."""
    if error.is_refused:
        return RequestError("error-ssrf-validation-failed", hint=str(error))
    return RequestError(f"Unexpected response status {error.status}" if error.status else str(error))


def _allowed_path(text: str, allowed: tuple[Path, ...]) -> Path | None:
    """Return the real path if it is below an allowed directory once links and ".." are resolved."""
    try:
        path = Path(text).resolve(strict=True)
        str(path).encode()  # a name that is not UTF-8 can be neither stored nor shown
    except (OSError, ValueError, RuntimeError):  # missing, forbidden, a NUL byte, or a loop of links
        return None
    return path if any(path.is_relative_to(directory) for directory in allowed) else None

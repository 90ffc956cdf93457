"""Health, readiness and metrics, for those who keep the server running."""

import hmac
from ipaddress import ip_address

import msgspec
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from chatferry.api import wire
from chatferry.api.services import Call, Services
from chatferry.documents import Document
from chatferry.errors import RequestError

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_NO_TOKEN = "Give the token of CHATFERRY_METRICS_TOKEN, as Authorization: Bearer TOKEN."
_NOT_LOCAL = (
    "Only this machine may read the metrics. Set CHATFERRY_METRICS_TOKEN to read them from elsewhere."
)


def health(call: Call) -> wire.JSON:
    """Return that the process answers; this needs no database."""
    return {"status": "alive"}


def ready(call: Call) -> Response:
    """Return whether everything works that imports need: store, destination, worker, disk space."""
    findings = call.services.readiness.look()
    is_ready = all(finding.ok for finding in findings.values())
    body = msgspec.json.encode({"ready": is_ready, "checks": findings, "success": is_ready})
    return Response(body, 200 if is_ready else 503, media_type="application/json")


async def metrics(request: Request, services: Services, user: Document) -> Response:
    """Return the server's metrics in Prometheus' text format."""
    _require_reader(request, services.settings.metrics_token)
    text, media_type = await run_sync(services.metrics.exposition, services.worker.queue_length)
    return Response(text, headers={"Content-Type": media_type})


def _require_reader(request: Request, token: str) -> None:
    """Raise RequestError unless the caller has the token or, if no token is set, is on this machine.

    A call that came through a proxy on this machine counts as one from elsewhere.
    """
    if token:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {token}".encode()):
            raise RequestError(_NO_TOKEN, status=401)
    elif not _is_local(request.client.host if request.client else "") or any(
        name in request.headers for name in _FORWARDED
    ):
        raise RequestError(_NOT_LOCAL, status=403)


def _is_local(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False

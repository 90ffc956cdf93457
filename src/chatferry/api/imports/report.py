"""The report about an operation, in pages."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from chatferry.api import schemas, validation, wire
from chatferry.api.imports.listing import asked_for
from chatferry.api.imports.operations import waiting
from chatferry.api.services import Services
from chatferry.documents import Document
from chatferry.records import Problem
from chatferry.reports.operation import with_problems
from chatferry.reports.pages import EVERY_KIND, ReportPages, csv_pieces

CSV = "text/csv"


async def import_report(request: Request, services: Services, user: Document) -> wire.JSON | Response:
    """Return counts and problems of an operation as JSON in pages, or its problems as CSV."""
    query = validation.check_query(schemas.REPORT_QUERY, request.query_params)
    with services.reporting.place():
        pages = await run_sync(_pages, services, query, limiter=services.reporting.turns)
        if _wants_csv(query, request):
            return _table(services, pages, query)
        return await run_sync(_page, services, pages, query, limiter=services.reporting.turns)


def _pages(services: Services, query: dict[str, Any]) -> ReportPages:
    return services.reports.of(asked_for(services, query.get("operation", "")))


def _page(services: Services, pages: ReportPages, query: dict[str, Any]) -> wire.JSON:
    offset, count = wire.page(query, schemas.DEFAULT_COUNT, schemas.MOST_PROBLEMS)
    total, problems = _chosen(services, pages, query, offset)
    listed = list(islice(problems, count))
    report = {**pages.counts, "waitingFor": waiting(services, pages.operation).get("waitingFor", "")}
    paging = {"count": len(listed), "offset": offset, "total": total}
    return {**with_problems(report, listed), **paging}


def _table(services: Services, pages: ReportPages, query: dict[str, Any]) -> Response:
    """Return a table that is made while it is sent: a client that reads slowly takes no memory."""
    _, problems = _chosen(services, pages, query, query.get("offset", 0))
    name = f"report-{pages.operation.id}.csv"
    return StreamingResponse(
        csv_pieces(islice(problems, query.get("count") or None)),
        media_type=CSV,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _chosen(
    services: Services, pages: ReportPages, query: dict[str, Any], offset: int
) -> tuple[int, Iterable[Problem]]:
    """Return how many problems a query asks for in all, and those from `offset` on."""
    kind = query.get("kind", EVERY_KIND)
    if query.get("all"):
        return pages.totals[kind], pages.listed(services.store, kind, offset)
    found = pages.causes_of(kind)
    return len(found), found[offset:]


def _wants_csv(query: dict[str, Any], request: Request) -> bool:
    if "format" in query:
        return bool(query["format"] == "csv")
    types = [text.partition(";")[0].strip().lower() for text in request.headers.get("accept", "").split(",")]
    return CSV in types and "application/json" not in types[: types.index(CSV)]

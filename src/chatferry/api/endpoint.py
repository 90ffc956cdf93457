"""What is said of an endpoint."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct
from starlette.requests import Request

from chatferry.api import bodies, schemas
from chatferry.api.description.examples import Example
from chatferry.api.services import Call, Services
from chatferry.api.uploads.tus_headers import Exchange
from chatferry.documents import Document


class Endpoint(Struct, frozen=True, kw_only=True):
    """A path and method: what it takes and answers, who may call it, and the function behind it.

    `query` is None where any query is accepted, `body` None where the body is not looked at.

    `receive`, instead of `answer`, reads and checks the body itself. `takes_any_body`: it is not held against
    `body`, which only describes it. `takes_form`: the body is a form. `most_body`: the largest body in bytes,
    where it is no upload. `limited`: how often it can be called is limited. `is_instant`: the answer needs no
    thread, no database and no time. `hashes`: passwords are hashed for it. `headers` are on every answer.
    `answers` describes what comes with status 200; None stands for a page, or where the endpoint has an
    `exchange`, for headers alone. `page_type` is the page's; `more_answers` are those with other
    statuses.
    """

    method: str
    path: str
    summary: str
    answers: schemas.Schema | None
    example: Example | None = None
    answer: Callable[[Call], Any] | None = None
    receive: Callable[[Request, Services, Document], Awaitable[Any]] | None = None
    auth: bool = True
    permission: str = ""
    query: schemas.Schema | None = None
    body: schemas.Schema | None = None
    takes_any_body: bool = False
    takes_form: bool = False
    most_body: int = bodies.SMALL
    exchange: Exchange | None = None
    limited: bool = True
    is_instant: bool = False
    hashes: bool = False
    enveloped: bool = True  # whether an object says `success`
    headers: Mapping[str, str] = {}
    page_type: str = "text/html"
    more_answers: Mapping[int, tuple[str, schemas.Schema]] = {}

    @property
    def name(self) -> str:
        """What clients call it: the path without what all paths have in common."""
        return self.path.removeprefix("/api/v1/").removeprefix("/api/")

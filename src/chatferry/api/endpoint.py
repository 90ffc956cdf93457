"""The declaration of an endpoint."""

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
    """A path and method, what it takes and answers, who may call it, and its function.

    answers         schema of the answer with status 200; None for a page, or if there is an `exchange`
    answer          the function; or
    receive         a function that reads and checks the body itself
    query           schema of the query, None if any is accepted
    body            schema of the body, None if the body is not read
    takes_any_body  `body` only describes the body: it is not checked
    most_body       the largest body in bytes, unless it is an upload
    exchange        the headers of a call of the tus protocol
    limited         whether the rate limit holds
    is_instant      the answer needs no thread and no database
    hashes          passwords are hashed for it
    enveloped       objects get `success: true`
    names_operation a header of the answer has the id of the operation that the call began or continued
    page_schema     schema of an event, if the page is a stream of events
    further_types   media types, beside JSON, that the answer can have
    more_answers    descriptions and schemas of answers with other statuses
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
    enveloped: bool = True
    names_operation: bool = False
    headers: Mapping[str, str] = {}
    page_type: str = "text/html"
    page_schema: schemas.Schema | None = None
    further_types: tuple[str, ...] = ()
    more_answers: Mapping[int, tuple[str, schemas.Schema]] = {}

    @property
    def name(self) -> str:
        """Return the path without the prefix that all paths have."""
        return self.path.removeprefix("/api/v1/").removeprefix("/api/")

    def envelope(self, answer: Any) -> Any:
        """Return an answer as it is sent."""
        if not self.enveloped or isinstance(answer, list) or "success" in answer:
            return answer
        return {**answer, "success": True}

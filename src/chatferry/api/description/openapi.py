"""The table of endpoints as an OpenAPI 3.1 document. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from chatferry import __version__
from chatferry.api.description import examples
from chatferry.api.description.responses import ERROR, LOGIN_FAILED, OPERATION, UNAUTHORIZED
from chatferry.api.schemas import STRING, Schema
from chatferry.api.uploads import tus
from chatferry.api.uploads.tus_headers import HEADERS, REASONS, Exchange
from chatferry.api.wire import OPERATION_ID

if TYPE_CHECKING:
    from chatferry.api.endpoint import Endpoint

JSON = dict[str, Any]
_TAGS = {
    "sessions": "Log in and out, and tokens for scripts.",
    "imports": "From an archive to the imported documents: upload, choose, start, watch.",
    "users": "Users that are sent over the API.",
    "server": "Versions, health, metrics and this description.",
}
_INTRODUCTION = (
    "Rocket.Chat's import API. Calls that need authentication take the headers X-User-Id and X-Auth-Token; "
    "their values are in the answer of login. Bodies are JSON. A scalar of another type than the schema's is "
    "converted as Rocket.Chat converts it."
)
_RATE_LIMIT = {
    "X-RateLimit-Limit": "Allowed calls per minute.",
    "X-RateLimit-Remaining": "Remaining calls in this minute.",
    "X-RateLimit-Reset": "When the minute ends: milliseconds since the epoch.",
}


def document(endpoints: Iterable["Endpoint"]) -> JSON:
    """Return the OpenAPI document of a table of endpoints."""
    paths: dict[str, JSON] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "chatferry", "version": __version__, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "userId": {"type": "apiKey", "in": "header", "name": "X-User-Id"},
                "authToken": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
            },
            "schemas": {"Error": ERROR, "Operation": OPERATION},
            "headers": {
                name: {"description": text, "schema": {"type": "integer"}}
                for name, text in _RATE_LIMIT.items()
            },
        },
    }


def _operation(endpoint: "Endpoint") -> JSON:
    operation: JSON = {
        "operationId": f"{endpoint.method.lower()}_{re.sub('[/{}]+', '_', endpoint.path).strip('_')}",
        "summary": endpoint.summary,
        "tags": [_tag(endpoint)],
        "security": [{"userId": [], "authToken": []}] if endpoint.auth else [],
        "responses": _responses(endpoint),
    }
    if endpoint.permission:
        operation["description"] = f"Needs the permission `{endpoint.permission}`."
    if endpoint.body is not None:
        content: JSON = {"schema": endpoint.body}
        if endpoint.example is not None:
            content["example"] = endpoint.example.body
        media_type = "multipart/form-data" if endpoint.takes_form else "application/json"
        operation["requestBody"] = {"required": True, "content": {media_type: content}}
    if parameters := list(_parameters(endpoint)):
        operation["parameters"] = parameters
    if endpoint.exchange is not None and endpoint.exchange.bytes:
        content = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {
            "description": endpoint.exchange.bytes,
            "content": {tus.BYTES_TYPE: content},
        }
    return operation


def _parameters(endpoint: "Endpoint") -> Iterator[JSON]:
    for name in re.findall(r"{(\w+)}", endpoint.path):
        schema: JSON = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for name, described in (endpoint.query or {"properties": {}})["properties"].items():
        schema = {key: value for key, value in described.items() if key != "description"}
        yield {"name": name, "in": "query", "description": described["description"], "schema": schema}
    if exchange := endpoint.exchange:
        for name in (*exchange.needs, *exchange.may_have):
            yield {"name": name, "in": "header", "required": name in exchange.needs, **_header(name)}


def _header(name: str) -> JSON:
    header = HEADERS[name]
    return {"description": header.text, "schema": header.schema, "example": header.example}


def _tag(endpoint: "Endpoint") -> str:
    if endpoint.name in ("import.new", "import.addUsers", "import.run"):
        return "users"
    if not endpoint.auth and endpoint.name != "login":
        return "server"
    return "imports" if "import" in endpoint.permission else "sessions"


def _responses(endpoint: "Endpoint") -> JSON:
    responses = {"200": _answered(endpoint)} if endpoint.exchange is None else _exchanged(endpoint.exchange)
    if refusals := _refusals(endpoint):
        responses["400"] = _response(
            "The request is invalid, or does not fit the state of the operation.", _ERROR, refusals
        )
    if endpoint.auth:
        unauthorized = [examples.UNAUTHORIZED]
        responses["401"] = _response("The credentials are missing or invalid.", UNAUTHORIZED, unauthorized)
    if endpoint.name == "login":
        responses["401"] = _response("The log-in failed.", LOGIN_FAILED, [examples.LOGIN_FAILED])
    if endpoint.permission:
        responses["403"] = _response("The permission is missing.", _ERROR, [examples.FORBIDDEN])
    if endpoint.body is not None:
        too_large = examples.too_large(endpoint.most_body)
        if endpoint.receive is not None:
            too_large = examples.UPLOAD_TOO_LARGE
            responses["408"] = _response(REASONS[408], _ERROR, [examples.SILENT])
        responses["413"] = _response("The body is too large.", _ERROR, [too_large])
    for more, (description, schema) in endpoint.more_answers.items():
        responses[str(more)] = _response(description, _ERROR if schema is ERROR else schema, ())
    if endpoint.takes_form:
        responses["415"] = _response("The body is not a form.", _ERROR, [examples.NO_FORM])
    if endpoint.limited:
        responses["429"] = _response("Too many calls in a minute.", _ERROR, [examples.TOO_MANY])
    return {status: _with_headers(endpoint, status, responses[status]) for status in sorted(responses)}


def _with_headers(endpoint: "Endpoint", status: str, response: JSON) -> JSON:
    """Return a response with the headers that all of the endpoint's responses have; to HEAD, no content."""
    headers = dict(response.get("headers", {}))
    if endpoint.limited and status not in ("401", "403"):
        headers |= _LIMIT_HEADERS
    if endpoint.exchange is not None:
        headers |= _ALWAYS
    described = {**response, "headers": headers} if headers else dict(response)
    if endpoint.method == "HEAD":
        described.pop("content", None)
    return described


def _exchanged(exchange: Exchange) -> dict[str, JSON]:
    headers = {name: _header(name) for name in exchange.returns}
    served = {str(status): {"description": "Success.", "headers": headers} for status in exchange.status}
    refused = {str(status): _response(REASONS[status], _ERROR, ()) for status in exchange.refusals}
    return {**served, **refused}


def _refusals(endpoint: "Endpoint") -> list[JSON]:
    """Return examples of status 400; a body that ends early is one for every endpoint that reads a body."""
    query = [examples.BAD_QUERY] if endpoint.query is not None and endpoint.example is not None else []
    known = [*query, *endpoint.example.refusals] if endpoint.example else []
    broken_off = {"success": False, "error": "The connection ended before the body did."}
    return known or ([broken_off] if endpoint.body is not None else [])


_ERROR = {"$ref": "#/components/schemas/Error"}


def _answered(endpoint: "Endpoint") -> JSON:
    if endpoint.answers is None:
        described = "A page." if endpoint.page_type == "text/html" else "Text."
        return {
            "description": described,
            "content": {endpoint.page_type: {"schema": endpoint.page_schema or STRING}},
        }
    content: JSON = {"schema": endpoint.answers}
    if endpoint.example is not None:
        content["example"] = endpoint.envelope(endpoint.example.answer)
    further = {media_type: {"schema": {"type": "string"}} for media_type in endpoint.further_types}
    answered: JSON = {"description": "Success.", "content": {"application/json": content, **further}}
    if endpoint.names_operation:
        answered["headers"] = {OPERATION_ID: {**_header(OPERATION_ID), "required": True}}
    return answered


def _response(description: str, schema: Schema, shown: Sequence[JSON]) -> JSON:
    named = {f"example{number}": {"value": value} for number, value in enumerate(shown, 1)}
    content = {"application/json": {"schema": schema, "examples": named}}
    return {"description": description, "content": content}


_ALWAYS = {name: {**_header(name), "required": True} for name in tus.HEADERS}
# Callers without a rate limit get none of these.
_LIMIT_HEADERS = {name: {"$ref": f"#/components/headers/{name}"} for name in _RATE_LIMIT}

"""The OpenAPI document as an HTML page and as Markdown. Pure.

The page loads nothing: it has no script, and its Content-Security-Policy allows its style by hash.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

from msgspec import Struct

JSON = dict[str, Any]
_ADDRESS = "http://localhost:3000"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 3rem; border-bottom: 1px solid #bbb } h3 { margin: 2rem 0 0 } h3 code { font-size: 1.1rem }
pre { background: #f3f3f0; padding: .6rem .8rem; overflow: auto; max-height: 24rem; font-size: .85rem }
summary { cursor: pointer } nav li { margin: .1rem 0 } .method { color: #064 }
@media (prefers-color-scheme: dark) {
  body { background: #16181c; color: #ddd } pre { background: #23262c } a { color: #8cf }
  .method { color: #7d9 }
}
"""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _EndpointText(Struct, frozen=True):
    """The texts about an endpoint, for the page and for Markdown."""

    method: str
    path: str
    summary: str
    needs: str
    parameters: list[tuple[str, str]]  # of the query: name and description
    call: str
    answers: list[tuple[str, str, str]]  # an introduction, the language, and the text
    schema: str


def html(document: JSON) -> str:
    """Return the HTML page."""
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}: the API</h1>"
        f"<p>{escape(info['description'])}</p>"
        '<p>For programs: <a href="v1/openapi.json">openapi.json</a>.</p>'
        f"<nav><ul>{''.join(map(_link, _entries(document)))}</ul></nav>"
        f"{''.join(map(_section, _entries(document)))}</body></html>"
    )


def _anchor(entry: _EndpointText) -> str:
    return escape(f"{entry.method}{entry.path}".replace("/", "-"))


def _link(entry: _EndpointText) -> str:
    return f'<li><a href="#{_anchor(entry)}">{_title(entry)}</a> {escape(entry.summary)}</li>'


def _title(entry: _EndpointText) -> str:
    return f'<code><span class="method">{escape(entry.method)}</span> {escape(entry.path)}</code>'


def _section(entry: _EndpointText) -> str:
    shown = "".join(f"<p>{escape(what)}</p><pre>{escape(text)}</pre>" for what, _, text in entry.answers)
    schema = (
        f"<details><summary>Schema of the body</summary><pre>{escape(entry.schema)}</pre></details>"
        if entry.schema
        else ""
    )
    items = "".join(
        f"<li><code>{escape(name)}</code>: {escape(text)}</li>" for name, text in entry.parameters
    )
    parameters = f"<ul>{items}</ul>" if items else ""
    return (
        f'<section id="{_anchor(entry)}"><h3>{_title(entry)}</h3>'
        f"<p>{escape(entry.summary)}. {escape(entry.needs)}</p>{parameters}"
        f"<pre>{escape(entry.call)}</pre>{schema}"
        f"{shown}</section>"
    )


def markdown(document: JSON) -> str:
    """Return the text of docs/api.md."""
    info = document["info"]
    parts = [
        "# The API",
        f"{info['description']} A running server describes itself at `/api/docs` and `/api/v1/openapi.json`.",
        "| endpoint | |\n|---|---|\n"
        + "\n".join(f"| `{entry.method} {entry.path}` | {entry.summary} |" for entry in _entries(document)),
        "A refused call is answered with `success: false` and a reason. `429` means that an address called "
        "an endpoint more than ten times in a minute; callers with the permission `api-bypass-rate-limit` "
        "are not limited.",
    ]
    for entry in _entries(document):
        parts += [f"## {entry.method} {entry.path}", f"{entry.summary}. {entry.needs}".strip()]
        if entry.parameters:
            parts.append("\n".join(f"- `{name}`: {text}" for name, text in entry.parameters))
        parts.append(f"```bash\n{entry.call}\n```")
        for what, language, text in entry.answers:
            parts.append(f"{what}\n\n```{language}\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def _entries(document: JSON) -> Iterator[_EndpointText]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield _entry(path, method.upper(), operation)


def _entry(path: str, method: str, operation: JSON) -> _EndpointText:
    contents = operation.get("requestBody", {}).get("content", {})
    needs = operation.get("description", "").replace("`", "")
    if not operation["security"]:
        needs = "No authentication."
    described = [content["schema"] for content in contents.values() if "title" in content["schema"]]
    return _EndpointText(
        method=method,
        path=path,
        summary=operation["summary"],
        needs=needs,
        parameters=[
            (one["name"], one["description"])
            for one in operation.get("parameters", [])
            if one["in"] == "query"
        ],
        call=_curl(path, method, operation, contents),
        answers=list(_answers(operation["responses"])),
        schema=_pretty(described[0]) if described else "",
    )


def _curl(path: str, method: str, operation: JSON, contents: JSON) -> str:
    parameters = operation.get("parameters", [])
    headers = [
        f"'{one['name']}: {one['example']}'"
        for one in parameters
        if one["in"] == "header" and one["required"]
    ]
    lines = [f"curl {_METHODS.get(method, '')}{_ADDRESS}{_FIELD.sub(_shell_variable, path)}"]
    if operation["security"]:
        headers = ['"X-User-Id: $USER_ID"', '"X-Auth-Token: $TOKEN"', *headers]
    sent = [line for media_type, content in contents.items() for line in _sent(media_type, content)]
    if method == "POST" and not sent:
        lines = [lines[0].replace("curl ", "curl -X POST ")]
    return " \\\n  ".join([*lines, *(f"-H {header}" for header in headers), *sent])


_FIELD = re.compile(r"{(\w+)}")


def _shell_variable(found: re.Match[str]) -> str:
    return f"${found[1].upper()}"


_METHODS = {"HEAD": "-I ", "PATCH": "-X PATCH ", "DELETE": "-X DELETE ", "OPTIONS": "-X OPTIONS -i "}


def _sent(media_type: str, content: JSON) -> list[str]:
    """Return curl's options for a body of this type."""
    if media_type == "multipart/form-data":
        return [f"-F {name}={'@' * (name == 'file')}{value}" for name, value in content["example"].items()]
    if "example" in content:
        return [f"-H 'Content-Type: {media_type}'", f"-d '{json.dumps(content['example'])}'"]
    return [f"-H 'Content-Type: {media_type}'", "--data-binary @piece"]


def _answers(responses: JSON) -> Iterator[tuple[str, str, str]]:
    for status, response in responses.items():
        content = response.get("content", {}).get("application/json", {})
        headers = {
            name: header["example"]
            for name, header in response.get("headers", {}).items()
            if "example" in header
        }
        if status == "200" and "example" in content:
            named = [f"`{name}: {example}`" for name, example in headers.items()]
            with_headers = f", with the header {', '.join(named)}" if named else ""
            yield f"It answers{with_headers}:", "json", _pretty(content["example"])
        elif status.startswith("2") and headers:
            lines = [f"{name}: {example}" for name, example in headers.items()]
            yield f"It answers with status {status} and headers such as these:", "http", "\n".join(lines)
        elif status == "400" and content.get("examples"):
            values = [example["value"] for example in content["examples"].values()]
            shown = "\n".join(json.dumps(value) for value in values)
            yield "Or, with status 400, one of these:", "json", shown


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

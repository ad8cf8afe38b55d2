"""The HTTP interface described in OpenAPI 3.1, from the route declarations and pydantic models of every service.

Each service registers its operations as an entry point `wabus.operations`. `GET /openapi.json` describes those of every
service that is installed, whichever process is asked: clients know one address, not who answers there.
Sources: OpenAPI Specification 3.1.1; JSON Schema 2020-12, which pydantic writes.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from wabus_runtime.http.answers import Handler

TITLE = "wabus"
VERSION = "1"
REFERENCE = "#/components/schemas/{model}"

Json = dict[str, Any]
Model = type[BaseModel]


class ProblemDetails(BaseModel):
    """An answer other than success (RFC 9457). `code` is stable, `detail` is a sentence for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str


@dataclass(frozen=True)
class Header:
    """A request header that changes the answer, and what it must look like."""

    about: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True)
class Operation:
    """One method of one address, as a client sees it. `path` is aiohttp's, with `{name}` for its parameters."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    summary: str
    tag: str
    answers: Mapping[int, Model | None]
    """The model of each answer that is a success; None for one without content."""
    problems: Sequence[int] = ()
    """The statuses of the problems that it answers, beside 401, 500 and 503."""
    path_parameters: Model | None = None
    """What they must look like, where that is more than something."""
    query: Model | None = None
    repeatable: Sequence[str] = ()
    """Names of query parameters that are given once a value; other lists are one value, comma separated."""
    body: Model | None = None
    body_required: bool = True
    file: Sequence[str] = ()
    """Media types of the file that the body is; it may also be the part `file` of a form."""
    headers: Mapping[str, Header] = field(default_factory=dict[str, Header])
    secured: bool = True
    media: str = "application/json"
    """The content type of an answer that is a success; the model of an event stream is that of an event's data."""


DOCUMENTED: web.AppKey[bool] = web.AppKey("documented", bool)
"""Whether the application has the route `/openapi.json`."""


def document(app: web.Application) -> None:
    """Answer at `/openapi.json`, however many services of one process ask for it."""
    if DOCUMENTED not in app:
        app[DOCUMENTED] = True
        app.router.add_get("/openapi.json", _serve)


def route(app: web.Application, handlers: Iterable[tuple[Operation, Handler]]) -> None:
    """Let the application answer these operations, and describe them all at `/openapi.json`."""
    for operation, handler in handlers:
        app.router.add_route(operation.method, operation.path, handler)
    document(app)


def installed_operations() -> list[Operation]:
    """Every operation of the services that are installed, service by service."""
    services = sorted(entry_points(group="wabus.operations"), key=lambda entry: entry.name)
    return [operation for service in services for operation in service.load()]


def description(operations: Sequence[Operation]) -> Json:
    """The whole OpenAPI document."""
    models = {model for operation in operations for model in _models(operation)} | {ProblemDetails}
    ordered = sorted(models, key=lambda model: (model.__module__, model.__qualname__))
    references, definitions = models_json_schema([(model, "validation") for model in ordered], ref_template=REFERENCE)
    schemas: dict[Model, Json] = {model: schema for (model, _), schema in references.items()}  # pyright: ignore[reportAssignmentType]
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


async def _serve(_request: web.Request) -> web.Response:
    # The first time it imports what other services declare, in a thread: other requests are not to wait for that.
    body = await asyncio.to_thread(_whole_document)
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "public, max-age=60"})


@cache
def _whole_document() -> bytes:
    return orjson.dumps(description(installed_operations()))


def _models(operation: Operation) -> list[Model]:
    return [model for model in (operation.body, *operation.answers.values()) if model is not None]


def _operation(operation: Operation, schemas: Mapping[Model, Json]) -> Json:
    described: Json = {
        "operationId": _identifier(operation),
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation),
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        content = {"application/json": {"schema": schemas[operation.body]}}
        described["requestBody"] = {"required": operation.body_required, "content": content}
    if operation.file:
        form: Json = {
            "type": "object",
            "properties": {"file": {"type": "string", "format": "binary"}, "type": {"type": "string"}},
            "required": ["file"],
        }
        files: Json = {name: {"schema": {"type": "string", "format": "binary"}} for name in operation.file}
        described["requestBody"] = {"required": True, "content": files | {"multipart/form-data": {"schema": form}}}
    if operation.secured:
        described["security"] = [{"bearer": []}]
    return described


def _parameters(operation: Operation) -> list[Json]:
    described = operation.path_parameters.model_json_schema()["properties"] if operation.path_parameters else {}
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": described.get(name, {"type": "string", "minLength": 1}),
        }
        for name in re.findall(r"{(\w+)", operation.path)
    ]
    in_query: list[Json] = []
    if operation.query is not None:
        schema = operation.query.model_json_schema()
        for name, given in schema.get("properties", {}).items():
            about = _without_null({key: value for key, value in given.items() if key != "description"})
            parameter = {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": about}
            if about.get("type") == "array":
                parameter |= {"style": "form", "explode": name in operation.repeatable}
            in_query.append({**parameter, **({"description": d} if (d := given.get("description")) else {})})
    in_header = [
        {"name": name, "in": "header", "required": False, "description": header.about, "schema": header.schema}
        for name, header in operation.headers.items()
    ]
    return [*in_path, *in_query, *in_header]


def _without_null(schema: Json) -> Json:
    """The schema of a parameter, which can be left out, but has no way to be null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**kinds[0], **{key: value for key, value in schema.items() if key not in ("anyOf", "default")}}


def _responses(operation: Operation, schemas: Mapping[Model, Json]) -> Json:
    responses: Json = {}
    for status, model in sorted(operation.answers.items()):
        responses[str(status)] = {"description": _reason(status)}
        if model is not None:
            responses[str(status)]["content"] = {operation.media: {"schema": schemas[model]}}
    problem = {"application/problem+json": {"schema": schemas[ProblemDetails]}}
    for status in sorted({*operation.problems, *((401,) if operation.secured else ()), 500, 503}):
        responses[str(status)] = {"description": _reason(status), "content": problem}
    return responses


def _reason(status: int) -> str:
    return {
        101: "Switched to the WebSocket protocol",
        200: "Done",
        202: "Accepted",
        201: "Made",
        204: "Done",
        206: "A part",
        304: "Not changed",
        400: "Not understood",
        401: "Not signed in",
        403: "Not allowed",
        404: "Not there",
        409: "In conflict with how things are",
        410: "Gone for good",
        412: "Changed by somebody else meanwhile",
        413: "Too large",
        415: "Of another kind than is taken",
        416: "No such part",
        422: "Something in the request is wrong",
        426: "Wanted as a WebSocket",
        429: "Too many",
        500: "Something went wrong on our side",
        503: "Temporarily unavailable",
    }.get(status, str(status))


def _identifier(operation: Operation) -> str:
    words = re.findall(r"\w+", operation.path)
    return "_".join([operation.method.lower(), *words])

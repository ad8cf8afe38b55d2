"""Meta's OpenAPI of business messaging as a witness of the calls that wabus makes, and of the simulated Meta's answers.

The document's licence forbids shipping it: it is read from `META_OPENAPI`, or `../shared/data/` beside the checkout.
Where it is missing nothing is checked; `missing()` says so in one line.
"""

import functools
import json
import os
import re
import tomllib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jsonschema_rs
import simulated_meta
import yaml
from aiohttp import web
from simulated_meta import Store, World

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BESIDE = Path(__file__).parents[3] / "shared/data/meta-business-messaging-v23.yaml"
DOCUMENT = Path(os.environ.get("META_OPENAPI") or BESIDE)
DEVIATIONS = Path(__file__).with_name("meta_deviations.toml")
VERSION = re.compile(r"v\d+\.\d+")
NOT_GRAPH = ("_control", "dialog")
WRONG_CALL = (100, 2500, 131008, 131009)  # codes of Graph: it has noticed itself


def missing() -> str | None:
    """Why nothing is checked, in one line."""
    if DOCUMENT.exists():
        return None
    return f"Meta's OpenAPI is not at {DOCUMENT}: calls to the simulated Meta are not checked against it"


@dataclass(frozen=True)
class Finding:
    """Something that the document has otherwise: `says` of a part `at` a place of an operation."""

    operation: str
    at: str
    says: str

    def __str__(self) -> str:
        return f"{self.operation} {self.at}: {self.says}"


@dataclass(frozen=True)
class Deviation:
    """Findings that are accepted, with the reason. Its texts are patterns as of file names."""

    operation: str
    at: str
    says: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        return all(fnmatchcase(getattr(finding, part), getattr(self, part)) for part in ("operation", "at", "says"))


FINDINGS: list[Finding] = []
"""What no deviation covers, since a test began."""
USED: set[Deviation] = set()
"""The deviations that something was covered by."""


def create_meta(store: Store, *, delay_scale: float = 1.0) -> web.Application:
    """The simulated Meta; each call and answer is checked against the document, and what differs is in `FINDINGS`."""
    app = simulated_meta.create_app(store, delay_scale=delay_scale)
    if missing() is None:
        document()  # now: reading it takes longer than a call may, on a busy machine
        app.middlewares.append(_checking(store))
    return app


@functools.cache
def document() -> Json:
    return yaml.load(DOCUMENT.read_bytes(), Loader=yaml.CSafeLoader)


@functools.cache
def deviations() -> tuple[Deviation, ...]:
    return tuple(Deviation(**each) for each in tomllib.loads(DEVIATIONS.read_text())["deviation"])


def _checking(store: Store) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        streamed = request.content_type == "multipart/form-data"
        body = b"" if streamed else await request.read()  # kept by aiohttp: the handler reads it again
        parts = [part for part in request.path.split("/") if part]
        version = parts.pop(0) if parts and VERSION.fullmatch(parts[0]) else None
        if version is None or not parts or parts[0] in NOT_GRAPH:
            return await handler(request)
        template = template_of(store.world, parts)  # now: what it deletes is nothing any more afterwards
        response = await handler(request)
        for finding in _findings(request, body, response, template):
            accepted = next((each for each in deviations() if each.covers(finding)), None)
            if accepted:
                USED.add(accepted)
            else:
                FINDINGS.append(finding)
        return response

    return check


def template_of(world: World, parts: list[str]) -> str:
    """The document's path for a call: it names the same place by what kind of object its id is."""
    first, *edges = parts
    if first in world.wabas:
        name = "{WABA-ID}"
    elif world.phone(first):
        name = "{Phone-Number-ID}"
    elif first in world.media:
        name = "{Media-ID}"
    elif world.waba_of_template(first):
        name = "{TEMPLATE_ID}"
    elif world.business(first):
        name = "{Business-ID}"
    elif first == world.app_id:
        name = "{Application-ID}"
    else:
        name = first if not first.isdigit() else "{WABA-ID}"  # of nothing here: whoever asks means an account
    return "/".join(("/{Version}", name, *edges))


def _findings(request: web.Request, body: bytes, response: web.StreamResponse, path: str) -> Iterator[Finding]:
    operation = document()["paths"].get(path, {}).get(request.method.lower())
    called = f"{request.method} {path}"
    text = response.body if isinstance(response, web.Response) else None
    try:
        answer: Any = json.loads(text if isinstance(text, bytes) else b"")
    except ValueError:
        return  # a fault that the test ordered
    failed = response.status >= 400
    if operation is None and not failed:
        yield Finding(called, "call", "is not described")
        return
    if operation and not (failed and answer["error"]["code"] in WRONG_CALL):
        yield from _request_findings(called, operation, request, body)
    schema: Json = {"$ref": "#/components/schemas/GraphAPIError"}
    if operation and not failed:
        schema = _resolved(operation["responses"][str(response.status)])["content"]["application/json"]["schema"]
    for at, says in _invalid(schema, answer):
        yield Finding(called, f"answer {at}", says)


def _request_findings(called: str, operation: Json, request: web.Request, body: bytes) -> Iterator[Finding]:
    """Graph reads parameters from the query and from the body alike, so what is no parameter may be the body's."""
    described = [_resolved(each) for each in operation.get("parameters", [])]
    query = {each["name"]: each for each in described if each["in"] == "query"}
    members: Json = {}
    for name, value in request.query.items():
        if name in query:
            schema = query[name]["schema"]
            is_number = schema.get("type") == "integer" and value.isdigit()
            for _, says in _invalid(schema, int(value) if is_number else value):
                yield Finding(called, f"query {name}", says)
        else:
            members[name] = value
    if body and request.content_type == "application/json":
        given = json.loads(body)
        members |= given if isinstance(given, dict) else {}
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    schema = _whole(_resolved(content["schema"]), members) if content else {"properties": {}}
    for name in sorted(members.keys() - schema.get("properties", {}).keys()):
        yield Finding(called, f"parameter {name}", "is not described")
    if content:
        known = {name: value for name, value in members.items() if name in schema["properties"]}
        for at, says in _invalid(schema, known):
            yield Finding(called, f"body {at}", says)
    for each in described:
        if each["in"] == "header":
            value = request.headers.get(each["name"])
            if value is None and each.get("required"):
                yield Finding(called, f"header {each['name']}", "is missing")
            for _, says in _invalid(each["schema"], value) if value is not None else ():
                yield Finding(called, f"header {each['name']}", says)


def _invalid(schema: Json, instance: Any) -> Iterator[tuple[str, str]]:
    """Where an instance is not valid, with numbers of lists left out, and which rule it breaks."""
    for error in _validator(json.dumps(schema)).iter_errors(instance):
        at = "/" + "/".join("*" if isinstance(part, int) else part for part in error.instance_path)
        match error.kind:
            case jsonschema_rs.ValidationErrorKind.Required(name):
                yield at, f"has no {name}"
            case jsonschema_rs.ValidationErrorKind.Enum():
                yield at, f"is {json.dumps(error.instance)}"
            case kind:
                yield at, f"breaks {kind.name}"


@functools.cache
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({**json.loads(schema), "components": _components()})


@functools.cache
def _components() -> Json:
    return {"schemas": document()["components"]["schemas"]}


def _whole(schema: Json, members: Json) -> Json:
    """One schema of an object of which the document has parts.

    Where it chooses by a member (`discriminator`), that one is taken; what is in `allOf` is put together, for each part
    alone forbids what the others have.
    """
    if "discriminator" in schema:
        mapping = schema["discriminator"]["mapping"]
        kind = members.get(schema["discriminator"]["propertyName"])
        whole = _whole(_resolved({"$ref": mapping.get(kind) or next(iter(mapping.values()))}), members)
        return whole if kind in mapping else whole | {"required": []}
    if "allOf" not in schema:
        return schema
    parts = [_whole(_resolved(part), members) for part in schema["allOf"]]
    properties = {name: each for part in parts for name, each in part.get("properties", {}).items()}
    return {
        "type": "object",
        "properties": properties,
        "required": [name for part in parts for name in part.get("required", [])],
    }


def _resolved(part: Json) -> Json:
    if "$ref" not in part:
        return part
    found: Any = document()
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found

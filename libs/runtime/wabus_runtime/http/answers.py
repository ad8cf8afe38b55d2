"""HTTP as every service answers it: problem details (RFC 9457), JSON, health probes, metrics, no leaks."""

import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from math import ceil
from typing import Any, TypeVar
from uuid import uuid4

import orjson
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest
from pydantic import BaseModel, BeforeValidator, ValidationError

from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.observe import liveness, tracing
from wabus_runtime.observe.timings import Timings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

NOT_READY: web.AppKey[dict[str, str]] = web.AppKey("not_ready", dict)
"""Why /readyz says no: the name of each part that is not ready yet, and what it is doing."""

CHECKS: web.AppKey[list[Callable[[], str | None]]] = web.AppKey("checks", list)
"""Asked by every /readyz: each returns None, or what is not ready."""

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
SAFE_HEADERS = {"Server": "wabus", "X-Content-Type-Options": "nosniff"}
"""Of every answer: aiohttp would name itself, Python and their versions; and what is no page is never taken for one."""
HSTS = "max-age=31536000"  # a year

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS = Counter("wabus_http_requests_total", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Timings(
    "wabus_http_request_seconds",
    "From a request's head to its answer; streams and files are not timed.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

M = TypeVar("M", bound=BaseModel)

_BRANCH = re.compile(r"[\[\]-]|^(?:str|list|dict)$")
_DIGITS = re.compile("[0-9]{1,19}")

log = structlog.get_logger()


class Problem(Exception):
    """An answer other than success, as problem details. `detail` is read by people: friendly, and without secrets."""

    def __init__(
        self, status: int, code: str, title: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.headers = headers or {}
        self.members = members

    def response(self) -> web.Response:
        body = {
            "type": f"urn:wabus:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.members,
        }
        return web.Response(
            status=self.status,
            body=orjson.dumps(body),
            content_type="application/problem+json",
            headers={"Cache-Control": "no-store", **self.headers},
        )


def too_many_requests(detail: str, wait: float) -> Problem:
    """Somebody asks too often; `wait` is in seconds, until they may again."""
    return Problem(429, "too_many_requests", "Too many requests", detail, headers={"Retry-After": str(ceil(wait))})


def json_response(
    content: BaseModel | Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON answer that no cache keeps, for it belongs to one organisation."""
    plain = content.model_dump() if isinstance(content, BaseModel) else content
    return web.Response(
        status=status,
        body=orjson.dumps(plain, option=orjson.OPT_UTC_Z),
        content_type="application/json",
        headers={"Cache-Control": "private, no-store", **(headers or {})},
    )


def query_of(request: web.Request) -> dict[str, Any]:
    """The parameters of a request; what is given several times is a list, which most models refuse."""
    given = {name: request.query.getall(name) for name in request.query}
    return {name: values[0] if len(values) == 1 else values for name, values in given.items()}


def _digits(given: object) -> object:
    if isinstance(given, str) and not _DIGITS.fullmatch(given):
        raise ValueError("not just digits")
    return given


DIGITS = BeforeValidator(_digits)
"""For a number in a query: digits alone, where Python reads `1_0`, `+10`, ` 10` and the digits of any script too.

The last of an annotation: what stands behind it would be no part of the API's description.
"""


def checked(model: type[M], given: object) -> M:
    """What a caller gave, as a model has it. Raises a 422 problem that names what does not fit, and quotes nothing."""
    try:
        return model.model_validate(given)
    except ValidationError as invalid:
        raise invalid_request(invalid) from None


def invalid_request(invalid: ValidationError) -> Problem:
    """The fields that do not fit. Which branch of a union pydantic tried for one is of no use to a caller."""
    named = (".".join(str(at) for at in error["loc"] if not _BRANCH.search(str(at))) for error in invalid.errors())
    fields = sorted(set(named))
    detail = f"Please check: {', '.join(fields)}."
    return Problem(422, "invalid_request", "The request is invalid", detail, fields=fields)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception into a problem that names what is wrong and quotes nothing; count, time and trace it."""
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unmatched"
    method = request.method if request.method in METHODS else "other"
    started = time.perf_counter()
    status = 500
    caller = request.headers.get("traceparent")
    with nullcontext() if route in PROBES else tracing.request(method, route, caller) as span:
        try:
            response = await _answered(request, handler)
            status = response.status
            if isinstance(response, web.Response):
                REQUEST_SECONDS.labels(method, route).observe(time.perf_counter() - started)
            return response
        finally:
            REQUESTS.labels(method, route, status).inc()
            log.debug("request", action="request", method=method, route=route, status=status)
            if span:
                tracing.answered(span, status)


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise _compressed()
        if request.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
            raise _coded()
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.RequestPayloadError:
        return Problem(
            400, "malformed_body", "Malformed body", "The body can't be read.", headers={"Connection": "close"}
        ).response()
    except KafkaUnavailable:
        return Problem(
            503,
            "kafka_unavailable",
            "Temporarily unavailable",
            "The event bus can't be reached right now. Please try again in a moment.",
            headers={"Retry-After": "2"},
        ).response()
    except _database_away():
        return database_unavailable().response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        # aiohttp keeps this with the request, which the traceback leads to: a circle that would hold the body long.
        error.with_traceback(None)
        allowed = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        code = error.reason.lower().replace(" ", "_")
        detail = "There is nothing at this address." if error.status == 404 else f"{error.reason}."
        return Problem(error.status, code, error.reason, detail, headers=allowed).response()
    except Exception:
        incident = tracing.trace_id() or uuid4().hex
        log.exception("a request failed", action="request_failed", incident=incident, path=request.path)
        return Problem(
            500,
            "internal_error",
            "Something went wrong",
            "This is our fault. Please try again; if it goes on, name the incident.",
            incident=incident,
        ).response()


def database_unavailable() -> Problem:
    """What is asked for can't be read now."""
    return Problem(
        503,
        "database_unavailable",
        "Temporarily unavailable",
        "The data can't be read right now. Please try again in a moment.",
        headers={"Retry-After": "2"},
    )


def _database_away() -> tuple[type[Exception], ...]:
    """What a database raises that is away: nothing, in a service that has none.

    To import its client takes a third of a second and 35 MB, which the first unknown address shall not cost a gateway.
    """
    module = sys.modules.get("wabus_runtime.postgres.database")
    return module.DATABASE_AWAY if module else ()


def _compressed() -> Problem:
    """Signatures and limits are over the bytes that were sent, and a few of them can unpack to gigabytes."""
    return Problem(
        415,
        "compressed_body",
        "Unsupported media type",
        "Send the body as it is, without Content-Encoding.",
        headers={"Accept-Encoding": "identity", "Connection": "close"},
    )


def _coded() -> Problem:
    """RFC 9112, section 6.1: who does not know a transfer coding answers 501, for it can't tell what was sent."""
    return Problem(
        501,
        "unknown_transfer_coding",
        "Not implemented",
        "Send the body as it is or in chunks, without another transfer coding.",
        headers={"Connection": "close"},
    )


def safe_headers(over_tls: bool) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """For `on_response_prepare`: what every answer has. `over_tls` is whether browsers come by https (RFC 6797)."""
    headers = {**SAFE_HEADERS, **({"Strict-Transport-Security": HSTS} if over_tls else {})}

    async def add(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(headers)

    return add


def add_probes(app: web.Application) -> None:
    """`/healthz`: nothing is stuck, or start me again. `/readyz`: it does its work. `/metrics`: Prometheus."""
    app.router.add_get("/healthz", _alive)
    app.router.add_get("/readyz", _ready)
    app.router.add_get("/metrics", _metrics)


async def _alive(_request: web.Request) -> web.Response:
    now = time.monotonic()
    if stuck := liveness.stuck(now):
        return json_response({"status": "stuck", "seconds": stuck, "where": liveness.places(now)}, 503)
    return json_response({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    found = [check() for check in request.app[CHECKS]]
    waiting = {**request.app[NOT_READY], **{reason: "away" for reason in found if reason}}
    return json_response({"status": "waiting" if waiting else "ready", "waiting_for": waiting}, 503 if waiting else 200)


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

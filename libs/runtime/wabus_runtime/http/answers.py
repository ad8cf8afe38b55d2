"""HTTP as every service answers it: problem details (RFC 9457), JSON, health probes, metrics, no leaks."""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import Any, TypeVar
from uuid import uuid4

import orjson
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from pydantic import BaseModel, ValidationError

from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.observe import liveness, tracing

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

NOT_READY: web.AppKey[dict[str, str]] = web.AppKey("not_ready", dict)
"""Why /readyz says no: the name of each part that is not ready yet, and what it is doing."""

CHECKS: web.AppKey[list[Callable[[], str | None]]] = web.AppKey("checks", list)
"""Asked by every /readyz: each returns None, or what is not ready."""

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
SAFE_HEADERS = {"Server": "wabus", "X-Content-Type-Options": "nosniff"}
"""Of every answer: aiohttp would name itself, Python and their versions; and what is no page is never taken for one."""
HSTS = "max-age=31536000"  # a year

MAX_WAIT = 30  # seconds that `Prefer: wait` can hold a request

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS = Counter("wabus_http_requests_total", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "wabus_http_request_seconds",
    "From a request's head to its answer; streams and files are not timed.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

M = TypeVar("M", bound=BaseModel)

_PREFER_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:$|[,;])', re.IGNORECASE)

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


def checked(model: type[M], given: object) -> M:
    """What a caller gave, as a model has it. Raises a 422 problem that names what does not fit, and quotes nothing."""
    try:
        return model.model_validate(given)
    except ValidationError as invalid:
        fields = sorted({".".join(map(str, error["loc"])) for error in invalid.errors()})
        detail = f"Please check: {', '.join(fields)}."
        raise Problem(422, "invalid_request", "The request is invalid", detail, fields=fields) from None


def preferred_wait(request: web.Request) -> int | None:
    """Seconds that the client is ready to wait (RFC 7240, section 4.3), at most `MAX_WAIT`; None if it says nothing."""
    found = _PREFER_WAIT.search(",".join(request.headers.getall("Prefer", [])))
    return min(int(found[1]), MAX_WAIT) if found else None


def waited_for(wait: int | None) -> dict[str, str]:
    """The header that tells the client how long its preference held."""
    return {} if wait is None else {"Preference-Applied": f"wait={wait}"}


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
        return Problem(
            503,
            "database_unavailable",
            "Temporarily unavailable",
            "The data can't be read right now. Please try again in a moment.",
            headers={"Retry-After": "2"},
        ).response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
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


def _database_away() -> tuple[type[Exception], ...]:
    """Looked up where something was raised, and not before: a service without a database never imports its client."""
    from wabus_runtime.postgres.database import DATABASE_AWAY

    return DATABASE_AWAY


def _compressed() -> Problem:
    """Signatures and limits are over the bytes that were sent, and a few of them can unpack to gigabytes."""
    return Problem(
        415,
        "compressed_body",
        "Unsupported media type",
        "Send the body as it is, without Content-Encoding.",
        headers={"Accept-Encoding": "identity", "Connection": "close"},
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
    stuck = liveness.stuck(time.monotonic())
    return json_response({"status": "stuck", "seconds": stuck} if stuck else {"status": "ok"}, 503 if stuck else 200)


async def _ready(request: web.Request) -> web.Response:
    found = [check() for check in request.app[CHECKS]]
    waiting = {**request.app[NOT_READY], **{reason: "away" for reason in found if reason}}
    return json_response({"status": "waiting" if waiting else "ready", "waiting_for": waiting}, 503 if waiting else 200)


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

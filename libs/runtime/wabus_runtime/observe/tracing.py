"""Traces that follow one webhook from its request to its row; and the trace id that every log line of it carries.

What travels is a `traceparent` (W3C Trace Context): in memory with the task, in Kafka with the event (CloudEvents
"Distributed Tracing" extension). It is there whether or not spans are recorded, so that logs can always be joined.
Spans exist only when OTEL_EXPORTER_OTLP_ENDPOINT is set in the environment; without it OpenTelemetry is not imported.
"""

import os
import random
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context, ContextVar, copy_context
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from wabus_events import Record

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, Span, SpanContext, Tracer

Kind = Literal["server", "producer", "consumer", "client", "internal"]
Attributes = Mapping[str, str | int | float | bool]

LINKS_MAX = 128  # of one span: what the SDK keeps unless told otherwise

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_HEADER = "ce_traceparent"
_NOTHING = nullcontext()

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)
_tracer: "Tracer | None" = None


def configure_tracing(service: str) -> None:
    """Export spans over OTLP/HTTP if the environment says where to; the SDK reads all other `OTEL_…` variables itself.

    Source: OpenTelemetry "Environment Variable Specification".
    """
    asked = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not asked or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME") or f"wabus-{service.removeprefix('wabus-')}"
    resource = Resource.create({"service.name": name, "service.version": version("wabus-runtime")})
    # At exit the provider sends what it still holds, for as long as OTEL_EXPORTER_OTLP_TIMEOUT allows.
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace_with(provider)


def trace_with(provider: "TracerProvider | None") -> None:
    """Record spans with this provider; with None, record none."""
    global _tracer
    _tracer = provider.get_tracer("wabus") if provider else None


def fresh() -> str:
    """The traceparent of a new trace that nobody records."""
    ids = f"{random.getrandbits(192):048x}"
    return f"00-{ids[:32]}-{ids[32:]}-00"


def current() -> str | None:
    """The traceparent of what this task is handling, or None."""
    return _current.get()


def trace_id() -> str | None:
    """The trace id of what this task is handling, or None."""
    traceparent = _current.get()
    return traceparent[3:35] if traceparent else None


def detached() -> Context:
    """A copy of this task's context that handles nothing: for a task that will work for many."""
    context = copy_context()
    context.run(_current.set, None)
    return context


def trace_records(records: Sequence[Record]) -> None:
    """Put the current traceparent on records, but for those that have one, and for tombstones.

    Their headers are added to in place: a copy of each record would cost more than all the rest of an idle tracer.
    """
    if header := _current_header():
        for record in records:
            if record.value is not None:
                for name, _ in record.headers:  # to make a dictionary of each takes twice as long
                    if name == _HEADER:
                        break
                else:
                    record.headers.append(header)


def trace_encoded(records: Sequence[Record]) -> None:
    """The same for what `encode` has just made: thousands, of which the last header tells whether they have one."""
    if header := _current_header():
        for record in records:
            if record.headers[-1][0] != _HEADER:
                record.headers.append(header)


def _current_header() -> tuple[str, bytes] | None:
    traceparent = _current.get()
    return (_HEADER, traceparent.encode()) if traceparent else None


class _Followed:
    """Sets what is current. A class, for it costs a third of a generator and every request has one."""

    __slots__ = ("_token", "_traceparent")

    def __init__(self, traceparent: str | None) -> None:
        self._traceparent = traceparent

    def __enter__(self) -> None:
        self._token = _current.set(self._traceparent)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def following(traceparent: str | None) -> AbstractContextManager[None]:
    """Handle something that belongs to a trace: log lines carry its id, events that lead from it stay in it."""
    return _Followed(traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None)


def request(method: str, route: str, caller: str | None) -> "AbstractContextManager[Span | None]":
    """Handle an HTTP request in a new trace.

    Anybody can send a traceparent, so a valid one becomes a link and decides nothing (W3C Trace Context, section
    "Security considerations": restart the trace at a trust boundary). Meta sends none.
    """
    if _tracer is None:
        return _Followed(fresh())
    links = _links([caller] if caller else [])
    return _span(_tracer, f"{method} {route}", "server", None, links, _about_request(method, route))


def _about_request(method: str, route: str) -> Attributes:
    return {"http.request.method": method, "http.route": route}


def begin_request(method: str, route: str) -> "Span | None":
    """The span of a request without a caller's trace, if it is sampled. `handling` ends it."""
    if _tracer is None:
        return None
    begun = _start(_tracer, f"{method} {route}", "server", None, [], _about_request(method, route))
    return begun if begun.is_recording() else None


def handling(span: "Span | None") -> "AbstractContextManager[Span | None]":
    """Handle a request in the trace of a span from `begin_request`; None is a trace that nobody records."""
    return _Followed(fresh()) if span is None else _within(span)


def answered(span: "Span", status: int) -> None:
    """Tell a request's span how it ended; only our own faults make it an error."""
    from opentelemetry.trace import StatusCode

    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)


def span(
    name: str, kind: Kind = "internal", attributes: Attributes | None = None
) -> "AbstractContextManager[Span | None]":
    """A step of what this task is handling; nothing at all where its trace is not sampled."""
    if _tracer is None or (parent := _current.get()) is None or not _is_sampled(parent):
        return _NOTHING
    return _span(_tracer, name, kind, parent, [], attributes or {})


@contextmanager
def batch(consumer: str, traceparents: Iterable[str | None]) -> Generator[None]:
    """Handle events of several traces at once.

    The first sampled trace gets the span that holds everything done for the batch, with links to all the others,
    and each of these one of the same length with a link back. (OpenTelemetry "Semantic conventions for messaging
    spans": batches are linked.) Where no trace is sampled, no span is made.
    """
    distinct = list(dict.fromkeys(each for each in traceparents if each and _TRACEPARENT.fullmatch(each)))
    sampled = [each for each in distinct if _is_sampled(each)] if _tracer else []
    if _tracer is None or not sampled:
        with following(distinct[0] if len(distinct) == 1 else None):
            yield
        return
    name, about = f"process {consumer}", {"messaging.system": "kafka", "messaging.consumer.group.name": consumer}
    first, *others = sampled
    with _span(_tracer, name, "consumer", first, _links(others), about) as whole:
        back = _link(whole.get_span_context())
        beside = [_start(_tracer, name, "consumer", other, [back], about) for other in others]
        try:
            yield
        finally:
            for each in beside:
                each.end()


def _span(
    tracer: "Tracer", name: str, kind: Kind, parent: str | None, links: "Sequence[Link]", attributes: Attributes
) -> "AbstractContextManager[Span]":
    return _within(_start(tracer, name, kind, parent, links, attributes))


@contextmanager
def _within(recorded: "Span") -> Generator["Span"]:
    from opentelemetry.trace import StatusCode

    context = recorded.get_span_context()
    token = _current.set(f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}")
    try:
        yield recorded
    except BaseException as error:
        # Its name only: what an exception says may quote a payload or a URL with a secret.
        recorded.set_attribute("error.type", type(error).__name__)
        recorded.set_status(StatusCode.ERROR)
        raise
    finally:
        _current.reset(token)
        recorded.end()


def _start(
    tracer: "Tracer", name: str, kind: Kind, parent: str | None, links: "Sequence[Link]", attributes: Attributes
) -> "Span":
    from opentelemetry.context import Context as Carried
    from opentelemetry.trace import NonRecordingSpan, SpanKind, set_span_in_context

    context = set_span_in_context(NonRecordingSpan(_parsed(parent)), Carried()) if parent else Carried()
    return tracer.start_span(name, context, SpanKind[kind.upper()], attributes, links)


def _is_sampled(traceparent: str) -> bool:
    return int(traceparent[-2:], 16) & 1 == 1


def _links(traceparents: Sequence[str]) -> "list[Link]":
    valid = [each for each in traceparents if _TRACEPARENT.fullmatch(each)]
    return [_link(_parsed(each)) for each in valid[:LINKS_MAX]]


def _link(context: "SpanContext") -> "Link":
    from opentelemetry.trace import Link

    return Link(context)


def _parsed(traceparent: str) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace, parent, flags = traceparent.split("-")
    return SpanContext(int(trace, 16), int(parent, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))

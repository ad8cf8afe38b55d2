"""What operators see: log lines with trace ids, honest lag, a red light for what is stuck, spans that leak nothing."""

import asyncio
import io
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiokafka import TopicPartition
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import REGISTRY
from wabus_events import HealthReason, Record, WebhookSeen, encode
from wabus_runtime.http import answers as http
from wabus_runtime.http.answers import Problem, checked, json_response
from wabus_runtime.observe import liveness, tracing
from wabus_runtime.observe.telemetry import configure_logs
from wabus_runtime.projection.lag import LagGauges, waiting_seconds
from wabus_runtime.service.process import background, build_app
from wabus_runtime.settings import LogSettings
from waiting import Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, object]]]]:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logs(LogSettings(log_level="DEBUG", log_format="json"), "test")
    structlog.configure(cache_logger_on_first_use=False)
    for module in (http, liveness):
        monkeypatch.setattr(module, "log", structlog.get_logger())
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def context_of(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


async def failing(_request: web.Request) -> web.Response:
    raise ValueError("the payload says hello")


async def misreading(_request: web.Request) -> web.Response:
    return json_response(HealthReason.model_validate({"code": "as it was stored"}))


async def logging_one(_request: web.Request) -> web.Response:
    structlog.get_logger().info("working", action="working")
    return json_response({"traceparent": tracing.current()})


@pytest.fixture
async def client(serve: Serve) -> Client:
    app = build_app([])
    app.router.add_get("/work/{id}", logging_one)
    app.router.add_get("/fail", failing)
    app.router.add_get("/misread", misreading)
    return await serve(app)


async def test_every_line_within_a_request_has_its_trace_id_and_none_outside_has_one(
    client: Client, lines: Callable[[], list[dict[str, object]]]
) -> None:
    first, second = [(await (await client.get("/work/1")).json())["traceparent"] for _ in range(2)]
    structlog.get_logger().info("idle", action="idle")
    found = [(line["action"], line.get("trace_id")) for line in lines()]
    assert found == [
        ("working", first[3:35]),
        ("request", first[3:35]),
        ("working", second[3:35]),
        ("request", second[3:35]),
        ("idle", None),
    ]
    assert first[3:35] != second[3:35]


async def test_an_access_line_names_the_route_and_not_the_path(
    client: Client, lines: Callable[[], list[dict[str, object]]]
) -> None:
    await client.get("/work/a-secret-path")
    assert "a-secret-path" not in json.dumps(lines())
    assert lines()[-1]["route"] == "/work/{id}"
    assert lines()[-1]["level"] == "debug"


async def test_the_incident_of_a_fault_is_the_trace_id_of_its_log_line(
    client: Client, lines: Callable[[], list[dict[str, object]]]
) -> None:
    problem = await (await client.get("/fail")).json()
    assert problem["incident"] in [line.get("trace_id") for line in lines() if line["action"] == "request_failed"]


async def test_what_does_not_fit_a_model_is_our_fault_unless_the_caller_gave_it(
    client: Client, lines: Callable[[], list[dict[str, object]]]
) -> None:
    answer = await client.get("/misread")
    assert (answer.status, (await answer.json())["code"]) == (500, "internal_error")
    assert "request_failed" in [line["action"] for line in lines()]
    with pytest.raises(Problem) as asked:
        checked(HealthReason, {"code": 1})
    assert (asked.value.status, asked.value.members["fields"]) == (422, ["code", "message", "remedy", "severity"])


async def test_a_method_nobody_has_heard_of_is_no_new_label(client: Client) -> None:
    await client.request("PROPFIND", "/work/1")
    assert value("wabus_http_requests_total", method="PROPFIND") is None
    assert value("wabus_http_requests_total", method="other", status="405") == 1


async def test_a_traceparent_from_outside_is_linked_and_not_followed(
    client: Client, spans: InMemorySpanExporter
) -> None:
    await client.get("/work/1", headers={"traceparent": TRACEPARENT})
    (span,) = spans.get_finished_spans()
    assert span.parent is None
    assert context_of(span)[0] != TRACE
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [TRACE]


async def test_probes_make_no_spans(client: Client, spans: InMemorySpanExporter) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await client.get(path)).status == 200
    assert spans.get_finished_spans() == ()


def test_a_span_of_what_failed_names_the_error_and_quotes_nothing(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="hello"), tracing.request("POST", "/x", None), tracing.span("step"):
        raise ValueError("the payload says hello")
    for span in spans.get_finished_spans():
        assert span.attributes
        assert span.attributes["error.type"] == "ValueError"
        assert "hello" not in span.to_json()


def test_a_batch_lives_in_its_first_trace_and_is_linked_with_the_others(spans: InMemorySpanExporter) -> None:
    other = f"00-{'a' * 32}-{'b' * 16}-01"
    unsampled = f"00-{'c' * 32}-{'d' * 16}-00"
    with tracing.batch("p", [None, TRACEPARENT, other, TRACEPARENT, unsampled, "nonsense"]), tracing.span("write"):
        pass
    write, beside, whole = spans.get_finished_spans()
    assert (context_of(whole)[0], context_of(write)[0], context_of(beside)[0]) == (TRACE, TRACE, "a" * 32)
    assert [f"{link.context.trace_id:032x}" for link in whole.links] == ["a" * 32]
    assert [f"{link.context.span_id:016x}" for link in beside.links] == [context_of(whole)[1]]


def test_where_nothing_is_sampled_no_span_is_made_and_the_trace_id_still_travels() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.trace_with(provider)
    try:
        with tracing.request("POST", "/x", None), tracing.span("publish"):
            record = Record("t", b"k", b"v", [])
            tracing.trace_records([record])
        with tracing.batch("p", [dict(record.headers)["ce_traceparent"].decode()]):
            assert tracing.trace_id()
    finally:
        tracing.trace_with(None)
    assert dict(record.headers)["ce_traceparent"].endswith(b"-00")
    assert exporter.get_finished_spans() == ()


def test_a_record_keeps_the_trace_it_has_and_a_tombstone_gets_none() -> None:
    own = Record("t", b"k", b"v", [("ce_traceparent", b"its own")])
    removed = Record("t", b"k", None, [])
    new = Record("t", b"k", b"v", [("ce_id", b"1")])
    for _ in range(2):
        with tracing.following(TRACEPARENT):
            tracing.trace_records([own, removed, new])
    assert own.headers == [("ce_traceparent", b"its own")]
    assert removed.headers == []
    assert new.headers == [("ce_id", b"1"), ("ce_traceparent", TRACEPARENT.encode())]


def test_an_event_keeps_the_trace_it_has() -> None:
    event = WebhookSeen(id="1", time=NOW, waba_id="7", day=NOW.date(), field="messages")
    traced = event.model_copy(update={"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"})
    own, new = encode(traced, "/test"), encode(event, "/test")
    for _ in range(2):
        with tracing.following(TRACEPARENT):
            tracing.trace_encoded([own, new])
    assert own == encode(traced, "/test")
    assert new.headers == [*encode(event, "/test").headers, ("ce_traceparent", TRACEPARENT.encode())]


def test_a_task_for_many_belongs_to_none() -> None:
    with tracing.following(TRACEPARENT):
        assert tracing.detached().run(tracing.current) is None
        assert tracing.trace_id() == TRACE


def test_without_an_endpoint_opentelemetry_is_not_even_imported() -> None:
    program = (
        "import sys, wabus_gateway.app\n"
        "from wabus_runtime.observe.tracing import configure_tracing, request, span\n"
        "configure_tracing('gateway')\n"
        "with request('POST', '/x', None), span('publish'): pass\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], env={}, check=False).returncode == 0


@pytest.mark.parametrize(
    ("ends", "next_offset", "folded", "seconds"),
    [
        ([], 0, None, 0),
        ([(10, 10)], 10, None, 0),
        ([(0, 10)], 10, None, 20),
        ([(0, 10)], 10, 3, 17),
        ([(0, 10), (5, 10)], 4, None, 20),
        ([(0, 10), (5, 12), (10, 15)], 12, None, 15),
        ([(0, 10), (5, 12), (10, 15)], 11, 13, 7),
        ([(0, 10)], 4, -3_600, 3_620),
        ([(0, 10)], 4, 60, 0),
    ],
    ids=[
        "unknown",
        "all folded",
        "Kafka said nothing since",
        "Kafka said nothing since then",
        "since the start",
        "since we were at the end",
        "log time",
        "an old backlog",
        "clocks",
    ],
)
def test_the_lag_in_seconds_is_how_long_the_oldest_record_may_have_waited(
    ends: list[tuple[int, int]], next_offset: int, folded: int | None, seconds: int
) -> None:
    measures = [(NOW + timedelta(seconds=at), end) for at, end in ends]
    until = NOW + timedelta(seconds=folded) if folded is not None else None
    assert waiting_seconds(measures, next_offset, until, NOW + timedelta(seconds=20)) == seconds


async def test_the_lag_of_a_projection_that_does_not_move_goes_on_growing_until_it_loses_the_partition() -> None:
    place = TopicPartition("wabus.messages.v1", 3)
    lag = LagGauges("still", {"wabus.messages.v1": "messages.v1"})
    lag.measured({place: 10}, NOW)
    for second in (1, 2):
        lag.show({place: 4}, NOW + timedelta(seconds=second))
        assert value("wabus_projection_lag_seconds", projection="still", partition="3") == second
    assert value("wabus_projection_lag_records", projection="still", topic="messages.v1") == 6
    lag.show({}, NOW)
    assert value("wabus_projection_lag_seconds", projection="still") is None


async def test_a_loop_that_goes_round_no_more_turns_healthz_red(client: Client) -> None:
    with liveness.watched("goes round", limit=3_600):
        assert (await client.get("/healthz")).status == 200
        with liveness.watched("stuck", limit=-1):
            answer = await client.get("/healthz")
            assert answer.status == 503
            assert list((await answer.json())["seconds"]) == ["stuck"]
        assert (await client.get("/healthz")).status == 200


def test_a_loop_is_stuck_once_its_last_round_is_too_long_ago() -> None:
    with liveness.watched("a loop", limit=60) as beat:
        beat()
        beaten = time.monotonic()
        assert "a loop" not in liveness.stuck(beaten + 59)
        assert "a loop" in liveness.stuck(beaten + 61)
    assert "a loop" not in liveness.stuck(beaten + 61)


async def test_a_blocked_event_loop_is_reported_with_the_place_that_blocks_it(
    lines: Callable[[], list[dict[str, object]]],
) -> None:
    watching = liveness.watch_event_loop(None, blocked_after=0.1)
    await anext(watching)

    def compute_for_long() -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not lines():
            pass

    compute_for_long()
    await anext(watching, None)
    (line,) = [line for line in lines() if line["action"] == "event_loop_blocked"]
    assert "compute_for_long" in str(line["where"])


@pytest.mark.parametrize("failure", [ConnectionError, asyncio.CancelledError])
async def test_a_background_loop_that_fails_is_counted_and_starts_again(
    serve: Serve, eventually: Eventually, failure: type[BaseException]
) -> None:
    """A client whose own task was cancelled raises CancelledError in a loop that nobody has cancelled."""
    name = f"fails once with {failure.__name__}"

    async def fails_once(ready: Callable[[], None]) -> None:
        if value("wabus_loop_failures_total", loop=name) is None:
            raise failure
        ready()
        await asyncio.Event().wait()

    app = build_app([])
    background(app, name, fails_once)
    await serve(app)

    async def counted_and_running() -> bool:
        return value("wabus_loop_ready", loop=name) == 1

    assert await eventually(counted_and_running)
    assert value("wabus_loop_failures_total", loop=name) == 1


def value(name: str, **labels: str) -> float | None:
    """The value of the one sample with these labels, among others."""
    found = [
        sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return found[0] if found else None

"""One webhook on its way from the gateway over Kafka to its row: one trace, with or without spans."""

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from wabus_events import MESSAGES, Event, Topic
from wabus_gateway.app import GatewaySettings
from wabus_gateway.app import create_app as create_gateway
from wabus_health_projector.app import HealthProjectorSettings
from wabus_health_projector.app import create_app as create_projector
from wabus_runtime.settings import KafkaSettings, load
from waiting import Eventually
from webhooks import conversation, encoded, signed, template_status, text, webhook

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]


@pytest.fixture
async def gateway(topics: KafkaSettings, serve: Serve) -> Client:
    return await serve(create_gateway(load(GatewaySettings)))


async def post(gateway: Client, body: bytes) -> None:
    assert (await gateway.post("/webhooks/whatsapp", data=body, headers=signed(body))).status == 200


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


async def test_a_webhooks_trace_leads_from_the_request_to_the_rows(
    gateway: Client, spans: InMemorySpanExporter, serve: Serve, eventually: Eventually, events_in: EventsIn
) -> None:
    await post(gateway, encoded(webhook(conversation(messages=[text("wamid.A"), text("wamid.B")]), template_status())))
    await serve(create_projector(load(HealthProjectorSettings), role="worker"))
    request = next(span for span in spans.get_finished_spans() if span.name == "POST /webhooks/whatsapp")

    async def ways() -> set[tuple[str, ...]]:
        finished = spans.get_finished_spans()
        by_id = {id_of(span): span for span in finished}
        found: set[tuple[str, ...]] = set()
        for span in finished:
            way = [span]
            while way[0].parent is not None and way[0].parent.span_id in by_id:
                way.insert(0, by_id[way[0].parent.span_id])
            if {trace_of(each) for each in way} == {trace_of(request)}:
                found.add(tuple(each.name for each in way))
        return found

    whole = ("POST /webhooks/whatsapp", "publish", "process health-projector", "write health-projector")

    async def reached_the_rows() -> bool:
        return whole in await ways()

    assert await eventually(reached_the_rows), await ways()
    assert {(event.traceparent or "")[3:35] for event in await events_in(MESSAGES)} == {trace_of(request)}
    assert "wamid" not in "".join(span.to_json() for span in spans.get_finished_spans())


async def test_without_spans_all_events_of_a_webhook_still_share_a_trace_id(
    gateway: Client, events_in: EventsIn
) -> None:
    for wamid in ("wamid.A", "wamid.B"):
        await post(gateway, encoded(webhook(conversation(messages=[text(wamid), text(wamid + "2")]))))
    traceparents = [event.traceparent for event in await events_in(MESSAGES)]
    assert None not in traceparents
    assert len(traceparents) == 4
    assert len(set(traceparents)) == 2


async def test_a_projection_tells_how_far_behind_it_is_and_how_long_rows_take(
    gateway: Client, serve: Serve, eventually: Eventually
) -> None:
    name = "health-projector"
    rows = value("wabus_projection_log_to_row_seconds_count", projection=name) or 0
    await post(gateway, encoded(webhook(conversation(messages=[text("wamid.A")]))))
    projector = await serve(create_projector(load(HealthProjectorSettings), role="worker"))

    async def measured() -> bool:
        return value("wabus_projection_lag_seconds", projection=name, topic="messages.v1", partition="0") == 0

    async def folded() -> bool:
        return (value("wabus_projection_log_to_row_seconds_count", projection=name) or 0) >= rows + 2

    assert await eventually(folded)
    assert await eventually(measured)
    assert (await projector.get("/healthz")).status == 200
    await projector.close()
    assert value("wabus_projection_lag_seconds", projection=name) is None


def value(name: str, **labels: str) -> float | None:
    found = [
        sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return found[0] if found else None

"""Which webhooks are recorded in a trace, and that recording some of them leaves the others their short cut."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from wabus_gateway.app import GatewaySettings, create_app
from wabus_runtime.observe import tracing
from wabus_runtime.service.process import FRONT

PLACE = ("POST", "/webhooks/whatsapp")


@pytest.fixture
def recorded() -> Iterator[InMemorySpanExporter]:
    yield InMemorySpanExporter()
    tracing.trace_with(None)


def record(recorded: InMemorySpanExporter, ratio: float) -> None:
    provider = TracerProvider(sampler=TraceIdRatioBased(ratio))
    provider.add_span_processor(SimpleSpanProcessor(recorded))
    tracing.trace_with(provider)


def test_a_gateway_that_records_one_webhook_in_many_takes_the_others_by_the_short_cut(
    recorded: InMemorySpanExporter,
) -> None:
    record(recorded, 0.0)

    assert tracing.begin_request(*PLACE) is None
    with tracing.handling(None):
        assert (tracing.current() or "").endswith("-00")
    assert not recorded.get_finished_spans()


def test_a_webhook_that_is_recorded_is_so_from_its_first_byte_to_the_end(recorded: InMemorySpanExporter) -> None:
    record(recorded, 1.0)

    span = tracing.begin_request(*PLACE)
    assert span is not None
    with tracing.handling(span):
        inside = tracing.current() or ""

    [ended] = recorded.get_finished_spans()
    assert ended.context is not None
    assert inside == f"00-{ended.context.trace_id:032x}-{ended.context.span_id:016x}-01"
    assert ended.name == "POST /webhooks/whatsapp"


def test_nothing_is_recorded_where_tracing_is_off() -> None:
    assert tracing.begin_request(*PLACE) is None


@pytest.mark.parametrize("on", [True, False])
def test_the_short_cut_can_be_switched_off(on: bool) -> None:
    settings = GatewaySettings(
        kafka_bootstrap_servers="127.0.0.1:9",
        meta_app_id="1",
        meta_app_secrets="s",  # pyright: ignore[reportArgumentType]
        meta_verify_token="v",  # pyright: ignore[reportArgumentType]
        public_url="https://wabus.example",  # pyright: ignore[reportArgumentType]
        credential_keys="k1:MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=",  # pyright: ignore[reportArgumentType]
        identity_key="MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=",  # pyright: ignore[reportArgumentType]
        jwt_secret="a-secret-of-at-least-32-characters-for-tests",  # pyright: ignore[reportArgumentType]
        gateway_fast_path=on,
    )

    assert (FRONT in create_app(settings)) is on

"""Our records against the CloudEvents SDK: what others read with it is what we wrote."""

from collections.abc import Callable

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from wabus_events import EVENTS, TOPICS, Event, Record, WabaEvent, decode, encode, fact_id
from wabus_events.testing import NOW, an, example

BUILDERS = {"required fields": an, "every field": example}


def read_by_sdk(record: Record) -> BaseCloudEvent:
    assert record.value is not None
    return from_binary_event(KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value))


@pytest.mark.parametrize("kind", list(EVENTS.values()), ids=list(EVENTS))
def test_the_sdk_reads_every_event_as_we_wrote_it(kind: type[Event]) -> None:
    event = example(kind)
    record = encode(event, "/wabus/gateway")
    seen = read_by_sdk(record)
    attributes = seen.get_attributes()
    assert attributes["specversion"] == "1.0"
    assert attributes["id"] == event.id
    assert attributes["type"] == kind.type
    assert attributes["source"] == "/wabus/gateway"
    assert attributes["time"] == NOW
    assert attributes["orgid"] == "demo"
    assert attributes.get("subject") == event.subject
    assert seen.get_data() == event.model_dump(mode="json")


@pytest.mark.parametrize("build", BUILDERS.values(), ids=list(BUILDERS))
@pytest.mark.parametrize("kind", list(EVENTS.values()), ids=list(EVENTS))
def test_what_we_wrote_we_read(kind: type[Event], build: Callable[[type[Event]], Event]) -> None:
    event = build(kind)
    record = encode(event, "/wabus/gateway")
    assert decode(record.headers, record.value) == event.model_copy(update={"source": "/wabus/gateway"})


def test_every_event_has_a_declared_topic_a_key_and_a_sentence() -> None:
    for kind in EVENTS.values():
        assert kind.topic in TOPICS
        assert kind.__doc__
        if issubclass(kind, WabaEvent):
            assert example(kind).key


def test_ids_never_change() -> None:
    assert fact_id("wabus.MessageReceived.v1", "wamid.A") == "f1245e36-372e-530d-bcef-9110d5c1f4a4"

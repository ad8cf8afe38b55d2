"""What a reader does with records that are not as they should be."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_events import TOPICS, MessageReceived, UndecodableRecord, UnknownEventType, decode, encode, fact_id
from wabus_events.models.event import NAMESPACE, fact_ids

EVENT = MessageReceived(
    id="1",
    time=datetime(2026, 1, 1, tzinfo=UTC),
    waba_id="7",
    phone_number_id="8",
    wamid="wamid.A",
    contact="9",
    message_type="text",
    value={"text": "private"},
)
RECORD = encode(EVENT, "/wabus/gateway")


@pytest.mark.parametrize("missing", ["ce_id", "ce_type", "ce_time", "ce_source"])
def test_a_record_without_an_attribute_is_named_as_such(missing: str) -> None:
    with pytest.raises(UndecodableRecord, match=missing):
        decode([header for header in RECORD.headers if header[0] != missing], RECORD.value)


@pytest.mark.parametrize("content", [None, b""])
def test_an_event_without_an_id_is_none_even_where_kafka_has_a_header_for_it(content: Any) -> None:
    with pytest.raises(UndecodableRecord):
        decode([(name, content if name == "ce_id" else value) for name, value in RECORD.headers], RECORD.value)


COMPACTED = ["credentials.v1", "prices.v1", "erasures.v1", "keys.v1"]


def test_an_attribute_that_may_be_missing_may_have_no_value() -> None:
    nothing: Any = None
    event = decode([*RECORD.headers, ("ce_orgid", nothing), ("ce_traceparent", nothing)], RECORD.value)
    assert (event.org_id, event.traceparent) == (None, None)


def test_a_type_from_the_future_can_be_told_from_a_broken_record() -> None:
    headers = [(name, b"wabus.Teleported.v1" if name == "ce_type" else value) for name, value in RECORD.headers]
    with pytest.raises(UnknownEventType, match="Teleported"):
        decode(headers, RECORD.value)


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"value": {"text": "private"}}'])
def test_what_is_wrong_is_named_and_the_content_never_quoted(value: bytes | None) -> None:
    with pytest.raises(UndecodableRecord) as caught:
        decode(RECORD.headers, value)
    assert "private" not in str(caught.value)


def test_a_field_that_a_reader_does_not_know_is_ignored() -> None:
    assert RECORD.value is not None
    newer = RECORD.value.replace(b"{", b'{"added_in_2030":1,', 1)
    assert decode(RECORD.headers, newer).id == "1"


def test_what_a_tombstone_removes_is_off_the_disk_within_a_day() -> None:
    lags = {topic.name: topic.config().get("max.compaction.lag.ms") for topic in TOPICS}

    day = str(24 * 60 * 60 * 1000)
    assert {name: lag for name, lag in lags.items() if lag} == dict.fromkeys(COMPACTED, day)


def test_topic_names_are_unique_and_compaction_is_for_what_is_replaced_by_its_key() -> None:
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)
    assert [topic.name for topic in TOPICS if topic.compacted] == COMPACTED


@given(st.text(), st.lists(st.text() | st.integers(), max_size=4))
def test_an_id_is_the_uuid5_of_type_and_parts(kind: str, parts: list[str | int]) -> None:
    assert fact_id(kind, *parts) == str(uuid5(NAMESPACE, "\x1f".join([kind, *map(str, parts)])))
    for shared in range(len(parts)):
        assert fact_ids(kind, *parts[:shared])(*parts[shared:]) == fact_id(kind, *parts)

"""Counting messages, and how far behind the counts are."""

from collections import deque
from datetime import UTC, date, datetime, timedelta

from wabus_events import MessageReceived, MessageStatusChanged, fact_id
from wabus_health_projector.health.traffic import Message, counts_kept_from, hour_of, identity, tally
from wabus_health_projector.worker.lag import Measure, complete_until, freshness

NOW = datetime(2026, 3, 31, 12, 30, tzinfo=UTC)
HOUR = datetime(2026, 3, 31, 12, tzinfo=UTC)


def received(wamid: str, at: datetime = NOW) -> MessageReceived:
    return MessageReceived(
        id=fact_id(MessageReceived.type, wamid),
        time=at,
        waba_id="1",
        phone_number_id="9",
        wamid=wamid,
        contact="c",
        message_type="text",
        value={},
    )


def status(wamid: str, name: str, *codes: int, at: datetime = NOW) -> MessageStatusChanged:
    return MessageStatusChanged(
        id=fact_id(MessageStatusChanged.type, wamid, name),
        time=at,
        waba_id="1",
        phone_number_id="9",
        wamid=wamid,
        contact="c",
        status=name,
        error_codes=list(codes),
        value={},
    )


def counted(*events: Message, since: datetime = NOW - timedelta(days=29)) -> dict[tuple[datetime, str], int]:
    counts = tally([(event, NOW) for event in events], since)
    return {(hour_of(hour), kind): count.count for (_, hour, _, kind, _), count in counts.messages.items()}


def test_messages_and_statuses_are_counted_by_kind_and_hour() -> None:
    earlier = NOW - timedelta(hours=1)
    found = counted(received("a"), received("b", earlier), status("c", "sent"), status("c", "read"), received("d"))
    assert found == {
        (HOUR, "received"): 2,
        (HOUR - timedelta(hours=1), "received"): 1,
        (HOUR, "sent"): 1,
        (HOUR, "read"): 1,
    }


def test_a_message_older_than_what_is_kept_is_not_counted() -> None:
    assert counted(received("a", NOW - timedelta(days=40))) == {}


def test_a_message_that_claims_to_be_of_the_future_counts_when_it_was_logged() -> None:
    assert counted(received("a", NOW + timedelta(days=4000))) == {(HOUR, "received"): 1}


def test_error_codes_are_counted_once_a_message() -> None:
    counts = tally([(status("a", "failed", 131026, 131026), NOW), (status("b", "failed", 131026), NOW)], HOUR)
    assert {code: count.count for (_, _, _, code, _), count in counts.errors.items()} == {131026: 2}


def test_nobody_is_told_that_messages_fail_because_customers_could_not_pay() -> None:
    payments = [
        status(wamid, "failed", 131042).model_copy(
            update={"value": {"statuses": [{"type": "payment", "status": "failed"}]}}
        )
        for wamid in "abc"
    ]
    counts = tally([(event, NOW) for event in payments], HOUR)
    assert {kind: count.count for (_, _, _, kind, _), count in counts.messages.items()} == {"payment": 3}
    assert not counts.errors


def test_counts_are_kept_for_whole_days_whose_records_kafka_still_has() -> None:
    assert counts_kept_from(date(2026, 3, 31)) == datetime(2026, 3, 3, tzinfo=UTC)


def test_an_event_id_that_is_no_uuid_still_identifies() -> None:
    event = received("a")
    strange = event.model_copy(update={"id": "not-a-uuid"})
    assert identity(event) == identity(event.model_copy(update={"id": event.id.upper()})) == event.id
    assert identity(strange) == identity(strange) != identity(event)


def test_lag_is_nothing_when_everything_in_kafka_was_read() -> None:
    measures = deque([Measure(NOW, {("messages.v1", 0): 5})])
    fresh = freshness(measures, {("messages.v1", 0): 5}, NOW)
    assert fresh is not None
    assert (fresh.records, fresh.ms) == (0, 0)


def test_lag_says_since_when_the_answer_is_incomplete() -> None:
    ends = [Measure(NOW + timedelta(seconds=second), {("messages.v1", 0): 5 + 10 * second}) for second in range(4)]
    fresh = freshness(deque(ends), {("messages.v1", 0): 17}, NOW + timedelta(seconds=3.5))
    assert fresh is not None
    assert (fresh.records, fresh.ms, fresh.complete_until) == (18, 2500, NOW + timedelta(seconds=1))


def test_lag_is_unknown_without_a_fresh_look_at_kafka() -> None:
    assert freshness(deque(), {}, NOW) is None
    assert freshness(deque([Measure(NOW - timedelta(minutes=1), {})]), {}, NOW) is None


def test_rows_are_complete_until_the_newest_moment_whose_records_they_all_have() -> None:
    ends = [
        Measure(NOW + timedelta(seconds=second), {("messages.v1", 0): 10 * second, ("accounts.v1", 0): 3})
        for second in range(4)
    ]
    assert complete_until(ends, {("messages.v1", 0): 29, ("accounts.v1", 0): 3}) == NOW + timedelta(seconds=2)
    assert complete_until(ends, {("messages.v1", 0): 99, ("accounts.v1", 0): 2}) is None
    assert complete_until([], {}) is None

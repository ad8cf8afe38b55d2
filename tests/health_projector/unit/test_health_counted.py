"""Which deliveries of a message count, and when its id can be forgotten, against a plain reference."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_health_projector.health.traffic import EARLY_MOST, LATE_MOST, STAMPED_BEFORE, counted_on, remembered_from

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

Delivery = tuple[str, datetime, datetime]
"""A message, when it happened, and when the delivery was logged."""


@st.composite
def logs(draw: st.DrawFn) -> list[Delivery]:
    """One partition: a few messages, each delivered several times, in the order in which they came into Kafka."""
    happened = [NOON + HOUR * draw(st.integers(-400, 400)) for _ in range(draw(st.integers(1, 4)))]
    deliveries = st.tuples(st.integers(0, len(happened) - 1), st.integers(-400, 400), st.integers(0, 23))
    # A record is stamped when it is sent, and may come into Kafka a little later.
    came = sorted(draw(st.lists(deliveries, max_size=12)), key=lambda each: each[1])
    return [(str(one), happened[one], NOON + HOUR * (hours - stamped)) for one, hours, stamped in came]


def test_a_message_counts_on_its_own_day_however_late_within_nine_days_it_was_logged() -> None:
    assert counted_on(NOON, NOON) == counted_on(NOON, NOON + LATE_MOST) == date(2026, 3, 31)


def test_what_comes_later_than_its_id_is_remembered_counts_no_more() -> None:
    assert counted_on(NOON, NOON + LATE_MOST + timedelta(hours=12)) is None


def test_a_message_of_tomorrow_counts_and_one_of_the_day_after_does_not() -> None:
    assert counted_on(NOON + EARLY_MOST, NOON) == date(2026, 4, 1)
    assert counted_on(NOON + EARLY_MOST + timedelta(hours=12), NOON) is None


def test_an_id_is_remembered_for_as_long_as_it_can_come_and_a_day_for_late_stamps() -> None:
    assert remembered_from(NOON) == date(2026, 3, 21)


@given(logs(), st.data())
@settings(max_examples=examples(300))
def test_each_message_counts_once_whatever_is_forgotten_meanwhile(log: list[Delivery], data: st.DataObject) -> None:
    counted: list[str] = []
    remembered: dict[date, set[str]] = {}
    for position, (message, happened, logged) in enumerate(log):
        if data.draw(st.booleans()):
            forget(remembered, remembered_from(complete_until(log[position:])))
        day = counted_on(happened, logged)
        if day is not None and message not in remembered.setdefault(day, set()):
            remembered[day].add(message)
            counted.append(message)
    assert sorted(counted) == sorted({name for name, happened, logged in log if in_time(happened, logged)})


@given(logs())
def test_no_order_of_a_messages_deliveries_lets_it_count_on_another_day(log: list[Delivery]) -> None:
    by_message: dict[str, list[date]] = {}
    for message, happened, logged in log:
        if day := counted_on(happened, logged):
            by_message.setdefault(message, []).append(day)
    assert all(one == other for found in by_message.values() for one, other in pairwise(found))


def complete_until(unread: Sequence[Delivery]) -> datetime:
    """The latest moment of which it can be said that everything in Kafka by then was counted."""
    return min(logged for _, _, logged in unread) + STAMPED_BEFORE - HOUR


def forget(remembered: dict[date, set[str]], before: date) -> None:
    for day in [day for day in remembered if day < before]:
        del remembered[day]


def in_time(happened: datetime, logged: datetime) -> bool:
    """The rule in whole days of the calendar, said once more in other words."""
    allowed = [happened.date() + timedelta(days=number) for number in range(-EARLY_MOST.days, LATE_MOST.days + 1)]
    return logged.date() in allowed

"""When accounts are due: spread evenly, never forgotten, sooner after what may pass."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_events import Event, TemplatesSynced, TemplateSyncFailed, TemplateSyncRequested, TemplateSyncStarted
from wabus_template_sync.templates.schedule import RETRY_FIRST, Schedule, due, fold_schedule

START = datetime(2025, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def about(minute: float, sync_id: str) -> dict[str, Any]:
    time = START + timedelta(minutes=minute)
    return {"id": f"{sync_id}{minute}", "time": time, "waba_id": "w", "sync_id": sync_id, "reason": "manual"}


def requested(minute: float, sync_id: str) -> TemplateSyncRequested:
    return TemplateSyncRequested(**about(minute, sync_id))


def synced(minute: float, sync_id: str) -> TemplatesSynced:
    numbers: dict[str, Any] = {"total": 0, "approved": 0, "by_status": {}, "added": 0, "changed": 0, "removed": 0}
    return TemplatesSynced(**about(minute, sync_id), **numbers, started_at=START)


def failed(minute: float, sync_id: str, retryable: bool = True, after: float | None = None) -> TemplateSyncFailed:
    return TemplateSyncFailed(
        **about(minute, sync_id), code="c", message="m", retryable=retryable, retry_after=after, started_at=START
    )


def schedule_of(*events: Event, waba_id: str = "w") -> Schedule:
    row = Schedule(waba_id)
    for event in events:
        row = fold_schedule(row, event)
    return row


@pytest.mark.parametrize("waba_id", ["1", "102290129340398", "w"])
def test_an_account_is_due_within_an_interval_and_a_quarter_of_its_last_sync(waba_id: str) -> None:
    found = due(schedule_of(synced(0, "a"), waba_id=waba_id), START, HOUR)

    assert found.reason == "reconciliation"
    assert HOUR * 0.25 < found.at - START <= HOUR * 1.3


def test_a_thousand_accounts_synced_at_once_are_due_evenly_over_the_interval() -> None:
    ats = [due(schedule_of(synced(0, "a"), waba_id=str(number)), START, HOUR).at for number in range(1000)]

    per_minute = Counter(int((at - START).total_seconds() // 60) for at in ats)
    assert max(per_minute.values()) < 60


def test_an_account_keeps_its_place_in_the_interval() -> None:
    first = due(schedule_of(synced(0, "a")), START, HOUR).at
    row = schedule_of(synced((first - START).total_seconds() / 60 + 0.1, "b"))

    assert abs(due(row, START, HOUR).at - first - HOUR) < HOUR * 0.05


def test_what_may_pass_is_tried_again_soon_and_then_ever_later_up_to_the_interval() -> None:
    row, minute, waits = Schedule("w"), 0.0, list[timedelta]()
    for number in range(12):
        row = fold_schedule(row, failed(minute, str(number)))
        found = due(row, START, HOUR)
        waits.append(found.at - (row.ended_at or START))
        minute = (found.at - START).total_seconds() / 60

    assert RETRY_FIRST <= waits[0] <= RETRY_FIRST * 1.5
    assert waits[1] > waits[0]
    assert all(wait <= HOUR * 1.3 for wait in waits)


def test_meta_s_own_time_to_wait_is_kept() -> None:
    assert due(schedule_of(failed(0, "a", after=1200)), START, HOUR).at >= START + timedelta(minutes=20)


def test_what_somebody_must_repair_is_not_tried_again_before_the_regular_time() -> None:
    assert due(schedule_of(failed(0, "a", retryable=False)), START, HOUR).reason == "reconciliation"


def test_while_a_sync_is_pending_nothing_is_due_for_long() -> None:
    row = schedule_of(synced(0, "a"), requested(50, "b"), TemplateSyncStarted(**about(51, "b")))

    assert due(row, START, HOUR).at >= START + timedelta(minutes=110)


def test_a_success_ends_the_row_of_failures_and_a_repeated_event_counts_once() -> None:
    assert schedule_of(failed(0, "a"), failed(0, "a")).failures == 1
    assert schedule_of(failed(0, "a"), failed(1, "b"), synced(2, "c")).failures == 0


EVENTS = st.one_of(
    st.builds(requested, st.integers(0, 500), st.sampled_from("abc")),
    st.builds(synced, st.integers(0, 500), st.sampled_from("abc")),
    st.builds(failed, st.integers(0, 500), st.sampled_from("abc"), st.booleans(), st.sampled_from([None, 90.0])),
)


@given(st.lists(EVENTS, max_size=8), st.integers(1, 100_000))
def test_whatever_has_happened_an_account_is_due_some_time(events: list[Event], seconds: int) -> None:
    interval = timedelta(seconds=seconds)
    row = schedule_of(*events)

    found = due(row, START, interval)

    latest = max(filter(None, (row.asked_at, row.ended_at, START)))
    assert found.at <= latest + max(interval * 1.3, HOUR, timedelta(minutes=2))

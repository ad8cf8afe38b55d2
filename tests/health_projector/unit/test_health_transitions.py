"""When health has changed, and since when it is so."""

from datetime import UTC, datetime, timedelta

import pytest
from wabus_events import HealthChanged
from wabus_health_projector.health.judgement import Verdict, conclude
from wabus_health_projector.health.reasons.reason import Reason, Severity
from wabus_health_projector.health.transitions import KnownChange, transition

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def reason(code: str, severity: Severity = "failing", since: datetime | None = None, waba_id: str = "1") -> Reason:
    return Reason(code=code, severity=severity, message="What.", remedy="Do.", since=since, waba_id=waba_id)


def verdict(*reasons: Reason) -> Verdict:
    return conclude(reasons)


def known(of: HealthChanged) -> KnownChange:
    keys = frozenset((each.code, each.waba_id) for each in of.reasons if each.severity != "notice")
    return KnownChange(of.id, of.to_status, keys, of.since)


def first(*reasons: Reason, at: datetime = NOW - HOUR) -> HealthChanged:
    change = transition("demo", None, verdict(*reasons), at)
    assert change
    return change


def test_what_is_seen_for_the_first_time_is_a_change_from_nothing() -> None:
    change = first(reason("not_connected", "pending"))
    assert (change.from_status, change.to_status, change.previous_id) == (None, "pending", None)


def test_the_same_verdict_in_other_words_is_no_change() -> None:
    before = first(reason("sync_failing", "degraded"))
    again = reason("sync_failing", "degraded").model_copy(update={"message": "Else.", "since": NOW})
    assert transition("demo", known(before), verdict(again), NOW) is None


def test_what_is_merely_worth_knowing_is_no_change() -> None:
    before = first()
    assert transition("demo", known(before), verdict(reason("template_rejected", "notice")), NOW) is None


@pytest.mark.parametrize(
    "now_is",
    [
        verdict(),
        verdict(reason("account_banned")),
        verdict(reason("token_expired"), reason("account_banned")),
        verdict(reason("token_expired", waba_id="2")),
    ],
)
def test_another_status_or_reason_or_waba_is_a_change(now_is: Verdict) -> None:
    before = first(reason("token_expired"))
    change = transition("demo", known(before), now_is, NOW)
    assert change
    assert (change.from_status, change.previous_id) == ("failing", before.id)


def test_a_change_counts_since_the_cause_that_is_new() -> None:
    before = first(reason("template_paused", "degraded", since=NOW - 9 * HOUR), at=NOW - 8 * HOUR)
    old, new = (
        reason("template_paused", "degraded", since=NOW - 9 * HOUR),
        reason("token_expired", since=NOW - 3 * HOUR),
    )
    change = transition("demo", known(before), verdict(old, new), NOW)
    assert change
    assert change.since == NOW - 3 * HOUR


def test_a_change_to_healthy_counts_since_now() -> None:
    change = transition("demo", known(first(reason("token_expired"))), verdict(), NOW)
    assert change
    assert (change.since, change.to_status, change.reasons) == (NOW, "healthy", [])


def test_a_change_is_never_older_than_the_one_before_it_nor_of_the_future() -> None:
    before = first(at=NOW - HOUR)
    long_ago = transition("demo", known(before), verdict(reason("token_expired", since=NOW - 99 * HOUR)), NOW)
    ahead = transition("demo", known(before), verdict(reason("token_expired", since=NOW + 99 * HOUR)), NOW)
    assert long_ago
    assert ahead
    assert (long_ago.since, ahead.since) == (before.since, NOW)


def test_two_who_see_the_same_change_give_it_the_same_id_and_a_repetition_has_another() -> None:
    before = first()
    one, other = [transition("demo", known(before), verdict(reason("x")), NOW + delay * HOUR) for delay in (0, 1)]
    assert one
    assert other
    green = transition("demo", known(one), verdict(), NOW)
    assert green
    again = transition("demo", known(green), verdict(reason("x")), NOW)
    assert again
    assert one.id == other.id
    assert len({before.id, one.id, green.id, again.id}) == 4

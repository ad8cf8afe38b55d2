"""Each reason for a verdict: what leads to it, how bad it is, since when, and what ends it."""

from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import Any

import pytest
from wabus_events import (
    AccountAlerted,
    AccountChecked,
    AccountConnected,
    AccountDisconnected,
    AccountReviewed,
    AccountUpdated,
    CallbackVerified,
    CapabilityChanged,
    Event,
    PhoneNumber,
    PhoneNumberNameReviewed,
    PhoneNumberQualityChanged,
    SecurityChanged,
    TemplateQualityChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
    TemplateSyncFailed,
    TemplateSyncRequested,
    TemplateSyncStarted,
    WebhookSeen,
    fact_id,
)
from wabus_health_projector.health.fold import fold
from wabus_health_projector.health.judgement import Verdict, judge, judge_organisation
from wabus_health_projector.health.reasons.account import numbers
from wabus_health_projector.health.state import WabaHealth
from wabus_health_projector.health.summary import summarise
from wabus_health_projector.health.traffic import ErrorCount, NumberError, Traffic
from wabus_whatsapp.sending.errors import MEANINGS, meaning

CONNECTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = CONNECTED + timedelta(hours=2)
HOUR = timedelta(hours=1)


def fact(kind: type[Event], at: datetime = CONNECTED + HOUR, waba_id: str = "1", **details: Any) -> Event:
    event_id = fact_id(kind.type, waba_id, str(details), at.isoformat())
    return kind.model_validate({"waba_id": waba_id, "id": event_id, "time": at, "value": {}, **details})


def connected(at: datetime = CONNECTED, **details: Any) -> Event:
    return fact(AccountConnected, at, **{"org_id": "org", **details})


def synced(at: datetime = CONNECTED + timedelta(seconds=2), **details: Any) -> Event:
    counts: dict[str, Any] = {"total": 3, "approved": 2, "by_status": {}, "added": 3, "changed": 0, "removed": 0}
    about: dict[str, Any] = {"sync_id": "s", "reason": "r", "started_at": at}
    return fact(TemplatesSynced, at, **{**about, **counts, **details})


def failed(code: str, at: datetime = CONNECTED + HOUR, retryable: bool = False) -> Event:
    said: dict[str, Any] = {"code": code, "message": f"A sentence about {code}.", "retryable": retryable}
    return fact(TemplateSyncFailed, at, sync_id=f"f{at}", reason="r", started_at=at, **said)


def template(status: str, at: datetime = CONNECTED + HOUR, name: str = "offer") -> Event:
    return fact(TemplateStatusChanged, at, template_id=name, name=name, language="en", event=status)


def number(event: str, tier: str | None = None, at: datetime = CONNECTED + HOUR) -> Event:
    return fact(PhoneNumberQualityChanged, at, display_phone_number="15550001", event=event, current_limit=tier)


def account(event: str, at: datetime = CONNECTED + HOUR, **value: Any) -> Event:
    return fact(AccountUpdated, at, event=event, value=value)


HANDSHAKE = fact(CallbackVerified, CONNECTED, callback_url="https://wabus.example")
GOOD = (connected(), HANDSHAKE, synced())


def state(*events: Event) -> WabaHealth:
    return reduce(
        lambda health, event: fold(health, event, event.time), events, WabaHealth(waba_id=events[0].subject or "")
    )


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def test_a_connected_verified_and_synced_account_is_healthy() -> None:
    assert judge(state(*GOOD), NOW) == Verdict(status="healthy", reasons=())


SENDING = "whatsapp_business_messaging"
OK: dict[str, Any] = {"our_callback_url": "https://us.example", "subscribed": True}
RED = PhoneNumber(phone_number_id="9", display_phone_number="+1 555-0001", quality_rating="RED")
REASONS: list[tuple[str, str, tuple[Event, ...]]] = [
    ("token_expired", "failing", (failed("token_expired"),)),
    ("token_expired", "failing", (connected(CONNECTED + HOUR, token_expires_at=CONNECTED + HOUR),)),
    ("token_expires_soon", "degraded", (connected(CONNECTED + HOUR, token_expires_at=NOW + timedelta(days=6)),)),
    ("permission_lost", "failing", (failed("permission_lost"),)),
    (
        "permission_lost",
        "failing",
        (connected(CONNECTED + HOUR / 2, scopes=[SENDING, "other"]), fact(AccountChecked, scopes=["other"], **OK)),
    ),
    ("permission_lost", "failing", (account("PARTNER_REMOVED"),)),
    ("permission_lost", "failing", (account("PARTNER_APP_UNINSTALLED"),)),
    ("account_deleted", "failing", (account("ACCOUNT_DELETED"),)),
    ("account_offboarded", "failing", (account("ACCOUNT_OFFBOARDED"),)),
    ("sync_failing", "degraded", (failed("graph_unavailable", retryable=True),)),
    ("sync_failing", "failing", (failed("account_not_found"),)),
    ("template_paused", "degraded", (template("PAUSED"),)),
    ("template_disabled", "degraded", (template("DISABLED"),)),
    ("template_flagged", "degraded", (template("FLAGGED"),)),
    ("template_locked", "degraded", (template("LOCKED"),)),
    ("template_rejected", "healthy", (template("REJECTED"),)),
    (
        "template_quality_red",
        "degraded",
        (fact(TemplateQualityChanged, template_id="t", name="offer", language="en", new_quality="RED"),),
    ),
    ("phone_flagged", "degraded", (number("FLAGGED"),)),
    ("phone_quality_red", "degraded", (connected(CONNECTED + HOUR, phone_numbers=[RED]),)),
    (
        "phone_quality_yellow",
        "degraded",
        (connected(CONNECTED + HOUR, phone_numbers=[RED.model_copy(update={"quality_rating": "yellow"})]),),
    ),
    ("messaging_limit_lowered", "degraded", (number("DOWNGRADE", "TIER_250"),)),
    (
        "messaging_limit_lowered",
        "degraded",
        (number("THROUGHPUT_UPGRADE", "TIER_1K"), number("ONBOARDING", "TIER_10K", CONNECTED)),
    ),
    (
        "messaging_limit_lowered",
        "degraded",
        (
            fact(CapabilityChanged, CONNECTED, max_daily_conversation_per_phone=-1),
            fact(CapabilityChanged, max_daily_conversation_per_phone=1000),
        ),
    ),
    (
        "messaging_limit_lowered",
        "degraded",
        (
            fact(CapabilityChanged, CONNECTED, max_daily_conversation_per_phone=10_000),
            fact(CapabilityChanged, max_daily_conversations_per_business=2000),
        ),
    ),
    (
        "messaging_limit_lowered",
        "degraded",
        (
            fact(CapabilityChanged, CONNECTED, value={"max_daily_conversations_per_business": "TIER_UNLIMITED"}),
            fact(CapabilityChanged, value={"max_daily_conversations_per_business": "TIER_2K"}),
        ),
    ),
    (
        "display_name_rejected",
        "healthy",
        (fact(PhoneNumberNameReviewed, display_phone_number="15550001", decision="REJECTED"),),
    ),
    (
        "pin_reset_requested",
        "degraded",
        (fact(SecurityChanged, display_phone_number="15550001", event="PIN_RESET_REQUEST"),),
    ),
    ("account_banned", "failing", (account("DISABLED_UPDATE", ban_info={"waba_ban_state": "DISABLE"}),)),
    ("account_disabled", "failing", (account("DISABLED_UPDATE"),)),
    (
        "account_disable_scheduled",
        "degraded",
        (account("DISABLED_UPDATE", ban_info={"waba_ban_state": ["SCHEDULE_FOR_DISABLE"]}),),
    ),
    (
        "account_restricted",
        "failing",
        (
            account(
                "ACCOUNT_RESTRICTION", restriction_info=[{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}]
            ),
        ),
    ),
    (
        "account_restricted",
        "degraded",
        (
            account(
                "ACCOUNT_RESTRICTION", restriction_info=[{"restriction_type": "RESTRICTED_ADD_PHONE_NUMBER_ACTION"}]
            ),
        ),
    ),
    ("account_violation", "degraded", (account("ACCOUNT_VIOLATION", violation_info={"violation_type": "SCAM"}),)),
    ("account_review_rejected", "failing", (fact(AccountReviewed, decision="REJECTED"),)),
    ("account_alert", "degraded", (fact(AccountAlerted, alert_type="OBA_REJECTED", severity="CRITICAL"),)),
    ("account_alert", "healthy", (fact(AccountAlerted, alert_type="OBA_REJECTED", severity="WARNING"),)),
]


@pytest.mark.parametrize(
    ("code", "status", "events"), REASONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_trouble_has_a_reason_with_a_remedy(code: str, status: str, events: tuple[Event, ...]) -> None:
    verdict = judge(state(*GOOD, *events), NOW)
    assert (verdict.status, codes(verdict)) == (status, [code])
    reason = verdict.reasons[0]
    assert reason.message.endswith(".")
    assert reason.remedy.endswith(".")
    assert reason.waba_id == "1"
    assert reason.since is not None
    assert reason.since <= NOW


LATER = CONNECTED + HOUR + timedelta(minutes=30)
ENDED: list[tuple[Event, Event]] = [
    (failed("token_expired"), connected(LATER)),
    (failed("permission_lost"), connected(LATER)),
    (failed("account_not_found"), synced(LATER)),
    (connected(CONNECTED + HOUR, token_expires_at=CONNECTED + HOUR), connected(LATER)),
    (account("PARTNER_REMOVED"), connected(LATER)),
    (account("PARTNER_REMOVED"), account("PARTNER_ADDED", LATER)),
    (account("ACCOUNT_OFFBOARDED"), account("ACCOUNT_RECONNECTED", LATER)),
    (template("PAUSED"), template("APPROVED", LATER)),
    (template("DISABLED"), template("REINSTATED", LATER)),
    (template("LOCKED"), template("UNLOCKED", LATER)),
    (template("REJECTED"), fact(TemplateRemoved, LATER, template_id="offer", name="offer", language="en")),
    (number("FLAGGED"), number("UNFLAGGED", at=LATER)),
    (connected(CONNECTED + HOUR, phone_numbers=[RED]), number("UNFLAGGED", at=LATER)),
    (number("DOWNGRADE", "TIER_250"), number("UPGRADE", "TIER_1K", LATER)),
    (
        account("DISABLED_UPDATE", ban_info={"waba_ban_state": "DISABLE"}),
        account("DISABLED_UPDATE", LATER, ban_info={"waba_ban_state": "REINSTATE"}),
    ),
    (
        account("ACCOUNT_RESTRICTION", restriction_info=[{"restriction_type": "X_MESSAGING"}]),
        account("DISABLED_UPDATE", LATER, ban_info={"waba_ban_state": "REINSTATE"}),
    ),
    (fact(AccountReviewed, decision="REJECTED"), fact(AccountReviewed, LATER, decision="APPROVED")),
    (
        fact(AccountAlerted, alert_type="A", severity="CRITICAL"),
        fact(
            AccountAlerted, LATER, alert_type="A", severity="CRITICAL", value={"alert_info": {"alert_status": "NONE"}}
        ),
    ),
]


@pytest.mark.parametrize(("trouble", "end"), ENDED, ids=lambda event: type(event).__name__)
def test_a_trouble_ends_with_the_event_that_takes_it_back(trouble: Event, end: Event) -> None:
    assert judge(state(*GOOD, trouble), NOW).reasons
    assert judge(state(*GOOD, trouble, end), NOW).reasons == ()
    assert judge(state(end, trouble, *GOOD), NOW).reasons == ()


def test_a_restriction_ends_on_its_day() -> None:
    ends = CONNECTED + timedelta(days=7)
    restriction = {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": ends.isoformat()}
    health = state(*GOOD, account("ACCOUNT_RESTRICTION", restriction_info=[restriction]), synced(ends))
    assert "8 March 2026" in judge(health, ends - HOUR).reasons[0].message
    assert judge(health, ends).status == "healthy"


def test_nothing_connected_is_pending() -> None:
    verdict = judge_organisation([], NOW)
    assert (verdict.status, codes(verdict)) == ("pending", ["not_connected"])


def test_a_disconnected_account_says_so_and_since_when() -> None:
    health = state(*GOOD, fact(AccountDisconnected, LATER, org_id="org", reason="asked"), template("PAUSED"))
    verdict = judge_organisation([(health, Traffic())], NOW)
    assert (verdict.status, codes(verdict), verdict.reasons[0].since) == ("pending", ["not_connected"], LATER)


def test_a_connected_account_without_evidence_is_pending_until_a_webhook_arrives() -> None:
    unverified = state(connected(), synced())
    assert (judge(unverified, NOW).status, codes(judge(unverified, NOW))) == ("pending", ["webhook_unverified"])
    seen = fact(WebhookSeen, LATER, day=LATER.date(), field="messages")
    assert judge(state(connected(), synced(), seen), NOW).status == "healthy"


def test_the_first_sync_is_pending_and_degraded_when_it_takes_too_long() -> None:
    health = state(connected(), HANDSHAKE)
    assert codes(judge(health, CONNECTED + timedelta(minutes=1))) == ["first_sync_pending"]
    assert codes(judge(health, NOW)) == ["sync_stalled"]
    begun = state(connected(), HANDSHAKE, fact(TemplateSyncStarted, NOW, sync_id="x", reason="connected"))
    assert codes(judge(begun, NOW)) == ["first_sync_pending"]


def test_a_sync_that_was_asked_for_and_never_ends_is_noticed() -> None:
    health = state(*GOOD, fact(TemplateSyncRequested, LATER, sync_id="x", reason="manual"))
    assert judge(health, LATER + timedelta(minutes=1)).reasons == ()
    assert codes(judge(health, LATER + HOUR)) == ["sync_stalled"]


def test_templates_are_stale_a_day_after_the_last_good_sync() -> None:
    done = CONNECTED + timedelta(seconds=2)
    assert judge(state(*GOOD), done + timedelta(hours=24)).status == "healthy"
    verdict = judge(state(*GOOD), done + timedelta(hours=25))
    assert (codes(verdict), verdict.reasons[0].since) == (["templates_stale"], done + timedelta(hours=24))


@pytest.mark.parametrize(
    ("every", "hours"), [(timedelta(minutes=5), 24), (timedelta(days=1), 48), (timedelta(days=7), 336)]
)
def test_everybody_is_degraded_for_ever_when_templates_are_compared_less_than_daily(
    every: timedelta, hours: int
) -> None:
    done = CONNECTED + timedelta(seconds=2)
    assert judge(state(*GOOD), done + HOUR * hours, reconcile_every=every).status == "healthy"
    [reason] = judge(state(*GOOD), done + HOUR * (hours + 1), reconcile_every=every).reasons
    assert (reason.code, reason.since) == ("templates_stale", done + HOUR * hours)


def test_everybody_is_degraded_after_a_day_when_templates_are_compared_only_by_hand() -> None:
    health = state(*GOOD)
    later = CONNECTED + timedelta(days=400)
    assert judge(health, later, reconcile_every=timedelta(0)).status == "healthy"
    assert judge_organisation([(health, Traffic())], later, reconcile_every=timedelta(0)).status == "healthy"


GIVEN_UP = fact(AccountDisconnected, CONNECTED + timedelta(days=1), org_id="org", reason="asked")
AGAIN = CONNECTED + timedelta(days=20)
SOON = AGAIN + timedelta(minutes=1)
SHOOK_HANDS_AGAIN = fact(CallbackVerified, AGAIN - timedelta(seconds=1), callback_url="https://wabus.example")


def reconnected(*before: Event) -> WabaHealth:
    """Connected, given up after a day, and connected again on the twentieth, with these events before that."""
    return state(*GOOD, *before, GIVEN_UP, SHOOK_HANDS_AGAIN, connected(AGAIN))


def test_templates_are_stale_at_once_when_an_account_is_connected_again() -> None:
    verdict = judge(reconnected(), SOON)
    assert [(reason.code, reason.since) for reason in verdict.reasons] == [("first_sync_pending", AGAIN)]
    assert codes(judge(reconnected(), AGAIN + HOUR)) == ["sync_stalled"]
    assert judge(state(*GOOD, GIVEN_UP, SHOOK_HANDS_AGAIN, connected(AGAIN), synced(SOON)), SOON).status == "healthy"


def test_a_renewed_token_leaves_templates_stale_since_before_it() -> None:
    health = state(*GOOD, connected(AGAIN))
    assert judge(health, SOON).status == "healthy"
    [reason] = judge(health, AGAIN + HOUR * 25).reasons
    assert (reason.code, reason.since) == ("templates_stale", AGAIN + HOUR * 24)


def test_a_sync_that_never_ended_stalls_the_next_connection_at_once() -> None:
    asked = fact(TemplateSyncRequested, LATER, sync_id="x", reason="manual")
    assert codes(judge(reconnected(asked), SOON)) == ["first_sync_pending"]


def test_a_sync_fails_since_before_the_account_was_connected_again() -> None:
    failure = failed("graph_unavailable", SOON, retryable=True)
    before = failed("graph_unavailable", LATER, retryable=True)
    health = state(*GOOD, before, GIVEN_UP, SHOOK_HANDS_AGAIN, connected(AGAIN), failure)
    [reason] = judge(health, SOON).reasons
    assert (reason.code, reason.since) == ("sync_failing", SOON)


def test_a_callback_of_a_former_connection_counts_as_verified() -> None:
    health = state(*GOOD, GIVEN_UP, connected(AGAIN), synced(SOON))
    assert codes(judge(health, SOON)) == ["webhook_unverified"]
    heard_before = Traffic(last_at=CONNECTED + HOUR, reached_at=CONNECTED + HOUR)
    assert codes(judge(health, SOON, heard_before)) == ["webhook_unverified"]
    assert judge(health, SOON, Traffic(reached_at=SOON)).status == "healthy"


def test_what_meta_took_back_while_nobody_was_connected_counts_for_ever() -> None:
    said = [
        number("FLAGGED"),
        number("DOWNGRADE", "TIER_250", LATER),
        account("DISABLED_UPDATE", ban_info={"waba_ban_state": "DISABLE"}),
        account("ACCOUNT_RESTRICTION", restriction_info=[{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}]),
        fact(AccountReviewed, decision="REJECTED"),
        fact(PhoneNumberNameReviewed, display_phone_number="15550001", decision="REJECTED"),
        fact(CapabilityChanged, CONNECTED, max_daily_conversations_per_business=2000),
        fact(CapabilityChanged, max_daily_conversations_per_business=250),
    ]
    assert codes(judge(reconnected(*said), SOON)) == ["first_sync_pending"]


def test_a_restriction_that_names_its_end_outlasts_a_new_connection() -> None:
    ends = AGAIN + timedelta(days=7)
    restriction = {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": ends.isoformat()}
    health = reconnected(account("ACCOUNT_RESTRICTION", restriction_info=[restriction]))
    assert "account_restricted" in codes(judge(health, SOON))


def test_messages_that_failed_before_an_account_was_connected_again_are_its_failures() -> None:
    given_up = fact(AccountDisconnected, NOW - HOUR / 4, org_id="org", reason="asked")
    verified = fact(CallbackVerified, NOW, callback_url="https://wabus.example")
    health = state(*GOOD, given_up, connected(NOW), verified, synced(NOW))
    before = Traffic(failed=31, errors=(failing_with(131042, 1), failing_with(131026, 30)), last_at=LATER)
    assert judge(health, NOW, before).status == "healthy"
    after = ErrorCount(phone_number_id="9", code=131026, count=10, first_at=NOW, last_at=NOW)
    verdict = judge(health, NOW, before.model_copy(update={"failed": 41, "errors": (*before.errors, after)}))
    assert [reason.message.partition(" ")[0] for reason in verdict.reasons] == ["10"]


@pytest.mark.parametrize(("expires", "since"), [(NOW + timedelta(days=6), CONNECTED), (NOW + timedelta(days=7), NOW)])
def test_a_token_expires_soon_since_a_week_before_but_not_before_it_came(expires: datetime, since: datetime) -> None:
    (reason,) = judge(state(*GOOD, connected(CONNECTED, token_expires_at=expires)), NOW).reasons
    assert (reason.code, reason.since) == ("token_expires_soon", since)


@pytest.mark.parametrize(
    ("heard", "tier"),
    [((), "TIER_2K"), ((CONNECTED - HOUR, "TIER_250"), "TIER_2K"), ((CONNECTED + HOUR, "TIER_10K"), "TIER_10K")],
)
def test_a_number_has_the_limit_that_was_told_last(heard: tuple[Any, ...], tier: str) -> None:
    phone = PhoneNumber(phone_number_id="9", display_phone_number="+1 555-0001", messaging_limit="TIER_2K")
    events = [number("UPGRADE", heard[1], heard[0])] if heard else []
    health = state(connected(phone_numbers=[phone]), *events)
    assert health.connection
    assert [each.tier for each in numbers(health, health.connection)] == [tier]


def test_a_failing_sync_fails_since_its_first_failure_after_the_last_success() -> None:
    failures = [failed("graph_unavailable", CONNECTED + HOUR * hours / 4, retryable=True) for hours in (1, 2, 3)]
    verdict = judge(state(*GOOD, *failures), NOW)
    assert verdict.reasons[0].since == CONNECTED + HOUR / 4
    assert verdict.reasons[0].message == "Meta is not answering."


def test_an_app_of_ours_that_graph_refuses_is_no_reason_and_hides_none() -> None:
    ours = failed("app_refused", CONNECTED + HOUR * 1.5, retryable=True)
    assert judge(state(*GOOD, ours), NOW) == Verdict(status="healthy", reasons=())
    assert judge(state(*GOOD, failed("token_expired"), ours), NOW) == judge(state(*GOOD, failed("token_expired")), NOW)
    assert codes(judge(state(connected(), HANDSHAKE, ours), NOW)) == ["first_sync_pending"]


def seen_on(*days: date) -> list[Event]:
    at = [datetime(day.year, day.month, day.day, 10, tzinfo=UTC) for day in days]
    return [fact(WebhookSeen, when, day=when.date(), field="messages") for when in at]


@pytest.mark.parametrize(("every", "silent_after"), [(1, 4), (3, 7)])
def test_silence_is_measured_by_the_habit_of_the_account(every: int, silent_after: int) -> None:
    days = [date(2026, 3, 1) + timedelta(days=every * number) for number in range(8)]
    last = datetime.combine(days[-1], datetime.max.time(), UTC)
    quiet = state(*GOOD, *seen_on(*days), synced(last + timedelta(days=silent_after - 1)))
    assert judge(quiet, last + timedelta(days=silent_after - 2)).status == "healthy"
    verdict = judge(quiet, last + timedelta(days=silent_after - 0.5))
    assert (verdict.status, codes(verdict)) == ("degraded", ["webhook_silent"])


def test_an_account_that_hardly_ever_spoke_is_not_called_silent() -> None:
    later = NOW + timedelta(days=90)
    assert judge(state(*GOOD, *seen_on(date(2026, 3, 2), date(2026, 3, 3)), synced(later)), later).status == "healthy"


def test_several_templates_are_named_in_one_sentence() -> None:
    verdict = judge(state(*GOOD, *(template("PAUSED", name=name) for name in "abcde")), NOW)
    assert verdict.reasons[0].message.startswith("5 templates are paused")
    assert "a (en), b (en), c (en) and 2 more" in verdict.reasons[0].message


def test_the_worst_reason_decides_and_comes_first() -> None:
    verdict = judge(state(*GOOD, template("PAUSED"), template("REJECTED", name="other"), failed("token_expired")), NOW)
    assert verdict.status == "failing"
    assert codes(verdict) == ["token_expired", "template_paused", "template_rejected"]


def failing_with(code: int, count: int) -> ErrorCount:
    return ErrorCount(phone_number_id="9", code=code, count=count, first_at=LATER, last_at=LATER)


@pytest.mark.parametrize("code", sorted(MEANINGS))
def test_many_failed_messages_are_explained_by_their_commonest_cause(code: int) -> None:
    errors = failing_with(code, 20), failing_with(99, 5)
    [reason] = judge(state(*GOOD), NOW, Traffic(sent=50, failed=25, errors=errors)).reasons
    assert reason.message.startswith("25 messages of the last day could not be delivered, 20 of them because ")
    assert reason.message.endswith(f"(Meta's error {code}, 99).")
    assert reason.remedy == MEANINGS[code].remedy


def test_an_error_code_that_nobody_knows_is_at_least_named() -> None:
    [reason] = judge(state(*GOOD), NOW, Traffic(sent=0, failed=10, errors=(failing_with(99, 10),))).reasons
    assert "(Meta's error 99)" in reason.message
    assert "error codes" in reason.remedy


SENDING_ERRORS = [
    *(1, 2, 4, 10, 100, 190, 200, 368, 80007, 130429, 130472, 130497, 131000, 131005, 131008, 131009, 131016, 131021),
    *(131026, 131030, 131031, 131037, 131042, 131044, 131045, 131047, 131048, 131049, 131050, 131051, 131052, 131053),
    *(131056, 131057, 131061, 131062, 131063, 131064, 132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016),
    *(132018, 132068, 132069, 133010, 134011, 137000),
]
"""Codes that Meta gives for messages which were not sent."""


@pytest.mark.parametrize("code", SENDING_ERRORS)
def test_nobody_is_sent_to_look_up_a_code_that_meta_documents(code: int) -> None:
    twelve = Traffic(sent=0, failed=12, errors=(failing_with(code, 12),))
    [reason] = judge(state(*GOOD), NOW, twelve).reasons
    assert "Look the error code up" not in reason.remedy
    assert meaning(code)


def test_a_number_without_an_approved_name_is_named() -> None:
    [reason] = judge(state(*GOOD), NOW, Traffic(failed=1, errors=(failing_with(131037, 1),), last_at=LATER)).reasons
    assert (reason.code, reason.severity) == ("display_name_not_approved", "failing")


def test_nobody_learns_why_a_number_sends_nothing_when_meta_names_no_message() -> None:
    error = NumberError(phone_number_id="9", code=130429, first_at=LATER, last_at=LATER)
    traffic = Traffic(of_numbers=(error,), last_at=LATER)
    [reason] = judge(state(*GOOD), LATER + HOUR / 2, traffic).reasons
    assert (reason.code, reason.severity, reason.since) == ("sending_refused", "degraded", LATER)
    assert reason.message == (
        "Your phone number could not send because more was sent than Meta takes at once (Meta's error 130429)."
    )
    sent = {"last_sent_at": {"9": LATER + HOUR / 4}}
    assert judge(state(*GOOD), LATER + HOUR / 2, traffic.model_copy(update=sent)).status == "healthy"
    assert judge(state(*GOOD), LATER + HOUR, traffic).status == "healthy"


def test_an_error_of_the_account_counts_until_a_message_gets_through() -> None:
    broken = Traffic(failed=1, errors=(failing_with(131042, 1),), last_at=LATER)
    [reason] = judge(state(*GOOD), NOW, broken).reasons
    assert (reason.code, reason.since) == ("payment_problem", LATER)
    assert judge(state(*GOOD), NOW, broken.model_copy(update={"last_sent_at": {"8": NOW}})).status == "healthy"


def test_an_error_of_a_number_names_it() -> None:
    number = PhoneNumber(phone_number_id="9", display_phone_number="+1 555-0001")
    health = state(*GOOD, connected(CONNECTED + HOUR / 2, phone_numbers=[number]))
    [reason] = judge(health, NOW, Traffic(errors=(failing_with(133010, 1),), last_at=LATER)).reasons
    assert reason.message == "The number +1 555-0001 is not registered for the Cloud API."


def test_an_error_of_a_number_counts_although_another_number_sends() -> None:
    broken = Traffic(failed=1, errors=(failing_with(133010, 1),), last_at=LATER)
    [reason] = judge(state(*GOOD), NOW, broken.model_copy(update={"last_sent_at": {"8": NOW}})).reasons
    assert reason.code == "number_not_registered"
    assert reason.message == "Your phone number is not registered for the Cloud API."
    assert judge(state(*GOOD), NOW, broken.model_copy(update={"last_sent_at": {"9": NOW}})).status == "healthy"


def test_many_failed_messages_are_a_reason_and_few_are_not() -> None:
    error = failing_with(131026, 30)
    assert codes(judge(state(*GOOD), NOW, Traffic(sent=50, failed=30, errors=(error,)))) == ["messages_failing"]
    assert judge(state(*GOOD), NOW, Traffic(sent=500, failed=30, errors=(error,))).status == "healthy"
    assert judge(state(*GOOD), NOW, Traffic(sent=2, failed=3, errors=(error,))).status == "healthy"


def other(*events: Event) -> WabaHealth:
    return state(*(event.model_copy(update={"waba_id": "2"}) for event in events))


def test_an_organisation_is_as_healthy_as_its_worst_account() -> None:
    wabas = [(state(*GOOD), Traffic()), (other(*GOOD, template("PAUSED")), Traffic())]
    verdict = judge_organisation(wabas, NOW)
    assert (verdict.status, [reason.waba_id for reason in verdict.reasons]) == ("degraded", ["2"])


def test_an_account_that_was_given_up_says_nothing_while_another_is_connected() -> None:
    left = other(*GOOD, fact(AccountDisconnected, LATER, org_id="org", reason="asked"), failed("token_expired"))
    assert judge_organisation([(state(*GOOD), Traffic()), (left, Traffic())], NOW).status == "healthy"


def test_the_row_of_an_organisation_joins_its_accounts() -> None:
    first = state(*GOOD)
    second = other(connected(LATER), HANDSHAKE, failed("rate_limited", LATER), synced(CONNECTED, total=10, approved=5))
    row = summarise("org", [(first, CONNECTED), (second, LATER)])
    assert (row.waba_id, row.webhook_verified, row.webhook_verified_at) == ("2", True, CONNECTED)
    assert (row.template_sync_status, row.template_total, row.template_approved) == ("failed", 13, 7)
    assert (row.last_error, row.last_error_at) == ("A sentence about rate_limited.", LATER)
    assert (row.last_sync_at, row.created_at, row.updated_at) == (CONNECTED + timedelta(seconds=2), CONNECTED, LATER)


def test_one_unverified_account_makes_the_row_unverified() -> None:
    row = summarise("org", [(state(*GOOD), NOW), (other(connected()), NOW)])
    assert (row.webhook_verified, row.webhook_verified_at, row.template_sync_status) == (False, None, "never")

"""What a check says of a connection beside its token: numbers, who may send, what our app hears of, whose it is."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events import (
    AccountChecked,
    AccountConnected,
    AccountUpdated,
    CallbackVerified,
    CheckedNumber,
    Event,
    PhoneNumber,
    SendingError,
    SendingRestriction,
    TemplatesSynced,
    fact_id,
)
from wabus_health_projector.health.check import (
    REFUSED_FOR,
    TRY_AGAIN,
    TRY_AGAIN_MOST,
    Answers,
    Tries,
    answered,
    details_known,
    difference,
    to_subscribe,
)
from wabus_health_projector.health.fold import fold
from wabus_health_projector.health.judgement import Verdict, judge
from wabus_health_projector.health.reasons.reason import Reason
from wabus_health_projector.health.state import WabaHealth
from wabus_health_projector.health.traffic import ErrorCount, Traffic
from wabus_health_projector.worker.checker import CHECK_AFTER_CONNECT
from wabus_whatsapp.accounts import AccountDetails
from wabus_whatsapp.webhook_fields import FIELDS, TO_THE_ACCOUNT, Subscription

CONNECTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = CONNECTED + 2 * HOUR
OURS = "https://us.example/webhooks/whatsapp"
ALL = tuple(FIELDS)
RUNNER = "This is for whoever runs this service"


def fact(kind: type[Event], at: datetime = CONNECTED + HOUR, **details: Any) -> Event:
    event_id = fact_id(kind.type, str(details), at.isoformat())
    return kind.model_validate({"waba_id": "1", "id": event_id, "time": at, "value": {}, **details})


def connected(**details: Any) -> Event:
    return fact(AccountConnected, CONNECTED, org_id="org", **details)


def checked(at: datetime = CONNECTED + HOUR, **details: Any) -> Event:
    return fact(AccountChecked, at, our_callback_url=OURS, **details)


def number(**details: Any) -> CheckedNumber:
    return CheckedNumber.model_validate({"phone_number_id": "9", "display_phone_number": "+1 555-0001", **details})


SYNCED = fact(
    TemplatesSynced, CONNECTED, sync_id="s", reason="r", started_at=CONNECTED, by_status={},
    **dict.fromkeys(("total", "approved", "added", "changed", "removed"), 0),
)  # fmt: skip
HANDSHAKE = fact(CallbackVerified, CONNECTED, callback_url=OURS)


def state(*events: Event) -> WabaHealth:
    return reduce(lambda health, event: fold(health, event, event.time), events, WabaHealth(waba_id="1"))


def judged(*events: Event, traffic: Traffic | None = None) -> Verdict:
    first = () if any(isinstance(event, AccountConnected) for event in events) else (connected(),)
    return judge(state(*first, HANDSHAKE, SYNCED, *events), NOW, traffic or Traffic())


def codes(verdict: Verdict) -> list[tuple[str, str]]:
    return [(reason.code, reason.severity) for reason in verdict.reasons]


def only(verdict: Verdict) -> Reason:
    (reason,) = verdict.reasons
    return reason


# Numbers that are not registered


@pytest.mark.parametrize(
    "how",
    [
        {"status": "PENDING"},
        {"platform_type": "NOT_APPLICABLE"},
        {"status": "UNVERIFIED", "platform_type": "ON_PREMISE"},
    ],
)
def test_somebody_waits_for_messages_of_a_number_that_nobody_has_registered(how: dict[str, str]) -> None:
    verdict = judged(checked(numbers=[number(**how)]))
    assert (verdict.status, codes(verdict)) == ("pending", [("number_not_registered", "pending")])
    assert "+1 555-0001" in only(verdict).message
    assert "six-digit PIN" in only(verdict).remedy
    assert "9)" in only(verdict).remedy


def test_it_is_named_at_once_and_not_only_with_the_first_check() -> None:
    unregistered = PhoneNumber(phone_number_id="9", display_phone_number="+1 555-0001", status="PENDING")
    known = connected(phone_numbers=[unregistered])
    assert codes(judged(known)) == [("number_not_registered", "pending")]
    assert codes(judged(known, checked(numbers=[number(status="CONNECTED", platform_type="CLOUD_API")]))) == []


def test_a_number_whose_messages_fail_for_it_is_told_of_once_and_another_for_itself() -> None:
    traffic = Traffic(
        failed=1,
        errors=(ErrorCount(phone_number_id="9", code=133010, count=1, first_at=NOW - HOUR, last_at=NOW - HOUR),),
    )
    numbers = [number(status="PENDING")]
    verdict = judged(checked(numbers=numbers), traffic=traffic)
    assert codes(verdict) == [("number_not_registered", "failing")]
    assert "+1 555-0001" in only(verdict).message
    other = number(phone_number_id="8", display_phone_number="+1 555-0008", status="PENDING")
    assert codes(judged(checked(numbers=[*numbers, other]), traffic=traffic)) == [
        ("number_not_registered", "failing"),
        ("number_not_registered", "pending"),
    ]


@pytest.mark.parametrize(
    ("status", "severity"), [("BANNED", "failing"), ("DISCONNECTED", "failing"), ("PENDING", "pending")]
)
def test_a_number_that_was_registered_once_is_not_told_to_be_registered(status: str, severity: str) -> None:
    verdict = judged(checked(numbers=[number(status=status, platform_type="CLOUD_API")]))
    assert codes(verdict) == [("phone_not_connected", severity)]


# What Meta itself lets not send

PAYMENT = SendingError(
    error_code=141006,
    description="There is an error with the payment method.",
    possible_solution="Please add a new payment method to the account.",
)
BANNED = SendingError(error_code=141014, description="The WABA is banned.", possible_solution="Appeal the ban.")
UNKNOWN = SendingError(error_code=141999, description="Something new.", possible_solution="Do something about it.")


def restricted(
    kind: str, can: str = "BLOCKED", *errors: SendingError, id_: str = "1", **more: Any
) -> SendingRestriction:
    return SendingRestriction(entity_type=kind, entity_id=id_, can_send_message=can, errors=list(errors), **more)


def test_metas_own_words_become_a_reason_with_what_it_advises() -> None:
    verdict = judged(checked(restrictions=[restricted("WABA", "BLOCKED", UNKNOWN)]))
    assert (verdict.status, codes(verdict)) == ("failing", [("sending_blocked", "failing")])
    assert only(verdict).message == "Meta blocks sending by your account: Something new."
    assert only(verdict).remedy == "Do something about it."


@pytest.mark.parametrize(
    ("restriction", "code", "severity", "words"),
    [
        (restricted("WABA", "BLOCKED", PAYMENT), "payment_problem", "failing", "payment method"),
        (restricted("WABA", "BLOCKED", BANNED), "account_banned", "failing", "banned"),
        (
            restricted("BUSINESS", "LIMITED", SendingError(error_code=141010, description="Not verified.")),
            *("business_not_verified", "degraded", "business portfolio"),
        ),
        (restricted("PHONE_NUMBER", "LIMITED", id_="9"), "sending_limited", "degraded", "the number +1 555-0001."),
        (restricted("PHONE_NUMBER", "BLOCKED", UNKNOWN, id_="7"), "sending_blocked", "failing", "a number"),
        (restricted("APP", "BLOCKED", UNKNOWN), "sending_blocked", "failing", "this service's app"),
        (restricted("WHATSAPP_ACCOUNT", "BLOCKED", UNKNOWN), "sending_blocked", "failing", "whatsapp account"),
    ],
)
def test_each_part_that_takes_part_in_sending_is_named(
    restriction: SendingRestriction, code: str, severity: str, words: str
) -> None:
    verdict = judged(checked(restrictions=[restriction], numbers=[number(status="CONNECTED")]))
    assert codes(verdict) == [(code, severity)]
    assert words in only(verdict).message
    assert only(verdict).remedy.startswith(RUNNER) is (restriction.entity_type == "APP")


def test_what_meta_says_of_a_limit_without_an_error_is_told_as_one_reason() -> None:
    told = ["Your display name is not approved.", "The limit rises after that."]
    verdict = judged(checked(restrictions=[restricted("PHONE_NUMBER", "LIMITED", id_="9", additional_info=told)]))
    assert only(verdict).message == f"Meta limits sending by a number: {' '.join(told)}"
    assert only(verdict).remedy == "See in WhatsApp Manager what Meta asks for."


def test_a_customer_reads_the_same_cause_twice() -> None:
    payment = checked(restrictions=[restricted("WABA", "BLOCKED", PAYMENT)])
    unpaid = ErrorCount(phone_number_id="9", code=131042, count=3, first_at=NOW - HOUR, last_at=NOW - HOUR)
    assert codes(judged(payment, traffic=Traffic(failed=3, errors=(unpaid,)))) == [("payment_problem", "failing")]

    ban = fact(AccountUpdated, event="DISABLED_UPDATE", value={"ban_info": {"waba_ban_state": "DISABLE"}})
    gone = fact(AccountUpdated, event="DISABLED_UPDATE", value={})
    banned = checked(restrictions=[restricted("WABA", "BLOCKED", BANNED)])
    assert codes(judged(ban, banned)) == [("account_banned", "failing")]
    assert codes(judged(gone, banned)) == [("account_disabled", "failing")]


@pytest.mark.parametrize("how", [{"status": "BANNED"}, {"status": "PENDING", "platform_type": "NOT_APPLICABLE"}])
def test_what_meta_blocks_because_the_number_is_not_connected_is_told_by_that_alone(how: dict[str, str]) -> None:
    blocked = restricted("PHONE_NUMBER", "BLOCKED", UNKNOWN, id_="9")
    assert len(judged(checked(numbers=[number(**how)], restrictions=[blocked])).reasons) == 1


@pytest.mark.parametrize("kind", ["MESSAGE_TEMPLATE", "FLOW"])
def test_templates_are_judged_by_what_meta_tells_of_them(kind: str) -> None:
    assert codes(judged(checked(restrictions=[restricted(kind, "BLOCKED", UNKNOWN)]))) == []


def test_what_meta_said_before_the_account_was_connected_again_counts_no_more() -> None:
    before = checked(
        CONNECTED - HOUR, restrictions=[restricted("WABA", "BLOCKED", PAYMENT)], fields_missing=["messages"]
    )
    assert codes(judged(before)) == []


# What our app hears of


def test_without_messages_nothing_works_and_everybody_is_told() -> None:
    verdict = judged(checked(fields_missing=["messages"]))
    assert (verdict.status, codes(verdict)) == ("failing", [("fields_missing", "failing")])
    assert "“messages”" in only(verdict).message
    assert "No message and no delivery status reaches us." in only(verdict).message
    assert only(verdict).remedy.startswith(RUNNER)


def test_all_that_is_missing_is_named_by_how_bad_it_is() -> None:
    verdict = judged(checked(fields_missing=list(ALL), numbers=[number(coexistence=True, status="CONNECTED")]))
    assert codes(verdict) == [("fields_missing", each) for each in ("failing", "degraded", "notice")]
    told = " ".join(reason.message for reason in verdict.reasons)
    assert all(f"“{name}”" in told for name in ALL)


def test_what_is_sent_from_the_phone_is_missed_only_where_there_is_a_phone() -> None:
    phone = ["smb_message_echoes", "history", "smb_app_state_sync"]
    for coexistence in (False, None):
        assert codes(judged(checked(fields_missing=phone, numbers=[number(coexistence=coexistence)]))) == []
    verdict = judged(checked(fields_missing=phone, numbers=[number(coexistence=True)]))
    assert (verdict.status, codes(verdict)) == ("healthy", [("fields_missing", "notice")])
    assert "What is sent, kept and received on your phone" in only(verdict).message


def test_a_callback_that_is_somebody_elses_is_named_and_what_to_do() -> None:
    verdict = judged(checked(fields_missing=["account_update"], app_callback_host="elsewhere.example"))
    assert codes(verdict) == [("fields_missing", "degraded")]
    told = "Meta does not tell us of “account_update”: the app's callback is at elsewhere.example."
    assert only(verdict).message.startswith(told)
    assert OURS in only(verdict).remedy


def test_nobody_is_told_of_fields_while_it_is_not_known_what_the_app_is_subscribed_to() -> None:
    assert codes(judged(checked(fields_missing=None))) == codes(judged(checked(fields_missing=[]))) == []
    assert codes(judged(checked(fields_missing=["a_field_of_a_later_release"]))) == []


# When fields are added to the app's subscription

AT = NOW - timedelta(minutes=1)


def test_fields_are_added_to_a_subscription_that_is_ours_or_that_there_is_none_of() -> None:
    assert to_subscribe(Subscription(OURS, ALL[1:]), Tries(), OURS, NOW) == ("messages",)
    assert to_subscribe(Subscription(), Tries(), OURS, NOW) == ALL
    assert to_subscribe(Subscription(OURS, ALL), Tries(), OURS, NOW) == ()


@pytest.mark.parametrize("url", ["https://elsewhere.example", OURS + "/1", OURS + "?a", "https://us.example.evil/x"])
def test_another_service_loses_its_webhooks_because_we_subscribed_the_app(url: str) -> None:
    assert to_subscribe(Subscription(url, ("messages",)), Tries(), OURS, NOW) == ()


def test_a_try_that_failed_is_not_repeated_at_once_but_at_last() -> None:
    def tried(count: int, ago: timedelta) -> bool:
        return bool(to_subscribe(Subscription(OURS, ()), Tries(count, NOW - ago), OURS, NOW))

    assert tried(0, timedelta(0))
    assert [tried(1, TRY_AGAIN - HOUR / 3600), tried(1, TRY_AGAIN)] == [False, True]
    assert [tried(2, TRY_AGAIN), tried(2, 2 * TRY_AGAIN)] == [False, True]
    assert [tried(999, TRY_AGAIN_MOST - HOUR), tried(999, TRY_AGAIN_MOST)] == [False, True]


def test_who_connects_while_the_gateway_is_starting_is_not_shown_red_for_a_quarter_of_an_hour() -> None:
    first_try_failed = Tries(1, NOW - CHECK_AFTER_CONNECT)
    assert to_subscribe(Subscription(), first_try_failed, OURS, NOW) == ALL


def test_a_field_that_meta_does_not_have_is_tried_once_a_day() -> None:
    def wanted(ago: timedelta) -> tuple[str, ...]:
        return to_subscribe(Subscription(OURS, ALL[2:]), Tries(0, NOW - ago, ("messages",)), OURS, NOW)

    assert wanted(REFUSED_FOR - HOUR) == (ALL[1],)
    assert wanted(REFUSED_FOR) == ALL[:2]


@settings(max_examples=examples(100))
@given(
    st.sampled_from([None, OURS, OURS + "/", OURS + "/1", "https://elsewhere.example/hook"]),
    st.sets(st.sampled_from([*ALL, "flows"])),
    st.builds(
        Tries,
        st.integers(0, 50),
        st.none() | st.timedeltas(timedelta(0), timedelta(days=2)).map(lambda ago: NOW - ago),
        st.lists(st.sampled_from(ALL)).map(tuple),
    ),
)
def test_nothing_is_added_that_is_there_or_that_nobody_needs(url: str | None, fields: set[str], tries: Tries) -> None:
    app = Subscription(url, tuple(sorted(fields)))
    wanted = to_subscribe(app, tries, OURS, NOW)
    assert set(wanted) <= set(ALL) - fields
    assert not wanted or url in (None, OURS, OURS + "/")
    if app.is_elsewhere(OURS):
        assert set(app.missing(OURS)) == (set(ALL) - fields) | (set(ALL) - TO_THE_ACCOUNT)


# What is told of a check

TOKEN = {"is_valid": True, "expires_at": 0, "scopes": []}
SUBSCRIBED = {"data": [{"whatsapp_business_api_data": {"id": "app"}}]}
PHONES = {"data": [{"id": "9", "is_on_biz_app": True, "platform_type": "CLOUD_API", "throughput": {"level": "HIGH"}}]}
ACCOUNT = {"timezone_id": "71", "currency": "INR", "country": "IN", "owner_business_info": {"id": "506914307656634"}}


def asked(held: WabaHealth, **answers: Any) -> AccountChecked | None:
    given: dict[str, Any] = {"token": TOKEN, "subscribed": SUBSCRIBED, "phones": PHONES, "account": ACCOUNT}
    return difference(held, answered(held, Answers(**given | answers), our_callback_url=OURS, app_id="app"), NOW)


def test_an_account_that_was_connected_before_learns_whose_it_is_from_the_next_check_and_once() -> None:
    held = state(connected(), checked(subscribed=True, numbers=[number(display_phone_number=None)]))
    event = asked(held)
    assert event is not None
    told = (event.portfolio_id, event.time_zone_id, event.time_zone, event.currency, event.country)
    assert told == ("506914307656634", 71, "Asia/Kolkata", "INR", "IN")
    assert [(each.throughput, each.coexistence) for each in event.numbers] == [("HIGH", True)]
    assert asked(fold(held, event, NOW)) is None


@pytest.mark.parametrize(
    ("expires", "at"),
    [(1_893_456_000, 2030), ("1893456000", 2030), (0, None), (-1, None), (10**15, None), (True, None)],
)
def test_a_check_goes_on_whatever_meta_says_of_when_a_token_expires(expires: object, at: int | None) -> None:
    event = asked(state(connected()), token=TOKEN | {"expires_at": expires})
    assert event is not None
    assert (event.token_expires_at and event.token_expires_at.year) == at


def test_what_graph_is_silent_about_for_once_stays_as_it_was_known() -> None:
    first = asked(state(connected()), app=Subscription(OURS, ALL[1:]))
    assert first is not None
    assert first.fields_missing == ["messages"]
    held = fold(state(connected()), first, NOW)
    without = {"data": [{name: value for name, value in PHONES["data"][0].items() if name != "is_on_biz_app"}]}
    assert asked(held, account={}, phones=without) is None


def test_a_zone_whose_name_is_not_known_does_not_keep_the_name_of_the_one_before() -> None:
    first = asked(state(connected()))
    assert first is not None
    second = asked(fold(state(connected()), first, NOW), account={**ACCOUNT, "timezone_id": "999"})
    assert second is not None
    assert (second.time_zone_id, second.time_zone) == (999, None)


def test_what_the_connection_told_stands_until_a_check_tells_otherwise() -> None:
    zone = {"time_zone_id": 47, "time_zone": "Europe/Berlin", "currency": "EUR", "portfolio_id": "5"}
    held = state(connected(**zone), checked(currency="USD"))
    assert details_known(held) == AccountDetails("5", 47, "Europe/Berlin", "USD", None)


def test_the_host_of_somebody_elses_callback_is_told_and_nothing_of_its_address() -> None:
    elsewhere = Subscription("https://user:secret@elsewhere.example:8443/hook/secret?token=secret", ALL)
    event = asked(state(connected()), app=elsewhere)
    assert event is not None
    assert event.app_callback_host == "elsewhere.example"
    assert "secret" not in event.model_dump_json()
    assert set(event.fields_missing or ()) == set(ALL) - TO_THE_ACCOUNT
    broken = asked(state(connected()), app=Subscription("https://[", ALL))
    assert broken is not None
    assert broken.app_callback_host == "another address"


def test_metas_word_about_sending_is_told_with_the_numbers_and_once() -> None:
    health = {
        "can_send_message": "BLOCKED",
        "entities": [{"entity_type": "WABA", "id": "1", "can_send_message": "BLOCKED", "errors": [{"error_code": 1}]}],
    }
    phones = {"data": [{**PHONES["data"][0], "health_status": health}]}
    event = asked(state(connected()), phones=phones, account={**ACCOUNT, "health_status": health})
    assert event is not None
    assert (event.can_send_message, event.numbers[0].can_send_message) == ("BLOCKED", "BLOCKED")
    assert [each.entity_type for each in event.restrictions] == ["WABA"]
    assert (
        asked(fold(state(connected()), event, NOW), phones=phones, account={**ACCOUNT, "health_status": health}) is None
    )

"""A line in time: what is left of an event once somebody in it was forgotten."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_events import (
    EVENTS,
    MESSAGES,
    AccountForgotten,
    ContactForgotten,
    Event,
    Forgotten,
    HealthChanged,
    HealthReason,
    MessageReceived,
    MessageStatusChanged,
    OrganisationForgotten,
    Unrecognised,
    contact_id,
    identity_of,
)
from wabus_events.models.erasures import line_at
from wabus_events.testing import an
from wabus_whatsapp.forgetting import Lines, respecting
from webhooks import conversation, status, text

KEY = b"k" * 32
LINE = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEFORE, AFTER = LINE - timedelta(seconds=1), LINE + timedelta(seconds=1)
ANN, BOB = "16505551234", "4917012345678"


def line(kind: type[Forgotten], value: str, scope: str = "", at: datetime = LINE) -> Forgotten:
    return line_at(kind, identity_of(KEY, kind, value, scope), at)


def lines(*known: Forgotten) -> Lines:
    found = Lines(KEY)
    for each in known:
        found.learn(each)
    return found


def received(sender: str = ANN, at: datetime = BEFORE, org_id: str | None = "acme", **value: Any) -> MessageReceived:
    return MessageReceived(
        id="1", time=at, org_id=org_id, waba_id="7", phone_number_id="8", wamid="w", contact=sender,
        message_type="text", value={**conversation(messages=[text("w", sender)])["value"], **value},
    )  # fmt: skip


def told(kind: type[Event], at: datetime, **fields: Any) -> Event:
    return an(kind, time=at, **fields)


OF_ACCOUNTS = [kind for kind in EVENTS.values() if "waba_id" in kind.model_fields]


@pytest.mark.parametrize("kind", OF_ACCOUNTS, ids=lambda kind: kind.__name__)
def test_whatever_happened_to_a_forgotten_account_is_of_nobody_and_what_happens_since_is_news(
    kind: type[Event],
) -> None:
    known = lines(line(AccountForgotten, "7"))
    assert respecting(told(kind, BEFORE, waba_id="7"), known) is None
    assert respecting(told(kind, LINE, waba_id="7"), known) is None
    for spared in (told(kind, AFTER, waba_id="7"), told(kind, BEFORE, waba_id="77")):
        assert respecting(spared, known) is spared


@pytest.mark.parametrize("kind", EVENTS.values(), ids=lambda kind: kind.__name__)
def test_whatever_happened_to_a_forgotten_organisation_is_of_nobody(kind: type[Event]) -> None:
    known = lines(line(OrganisationForgotten, "acme"))
    mine = told(kind, BEFORE, org_id="acme")
    assert respecting(mine, known) is (mine if issubclass(kind, Forgotten) else None)
    for spared in (told(kind, AFTER, org_id="acme"), told(kind, BEFORE, org_id="acme-2"), told(kind, BEFORE)):
        spared = spared if spared.org_id != "demo" else spared.model_copy(update={"org_id": None})
        assert respecting(spared, known) is spared


def test_an_organisations_history_loses_the_reasons_that_were_about_a_forgotten_account_and_no_others() -> None:
    reasons = [
        HealthReason(code="c", severity="failing", message="m", remedy="r", waba_id=waba) for waba in ("7", "77", None)
    ]
    both = HealthChanged(
        id="1", time=BEFORE, org_id="acme", to_status="failing", since=BEFORE, previous_id="0", reasons=reasons
    )
    left = respecting(both, lines(line(AccountForgotten, "7")))
    assert isinstance(left, HealthChanged)
    assert [each.waba_id for each in left.reasons] == ["77", None]
    assert (left.to_status, left.since, left.id) == (both.to_status, both.since, both.id)


def test_a_message_is_not_lost_because_its_time_has_the_digits_of_somebody_who_was_forgotten() -> None:
    event = received(messages=[{**text("w", ANN), "timestamp": "1739230955"}])
    assert respecting(event, lines(line(ContactForgotten, "1739230955"))) is event


MENTIONS: list[Event] = [
    received(),
    MessageStatusChanged(
        id="1", time=BEFORE, org_id="acme", waba_id="7", phone_number_id="8", wamid="w", contact="group", status="read",
        value=conversation(statuses=[status("w", recipient="group", recipient_participant_id=ANN)])["value"],
    ),
    received("US.1349120865530274", contacts=[{"wa_id": ANN, "user_id": "US.1349120865530274"}]),
    Unrecognised(id="1", time=BEFORE, org_id="acme", waba_id="7", field="history", reason="", value={
        "history": [{"threads": [{"id": ANN, "messages": [{"from": "1555", "to": ANN}]}]}]}),
    Unrecognised(id="1", time=BEFORE, org_id="acme", waba_id="7", field="smb_app_state_sync", reason="", value={
        "state_sync": [{"type": "contact", "contact": {"full_name": "Ann", "phone_number": f"+{ANN}"}}]}),
    Unrecognised(id="1", time=BEFORE, org_id="acme", waba_id="7", field="of_tomorrow", reason="", value={
        "who_knows": {"what": [ANN]}}),
]  # fmt: skip


@pytest.mark.parametrize("event", MENTIONS, ids=lambda event: str(getattr(event, "field", type(event).__name__)))
def test_what_was_told_of_a_forgotten_person_under_whichever_name_is_of_nobody(event: Event) -> None:
    for scope in ("acme", ""):
        known = lines(line(ContactForgotten, ANN, scope))
        assert respecting(event, known) is None
        later = event.model_copy(update={"time": AFTER})
        assert respecting(later, known) is later
    for others in (lines(line(ContactForgotten, ANN, "else")), lines(line(ContactForgotten, BOB, "acme"))):
        assert respecting(event, others) is event


def test_a_person_forgotten_by_one_organisation_is_still_known_to_the_other() -> None:
    known = lines(line(ContactForgotten, ANN, "acme"))
    theirs = received(org_id="else")
    assert respecting(theirs, known) is theirs
    assert identity_of(KEY, ContactForgotten, ANN, "acme") != identity_of(KEY, ContactForgotten, ANN, "else")


def test_a_message_of_somebody_else_who_writes_the_number_is_not_lost() -> None:
    theirs = received(BOB)
    quoting = theirs.model_copy(update={"value": conversation(messages=[text("w", BOB, body=ANN)])["value"]})
    assert respecting(quoting, lines(line(ContactForgotten, ANN, "acme"))) is quoting


def test_a_business_is_not_lost_with_a_person_who_once_had_its_number() -> None:
    value = conversation(messages=[text("w", BOB)])["value"]
    value["metadata"]["display_phone_number"] = ANN
    theirs = received(BOB).model_copy(update={"value": value, "display_phone_number": ANN})
    assert respecting(theirs, lines(line(ContactForgotten, ANN))) is theirs


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("+1 (650) 555-1234", ANN), (" 16505551234 ", ANN), ("US.1349", "US.1349"), ("1-650-555-1234", ANN)],
)
def test_a_person_is_found_however_an_operator_writes_the_number(typed: str, meant: str) -> None:
    assert contact_id(typed) == meant


def test_of_two_lines_the_later_counts_whichever_is_read_first() -> None:
    early, late = line(AccountForgotten, "7", at=BEFORE), line(AccountForgotten, "7", at=AFTER)
    event = told(MessageReceived, LINE, waba_id="7")
    assert respecting(event, lines(early, late)) is respecting(event, lines(late, early)) is None


@given(st.text(), st.text(), st.text())
def test_who_is_meant_can_be_seen_only_by_whoever_holds_the_key(value: str, scope: str, other: str) -> None:
    identity = identity_of(KEY, ContactForgotten, value, scope)
    assert identity == identity_of(KEY, ContactForgotten, value, scope)
    assert identity != identity_of(b"l" * 32, ContactForgotten, value, scope)
    assert identity != identity_of(KEY, AccountForgotten, value, scope)
    if other != value:
        assert identity != identity_of(KEY, ContactForgotten, other, scope)


def test_a_line_concerns_messages_of_people_in_no_topic_that_names_none() -> None:
    kinds = {kind.topic for kind in EVENTS.values() if "contact" in kind.model_fields}
    assert kinds == {MESSAGES}

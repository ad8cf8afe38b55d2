"""What is published again brings back nobody who was forgotten, whoever wrote it, and no person into what lasts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from support.forgetting import IDENTITY_KEY, line
from wabus_events import (
    EVENTS,
    MESSAGES,
    AccountAlerted,
    AccountCheckRequested,
    AccountForgotten,
    ContactForgotten,
    Event,
    HealthChanged,
    MessageReceived,
    OrganisationForgotten,
    Record,
    decode,
    encode,
)
from wabus_events.testing import an, example
from wabus_whatsapp.forgetting import Lines, respecting
from wabus_whatsapp.forgotten_records import record_respecting, without_persons

AT = datetime(2026, 3, 1, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
ANN = "16505551234"
PUBLIC = [kind for kind in EVENTS.values() if kind.__name__ not in ("CredentialStored", "OrganisationKey")]


def lines(*drawn: tuple[type[Any], str, datetime]) -> Lines:
    known = Lines(IDENTITY_KEY)
    for kind, value, at in drawn:
        known.learn(line(kind, value, at))
    return known


def recorded(event: Event) -> Record:
    record = encode(event, "/wabus/test")
    return Record(record.topic, record.key, record.value, record.headers, int(event.time.timestamp() * 1000))


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_of_each_event_goes_what_a_reader_would_drop_and_stays_what_it_would_take(kind: type[Event]) -> None:
    event = example(kind).model_copy(update={"time": AT})
    waba_id = getattr(event, "waba_id", None) or "none"
    contact = getattr(event, "contact", None) or ANN
    for drawn in (
        lines((OrganisationForgotten, "demo", LATER)),
        lines((AccountForgotten, waba_id, LATER)),
        lines((ContactForgotten, contact, LATER)),
        lines((ContactForgotten, contact, AT - timedelta(seconds=1))),
        lines((OrganisationForgotten, "demo", AT)),
        lines((OrganisationForgotten, "demo", AT - timedelta(seconds=1))),
        lines((OrganisationForgotten, "another", LATER), (AccountForgotten, "another", LATER)),
        lines(),
    ):
        left, expected = record_respecting(recorded(event), drawn), respecting(event, drawn)
        if expected is None:
            assert left is None
        else:
            assert left is not None
            assert decode(left.headers, left.value).model_dump() == expected.model_dump()


def test_of_a_change_of_health_go_the_reasons_that_name_a_forgotten_account() -> None:
    changed = example(HealthChanged).model_copy(update={"time": AT})
    named = next(reason.waba_id for reason in changed.reasons if reason.waba_id)
    left = record_respecting(recorded(changed), lines((AccountForgotten, named, LATER)))
    assert left is not None
    assert named.encode() not in (left.value or b"")


@pytest.mark.parametrize("header", ["ce_subject", "ce_orgid", None])
def test_what_a_later_release_wrote_goes_too_though_it_is_not_understood(header: str | None) -> None:
    headers = [("ce_type", b"wabus.Unheard.v7"), ("ce_time", AT.isoformat().encode())]
    headers += [(header, b"secret")] if header else []
    record = Record("accounts.v1", b"another" if header else b"secret", b"{}", headers)
    kind = OrganisationForgotten if header == "ce_orgid" else AccountForgotten
    assert record_respecting(record, lines((kind, "secret", LATER))) is None
    assert record_respecting(record, lines((kind, "secret", AT - timedelta(seconds=1)))) is record


@pytest.mark.parametrize("value", [b'{"from": "16505551234"', b'{"from": "+1 650 555 1234"}', b"16505551234 wrote"])
def test_a_letter_that_cant_be_read_is_not_put_back_where_it_names_a_forgotten_person(value: bytes) -> None:
    drawn = lines((ContactForgotten, ANN, LATER))
    assert record_respecting(Record(MESSAGES.name, b"k", value, []), drawn, AT) is None
    assert record_respecting(Record(MESSAGES.name, b"k", value, []), drawn) is None
    assert record_respecting(Record(MESSAGES.name, b"k", value, []), drawn, LATER + timedelta(seconds=1)) is not None


def test_a_person_whom_another_organisation_forgot_stays() -> None:
    known = Lines(IDENTITY_KEY)
    known.learn(line(ContactForgotten, ANN, LATER, "another"))
    record = recorded(an(MessageReceived, time=AT, contact=ANN))
    assert record_respecting(record, known) is record


def test_what_an_earlier_release_wrote_of_persons_is_not_written_again() -> None:
    asked = recorded(example(AccountCheckRequested))
    named = Record(
        asked.topic, asked.key, orjson.dumps({**orjson.loads(asked.value or b""), "requested_by": "ann@x"}),
        asked.headers,
    )  # fmt: skip
    assert b"ann@x" not in (without_persons(named).value or b"")
    alert = recorded(an(AccountAlerted, value={"alert_type": "OBA", "reporter": "Ann"}))
    assert b"Ann" not in (without_persons(alert).value or b"")
    assert without_persons(asked) is asked

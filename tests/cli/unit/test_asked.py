"""Who is meant by `wabus forget` and `wabus export`, and what is theirs."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from support.forgetting import IDENTITY_KEY
from wabus_cli.forgetting.asked import Asked, LastOwners, lines_for
from wabus_cli.main import wabus
from wabus_events import (
    AccountConnected,
    AccountForgotten,
    ContactForgotten,
    Event,
    HealthChanged,
    MessageReceived,
    OrganisationForgotten,
    WebhookSeen,
    encode,
    identity_of,
)
from wabus_events.testing import an

AT = datetime(2026, 3, 1, tzinfo=UTC)
ANN, BOB = "16505551234", "4917012345678"


def is_about(asked: Asked, event: Event, *accounts: str) -> bool:
    record = encode(event, "/wabus/test")
    return asked.is_about(record.headers, record.key, record.value, accounts)


def test_of_an_organisation_is_what_was_for_it_and_what_was_for_nobody_of_its_accounts() -> None:
    acme = Asked(org_id="acme")
    assert is_about(acme, an(WebhookSeen, org_id="acme", waba_id="1"))
    assert is_about(acme, an(HealthChanged, org_id="acme"))
    assert is_about(acme, an(WebhookSeen, org_id=None, waba_id="1"), "1")
    assert not is_about(acme, an(WebhookSeen, org_id=None, waba_id="2"), "1")
    assert not is_about(acme, an(WebhookSeen, org_id="earlier", waba_id="1"), "1")


def test_of_an_account_is_what_names_it_for_whomever() -> None:
    assert is_about(Asked(waba_id="1"), an(WebhookSeen, org_id="acme", waba_id="1"))
    assert not is_about(Asked(waba_id="1"), an(WebhookSeen, org_id="acme", waba_id="2"))


def test_of_a_contact_is_what_they_wrote_to_whom_is_asked_about() -> None:
    event = an(MessageReceived, org_id="acme", contact=ANN)
    assert is_about(Asked(contact=f"+{ANN}"), event)
    assert is_about(Asked(contact=ANN, org_id="acme"), event)
    assert not is_about(Asked(contact=ANN, org_id="another"), event)
    assert not is_about(Asked(contact=BOB), event)
    assert Asked(contact=ANN).is_about([], b"", f"broken, of {ANN}".encode(), ())
    assert not is_about(Asked(contact="acme"), an(WebhookSeen, org_id="acme", waba_id="1"))


def test_an_account_is_of_who_connected_it_last_in_whatever_order_that_is_read() -> None:
    first = an(AccountConnected, org_id="earlier", waba_id="1", time=AT)
    second = an(AccountConnected, org_id="acme", waba_id="1", time=AT + timedelta(hours=1))
    for order in ((first, second), (second, first)):
        last = LastOwners()
        for event in order:
            last.learn(event)
        assert (last.of("acme"), last.of("earlier")) == (["1"], [])


@pytest.mark.parametrize(
    ("asked", "accounts", "drawn"),
    [
        (Asked(org_id="acme"), ["1"], [(AccountForgotten, "1", ""), (OrganisationForgotten, "acme", "")]),
        (Asked(waba_id="1"), ["1"], [(AccountForgotten, "1", "")]),
        (Asked(contact="+1 650 555 1234"), [], [(ContactForgotten, ANN, "")]),
        (Asked(contact=ANN, org_id="acme"), [], [(ContactForgotten, ANN, "acme")]),
    ],
)
def test_a_line_is_drawn_for_each_who_is_meant(
    asked: Asked, accounts: list[str], drawn: list[tuple[type[Event], str, str]]
) -> None:
    lines = lines_for(asked, accounts, IDENTITY_KEY, AT)
    assert [(type(line), line.identity, line.time) for line in lines] == [
        (kind, identity_of(IDENTITY_KEY, kind, value, scope), AT)  # type: ignore[arg-type]
        for kind, value, scope in drawn
    ]


@pytest.mark.parametrize(
    "options", [[], ["--waba", "1", "--org", "acme"], ["--waba", "1", "--contact", ANN], ["--org", ""]]
)
@pytest.mark.parametrize("command", [["forget"], ["export", "-"]])
def test_who_is_meant_must_be_said_and_only_once(command: list[str], options: list[str]) -> None:
    result = CliRunner().invoke(wabus, [*command, *options])
    assert result.exit_code == 2

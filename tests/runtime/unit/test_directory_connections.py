"""Whose an account was: a thread must not go along with an account that moves to another organisation."""

from datetime import UTC, datetime, timedelta

from wabus_events import AccountChecked, AccountConnected, AccountDisconnected, Event
from wabus_runtime.directory.connections import Connections

START = datetime(2026, 11, 20, 12, 0, 0, 700_000, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def connected(seconds: float, org_id: str, portfolio: str | None = None) -> Event:
    return AccountConnected(id="", time=at(seconds), org_id=org_id, waba_id="w", portfolio_id=portfolio)


def disconnected(seconds: float, org_id: str | None) -> Event:
    return AccountDisconnected(id="", time=at(seconds), org_id=org_id, waba_id="w", reason="by an admin")


def told(*events: Event) -> Connections:
    connections = Connections()
    for event in events:
        connections.tell(event)
    return connections


def test_an_account_is_whose_it_was_at_the_time() -> None:
    known = told(connected(0, "one"), connected(100, "other"), disconnected(200, "other"), connected(300, "one"))

    owners = [known.owner("w", at(seconds)) for seconds in (-10, 0, 99, 100, 199, 200, 300)]
    assert owners == [None, "one", "one", "other", "other", None, "one"]
    assert known.owner("another", at(0)) is None


def test_a_message_of_the_second_of_connecting_belongs_to_who_connects() -> None:
    assert told(connected(0, "one")).owner("w", START.replace(microsecond=0)) == "one"


def test_who_connects_again_has_it_from_the_first_time_on() -> None:
    assert told(connected(0, "one"), connected(100, "one")).owner("w", at(50)) == "one"


def test_a_late_farewell_of_the_former_owner_takes_nothing_away() -> None:
    known = told(connected(0, "one"), connected(100, "other"), disconnected(150, "one"))

    assert known.owner("w", at(200)) == "other"


def test_what_a_slow_clock_says_is_in_the_order_of_the_log() -> None:
    known = told(connected(0, "one"), connected(100, "other"), disconnected(90, "other"))

    assert known.owner("w", at(95)) is None
    assert known.owner("w", at(50)) == "one"


def test_what_meta_does_not_say_again_still_stands() -> None:
    known = told(
        connected(0, "one", "portfolio"),
        AccountChecked(id="", time=at(1), org_id="one", waba_id="w", our_callback_url="https://x", currency="EUR"),
    )

    account = known.account("w")
    assert account
    assert (account.portfolio_id, account.currency, account.time_zone) == ("portfolio", "EUR", None)
    assert known.knows("w", "one")
    assert not known.knows("w", "other")

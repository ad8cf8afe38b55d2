"""To whom rules give a conversation."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_conversations.routing.hours import is_open
from wabus_conversations.routing.languages import TOLD_APART, spoken_by
from wabus_conversations.routing.route import Desk, Given, Waiting, Waits, fits, route
from wabus_conversations.work.state import MessagePlace
from wabus_conversations.worker.work.languages import Languages
from wabus_events import BusinessHours, OpenHours, RoutingRule, RuleCondition, Team, TeamMember

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)  # a Friday
ZONES = {"Europe/Berlin": ZoneInfo("Europe/Berlin"), "America/New_York": ZoneInfo("America/New_York")}
ORDERS = Team(team_id="orders", name="Orders", members=[TeamMember(sub=sub) for sub in ("anna", "ben", "cleo")])


def waiting(**parts: Any) -> Waiting:
    return Waiting("c", "number-1", MessagePlace(NOW, 0), **parts)


def given_to(by_rule: RoutingRule, desk: Desk, among: Team = ORDERS, **parts: Any) -> Given | Waits:
    return route(waiting(**parts), [by_rule], [among], desk, NOW, ZONES)


def by(strategy: Any, **parts: Any) -> RoutingRule:
    return RoutingRule(name="a rule", team="orders", strategy=strategy, **parts)


def there(*subs: str, **loads: int) -> Desk:
    return Desk(frozenset(subs), loads)


@pytest.mark.parametrize(
    ("when", "parts", "fitting"),
    [
        ({}, {}, True),
        ({"phone_number_ids": ["number-1"]}, {}, True),
        ({"phone_number_ids": ["number-2"]}, {}, False),
        ({"ads": ["42"]}, {"ad": "42"}, True),
        ({"ads": ["42"]}, {}, False),
        ({"templates": ["spring"]}, {"template": "spring"}, True),
        ({"templates": ["spring"]}, {"template": "autumn"}, False),
        ({"keywords": ["Order"]}, {"text": "  order 66, please"}, True),
        ({"keywords": ["order"]}, {"text": "ordering is hard"}, False),
        ({"keywords": ["order"]}, {"text": "my order"}, False),
        ({"keywords": ["GRÜSSE"]}, {"text": "grüße!"}, True),
        ({"keywords": ["order"]}, {}, False),
        ({"countries": ["49", "DE"]}, {"identifiers": ["4930123456"]}, True),
        ({"countries": ["49", "DE"]}, {"identifiers": ["DE.1234"]}, True),
        ({"countries": ["49", "DE"]}, {"identifiers": ["16505551234", "US.1"]}, False),
        ({"countries": ["DE"]}, {"identifiers": ["4930123456"]}, True),
        ({"countries": ["US"]}, {"identifiers": ["16505551234"]}, True),
        ({"countries": ["CA"]}, {"identifiers": ["14165551234"]}, True),  # both begin with a 1
        ({"countries": ["US"]}, {"identifiers": ["14165551234"]}, False),
        ({"countries": ["1"]}, {"identifiers": ["14165551234"]}, True),
        ({"countries": ["49"]}, {"identifiers": ["DE.4930123456"]}, False),
        ({"countries": ["DE"]}, {"identifiers": ["XX.1", "DEnnis"]}, False),
        ({"countries": ["DE"]}, {}, False),
        ({"languages": ["pt", "es"]}, {"language": "pt"}, True),
        ({"languages": ["pt", "es"]}, {"language": "pt_BR"}, True),
        ({"languages": ["pt", "es"]}, {"language": "en"}, False),
        ({"languages": ["pt", "es"]}, {}, False),
        ({"languages": ["id"]}, {"language": "ms"}, True),  # words do not tell them apart
        ({"languages": ["nb"]}, {"language": "no"}, True),
        ({"languages": ["es"], "countries": ["US"]}, {"language": "es", "identifiers": ["34600111222"]}, False),
        ({"ads": ["42"], "keywords": ["order"]}, {"ad": "42", "text": "hello"}, False),
    ],
)
def test_a_rule_holds_where_all_that_it_asks_for_is_so(when: Any, parts: Any, fitting: bool) -> None:
    assert fits(RuleCondition(**when), waiting(**parts), NOW, ZONES) is fitting


DETECT = asyncio.run(Languages().detector())


@pytest.mark.parametrize(
    ("text", "template", "language"),
    [
        ("hola, quiero saber el precio", None, "es"),
        ("Olá, quero saber o preço", "en_US", "pt"),
        ("Guten Tag, wo ist meine Bestellung?", None, "de"),
        ("مرحبا اريد معرفة السعر", None, "ar"),
        ("你好，多少钱", None, "zh"),
        ("ok", "pt_BR", "pt"),
        ("ok", None, None),
        ("STOP", "es", "es"),
        ("👍", None, None),
        ("123", None, None),
        (" ", "fil", "tl"),
        (None, "zh_CN", "zh"),
        (None, None, None),
    ],
)
def test_the_language_is_that_of_their_words_and_where_these_do_not_show_it_of_the_template(
    text: str | None, template: str | None, language: str | None
) -> None:
    assert spoken_by(text, template, DETECT) == language


@given(st.text(max_size=1000))
def test_whatever_somebody_writes_it_is_in_a_language_that_rules_may_name_or_in_none(text: str) -> None:
    assert {spoken_by(text, None, DETECT)} - {None} <= TOLD_APART


def open_on(begin: str, end: str, *days: str, zone: str = "Europe/Berlin") -> BusinessHours:
    return BusinessHours(zone=zone, open=[OpenHours(days=list(days), begin=begin, end=end)])


@pytest.mark.parametrize(
    ("hours", "at", "is_so"),
    [
        (open_on("09:00", "17:00", "fri"), datetime(2026, 11, 20, 8, 0, tzinfo=UTC), True),  # 9:00 in Berlin
        (open_on("09:00", "17:00", "fri"), datetime(2026, 11, 20, 7, 59, tzinfo=UTC), False),
        (open_on("09:00", "17:00", "fri"), datetime(2026, 11, 20, 16, 0, tzinfo=UTC), False),
        (open_on("09:00", "17:00", "fri"), datetime(2026, 11, 21, 9, 0, tzinfo=UTC), False),
        (open_on("22:00", "06:00", "fri"), datetime(2026, 11, 21, 4, 59, tzinfo=UTC), True),  # Saturday, 5:59
        (open_on("22:00", "06:00", "fri"), datetime(2026, 11, 20, 4, 0, tzinfo=UTC), False),  # Friday, 5:00
        (open_on("00:00", "24:00", "fri"), datetime(2026, 11, 20, 22, 59, tzinfo=UTC), True),
        (open_on("09:00", "17:00", "sun"), datetime(2026, 3, 29, 7, 0, tzinfo=UTC), True),  # the day of summer time
        (open_on("09:00", "17:00", "fri", zone="America/New_York"), datetime(2026, 11, 20, 13, 59, tzinfo=UTC), False),
        (open_on("00:00", "24:00", "fri", zone="Nowhere/Land"), NOW, False),
    ],
)
def test_hours_are_by_the_clocks_of_the_place(hours: BusinessHours, at: datetime, is_so: bool) -> None:
    assert is_open(hours, at, ZONES) is is_so


def test_the_first_rule_that_fits_counts_and_one_for_a_team_that_is_gone_does_not() -> None:
    rules = [
        RoutingRule(name="gone", team="dissolved"),
        RoutingRule(name="words", when=RuleCondition(keywords=["bot"]), bot="helper"),
        RoutingRule(name="rest", agent="anna"),
    ]
    assert route(waiting(text="bot, help"), rules, [ORDERS], Desk(), NOW, ZONES) == Given("words", bot="helper")
    assert route(waiting(text="hello"), rules, [ORDERS], Desk(), NOW, ZONES) == Given("rest", agent="anna")
    assert route(waiting(), rules[:2], [ORDERS], Desk(), NOW, ZONES) == Waits("no_rule")


@settings(max_examples=examples(200))
@given(st.integers(1, 40), st.sets(st.sampled_from(("anna", "ben", "cleo")), min_size=1))
def test_each_gets_as_many_in_turn(many: int, subs: set[str]) -> None:
    for strategy in ("round_robin", "least_open"):
        desk = there(*subs)
        got: Counter[str] = Counter()
        for number in range(many):
            given = given_to(by(strategy), desk)
            assert isinstance(given, Given)
            assert given.agent in subs
            assert given.team == "orders"
            got[given.agent] += 1
            desk = desk.after(given, NOW + timedelta(seconds=number))
        assert max(got.values()) - min(got[sub] for sub in subs) <= 1


def test_who_has_the_fewest_open_gets_the_next() -> None:
    given = given_to(by("least_open"), there("anna", "ben", "cleo", anna=3, ben=1, cleo=2))
    assert isinstance(given, Given)
    assert given.agent == "ben"


@settings(max_examples=examples(200))
@given(st.integers(0, 12), st.integers(0, 4), st.integers(0, 4))
def test_nobody_gets_more_than_they_can_have(many: int, anna: int, others: int) -> None:
    team = ORDERS.model_copy(
        update={"capacity": others, "members": [TeamMember(sub="anna", capacity=anna), TeamMember(sub="ben")]}
    )
    desk, waits = there("anna", "ben"), 0
    for number in range(many):
        given = given_to(by("round_robin"), desk, team)
        assert isinstance(given, Given)
        waits += given.agent is None
        desk = desk.after(given, NOW + timedelta(seconds=number))
    assert (desk.loads.get("anna", 0) <= anna, desk.loads.get("ben", 0) <= others) == (True, True)
    assert waits == max(0, many - anna - others)


def test_where_nobody_is_there_the_team_has_it_and_it_waits_for_somebody() -> None:
    assert given_to(by("round_robin"), there("stranger")) == Given("a rule", team="orders")
    with_team: dict[str, Any] = {"team": "orders", "rule": "a rule"}
    assert given_to(by("round_robin"), there("stranger"), **with_team) == Waits("nobody_there")
    full = ORDERS.model_copy(update={"capacity": 1})
    assert given_to(by("round_robin"), there("anna", anna=1), full, **with_team) == Waits("all_full")
    assert given_to(by("round_robin"), there("anna"), **with_team) == Given("a rule", agent="anna", team="orders")
    assert given_to(by("none"), there("anna"), **with_team) == Waits("team_chooses")
    # A person gave it to the team: then the team's first rule says how it chooses.
    assert given_to(by("round_robin"), there("anna"), team="orders") == Given("a rule", agent="anna", team="orders")
    assert given_to(by("round_robin"), there("anna"), team="returns") == Waits("team_chooses")


def test_who_comes_back_gets_who_they_had_if_they_are_there_and_can() -> None:
    sticky, desk = by("least_open", sticky_days=7), there("anna", "ben", ben=5)

    def again(days: float, at: Desk = desk, team: Team = ORDERS) -> str | None:
        back = {"last_agent": "ben", "last_closed_at": NOW - timedelta(days=days)}
        given = given_to(sticky, at, team, **back)
        assert isinstance(given, Given)
        return given.agent

    assert (again(6.9), again(7.1)) == ("ben", "anna")
    assert again(1, there("anna")) == "anna"
    assert again(1, team=ORDERS.model_copy(update={"capacity": 5})) == "anna"
    assert again(1, team=ORDERS.model_copy(update={"members": [TeamMember(sub="anna")]})) == "anna"
    assert isinstance(given_to(by("none", sticky_days=7), desk, last_agent="ben", last_closed_at=NOW), Given)


def test_what_another_responder_has_or_somebody_wants_to_be_nobodys_no_rule_touches() -> None:
    rule, desk = RoutingRule(name="all", agent="anna"), there("anna")
    assert given_to(rule, desk, is_ours=False) == Waits("another_responder")
    assert given_to(rule, desk, left_alone=True) == Waits("left_alone")

"""What the simulated Meta charges: Meta's rules as examples, and a month of any messages against a naive bill."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from simulated_meta.billing import cards, zones
from simulated_meta.billing.analytics import PricingQuery, pricing_points
from simulated_meta.billing.biller import Account, Biller, Charge, Usage
from simulated_meta.billing.cards import RateCard, WrongCard, tiers_of
from simulated_meta.billing.invoice import invoice
from simulated_meta.billing.markets import country_of, market_of
from wabus_whatsapp import time_zones

BERLIN, SAO_PAULO, LA = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Sao_Paulo"), ZoneInfo("America/Los_Angeles")
ACCOUNT = Account("1", "p", "USD", BERLIN)


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def usage(category: str = "utility", country: str = "DE", **changes: Any) -> Usage:
    given: dict[str, Any] = {
        "message_id": "wamid.1",
        "sent_at": 0.0,
        "account": ACCOUNT,
        "phone_number_id": "n",
        "number": "15550783881",
        "country": country,
        "category": category,
    }
    return Usage(**given | changes)


def billed(biller: Biller, of: Usage, moment: float, name: str = "") -> Charge:
    charge = biller.bill(replace(of, message_id=name or f"wamid.{len(biller.charges)}"), "someone", moment)
    assert charge
    return charge


def told(charge: Charge) -> tuple[str, str, str]:
    return charge.price.type, charge.price.category, f"{charge.price.amount:f}"


@pytest.mark.parametrize(
    ("number", "country", "in_july", "in_october"),
    [
        ("16505551234", "US", "North America", "North America"),
        ("16135551234", "CA", "North America", "North America"),
        ("18095551234", "DO", "Rest of Latin America", "Rest of Latin America"),
        ("18765551234", "JM", "Rest of Latin America", "Rest of Latin America"),
        ("19395551234", "PR", "Rest of Latin America", "Rest of Latin America"),
        ("79161234567", "RU", "Russia", "Russia"),
        ("77011234567", "KZ", "Russia", "Kazakhstan"),
        ("212612345678", "MA", "Rest of Africa", "Morocco"),
        ("380501234567", "UA", "Rest of Central & Eastern Europe", "Ukraine"),
        ("4915123456789", "DE", "Germany", "Germany"),
        ("821012345678", "KR", "Other", "Other"),
        ("85291234567", "HK", "Hong Kong", "Hong Kong"),
        ("99912345", "XX", "Other", "Other"),
    ],
)
def test_a_number_is_charged_in_its_market_and_that_may_change_with_the_card(
    number: str, country: str, in_july: str, in_october: str
) -> None:
    published = cards.published()
    rows = [published.on("USD", day).rates for day in (date(2026, 9, 30), date(2026, 10, 1))]

    assert country_of(number) == country
    assert [market_of(country, each) for each in rows] == [in_july, in_october]


def test_time_zones_are_those_that_another_reader_of_the_same_list_has() -> None:
    ours = [zones.zone(str(number)).key for number in range(1, 151)]

    assert ours == [time_zones.zone_name(number) for number in range(1, 151)]
    with pytest.raises(ValueError, match="timezone_id"):
        zones.zone("0")


def test_service_messages_cost_something_after_a_thousand_in_a_month_since_october_2026() -> None:
    biller, service = Biller(), usage("service")
    november = [billed(biller, service, at("2026-11-05T10:00")) for _ in range(1001)]
    other_number = billed(biller, replace(service, phone_number_id="m"), at("2026-11-30T23:59"))
    december = billed(biller, service, at("2026-12-01T00:00"))

    assert told(november[999]) == ("free_customer_service", "service", "0")
    assert told(november[1000]) == ("regular", "service", "0.0550")
    assert {told(each)[0] for each in (other_number, december)} == {"free_customer_service"}


def test_all_service_messages_were_free_until_then() -> None:
    biller = Biller()

    assert {told(billed(biller, usage("service"), at("2026-09-30T23:59")))[0] for _ in range(1001)} == {
        "free_customer_service"
    }


@pytest.mark.parametrize(
    ("moment", "in_window", "expected"),
    [
        ("2026-09-30T23:59:59", True, ("free_customer_service", "utility", "0")),
        ("2026-09-30T23:59:59", False, ("regular", "utility", "0.0550")),
        ("2026-10-01T00:00:00", True, ("regular", "utility", "0.0550")),
    ],
)
def test_utility_in_an_open_window_is_charged_since_october_2026_by_the_accounts_clock(
    moment: str, in_window: bool, expected: tuple[str, str, str]
) -> None:
    assert told(billed(Biller(), usage(in_window=in_window), at(moment))) == expected


def test_what_is_delivered_after_new_year_in_london_is_of_december_in_sao_paulo() -> None:
    biller = Biller()
    before = biller.cards.on("USD", date(2026, 12, 31))
    biller.cards.put(
        replace(before, effective=date(2027, 1, 1), rates={"Other": dict.fromkeys(cards.COLUMNS, Decimal(9))})
    )
    account = replace(ACCOUNT, zone=SAO_PAULO)

    charge = billed(biller, usage(account=account), datetime(2027, 1, 1, 1, tzinfo=UTC).timestamp())

    assert (charge.month, told(charge)[2]) == ("2026-12", "0.0550")
    assert invoice(biller.charges, account, "2027-01")["total"] == "0.00"


def test_everything_is_free_in_a_free_entry_point_window_and_counts_for_nothing() -> None:
    biller = Biller()
    charges = [
        billed(biller, usage(kind, in_free_entry=True), at("2026-10-05T10:00"))
        for kind in ("service", "utility", "marketing", "authentication")
    ]

    assert {told(each) for each in charges} == {("free_entry_point", "referral_conversion", "0")}
    biller.cards.put(tiered())
    assert billed(biller, usage(), at("2026-10-05T11:00")).price.tier == cards.Tier(0, 2, Decimal("0.10"))


def tiered(effective: date = date(2026, 10, 1)) -> RateCard:
    """Two utility messages to Germany at 0.10, two at 0.08, the rest at 0.05; authentication likewise."""
    card = cards.published().on("USD", effective)
    steps = tiers_of([(0, Decimal("0.10")), (2, Decimal("0.08")), (4, Decimal("0.05"))])
    abroad = tiers_of([(0, Decimal("0.30")), (2, Decimal("0.28")), (4, Decimal("0.25"))])
    columns = {"utility": steps, "authentication": steps, "authentication-international": abroad}
    rates = {**card.rates, "Germany": card.rates["Germany"] | {"authentication-international": Decimal("0.30")}}
    return replace(card, rates=rates, tiers={"Germany": columns})


def test_a_tier_has_its_own_rate_for_its_own_messages_and_is_told_of_once() -> None:
    biller = Biller()
    biller.cards.put(tiered())

    charges = [billed(biller, usage(), at("2026-10-05T10:00")) for _ in range(6)]

    assert [told(each)[2] for each in charges] == ["0.10", "0.10", "0.08", "0.08", "0.05", "0.05"]
    assert [each.price.tier.name for each in charges if each.price.tier] == [
        "0:2",
        "0:2",
        "3:4",
        "3:4",
        "5:MAX",
        "5:MAX",
    ]
    assert [(each.tier, each.market, each.month) for each in biller.reached] == [
        ("3:4", "Germany", "2026-10"),
        ("5:MAX", "Germany", "2026-10"),
    ]


def test_a_tier_may_be_told_of_twice_and_the_earlier_time_is_the_true_one() -> None:
    biller = Biller()
    biller.settings.tells_tiers_twice = True
    biller.cards.put(tiered())

    charges = [billed(biller, usage(), at("2026-10-05T10:00")) for _ in range(3)]

    assert [each.tier for each in biller.reached] == ["3:4", "3:4"]
    assert min(each.at for each in biller.reached) == charges[-1].at < max(each.at for each in biller.reached)


def test_an_invoice_does_not_add_up_two_currencies() -> None:
    biller, euros = Biller(), replace(ACCOUNT, currency="EUR")
    billed(biller, usage(), at("2026-10-05T10:00"))
    billed(biller, usage(account=euros), at("2026-10-06T10:00"))

    due = invoice(biller.charges, euros, "2026-10")

    assert (due["total_exact"], due["in_other_currencies"], due["volume"]) == ("0.0456", {"USD": "0.0550"}, 1)


def test_accounts_of_a_portfolio_count_together_by_month_though_their_months_end_apart() -> None:
    biller = Biller()
    biller.cards.put(tiered())
    here, there = usage(account=ACCOUNT), usage(account=replace(ACCOUNT, id="2", zone=LA))
    stranger = usage(account=replace(ACCOUNT, id="3", portfolio="q"))
    night = "2026-11-01T00:30"

    amounts = [told(billed(biller, here, at("2026-10-31T12:00")))[2] for _ in range(2)]
    amounts += [told(billed(biller, there, at(night)))[2]]  # still October in Los Angeles
    amounts += [told(billed(biller, here, at(night)))[2]]  # November in Berlin
    amounts += [told(billed(biller, there, at("2026-11-01T09:00")))[2]]  # and there too
    amounts += [told(billed(biller, stranger, at("2026-10-31T12:00")))[2]]

    assert amounts == ["0.10", "0.10", "0.08", "0.10", "0.10", "0.10"]


def test_the_international_rate_begins_on_its_day_abroad_only_and_tiers_go_on() -> None:
    biller, since = Biller(), at("2026-10-15T00:00")
    biller.cards.put(tiered())
    abroad = usage("authentication", account=replace(ACCOUNT, home="IN", international_since=(("DE", since),)))
    home = replace(abroad, account=replace(abroad.account, home="DE"))

    before = [told(billed(biller, abroad, since - 1)) for _ in range(2)]
    after = told(billed(biller, abroad, since))

    assert before == [("regular", "authentication", "0.10")] * 2
    assert after == ("regular", "authentication-international", "0.28")
    assert told(billed(biller, home, since)) == ("regular", "authentication", "0.08")


def test_a_max_price_is_never_exceeded_and_the_same_for_the_same_message() -> None:
    def prices(seed: int) -> list[Decimal]:
        biller = Biller()
        biller.settings.seed = seed
        of = usage("marketing_lite", max_price=Decimal("0.05"))
        return [billed(biller, replace(of, n=n), at("2026-10-05T10:00")).price.amount for n in range(200)]

    first = prices(1)
    assert all(Decimal("0.035") <= amount <= Decimal("0.05") for amount in first)
    assert len({*first}) > 50
    assert (prices(1), prices(2) == first) == (first, False)


def test_a_marketing_message_without_a_max_price_costs_the_same_by_either_api() -> None:
    biller = Biller()

    assert [told(billed(biller, usage(each), at("2026-10-05T10:00"))) for each in ("marketing", "marketing_lite")] == [
        ("regular", "marketing", "0.1365"),
        ("regular", "marketing_lite", "0.1365"),
    ]


def test_a_message_is_billed_once_for_each_who_gets_it() -> None:
    biller, of = Biller(), usage("group_utility")

    first = [biller.bill(of, who, at("2026-10-05T10:00")) for who in ("a", "b", "a")]

    assert [each is not None for each in first] == [True, True, False]
    assert invoice(biller.charges, ACCOUNT, "2026-10")["total"] == "0.11"


def test_a_currency_without_a_card_is_said_and_not_free() -> None:
    biller = Biller()

    with pytest.raises(KeyError):
        biller.bill(usage(account=replace(ACCOUNT, currency="XAU")), "a", at("2026-10-05T10:00"))
    assert biller.charges == []


def test_every_card_is_read_again_as_it_was_written() -> None:
    published = cards.published()

    for card in (card for of_currency in published.by_currency.values() for card in of_currency):
        assert cards.parse(cards.as_csv(card)) == card.rates
    assert len(published.by_currency) == 16


def test_a_card_looks_as_meta_publishes_it() -> None:
    text = cards.as_csv(cards.published().on("USD", date(2026, 7, 1)))

    title, note, rest = text.split("\r\n", 2)
    assert title == '"Cost per message in USD on the WhatsApp Business Platform, effective July 1, 2026",,,,,,'
    assert note.startswith("Note: ")
    assert rest.startswith(
        'Market,Currency,Marketing,Utility,Authentication,"Authentication-\nInternational",Service\r\n'
    )
    assert "\r\nEgypt,$US,0.0644,0.0036,0.0036,0.0650,n/a\r\n" in rest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Country,Price\nGermany,1\n", "begins with Market"),
        ("Market,Currency,Marketing\nGermany,EUR,1\n", "no utility"),
        (f"Market,{','.join(cards.COLUMNS)}\n", "at least one market"),
        (f"Market,{','.join(cards.COLUMNS)}\nGermany,1,1,1,1,cheap\n", "row 2"),
        (f"Market,{','.join(cards.COLUMNS)}\nGermany,1,1,1,1,-1\n", "row 2"),
    ],
)
def test_what_is_no_card_is_refused_and_says_why(text: str, says: str) -> None:
    with pytest.raises(WrongCard, match=says):
        cards.parse(text)


@pytest.mark.parametrize("steps", [[], [(1, 1)], [(0, 1), (0, 2)], [(0, 1), (5, 2), (3, 1)]])
def test_tiers_that_are_none_are_refused(steps: list[tuple[int, int]]) -> None:
    with pytest.raises(WrongCard, match="tiers"):
        tiers_of([(after, Decimal(rate)) for after, rate in steps])


ACCOUNTS = (ACCOUNT, replace(ACCOUNT, id="2", zone=LA), replace(ACCOUNT, id="3", portfolio="q", zone=SAO_PAULO))
SOME = st.lists(
    st.tuples(
        st.integers(0, 62 * 24 * 4),  # quarters of an hour since the middle of September
        st.sampled_from(ACCOUNTS),
        st.sampled_from(["service", "utility", "authentication", "marketing"]),
        st.sampled_from(["DE", "MA", "US"]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=examples(300))
@given(SOME)
def test_any_two_months_cost_what_a_naive_bill_says(
    messages: list[tuple[int, Account, str, str, bool, bool]],
) -> None:
    biller = Biller(rules=tuple(replace(rule, free_service_messages=2) for rule in Biller().rules))
    for month in (date(2026, 7, 1), date(2026, 10, 1)):
        biller.cards.put(replace(tiered(month), effective=month))
    start, charges = at("2026-09-15T00:00"), list[Charge]()
    naive: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    counts: dict[Any, int] = defaultdict(int)
    rates = {True: cards.published().on("USD", date(2026, 10, 1)), False: cards.published().on("USD", date(2026, 7, 1))}
    for quarter, account, category, country, in_window, in_entry in sorted(messages, key=lambda each: each[0]):
        moment = start + quarter * 900
        of = usage(category, country, account=account, in_window=in_window, in_free_entry=in_entry)
        charges.append(billed(biller, replace(of, phone_number_id=account.id), moment))

        local = datetime.fromtimestamp(moment, account.zone)
        is_new, month = (local.year, local.month) >= (2026, 10), f"{local:%Y-%m}"
        naive[account.id, month] += 0
        if in_entry or (category == "utility" and in_window and not is_new):
            continue
        if category == "service":
            counts["served", account.id, month] += 1
            if not is_new or counts["served", account.id, month] <= 2:
                continue
        market = {"DE": "Germany", "US": "North America", "MA": "Morocco" if is_new else "Rest of Africa"}[country]
        rate = rates[is_new].rates[market][category]
        if country == "DE" and category in ("utility", "authentication"):
            counts[account.portfolio, category, month] += 1
            place = counts[account.portfolio, category, month]
            rate = Decimal("0.10") if place <= 2 else Decimal("0.08") if place <= 4 else Decimal("0.05")
        assert rate is not None
        naive[account.id, month] += rate

    for (id_, month), total in naive.items():
        account = next(each for each in ACCOUNTS if each.id == id_)
        assert Decimal(invoice(charges, account, month)["total_exact"]) == total
    for granularity in ("HALF_HOUR", "DAILY", "MONTHLY"):
        query = PricingQuery(0, 2**31, granularity, dimensions=("PRICING_CATEGORY", "TIER", "COUNTRY"))
        points = pricing_points(charges, query, BERLIN, {"15550783881"}, cost_factor=1)
        assert sum(point["volume"] for point in points) == len(charges)
        assert round(sum(point["cost"] for point in points), 6) == float(sum(naive.values()))
        assert all(("tier" in point) == (point["cost"] > 0) for point in points)


def test_a_day_of_analytics_is_one_of_the_accounts_zone_also_when_clocks_change() -> None:
    biller = Biller()
    billed(biller, usage(), at("2026-10-25T00:10"))
    billed(biller, usage(), at("2026-10-25T23:50"))
    query = PricingQuery(0, 2**31, "DAILY")

    [point] = pricing_points(biller.charges, query, BERLIN, {"15550783881"}, cost_factor=1)

    assert (point["start"], point["end"]) == (at("2026-10-25T00:00"), at("2026-10-26T00:00"))
    assert (point["end"] - point["start"], point["volume"]) == (25 * 3600, 2)

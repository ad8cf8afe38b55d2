"""Meta's files of prices, as it publishes them and as they may come."""

from datetime import date
from decimal import Decimal

import pytest
from wabus_whatsapp.prices.card import Band, RateCard
from wabus_whatsapp.prices.importing import read_card
from wabus_whatsapp.prices.reading import FileRefused

OCTOBER = date(2026, 10, 1)
RATES = """\
Rates for messages on the WhatsApp Business Platform,,,,,,
"Cost per message in USD, effective October 1, 2026",,,,,,
Note: * is a market of its own from this day on,,,,,,

Market,Currency,Marketing,Utility,Authentication,"Authentication-
International",Service
Germany,$US,0.1365,0.0550,0.0550,n/a,0.0550
India,$US,0.0118,0.0014,0.0014,0.0280,0.0014
Morocco*,$US,0.0225,0.0300,0.0300,0.0400,0.0300
Rest of Africa,$US,0.0225,0.0040,0.0040,n/a,0.0040
Other,$US,0.0604,0.0077,0.0077,n/a,0.0077
"""
TIERS = """\
Volume tiers,,,,,,,,,,,,,,,,
See the page about pricing,,,,,,,,,,,,,,,,
,,Utility,,,,,Authentication,,,,,Authentication-International,,,,
,,Messages per month,,What we charge,,,Messages per month,,What we charge,,,Messages per month,,What we charge,,
"Market
(per rate card)",Currency,From,To,Rate type,Rate,vs. List rate,From,To,Rate type,Rate,vs.,From,To,Rate type,Rate,vs.
Germany,$US,0,"100,000",List rate,0.0550,0%,0,"50,000",List rate,0.0550,0%,n/a,n/a,n/a,n/a,n/a
,$US,"100,001","1,000,000",Tier 1,0.0523,-5%,"50,001",--,Tier 1,0.0523,-5%,n/a,n/a,n/a,n/a,n/a
,$US,"1,000,001",--,Tier 2,0.0495,-10%,,,,,,n/a,n/a,n/a,n/a,n/a
India,$US,1,"25,000,000",List rate,0.0014,0%,1,--,List rate,0.0014,0%,1,--,List rate,0.0280,0%
,$US,"25,000,001",--,Tier 1,0.0013,-7%,,,,,,,,,,
"""


def _card(text: str = RATES, tiers: str | None = TIERS, before: RateCard | None = None):
    return read_card(text.encode(), tiers.encode() if tiers else None, "USD", OCTOBER, before)


def test_a_rate_card_is_read_with_its_preamble_broken_heading_and_missing_rates() -> None:
    card = _card().card
    assert card.list_rate("Germany", "marketing") == Decimal("0.1365")
    assert card.list_rate("India", "authentication_international") == Decimal("0.0280")
    assert card.list_rate("Germany", "authentication_international") is None
    assert card.list_rate("Morocco", "service") == Decimal("0.0300")
    assert card.markets == {"germany", "india", "morocco", "rest of africa", "other"}


def test_volume_tiers_are_read_beside_each_other_and_under_the_name_above() -> None:
    card = _card().card
    assert card.bands("Germany", "utility") == (
        Band(1, Decimal("0.0550")),
        Band(100_001, Decimal("0.0523")),
        Band(1_000_001, Decimal("0.0495")),
    )
    assert card.bands("Germany", "authentication") == (Band(1, Decimal("0.0550")), Band(50_001, Decimal("0.0523")))
    assert card.bands("India", "utility")[1] == Band(25_000_001, Decimal("0.0013"))
    assert card.bands("Germany", "marketing") == (Band(1, Decimal("0.1365")),)


@pytest.mark.parametrize("above", ["Market,,Utility,,,,,A", ",,Utility,,,,,A"])
def test_volume_tiers_are_read_where_the_heading_of_markets_stands_rows_above_or_nowhere(above: str) -> None:
    text = TIERS.replace('"Market\n(per rate card)",Currency', ",Currency").replace(",,Utility,,,,,A", above)
    assert _card(tiers=text).card == _card().card


def test_volume_tiers_below_each_other_are_read_too() -> None:
    text = (
        "Market,Currency,Category,From,To,Rate\n"
        "Germany,USD,utility,0,100,0.0550\nGermany,USD,utility,101,MAX,0.0500\n"
        "India,USD,authentication-international,0,MAX,0.0280\n"
    )
    card = _card(tiers=text).card
    assert card.bands("Germany", "utility") == (Band(1, Decimal("0.0550")), Band(101, Decimal("0.0500")))
    assert card.bands("India", "authentication_international") == (Band(1, Decimal("0.0280")),)
    with pytest.raises(FileRefused, match="Germany has tiers of no category that has any"):
        _card(tiers=text.replace("utility", "marketing"))


def test_without_doubts_nothing_has_to_be_confirmed() -> None:
    read = _card()
    assert read.doubts == []
    assert read.warnings == []


def test_an_unknown_column_is_left_out_with_a_warning() -> None:
    lines = [f"{line},0.9" if line[:1] in "GIMRO" and "$US" in line else line for line in RATES.splitlines()]
    text = "\n".join(lines).replace('International",Service', 'International",Service,Calls')
    read = _card(text)
    assert read.warnings == ["The column “Calls” is unknown, and is left out."]
    assert read.card == _card().card


def test_a_change_by_more_than_half_has_to_be_confirmed() -> None:
    before = _card().card
    read = _card(RATES.replace("0.1365", "0.2100").replace("India,$US,0.0118", "India,$US,0.0060"), before=before)
    assert read.doubts == ["Germany: marketing was 0.1365, is 0.2100 on this one (+54 %)."]
    assert _card(RATES.replace("India,$US,0.0118", "India,$US,0.0058"), before=before).doubts == [
        "India: marketing was 0.0118, is 0.0058 on this one (-51 %)."
    ]


def test_what_is_gone_has_to_be_confirmed() -> None:
    before = _card().card
    gone = _card("\n".join(line for line in RATES.splitlines() if not line.startswith("Morocco")), before=before)
    assert gone.doubts == ["morocco is on the card before it, and not on this one."]
    no_rate = _card(RATES.replace("India,$US,0.0118", "India,$US,n/a"), before=before)
    assert no_rate.doubts == ["India: marketing was 0.0118, and has no rate on this one."]


def test_nobody_pays_a_tier_that_costs_more_than_the_one_before_for_a_slip_in_the_file() -> None:
    assert _card(tiers=TIERS.replace("0.0495", "0.4950")).doubts == [
        "Germany: utility costs 0.4950 from message 1000001 of a month on, and 0.0523 before."
    ]
    assert _card(tiers=TIERS.replace("0.0495", "0.0049")).doubts == [
        "Germany: utility costs 0.0049 from message 1000001 of a month on, and 0.0523 before."
    ]


def test_who_forgets_the_tiers_of_a_new_card_is_asked_before_everything_costs_the_list_rate() -> None:
    said = "It has no volume tiers (--tiers): each message will cost the list rate."
    assert (_card(tiers=None, before=_card().card).doubts, _card(tiers=None).warnings) == ([said], [said])


@pytest.mark.parametrize(
    "said", ["effective January 1, 2027", "Effective date: Jan 1 2027", "effective as of 1 January 2027"]
)
def test_a_file_for_another_day_has_to_be_confirmed(said: str) -> None:
    read = _card(RATES.replace("effective October 1, 2026", said))
    assert read.doubts == ["The file says that it holds from 2027-01-01, not from 2026-10-01."]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "There is no header with Market, Currency and a category, such as Marketing."),
        ("Market,Currency,Marketing\n", "There is no rate in it."),
        (RATES.replace("India,$US", "India,EUR"), "Line 8: India is not in USD."),
        (RATES.replace("0.1365", "0,1365"), "Line 7: Germany has more cells than the header."),
        (RATES.replace("0.1365", '"0,136"'), "Line 7: marketing of Germany is no amount."),
        (RATES.replace("0.1365", "-0.1365"), "Line 7: marketing of Germany is no amount."),
        (RATES.replace("0.1365", "0.13651234"), "Line 7: marketing of Germany has more than 6 places after the point."),
        (RATES.replace("Morocco*", "India"), "Line 9: India was there before."),
        (RATES.replace("Utility", "Marketing"), "Line 6 has the column “marketing” twice."),
        (RATES.replace("Morocco*", ""), "Line 9 has no market."),
        (
            RATES[: RATES.index(",0.0040,n/a")],
            "Line 10: Rest of Africa has fewer cells than the header, as when a file is not whole.",
        ),
        (
            RATES.replace(",", ";"),
            "Line 5: no commas stand between the cells, as when a spreadsheet has saved the file anew. It may have "
            "written amounts in another way too: import the file as Meta publishes it.",
        ),
        (RATES + '"', "The file is no CSV: unexpected end of data, in line 12."),
    ],
)
def test_a_file_that_is_not_right_is_refused_by_line(text: str, problem: str) -> None:
    with pytest.raises(FileRefused) as refused:
        _card(text, None)
    assert refused.value.problems == (problem,)


@pytest.mark.parametrize(
    ("tiers", "problem"),
    [
        (TIERS.replace('"100,001"', '"100,002"'), "utility of germany does not begin where the tier before it ends."),
        (TIERS.replace(",Utility,", ",Postage,"), "What the columns 3 to 7 are of is no category with tiers."),
        (TIERS.replace("India,$US,1", "Atlantis,$US,1"), "Atlantis has volume tiers of utility"),
        (RATES, "There is no header with Market, Currency, From, To and Rate."),
    ],
)
def test_tiers_that_are_not_right_are_refused(tiers: str, problem: str) -> None:
    with pytest.raises(FileRefused) as refused:
        _card(tiers=tiers)
    assert problem.lower() in str(refused.value).lower()


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(FileRefused, match="not UTF-8"):
        read_card(b"Market,Currency,Marketing\nM\xe9xico,USD,1", None, "USD", OCTOBER)
    with pytest.raises(FileRefused, match="more than"):
        read_card(b" " * 1_000_001, None, "USD", OCTOBER)

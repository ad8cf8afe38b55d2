"""Which of Meta's markets a message is charged in: by the recipient's calling code, from a day on. Pure.

Source: Meta, "Pricing on the WhatsApp Business Platform", country calling codes, updates to rate cards. A market that
was moved out of its region is charged by itself from a day of the account's own zone on, and has tiers of its own.
"""

import re
from collections.abc import Collection, Mapping
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from wabus_whatsapp.prices.calling_codes import CODES, NAMES, country_of_number, country_of_user_id

OTHER = "Other"
"""Of every country that is in no other market."""

_REGIONS = {
    "North America": "CA US",
    "Rest of Africa": "DZ AO BJ BW BF BI CM TD CG ER ET GA GM GH GW CI KE LS LR LY MG MW ML MR MA MZ NA NE RW SN SL SO "
    "SS SD SZ TZ TG TN UG ZM ZW",
    "Rest of Asia Pacific": "AF AU BD KH CN HK JP LA MN NP NZ PG PH SG LK TW TJ TH TM UZ VN",
    "Rest of Central & Eastern Europe": "AL AM AZ BY BG HR CZ GE GR HU LV LT MD MK PL RO RS SK SI UA",
    "Rest of Western Europe": "AT BE DK FI IE NO PT SE CH",
    "Rest of Latin America": "BO CR DO EC SV GT HT HN JM NI PA PY PR UY VE",
    "Rest of Middle East": "BH IQ JO KW LB OM QA YE",
}
_ALONE = "AR BR CL CO EG FR DE IN ID IL IT MY MX NL NG PK PE RU SA ZA ES TR AE GB"
"""Countries that are a market by themselves since before messages were charged one by one."""
_ALONE_SINCE = {
    date(2026, 7, 1): "HK HU PL QA RO SG",
    date(2026, 10, 1): "BD IQ KZ KW LK MA NP OM UA",
}
_IN_REGION_SINCE = {"ZW": date(2025, 10, 1)}

_REGION_OF = {country: region for region, countries in _REGIONS.items() for country in countries.split()}
_SINCE = dict.fromkeys(_ALONE.split(), date.min) | {
    country: since for since, countries in _ALONE_SINCE.items() for country in countries.split()
}
_SAME = {"turkiye": "turkey", "türkiye": "turkey", "uae": "united arab emirates", "ksa": "saudi arabia"}


class Place(NamedTuple):
    """The country of a recipient."""

    country: str
    """In the two letters of ISO 3166-1; empty where it is not known."""
    sure: bool
    """Whether a telephone number says so, by which Meta charges; a user id only tells where the person is."""


def place_of(number: str | None, user_id: str | None) -> Place:
    """Where a recipient is charged, by the number if there is one, else by the user id.

    >>> place_of("4915123456789", "FR.1"), place_of(None, "FR.1"), place_of(None, None)
    (Place(country='DE', sure=True), Place(country='FR', sure=False), Place(country='', sure=False))
    """
    if number:
        return Place(country_of_number(number) or "", sure=True)
    return Place((user_id and country_of_user_id(user_id)) or "", sure=False)


def market_of(country: str, day: date, listed: Collection[str] = ()) -> str:
    """The market that a country is in on a day of the account's.

    `listed` are the markets of the rate card that holds on that day, as `market_key` has them: a country that it has a
    row for is a market of its own, even if that was not known when this was written.

    >>> market_of("MA", date(2026, 9, 30)), market_of("MA", date(2026, 10, 1)), market_of("BS", date(2026, 10, 1))
    ('Rest of Africa', 'Morocco', 'North America')
    """
    own = NAMES.get(country)
    if own and (_SINCE.get(country, date.max) <= day or market_key(own) in listed):
        return own
    if day < _IN_REGION_SINCE.get(country, date.min):
        return OTHER
    if country in _REGION_OF:
        return _REGION_OF[country]
    # What shares a calling code is charged as the country that Meta lists under it: +7 is Russia, +1 North America.
    code = CODES.get(country, "")
    if code.startswith("1"):
        return "North America"
    if code.startswith("7"):
        return NAMES["RU"]
    return OTHER


@lru_cache(maxsize=1024)
def market_key(name: str) -> str:
    """A market's name as names are compared: Meta writes the same ones in several ways.

    >>> market_key("Rest of Central &\\nEastern  Europe*") == market_key("REST OF CENTRAL AND EASTERN EUROPE")
    True
    """
    plain = re.sub(r"[\s_]+", " ", name.replace("&", " and ").replace("*", "")).strip().casefold()
    return _SAME.get(plain, plain)


_NAMED = (*_REGIONS, OTHER, *(name for country, name in NAMES.items() if country not in ("US", "CA")))
_CANONICAL: Mapping[str, str] = {market_key(name): name for name in _NAMED}


def market_named(name: str) -> str | None:
    """The market that a name means, as it is written here; None for one that no country is in.

    >>> market_named("INDIA"), market_named("Rest of Central and Eastern Europe"), market_named("Atlantis")
    ('India', 'Rest of Central & Eastern Europe', None)
    """
    return _CANONICAL.get(market_key(name))

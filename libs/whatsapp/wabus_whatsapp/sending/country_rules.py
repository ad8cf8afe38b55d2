"""Where WhatsApp delivers no messages of a category, from a day on. Data with its source; pure."""

from datetime import date
from typing import NamedTuple

from wabus_whatsapp.prices.calling_codes import country_of_number


class CountryRule(NamedTuple):
    """Templates of a category are not delivered to numbers of a country, from one day (UTC) to before another."""

    category: str
    country: str
    since: date
    until: date | None
    source: str


RULES = (
    CountryRule(
        "MARKETING",
        "US",
        date(2025, 4, 1),
        None,
        'Meta, "Per-user marketing template message limits": paused for numbers with the calling code +1 and an area '
        "code of the United States; fails with 131049",
    ),
)


def rule_against(category: str | None, wa_id: str | None, day: date) -> CountryRule | None:
    """The rule by which a template of this category is not delivered to this number on that day; None without one.

    >>> found = rule_against("MARKETING", "16505551234", date(2026, 11, 30))
    >>> found.country, rule_against("UTILITY", "16505551234", date(2026, 11, 30))
    ('US', None)
    >>> rule_against("MARKETING", "14165551234", date(2026, 11, 30))  # Canada
    """
    if category is None or wa_id is None:
        return None
    of_category = [rule for rule in RULES if rule.category == category]
    country = country_of_number(wa_id) if of_category else None
    for rule in of_category:
        if rule.country == country and rule.since <= day and (rule.until is None or day < rule.until):
            return rule
    return None

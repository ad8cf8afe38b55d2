"""From Meta's files to a rate card, and what of it somebody should confirm. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise

from wabus_whatsapp.prices.card import Band, Bands, Category, RateCard
from wabus_whatsapp.prices.rates_csv import read_rates
from wabus_whatsapp.prices.reading import FileRefused
from wabus_whatsapp.prices.tiers_csv import read_tiers

JUMP = Decimal("0.5")
"""A rate that changes by more than this share of what it was is perhaps that of another file."""
_EFFECTIVE = re.compile(
    r"effective\W+(?:(?:from|on|date|as\W+of)\W+)?([a-z]{3,9}\s+[0-9]{1,2},?\s+20[0-9]{2}|[0-9]{1,2}\s+[a-z]{3,9},?\s+20[0-9]{2})",
    re.IGNORECASE,
)
_FORMS = ("%B %d %Y", "%b %d %Y", "%d %B %Y", "%d %b %Y")


@dataclass(frozen=True, slots=True)
class Read:
    """A rate card out of files."""

    card: RateCard
    names: Mapping[str, str]
    """How the file writes each market, by its key."""
    warnings: Sequence[str]
    doubts: Sequence[str]
    """What has to be confirmed before it is published."""


def read_card(
    rates: bytes, tiers: bytes | None, currency: str, effective: date, before: RateCard | None = None
) -> Read:
    """The card in Meta's files, compared with the one that holds until then. Raises `FileRefused`."""
    found = read_rates(rates, currency)
    volume = read_tiers(tiers, currency) if tiers is not None else {}
    all_bands: dict[tuple[str, Category], Bands] = {key: (Band(1, amount),) for key, amount in found.rates.items()}
    doubts = _other_date(found.preamble, effective)
    for (market, category), bands in volume.items():
        listed, name = found.rates.get((market, category)), found.names.get(market, market)
        if listed is None:
            raise FileRefused(f"{name} has volume tiers of {category}, but no rate on the rate card.")
        if listed != bands[0].amount:
            doubts.append(
                f"{name}: {category} costs {listed} on the rate card, and {bands[0].amount} in the first tier."
            )
        doubts += _odd_tiers(f"{name}: {category}", bands)
        all_bands[market, category] = bands
    card = RateCard(currency, effective, all_bands)
    doubts += jumps(before, card, found.names, found.categories)
    warnings = list(found.warnings)
    if tiers is None:
        said = "It has no volume tiers (--tiers): each message will cost the list rate."
        had_tiers = before is not None and any(len(bands) > 1 for bands in before.rates.values())
        (doubts if had_tiers else warnings).append(said)
    return Read(card, found.names, warnings, doubts)


def jumps(
    before: RateCard | None,
    after: RateCard,
    names: Mapping[str, str],
    categories: frozenset[Category] = frozenset(),
) -> list[str]:
    """Rates that change by more than half, or that are no more; `categories` are the columns of the new card's file."""
    found: list[str] = []
    for (market, category), bands in sorted(before.rates.items() if before else ()):
        name, was = names.get(market, market), bands[0].amount
        now = after.list_rate(market, category)
        if now is None:
            # A market may have gone into another one; a column of its own that is gone is another file.
            if market not in after.markets:
                found.append(f"{name} is on the card before it, and not on this one.")
            elif category not in categories:
                found.append(f"{category} is on the card before it, and not on this one.")
            else:
                found.append(f"{name}: {category} was {was}, and has no rate on this one.")
        elif was and abs(now - was) > was * JUMP:
            found.append(f"{name}: {category} was {was}, is {now} on this one ({(now / was - 1) * 100:+.0f} %).")
    return list(dict.fromkeys(found))


def _odd_tiers(what: str, bands: Bands) -> list[str]:
    """Tiers that cost more than the one before, or less than half the list rate: Meta's are some per cent cheaper."""
    return [
        f"{what} costs {band.amount} from message {band.first} of a month on, and {before.amount} before."
        for before, band in pairwise(bands)
        if not bands[0].amount * JUMP <= band.amount <= before.amount
    ]


def _other_date(preamble: str, effective: date) -> list[str]:
    """Whether the file itself names another day."""
    for told in _EFFECTIVE.findall(preamble):
        for form in _FORMS:
            try:
                named = datetime.strptime(" ".join(told.replace(",", " ").split()), form).date()  # noqa: DTZ007
            except ValueError:
                continue
            return [f"The file says that it holds from {named}, not from {effective}."] if named != effective else []
    return []

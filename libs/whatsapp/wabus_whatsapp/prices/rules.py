"""What is charged at all, from a day on: dated data, each with where it comes from. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from wabus_whatsapp.prices.card import Category
from wabus_whatsapp.prices.reading import MOST_BYTES, FileRefused


@dataclass(frozen=True, slots=True)
class PriceRules:
    """What holds from midnight of a day on, in each account's own zone."""

    effective: date
    source: str
    """The titles of the pages that say so."""
    service_charged: bool
    """Whether messages that are no templates cost anything."""
    service_rate_of: Category = "utility"
    """At whose list rate, where the rate card has no column for them."""
    service_free_monthly: int = 0
    """How many of them each business number has free in a month."""
    utility_in_window_charged: bool = True
    """Whether a utility template costs anything while the customer service window is open."""
    free_entry_point_hours: int = 72
    """For how long everything is free to somebody who came by an ad or a page's button and was answered in a day."""


BUILT_IN: Sequence[PriceRules] = (
    PriceRules(
        date(2025, 7, 1),
        "Meta: Pricing on the WhatsApp Business Platform, updated 1 July 2026",
        service_charged=False,
        utility_in_window_charged=False,
    ),
    PriceRules(
        date(2026, 10, 1),
        "Meta: Pricing on the WhatsApp Business Platform, as excerpted on 2 October 2026; YCloud: Changes to WhatsApp "
        "service messages and utility messages in the 24-hour window, 2 July 2026; ChakraHQ: WhatsApp API pricing "
        "update, service messages, October 2026",
        service_charged=True,
        service_free_monthly=1000,
    ),
)
"""What was known when this was written; rules that are published later take the place of those of the same day."""


def rules_on(day: date, rules: Iterable[PriceRules]) -> PriceRules:
    """The rules that hold on a day; before all of them, the first."""
    ordered = sorted(rules, key=lambda each: each.effective)
    return next((each for each in reversed(ordered) if each.effective <= day), ordered[0])


AHEAD = timedelta(days=366)
"""Meta tells of prices a month ahead: who names a day that is farther may have mistyped it."""


class _Rules(BaseModel):
    """Rules as a file has them. What it does not say is not guessed, but for what rate cards mostly say themselves."""

    model_config = ConfigDict(extra="forbid", strict=True)

    effective: Annotated[date, Field(strict=False)]
    source: Annotated[str, Field(min_length=1, max_length=400)]
    service_charged: bool
    service_rate_of: Category = "utility"
    service_free_monthly: Annotated[int, Field(ge=0, le=1_000_000)]
    utility_in_window_charged: bool
    free_entry_point_hours: Annotated[int, Field(ge=0, le=24 * 366)]


def read_rules(content: bytes) -> Sequence[PriceRules]:
    """The rules of a JSON file, which has one or a list of them, the oldest first. Raises `FileRefused`."""
    if len(content) > MOST_BYTES:
        raise FileRefused(f"The file has more than {MOST_BYTES:,} bytes.")
    as_list = content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    try:
        if as_list:
            found = TypeAdapter(list[_Rules]).validate_json(content.removeprefix(b"\xef\xbb\xbf"))
        else:
            found = [_Rules.model_validate_json(content.removeprefix(b"\xef\xbb\xbf"))]
    except ValidationError as error:
        raise FileRefused(*(_problem(each["loc"], each["msg"]) for each in error.errors())) from None
    if not found:
        raise FileRefused("The file has no rules.")
    days = [each.effective for each in found]
    if twice := sorted({day for day in days if days.count(day) > 1}):
        raise FileRefused(*(f"Two rules are from {day}." for day in twice))
    return sorted((PriceRules(**each.model_dump()) for each in found), key=lambda each: each.effective)


def doubts_about(new: PriceRules, known: Iterable[PriceRules], today: date) -> list[str]:
    """What is strange in rules that are to be published, beside those that hold before them."""
    known = list(known)
    found: list[str] = []
    if new.effective > today + AHEAD:
        found.append(f"From {new.effective}: that is more than a year ahead.")
    if new.effective < min(each.effective for each in known):
        found.append(f"From {new.effective}: that is before all rules that are known.")
    before = rules_on(new.effective - timedelta(days=1), known)
    for name in ("service_free_monthly", "free_entry_point_hours"):
        was, now = getattr(before, name), getattr(new, name)
        if was != now and (not was or abs(now - was) * 2 > was):
            found.append(f"From {new.effective}: {name} was {was}, is {now} in this file.")
    for name in ("service_charged", "utility_in_window_charged"):
        if getattr(before, name) and not getattr(new, name):
            found.append(
                f"From {new.effective}: {name} was true, and is false in this file: what has cost would be free."
            )
    return found


def _problem(place: Sequence[int | str], said: str) -> str:
    """What is wrong where, without what stands there."""
    where = ".".join(str(each + 1) if isinstance(each, int) else each for each in place)
    return f"{where}: {said}." if where else f"The file is not right: {said}."

"""What is charged, and what is free: Meta's rules with the day from which each is in force. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

PricingType = Literal["regular", "free_customer_service", "free_entry_point", "free_group_customer_service"]


@dataclass(frozen=True, slots=True)
class Rule:
    effective: date
    """From 12am of this day in each account's own time zone."""
    service_is_charged: bool
    free_service_messages: int
    """So many that a number delivers in a month are free where service messages are charged; none is carried over."""
    utility_in_window_is_charged: bool
    free_entry_hours: int
    """How long a free entry point window is open, from the answer on."""
    source: str


RULES: tuple[Rule, ...] = (
    Rule(
        date(2025, 7, 1),
        service_is_charged=False,
        free_service_messages=0,
        utility_in_window_is_charged=False,
        free_entry_hours=72,
        source='"Pricing" (Sep 11, 2026): Cloud API and Marketing Messages API for WhatsApp; Free entry point windows',
    ),
    Rule(
        date(2026, 10, 1),
        service_is_charged=True,
        free_service_messages=1000,
        utility_in_window_is_charged=True,
        free_entry_hours=72,
        source='"Pricing" (Sep 30, 2026): Service messages; Free tier of monthly service messages. '
        "It says that a free entry point window may be open for up to 7 days, and not when: "
        "72 hours are those of before",
    ),
)


def rule_on(rules: Sequence[Rule], day: date) -> Rule:
    """The rule in force; of days before the first, that one."""
    before = [rule for rule in rules if rule.effective <= day]
    return max(before, key=lambda rule: rule.effective) if before else min(rules, key=lambda rule: rule.effective)


def pricing_type(rule: Rule, category: str, *, in_window: bool, in_free_entry: bool, served: int) -> PricingType:
    """The type of pricing of a message that is delivered. `served` is how many service messages its number has had
    delivered in this month before it.

    "Pricing", Webhooks, and "Free tier of monthly service messages": those within the tier are `free_customer_service`,
    and those after it `regular`. Of groups "Groups API Pricing" says that what is free in a window has a type of its
    own; no page says since October 2026 that they are charged otherwise than others, so they are not here.
    """
    if in_free_entry:
        return "free_entry_point"
    free: PricingType = "free_group_customer_service" if category.startswith("group_") else "free_customer_service"
    match category.removeprefix("group_"):
        case "service" if not rule.service_is_charged or served < rule.free_service_messages:
            return free
        case "utility" if in_window and not rule.utility_in_window_is_charged:
            return free
        case _:
            return "regular"

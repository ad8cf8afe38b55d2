"""Six rules with hard evidence: what is wrong, what it costs a month, and what to do. Pure; nothing acts by itself.

Sources: Meta, "Pricing" (each delivered message is charged by itself; service messages from October 2026; one-time
passwords at the international price), "Template categorization", "Error codes" (131026, 131042, 131064, 141006).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from wabus_events import fact_id

from wabus_insights.advice.evidence import (
    Allowance,
    Evidence,
    ForeignAuthentication,
    Price,
    Prices,
    Repetition,
    TemplateUse,
    Unreachable,
)

Kind = Literal[
    "template_category",
    "join_messages",
    "unreachable_people",
    "repeated_template",
    "international_authentication",
    "payment_method",
]
MONTH = 30
"""Days that what was counted is extended to."""
EXTRA_MIN = 10
"""Messages too many without which nothing is said of them: chance has some."""
ALLOWANCE_NEAR = Decimal("0.8")
"""The share of the free messages from which on a missing payment method matters."""
CENTS = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Advice:
    """One piece of advice."""

    advice_id: str
    """What is about the same has the same."""
    kind: Kind
    waba_id: str
    about: str
    """The template, the business phone number or the country that it is about."""
    finding: str
    """What was found, for people."""
    remedy: str
    """What to do, for people."""
    saving: Decimal | None
    """What it would save in a month; None where it is not about money, or no price is known."""
    currency: str | None
    evidence: Mapping[str, Any]
    """What was counted."""


def advise(org_id: str, evidence: Evidence) -> list[Advice]:
    """All that can be said, what saves most first; amounts of different currencies are not compared."""
    prices = evidence.prices
    found = [
        *(one for use in evidence.templates if (one := _category(org_id, use, prices))),
        *(one for burst in evidence.bursts if (one := _join(org_id, burst, prices))),
        *(one for people in evidence.unreachable if (one := _unreachable(org_id, people))),
        *(one for repeat in evidence.repeats if (one := _repeated(org_id, repeat, prices))),
        *(one for foreign in evidence.foreign if (one := _foreign(org_id, foreign, prices))),
        *(one for allowance in evidence.allowances if (one := _payment(org_id, allowance))),
    ]
    return sorted(found, key=lambda one: (one.currency or "~", -(one.saving or 0), one.kind, one.about))


def advice_id(org_id: str, kind: Kind, waba_id: str, about: str) -> str:
    """The id of advice about something, whenever it is given."""
    return fact_id("wabus.Advice", org_id, kind, waba_id, about)


def _category(org_id: str, use: TemplateUse, prices: Prices) -> Advice | None:
    dearer, cheaper = (_priced(use.charged, use.waba_id, word, prices) for word in ("marketing", "utility"))
    difference = None
    if dearer and cheaper and dearer.currency == cheaper.currency:
        difference = Price(_a_month(dearer.amount - cheaper.amount, use.days), dearer.currency)
    charged = sum(use.charged.values())
    evidence = {
        "category": use.category,
        "previous_category": use.previous_category,
        "correct_category": use.correct_category,
        "charged": charged,
        "days": use.days,
        "as_marketing": _text(dearer, use.days),
        "as_utility": _text(cheaper, use.days),
    }
    name = f"“{use.name}” ({use.language})"
    caution = "Don't call utility what advertises: Meta punishes it (131064)."
    if use.category == "MARKETING" and use.correct_category == "UTILITY":
        finding = f"Meta holds {name} to be utility, and it is charged as marketing."
        remedy = f"Have Meta move it to utility, or make the template anew in that category. {caution}"
    elif use.category == "MARKETING" and use.previous_category == "UTILITY":
        finding = f"Meta has moved {name} from utility to marketing, and charges it as such."
        remedy = (
            "If it is about something that the person has ordered or asked for, take out whatever advertises and hand "
            f"it in again, or ask Meta for a review. {caution}"
        )
    elif use.category == "UTILITY" and use.correct_category == "MARKETING":
        finding = f"Meta holds {name} to be marketing, and will charge it as such."
        remedy = f"Take out whatever advertises before Meta moves it, or plan for the price of marketing. {caution}"
    else:
        return None
    if not charged:
        return None
    # What will be dearer saves nothing by itself: by changing the text the same is not lost.
    saving = difference if difference and difference.amount > 0 else None
    return _advice(org_id, "template_category", use.waba_id, use.template_id, finding, remedy, saving, evidence)


def _join(org_id: str, burst: Repetition, prices: Prices) -> Advice | None:
    extra = sum(burst.extra.values())
    if extra < EXTRA_MIN:
        return None
    saving = _saved(_priced(burst.extra, burst.waba_id, burst.category, prices), burst.days)
    return _advice(
        org_id, "join_messages", burst.waba_id, burst.about,
        f"{extra} messages went to somebody less than 30 seconds after another one from {burst.name}, and each was "
        "charged.",
        "Put what belongs together into one message: since October 2026 each service message costs.",
        saving,
        {"extra": extra, "people_a_day": burst.people_a_day, "days": burst.days},
    )  # fmt: skip


def _unreachable(org_id: str, found: Unreachable) -> Advice | None:
    if not found.people:
        return None
    return _advice(
        org_id, "unreachable_people", found.waba_id, found.phone_number_id,
        f"To {found.people} people three messages or more could not be delivered (131026), and none was: they have no "
        "WhatsApp, or have not accepted its terms.",
        "Stop writing to them on WhatsApp until they write themselves: failures count against the number's quality. "
        f"GET /sends?state=accepted&phone_number_id={found.phone_number_id} lists what was sent, each with whom it is "
        "for; these have 131026 among their `delivery_errors`.",
        None,
        {"people": found.people, "failures": found.failures, "days": found.days},
    )  # fmt: skip


def _repeated(org_id: str, repeat: Repetition, prices: Prices) -> Advice | None:
    extra = sum(repeat.extra.values())
    if extra < EXTRA_MIN:
        return None
    saving = _saved(_priced(repeat.extra, repeat.waba_id, repeat.category, prices), repeat.days)
    return _advice(
        org_id, "repeated_template", repeat.waba_id, repeat.about,
        f"{extra} messages of the template “{repeat.name}” went to somebody who had got it within 24 hours: on the day "
        f"with the most, {repeat.people_a_day} people got it again.",
        "Look for what sends it twice; an Idempotency-Key for each send, or a label for each campaign, keeps it from "
        "happening.",
        saving,
        {"extra": extra, "people_a_day": repeat.people_a_day, "days": repeat.days},
    )  # fmt: skip


def _foreign(org_id: str, found: ForeignAuthentication, prices: Prices) -> Advice | None:
    domestic = prices.price(found.waba_id, found.country, "authentication")
    if found.charged < EXTRA_MIN:
        return None
    saving = None
    if domestic and domestic.currency == found.currency:
        saving = _saved(Price(found.amount - found.charged * domestic.amount, found.currency), found.days)
    return _advice(
        org_id, "international_authentication", found.waba_id, found.country,
        f"{found.charged} one-time passwords to {found.country} were charged at the international price.",
        "Send them from an account whose business is there, if you have one, or another way, such as by SMS.",
        saving,
        {
            "charged": found.charged, "days": found.days, "amount": _plain(found.amount), "currency": found.currency,
            "domestic_price": _plain(domestic.amount) if domestic else None,
        },
    )  # fmt: skip


def _payment(org_id: str, found: Allowance) -> Advice | None:
    if found.payment_error is None or found.used < found.free * ALLOWANCE_NEAR:
        return None
    return _advice(
        org_id, "payment_method", found.waba_id, found.phone_number_id,
        f"{found.used} of {found.free} free service messages of this month are used, and Meta can't charge the account "
        f"(error {found.payment_error}).",
        "Add a payment method in WhatsApp Manager: beyond the free ones, messages may be accepted and never delivered.",
        None,
        {"used": found.used, "free": found.free, "payment_error": found.payment_error},
    )  # fmt: skip


def _advice(
    org_id: str,
    kind: Kind,
    waba_id: str,
    about: str,
    finding: str,
    remedy: str,
    saving: Price | None,
    evidence: Mapping[str, Any],
) -> Advice:
    amount, currency = (saving.amount.quantize(CENTS), saving.currency) if saving else (None, None)
    return Advice(
        advice_id(org_id, kind, waba_id, about), kind, waba_id, about, finding, remedy, amount, currency, evidence
    )


def _priced(counts: Mapping[str, int], waba_id: str, category: str, prices: Prices) -> Price | None:
    """What so many messages cost by country; None where a price is missing, for a part of a sum is no sum."""
    found = [(count, prices.price(waba_id, country, category)) for country, count in counts.items() if count]
    currencies = {price.currency for _, price in found if price}
    if not found or len(currencies) != 1 or any(price is None for _, price in found):
        return None
    total = sum((count * price.amount for count, price in found if price), Decimal(0))
    return Price(total, currencies.pop())


def _saved(total: Price | None, days: int) -> Price | None:
    if total is None or total.amount <= 0:
        return None
    return Price(_a_month(total.amount, days), total.currency)


def _a_month(amount: Decimal, days: int) -> Decimal:
    return amount * MONTH / max(days, 1)


def _text(total: Price | None, days: int) -> dict[str, str] | None:
    """What it costs in a month, as the API says amounts."""
    if total is None:
        return None
    return {"amount": _plain(_a_month(total.amount, days).quantize(CENTS)), "currency": total.currency}


def _plain(amount: Decimal) -> str:
    return format(amount, "f")

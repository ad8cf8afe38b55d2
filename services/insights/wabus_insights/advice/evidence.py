"""What advice rests on: counts of what happened, and what one message costs. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple


class Price(NamedTuple):
    """What one message costs."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Prices:
    """What one message of a category costs in a country, to an account."""

    of: Mapping[tuple[str, str, str], Price]
    """By account, country and category."""

    def price(self, waba_id: str, country: str, category: str) -> Price | None:
        return self.of.get((waba_id, country, category))


@dataclass(frozen=True, slots=True)
class TemplateUse:
    """A template, what Meta says of its category, and how often it was charged."""

    waba_id: str
    template_id: str
    name: str
    language: str
    category: str
    """`MARKETING`, `UTILITY` or `AUTHENTICATION`, as Meta has it now."""
    previous_category: str | None
    """What it was before Meta changed it."""
    correct_category: str | None
    """What Meta holds to be right, and will change it to."""
    charged: Mapping[str, int]
    """By country, messages of the last `days` that were charged."""
    days: int


@dataclass(frozen=True, slots=True)
class Repetition:
    """Messages that somebody got although they had got as much just before."""

    waba_id: str
    about: str
    """The template, or the business phone number."""
    name: str
    category: str
    """What they were charged as, in small letters."""
    extra: Mapping[str, int]
    """By country, messages that were charged and need not have been sent."""
    people_a_day: int
    """To how many people, on the day with the most of them: who got too many on two days would count twice."""
    days: int
    """On so many days."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """People to whom nothing can be delivered (131026), of one business phone number."""

    waba_id: str
    phone_number_id: str
    people: int
    failures: int
    """Messages that failed."""
    days: int


@dataclass(frozen=True, slots=True)
class ForeignAuthentication:
    """Authentication messages that were charged at the international price, in a country."""

    waba_id: str
    country: str
    charged: int
    amount: Decimal
    currency: str
    days: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """How far a business phone number has come with its free service messages of the month."""

    waba_id: str
    phone_number_id: str
    used: int
    free: int
    """So many are free in a month."""
    payment_error: str | None
    """Why Meta can't charge the account, in its own code; None where it said nothing of the kind."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that an organisation is advised by."""

    prices: Prices
    templates: Sequence[TemplateUse] = field(default_factory=list[TemplateUse])
    bursts: Sequence[Repetition] = field(default_factory=list[Repetition])
    repeats: Sequence[Repetition] = field(default_factory=list[Repetition])
    unreachable: Sequence[Unreachable] = field(default_factory=list[Unreachable])
    foreign: Sequence[ForeignAuthentication] = field(default_factory=list[ForeignAuthentication])
    allowances: Sequence[Allowance] = field(default_factory=list[Allowance])

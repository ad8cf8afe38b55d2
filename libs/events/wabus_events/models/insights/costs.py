"""Facts about what messages cost as Meta tells it, and what an organisation wants to spend and be advised of."""

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from wabus_events.models.event import Event, WabaEvent
from wabus_events.models.topics import INSIGHTS


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PricedVolume(_Part):
    """How many messages of a kind were delivered on a day, and what Meta charges for them."""

    country: str
    """Where they went (ISO 3166-1 alpha-2); empty where Meta does not say."""
    pricing_category: str
    """Meta's word in small letters, such as `marketing` or `authentication_international`."""
    pricing_type: str
    """`regular`, `free_customer_service` or `free_entry_point`."""
    tier: str = ""
    """The volume tier whose price applied, as `0:750000`; empty where there is none."""
    volume: int
    """Messages."""
    amount: Decimal | None = None
    """In the currency of the event, approximate by Meta's own word; None where Meta tells none."""


class PricingRead(WabaEvent, topic=INSIGHTS):
    """Graph was asked what an account's messages of a day cost (`pricing_analytics`), and says other than before.

    `time` is when it was asked; of two readings of a day the later one counts, whole. Source: Meta, "Analytics",
    Pricing analytics.
    """

    priced_on: date
    """The day, by the clocks of the account's place."""
    time_zone: str | None = None
    """Which those are, as IANA names them; None for UTC, where the account's are not known."""
    currency: str | None = None
    """Of the amounts (ISO 4217); None where it is not known."""
    amounts_told: bool = True
    """Whether Meta tells amounts for this account: of one on a partner's credit line it tells only how many."""
    volumes: list[PricedVolume] = []
    """All that Meta has of the day."""


class BudgetLine(_Part):
    """What an organisation wants to spend in a month at most."""

    budget_id: str
    """Which one it is, by what it is for, whatever its amount."""
    waba_id: str | None = None
    """The account that it is for; None for all of them that are charged in the currency."""
    month: str | None = None
    """The only month that it is for, as `2026-12`; None for each that has none of its own."""
    currency: str
    """Such as EUR (ISO 4217)."""
    amount: Decimal
    """How much."""
    thresholds: list[int]
    """At how many per cent somebody is told."""


class BudgetsSet(Event, topic=INSIGHTS):
    """An organisation's budgets are these, and no others."""

    budgets: list[BudgetLine]
    """All of them."""
    replaces: str | None = None
    """The `id` of the budgets that it is a change of: if others hold by then it counts for nothing. Empty where there
    shall have been none; None replaces whatever there is."""
    requested_by: str | None = None
    """Who wanted it: an HMAC under a key of the organisation's, `hmac:` before it."""

    @property
    def subject(self) -> str | None:
        return self.org_id


class BudgetAlerted(Event, topic=INSIGHTS):
    """So much of a budget is spent, or will be by the end of the month. Told once for each threshold and month.

    `org_id` is always set. Who changes the amount of a budget has another one, and is told anew.
    """

    budget_id: str
    """The budget."""
    waba_id: str | None = None
    """The account that it is for; None for all of them."""
    month: str
    """As `2026-12`, by the clocks of each account's place."""
    alert: Literal["actual", "projected"]
    """Whether it is spent, or expected to be."""
    threshold: int
    """Per cent."""
    currency: str
    """Of the three amounts (ISO 4217)."""
    amount: Decimal
    """The budget."""
    spent: Decimal
    """Until now: what is known of it. Messages without a price are not in it."""
    projected: Decimal | None = None
    """What the month is expected to cost in all; None where too little is known to say."""
    unpriced: int = 0
    """Messages of the month whose price is not known."""

    @property
    def subject(self) -> str | None:
        return self.org_id


class AdviceDismissed(Event, topic=INSIGHTS):
    """An organisation does not want to be given a piece of advice any more, or wants it again."""

    advice_id: str
    """Which advice: what it is about has always the same."""
    kind: str
    """What is advised, such as `join_messages`."""
    dismissed: bool = True
    """False where it is wanted again."""
    requested_by: str | None = None
    """Who wanted it: an HMAC under a key of the organisation's, `hmac:` before it."""

    @property
    def subject(self) -> str | None:
        return self.org_id

"""The biller: what each delivered message costs, counted as Meta counts. No I/O; the caller gives the time.

Sources: "Pricing" (delivered messages; Message template categories: the category at the time of use; Volume tiers,
Tiering accrual and Key dynamics; Free tier of monthly service messages), "Authentication-international rates", "Set a
max price for marketing messages", "Groups API Pricing" (each participant whom it is delivered to is charged).
"""

import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_DOWN, Decimal
from zoneinfo import ZoneInfo

from simulated_meta.billing.cards import TIERED, Cards, RateCard, Tier, published
from simulated_meta.billing.markets import market_of
from simulated_meta.billing.rules import RULES, PricingType, Rule, pricing_type, rule_on
from simulated_meta.billing.zones import day_of, month_of

TOLD_AGAIN_AFTER = 60  # seconds between two webhooks of one tier; the later one comes first here
COST_STEP = Decimal("0.0001")  # to which the price of a message with a max price is told
FREE_ENTRY_CATEGORY = "referral_conversion"
"""Of messages in a free entry point window: "Status messages webhook reference", pricing.category."""


@dataclass(frozen=True, slots=True)
class Account:
    """What of a WhatsApp Business account decides what its messages cost."""

    id: str
    portfolio: str
    currency: str
    zone: ZoneInfo
    home: str = ""
    """ "Authentication-international rates", Primary business location: ISO 3166 alpha-2."""
    international_since: tuple[tuple[str, float], ...] = ()
    """Since when those rates hold for it, by country: Start times. None where it is not eligible."""


@dataclass(frozen=True, slots=True)
class Usage:
    """A message on its way to one person, as Meta knows it when it is sent."""

    message_id: str
    sent_at: float
    account: Account
    phone_number_id: str
    number: str
    """The business number, digits only."""
    country: str
    """Of the recipient."""
    category: str
    """At the time of use, as webhooks name it; that of the Marketing Messages API is `marketing_lite`."""
    in_window: bool = False
    in_free_entry: bool = False
    template_id: str = ""
    max_price: Decimal | None = None
    """The most that may be asked for this one delivery, in the account's currency."""
    n: int = 0
    """Its place in the ledger: what chance is drawn by."""


@dataclass(frozen=True, slots=True)
class Price:
    type: PricingType
    category: str
    market: str
    amount: Decimal
    """In the account's currency; 0 where it is free."""
    tier: Tier | None = None
    """None where it is free, for what is free has no part in tiers."""
    is_told: bool = False
    """Whether webhooks say the amount: of messages with a max price."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What was billed for one delivery, also where that is nothing."""

    n: int
    at: float
    """When it was delivered."""
    day: date
    """Of the account's own time zone."""
    usage: Usage
    price: Price

    @property
    def month(self) -> str:
        return month_of(self.day)


@dataclass(frozen=True, slots=True)
class TierReached:
    """ "Pricing", Tiering webhooks: the first message of a higher tier."""

    account_id: str
    at: float
    category: str
    market: str
    tier: str
    month: str


@dataclass(slots=True)
class Settings:
    seed: int = 1
    max_price_share: tuple[float, float] = (0.7, 1.0)
    """Between which shares of its max price a message costs: "Meta will charge that max price or lower"."""
    cost_factor: float = 1.0
    """By how much the costs in analytics differ from the bill: "All insights data is approximate"."""
    tells_tiers: bool = True
    tells_tiers_twice: bool = False
    """ "Pricing", Tiering webhooks: several webhooks may describe the same tier switch."""


@dataclass(slots=True)
class Biller:
    cards: Cards = field(default_factory=published)
    rules: Sequence[Rule] = RULES
    settings: Settings = field(default_factory=Settings)
    charges: list[Charge] = field(default_factory=list[Charge])
    reached: deque[TierReached] = field(default_factory=deque[TierReached])
    """Tiers that nobody has been told of yet."""
    unbilled: Counter[str] = field(default_factory=Counter[str])
    """Statuses of deliveries for which there is no rate, by account: nobody is told that they cost nothing."""
    _accrued: Counter[tuple[str, str, str, str]] = field(default_factory=Counter[tuple[str, str, str, str]])
    """Charged messages of a portfolio, market, category and month: the same month of all its accounts, whenever each
    is in it (Volume tiers examples, 3)."""
    _served: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """Service messages that a number has had delivered in a month."""
    _billed: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def free_entry_hours(self, day: date) -> int:
        """How long a free entry point window is open that is opened on this day."""
        return rule_on(self.rules, day).free_entry_hours

    def allowance_left(self, account: Account, phone_number_id: str, at: float) -> bool:
        """Whether this number's next service message would be free at this moment."""
        day = day_of(at, account.zone)
        rule = rule_on(self.rules, day)
        served = self._served[phone_number_id, month_of(day)]
        return not rule.service_is_charged or served < rule.free_service_messages

    def quote(self, usage: Usage, at: float) -> Price:
        """What a message costs if it is delivered at this moment. Raises KeyError for a currency without a card."""
        account, day = usage.account, day_of(at, usage.account.zone)
        month = month_of(day)
        base = usage.category.removeprefix("group_")
        type_ = pricing_type(
            rule_on(self.rules, day),
            usage.category,
            in_window=usage.in_window,
            in_free_entry=usage.in_free_entry,
            served=self._served[usage.phone_number_id, month],
        )
        card = self.cards.on(account.currency, day)
        market = market_of(usage.country, card.rates)
        if type_ != "regular":
            category = FREE_ENTRY_CATEGORY if type_ == "free_entry_point" else usage.category
            return Price(type_, category, market, Decimal(0))
        category, column = usage.category, {"marketing_lite": "marketing"}.get(base, base)
        if base == "authentication" and _is_international(account, usage.country, at, card, market):
            category = column = "authentication-international"
        if usage.max_price is not None:
            return Price("regular", category, market, self._bid(usage), Tier(0, None, usage.max_price), is_told=True)
        if column == "service" and card.rate(market, "service") is None:
            column = "utility"  # "Pricing": charged at the rate of utility; a card of before says n/a
        position = self._accrued[account.portfolio, market, _counted(column), month] + 1 if column in TIERED else 1
        tier = card.tier(market, column, position)
        if tier is None:
            raise KeyError(f"{column} of {market} in {account.currency}")
        return Price("regular", category, market, tier.rate, tier)

    def bill(self, usage: Usage, to: str, at: float) -> Charge | None:
        """Charge a message that was delivered to somebody at this moment; None if that is done already."""
        if (usage.message_id, to) in self._billed:
            return None
        price = self.quote(usage, at)
        day = day_of(at, usage.account.zone)
        month, base = month_of(day), usage.category.removeprefix("group_")
        if base == "service" and not usage.in_free_entry:
            self._served[usage.phone_number_id, month] += 1
        column = price.category.removeprefix("group_")
        if price.type == "regular" and column in TIERED and price.tier:
            key = (usage.account.portfolio, price.market, _counted(column), month)
            self._accrued[key] += 1
            if self._accrued[key] == price.tier.lower:
                self._tell_tier(TierReached(usage.account.id, at, column, price.market, price.tier.name, month))
        self._billed.add((usage.message_id, to))
        charge = Charge(len(self.charges) + 1, at, day, usage, price)
        self.charges.append(charge)
        return charge

    def _tell_tier(self, reached: TierReached) -> None:
        if self.settings.tells_tiers and self.settings.tells_tiers_twice:
            self.reached.append(replace(reached, at=reached.at + TOLD_AGAIN_AFTER))
        if self.settings.tells_tiers:
            self.reached.append(reached)

    def _bid(self, usage: Usage) -> Decimal:
        """What the auction comes to: some share of the max price, the same for the same seed and message."""
        chance = random.Random(f"{self.settings.seed}:{usage.n}")  # noqa: S311
        share = Decimal(str(round(chance.uniform(*self.settings.max_price_share), 6)))
        return ((usage.max_price or Decimal(0)) * share).quantize(COST_STEP, ROUND_DOWN)


def _counted(column: str) -> str:
    """Under what a message counts towards tiers: "Volume tiers examples", 2: the international ones go on counting."""
    return "authentication" if column.startswith("authentication") else column


def _is_international(account: Account, country: str, at: float, card: RateCard, market: str) -> bool:
    since = dict(account.international_since).get(country)
    has_rate = card.rate(market, "authentication-international") is not None
    return since is not None and at >= since and account.home != country and has_rate

"""Events about what messages cost, two accounts of one portfolio in two zones, and folds of them into tables."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
from hypothesis import strategies as st
from naive_costs import CURRENCIES, NUMBERS, PORTFOLIO, ZONES, Totals
from wabus_events import (
    AccountChecked,
    AccountConnected,
    AccountUpdated,
    Event,
    MarketRate,
    MessageAccepted,
    MessageStatusChanged,
    PricedVolume,
    PricingRead,
    RateBand,
    RateCardPublished,
    SendRequested,
    fact_id,
)
from wabus_events.models.topics import ACCOUNTS
from wabus_events.testing import an
from wabus_insights.worker.costs.folding import Costs
from wabus_insights.worker.costs.recounting import AT_ONCE, look
from wabus_insights.worker.costs.terms import Terms
from wabus_runtime.directory.connections import Connections
from wabus_runtime.projection.recorded import Recorded

ORG = "shop"
TABLES = (
    "rate_cards", "price_rules", "meta_averages", "meta_readings", "charge_sends", "charges", "cost_days",
    "tier_months", "tier_seconds", "tier_floors", "account_billings", "cost_changes", "cost_sums_due", "cost_day_sums",
    "cost_template_sums", "account_recounts", "price_recounts",
)  # fmt: skip
DAYS = (
    datetime(2026, 9, 30, 18, 25, tzinfo=UTC),
    datetime(2026, 10, 1, 2, 55, tzinfo=UTC),
    datetime(2026, 10, 1, 12, tzinfo=UTC),
    datetime(2026, 10, 31, 20, tzinfo=UTC),
    datetime(2026, 11, 1, 2, 30, tzinfo=UTC),
)
"""Around the ends of months in both zones."""


def connected(waba: str) -> Event:
    """An account that is connected, of which all is known."""
    return an(
        AccountConnected,
        org_id=ORG,
        waba_id=waba,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        portfolio_id=PORTFOLIO,
        time_zone=ZONES[waba],
        currency=CURRENCIES[waba],
    )


def told_of(waba: str, at: datetime, **what: str) -> Event:
    """Something that Graph says of an account when it is asked."""
    return an(AccountChecked, org_id=ORG, waba_id=waba, time=at, **what)


BOTH = [connected(waba) for waba in ZONES]
"""Two accounts of one portfolio."""


@st.composite
def descriptions(draw: st.DrawFn) -> list[list[Event]]:
    """What is told of the two accounts: all at once, or bit by bit and late; one of them perhaps moves, and back."""
    runs: list[list[Event]] = []
    for waba in ZONES:
        if draw(st.booleans()):
            runs.append([connected(waba)])
        else:
            late = datetime(2026, 11, 9, tzinfo=UTC)
            runs += [
                [told_of(waba, late, portfolio_id=PORTFOLIO)],
                [told_of(waba, late, time_zone=ZONES[waba])],
                [told_of(waba, late + timedelta(days=1), currency=CURRENCIES[waba])],
            ]
    for at, portfolio in zip(draw(st.sets(st.sampled_from(DAYS), max_size=2)), ("q", PORTFOLIO), strict=False):
        runs.append([told_of("b", at + timedelta(minutes=5), portfolio_id=portfolio)])
    return runs


def status(
    waba: str,
    wamid: str,
    what: str,
    time: datetime,
    country: str = "DE",
    pricing: dict[str, Any] | None = None,
    *,
    hidden: bool = False,
    number: str | None = None,
) -> MessageStatusChanged:
    """A status of a message to somebody in a country, whose number Meta perhaps hides."""
    item: dict[str, Any] = {"id": wamid, "status": what, **({"pricing": pricing} if pricing is not None else {})}
    user_id = f"{country}.1"
    return an(
        MessageStatusChanged,
        id=fact_id("status", wamid, what),
        org_id=ORG,
        waba_id=waba,
        phone_number_id=number or f"{waba}1",
        wamid=wamid,
        status=what,
        time=time,
        contact=user_id if hidden else NUMBERS[country],
        user_id=user_id,
        value={"statuses": [item]},
    )


def card(
    currency: str, effective: date, rates: dict[tuple[str, str], list[tuple[int, str]]], version: int = 1
) -> Event:
    """A rate card."""
    return RateCardPublished(
        id=fact_id("card", currency, str(effective), version),
        time=datetime(2026, 6, version, tzinfo=UTC),
        currency=currency,
        effective=effective,
        origin="a test",
        rates=[
            MarketRate(
                market=market,
                category=category,  # pyright: ignore[reportArgumentType]
                bands=[RateBand(first=first, amount=Decimal(amount)) for first, amount in bands],
            )
            for (market, category), bands in rates.items()
        ],
    )


def sent(waba: str, wamid: str, template: str, campaign: str | None = None, number: str | None = None) -> list[Event]:
    """A send of a template, in the order of its partition."""
    common = {
        "org_id": ORG,
        "waba_id": waba,
        "phone_number_id": number or f"{waba}1",
        "send_id": fact_id("send", wamid),
    }
    return [
        an(SendRequested, **common, template_id=template, template_name="t", label=campaign, kind="template"),
        an(MessageAccepted, **common, wamid=wamid, label=campaign, kind="template", wa_id=None, user_id=None),
    ]


def tier_reached(waba: str, market: str, category: str, month: str, first: int, at: datetime) -> Event:
    """Meta's word that a volume tier is reached."""
    told = {
        "tier_update_time": int(at.timestamp()),
        "pricing_category": category,
        "tier": f"{first}:{first + 100}",
        "effective_month": month,
        "region": market,
    }
    value = {"event": "VOLUME_BASED_PRICING_TIER_UPDATE", "volume_tier_info": told}
    return an(AccountUpdated, org_id=ORG, waba_id=waba, event="VOLUME_BASED_PRICING_TIER_UPDATE", value=value)


def reading(waba: str, day: date, version: int, volumes: Sequence[tuple[str, str, int, str]]) -> Event:
    """What Meta says that messages of a day cost."""
    return an(
        PricingRead,
        org_id=ORG,
        waba_id=waba,
        priced_on=day,
        currency=CURRENCIES[waba],
        time=datetime(2026, 12, version, tzinfo=UTC),
        volumes=[
            PricedVolume(
                country=country,
                pricing_category=category,
                pricing_type="regular",
                volume=volume,
                amount=Decimal(amount),
            )
            for country, category, volume, amount in volumes
        ],
    )


def _rates(step: int) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """Rates that differ by card, with tiers that begin elsewhere on each."""
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for n, market in enumerate(("Germany", "India", "Rest of Africa", "Morocco") if step > 1 else ("Germany", "India")):
        found[market, "marketing"] = [(1, f"0.{step}{n}1")]
        found[market, "utility"] = [(1, f"0.0{step}{n}2"), (2 + step, f"0.0{step}{n}1"), (4 + step, f"0.00{step}{n}")]
        found[market, "authentication"] = [(1, f"0.0{step}{n}5"), (2 + step, f"0.0{step}{n}4")]
        if n:
            found[market, "authentication_international"] = [(1, f"0.{step}{n}8"), (3, f"0.{step}{n}7")]
    return found


CARDS = [
    *(card(currency, date(2026, 7, 1), _rates(1)) for currency in ("EUR", "USD")),
    *(card(currency, date(2026, 10, 1), _rates(2)) for currency in ("EUR", "USD")),
    card("USD", date(2026, 10, 1), _rates(3), 2),
    card("EUR", date(2026, 10, 16), _rates(4)),
    card("EUR", date(2026, 10, 16), {}, 2),
]
FLOORS = [
    tier_reached("a", "Germany", "UTILITY", "2026-10", 4, DAYS[2] - timedelta(minutes=1)),
    tier_reached("b", "India", "AUTHENTICATION", "2026-11", 5, DAYS[4] - timedelta(hours=1)),
]
READINGS = [
    reading("a", date(2026, 9, 30), 1, [("DE", "utility", 10, "0.55"), ("KR", "marketing", 3, "0.10")]),
    reading("a", date(2026, 9, 30), 2, [("DE", "utility", 10, "0.65"), ("KR", "marketing", 7, "0.50")]),
    reading("b", date(2026, 10, 1), 1, [("KR", "marketing", 4, "0.41")]),
]


@st.composite
def histories(draw: st.DrawFn) -> list[list[Event]]:
    """What may happen, as runs of events that come in their order: others may come between."""
    runs: list[list[Event]] = [[event] for event in draw(st.lists(st.sampled_from([*CARDS, *FLOORS, *READINGS])))]
    runs += draw(descriptions())
    for n in range(draw(st.integers(1, 14))):
        waba = draw(st.sampled_from(("a", "b")))
        wamid, country = f"wamid.{n}", draw(st.sampled_from(("DE", "DE", "IN", "MA", "KR")))
        # Of two in one second nobody knows which was first.
        at = draw(st.sampled_from(DAYS)) + timedelta(seconds=n * 60)
        category = draw(
            st.sampled_from(
                (
                    "utility",
                    "utility",
                    "utility",
                    "authentication",
                    "authentication_international",
                    "marketing",
                    "service",
                )
            )
        )
        pricing: dict[str, Any] = {"category": category, "type": "regular", "pricing_model": "PMP"}
        match draw(st.integers(0, 9)):
            case 0:
                pricing["type"] = "free_customer_service"
            case 1 if category == "marketing":
                pricing["cost"] = {"amount": 0.035, "currency": "USD"}
            case _:
                pass
        hidden = draw(st.booleans())
        if draw(st.booleans()):
            runs.append(sent(waba, wamid, f"t{n % 2}", draw(st.sampled_from((None, "spring")))))
        told = draw(st.sets(st.sampled_from(("sent", "delivered", "read")), min_size=1))
        with_price = draw(st.sampled_from((told, told - {"read"}, told & {"read"}, {"sent"})))
        for what, later in (("sent", -1), ("delivered", 0), ("read", draw(st.sampled_from((1, 20 * 3600))))):
            if what in told:
                price = pricing if what in with_price else None
                runs.append([status(waba, wamid, what, at + timedelta(seconds=later), country, price, hidden=hidden)])
    return runs


async def clear(pool: asyncpg.Pool) -> None:
    await pool.execute(f"TRUNCATE {', '.join(TABLES)}")


async def fold(pool: asyncpg.Pool, *batches: Sequence[Event]) -> None:
    """Fold batches as one worker does, that knows the accounts."""
    await fold_beside(pool, [BOTH, *batches])


async def fold_beside(pool: asyncpg.Pool, *workers: Sequence[Sequence[Event]], at_once: int = AT_ONCE) -> None:
    """Fold as several workers at once. What does not go at once is left to be counted anew."""
    await asyncio.gather(*(_fold(pool, batches, at_once) for batches in workers))


async def _fold(pool: asyncpg.Pool, batches: Sequence[Sequence[Event]], at_once: int) -> None:
    costs = Costs(Connections(), at_once)
    for batch in batches:
        async with pool.acquire() as connection, connection.transaction():
            await costs.fold(connection, [Recorded(event, ACCOUNTS.name, 0, 0, event.time) for event in batch])


async def count_anew(pool: asyncpg.Pool, at_once: int = AT_ONCE) -> None:
    """Count all anew that is left to be."""
    await look(pool, Terms(), at_once, datetime.now(UTC), lambda: None)


async def totals(pool: asyncpg.Pool) -> Totals:
    """What the tables have, as the reference says it."""
    rows = await pool.fetch(
        """
        SELECT waba_id, phone_number_id, market, country, category, pricing_type, template_id, campaign, day, currency,
            known, sum(volume)::int AS volume, sum(amount) AS amount
        FROM cost_days GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
        """
    )
    return {tuple(row.values())[:11]: (row["volume"], row["amount"]) for row in rows}

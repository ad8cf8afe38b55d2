"""Rate cards, price rules, and what Meta's own numbers say that messages cost."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import asyncpg
from wabus_events import PriceRulesPublished, PricingRead, RateCardPublished
from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.published import card_of, rules_of

from wabus_insights.tables.older import delete_older

LOOKED_BACK = timedelta(days=30)
"""So many days of Meta's numbers an average is of."""


class Average(NamedTuple):
    """Which messages an average is of."""

    waba_id: str
    country: str
    category: str
    currency: str
    day: date
    """The last of its days."""


async def write_card(connection: Connection, event: RateCardPublished) -> bool:
    """Whether the card is another than before: of two of a currency and day the one published later stands."""
    row = await connection.fetchrow(
        """
        INSERT INTO rate_cards AS known (currency, effective, published_at, event_id, origin, sha256, rates)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (currency, effective) DO UPDATE SET published_at = excluded.published_at,
            event_id = excluded.event_id, origin = excluded.origin, sha256 = excluded.sha256, rates = excluded.rates
        WHERE (excluded.published_at, excluded.event_id) > (known.published_at, known.event_id)
        RETURNING 1
        """,
        event.currency,
        event.effective,
        event.time,
        event.id,
        event.origin,
        event.sha256,
        [each.model_dump(mode="json") for each in event.rates],
    )
    return row is not None


async def write_rules(connection: Connection, event: PriceRulesPublished) -> bool:
    """The same of rules."""
    row = await connection.fetchrow(
        """
        INSERT INTO price_rules AS known (effective, published_at, event_id, rules) VALUES ($1, $2, $3, $4)
        ON CONFLICT (effective) DO UPDATE SET published_at = excluded.published_at, event_id = excluded.event_id,
            rules = excluded.rules
        WHERE (excluded.published_at, excluded.event_id) > (known.published_at, known.event_id)
        RETURNING 1
        """,
        event.effective,
        event.time,
        event.id,
        event.model_dump(mode="json"),
    )
    return row is not None


class Stamps(NamedTuple):
    """What is another one whenever something else is known."""

    prices: str
    """Of cards and rules."""
    billings: int
    """Of how accounts are charged."""
    pricing_anew: bool
    """Whether cells are still to get the prices that are known now."""


async def stamps(connection: Connection) -> Stamps:
    """What is known now, in one question: it is asked with each batch."""
    row = await connection.fetchrow(
        """
        SELECT concat_ws(' ', (SELECT md5(string_agg(event_id, ',' ORDER BY currency, effective)) FROM rate_cards),
            (SELECT md5(string_agg(event_id, ',' ORDER BY effective)) FROM price_rules)),
            (SELECT coalesce(max(version), 0) FROM account_billings),
            EXISTS (SELECT FROM price_recounts WHERE waba_id IS NULL)
        """
    )
    return Stamps(*row) if row else Stamps("", 0, pricing_anew=False)


async def load(connection: Connection | asyncpg.Pool) -> PriceBook:
    """All that was published."""
    cards = await connection.fetch("SELECT currency, effective, rates FROM rate_cards")
    rules = await connection.fetch("SELECT rules FROM price_rules")
    return PriceBook(
        (card_of(row["currency"], row["effective"], row["rates"]) for row in cards),
        (rules_of(row["rules"]) for row in rules),
    )


async def write_reading(connection: Connection, event: PricingRead) -> bool:
    """Whether a reading of a day counts: of two the later one does, whole."""
    row = await connection.fetchrow(
        """
        INSERT INTO meta_readings AS known (waba_id, day, read_at) VALUES ($1, $2, $3)
        ON CONFLICT (waba_id, day) DO UPDATE SET read_at = excluded.read_at WHERE excluded.read_at > known.read_at
        RETURNING 1
        """,
        event.waba_id,
        event.priced_on,
        event.time,
    )
    if row is None:
        return False
    await connection.execute(
        "DELETE FROM meta_averages WHERE waba_id = $1 AND day = $2", event.waba_id, event.priced_on
    )
    await connection.executemany(
        """
        INSERT INTO meta_averages AS known (waba_id, day, country, category, currency, volume, amount)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (waba_id, day, country, category, currency) DO UPDATE
        SET volume = known.volume + excluded.volume, amount = known.amount + excluded.amount
        """,
        [
            (
                event.waba_id,
                event.priced_on,
                each.country.upper(),
                each.pricing_category.lower().replace("-", "_"),
                event.currency,
                each.volume,
                each.amount,
            )
            for each in event.volumes
            if each.amount is not None and each.volume > 0 and each.pricing_type.lower() == "regular" and event.currency
        ],
    )
    return True


async def delete_old_readings(pool: asyncpg.Pool, before: date, most: int) -> int:
    """Some of what Meta said that messages cost on earlier days."""
    return sum([await delete_older(pool, table, "day", before, most) for table in ("meta_averages", "meta_readings")])


async def averages(connection: Connection, wanted: Iterable[Average]) -> dict[Average, Decimal]:
    """What one message cost by Meta's own numbers, where there are any."""
    asked = sorted(set(wanted))
    if not asked:
        return {}
    rows = await connection.fetch(
        """
        SELECT asked.*, sum(amount) / sum(volume) AS average
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::date[])
            AS asked (waba_id, country, category, currency, last)
        JOIN meta_averages AS told USING (waba_id, country, category, currency)
        WHERE told.day BETWEEN asked.last - $6::int AND asked.last
        GROUP BY 1, 2, 3, 4, 5
        """,
        *(list(column) for column in zip(*asked, strict=True)),
        LOOKED_BACK.days,
    )
    return {
        Average(row["waba_id"], row["country"], row["category"], row["currency"], row["last"]): row["average"]
        for row in rows
    }


async def cards(pool: asyncpg.Pool, currency: str | None) -> Sequence[asyncpg.Record]:
    """The cards that were published and not withdrawn, the oldest first."""
    return await pool.fetch(
        """
        SELECT currency, effective, published_at, origin, sha256, rates FROM rate_cards
        WHERE ($1::text IS NULL OR currency = $1) AND rates <> '[]' ORDER BY currency, effective
        """,
        currency,
    )


async def as_of(pool: asyncpg.Pool) -> datetime | None:
    """When the newest card or rule was published."""
    return await pool.fetchval(
        "SELECT greatest((SELECT max(published_at) FROM rate_cards), (SELECT max(published_at) FROM price_rules))"
    )

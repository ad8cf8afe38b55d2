"""What was spent: what days cost, as budgets, the forecast and the comparison with Meta need them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_insights.costs.forecast import Spent
from wabus_insights.costs.reconciliation import Metas, Ours, kind_of
from wabus_insights.tables.costs import sums

PRICED = "known <> 'unknown'"
"""SQL: whether an amount is one. What has no price is counted apart, and never as 0."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent in one currency, by account, day and kind."""

    rows: Sequence[tuple[str, Spent]]
    unpriced: int
    """Messages of the last month asked for whose price is not known."""
    other_currencies: Sequence[str]
    """In which accounts of the organisation were charged too, that month."""

    def of(self, waba_id: str) -> list[Spent]:
        """What one account spent."""
        return [spent for whose, spent in self.rows if whose == waba_id]

    @property
    def wabas(self) -> list[str]:
        """The accounts that have spent something."""
        return sorted({waba_id for waba_id, _ in self.rows})


async def spending(
    pool: asyncpg.Pool | Connection,
    org_id: str,
    waba_id: str | None,
    currency: str,
    *,
    since: date,
    first: date,
    last: date,
) -> Spending:
    """What an organisation, or one account of it, spent from `since` to `last`; `first` is where the month begins."""
    rows = await pool.fetch(
        f"""
        SELECT waba_id, day, market, country, category,
            sum(volume) FILTER (WHERE {PRICED} AND pricing_type = 'regular')::bigint AS charged,
            sum(amount) FILTER (WHERE {PRICED}) AS amount
        FROM {sums.DAYS.format(org="$1", since="$4", to="$5")}
        WHERE ($2::text IS NULL OR waba_id = $2) AND currency = $3
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        """,  # noqa: S608
        org_id,
        waba_id,
        currency,
        since,
        last,
    )
    (others,) = await pool.fetch(
        f"""
        SELECT coalesce(sum(volume) FILTER (WHERE NOT {PRICED} AND currency IN ('', $3)), 0)::bigint AS unpriced,
            array_agg(DISTINCT currency) FILTER (WHERE {PRICED} AND currency <> $3 AND amount > 0) AS others
        FROM {sums.DAYS.format(org="$1", since="$4", to="$5")} WHERE $2::text IS NULL OR waba_id = $2
        """,  # noqa: S608
        org_id,
        waba_id,
        currency,
        first,
        last,
    )
    return Spending(
        [
            (
                row["waba_id"],
                Spent(
                    row["day"],
                    row["market"],
                    row["category"],
                    row["charged"] or 0,
                    row["amount"] or Decimal(0),
                    row["country"],
                ),
            )
            for row in rows
        ],
        others["unpriced"],
        sorted(others["others"] or ()),
    )


async def currencies(pool: asyncpg.Pool | Connection, org_id: str, waba_id: str | None, since: date) -> list[str]:
    """In which an organisation was charged, that of the largest volume first."""
    rows = await pool.fetch(
        f"""
        SELECT currency FROM {sums.DAYS.format(org="$1", since="$3", to="'infinity'")}
        WHERE ($2::text IS NULL OR waba_id = $2) AND currency <> ''
        GROUP BY 1 ORDER BY sum(volume) DESC, 1
        """,  # noqa: S608
        org_id,
        waba_id,
        since,
    )
    return [row["currency"] for row in rows]


async def ours(pool: asyncpg.Pool | Connection, org_id: str, waba_id: str, first: date, last: date) -> list[Ours]:
    """An account's days by our own count."""
    rows = await pool.fetch(
        f"""
        SELECT day, country, category, pricing_type, sum(volume)::bigint AS volume,
            coalesce(sum(amount) FILTER (WHERE {PRICED}), 0) AS amount,
            coalesce(sum(volume) FILTER (WHERE NOT {PRICED}), 0)::bigint AS unpriced
        FROM {sums.DAYS.format(org="$1", since="$3", to="$4")} WHERE waba_id = $2 GROUP BY 1, 2, 3, 4
        """,  # noqa: S608
        org_id,
        waba_id,
        first,
        last,
    )
    return [
        Ours(
            row["day"],
            kind_of(row["country"], row["category"], row["pricing_type"]),
            row["volume"],
            row["amount"],
            row["unpriced"],
        )
        for row in rows
    ]


async def metas(pool: asyncpg.Pool | Connection, org_id: str, waba_id: str, first: date, last: date) -> list[Metas]:
    """The same days by Meta's."""
    rows = await pool.fetch(
        """
        SELECT priced_on, country, category, pricing_type, tier, d.volume, d.amount
        FROM meta_pricing_days AS d JOIN pricing_readings AS r USING (waba_id, priced_on)
        WHERE r.org_id = $1 AND waba_id = $2 AND priced_on BETWEEN $3 AND $4
        """,
        org_id,
        waba_id,
        first,
        last,
    )
    return [
        Metas(
            row["priced_on"],
            kind_of(row["country"], row["category"], row["pricing_type"]),
            row["volume"],
            row["amount"],
            row["tier"],
        )
        for row in rows
    ]

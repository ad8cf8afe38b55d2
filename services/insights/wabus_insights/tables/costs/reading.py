"""What is asked about costs."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import asyncpg

_KEYS: Mapping[str | None, str] = {
    "day": "day::text",
    "category": "category",
    "market": "market",
    "number": "phone_number_id",
    "template": "template_id",
    "campaign": "campaign",
    None: "''",
}
"""What rows are of, as SQL has it."""


_SUMS = """
    sum(volume)::bigint AS volume, sum(amount) AS amount,
    coalesce(sum(volume) FILTER (WHERE known = 'reported'), 0)::bigint AS reported,
    coalesce(sum(volume) FILTER (WHERE known = 'free'), 0)::bigint AS free,
    coalesce(sum(volume) FILTER (WHERE known = 'rated'), 0)::bigint AS rated,
    coalesce(sum(volume) FILTER (WHERE known = 'estimated'), 0)::bigint AS estimated,
    coalesce(sum(volume) FILTER (WHERE known = 'unknown'), 0)::bigint AS unknown,
    sum(amount) FILTER (WHERE known = 'reported') AS reported_amount,
    sum(amount) FILTER (WHERE known = 'free') AS free_amount,
    sum(amount) FILTER (WHERE known = 'rated') AS rated_amount,
    sum(amount) FILTER (WHERE known = 'estimated') AS estimated_amount
"""
_WHERE = """
    org_id = $1 AND day BETWEEN $2 AND $3 AND ($4::text IS NULL OR phone_number_id = $4)
    AND ($5::text IS NULL OR country = $5) AND ($6::text IS NULL OR template_id = $6)
"""


class Wanted(NamedTuple):
    """Whose costs, of which days; both ends are included."""

    org_id: str
    since: date
    to: date
    number: str | None = None
    """Only of what this business number sent."""
    country: str | None = None
    """Only of what went to this country."""
    template: str | None = None
    """Only of this template."""


async def costs(
    pool: asyncpg.Pool, wanted: Wanted, by: str | None, after: tuple[str, str] | None, most: int
) -> Sequence[asyncpg.Record]:
    """Volumes and amounts by a key and currency, in their order, and how they are known."""
    key = _KEYS[by]
    return await pool.fetch(
        f"""
        SELECT {key} COLLATE "C" AS key, currency COLLATE "C" AS currency, {_SUMS}
        FROM cost_days
        WHERE {_WHERE} AND ($7::text IS NULL OR ({key} COLLATE "C", currency COLLATE "C") > ($7, $8))
        GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $9
        """,  # noqa: S608
        *wanted,
        *(after or (None, None)),
        most,
    )


async def of_templates(
    pool: asyncpg.Pool, wanted: Wanted, templates: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Sequence[asyncpg.Record]]:
    """The same of some templates, each with its account's id: by these, a row for each currency."""
    rows = await pool.fetch(
        f"""
        SELECT template_id AS key, waba_id, currency COLLATE "C" AS currency, {_SUMS}
        FROM cost_days WHERE {_WHERE} AND template_id = ANY($7::text[]) GROUP BY 1, 2, 3 ORDER BY 3
        """,  # noqa: S608
        *wanted,
        sorted({template_id for template_id, _ in templates}),
    )
    found: dict[tuple[str, str], list[asyncpg.Record]] = {}
    for row in rows:
        found.setdefault((row["key"], row["waba_id"]), []).append(row)
    return found


async def charged(pool: asyncpg.Pool, scope: str, category: str, month: date) -> dict[str, int]:
    """How many messages were charged in a month, by market, as what is counted together for volume tiers."""
    rows = await pool.fetch(
        "SELECT market, volume FROM tier_months WHERE scope = $1 AND category = $2 AND month = $3",
        scope,
        category,
        month,
    )
    return {row["market"]: row["volume"] for row in rows}


async def service_messages(pool: asyncpg.Pool, org_id: str, phone_number_id: str, month: date) -> int:
    """How many service messages a number has sent in a month, without those to people who came by an ad."""
    return await pool.fetchval(
        """
        SELECT coalesce(sum(volume), 0)::bigint FROM cost_days
        WHERE org_id = $1 AND phone_number_id = $2 AND category = 'service' AND pricing_type <> 'free_entry_point'
            AND day >= $3 AND day < $3 + interval '1 month'
        """,
        org_id,
        phone_number_id,
        month,
    )


async def category_of(pool: asyncpg.Pool, waba_id: str, template_id: str) -> str | None:
    """The category of a template; None where the account has no such."""
    return await pool.fetchval(
        "SELECT lower(category) FROM templates WHERE waba_id = $1 AND template_id = $2 LIMIT 1", waba_id, template_id
    )

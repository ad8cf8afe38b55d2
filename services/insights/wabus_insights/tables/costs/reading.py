"""What is asked about costs. Each question is answered out of one moment, whatever is counted meanwhile."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.prices.message import Known

from wabus_insights.costs.sums import month_of
from wabus_insights.tables.costs import recounts, sums

_KEYS: Mapping[str, str] = {
    "day": "day::text",
    "category": "category",
    "market": "market",
    "number": "phone_number_id",
    "template": "template_id",
    "campaign": "campaign",
}
"""What rows are of, as SQL has it."""
SUREST: Mapping[Known, int] = {
    known: n for n, known in enumerate(("free", "reported", "rated", "estimated", "unknown"))
}
"""How sure an amount is that is known so: 0 is the surest."""
_FILTERED = "($4::text IS NULL OR phone_number_id = $4) AND ($5::text IS NULL OR country = $5)"
_OF_DAYS = f"{sums.DAYS.format(org='$1', since='$2', to='$3')} WHERE {_FILTERED} AND $6::text IS NULL"
_OF_A_TEMPLATE = f"cost_days WHERE org_id = $1 AND day BETWEEN $2 AND $3 AND {_FILTERED} AND template_id = $6"
_OF_TEMPLATES = sums.TEMPLATES.format(org="$1", number="$4", country="$5", firsts="$10", lasts="$11", signs="$12")
_TEMPLATES = f"{_OF_TEMPLATES} WHERE $2::date <= $3::date AND $6::text IS NULL"


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


@asynccontextmanager
async def one_moment(pool: asyncpg.Pool) -> AsyncGenerator[Connection]:
    """A connection on which all questions are answered out of the same moment: also whether costs are recounted."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield connection


class Part(NamedTuple):
    """Messages whose price is known in the same way."""

    known: Known
    volume: int
    amount: str | None
    """As text, as it is told: of thousands it takes longer to read and write numbers than to add them up."""


class Cost(NamedTuple):
    """What messages cost together, in one currency."""

    key: str
    currency: str
    """Empty where it is not known."""
    parts: Sequence[Part]

    @property
    def volume(self) -> int:
        return sum(part.volume for part in self.parts)

    @property
    def amount(self) -> str | None:
        """Of those whose price is known; None where none is."""
        if len(self.parts) == 1:
            return self.parts[0].amount
        amounts = [part.amount for part in self.parts if part.amount is not None]
        return format(sum(map(Decimal, amounts), Decimal(0)), "f") if len(amounts) > 1 else next(iter(amounts), None)


class Costs(NamedTuple):
    """What was found."""

    rows: Sequence[Cost]
    """By key and currency, in their order, as many as were asked for."""
    totals: Sequence[Cost]
    """Of all keys together, by currency; their key is empty."""
    recounting: bool
    """Whether some of it is still to be counted anew."""


async def costs(pool: asyncpg.Pool, wanted: Wanted, by: str, after: tuple[str, str] | None, most: int) -> Costs:
    """What messages cost by a key and currency beyond those before, and all of them together."""
    key, rows, more = _KEYS[by], _OF_DAYS, ()
    async with one_moment(pool) as connection:
        if wanted.template is not None:
            rows = _OF_A_TEMPLATE
        elif by in ("template", "campaign"):
            found = await sums.pieces_of(connection, wanted.org_id, wanted.since, wanted.to)
            rows, more = _TEMPLATES, sums.columns_of(found)
        all_rows = await connection.fetch(
            f"""
            WITH found AS MATERIALIZED (
                SELECT {key} AS key, currency, known, sum(volume)::bigint AS volume, sum(amount) AS amount FROM {rows}
                GROUP BY 1, 2, 3 HAVING sum(volume) <> 0
            )
            (
                SELECT key COLLATE "C" AS key, currency COLLATE "C" AS currency, known, volume, amount::text, false
                FROM found WHERE $7::text IS NULL OR (key COLLATE "C", currency COLLATE "C") > ($7, $8)
                ORDER BY 1, 2 LIMIT $9
            ) UNION ALL (
                SELECT '', currency COLLATE "C" AS currency, known, sum(volume)::bigint, sum(amount)::text, true
                FROM found GROUP BY 2, 3 ORDER BY 2
            )
            """,  # noqa: S608
            *wanted,
            *(after or (None, None)),
            most * len(SUREST),
            *more,
        )
        recounting = await recounts.under_way(connection, wanted.org_id, wanted.since, wanted.to)
    rows_of = [
        [Cost(key, currency, _parts(each)) for (key, currency), each in groupby(some, itemgetter(0, 1))]
        for some in ([row for row in all_rows if not row[5]], [row for row in all_rows if row[5]])
    ]
    return Costs(rows_of[0][:most], rows_of[1], recounting)


class TemplateCosts(NamedTuple):
    """What templates cost, each and together: one for each currency."""

    of: Mapping[tuple[str, str], Sequence[Cost]]
    """By a template's id and its account's."""
    totals: Sequence[Cost]
    """Of all templates, whichever were asked for."""
    recounting: bool
    """Whether some of it is still to be counted anew."""


async def of_templates(pool: asyncpg.Pool, wanted: Wanted, template_ids: Sequence[str] | None = None) -> TemplateCosts:
    """What templates cost: those of these ids, or all."""
    async with one_moment(pool) as connection:
        found = await sums.pieces_of(connection, wanted.org_id, wanted.since, wanted.to)
        rows = await connection.fetch(
            f"""
            WITH found AS MATERIALIZED (
                SELECT template_id, currency, known, sum(volume)::bigint AS volume, sum(amount) AS amount, waba_id
                FROM {sums.TEMPLATES.format(org="$1", number="$2", country="$3", firsts="$4", lasts="$5", signs="$6")}
                WHERE template_id <> '' GROUP BY 1, 2, 3, 6 HAVING sum(volume) <> 0
            )
            (
                SELECT template_id, currency COLLATE "C" AS currency, known, volume, amount::text, waba_id FROM found
                WHERE $7::text[] IS NULL OR template_id IN (SELECT unnest($7)) ORDER BY 1, 6, 2
            ) UNION ALL (
                SELECT '', currency COLLATE "C" AS currency, known, sum(volume)::bigint, sum(amount)::text, ''
                FROM found GROUP BY 2, 3 ORDER BY 2
            )
            """,  # noqa: S608
            wanted.org_id,
            wanted.number,
            wanted.country,
            *sums.columns_of(found),
            template_ids,
        )
        recounting = await recounts.under_way(connection, wanted.org_id, wanted.since, wanted.to)
    of: dict[tuple[str, str], list[Cost]] = {}
    for (template_id, waba_id, currency), each in groupby(rows, itemgetter(0, 5, 1)):
        of.setdefault((template_id, waba_id), []).append(Cost(template_id, currency, _parts(each)))
    return TemplateCosts(of, of.pop(("", ""), []), recounting)


def _parts(rows: Iterable[asyncpg.Record]) -> list[Part]:
    """What is known of one place, the surest first."""
    found = [Part(row[2], row[3], row[4]) for row in rows]
    return found if len(found) == 1 else sorted(found, key=lambda part: SUREST[part.known])


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
        f"""
        SELECT coalesce(sum(volume), 0)::bigint FROM {sums.DAYS.format(org="$1", since="$3", to="$4")}
        WHERE phone_number_id = $2 AND category = 'service' AND pricing_type <> 'free_entry_point'
        """,  # noqa: S608
        org_id,
        phone_number_id,
        *month_of(month),
    )


async def names_of(pool: asyncpg.Pool, template_ids: Sequence[str]) -> dict[str, str]:
    """What templates are called, as far as anybody has told it."""
    rows = await pool.fetch(
        "SELECT template_id, name FROM templates WHERE template_id = ANY($1) AND name <> ''", template_ids
    )
    return {row["template_id"]: row["name"] for row in rows}


async def category_of(pool: asyncpg.Pool, waba_id: str, template_id: str) -> str | None:
    """The category of a template; None where the account has no such."""
    return await pool.fetchval(
        "SELECT lower(category) FROM templates WHERE waba_id = $1 AND template_id = $2 LIMIT 1", waba_id, template_id
    )

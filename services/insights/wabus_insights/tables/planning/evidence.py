"""What advice rests on: counts over the rows of what was sent and what it cost."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import asyncpg

from wabus_insights.advice.evidence import (
    Allowance,
    ForeignAuthentication,
    Price,
    TemplateUse,
    Unreachable,
)
from wabus_insights.tables.costs import sums

FAILED_TIMES = 3
"""Failures with 131026 and nothing delivered, after which a person can't be reached."""
UNREACHABLE = 131026
PAYMENT_FAILED = 131042


async def unreachable(
    pool: asyncpg.Pool, org_id: str, since: datetime, until: datetime, now: datetime, limit: float
) -> list[Unreachable]:
    """People to whom messages failed again and again, and to whom none was delivered until now.

    Those are found by an index; what was delivered to them is looked for a day at a time, each in at most `limit`
    seconds. Raises `TimeoutError` where one takes longer.
    """
    days = (until - since).days
    failed = await pool.fetch(
        f"""
        SELECT waba_id, phone_number_id, person, count(*) AS failures FROM send_facts
        WHERE org_id = $1 AND failed_code = {UNREACHABLE} AND at >= $2 AND at < $3 AND person IS NOT NULL
        GROUP BY 1, 2, 3 HAVING count(*) >= $4
        """,  # noqa: S608
        org_id,
        since,
        until,
        FAILED_TIMES,
        timeout=limit,
    )
    left = {(row["waba_id"], row["phone_number_id"], row["person"]): row["failures"] for row in failed}
    while left and since <= now:
        reached = await pool.fetch(
            """
            SELECT DISTINCT waba_id, phone_number_id, person FROM send_facts
            WHERE org_id = $1 AND at >= $2 AND at < $3 AND person = ANY($4)
                AND (delivered_at IS NOT NULL OR read_at IS NOT NULL)
            """,
            org_id,
            since,
            since + timedelta(days=1),
            [person for _, _, person in left],
            timeout=limit,
        )
        for row in reached:
            left.pop(tuple(row), None)
        since += timedelta(days=1)
    found: dict[tuple[str, str], list[int]] = {}
    for (waba_id, phone_number_id, _), failures in left.items():
        found.setdefault((waba_id, phone_number_id), []).append(failures)
    return [Unreachable(*number, len(failures), sum(failures), days) for number, failures in sorted(found.items())]


async def foreign_authentication(
    pool: asyncpg.Pool, org_id: str, first: date, days: int
) -> list[ForeignAuthentication]:
    """One-time passwords that were charged at the international price."""
    rows = await pool.fetch(
        f"""
        SELECT waba_id, country, currency, sum(volume)::bigint AS charged, sum(amount) AS amount
        FROM {sums.DAYS.format(org="$1", since="$2", to="'infinity'")}
        WHERE replace(category, '-', '_') = 'authentication_international' AND known NOT IN ('unknown', 'free')
        GROUP BY 1, 2, 3 HAVING sum(amount) > 0
        """,  # noqa: S608
        org_id,
        first,
    )
    return [
        ForeignAuthentication(row["waba_id"], row["country"], row["charged"], row["amount"], row["currency"], days)
        for row in rows
    ]


async def template_uses(pool: asyncpg.Pool, org_id: str, first: date, days: int) -> list[TemplateUse]:
    """Templates whose category Meta has changed, or holds to be wrong, and what was charged for them."""
    rows = await pool.fetch(
        """
        SELECT t.waba_id, t.template_id, t.name, t.language, t.category, t.previous_category, t.correct_category,
            c.country, c.charged
        FROM template_categories AS t JOIN planned_accounts AS a ON a.waba_id = t.waba_id AND a.org_id = $1
        JOIN LATERAL (
            SELECT country, sum(volume)::bigint AS charged FROM cost_days
            WHERE org_id = $1 AND waba_id = t.waba_id AND template_id = t.template_id AND day >= $2
                AND pricing_type = 'regular'
            GROUP BY 1
        ) AS c ON true
        WHERE (t.category = 'MARKETING' AND 'UTILITY' IN (t.previous_category, t.correct_category))
            OR (t.category = 'UTILITY' AND t.correct_category = 'MARKETING')
        ORDER BY t.waba_id, t.template_id
        """,
        org_id,
        first,
    )
    charged: dict[tuple[str, str], dict[str, int]] = {}
    told: dict[tuple[str, str], asyncpg.Record] = {}
    for row in rows:
        key = (row["waba_id"], row["template_id"])
        told[key] = row
        charged.setdefault(key, {})[row["country"]] = row["charged"]
    return [
        TemplateUse(
            *key, row["name"], row["language"], row["category"], row["previous_category"], row["correct_category"],
            charged[key], days,
        )
        for key, row in told.items()
    ]  # fmt: skip


async def allowances(
    pool: asyncpg.Pool, org_id: str, waba_id: str, first: date, last: date, free: int
) -> list[Allowance]:
    """How many free service messages each number of an account has used in a month, where Meta can't charge it.

    What Meta says of the account later than of a message counts: who has paid is not told to.
    """
    rows = await pool.fetch(
        f"""
        WITH failed AS (
            SELECT '{PAYMENT_FAILED}' AS code FROM send_facts
            WHERE org_id = $1 AND waba_id = $2 AND failed_code = {PAYMENT_FAILED} AND at > coalesce(
                (SELECT told_at FROM payment_errors WHERE waba_id = $2 AND code IS NULL), '-infinity'
            ) LIMIT 1
        )
        SELECT phone_number_id, sum(volume)::bigint AS used,
            coalesce((SELECT code FROM payment_errors WHERE waba_id = $2), (SELECT code FROM failed)) AS code
        FROM {sums.DAYS.format(org="$1", since="$3", to="$4")}
        WHERE waba_id = $2 AND category = 'service' AND pricing_type = 'free_customer_service'
        GROUP BY 1
        """,  # noqa: S608
        org_id,
        waba_id,
        first,
        last,
    )
    return [Allowance(waba_id, row["phone_number_id"], row["used"], free, row["code"]) for row in rows]


async def average_prices(pool: asyncpg.Pool, org_id: str, first: date) -> dict[tuple[str, str, str], Price]:
    """What a charged message cost on average, by account, country and category; that of the most messages counts."""
    rows = await pool.fetch(
        f"""
        SELECT waba_id, country, replace(category, '-', '_') AS category, currency, sum(amount) AS amount,
            sum(volume)::bigint AS volume
        FROM {sums.DAYS.format(org="$1", since="$2", to="'infinity'")}
        WHERE pricing_type = 'regular' AND known <> 'unknown' AND currency <> ''
        GROUP BY 1, 2, 3, 4 HAVING sum(volume) > 0 ORDER BY sum(volume)
        """,  # noqa: S608
        org_id,
        first,
    )
    return {
        (row["waba_id"], row["country"], row["category"]): Price(
            Decimal(row["amount"]) / row["volume"], row["currency"]
        )
        for row in rows
    }

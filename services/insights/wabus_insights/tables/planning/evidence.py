"""What advice rests on: counts over the rows of what was sent and what it cost."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal

import asyncpg

from wabus_insights.advice.evidence import (
    Allowance,
    ForeignAuthentication,
    Price,
    Repetition,
    TemplateUse,
    Unreachable,
)
from wabus_insights.performance.message import GOT, Bit

BURST = "30 seconds"
"""SQL: messages to one person that follow each other in so much could have been one."""
AGAIN = "24 hours"
"""SQL: the same template to the same person within it is too often."""
FAILED_TIMES = 3
"""Failures with 131026 and nothing delivered, after which a person can't be reached."""
UNREACHABLE = 131026
_NOT_LOST = f"(bits & {int(Bit.FAILED)} = 0 OR bits & {int(GOT)} <> 0)"
"""Who sends again what has failed does not send it twice."""
PAYMENT_FAILED = 131042


async def observed_since(pool: asyncpg.Pool, org_id: str, since: datetime) -> datetime | None:
    """From when on an organisation's messages are known, no earlier than `since`; None where none are."""
    return await pool.fetchval("SELECT min(at) FROM send_facts WHERE org_id = $1 AND at >= $2", org_id, since)


async def bursts(pool: asyncpg.Pool, org_id: str, since: datetime, days: int) -> list[Repetition]:
    """Service messages that followed another one to the same person at once, and were charged."""
    rows = await pool.fetch(
        f"""
        WITH ordered AS (
            SELECT waba_id, phone_number_id, person, country, pricing_type,
                accepted_at - lag(accepted_at) OVER (
                    PARTITION BY phone_number_id, person ORDER BY accepted_at, message_id
                ) AS after
            FROM send_facts
            WHERE org_id = $1 AND at >= $2 AND kind NOT IN ('template', '') AND person IS NOT NULL
                AND accepted_at IS NOT NULL AND {_NOT_LOST}
        )
        SELECT waba_id, phone_number_id AS about, country, count(*) AS extra, count(DISTINCT person) AS people
        FROM ordered WHERE after <= '{BURST}' AND pricing_type = 'regular' GROUP BY 1, 2, 3
        """,  # noqa: S608
        org_id,
        since,
    )
    return _repetitions(((row, "", "service") for row in rows), days)


async def repeats(pool: asyncpg.Pool, org_id: str, since: datetime, days: int) -> list[Repetition]:
    """Templates that somebody got again within a day, and that were charged."""
    rows = await pool.fetch(
        f"""
        WITH ordered AS (
            SELECT waba_id, template_id, name, person, country, pricing_type, pricing_category,
                accepted_at - lag(accepted_at) OVER (
                    PARTITION BY template_id, person ORDER BY accepted_at, message_id
                ) AS after
            FROM send_facts
            WHERE org_id = $1 AND at >= $2 AND template_id <> '' AND person IS NOT NULL AND accepted_at IS NOT NULL
                AND {_NOT_LOST} AND category <> 'authentication' AND lower(pricing_category) NOT LIKE 'authentication%'
        )
        SELECT waba_id, template_id AS about, max(name) AS name, lower(pricing_category) AS category, country,
            count(*) AS extra, count(DISTINCT person) AS people
        FROM ordered WHERE after <= '{AGAIN}' AND pricing_type = 'regular' AND pricing_category <> ''
        GROUP BY 1, 2, 4, 5
        """,  # noqa: S608
        org_id,
        since,
    )
    return _repetitions(((row, row["name"], row["category"]) for row in rows), days)


async def unreachable(pool: asyncpg.Pool, org_id: str, since: datetime, days: int) -> list[Unreachable]:
    """People to whom messages failed again and again, and to whom none was delivered."""
    rows = await pool.fetch(
        """
        WITH people AS (
            SELECT waba_id, phone_number_id, person, count(*) FILTER (WHERE failed_code = $3) AS failures
            FROM send_facts WHERE org_id = $1 AND at >= $2 AND person IS NOT NULL
            GROUP BY 1, 2, 3
            HAVING count(*) FILTER (WHERE failed_code = $3) >= $4 AND count(delivered_at) = 0 AND count(read_at) = 0
        )
        SELECT waba_id, phone_number_id, sum(failures)::bigint AS failures, count(*) AS people
        FROM people GROUP BY 1, 2
        """,
        org_id,
        since,
        UNREACHABLE,
        FAILED_TIMES,
    )
    return [Unreachable(row["waba_id"], row["phone_number_id"], row["people"], row["failures"], days) for row in rows]


async def foreign_authentication(
    pool: asyncpg.Pool, org_id: str, first: date, days: int
) -> list[ForeignAuthentication]:
    """One-time passwords that were charged at the international price."""
    rows = await pool.fetch(
        """
        SELECT waba_id, country, currency, sum(volume)::bigint AS charged, sum(amount) AS amount FROM cost_days
        WHERE org_id = $1 AND day >= $2 AND replace(category, '-', '_') = 'authentication_international'
            AND known <> 'unknown' AND amount > 0
        GROUP BY 1, 2, 3
        """,
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
        """
        WITH failed AS (
            SELECT $6::text AS code FROM send_facts
            WHERE org_id = $1 AND waba_id = $2 AND failed_code = $5 AND at > coalesce(
                (SELECT told_at FROM payment_errors WHERE waba_id = $2 AND code IS NULL), '-infinity'
            ) LIMIT 1
        )
        SELECT c.phone_number_id, sum(c.volume)::bigint AS used,
            coalesce((SELECT code FROM payment_errors WHERE waba_id = $2), (SELECT code FROM failed)) AS code
        FROM cost_days AS c
        WHERE c.org_id = $1 AND c.waba_id = $2 AND c.day BETWEEN $3 AND $4 AND c.category = 'service'
            AND c.pricing_type = 'free_customer_service'
        GROUP BY 1
        """,
        org_id,
        waba_id,
        first,
        last,
        PAYMENT_FAILED,
        str(PAYMENT_FAILED),
    )
    return [Allowance(waba_id, row["phone_number_id"], row["used"], free, row["code"]) for row in rows]


async def average_prices(pool: asyncpg.Pool, org_id: str, first: date) -> dict[tuple[str, str, str], Price]:
    """What a charged message cost on average, by account, country and category; that of the most messages counts."""
    rows = await pool.fetch(
        """
        SELECT waba_id, country, replace(category, '-', '_') AS category, currency, sum(amount) AS amount,
            sum(volume)::bigint AS volume
        FROM cost_days
        WHERE org_id = $1 AND day >= $2 AND pricing_type = 'regular' AND known <> 'unknown' AND currency <> ''
        GROUP BY 1, 2, 3, 4 HAVING sum(volume) > 0 ORDER BY sum(volume)
        """,
        org_id,
        first,
    )
    return {
        (row["waba_id"], row["country"], row["category"]): Price(
            Decimal(row["amount"]) / row["volume"], row["currency"]
        )
        for row in rows
    }


def _repetitions(rows: Iterable[tuple[Mapping[str, object], str, str]], days: int) -> list[Repetition]:
    """One for each template, or number, and category, its countries together."""
    found: dict[tuple[str, str, str], tuple[str, dict[str, int], int]] = {}
    for row, name, category in rows:
        key = (str(row["waba_id"]), str(row["about"]), category)
        _, extra, people = found.get(key, (name, dict[str, int](), 0))
        extra[str(row["country"])] = int(str(row["extra"]))
        found[key] = (name, extra, people + int(str(row["people"])))
    return [
        Repetition(waba_id, about, name or about, category, extra, people, days)
        for (waba_id, about, category), (name, extra, people) in found.items()
    ]

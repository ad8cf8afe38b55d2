"""To how many people the portfolios of numbers have written first lately."""

from collections.abc import Collection
from datetime import datetime

import asyncpg

from wabus_sender.sending.reach import SPAN, Reach


async def reach(pool: asyncpg.Pool, phone_number_ids: Collection[str], now: datetime) -> dict[str, Reach]:
    """By number, what the portfolio of its account has used; an account of which none is known stands for itself.

    The limit is what was told last of any number of the portfolio. A person counts once for each portfolio, under each
    identifier by which they were written to.
    """
    rows = await pool.fetch(
        """
        WITH asked AS (
            SELECT DISTINCT numbers.phone_number_id, coalesce(accounts.portfolio_id, numbers.waba_id) AS portfolio
            FROM known_numbers AS numbers JOIN known_accounts AS accounts USING (waba_id)
            WHERE numbers.phone_number_id = ANY($1)
        ), of_portfolio AS (
            SELECT portfolio, numbers.phone_number_id, numbers.people_a_day, numbers.at
            FROM (SELECT DISTINCT portfolio FROM asked) AS portfolios
            JOIN known_accounts AS accounts ON coalesce(accounts.portfolio_id, accounts.waba_id) = portfolio
            JOIN known_numbers AS numbers ON numbers.waba_id = accounts.waba_id
        ), used AS (
            SELECT portfolio, count(DISTINCT coalesce(wa_id, user_id)) AS people
            FROM of_portfolio JOIN sends USING (phone_number_id)
            WHERE writes_first AND called_at > $2 AND state NOT IN ('refused', 'cancelled', 'expired')
            GROUP BY portfolio
        ), limits AS (
            SELECT DISTINCT ON (portfolio) portfolio, people_a_day FROM of_portfolio
            WHERE people_a_day IS NOT NULL ORDER BY portfolio, at DESC
        )
        SELECT asked.phone_number_id, coalesce(people, 0) AS people, people_a_day
        FROM asked LEFT JOIN used USING (portfolio) LEFT JOIN limits USING (portfolio)
        """,
        list(phone_number_ids),
        now - SPAN,
    )
    return {row["phone_number_id"]: Reach(row["people"], row["people_a_day"]) for row in rows}

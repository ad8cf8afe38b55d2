"""To how many people the portfolios of numbers have written first lately."""

from collections.abc import Collection
from datetime import datetime

import asyncpg
from wabus_events import SENDS
from wabus_events.models.messaging_limit import UNLIMITED

from wabus_sender.sending.reach import SPAN, Reach
from wabus_sender.tables.sends import PROJECTION


async def reach(
    pool: asyncpg.Pool, phone_number_ids: Collection[str], now: datetime, *, limited: bool = False
) -> dict[str, Reach]:
    """By number, what the portfolio of its account has used; an account of which none is known stands for itself.

    The limit is what was told last of any number of the portfolio. A person counts once for each portfolio, under each
    identifier by which they were written to. With `limited` people count only where the portfolio has a limit.
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
        ), limits AS (
            SELECT DISTINCT ON (portfolio) portfolio, people_a_day FROM of_portfolio
            WHERE people_a_day IS NOT NULL ORDER BY portfolio, at DESC
        ), used AS (
            SELECT portfolio, count(DISTINCT coalesce(wa_id, user_id)) AS people
            FROM of_portfolio LEFT JOIN limits USING (portfolio) JOIN sends USING (phone_number_id)
            WHERE writes_first AND called_at > $2 AND state NOT IN ('refused', 'cancelled', 'expired')
                AND (NOT $3 OR limits.people_a_day <> $4)
            GROUP BY portfolio
        ), senders AS (
            SELECT portfolio, count(DISTINCT held.owner) AS processes
            FROM of_portfolio JOIN queues USING (phone_number_id)
            JOIN projection_offsets AS held ON held.projection = $5 AND held.topic = $6
                AND held.partition = queues.partition
            WHERE lane = 'marketing' GROUP BY portfolio
        )
        SELECT asked.phone_number_id, coalesce(people, 0), people_a_day, portfolio, coalesce(processes, 1)
        FROM asked LEFT JOIN used USING (portfolio) LEFT JOIN limits USING (portfolio)
            LEFT JOIN senders USING (portfolio)
        """,
        list(phone_number_ids),
        now - SPAN,
        limited,
        UNLIMITED,
        PROJECTION,
        SENDS.name,
    )
    return {phone_number_id: Reach(*known) for phone_number_id, *known in rows}

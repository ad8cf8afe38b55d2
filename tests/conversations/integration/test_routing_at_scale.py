"""What rules ask of the tables is no more where others have tens of thousands of conversations, taken and waiting."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from threads import ORG
from wabus_conversations.tables.work import waiting
from wabus_runtime.postgres.database import Connection

pytest_plugins = ["work_world"]

OTHERS, OF_EACH, WAITING, AGENTS = 40, 750, 7, ["anna", "ben"]
MOST = 400  # rows that one look may read

_MAKE = """
    INSERT INTO conversations (conversation_id, org_id, waba_id, phone_number_id, person_id, first_at, last_at,
        heard_at, heard_tie, unread, agent, work_state)
    SELECT gen_random_uuid(), $1, 'w', 'n', gen_random_uuid(), at, at, at, 0, 1,
        CASE WHEN n % 3 = 1 THEN ($4::text[])[1 + n % 2] END, CASE WHEN n % 3 = 2 THEN 'closed' ELSE 'open' END
    FROM generate_series(1, $3::int) AS n, LATERAL (SELECT $2::timestamptz - make_interval(secs => n)) AS made(at)
"""


@pytest.fixture
async def crowded(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
    now = datetime.now(UTC)
    for org_id, many in (*((f"other-{number}", OF_EACH) for number in range(OTHERS)), (ORG, 3 * WAITING)):
        await pool.execute(_MAKE, org_id, now, many, AGENTS)
        await pool.execute(
            "INSERT INTO work_settings (org_id, rules, rules_since) VALUES ($1, $2, $3)",
            org_id,
            [{"name": "all", "bot": "helper"}],
            now - timedelta(days=1),
        )
    await pool.execute("ANALYZE conversations")
    async with pool.acquire() as connection, connection.transaction():
        yield connection


async def rows_read(connection: Connection) -> int:
    """By this transaction."""
    return int(
        await connection.fetchval(
            "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int FROM pg_stat_xact_user_tables"
        )
        or 0
    )


async def test_what_waits_of_one_organisation_is_found_without_reading_that_of_others(crowded: Connection) -> None:
    now = datetime.now(UTC)
    before = await rows_read(crowded)
    found = await waiting.conversations(crowded, ORG, now, 100)
    assert len(found) == WAITING
    assert await rows_read(crowded) - before < MOST


async def test_how_much_agents_have_is_counted_without_reading_what_others_have(crowded: Connection) -> None:
    before = await rows_read(crowded)
    loads, _ = await waiting.desk(crowded, ORG, AGENTS)
    assert sum(loads.values()) == WAITING
    assert await rows_read(crowded) - before < MOST


async def test_whose_conversations_wait_is_known_by_the_first_of_each(crowded: Connection) -> None:
    now = datetime.now(UTC)
    before = await rows_read(crowded)
    found = await waiting.take_organisations(crowded, [], 50, now, timedelta(minutes=1), timedelta(seconds=1))
    assert len(found) == OTHERS + 1
    assert await rows_read(crowded) - before < MOST

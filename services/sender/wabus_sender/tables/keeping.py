"""Deletions of what is past its time, some rows at a time; each says how many there were."""

from datetime import datetime

import asyncpg


async def delete_sends(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """Sends that were asked for earlier and have come to an end, or can't any more."""
    return await _delete(
        pool,
        """
        DELETE FROM sends WHERE send_id IN (
            SELECT send_id FROM sends WHERE requested_at < $1 AND state <> 'queued' LIMIT $2
        )
        """,
        before,
        most,
    )


async def delete_keys(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """Keys that were first sent earlier."""
    return await _delete(
        pool,
        """
        DELETE FROM send_keys WHERE (org_id, key) IN (
            SELECT org_id, key FROM send_keys WHERE created_at < $1 LIMIT $2
        )
        """,
        before,
        most,
    )


async def delete_contacts(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """Who was seen last earlier, with all that is known of them.

    What somebody was known by stays as long as they are seen by another: their conversation is named by it.
    """
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(
            """
            DELETE FROM contacts WHERE (org_id, value) IN (
                SELECT org_id, value FROM contacts AS old WHERE seen_at < $1
                    AND NOT EXISTS (
                        SELECT FROM contacts AS pair
                        WHERE pair.org_id = old.org_id AND pair.value = old.other AND pair.other = old.value
                            AND pair.seen_at >= $1
                    )
                    AND NOT EXISTS (
                        SELECT FROM successors JOIN contacts AS now USING (org_id)
                        WHERE successors.org_id = old.org_id AND successors.value = old.value
                            AND now.value = successors.successor
                    )
                LIMIT $2
            ) RETURNING org_id, value
            """,
            before,
            most,
        )
        for statement in (
            "DELETE FROM windows WHERE org_id = $1 AND value = $2",
            "DELETE FROM preferences WHERE org_id = $1 AND value = $2",
            "DELETE FROM thread_owners WHERE org_id = $1 AND value = $2",
            "DELETE FROM free_entries WHERE org_id = $1 AND value = $2",
            "DELETE FROM conversation_ids WHERE org_id = $1 AND value = $2",
            "DELETE FROM successors WHERE org_id = $1 AND value = $2",
            "DELETE FROM holders WHERE org_id = $1 AND value = $2",
            "DELETE FROM holders WHERE org_id = $1 AND holder = $2",
        ):
            await connection.executemany(statement, [(row["org_id"], row["value"]) for row in rows])
        return len(rows)


async def delete_heard(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """Statuses of sends that are not there."""
    return await _delete(
        pool,
        """
        DELETE FROM heard WHERE send_id IN (
            SELECT send_id FROM heard WHERE at < $1 AND NOT EXISTS (SELECT FROM sends WHERE send_id = heard.send_id)
            LIMIT $2
        )
        """,
        before,
        most,
    )


async def delete_arms(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """Who was in which arm of experiments that were decided earlier: nobody is sent to by it any more."""
    return await _delete(
        pool,
        """
        DELETE FROM experiment_arms WHERE ctid = ANY (ARRAY(
            SELECT held.ctid FROM known_experiments AS of CROSS JOIN LATERAL (
                SELECT ctid FROM experiment_arms WHERE experiment_id = of.experiment_id LIMIT $2
            ) AS held WHERE of.decided_at < $1 LIMIT $2
        ))
        """,
        before,
        most,
    )


async def _delete(pool: asyncpg.Pool, statement: str, before: datetime, most: int) -> int:
    return int((await pool.execute(statement, before, most)).removeprefix("DELETE "))

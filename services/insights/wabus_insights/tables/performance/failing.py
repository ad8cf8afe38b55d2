"""Why messages of all templates failed."""

from typing import NamedTuple

import asyncpg

from wabus_insights.tables.performance.reading import WHERE, Asked


class Failing(NamedTuple):
    """How many messages of a template failed for a reason."""

    code: int
    template_id: str
    waba_id: str
    name: str | None
    language: str | None
    failed: int


async def failures(pool: asyncpg.Pool, asked: Asked) -> tuple[int, list[Failing]]:
    """How many messages were accepted, and what failed: by code, of each the template with the most first."""
    accepted = await pool.fetchval(
        f"SELECT coalesce(sum(accepted), 0)::bigint FROM template_days WHERE {WHERE} AND day BETWEEN $4 AND $5",  # noqa: S608
        *asked,
    )
    # Template by template, for their failures lie together: those of other days need not be read.
    rows = await pool.fetch(
        f"""
        WITH failing AS (
            SELECT DISTINCT template_id FROM template_days WHERE {WHERE} AND day BETWEEN $6 AND $7 AND failed > 0
        ), counted AS (
            SELECT code, template_id, waba_id, sum(failed)::bigint AS failed
            FROM failing CROSS JOIN LATERAL (
                SELECT code, waba_id, failed FROM failure_hours
                WHERE {WHERE} AND template_id = failing.template_id AND hour >= $4 AND hour < $5
                    AND day BETWEEN $6 AND $7
            ) AS failures GROUP BY 1, 2, 3 HAVING sum(failed) > 0
        )
        SELECT code, template_id, waba_id, nullif(name, '') AS name, nullif(language, '') AS language, counted.failed
        FROM counted LEFT JOIN templates USING (template_id, waba_id)
        ORDER BY code, counted.failed DESC, template_id, waba_id
        """,  # noqa: S608
        *asked[:3],
        *asked.days,
    )
    return accepted, [Failing(*row) for row in rows]

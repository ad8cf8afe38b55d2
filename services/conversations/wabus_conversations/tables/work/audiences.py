"""What agents see of conversations, as their teams were told last, and how a question is limited to that."""

from collections.abc import Collection
from typing import Final

import asyncpg

from wabus_conversations.work.audiences import SEE_EVERYTHING, Sight, Sights, sight

AUDIENCE: Final = "coalesce('team ' || {0}.team, {0}.kept, 'agent ' || {0}.agent, '')"
"""`wabus_conversations.work.audiences.audience` of a row; tests hold them together."""

_OWN_TEAMS = """
    SELECT team FROM work_settings AS s LEFT JOIN LATERAL (
        SELECT team FROM jsonb_array_elements(s.teams) AS team
        WHERE team->'members' @> jsonb_build_array(jsonb_build_object('sub', $2::text))
    ) AS own ON true
    WHERE s.org_id = $1 AND s.agents_see = 'teams'
"""


async def sight_of(pool: asyncpg.Pool, org_id: str, subject: str) -> Sight | None:
    """What an agent sees; None for everything."""
    rows = await pool.fetch(_OWN_TEAMS, org_id, subject)
    return sight(subject, [row["team"] for row in rows if row["team"] is not None]) if rows else None


async def sights_of(pool: asyncpg.Pool, org_ids: Collection[str]) -> dict[str, Sights]:
    """What the agents of each of these organisations see."""
    rows = await pool.fetch(
        "SELECT org_id, teams FROM work_settings WHERE org_id = ANY($1) AND agents_see = 'teams'", list(org_ids)
    )
    found = {row["org_id"]: Sights(row["teams"]) for row in rows}
    return {org_id: found.get(org_id, SEE_EVERYTHING) for org_id in org_ids}


def columns(seen: Sight | None) -> tuple[list[str] | None, str | None]:
    """The two parameters of a question that is limited to what somebody sees: audiences, and who they are. Pure."""
    return (None, None) if seen is None else (sorted(seen.audiences), seen.subject)


def limited(row: str, first: int) -> str:
    """That somebody sees a row of conversations; `first` is the number of the first of the two parameters. Pure."""
    return f"(${first}::text[] IS NULL OR {row}.agent = ${first + 1}::text OR {AUDIENCE.format(row)} = ANY(${first}))"

"""What an organisation has chosen: for what can't be sent for a while, and what its agents see."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import asyncpg
from wabus_events import TeamsChanged
from wabus_runtime.postgres.database import Connection

Choice = Literal["wait", "refuse"]


class Policy(NamedTuple):
    """What happens to a send whose template is paused, to those of a number that Meta has stopped, and to those that
    Meta does not deliver in a country."""

    paused_template: Choice = "refuse"
    stopped_number: Choice = "wait"
    country_rules: Literal["refuse", "ask_meta"] = "refuse"


async def policy(pool: asyncpg.Pool, org_id: str) -> Policy:
    """That of an organisation; where it has chosen none, the usual one."""
    row = await pool.fetchrow(
        "SELECT paused_template, stopped_number, country_rules FROM policies WHERE org_id = $1", org_id
    )
    return Policy(*row) if row else Policy()


async def choose(pool: asyncpg.Pool, org_id: str, chosen: Policy, now: datetime) -> None:
    """Let this be the policy of an organisation."""
    await pool.execute(
        """
        INSERT INTO policies (org_id, paused_template, stopped_number, country_rules, changed_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (org_id) DO UPDATE SET paused_template = excluded.paused_template,
            stopped_number = excluded.stopped_number, country_rules = excluded.country_rules,
            changed_at = excluded.changed_at
        """,
        org_id,
        *chosen,
        now,
    )


async def write_sight(connection: Connection, told: Sequence[TeamsChanged]) -> None:
    """Fold what agents of organisations see; what does not say it leaves it as it was."""
    for event in told:
        if event.org_id and event.agents_see:
            await connection.execute(
                """
                INSERT INTO agents_see AS held (org_id, what, at) VALUES ($1, $2, $3)
                ON CONFLICT (org_id) DO UPDATE SET what = excluded.what, at = excluded.at WHERE excluded.at >= held.at
                """,
                event.org_id,
                event.agents_see,
                event.time,
            )


async def agents_see_their_own(pool: asyncpg.Pool, org_id: str) -> bool:
    """Whether agents of an organisation see those sends alone that they asked for: what is of others may be of a
    conversation that they do not see."""
    return await pool.fetchval("SELECT what = 'teams' FROM agents_see WHERE org_id = $1", org_id) or False

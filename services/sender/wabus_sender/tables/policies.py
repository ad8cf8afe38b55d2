"""What an organisation has chosen for what can't be sent for a while."""

from datetime import datetime
from typing import Literal, NamedTuple

import asyncpg

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

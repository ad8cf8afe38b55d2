"""Teams and rules of organisations, as they were told last, and whose turn it is."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg
from wabus_events import RoutingChanged, TeamsChanged
from wabus_runtime.postgres.database import Connection


async def write_teams(connection: Connection, event: TeamsChanged) -> bool:
    """Let an organisation's teams be these; whether agents may see something else from then on."""
    before = await connection.fetchval("SELECT agents_see FROM work_settings WHERE org_id = $1", event.org_id)
    after = await connection.fetchval(
        """
        INSERT INTO work_settings AS held (org_id, teams, teams_id, teams_at, agents_see) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (org_id) DO UPDATE SET teams = excluded.teams, teams_id = excluded.teams_id,
            teams_at = excluded.teams_at, agents_see = coalesce(excluded.agents_see, held.agents_see)
        RETURNING agents_see
        """,
        event.org_id,
        [team.model_dump(mode="json") for team in event.teams],
        event.id,
        event.time,
        event.agents_see,
    )
    return "teams" in (before, after)


async def write_rules(connection: Connection, event: RoutingChanged) -> None:
    """Let an organisation's rules be these."""
    await connection.execute(
        """
        INSERT INTO work_settings AS held (org_id, rules, rules_id, rules_at, rules_since)
        VALUES ($1, $2, $3, $4, CASE WHEN $2::jsonb <> '[]' THEN $4::timestamptz END)
        ON CONFLICT (org_id) DO UPDATE SET rules = excluded.rules, rules_id = excluded.rules_id,
            rules_at = excluded.rules_at, looked_at = NULL,
            rules_since = CASE WHEN excluded.rules <> '[]' THEN coalesce(held.rules_since, excluded.rules_at) END
        """,
        event.org_id,
        [rule.model_dump(mode="json") for rule in event.rules],
        event.id,
        event.time,
    )
    # Who fitted no rule before may fit one now.
    await connection.execute(
        """
        WITH locked AS MATERIALIZED (
            SELECT conversation_id FROM conversations
            WHERE org_id = $1 AND agent IS NULL AND bot IS NULL AND work_state = 'open' AND route_after IS NOT NULL
                AND sorted_at > now() - interval '7 days'
            ORDER BY conversation_id FOR UPDATE
        )
        UPDATE conversations AS c SET route_after = NULL FROM locked WHERE c.conversation_id = locked.conversation_id
        """,
        event.org_id,
    )


async def read(connection: asyncpg.Pool | Connection, org_id: str) -> Mapping[str, Any] | None:
    """What an organisation has said; None if it never has."""
    return await connection.fetchrow(
        "SELECT teams, teams_at, agents_see, rules, rules_at FROM work_settings WHERE org_id = $1", org_id
    )


async def take_turns(connection: Connection, given: Mapping[tuple[str, str], datetime]) -> None:
    """Let these have got a conversation; each is an organisation and an agent."""
    if given:
        await connection.executemany(
            """
            INSERT INTO agent_turns AS held (org_id, agent, at) VALUES ($1, $2, $3)
            ON CONFLICT (org_id, agent) DO UPDATE SET at = greatest(held.at, excluded.at)
            """,
            [(*who, at) for who, at in sorted(given.items())],
        )


async def delete(connection: Connection, org_id: str, waba_id: str | None, until: datetime) -> None:
    """Delete what is left of an organisation by then, or of one of its accounts: what it said, and who was there."""
    for table, column in (("notes", "at"), ("work_events", "at"), ("conversation_work", "last_at")):
        await connection.execute(
            f"DELETE FROM {table} WHERE org_id = $1 AND ($2::text IS NULL OR waba_id = $2) AND {column} <= $3",  # noqa: S608
            org_id,
            waba_id,
            until,
        )
    if waba_id is not None:
        return
    await connection.execute("DELETE FROM presence WHERE org_id = $1", org_id)
    await connection.execute("DELETE FROM agent_turns WHERE org_id = $1 AND at <= $2", org_id, until)
    await connection.execute(
        """
        DELETE FROM work_settings WHERE org_id = $1 AND coalesce(greatest(teams_at, rules_at), $2) <= $2
        """,
        org_id,
        until,
    )
    await connection.execute(
        """
        UPDATE work_settings SET
            teams = CASE WHEN teams_at <= $2 THEN '[]' ELSE teams END,
            agents_see = CASE WHEN teams_at <= $2 THEN NULL ELSE agents_see END,
            rules = CASE WHEN rules_at <= $2 THEN '[]' ELSE rules END
        WHERE org_id = $1 AND (teams_at <= $2 OR rules_at <= $2)
        """,
        org_id,
        until,
    )

"""Experiments as the sender has to know them: which weights, and who is in which arm."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_events import (
    Event,
    ExperimentDecided,
    ExperimentDefined,
    ExperimentPlan,
    ExperimentStarted,
    ExperimentStopped,
    HoldoutChosen,
)
from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.assignment import Slice

from wabus_sender.sending.experiments import Experiment


class InArm(NamedTuple):
    """Somebody is in an arm, by one of their identifiers."""

    experiment_id: UUID
    org_id: str
    value: str
    forgotten_as: str
    forgotten_everywhere_as: str
    arm: str
    at: datetime


class Link(NamedTuple):
    """Two identifiers are of one person."""

    org_id: str
    value: str
    other: str
    forgotten_as: str
    forgotten_everywhere_as: str
    """Both of `other`."""


async def write(connection: Connection, events: Iterable[Event]) -> None:
    """Fold what is told of experiments, in its order; of each thing that is told once the first stands."""
    for event in events:
        match event:
            case ExperimentDefined(org_id=str(org_id)):
                await connection.execute(
                    """
                    INSERT INTO known_experiments (experiment_id, org_id, waba_id, plan, salt, at)
                    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
                    """,
                    UUID(event.experiment_id), org_id, event.plan.waba_id, event.plan.model_dump(mode="json"),
                    event.salt, event.time,
                )  # fmt: skip
            case ExperimentStarted():
                await connection.execute(
                    """
                    UPDATE known_experiments SET epoch = $2, slices = $3, ends_at = coalesce(ends_at, $4)
                    WHERE experiment_id = $1 AND org_id = $5 AND epoch < $2
                    """,
                    UUID(event.experiment_id), event.epoch, [each.model_dump() for each in event.slices],
                    event.ends_at, event.org_id,
                )  # fmt: skip
            case ExperimentStopped(arm=None):
                await connection.execute(
                    """
                    UPDATE known_experiments SET stopped_at = coalesce(stopped_at, $2)
                    WHERE experiment_id = $1 AND org_id = $3
                    """,
                    UUID(event.experiment_id), event.time, event.org_id,
                )  # fmt: skip
            case ExperimentStopped(arm=str(arm)):
                await connection.execute(
                    """
                    UPDATE known_experiments SET stopped_arms = stopped_arms || $2::text
                    WHERE experiment_id = $1 AND org_id = $3 AND $2 <> ALL (stopped_arms)
                    """,
                    UUID(event.experiment_id), arm, event.org_id,
                )  # fmt: skip
            case ExperimentDecided():
                await connection.execute(
                    """
                    UPDATE known_experiments SET winner = $2, decided_at = $3
                    WHERE experiment_id = $1 AND org_id = $4 AND decided_at IS NULL
                    """,
                    UUID(event.experiment_id), event.winner, event.time, event.org_id,
                )  # fmt: skip
            case HoldoutChosen(org_id=str(org_id)):
                await connection.execute(
                    """
                    INSERT INTO known_holdouts AS held (org_id, share, salt, at) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (org_id) DO UPDATE SET share = excluded.share, at = excluded.at
                    WHERE excluded.at >= held.at
                    """,
                    org_id, event.share, event.salt, event.time,
                )  # fmt: skip
            case _:
                pass


async def write_arms(connection: Connection, drawn: Sequence[InArm], links: Sequence[Link]) -> None:
    """Write down who is in which arm, the first for good; and that who is in one has another identifier too."""
    await connection.executemany(
        """
        INSERT INTO experiment_arms (experiment_id, org_id, value, forgotten_as, forgotten_everywhere_as, arm, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
        """,
        drawn,
    )
    if links:
        await connection.execute(
            """
            INSERT INTO experiment_arms (experiment_id, org_id, value, forgotten_as, forgotten_everywhere_as, arm, at)
            SELECT held.experiment_id, held.org_id, link.other, link.forgotten_as, link.forgotten_everywhere_as,
                held.arm, held.at
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
                AS link(org_id, value, other, forgotten_as, forgotten_everywhere_as)
            JOIN experiment_arms AS held ON held.org_id = link.org_id AND held.value = link.value
            ON CONFLICT DO NOTHING
            """,
            *map(list, zip(*links, strict=True)),
        )


async def experiment(pool: asyncpg.Pool, org_id: str, experiment_id: str) -> Experiment | None:
    """An experiment of an organisation."""
    row = await pool.fetchrow(
        """
        SELECT experiment_id::text, waba_id, plan, salt, epoch, slices, ends_at, stopped_at, winner, decided_at,
            stopped_arms
        FROM known_experiments WHERE experiment_id = $1 AND org_id = $2
        """,
        UUID(experiment_id), org_id,
    )  # fmt: skip
    if row is None:
        return None
    slices = [Slice(**each) for each in row["slices"] or ()]
    plan = ExperimentPlan.model_validate(row["plan"])
    return Experiment(row["experiment_id"], row["waba_id"], plan, row["salt"], row["epoch"], slices, *tuple(row)[6:])


async def arm(pool: asyncpg.Pool, org_id: str, experiment_id: str, values: Sequence[str]) -> str | None:
    """The arm that a person is in, by what they are known by, and by what that came together with."""
    return await pool.fetchval(
        """
        SELECT arm FROM experiment_arms WHERE experiment_id = $1 AND org_id = $2 AND value IN (
            SELECT unnest($3::text[]) UNION SELECT other FROM known_together WHERE org_id = $2 AND value = ANY($3)
        ) ORDER BY at, value LIMIT 1
        """,
        UUID(experiment_id), org_id, values,
    )  # fmt: skip


async def holdout(pool: asyncpg.Pool, org_id: str) -> tuple[int, str] | None:
    """The share of people who get no marketing, and what they are hashed with."""
    row = await pool.fetchrow("SELECT share, salt FROM known_holdouts WHERE org_id = $1 AND share > 0", org_id)
    return (row["share"], row["salt"]) if row else None


async def number_of(pool: asyncpg.Pool, org_id: str, user_id: str) -> str | None:
    """The number that somebody came together with, of whom a user id is given; None where that is not known."""
    return await pool.fetchval(
        r"SELECT other FROM known_together WHERE org_id = $1 AND value = $2 AND other ~ '^\d+$'", org_id, user_id
    )

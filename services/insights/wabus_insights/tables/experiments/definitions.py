"""The rows of experiments: folded from their events, of which each says something once."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from wabus_events import (
    Event,
    ExperimentDayCounted,
    ExperimentDecided,
    ExperimentDefined,
    ExperimentPlan,
    ExperimentStarted,
    ExperimentStopped,
    HoldoutChosen,
    PhoneNumberQualityChanged,
    TemplateChanged,
    TemplateRemoved,
)
from wabus_runtime.postgres.database import Connection


class Experiment(NamedTuple):
    """An experiment as it is now."""

    experiment_id: UUID
    org_id: str
    waba_id: str
    plan: ExperimentPlan
    plan_hash: str
    salt: str
    defined_at: datetime
    started_at: datetime | None
    ends_at: datetime | None
    epoch: int
    slices: list[dict[str, Any]] | None
    weights: Mapping[str, Mapping[str, int]]
    """By epoch."""
    stops: Mapping[str, str]
    """Arms that nobody is drawn into any more, and why."""
    stopped_at: datetime | None
    stop_reason: str | None
    flagged_at: datetime | None
    """When Meta has flagged a number of the account, for low quality."""
    decision: Mapping[str, Any] | None
    decided_at: datetime | None
    told: Mapping[str, Any]
    """What the worker has published already."""
    looked_at: datetime | None

    @property
    def winner_for_all(self) -> str | None:
        """The arm that everybody gets now, by the plan; None while there is no such."""
        return (self.decision or {}).get("winner") if self.plan.auto_ramp else None

    def state(self, now: datetime) -> str:
        """`planned`, `running`, `counting` (nobody is drawn any more), or `decided`."""
        if self.decided_at:
            return "decided"
        if self.started_at is None:
            return "stopped" if self.stopped_at else "planned"
        return "counting" if self.stopped_at or (self.ends_at and now >= self.ends_at) else "running"


_COLUMNS = ", ".join(Experiment._fields)


class Template(NamedTuple):
    """A template as it is now."""

    template_id: str
    version: int | None
    category: str
    status: str
    quality: str | None
    template: dict[str, Any]


async def write(connection: Connection, events: Iterable[Event]) -> None:
    """Fold events of experiments, holdouts and templates, in their order. The same events again change nothing."""
    for event in events:
        match event:
            case ExperimentDefined(org_id=str(org_id)):
                await connection.execute(
                    """
                    INSERT INTO experiments (experiment_id, org_id, waba_id, plan, plan_hash, salt, defined_at)
                    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
                    """,
                    UUID(event.experiment_id), org_id, event.plan.waba_id, event.plan.model_dump(mode="json"),
                    event.plan_hash, event.salt, event.time,
                )  # fmt: skip
            case ExperimentStarted():
                await _start(connection, event)
            case ExperimentStopped(arm=None):
                await connection.execute(
                    """
                    UPDATE experiments SET stopped_at = $2, stop_reason = $3
                    WHERE experiment_id = $1 AND org_id = $4 AND stopped_at IS NULL
                    """,
                    UUID(event.experiment_id), event.time, event.reason, event.org_id,
                )  # fmt: skip
            case ExperimentStopped(arm=str(arm)):
                await connection.execute(
                    """
                    UPDATE experiments SET stops = jsonb_build_object($2::text, $3::text) || stops
                    WHERE experiment_id = $1 AND org_id = $4
                    """,
                    UUID(event.experiment_id), arm, event.reason, event.org_id,
                )  # fmt: skip
            case ExperimentDecided():
                decision = event.model_dump(mode="json", exclude={"experiment_id", "requested_by"})
                await connection.execute(
                    """
                    UPDATE experiments SET decision = $2, decided_at = $3
                    WHERE experiment_id = $1 AND org_id = $4 AND decided_at IS NULL
                    """,
                    UUID(event.experiment_id), decision, event.time, event.org_id,
                )  # fmt: skip
            case ExperimentDayCounted():
                await _write_day(connection, event)
            case HoldoutChosen(org_id=str(org_id)):
                await connection.execute(
                    """
                    INSERT INTO holdouts AS held (org_id, share, salt, at) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (org_id) DO UPDATE SET share = excluded.share, at = excluded.at
                    WHERE excluded.at >= held.at
                    """,
                    org_id, event.share, event.salt, event.time,
                )  # fmt: skip
            case PhoneNumberQualityChanged(event="FLAGGED"):
                await connection.execute(
                    """
                    UPDATE experiments SET flagged_at = least(flagged_at, $2)
                    WHERE waba_id = $1 AND started_at <= $2 AND decided_at IS NULL
                    """,
                    event.waba_id, event.time,
                )  # fmt: skip
            case TemplateChanged():
                await _write_template(connection, event)
            case TemplateRemoved():
                await connection.execute(
                    """
                    UPDATE experiment_templates SET status = 'DELETED', at = $3
                    WHERE waba_id = $1 AND template_id = $2 AND at <= $3
                    """,
                    event.waba_id, event.template_id, event.time,
                )  # fmt: skip
            case _:
                pass


async def one(connection: asyncpg.Pool | Connection, org_id: str, experiment_id: UUID) -> Experiment | None:
    """An experiment of an organisation."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM experiments WHERE experiment_id = $1 AND org_id = $2",  # noqa: S608
        experiment_id, org_id,
    )  # fmt: skip
    return _of(row) if row else None


async def locked(connection: Connection, experiment_id: UUID) -> Experiment | None:
    """An experiment for whoever looks at it now; None while another process does, or once it is decided."""
    row = await connection.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM experiments WHERE experiment_id = $1 AND decided_at IS NULL FOR UPDATE SKIP LOCKED
        """,  # noqa: S608
        experiment_id,
    )
    return _of(row) if row else None


async def listed(
    pool: asyncpg.Pool, org_id: str, most: int, after: tuple[datetime, str] | None
) -> list[Experiment]:  # fmt: skip
    """The experiments of an organisation, the newest first."""
    rows = await pool.fetch(
        f"""
        SELECT {_COLUMNS} FROM experiments
        WHERE org_id = $1 AND ($3::timestamptz IS NULL OR (defined_at, experiment_id) < ($3, $4::uuid))
        ORDER BY defined_at DESC, experiment_id DESC LIMIT $2
        """,  # noqa: S608
        org_id, most, after and after[0], after and UUID(after[1]),
    )  # fmt: skip
    return [_of(row) for row in rows]


async def open_ids(pool: asyncpg.Pool) -> list[UUID]:
    """Experiments that have begun and are not decided, those first that nobody has looked at for longest."""
    rows = await pool.fetch(
        """
        SELECT experiment_id FROM experiments WHERE decided_at IS NULL AND started_at IS NOT NULL
        ORDER BY looked_at NULLS FIRST
        """
    )
    return [row["experiment_id"] for row in rows]


async def templates(
    connection: asyncpg.Pool | Connection, waba_id: str, wanted: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Template]:
    """Templates of an account by name and language, those that are newest."""
    names = list(wanted)
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (name, language) name, language, template_id, version, category, status, quality, template
        FROM experiment_templates JOIN unnest($2::text[], $3::text[]) AS wanted(name, language) USING (name, language)
        WHERE waba_id = $1 ORDER BY name, language, at DESC
        """,
        waba_id, [name for name, _ in names], [language for _, language in names],
    )  # fmt: skip
    return {(row["name"], row["language"]): Template(*tuple(row)[2:]) for row in rows}


async def templates_by_id(connection: Connection, waba_id: str, ids: Iterable[str]) -> dict[str, Template]:
    """The same by Meta's ids."""
    rows = await connection.fetch(
        """
        SELECT template_id, version, category, status, quality, template FROM experiment_templates
        WHERE waba_id = $1 AND template_id = ANY($2)
        """,
        waba_id, list(ids),
    )  # fmt: skip
    return {row["template_id"]: Template(*row) for row in rows}


async def holdout(connection: asyncpg.Pool | Connection, org_id: str) -> tuple[int, str] | None:
    """The share of people who are held out, and what they are hashed with."""
    row = await connection.fetchrow("SELECT share, salt FROM holdouts WHERE org_id = $1", org_id)
    return (row["share"], row["salt"]) if row else None


async def _start(connection: Connection, event: ExperimentStarted) -> None:
    weights: dict[str, int] = {}
    for each in event.slices:
        weights[each.arm] = weights.get(each.arm, 0) + each.end - each.begin
    slices = [each.model_dump() for each in event.slices]
    await connection.execute(
        """
        UPDATE experiments SET started_at = least(started_at, $2), ends_at = coalesce(ends_at, $3),
            weights = jsonb_build_object($4::text, $5::jsonb) || weights,
            slices = CASE WHEN $6 > epoch THEN $7::jsonb ELSE slices END, epoch = greatest(epoch, $6)
        WHERE experiment_id = $1 AND org_id = $8
        """,
        UUID(event.experiment_id), event.time, event.ends_at, str(event.epoch), weights, event.epoch, slices,
        event.org_id,
    )  # fmt: skip


async def _write_day(connection: Connection, event: ExperimentDayCounted) -> None:
    await connection.executemany(
        """
        INSERT INTO experiment_days AS held
            (experiment_id, day, arm, epoch, drawn, counted, successes, failed, stopped, excluded, told_at)
        VALUES ($1, $2::text::date, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT (experiment_id, day, arm, epoch) DO UPDATE SET drawn = excluded.drawn, counted = excluded.counted,
            successes = excluded.successes, failed = excluded.failed, stopped = excluded.stopped,
            excluded = excluded.excluded, told_at = excluded.told_at
        WHERE excluded.told_at >= held.told_at
        """,
        [
            (UUID(event.experiment_id), event.day, each.arm, each.epoch, each.drawn, each.counted, each.successes,
             each.failed, each.stopped, each.excluded, event.time)
            for each in event.arms
        ],
    )  # fmt: skip


async def _write_template(connection: Connection, event: TemplateChanged) -> None:
    told = event.template
    await connection.execute(
        """
        INSERT INTO experiment_templates AS held
            (waba_id, template_id, name, language, version, category, status, quality, template, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (waba_id, template_id) DO UPDATE SET name = excluded.name, language = excluded.language,
            version = coalesce(excluded.version, held.version), category = excluded.category,
            status = excluded.status, quality = excluded.quality, template = excluded.template, at = excluded.at
        WHERE excluded.at >= held.at
        """,
        event.waba_id, told.template_id, told.name, told.language, event.version_number, told.category, told.status,
        told.quality, told.model_dump(mode="json"), event.time,
    )  # fmt: skip


def _of(row: asyncpg.Record) -> Experiment:
    fields: dict[str, Any] = {**row, "plan": ExperimentPlan.model_validate(row["plan"])}
    return Experiment(**fields)

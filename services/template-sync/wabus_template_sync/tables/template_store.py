"""The tables of templates and their versions, written from templates.v1."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
import orjson
from wabus_events import (
    Event,
    Template,
    TemplateCategoryChanged,
    TemplateChanged,
    TemplateConfirmed,
    TemplateQualityChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
)
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.recorded import Recorded
from wabus_whatsapp.templates.explanation import Explanation
from wabus_whatsapp.templates.state import Place

from wabus_template_sync.tables.staging import in_order
from wabus_template_sync.templates.fold import Aspect, Superseded, TemplateRow, Version, WebhookValue, step
from wabus_template_sync.templates.sync_fold import Stamp

SLICE = 100  # rows that are made at once: some milliseconds, during which nothing else runs

Key = tuple[str, str]


async def apply_to_templates(connection: Connection, records: Sequence[Recorded]) -> None:
    """Fold records into `templates` and `template_versions`; before the syncs of these records are written."""
    confirmed: dict[str, datetime] = {}
    async for chunk in in_order(connection, records):
        await _fold(connection, chunk, confirmed)


async def _fold(connection: Connection, events: Sequence[Event], confirmed: dict[str, datetime]) -> None:
    keys = sorted({key for event in events if (key := _key(event))})
    ended = sorted({event.waba_id for event in events if isinstance(event, TemplatesSynced)})
    stored = await connection.fetch(
        """
        SELECT t.* FROM unnest($1::text[], $2::text[]) AS asked(waba_id, template_id)
            JOIN templates AS t USING (waba_id, template_id)
        UNION ALL
        SELECT * FROM templates WHERE waba_id = ANY($3) AND told <> '{}'
        """,
        [waba_id for waba_id, _ in keys],
        [template_id for _, template_id in keys],
        ended,
    )
    before = {(row["waba_id"], row["template_id"]): template_row(row) for row in stored}
    rows = dict(before)
    unknown = sorted({waba_id for waba_id, _ in {*keys, *rows}} - confirmed.keys())
    confirmed |= await _confirmed(connection, unknown)
    superseded: list[tuple[Key, Superseded]] = []
    for number, event in enumerate(events):
        if number % SLICE == SLICE - 1:
            await asyncio.sleep(0)  # somebody waits for Graph's answer
        if isinstance(event, TemplatesSynced):
            known = confirmed.get(event.waba_id)
            confirmed[event.waba_id] = max(known, event.started_at) if known else event.started_at
            touched = [key for key, row in rows.items() if key[0] == event.waba_id and row.told]
        else:
            key = _key(event)
            touched = [key] if key else []
        for key in touched:
            rows[key], ended_version = step(rows.get(key) or TemplateRow(*key), event, confirmed.get(key[0]))
            if ended_version:
                superseded.append((key, ended_version))
    changed = [row for key, row in sorted(rows.items()) if row != before.get(key)]
    written = [row for row in changed if not row.is_empty]
    for first in range(0, len(written), SLICE):
        await _write_templates(connection, written[first : first + SLICE])
    for row in changed:
        if row.is_empty:
            await connection.execute(
                "DELETE FROM templates WHERE waba_id = $1 AND template_id = $2", row.waba_id, row.template_id
            )
    await _write_versions(connection, superseded)


def _key(event: Event) -> Key | None:
    match event:
        case TemplateChanged():
            return event.waba_id, event.template.template_id
        case (
            TemplateRemoved()
            | TemplateConfirmed()
            | TemplateStatusChanged()
            | TemplateQualityChanged()
            | TemplateCategoryChanged()
        ):
            return event.waba_id, event.template_id
        case _:
            return None


async def _write_templates(connection: Connection, rows: Sequence[TemplateRow]) -> None:
    await connection.executemany(
        """
        INSERT INTO templates (waba_id, template_id, name, language, category, status, quality, rejected_reason,
            template, listed_number, listed_at, listed_id, present, presence_number, presence_at, presence_id, told,
            removed_at, created_at, updated_at, fingerprint, search, version, asked_at, in_doubt, explained, left_at,
            org_id, number_before)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
            $23, $24, $25, $26, $27, $28, $29)
        ON CONFLICT (waba_id, template_id) DO UPDATE SET
            (name, language, category, status, quality, rejected_reason, template, listed_number, listed_at, listed_id,
                present, presence_number, presence_at, presence_id, told, removed_at, created_at, updated_at,
                fingerprint, search, version, asked_at, in_doubt, explained, left_at, org_id, number_before)
            = (excluded.name, excluded.language, excluded.category, excluded.status, excluded.quality,
                excluded.rejected_reason, excluded.template, excluded.listed_number, excluded.listed_at,
                excluded.listed_id, excluded.present, excluded.presence_number, excluded.presence_at,
                excluded.presence_id, excluded.told, excluded.removed_at, excluded.created_at, excluded.updated_at,
                excluded.fingerprint, excluded.search, excluded.version, excluded.asked_at, excluded.in_doubt,
                excluded.explained, excluded.left_at, excluded.org_id, excluded.number_before)
        """,
        [_template_columns(row) for row in rows],
    )


async def _write_versions(connection: Connection, superseded: Sequence[tuple[Key, Superseded]]) -> None:
    await connection.executemany(
        """
        INSERT INTO template_versions (waba_id, template_id, number, event_id, version, template, org_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT DO NOTHING
        """,
        [
            (
                *key,
                ended.version.number,
                ended.version.event_id,
                _version_column(ended.version),
                _json(ended.template) if ended.template else None,
                ended.org_id,
            )
            for key, ended in superseded
        ],
    )


async def _confirmed(connection: Connection, waba_ids: Sequence[str]) -> dict[str, datetime]:
    """When the newest listing that ended well began, by WABA."""
    if not waba_ids:
        return {}
    rows = await connection.fetch(
        """
        SELECT waba_id, latest.started_at
        FROM unnest($1::text[]) AS asked(waba_id)
        CROSS JOIN LATERAL (
            SELECT started_at FROM template_syncs
            WHERE template_syncs.waba_id = asked.waba_id AND status = 'synced'
            ORDER BY started_at DESC LIMIT 1
        ) AS latest
        """,
        waba_ids,
    )
    return {row["waba_id"]: row["started_at"] for row in rows}


def stamp(time: datetime | None, event_id: str | None) -> Stamp | None:
    return (time, event_id) if time and event_id else None


def _place(number: int, time: datetime | None, event_id: str | None) -> Place | None:
    return (number, time, event_id) if time and event_id else None


def template_row(row: asyncpg.Record) -> TemplateRow:
    """A row of `templates` as `fold.py` has it."""
    told: dict[Aspect, WebhookValue] = {
        cast(Aspect, aspect): WebhookValue(
            said["value"],
            (datetime.fromisoformat(said["at"]), said["id"]),
            said["reason"],
            is_disputed=said.get("disputed", False),
        )
        for aspect, said in row["told"].items()
    }
    return TemplateRow(
        waba_id=row["waba_id"],
        template_id=row["template_id"],
        announced=Template.model_validate(row["template"]) if row["template"] else None,
        announced_place=_place(row["listed_number"], row["listed_at"], row["listed_id"]),
        present=row["present"],
        presence_place=_place(row["presence_number"], row["presence_at"], row["presence_id"]),
        first_listed_at=row["created_at"],
        asked_at=row["asked_at"],
        told=told,
        version=version_of(row["version"]) if row["version"] else None,
        in_doubt=row["in_doubt"],
        explained=_explained(row),
        left_at=row["left_at"],
        org_id=row["org_id"],
        number_before=row["number_before"],
    )


def _explained(row: asyncpg.Record) -> Explanation | None:
    stored: dict[str, Any] | None = row["explained"]
    if stored is None:
        return None
    told_at = datetime.fromisoformat(stored["told_at"])
    said = {name: stored[name] for name in ("reason", "recommendation", "pause")}
    return Explanation(stored["status"], told_at, stored["event_id"], **said)


def version_of(stored: dict[str, Any]) -> Version:
    """A version as `fold.py` has it."""
    return Version(
        number=stored["number"],
        kind=stored["kind"],
        fields=tuple(stored["fields"]),
        at=datetime.fromisoformat(stored["at"]),
        event_id=stored["event_id"],
        source=stored["source"],
    )


def _version_column(version: Version) -> dict[str, Any]:
    return {
        "number": version.number,
        "kind": version.kind,
        "fields": list(version.fields),
        "at": version.at.astimezone(UTC).isoformat(),
        "event_id": version.event_id,
        "source": version.source,
    }


def _template_columns(row: TemplateRow) -> tuple[Any, ...]:
    now = row.template
    told = {
        aspect: {
            "value": said.value,
            "at": said.stamp[0].astimezone(UTC).isoformat(),
            "id": said.stamp[1],
            "reason": said.reason,
            **({"disputed": True} if said.is_disputed else {}),
        }
        for aspect, said in row.told.items()
    }
    return (
        row.waba_id,
        row.template_id,
        *((now.name, now.language, now.category, now.status) if now else (None,) * 4),
        *((now.quality, now.rejected_reason) if now else (None,) * 2),
        _json(row.announced) if row.announced else None,
        *(row.announced_place or (0, None, None)),
        row.present,
        *(row.presence_place or (0, None, None)),
        told,
        row.removed_at,
        row.first_listed_at,
        row.updated_at,
        now.fingerprint if now else None,
        search_text(now) if now else None,
        _version_column(row.version) if row.version else None,
        row.asked_at,
        row.in_doubt,
        _explained_column(row.explained) if row.explained else None,
        row.left_at,
        row.org_id,
        row.number_before,
    )


def _explained_column(explained: Explanation) -> dict[str, Any]:
    return {**asdict(explained), "told_at": explained.told_at.astimezone(UTC).isoformat()}


def _json(template: Template) -> orjson.Fragment:
    """The template as JSON, which the pool's codec passes on as it is: half the work of a dict in between."""
    return orjson.Fragment(template.model_dump_json())


def search_text(template: Template) -> str:
    """What a text search looks at, in lower case: the name and every text that a recipient can see."""
    cards = [part for card in template.carousel for part in (card.body, *card.buttons)]
    parts = [template.header, template.body, template.footer, *template.buttons, template.limited_time_offer, *cards]
    texts = [part.text for part in parts if part is not None and part.text]
    return "\n".join([template.name, *texts]).lower()

"""The tables of templates: syncs become visible at once, and every change leaves a version, on real PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from wabus_events import Event, TemplateChanged, TemplateRemoved, TemplatesSynced, TemplateStatusChanged
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import load
from wabus_template_sync.app import TemplateSyncSettings
from wabus_template_sync.tables.store import PACKAGE, apply
from wabus_whatsapp.templates.parse import parse_template

START = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
async def pool(environment: dict[str, str]) -> AsyncIterator[asyncpg.Pool]:
    async with migrated_pool(load(TemplateSyncSettings), PACKAGE) as opened:
        yield opened


def changed(second: int, template_id: str, text: str, sync_id: str | None, status: str = "APPROVED") -> TemplateChanged:
    body = {"type": "BODY", "text": text}
    raw = {"id": template_id, "name": "n", "language": "en", "status": status, "components": [body]}
    identifier = f"{sync_id}-{template_id}-{text}"
    time = START + timedelta(seconds=second)
    return TemplateChanged(
        id=identifier, time=time, waba_id="w", template=parse_template(raw), added=False, sync_id=sync_id
    )


def synced(second: int, sync_id: str) -> TemplatesSynced:
    numbers: dict[str, Any] = {"total": 0, "approved": 0, "by_status": {}, "added": 0, "changed": 0, "removed": 0}
    time = START + timedelta(seconds=second)
    return TemplatesSynced(
        id=sync_id, time=time, waba_id="w", sync_id=sync_id, reason="manual", started_at=time, **numbers
    )


def about(second: int, template_id: str) -> dict[str, Any]:
    time = START + timedelta(seconds=second)
    return {"time": time, "waba_id": "w", "template_id": template_id, "name": "n", "language": "en"}


async def take(pool: asyncpg.Pool, events: Sequence[Event], first_offset: int = 0) -> None:
    records = [
        Recorded(event, event.topic.name, 0, offset, event.time)
        for offset, event in enumerate(events, start=first_offset)
    ]
    async with pool.acquire() as connection, connection.transaction():
        await apply(connection, records)


async def visible(pool: asyncpg.Pool) -> dict[str, str]:
    rows = await pool.fetch("SELECT template_id, template FROM templates WHERE removed_at IS NULL")
    return {row["template_id"]: row["template"]["body"]["text"] for row in rows}


async def test_a_sync_read_in_several_batches_becomes_visible_in_one(pool: asyncpg.Pool) -> None:
    await take(pool, [changed(0, "t0", "old", "first"), synced(0, "first")])
    changes = [changed(5, f"t{number}", "new", "second") for number in range(1200)]
    events = [*changes, synced(5, "second")]

    seen = list[int]()
    for start in range(0, len(events), 500):
        seen.append(len(await visible(pool)))
        await take(pool, events[start : start + 500], 10 + start)

    assert seen == [1, 1, 1]
    assert set((await visible(pool)).values()) == {"new"}
    assert len(await visible(pool)) == 1200
    assert await pool.fetchval("SELECT count(*) FROM template_staged") == 0


async def test_each_change_supersedes_a_version_and_a_deleted_template_keeps_its_own(pool: asyncpg.Pool) -> None:
    paused = TemplateStatusChanged(id="p", event="PAUSED", value={}, **about(20, "t"))
    gone = TemplateRemoved(id="g", caused_by="x", **about(30, "t"))

    await take(pool, [changed(0, "t", "old", "first"), synced(0, "first")])
    await take(pool, [changed(10, "t", "new", "second"), synced(10, "second"), paused, paused, gone], 10)

    rows = await pool.fetch("SELECT * FROM template_versions ORDER BY number")
    current = await pool.fetchval("SELECT version FROM templates WHERE template_id = 't'")
    stood = [(row["version"]["kind"], row["version"]["fields"], row["version"]["source"]) for row in rows]
    assert stood == [("added", [], "sync"), ("changed", ["body"], "sync"), ("changed", ["status"], "webhook")]
    assert [(row["template"]["body"]["text"], row["template"]["status"]) for row in rows] == [
        ("old", "APPROVED"), ("new", "APPROVED"), ("new", "PAUSED"),
    ]  # fmt: skip
    assert (current["kind"], current["number"], current["source"]) == ("removed", 4, "fetch")
    assert await visible(pool) == {}


async def test_a_template_that_comes_back_goes_on_with_its_history(pool: asyncpg.Pool) -> None:
    gone = TemplateRemoved(id="g", **about(10, "t"))

    await take(pool, [changed(0, "t", "old", None), gone, changed(20, "t", "old", None)])

    version = await pool.fetchval("SELECT version FROM templates")
    assert (version["kind"], version["number"]) == ("restored", 3)
    assert await pool.fetchval("SELECT count(*) FROM template_versions") == 2

"""`wabus rebuild templates` on real Kafka and PostgreSQL, while templates change and people read."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from simulated_meta.seed import DEMO_WABA
from template_world import ORDER, Bearer, Client, Meta, Publish, connection, synced_status
from wabus_events import TemplateChanged, TemplateStatusChanged
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.postgres.database import open_pool
from wabus_runtime.projection.rebuild import RebuildFailed, RebuildSettings, rebuild
from wabus_runtime.settings import DatabaseSettings, load
from wabus_template_sync.worker.projector import PROJECTION
from wabus_whatsapp.templates.parse import parse_template
from waiting import Eventually

pytest_plugins = ["template_world"]

TABLES = [table.name for table in PROJECTION.tables]
PAUSE = 0.02  # seconds between two changes, so that the others have their turn


@pytest.fixture
async def pool(service: Client) -> AsyncIterator[asyncpg.Pool]:
    pool = await open_pool(load(DatabaseSettings))
    yield pool
    await pool.close()


def paused_or_back(number: int) -> TemplateStatusChanged:
    time = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=number)
    about = {"template_id": ORDER, "name": "order_confirmation", "language": "en_US"}
    status = "PAUSED" if number % 2 else "UNPAUSED"
    return TemplateStatusChanged(id=str(uuid4()), time=time, waba_id=DEMO_WABA, event=status, value={}, **about)


async def run(say: Callable[[str], None] = print, **options: Any) -> None:
    await rebuild(load(RebuildSettings), PROJECTION, say, **options)


async def rows(pool: asyncpg.Pool) -> dict[str, list[str]]:
    return {
        table: [row[0] for row in await pool.fetch(f"SELECT t::text FROM {table} AS t ORDER BY 1")] for table in TABLES
    }


async def test_templates_are_rebuilt_while_they_change_and_are_read_and_synced(
    service: Client, pool: asyncpg.Pool, meta: Meta, publish: Publish, bearer: Bearer, eventually: Eventually
) -> None:
    await publish(connection(meta.token))
    await eventually(lambda: synced_status(service, bearer()))
    statuses: set[int] = set()
    over = False

    async def sync() -> None:
        while not over:
            answer = await service.post("/templates/sync", headers=bearer() | {"Prefer": "wait=20"})
            statuses.add(answer.status)

    async def change() -> None:
        number = 0
        while not over:
            number += 1
            with suppress(KafkaUnavailable):  # a busy machine's Kafka is late now and then: the next one follows
                await publish([paused_or_back(number)])
            await asyncio.sleep(PAUSE)

    async def read() -> None:
        while not over:
            answer = await service.get("/templates?status=all", headers=bearer())
            statuses.add(answer.status)
            assert (await answer.json())["total"] == 8

    before = [await pool.fetchval("SELECT $1::text::regclass::oid", table) for table in TABLES]
    busy = [asyncio.create_task(each()) for each in (sync, change, read)]
    said: list[str] = []
    try:
        await run(said.append, near=20)
    finally:
        over = True
        await asyncio.gather(*busy)
    after = [await pool.fetchval("SELECT $1::text::regclass::oid", table) for table in TABLES]

    assert not set(before) & set(after)
    assert [line.split(":")[0] for line in said if line.startswith("verified")] == [f"verified {t}" for t in TABLES]
    assert said[-1] == f"swapped: {', '.join(TABLES)}"
    assert statuses == {200}
    assert await pool.fetchval("SELECT count(*) FROM template_versions") > 1
    answer = await service.post("/templates/sync", headers=bearer() | {"Prefer": "wait=20"})
    assert (answer.status, (await answer.json())["status"]) == (200, "synced")


async def test_damaged_rows_of_templates_are_named_and_made_anew_with_a_sync_that_has_not_ended(
    service: Client, pool: asyncpg.Pool, meta: Meta, publish: Publish, bearer: Bearer, eventually: Eventually
) -> None:
    await publish(connection(meta.token))
    await eventually(lambda: synced_status(service, bearer()))
    unfinished = {"id": "9", "name": "n", "language": "en", "status": "APPROVED", "components": []}
    await publish(
        [
            TemplateChanged(
                id=str(uuid4()), time=datetime.now(UTC), waba_id=DEMO_WABA, template=parse_template(unfinished),
                added=True, sync_id="never ended",
            )
        ]
    )  # fmt: skip

    async def staged() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM template_staged"))

    await eventually(staged)
    good = await rows(pool)

    await pool.execute("UPDATE templates SET status = 'PAUSED' WHERE template_id = $1", ORDER)
    await pool.execute("DELETE FROM template_schedules")
    said: list[str] = []
    with pytest.raises(RebuildFailed):
        await run(said.append)
    assert {f"  differs: ({DEMO_WABA},{ORDER})", f"  only new: ({DEMO_WABA})"} <= set(said)
    await run(accept_differences=True)

    assert await rows(pool) == good

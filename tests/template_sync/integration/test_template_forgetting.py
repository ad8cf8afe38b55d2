"""Accounts and organisations forgotten in the tables of templates, and by whoever is at work on them meanwhile."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from simulated_meta.seed import DEMO_WABA
from support.forgetting import line, rows_with
from template_world import Client, EventsIn, Meta, Publish, Until, all_of, connection
from wabus_events import (
    AccountConnected,
    AccountDisconnected,
    AccountForgotten,
    CredentialStored,
    Event,
    OrganisationForgotten,
    TemplateChanged,
    TemplatesSynced,
    TemplateStatusChanged,
    TemplateSyncFailed,
    TemplateSyncProgressed,
    TemplateSyncRequested,
    TemplateSyncStarted,
    fact_id,
    tombstone,
)
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import load
from wabus_template_sync.app import TemplateSyncSettings
from wabus_template_sync.tables.store import PACKAGE
from wabus_template_sync.worker.projector import PROJECTION
from wabus_whatsapp.templates.parse import parse_template
from waiting import Eventually

pytest_plugins = ["template_world"]

START = datetime(2026, 1, 1, tzinfo=UTC)
LINE = START + timedelta(minutes=30)
ACME, ITS_ACCOUNT, NEIGHBOUR = "acme-organisation", "70000000000001", "70000000000002"
WORDS = (ACME, ITS_ACCOUNT, "its template", "its next")


@pytest.fixture
async def pool(environment: dict[str, str]) -> AsyncIterator[asyncpg.Pool]:
    async with migrated_pool(load(TemplateSyncSettings), PACKAGE) as opened:
        yield opened


def life_of(waba_id: str, org_id: str, minute: int, text: str) -> list[Event]:
    """Something in every table, within some minutes."""

    def about(more: int = 0) -> dict[str, Any]:
        return {"time": START + timedelta(minutes=minute + more), "org_id": org_id, "waba_id": waba_id}

    def told(more: int, template_id: str, body: str, sync_id: str | None) -> TemplateChanged:
        raw = {"id": template_id, "name": "n", "language": "en", "status": "APPROVED", "category": "UTILITY",
               "components": [{"type": "BODY", "text": body}]}  # fmt: skip
        identity = fact_id(TemplateChanged.type, waba_id, template_id, body, minute)
        return TemplateChanged(
            id=identity, template=parse_template(raw), added=False, sync_id=sync_id, version_number=minute * 10 + more,
            **about(more),
        )  # fmt: skip

    numbers: dict[str, Any] = {"total": 1, "approved": 1, "by_status": {}, "added": 1, "changed": 0, "removed": 0}
    sync: dict[str, Any] = {"sync_id": f"{waba_id}-{minute}", "reason": "manual"}
    named: dict[str, Any] = {"template_id": f"t{waba_id}", "name": "n", "language": "en", "value": {}}
    return [
        AccountConnected(id=f"c{waba_id}{minute}", **about()),
        TemplateSyncRequested(id=f"q{waba_id}{minute}", requested_by="hmac:1", **sync, **about()),
        TemplateSyncStarted(id=f"s{waba_id}{minute}", **sync, **about(1)),
        told(2, f"t{waba_id}", text, sync["sync_id"]),
        TemplatesSynced(id=f"e{waba_id}{minute}", started_at=about(2)["time"], **numbers, **sync, **about(2)),
        TemplateStatusChanged(id=f"p{waba_id}{minute}", event="PAUSED", **named, **about(3)),
        told(4, f"t{waba_id}", f"{text} edited", None),
        told(5, f"u{waba_id}", f"{text} staged", "never ended"),
        AccountDisconnected(id=f"d{waba_id}{minute}", reason="asked", **about(6)),
    ]


async def take(pool: asyncpg.Pool, events: Sequence[Event], first_offset: int = 0) -> None:
    applying = PROJECTION.applying(load(TemplateSyncSettings))
    records = [
        Recorded(event, event.topic.name, 0, offset, event.time) for offset, event in enumerate(events, first_offset)
    ]
    async with pool.acquire() as connection, connection.transaction():
        await (await applying(records))(connection)


async def rows(pool: asyncpg.Pool) -> dict[str, list[str]]:
    found = await rows_with(pool, [""])
    return {table: sorted(each) for table, each in found.items() if "template" in table and "migrations" not in table}


FORGOTTEN = [line(AccountForgotten, ITS_ACCOUNT, LINE), line(OrganisationForgotten, ACME, LINE)]
ITS_LIFE = life_of(ITS_ACCOUNT, ACME, 0, "its template")
THEIRS = life_of(NEIGHBOUR, "neighbours", 0, "theirs")


async def test_of_a_forgotten_organisation_no_row_is_left_and_no_late_fact_brings_one_back(pool: asyncpg.Pool) -> None:
    await take(pool, THEIRS)
    theirs = await rows(pool)
    await take(pool, ITS_LIFE, 100)
    assert len(await rows_with(pool, WORDS)) == 7  # every table that there is

    await take(pool, FORGOTTEN)
    assert await rows_with(pool, WORDS) == {}
    assert await rows(pool) == theirs

    await take(pool, ITS_LIFE, 200)
    assert await rows_with(pool, WORDS) == {}


@pytest.mark.parametrize("known_first", [True, False])
async def test_who_comes_again_is_new_and_so_they_are_in_a_rebuild(pool: asyncpg.Pool, known_first: bool) -> None:
    again = life_of(ITS_ACCOUNT, ACME, 60, "its next")
    await take(pool, again, 300)
    new = await rows(pool)
    for table in new:
        await pool.execute(f"DELETE FROM {table}")
    for events in (FORGOTTEN, ITS_LIFE) if known_first else (ITS_LIFE, FORGOTTEN):
        await take(pool, events)
    await take(pool, again, 300)
    assert await rows(pool) == new


@pytest.mark.parametrize("known_first", [True, False])
async def test_of_the_earlier_organisation_of_an_account_that_moved_nothing_is_left(
    pool: asyncpg.Pool, known_first: bool
) -> None:
    own = life_of(ITS_ACCOUNT, "owner", 20, "the owner's")
    gone = [line(OrganisationForgotten, ACME, LINE)]
    events = [*ITS_LIFE, *own]
    for each in (gone, events) if known_first else (events, gone):
        await take(pool, each, 0 if each is events else 900)
    assert await rows_with(pool, (ACME, "its template")) == {}
    assert set(await rows_with(pool, ["owner"])) >= {"public.templates", "public.template_versions"}
    assert {row["number_before"] for row in await pool.fetch("SELECT number_before FROM templates")} == {0}


async def test_what_is_of_after_the_line_stays_where_it_was_folded_first(pool: asyncpg.Pool) -> None:
    await take(pool, [*ITS_LIFE, *life_of(ITS_ACCOUNT, ACME, 60, "its next")])
    await take(pool, FORGOTTEN)
    left = await rows_with(pool, ["its template"])
    assert left == {}
    assert await pool.fetchval("SELECT count(*) FROM templates") == 1
    account = await pool.fetchrow("SELECT created_at, connected_at FROM template_accounts")
    assert account is not None
    assert account["created_at"] == account["connected_at"] == START + timedelta(minutes=60)
    before = await rows(pool)
    await take(pool, FORGOTTEN)
    assert await rows(pool) == before


async def test_nothing_more_is_told_of_an_account_that_was_forgotten_during_its_sync(
    service: Client, meta: Meta, publish: Publish, until: Until, events_in: EventsIn, eventually: Eventually
) -> None:
    await meta.control("POST", "/faults", latency_ms=1500)
    await publish(connection(meta.token))
    await until(TemplateSyncStarted)
    now = datetime.now(UTC)
    gone = AccountDisconnected(id="gone", time=now, org_id="demo", waba_id=DEMO_WABA, reason="forgotten")
    at = datetime.now(UTC)
    # At once, or the sync could see that the account is gone, and end, before anybody is forgotten.
    drawn = [line(AccountForgotten, DEMO_WABA, at), line(OrganisationForgotten, "demo", at)]
    await publish([tombstone(CredentialStored, DEMO_WABA), gone, *drawn])

    async def over() -> bool:
        text = await (await service.get("/metrics")).text()
        return 'outcome="forgotten"' in text

    await eventually(over)
    for kind in (TemplateSyncFailed, TemplatesSynced, TemplateChanged, TemplateSyncProgressed):
        assert [event for event in await all_of(events_in, kind) if event.time > at] == []

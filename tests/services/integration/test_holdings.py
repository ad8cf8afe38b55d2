"""What services say they hold: every table that there is, by conditions that find what is somebody's and no more."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from wabus_cli.forgetting.asked import Asked
from wabus_cli.forgetting.holders import Pools, all_holdings, count, opened_databases, rows, tables_there
from wabus_events import AccountConnected, AccountDisconnected, TemplateSyncFailed
from wabus_events.testing import an
from wabus_health_projector.health.fold import fold_all
from wabus_health_projector.health.state import WabaHealth
from wabus_health_projector.tables.store import locked_wabas, save_wabas
from wabus_runtime.postgres.database import database_settings, migrate, packages_with_tables
from wabus_runtime.settings import load

WHOSE = {"org_id", "waba_id", "lane", "contact", "phone_number", "wa_id", "user_id"}
"""Columns by whose names a row is plainly somebody's."""


@pytest.fixture
async def pools(environment: dict[str, str]) -> AsyncIterator[Pools]:
    for package in packages_with_tables():
        await migrate(load(database_settings(package)), package)
    async with opened_databases() as opened:
        yield opened


async def test_every_table_is_named_with_whose_its_rows_are(pools: Pools) -> None:
    there = [(where.schema, where.table) for where in await tables_there(pools, all_holdings())]
    found = await pools["wabus_health_projector"].fetch(
        """
        SELECT nspname AS schema, relname AS name, ARRAY(
            SELECT attname FROM pg_attribute WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
        ) AS columns
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname !~ '^(pg_|information_schema$)' AND relkind IN ('r', 'p') AND NOT relispartition
            AND relname NOT LIKE '%_migrations'
        """
    )
    assert {(row["schema"], row["name"]) for row in found} == {(schema, table.name) for schema, table in there}
    assert {row["schema"] for row in found} == {"public", "conversations", "subscriptions", "sender", "insights"}
    named = {(schema, table.name): table for schema, table in there}
    assert len(named) == len(there), "two services declare the same"
    for row in found:
        table = named[row["schema"], row["name"]]
        if WHOSE & set(row["columns"]):
            assert table.organisation or table.account or table.contact, f"whose are the rows of {row['name']}?"


@pytest.mark.parametrize("asked", [Asked(org_id="acme"), Asked(waba_id="1"), Asked(contact="16505551234")])
async def test_every_condition_can_be_asked(pools: Pools, asked: Asked) -> None:
    for where in await tables_there(pools, all_holdings()):
        assert await count(where, asked, ["1", "2"]) == 0
        assert [row async for row in rows(where, asked, ["1", "2"])] == []


async def test_of_an_account_that_moved_an_organisation_is_told_its_own(pools: Pools) -> None:
    def at(hour: int) -> datetime:
        return datetime(2026, 3, 1, hour, tzinfo=UTC)

    about: dict[str, Any] = {"waba_id": "1"}
    told = [
        an(AccountConnected, org_id="earlier", time=at(1), **about),
        an(TemplateSyncFailed, org_id="earlier", time=at(2), message="a word of the earlier one", **about),
        an(AccountDisconnected, org_id="earlier", time=at(4), **about),
        an(AccountConnected, org_id="acme", time=at(5), **about),
    ]
    async with pools["wabus_health_projector"].acquire() as connection, connection.transaction():
        await locked_wabas(connection, ["1"])
        health = fold_all(WabaHealth(waba_id="1"), ((event, event.time) for event in told))
        await save_wabas(connection, [(health, at(5))])
        for hour in (3, 6):
            await connection.execute(
                "INSERT INTO message_counts VALUES ('1', $1, '9', 'received', 1, $1)", at(hour)
            )  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = {}
    for where in await tables_there(pools, all_holdings()):
        async for row in rows(where, Asked(org_id="acme"), ["1"]):
            found.setdefault(where.table.name, []).append(row)
    assert "earlier" not in str(found)
    [(state)] = found["waba_health"]
    assert "acme" in str(state)
    assert [row["hour"] for row in found["message_counts"]] == ["2026-03-01T06:00:00+00:00"]
    for where in await tables_there(pools, all_holdings()):
        if where.table.name == "waba_health":
            assert "earlier" in str([row async for row in rows(where, Asked(waba_id="1"), ["1"])])

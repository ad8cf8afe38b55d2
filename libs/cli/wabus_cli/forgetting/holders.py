"""What the services that are installed here hold of somebody: the rows of their tables, counted and read.

In each database that any of them has, and there in each schema that has its tables: one of its own, one that all share,
one that a rebuild which was stopped has left.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points

import asyncpg
import orjson
from wabus_events import contact_id
from wabus_runtime.identity.holdings import Holdings, Row, Table
from wabus_runtime.postgres.database import (
    Connection,
    close_pool,
    database_settings,
    open_pool,
    packages_with_tables,
    version_table,
)
from wabus_runtime.settings import load

from wabus_cli.forgetting.asked import Asked

PORTION = 500  # rows fetched at once

Pools = Mapping[str, asyncpg.Pool]
"""By package, each as its service opens it: who may read its tables, and where they are."""


@dataclass(frozen=True, slots=True)
class Where:
    """A table of a service, in one schema of one database."""

    pool: asyncpg.Pool
    schema: str
    table: Table

    @property
    def name(self) -> str:
        """For people."""
        return self.table.name if self.schema == "public" else f"{self.schema}.{self.table.name}"


@asynccontextmanager
async def opened_databases() -> AsyncGenerator[Pools]:
    """The databases of all services that are installed here and have tables."""
    async with AsyncExitStack() as stack:
        pools: dict[str, asyncpg.Pool] = {}
        for package in packages_with_tables():
            pools[package] = await open_pool(load(database_settings(package)))
            stack.push_async_callback(close_pool, pools[package])
        yield pools


def all_holdings() -> dict[str, Holdings]:
    """What each service holds, by its package."""
    found = sorted(entry_points(group="wabus.holdings"), key=lambda entry: entry.name)
    return {entry.value.partition(".")[0]: entry.load() for entry in found}


async def tables_there(pools: Pools, holdings: Mapping[str, Holdings]) -> list[Where]:
    """The tables that there are of those that services declare, in every schema that has them, each once."""
    found: list[Where] = []
    for database in await _by_database(pools):
        anybody = next(iter(database.values()))
        migrated = await anybody.fetch(
            "SELECT schemaname AS schema, tablename AS name FROM pg_tables WHERE tablename = ANY($1) ORDER BY 1, 2",
            [version_table(package) for package in {*holdings, *database}],
        )
        whose = {(row["schema"], row["name"]) for row in migrated}
        for schema in sorted({schema for schema, _ in whose}):
            at_home = [pool for package, pool in database.items() if (schema, version_table(package)) in whose]
            there = await anybody.fetch("SELECT tablename AS name FROM pg_tables WHERE schemaname = $1", schema)
            names = {row["name"] for row in there}
            for package, held in holdings.items():
                if (schema, version_table(package)) in whose:
                    pool = database.get(package) or next(iter(at_home), anybody)
                    found += [Where(pool, schema, table) for table in held.tables if table.name in names]
    return found


async def has_tables(pool: asyncpg.Pool, package: str) -> bool:
    """Whether a service's tables were ever made; if not, it does not run here, and holds nothing."""
    return await pool.fetchval("SELECT to_regclass($1)", version_table(package)) is not None


async def has_run(pool: asyncpg.Pool, package: str, projection: str) -> bool:
    """Whether a projection of a service has ever folded anything."""
    if not await has_tables(pool, package):
        return False
    return await pool.fetchval("SELECT EXISTS (SELECT FROM projection_offsets WHERE projection = $1)", projection)


async def _by_database(pools: Pools) -> list[Pools]:
    """The pools on the same database together, however each names it."""
    found: dict[object, dict[str, asyncpg.Pool]] = {}
    for package, pool in pools.items():
        # Whoever may log in may ask this, and no two servers have the same of both.
        row = await pool.fetchrow(
            "SELECT pg_postmaster_start_time(), oid FROM pg_database WHERE datname = current_database()"
        )
        found.setdefault(row and tuple(row), {})[package] = pool
    return list(found.values())


async def count(where: Where, asked: Asked, accounts: Iterable[str]) -> int:
    """How many rows there are that are theirs."""
    number = 0
    async with _inside(where) as connection:
        for condition, arguments in _conditions(where.table, asked, accounts):
            statement = f"SELECT count(*) FROM {where.table.name} WHERE {condition}"  # noqa: S608
            number += int(await connection.fetchval(statement, *arguments) or 0)
    return number


async def known_as_well(there: Iterable[Where], asked: Asked) -> list[Asked]:
    """What else a contact is known by in organisations, as services tell, and what is known together with that."""
    if asked.contact is None:
        return []
    telling = [where for where in there if where.table.knows]
    contact = contact_id(asked.contact)
    look, found = [Asked(org_id=asked.org_id, contact=contact)], set[Asked]()
    while look:
        told: set[Asked] = set()
        for where in telling:
            statement = f"SELECT DISTINCT {where.table.knows} FROM {where.table.name} WHERE {where.table.contact}"  # noqa: S608
            async with _inside(where) as connection:
                for each in look:
                    rows = await connection.fetch(statement, each.contact, each.org_id)
                    told |= {Asked(org_id=row[0], contact=row[1]) for row in rows}
        look = list(told - found)
        found |= told
    return [each for each in found if each.contact != contact]


async def rows(where: Where, asked: Asked, accounts: Iterable[str]) -> AsyncGenerator[Row]:
    """The rows of a table that are theirs."""
    table = where.table
    own = table.own if asked.organisation is not None else None
    async with _inside(where) as connection:
        for condition, arguments in _conditions(table, asked, accounts):
            statement = f"SELECT to_jsonb({table.name})::text AS held FROM {table.name} WHERE {condition}"  # noqa: S608
            async for row in connection.cursor(statement, *arguments, prefetch=PORTION):
                held: Row = orjson.loads(row["held"])
                yield own(held) if own else held


@asynccontextmanager
async def _inside(where: Where) -> AsyncGenerator[Connection]:
    """A look at one moment, by which a table's conditions find the other tables of the table's own schema."""
    async with where.pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("SELECT set_config('search_path', quote_ident($1), true)", where.schema)
        yield connection


def _conditions(table: Table, asked: Asked, accounts: Iterable[str]) -> list[tuple[str, list[str | None]]]:
    """In SQL whose rows are meant, each with its arguments; no row fulfils two of them."""
    if asked.contact is not None:
        return [(table.contact, [contact_id(asked.contact), asked.org_id])] if table.contact else []
    if asked.organisation is not None and table.organisation:
        return [(table.organisation, [asked.organisation])]
    return [(table.account, [waba_id]) for waba_id in accounts] if table.account else []

"""Makes the tables of a projection anew from the log, beside the live ones, and swaps the two in one transaction.

The new tables are those of the same migrations in a schema of their own, written by the same code, so a rebuild that
was stopped goes on where it was. The live projection is held up only while the last few records are replayed and the
tables change places; who reads waits for no longer than that, and then reads the new rows.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import asyncpg

from wabus_runtime.postgres.database import Connection, migrate, migrated_pool, open_pool
from wabus_runtime.postgres.offsets import Offsets, channel, offsets
from wabus_runtime.projection.compare import compare
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.replay import replay
from wabus_runtime.settings import DatabaseSettings, IdentitySettings

NEAR = 2_000  # records behind the live tables from which the rest is fast
SWAP_REPLAY = 20.0  # seconds that the live projection can be held up
LOCK_TIMEOUT = "2s"  # for readers to let go of the old tables; they queue behind us meanwhile
SWAP_ATTEMPTS = 5
SAY_EVERY = 2.0  # seconds
FOLDING_PACKAGES = ("wabus_events", "wabus_whatsapp")  # beside the projection's own: what is folded follows from them

Say = Callable[[str], None]
"""Tells a person, in a line, what is being done."""


class RebuildSettings(IdentitySettings, DatabaseSettings):
    pass


class RebuildFailed(Exception):
    """Nothing was swapped. The message says why and what can be done."""


async def rebuild(
    settings: RebuildSettings,
    projection: Projection,
    say: Say,
    *,
    accept_differences: bool = False,
    near: int = NEAR,
    say_every: float = SAY_EVERY,
) -> None:
    """Replay, verify and swap; cancelled at any moment it goes on from there the next time.

    `near` is how many records the new tables may be behind when the comparison begins, and again when the swap does.
    Raises `RebuildFailed`, `KafkaUnavailable` and database errors.
    """
    async with migrated_pool(settings, projection.package) as live, alone(live, projection.rebuild_schema):
        await _prepare_schema(settings, live, projection, say)
        beside = await open_pool(settings, projection.rebuild_schema)
        try:
            run = _Rebuild(settings, projection, live, beside, say, near, say_every)
            await run.catch_up()
            if not await run.verify() and not accept_differences:
                raise RebuildFailed(
                    "the new rows differ from the live ones, so nothing was changed. If that is what you want, because "
                    "the code that folds them has changed, run it again with --accept-differences"
                )
            await run.swap()
        finally:
            beside.terminate()


async def discard(settings: RebuildSettings, projection: Projection) -> None:
    """Give up what an unfinished rebuild has made. Raises `RebuildFailed` where one is running."""
    async with migrated_pool(settings, projection.package) as live, alone(live, projection.rebuild_schema):
        await live.execute(f"DROP SCHEMA IF EXISTS {projection.rebuild_schema} CASCADE")


class _Rebuild:
    def __init__(
        self,
        settings: RebuildSettings,
        projection: Projection,
        live: asyncpg.Pool,
        beside: asyncpg.Pool,
        say: Say,
        near: int,
        say_every: float,
    ) -> None:
        self._settings = settings
        self._projection = projection
        self._live = live
        self._beside = beside
        self._say = say
        self._near = near
        self._say_every = say_every

    async def catch_up(self) -> None:
        """Replay until the new tables are close behind the live ones."""
        await self._projection.prepare(self._beside)
        name = self._projection.name
        while True:
            target, reached = await offsets(self._live, name), await offsets(self._beside, name)
            if _distance(reached, target) <= self._near:
                return
            progress = _Progress(reached, target, self._say, self._say_every)
            await replay(self._settings, self._beside, self._projection, target, progress.moved)

    async def verify(self) -> bool:
        """Whether the new rows are the live ones at the same offsets. Neither side waits for that."""
        async with self._live.acquire() as live, live.transaction(isolation="repeatable_read", readonly=True):
            # The snapshot is taken by its first query: rows and offsets in it belong together.
            target = await offsets(live, self._projection.name)
            await replay(self._settings, self._beside, self._projection, target)
            now, same = datetime.now(UTC), True
            async with self._beside.acquire() as beside, beside.transaction():
                for table in self._projection.tables:
                    found = await compare(live, beside, table, now)
                    if found.same:
                        self._say(f"verified {table.name}: {found.live:,} rows are the same")
                        continue
                    same = False
                    self._say(f"{table.name} differs: {found.live:,} live rows, {found.beside:,} new rows")
                    for line in found.differing:
                        self._say(f"  {line}")
        return same

    async def swap(self) -> None:
        """Let the new tables take the place of the live ones, at the offsets of the live ones."""
        for attempt in range(1, SWAP_ATTEMPTS + 1):
            try:
                await self._swap()
            except (TimeoutError, asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                self._say(f"swapping has to wait ({type(error).__name__}), attempt {attempt} of {SWAP_ATTEMPTS}")
                await self.catch_up()
                await asyncio.sleep(attempt)
            else:
                self._say(f"swapped: {', '.join(table.name for table in self._projection.tables)}")
                return
        raise RebuildFailed("the tables are in use all the time; run it again to try once more")

    async def _swap(self) -> None:
        projection, schema = self._projection, self._projection.rebuild_schema
        async with self._live.acquire() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            # From here on the live projection waits, before it has written anything.
            await connection.execute(
                "SELECT FROM projection_offsets WHERE projection = $1 ORDER BY topic, partition FOR UPDATE",
                projection.name,
            )
            async with asyncio.timeout(SWAP_REPLAY):
                await replay(self._settings, self._beside, projection, await offsets(connection, projection.name))
            place = await connection.fetchval("SELECT quote_ident(current_schema())")
            names = ", ".join(table.name for table in projection.tables)
            await connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
            await connection.execute(f"DROP TABLE {names}")
            for table in projection.tables:
                for name in await _with_partitions(connection, f"{schema}.{table.name}"):
                    await connection.execute(f"ALTER TABLE {name} SET SCHEMA {place}")
            await connection.execute(f"DROP SCHEMA {schema} CASCADE")
            # What the projection holds was meant for the old tables: it finds another owner, and reads it again.
            await connection.execute(
                "UPDATE projection_offsets SET owner = gen_random_uuid() WHERE projection = $1", projection.name
            )
            await projection.announce(connection)
            await connection.execute("SELECT pg_notify($1, '')", channel(projection.name))


async def _with_partitions(connection: Connection, table: str) -> list[str]:
    rows = await connection.fetch(
        """
        SELECT quote_ident(nspname) || '.' || quote_ident(relname) AS name
        FROM pg_partition_tree($1::text::regclass) AS part
        JOIN pg_class ON pg_class.oid = part.relid JOIN pg_namespace ON pg_namespace.oid = relnamespace
        UNION SELECT $1
        """,
        table,
    )
    return [row["name"] for row in rows]


class _Progress:
    """Says now and then how far a replay is, and when it will be done."""

    def __init__(self, reached: Offsets, target: Offsets, say: Say, every: float) -> None:
        self._reached = dict(reached)
        self._target = target
        self._say = say
        self._every = every
        self._clock = asyncio.get_running_loop().time
        self._began = self._said = self._clock()
        self._at_first = _distance(reached, target)

    def moved(self, reached: Offsets) -> None:
        """The replay has come this far."""
        self._reached.update(reached)
        now, left = self._clock(), _distance(self._reached, self._target)
        if now - self._said < self._every and left:
            return
        self._said = now
        total = sum(self._target.values())
        rate = (self._at_first - left) / max(now - self._began, 0.001)
        estimate = f", about {left / rate:,.0f} s left" if rate and left else ""
        percent = 100 * (total - left) / total if total else 100
        self._say(f"replayed {percent:.0f} %: {total - left:,} of {total:,} records, {rate:,.0f} a second{estimate}")


def _distance(reached: Offsets, target: Offsets) -> int:
    return sum(max(0, end - reached.get(place, 0)) for place, end in target.items())


def _fingerprint(projection: Projection) -> str:
    """A digest of the code that folds: what one version has begun another must not go on with."""
    digest = hashlib.sha256()
    for package in (projection.package, *FOLDING_PACKAGES):
        for source in sorted(Path(str(import_module(package).__file__)).parent.rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()


async def _prepare_schema(settings: RebuildSettings, live: asyncpg.Pool, projection: Projection, say: Say) -> None:
    """Make the schema with the new tables, or keep that of a rebuild that was stopped, if the same code began it."""
    schema, fingerprint = projection.rebuild_schema, _fingerprint(projection)
    row = await live.fetchrow(
        "SELECT obj_description(oid, 'pg_namespace') AS code FROM pg_namespace WHERE nspname = $1", schema
    )
    if row and row["code"] == fingerprint:
        say("going on with the rebuild that was stopped")
        return
    if row:
        say("what another version of the code has begun is thrown away")
    await live.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    await live.execute(f"CREATE SCHEMA {schema}")
    await migrate(settings, projection.package, schema)
    await live.execute(f"COMMENT ON SCHEMA {schema} IS '{fingerprint}'")


@asynccontextmanager
async def alone(live: asyncpg.Pool, key: str) -> AsyncGenerator[None]:
    """One rebuild of a projection at a time, by an advisory lock of the session; `key` tells which. `RebuildFailed`."""
    async with live.acquire() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", key):
            raise RebuildFailed("another rebuild of this is running")
        try:
            yield
        finally:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", key)

"""Builds a read model anew from the log, beside the live one, and puts it in its place in one transaction.

The new tables are those of the same migrations in a schema of their own, written by the same code, so a rebuild that
was stopped goes on where it was. The live projector is held up only while the last few records are replayed and the
tables change places; who reads waits for no longer than that, and then reads the new rows.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import asyncpg
import wabus_events
from wabus_events import Topic
from wabus_runtime.postgres.database import Connection, migrate, migrated_pool, open_pool
from wabus_runtime.postgres.offsets import Offsets, channel, offsets
from wabus_runtime.projection.recorded import Apply, unprepared
from wabus_runtime.projection.replay import replay
from wabus_runtime.settings import DatabaseSettings, KafkaSettings

from wabus_health_projector.health.traffic import COUNTS_KEPT, EARLY_MOST, LATE_MOST, counts_kept_from
from wabus_health_projector.tables import history
from wabus_health_projector.tables.compare import Floors, Table, differences, digest_of
from wabus_health_projector.tables.store import CHANNEL, REBUILD
from wabus_health_projector.worker import partitions, projector

PACKAGE = "wabus_health_projector"
NEAR = 2_000  # records behind the live tables from which the rest is fast
SWAP_REPLAY = 20.0  # seconds that the live projector can be held up
LOCK_TIMEOUT = "2s"  # for readers to let go of the old tables; they queue behind us meanwhile
SWAP_ATTEMPTS = 5

Say = Callable[[str], None]


class RebuildSettings(KafkaSettings, DatabaseSettings):
    pass


class RebuildFailed(Exception):
    """Nothing was swapped. The message says why and what can be done."""


@dataclass(frozen=True, slots=True)
class ReadModel:
    """What can be rebuilt. The tables are in the order in which queries lock them."""

    name: str
    topics: Sequence[Topic]
    folding: Callable[[], Apply]
    tables: Sequence[Table]


MODELS: Mapping[str, ReadModel] = {
    "health": ReadModel(
        projector.NAME,
        projector.TOPICS,
        projector.folding,
        (
            Table("webhook_health", "org_id"),
            Table("waba_health", "waba_id"),
            Table("message_counts", "waba_id, hour, phone_number_id, kind", "hour >= $1 AND $2::date IS NOT NULL"),
            Table("message_failures", "waba_id, hour, phone_number_id, code", "hour >= $1 AND $2::date IS NOT NULL"),
            Table("messaging_errors", "waba_id, hour, phone_number_id, code", "hour >= $1 AND $2::date IS NOT NULL"),
            Table("counted_messages", "event_id, day", "day >= $2 AND $1::timestamptz IS NOT NULL"),
        ),
    ),
    "history": ReadModel(
        history.NAME,
        history.TOPICS,
        lambda: unprepared(history.apply),
        (Table("health_history", "org_id, log_offset"),),
    ),
}


async def rebuild(settings: RebuildSettings, model: ReadModel, say: Say, *, accept_differences: bool = False) -> None:
    """Replay, verify and swap; cancelled at any moment it goes on from there the next time.

    Raises `RebuildFailed`, `KafkaUnavailable` and database errors.
    """
    async with migrated_pool(settings, PACKAGE) as live, _alone(live, model):
        schema = await _prepare(settings, live, model, say)
        beside = await open_pool(settings, schema)
        try:
            run = _Rebuild(settings, model, live, beside, say)
            await run.catch_up()
            if not await run.verify() and not accept_differences:
                raise RebuildFailed(
                    "the new rows differ from the live ones, so nothing was changed. If that is what you want, because "
                    "the code that folds them is another, run it again with --accept-differences"
                )
            await run.swap(schema)
        finally:
            beside.terminate()


async def discard(settings: RebuildSettings, model: ReadModel) -> None:
    """Give up what an unfinished rebuild has built."""
    async with migrated_pool(settings, PACKAGE) as live, _alone(live, model):
        await live.execute(f"DROP SCHEMA IF EXISTS {schema_of(model)} CASCADE")


def schema_of(model: ReadModel) -> str:
    return REBUILD + model.name.replace("-", "_")


class _Rebuild:
    def __init__(
        self, settings: RebuildSettings, model: ReadModel, live: asyncpg.Pool, beside: asyncpg.Pool, say: Say
    ) -> None:
        self._settings = settings
        self._model = model
        self._live = live
        self._beside = beside
        self._say = say

    async def catch_up(self) -> None:
        """Replay until the new tables are close behind the live ones."""
        if self._model.name == projector.NAME:
            today = datetime.now(UTC).date()
            await partitions.make(self._beside, today - COUNTS_KEPT, today + partitions.AHEAD)
        while True:
            target, reached = await offsets(self._live, self._model.name), await self._reached()
            behind = _distance(reached, target)
            if behind <= NEAR:
                return
            progress = Progress(reached, target, asyncio.get_running_loop().time, self._say)
            await self._replay(target, progress.moved)

    async def verify(self) -> bool:
        """Whether the new rows are the live ones at the same offsets. Neither side waits for that."""
        async with self._live.acquire() as live, live.transaction(isolation="repeatable_read", readonly=True):
            # The snapshot is taken by its first query: rows and offsets in it belong together.
            target = await offsets(live, self._model.name)
            await self._replay(target)
            floors = await _floors(live, datetime.now(UTC))
            same = True
            async with self._beside.acquire() as beside, beside.transaction():
                for table in self._model.tables:
                    sides = [await digest_of(side, table, floors) for side in (live, beside)]
                    if sides[0] == sides[1]:
                        self._say(f"verified {table.name}: {sides[0][0]:,} rows are the same")
                        continue
                    same = False
                    self._say(f"{table.name} differs: {sides[0][0]:,} live rows, {sides[1][0]:,} new rows")
                    for line in await differences(live, beside, table, floors):
                        self._say(f"  {line}")
        return same

    async def swap(self, schema: str) -> None:
        """Let the new tables take the place of the live ones, at the offsets of the live ones."""
        for attempt in range(1, SWAP_ATTEMPTS + 1):
            try:
                await self._swap(schema)
            except (TimeoutError, asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                self._say(f"swapping has to wait ({type(error).__name__}), attempt {attempt} of {SWAP_ATTEMPTS}")
                await self.catch_up()
                await asyncio.sleep(attempt)
            else:
                self._say(f"swapped: {', '.join(table.name for table in self._model.tables)}")
                return
        raise RebuildFailed("the tables are in use all the time; run it again to try once more")

    async def _swap(self, schema: str) -> None:
        async with self._live.acquire() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            # From here on the live projector waits, before it has written anything.
            await connection.execute(
                """
                SELECT FROM projection_offsets WHERE projection = $1 ORDER BY topic, partition FOR UPDATE
                """,
                self._model.name,
            )
            async with asyncio.timeout(SWAP_REPLAY):
                await self._replay(await offsets(connection, self._model.name))
            place = await connection.fetchval("SELECT quote_ident(current_schema())")
            names = ", ".join(table.name for table in self._model.tables)
            await connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
            await connection.execute(f"DROP TABLE {names}")
            for table in self._model.tables:
                for name in await _with_partitions(connection, f"{schema}.{table.name}"):
                    await connection.execute(f"ALTER TABLE {name} SET SCHEMA {place}")
            await connection.execute(f"DROP SCHEMA {schema} CASCADE")
            # What the projector has in its hands was meant for the old tables: it finds another owner, and reads again.
            await connection.execute(
                "UPDATE projection_offsets SET owner = gen_random_uuid() WHERE projection = $1", self._model.name
            )
            await connection.execute("SELECT pg_notify($1, org_id) FROM webhook_health", CHANNEL)
            await connection.execute("SELECT pg_notify($1, '')", channel(self._model.name))

    async def _reached(self) -> dict[tuple[str, int], int]:
        return await offsets(self._beside, self._model.name)

    async def _replay(self, until: Offsets, progress: Callable[[Offsets], None] = lambda _: None) -> None:
        await replay(
            self._settings,
            self._beside,
            name=self._model.name,
            topics=self._model.topics,
            apply=self._model.folding(),
            until=until,
            progress=progress,
        )


async def _floors(live: Connection, now: datetime) -> Floors:
    """What a release before this one has counted is remembered in another table, and without the day that it is of."""
    last = await live.fetchval("SELECT max(day) FROM counted_events")
    unclear = last + EARLY_MOST + timedelta(days=1) if last else date.min
    return counts_kept_from(now.date()), max(now.date() - LATE_MOST, unclear)


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


class Progress:
    """Says now and then how far a replay is, and when it will be done."""

    EVERY = 2.0  # seconds

    def __init__(self, reached: Offsets, target: Offsets, clock: Callable[[], float], say: Say) -> None:
        self._reached = dict(reached)
        self._target = target
        self._clock = clock
        self._say = say
        self._began = self._said = clock()
        self._at_first = _distance(reached, target)

    def moved(self, reached: Offsets) -> None:
        """The replay has come this far."""
        self._reached.update(reached)
        now, left = self._clock(), _distance(self._reached, self._target)
        if now - self._said < self.EVERY and left:
            return
        self._said = now
        total = sum(self._target.values())
        rate = (self._at_first - left) / max(now - self._began, 0.001)
        estimate = f", about {left / rate:,.0f} s left" if rate and left else ""
        percent = 100 * (total - left) / total if total else 100
        self._say(f"replayed {percent:.0f} %: {total - left:,} of {total:,} records, {rate:,.0f} a second{estimate}")


def _distance(reached: Offsets, target: Offsets) -> int:
    return sum(max(0, end - reached.get(place, 0)) for place, end in target.items())


def fingerprint() -> str:
    """A digest of the code that folds: what one version has begun another must not go on with."""
    digest = hashlib.sha256()
    for package in (Path(__file__).parent, Path(str(wabus_events.__file__)).parent):
        for source in sorted(package.rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()


async def _prepare(settings: RebuildSettings, live: asyncpg.Pool, model: ReadModel, say: Say) -> str:
    """The schema with the new tables: that of the rebuild that was stopped, if the same code began it."""
    schema = schema_of(model)
    row = await live.fetchrow(
        "SELECT obj_description(oid, 'pg_namespace') AS code FROM pg_namespace WHERE nspname = $1", schema
    )
    if row and row["code"] == fingerprint():
        say("going on with the rebuild that was stopped")
        return schema
    if row:
        say("what another version of the code has begun is thrown away")
    await live.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    await live.execute(f"CREATE SCHEMA {schema}")
    await migrate(settings, PACKAGE, schema)
    await live.execute(f"COMMENT ON SCHEMA {schema} IS '{fingerprint()}'")
    return schema


@asynccontextmanager
async def _alone(live: asyncpg.Pool, model: ReadModel) -> AsyncGenerator[None]:
    """One rebuild of a read model at a time, by an advisory lock of the session."""
    async with live.acquire() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", schema_of(model)):
            raise RebuildFailed("another rebuild of this is running")
        try:
            yield
        finally:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", schema_of(model))

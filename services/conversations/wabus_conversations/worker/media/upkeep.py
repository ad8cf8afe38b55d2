"""Tells what became of media, and deletes from the store what no medium has any more."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from prometheus_client import Gauge
from wabus_events import MediumLost, MediumStored, fact_id
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.observe.liveness import watched

from wabus_conversations.store.objects import MediaStore, StoreUnavailable
from wabus_conversations.tables.media import announcing, objects, wanted

LOOK_EVERY = 2.0  # seconds, where nothing is decided meanwhile
TOLD_AT_ONCE = 500  # events
DELETED_AT_ONCE = 50  # objects
MEASURED_EVERY = 30.0  # seconds
LEASE = timedelta(minutes=5)
DELETE_TIMEOUT = 60.0  # seconds for some of them

LEFTOVERS = Gauge("wabus_media_leftovers", "Places in the store that are to be deleted, or being written.")
WAITING = Gauge("wabus_media_waiting", "Media that are to be fetched.")
OVERDUE = Gauge("wabus_media_overdue_seconds", "How long the medium is due that is due the longest.")
STORE_FAILS = Gauge("wabus_media_store_unavailable", "1 while the store of media does not do what it is asked for.")

log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What it takes. The clock is an argument."""

    pool: asyncpg.Pool
    store: MediaStore
    publisher: Publisher
    decided: asyncio.Event
    now: Callable[[], datetime] = _now

    async def run(self, ready: Callable[[], None]) -> None:
        """For ever, as one of any number of workers."""
        with watched("conversations media upkeep") as beat:
            ready()
            clock = asyncio.get_running_loop().time
            measured = clock() - MEASURED_EVERY
            while True:
                beat()
                self.decided.clear()
                while await self.delete() or await self.tell():
                    beat()
                if clock() >= measured + MEASURED_EVERY:
                    measured = clock()
                    await self.measure()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self.decided.wait()

    async def measure(self) -> None:
        """Set the gauges: counting takes a while where Meta was away for long."""
        LEFTOVERS.set(await objects.leftovers(self.pool))
        number, overdue = await wanted.waiting(self.pool, self.now())
        WAITING.set(number)
        OVERDUE.set(overdue)

    async def tell(self) -> int:
        """Publish what became of some media; how many. What was published and not written down is published again."""
        rows = await announcing.unannounced(self.pool, TOLD_AT_ONCE)
        if rows:
            await self.publisher.publish([event_of(row) for row in rows])
            await announcing.announced(self.pool, rows)
        return len(rows)

    async def delete(self) -> int:
        """Delete some of what is left over in the store; how many. What can't be deleted now is tried again later."""
        places = await objects.take_leftovers(self.pool, DELETED_AT_ONCE, LEASE, self.now())
        gone: list[str] = []
        try:
            async with asyncio.timeout(DELETE_TIMEOUT):
                for place in places:
                    await self.store.delete(place.key)
                    gone.append(place.key)
        except (StoreUnavailable, TimeoutError) as error:
            STORE_FAILS.set(1)
            log.warning("the store deletes nothing", action="media_store_unavailable", error=str(error))
        else:
            if places:
                STORE_FAILS.set(0)
        await objects.deleted(self.pool, gone)
        return len(gone)


def event_of(row: asyncpg.Record) -> MediumStored | MediumLost:
    """What became of a medium, as its row has it. Pure."""
    kind = MediumStored if row["state"] == "stored" else MediumLost
    about = {
        # One that Meta has given another id may be lost, and stored after all.
        "id": fact_id(kind.type, row["media_id"], row["meta_id"]),
        "time": row["at"],
        "at": row["decided_at"],
        **{name: row[name] for name in _SAME},
    }
    if kind is MediumLost:
        return MediumLost.model_validate({**about, "reason": row["reason"]})
    content = {"bytes": row["bytes"], "sha256": row["sha256"].hex(), "type_told": row["type_told"]}
    return MediumStored.model_validate({**about, **content, "type_found": row["type"]})


_SAME = ("org_id", "waba_id", "phone_number_id", "wamid", "contact", "message_id", "media_id", "kind")
"""What is called in the event as in its row."""

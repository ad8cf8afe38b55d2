"""One sync: list a WABA's templates at Meta, compare them with ours, publish what differs in one transaction.

Nothing is written but events, and our tables are made from these. That is a trade: before comparing, a sync has to
wait until the tables hold everything published before it (some milliseconds), and in return a crash at any moment
leaves nothing half done, the tables can be dropped and replayed, and every other team sees what we see. Who may
publish is settled by Kafka: see `worker.py`.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
from prometheus_client import Counter as Metric
from prometheus_client import Histogram
from pydantic import Field
from wabus_events import Record, WabaEvent, encode
from wabus_runtime.graph.client import Graph, GraphSettings
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.outcomes import RecordRefused
from wabus_runtime.postgres.database import DATABASE_AWAY
from wabus_whatsapp.graph_errors import GraphError
from wabus_whatsapp.templates.parse import Counts

from wabus_template_sync.tables.queries import listed_before, template_rows
from wabus_template_sync.templates.comparison import changes
from wabus_template_sync.templates.facts import Sync, failed, progressed, started, synced
from wabus_template_sync.templates.failures import Disconnected, EventRefused, Failure, SyncFailure, TimedOut
from wabus_template_sync.templates.listing import Listing
from wabus_template_sync.worker.access import Access
from wabus_template_sync.worker.pages import template_pages
from wabus_template_sync.worker.partition_publisher import SOURCE
from wabus_template_sync.worker.slots import Slot, back_off_outside

PROGRESS_EVERY = timedelta(seconds=0.3)
UNWATCHED = "reconciliation"  # the reason of syncs that nobody waits for: they write their end alone
QUIET = timedelta(seconds=1)  # a sync that was asked for and is over sooner writes its end alone

SYNCS = Metric("wabus_template_syncs_total", "Syncs that ended.", ["reason", "outcome"])
SYNC_SECONDS = Histogram(
    "wabus_template_sync_seconds", "One sync.", buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
)
DRIFT = Metric("wabus_template_drift_total", "Differences that a reconciliation found and repaired.", ["kind"])

COMPARED_TOGETHER = 50  # templates: some milliseconds, during which nothing else runs

log = structlog.get_logger()

Drift = Counter[str]
"""How many templates were `added`, `changed` and `removed`."""

Publish = Callable[[Sequence[WabaEvent | Record]], Awaitable[object]]
"""Publishes all or nothing; raises where this process may not, or Kafka is away."""
Tell = Callable[[Sequence[WabaEvent]], Awaitable[object]]
"""Publishes what may be lost, beside the transactions."""


class SyncSettings(GraphSettings):
    sync_timeout: float = Field(default=600, gt=0)
    """Seconds for one sync, waiting for rate limits included."""


@dataclass(frozen=True)
class SyncContext:
    """Where a sync runs: what its worker does for it, and what it shares with the others."""

    publish: Publish
    tell: Tell
    catch_up: Callable[[], Awaitable[None]]
    """Returns when the tables hold all that this worker has published about the WABA."""
    catch_up_fully: Callable[[], Awaitable[None]]
    """Returns when the tables hold all that anybody has published about the WABA."""
    comparing: AbstractAsyncContextManager[Any]
    """Nobody else publishes about the WABA's templates inside."""
    listing_slot: Slot
    """Held from here to the end, for a listing takes memory."""
    slots: asyncio.Semaphore
    """Places to call Graph."""


@dataclass(frozen=True)
class Synchroniser:
    """What every sync needs."""

    settings: SyncSettings
    access: Access
    graph: Graph

    async def run(self, sync: Sync, context: SyncContext) -> None:
        """Carry a sync through to its `TemplatesSynced` or `TemplateSyncFailed`.

        Raises what `publish` raises, `RecordRefused` only where Kafka refuses even to hear that the sync failed.
        """
        about = log.bind(waba_id=sync.waba_id, org_id=sync.org_id, sync_id=sync.sync_id, reason=sync.reason)
        started_at = datetime.now(UTC)
        # Kafka takes its time beside the listing; in its order this comes before what the sync will publish. Where the
        # log has a request, that says enough until it is clear that somebody will have to wait.
        announcing = context.publish([started(sync, started_at)] if sync.reason == "connected" else [])
        announced = asyncio.ensure_future(announcing)
        try:
            observed_at, listing = await self._listing_in_time(sync, context, started_at)
            await announced
            async with context.comparing:
                await context.catch_up()
                differing, drift, found = await self._compared(sync, listing, observed_at)
                await self.access.check_owner(sync.waba_id, sync.org_id)
                now = datetime.now(UTC)
                await context.publish(
                    [*differing, synced(sync, drift, found, observed_at=observed_at, finished_at=now)]
                )
        except (SyncFailure, GraphError, RecordRefused) as error:
            if not isinstance(error, RecordRefused):
                await announced
            # A credential may be gone before our tables know that the account is.
            await context.catch_up_fully()
            failure = await self._explained(sync, EventRefused() if isinstance(error, RecordRefused) else error)
            now = datetime.now(UTC)
            if await self.access.is_forgotten(sync.waba_id, sync.asked_at):
                outcome = "forgotten"
            else:
                await context.publish([failed(sync, failure, started_at=started_at, finished_at=now)])
                outcome = failure.code
            about.warning("templates not synced", action="sync_failed", code=outcome)
        else:
            outcome = "synced"
            about.info("templates synced", action="synced", total=found.total, **drift)
            if sync.reason == UNWATCHED:
                for kind, number in drift.items():
                    DRIFT.labels(kind).inc(number)
        finally:
            if not announced.cancel() and not announced.cancelled():
                announced.exception()  # seen, whether or not it was waited for
        SYNCS.labels(sync.reason, outcome).inc()
        SYNC_SECONDS.observe((now - started_at).total_seconds())

    async def _listing_in_time(
        self, sync: Sync, context: SyncContext, started_at: datetime
    ) -> tuple[datetime, Listing]:
        try:
            async with asyncio.timeout(self.settings.sync_timeout):
                await self.access.check_owner(sync.waba_id, sync.org_id)
                return await self._listing(sync, context, started_at)
        except TimeoutError:
            raise TimedOut from None
        except (SyncFailure, GraphError, KafkaUnavailable, *DATABASE_AWAY):
            raise
        except Exception as error:
            # Whatever it is, it would happen again: end this sync rather than all that wait behind it.
            log.exception("a sync broke", action="sync_broke", waba_id=sync.waba_id, sync_id=sync.sync_id)
            raise SyncFailure from error

    async def _listing(self, sync: Sync, context: SyncContext, started_at: datetime) -> tuple[datetime, Listing]:
        """All templates at Meta, and when we began to ask."""
        token = await self.access.token(sync.waba_id, sync.org_id)
        telling = asyncio.ensure_future(asyncio.sleep(0))
        async with Slot(context.slots) as slot:
            rest = partial(back_off_outside, places=(context.listing_slot, slot))
            observed_at = datetime.now(UTC)
            tell_at = observed_at + (PROGRESS_EVERY if sync.reason == "connected" else QUIET)
            begun = [] if sync.reason == "connected" else [started(sync, observed_at)]
            # Read beside the first page: whatever is said of a template from here on counts as later.
            reading = asyncio.ensure_future(listed_before(self.access.pool, sync.waba_id, sync.org_id))
            listing: Listing | None = None
            asked = template_pages(self.graph, self.settings.meta_graph_url, sync.waba_id, token, rest)
            async with aclosing(asked) as pages:
                async for page in pages:
                    if not page.more:
                        slot.leave()  # Graph has answered for the last time
                    listing = listing or Listing(sync.waba_id, await reading)
                    listing.take(page.templates)
                    now = datetime.now(UTC)
                    if page.more and now >= tell_at and telling.done() and sync.reason != UNWATCHED:
                        fetched = len(listing.aspects)
                        expected = page.total or sum(one.present for one in listing.known.values())
                        expected = max(expected, fetched) if expected else None
                        await self.access.check_owner(sync.waba_id, sync.org_id)
                        event = progressed(sync, fetched=fetched, expected=expected, started_at=started_at, at=now)
                        telling = asyncio.ensure_future(_tell_if_possible(context.tell, [*begun, event]))
                        tell_at, begun = now + PROGRESS_EVERY, []
        await telling
        return observed_at, listing or Listing(sync.waba_id, await reading)

    async def _compared(
        self, sync: Sync, listing: Listing, observed_at: datetime
    ) -> tuple[list[Record], Drift, Counts]:
        """What differs, ready to be published: as records, for thousands of events would take much more memory."""
        now = await listed_before(self.access.pool, listing.waba_id, sync.org_id)
        wanted = listing.to_compare(now, observed_at)
        records: list[Record] = []
        drift = Drift(added=0, changed=0, removed=0)
        for first in range(0, len(wanted), COMPARED_TOGETHER):
            some = wanted[first : first + COMPARED_TOGETHER]
            rows = await template_rows(self.access.pool, listing.waba_id, some, sync.org_id)
            differences = listing.differences(some, rows, observed_at)
            about = {**sync.about, "sync_id": sync.sync_id}
            told = changes(differences, rows, observed_at, about, sync.sync_id)
            records += [_small(encode(event, SOURCE)) for event in told]
            drift.update(differences.numbers)
            await asyncio.sleep(0)
        return records, drift, listing.counts(now, observed_at)

    async def _explained(self, sync: Sync, failure: Failure) -> Failure:
        """The failure itself, unless the account is no longer this organisation's: that explains it better."""
        try:
            await self.access.check_owner(sync.waba_id, sync.org_id)
        except Disconnected as gone:
            return gone
        return failure


def _small(record: Record) -> Record:
    """The record without the room that orjson left behind its value."""
    return replace(record, value=bytes(memoryview(record.value)) if record.value else None)


async def _tell_if_possible(tell: Tell, events: Sequence[WabaEvent]) -> None:
    with suppress(KafkaUnavailable, RecordRefused):
        await tell(events)

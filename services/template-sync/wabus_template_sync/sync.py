"""One sync: list a WABA's templates at Meta, compare them with ours, publish what differs in one transaction.

Nothing is written but events, and our tables are made from these. That is a trade: before comparing, a sync has to
wait until the tables hold everything published before it (some milliseconds), and in return a crash at any moment
leaves nothing half done, the tables can be dropped and replayed, and every other team sees what we see. Who may
publish is settled by Kafka: see `worker.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import structlog
from prometheus_client import Counter, Histogram
from pydantic import Field, SecretStr
from wabus_events import Template, WabaEvent
from wabus_runtime.database import DATABASE_AWAY
from wabus_runtime.graph import Graph, GraphSettings
from wabus_runtime.graph_errors import GraphError
from wabus_runtime.kafka import KafkaUnavailable
from wabus_runtime.replica import CredentialReplica
from wabus_runtime.sealing import CannotOpen, Keyring

from wabus_template_sync.facts import Sync, failed, started, succeeded
from wabus_template_sync.failures import (
    CredentialMissing,
    CredentialUnreadable,
    Disconnected,
    Failure,
    SyncFailure,
    TimedOut,
)
from wabus_template_sync.graph import template_pages
from wabus_template_sync.queries import known_templates, owner
from wabus_template_sync.templates import UnreadableTemplate, counts, diff, parse_template

SYNCS = Counter("wabus_template_syncs_total", "Syncs that ended.", ["outcome"])
SYNC_SECONDS = Histogram(
    "wabus_template_sync_seconds", "One sync.", buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
)
UNREADABLE = Counter("wabus_unreadable_templates_total", "Templates listed without an id or a name.")

log = structlog.get_logger()

Publish = Callable[[Sequence[WabaEvent]], Awaitable[None]]
"""Publishes all or nothing; raises where this process may not, or Kafka is away."""

CatchUp = Callable[[], Awaitable[None]]
"""Returns when the tables hold all that has been published about the WABA until now."""


class SyncSettings(GraphSettings):
    sync_timeout: float = Field(default=600, gt=0)
    """Seconds for one sync, waiting for rate limits included."""


@dataclass(frozen=True)
class Synchroniser:
    """What every sync needs."""

    settings: SyncSettings
    pool: asyncpg.Pool
    graph: Graph
    credentials: CredentialReplica
    keyring: Keyring

    async def run(self, sync: Sync, publish: Publish, catch_up: CatchUp) -> None:
        """Carry a sync through to its `TemplatesSynced` or `TemplateSyncFailed`.

        The tables must have caught up with everything published about the WABA. Raises what `publish` and
        `catch_up` raise.
        """
        about = log.bind(waba_id=sync.waba_id, org_id=sync.org_id, sync_id=sync.sync_id, reason=sync.reason)
        started_at = datetime.now(UTC)
        await publish([started(sync, started_at)])
        try:
            observed_at, listed = await self._listing_in_time(sync)
            known = await known_templates(self.pool, sync.waba_id)
            await self._check_owner(sync)
        except (SyncFailure, GraphError) as error:
            # A credential may be gone before our tables know that the account is.
            await catch_up()
            failure = await self._explained(sync, error)
            now = datetime.now(UTC)
            await publish([failed(sync, failure, started_at=started_at, finished_at=now)])
            outcome = failure.code
            about.warning("templates not synced", action="sync_failed", code=failure.code)
        else:
            differences = diff(known.listed, listed, known.told)
            found = counts(listed)
            now = datetime.now(UTC)
            await publish(succeeded(sync, differences, found, observed_at=observed_at, finished_at=now))
            outcome = "synced"
            about.info(
                "templates synced",
                action="synced",
                total=found.total,
                added=len(differences.added),
                changed=len(differences.changed),
                removed=len(differences.removed),
            )
        SYNCS.labels(outcome).inc()
        SYNC_SECONDS.observe((now - started_at).total_seconds())

    async def _listing_in_time(self, sync: Sync) -> tuple[datetime, list[Template]]:
        try:
            async with asyncio.timeout(self.settings.sync_timeout):
                return await self._listing(sync)
        except TimeoutError:
            raise TimedOut from None
        except (SyncFailure, GraphError, KafkaUnavailable, *DATABASE_AWAY):
            raise
        except Exception as error:
            # Whatever it is, it would happen again: end this sync rather than all that wait behind it.
            log.exception("a sync broke", action="sync_broke", waba_id=sync.waba_id, sync_id=sync.sync_id)
            raise SyncFailure from error

    async def _explained(self, sync: Sync, failure: Failure) -> Failure:
        """The failure itself, unless the account is no longer this organisation's: that explains it better."""
        try:
            await self._check_owner(sync)
        except Disconnected as gone:
            return gone
        return failure

    async def _check_owner(self, sync: Sync) -> None:
        if await owner(self.pool, sync.waba_id) != sync.org_id:
            raise Disconnected

    async def _listing(self, sync: Sync) -> tuple[datetime, list[Template]]:
        """All templates at Meta, and when we began to ask."""
        await self._check_owner(sync)
        token = await self._token(sync)
        observed_at = datetime.now(UTC)
        listed: dict[str, Template] = {}
        async for page, _ in template_pages(self.graph, self.settings.meta_graph_url, sync.waba_id, token):
            for raw in page:
                try:
                    template = parse_template(raw)
                except UnreadableTemplate as error:
                    UNREADABLE.inc()
                    log.warning(
                        "unreadable template", action="template_skipped", waba_id=sync.waba_id, reason=str(error)
                    )
                else:
                    listed[template.template_id] = template
        return observed_at, list(listed.values())

    async def _token(self, sync: Sync) -> SecretStr:
        """The organisation's token for the WABA, no older than the event that led to this sync."""
        await self.credentials.refresh()
        credential = self.credentials.credential(sync.waba_id)
        if credential is None or credential.org_id != sync.org_id:
            raise CredentialMissing
        try:
            return self.keyring.open(credential)
        except CannotOpen:
            raise CredentialUnreadable from None

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

import aiohttp
import asyncpg
import structlog
from prometheus_client import Counter, Histogram
from pydantic import Field, SecretStr
from wabus_events import CredentialStored, Template, WabaEvent
from wabus_runtime.database import DATABASE_AWAY
from wabus_runtime.replica import CredentialReplica
from wabus_runtime.sealing import CannotOpen, Keyring

from wabus_template_sync.facts import Sync, failed, started, succeeded
from wabus_template_sync.failures import (
    CredentialMissing,
    CredentialUnreadable,
    Disconnected,
    SyncFailure,
    TimedOut,
    TokenExpired,
)
from wabus_template_sync.graph import GraphSettings, template_pages
from wabus_template_sync.queries import known_templates, owner
from wabus_template_sync.templates import UnreadableTemplate, counts, diff, parse_template

CREDENTIAL_WAIT = 5.0  # seconds; it comes by another topic than the event that it belongs to
NEWER_CREDENTIAL_WAIT = 2.0  # seconds to hope for the one stored with a connect, when there is an older one
CREDENTIAL_POLL = 0.05  # seconds

SYNCS = Counter("wabus_template_syncs_total", "Syncs that ended.", ["outcome"])
SYNC_SECONDS = Histogram(
    "wabus_template_sync_seconds", "One sync.", buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
)
UNREADABLE = Counter("wabus_unreadable_templates_total", "Templates listed without an id or a name.")

log = structlog.get_logger()

Publish = Callable[[Sequence[WabaEvent]], Awaitable[None]]
"""Publishes all or nothing; raises where this process may not, or Kafka is away."""


class SyncSettings(GraphSettings):
    sync_timeout: float = Field(default=600, gt=0)
    """Seconds for one sync, waiting for rate limits included."""


@dataclass(frozen=True)
class Synchroniser:
    """What every sync needs."""

    settings: SyncSettings
    pool: asyncpg.Pool
    session: aiohttp.ClientSession
    credentials: CredentialReplica
    keyring: Keyring

    async def run(self, sync: Sync, publish: Publish) -> None:
        """Carry a sync through to its `TemplatesSynced` or `TemplateSyncFailed`.

        The tables must have caught up with everything published about the WABA. Raises what `publish` raises.
        """
        about = log.bind(waba_id=sync.waba_id, org_id=sync.org_id, sync_id=sync.sync_id, reason=sync.reason)
        started_at = datetime.now(UTC)
        await publish([started(sync, started_at)])
        try:
            observed_at, listed = await self._listing_in_time(sync)
            known = await known_templates(self.pool, sync.waba_id)
        except SyncFailure as error:
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
        except (SyncFailure, *DATABASE_AWAY):
            raise
        except Exception as error:
            # Whatever it is, it would happen again: end this sync rather than all that wait behind it.
            log.exception("a sync broke", action="sync_broke", waba_id=sync.waba_id, sync_id=sync.sync_id)
            raise SyncFailure from error

    async def _explained(self, sync: Sync, failure: SyncFailure) -> SyncFailure:
        """The failure itself, unless the account is no longer this organisation's: that explains it better."""
        gone = await owner(self.pool, sync.waba_id) != sync.org_id
        return Disconnected() if gone else failure

    async def _listing(self, sync: Sync) -> tuple[datetime, list[Template]]:
        """All templates at Meta, and when we began to ask."""
        if await owner(self.pool, sync.waba_id) != sync.org_id:
            raise Disconnected
        credential = await self._credential(sync)
        try:
            return await self._list_with(sync, self._token(credential))
        except TokenExpired:
            # The organisation may have connected again in the meantime.
            newer = self.credentials.credential(sync.waba_id)
            if newer is None or newer == credential or newer.org_id != sync.org_id:
                raise
            return await self._list_with(sync, self._token(newer))

    async def _list_with(self, sync: Sync, token: SecretStr) -> tuple[datetime, list[Template]]:
        observed_at = datetime.now(UTC)
        listed: dict[str, Template] = {}
        async for page in template_pages(self.session, self.settings, sync.waba_id, token):
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

    async def _credential(self, sync: Sync) -> CredentialStored:
        """The WABA's credential of this organisation, the one stored with a connect where that led here."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            waited = loop.time() - began
            found = self.credentials.credential(sync.waba_id)
            if found is not None and found.org_id == sync.org_id:
                if found.time >= sync.asked_at or sync.reason != "connected" or waited >= NEWER_CREDENTIAL_WAIT:
                    return found
            elif waited >= CREDENTIAL_WAIT:
                raise CredentialMissing
            await asyncio.sleep(CREDENTIAL_POLL)

    def _token(self, credential: CredentialStored) -> SecretStr:
        try:
            return self.keyring.open(credential)
        except CannotOpen:
            raise CredentialUnreadable from None

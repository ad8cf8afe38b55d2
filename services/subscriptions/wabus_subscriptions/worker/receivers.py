"""Who is told by the outbox: subscriptions, and what their attempts lead to."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import structlog
from prometheus_client import Counter
from wabus_events import Event, OrganisationForgotten
from wabus_runtime.outbox.outbox import Attempt, Endpoint, Outbox, Retries
from wabus_runtime.outbox.standard_webhook import secrets_of as given_secrets
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.declaration import Projection
from wabus_whatsapp.forgetting import Lines

from wabus_subscriptions.settings import SubscriptionsWorkerSettings
from wabus_subscriptions.tables import deliveries, subscriptions
from wabus_subscriptions.tables.subscriptions import NAME, OPERATOR, Subscription
from wabus_subscriptions.telling.pausing import Reason, reason_to_pause
from wabus_subscriptions.telling.payload import body_of
from wabus_subscriptions.telling.signing import secrets_of
from wabus_subscriptions.telling.types import TOLD, wants

PACKAGE = "wabus_subscriptions"

ATTEMPTS = Counter("wabus_subscription_webhooks_total", "Attempts to tell a subscriber of an event.", ["outcome"])
PAUSED = Counter("wabus_subscriptions_paused_total", "Subscriptions that are told no more, and why.", ["reason"])

log = structlog.get_logger()


class Receivers:
    """The receivers of one process's outbox."""

    def __init__(self, settings: SubscriptionsWorkerSettings, pool: asyncpg.Pool) -> None:
        self._settings = settings
        self._pool = pool

    async def of(self, connection: Connection, events: Sequence[Event]) -> Sequence[Sequence[str]]:
        """The ids of the active subscriptions that want each event."""
        organisations = sorted({event.org_id for event in events if event.org_id})
        found: dict[str, list[Subscription]] = {}
        for subscription in await subscriptions.told_at_once(connection, organisations):
            found.setdefault(subscription.org_id, []).append(subscription)
        everybody = found.get("", [])
        return [
            [
                subscription.subscription_id
                for subscription in (*(found.get(event.org_id, ()) if event.org_id else ()), *everybody)
                if wants(subscription.types, event)
            ]
            for event in events
        ]

    async def find(self, name: str) -> Endpoint | None:
        """Where a subscription is told now; None while it is paused."""
        subscription = await subscriptions.by_id(self._pool, name)
        if subscription is None:
            return None
        if name == OPERATOR:
            secret = self._settings.subscriptions_secret
            secrets = given_secrets(secret.get_secret_value()) if secret else []
            return Endpoint(subscription.url, secrets, public_only=False) if secrets else None
        secrets = secrets_of(
            self._settings.identity_bytes,
            subscription.subscription_id,
            subscription.generation,
            subscription.rotations,
            datetime.now(UTC),
        )
        public_only = not self._settings.subscriptions_private_addresses
        return Endpoint(subscription.url, secrets, public_only=public_only)

    async def attempted(self, attempt: Attempt) -> None:
        """Write the attempt down; a receiver that is gone is paused."""
        now, name = datetime.now(UTC), attempt.entry.endpoint
        async with self._pool.acquire() as connection, connection.transaction():
            await deliveries.note(connection, attempt, now)
            if attempt.delivered:
                await subscriptions.succeeded(connection, name)
                return
            since = await subscriptions.failed(connection, name, now)
        if reason := reason_to_pause(attempt.status, attempt.error, since, now, last=attempt.next_in is None):
            await pause(self._pool, name, reason)


async def pause(pool: asyncpg.Pool, subscription_id: str, reason: Reason) -> None:
    """Stop telling a subscription, and say so."""
    async with pool.acquire() as connection, connection.transaction():
        paused = await subscriptions.pause(connection, subscription_id, reason, datetime.now(UTC))
    if paused:
        PAUSED.labels(reason).inc()
        log.warning(
            "a subscription is paused", action="subscription_paused", subscription_id=subscription_id, reason=reason
        )


def outbox(settings: SubscriptionsWorkerSettings, pool: asyncpg.Pool, retries: Retries | None = None) -> Outbox:
    """What is told to subscribers."""
    return Outbox(NAME, TOLD, body_of, Receivers(settings, pool), ATTEMPTS, retries or Retries())


def projection(told: Outbox) -> Projection:
    """What lets events wait; who is forgotten is told nothing more, and what there is of them goes bit by bit."""
    return replace(told.projection, package=PACKAGE, erase=_erase)


async def _erase(connection: Connection, lines: Lines) -> None:
    """Only what must be so at once: see `clearing` for the rest, which may be much."""
    for org_id in await subscriptions.organisations(connection):
        if (until := lines.of(OrganisationForgotten, org_id)) is not None:
            await subscriptions.end_organisation(connection, org_id, until)

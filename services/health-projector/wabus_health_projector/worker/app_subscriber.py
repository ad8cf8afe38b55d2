"""Our app's own subscription at Meta: looked at for all accounts at once, and given the fields that it lacks.

Whoever takes it on asks, one worker at a time in a deployment; the others know what it found. Fields are added where
the app's callback is ours or there is none; somebody else's is never touched (decision 0018).

Source: Meta, "Subscriptions edge" (Graph API webhooks): what is posted takes the place of the object's subscription.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from prometheus_client import Gauge
from wabus_runtime.graph.client import Graph, GraphSettings
from wabus_runtime.postgres.database import DATABASE_AWAY
from wabus_runtime.settings import DatabaseSettings
from wabus_whatsapp.graph_errors import BadRequest, GraphError
from wabus_whatsapp.webhook_fields import FIELDS, OBJECT, USES, Subscription, subscription_in

from wabus_health_projector.health.check import Tries, to_subscribe
from wabus_health_projector.tables import app_subscription

LOOK_TIMEOUT = 30.0  # seconds; half of what a check may take
POSTS_MOST = 24  # at one look, where Meta refuses some of the fields; the others wait for the next
CALLBACK_REFUSED = 2200  # Graph's code: Meta could not shake hands with the callback

MISSING = Gauge("wabus_app_fields_missing", "Webhook fields of which nothing reaches us, by how bad that is.", ["kind"])
for use in USES:
    MISSING.labels(use.severity)

log = structlog.get_logger()


class AppSubscriberSettings(DatabaseSettings, GraphSettings):
    health_subscribe_fields: bool = True
    """Whether the app is subscribed to webhook fields that it lacks; otherwise they are only named."""


class AppSubscriber:
    """Looks at the subscription, one look at a time in this process."""

    def __init__(self, settings: AppSubscriberSettings, pool: asyncpg.Pool, graph: Graph) -> None:
        self._settings = settings
        self._pool = pool
        self._graph = graph
        self._callback = f"{settings.public_url}/webhooks/whatsapp"
        self._looking = asyncio.Lock()

    async def look(self, every: timedelta) -> tuple[str, ...] | None:
        """Ask Meta, unless somebody has within this time, and return the fields that are missing; None if unknown.

        What goes wrong is logged, and the last answer stands.
        """
        try:
            async with asyncio.timeout(LOOK_TIMEOUT), self._looking:
                tries = await app_subscription.claim(self._pool, self._settings.meta_app_id, every)
                if tries is not None:
                    await self._ask(tries)
                found = await self.known()
                missing = found.missing(self._callback) if found else None
                _count(missing or ())
                return missing
        except GraphError as error:
            log.info("the app's subscription was not read", action="app_unread", code=error.code)
        except Exception as error:
            known = isinstance(error, (TimeoutError, *DATABASE_AWAY))
            name = type(error).__name__
            log.warning("the app's subscription was not read", action="app_unread", error=name, exc_info=not known)
        return None

    async def known(self) -> Subscription | None:
        """What Meta said of it last; None before it was first asked."""
        return await app_subscription.known(self._pool, self._settings.meta_app_id)

    async def _ask(self, tries: Tries) -> None:
        path = f"{self._settings.meta_app_id}/subscriptions"
        answer, _ = await self._graph.call("GET", path, self._graph.app_token)
        found = subscription_in(answer)
        wanted = to_subscribe(found, tries, self._callback, datetime.now(UTC))
        if self._settings.health_subscribe_fields and wanted:
            # First of all, so that a crash in the middle counts as a try.
            await self._save(found, replace(tries, count=tries.count + 1, at=datetime.now(UTC)))
            found, tries = await self._subscribe(path, found, tries, wanted)
        await self._save(found, tries)
        if missing := found.missing(self._callback):
            host = found.callback_url if found.is_elsewhere(self._callback) else None
            log.warning("webhook fields are missing", action="fields_missing", fields=missing, elsewhere=bool(host))

    async def _subscribe(
        self, path: str, found: Subscription, tries: Tries, wanted: tuple[str, ...]
    ) -> tuple[Subscription, Tries]:
        """Subscribe to all that is wanted, or to as much of it as Meta takes: halves of what it refuses, and so on."""
        refused = [name for name in tries.refused if name not in wanted]
        waiting = deque([wanted])
        failed = False
        for _ in range(POSTS_MOST):
            if not waiting:
                break
            some = waiting.popleft()
            fields = tuple(sorted({*found.fields, *some}))
            try:
                await self._post(path, fields)
            except BadRequest as error:
                if error.graph_code == CALLBACK_REFUSED:
                    failed = True
                    break
                half = len(some) // 2
                waiting.extend([some[:half], some[half:]] if half else [])
                refused += [] if half else some
            except GraphError:
                failed = True
                break
            else:
                found = Subscription(self._callback, fields)
                log.info("subscribed to webhook fields", action="fields_subscribed", fields=some)
        failed = failed or bool(waiting)
        return found, Tries(tries.count + 1 if failed else 0, datetime.now(UTC), tuple(refused))

    async def _post(self, path: str, fields: tuple[str, ...]) -> None:
        subscription = {
            "object": OBJECT,
            "callback_url": self._callback,
            "verify_token": self._settings.meta_verify_token.get_secret_value(),
            "fields": ",".join(fields),
        }
        await self._graph.call("POST", path, self._graph.app_token, subscription)

    async def _save(self, found: Subscription, tries: Tries) -> None:
        await app_subscription.save(self._pool, self._settings.meta_app_id, found, tries)


def _count(missing: Iterable[str]) -> None:
    lacking = Counter(FIELDS[name].severity for name in missing)
    for use in USES:
        MISSING.labels(use.severity).set(lacking[use.severity])

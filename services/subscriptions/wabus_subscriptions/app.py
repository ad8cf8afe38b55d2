"""Subscriptions as a process: what lets events wait and delivers them as worker, what they are managed by as API."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import asyncpg
from aiohttp import web
from wabus_runtime.outbox.outbox import deliver
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.projection.engine import project
from wabus_runtime.service.process import Role, Service, background, build_app

from wabus_subscriptions.api.routes import add_routes
from wabus_subscriptions.api.subscriptions import SubscriptionsApi
from wabus_subscriptions.settings import (
    SubscriptionsApiSettings,
    SubscriptionsSettings,
    SubscriptionsWorkerSettings,
)
from wabus_subscriptions.tables import subscriptions
from wabus_subscriptions.worker import catching_up, clearing, upkeep
from wabus_subscriptions.worker.receivers import PACKAGE, outbox, projection

POOL: web.AppKey[asyncpg.Pool] = web.AppKey("subscriptions_pool", asyncpg.Pool)


def install(app: web.Application, settings: SubscriptionsApiSettings | SubscriptionsWorkerSettings, role: Role) -> None:
    """Add what the role needs to an application."""

    async def pool(_app: web.Application) -> AsyncIterator[None]:
        async with migrated_pool(settings, PACKAGE) as opened:
            app[POOL] = opened
            yield

    app.cleanup_ctx.append(pool)
    if isinstance(settings, SubscriptionsApiSettings) and role != "worker":
        add_routes(app, SubscriptionsApi(lambda: app[POOL], settings))
    if isinstance(settings, SubscriptionsWorkerSettings) and role != "api":
        _install_worker(app, settings)


def _install_worker(app: web.Application, settings: SubscriptionsWorkerSettings) -> None:
    async def let_wait(ready: Callable[[], None]) -> None:
        url, types = settings.subscriptions_url, settings.subscriptions_types
        await subscriptions.set_operator(app[POOL], url, types, datetime.now(UTC))
        await project(settings, app[POOL], projection(outbox(settings, app[POOL])), ready)

    async def tell(ready: Callable[[], None]) -> None:
        await deliver(settings, app[POOL], outbox(settings, app[POOL]), ready)

    async def catch_up(ready: Callable[[], None]) -> None:
        await catching_up.run(settings, app[POOL], outbox(settings, app[POOL]), ready)

    async def keep_up(ready: Callable[[], None]) -> None:
        await upkeep.run(app[POOL], ready)

    async def clear(ready: Callable[[], None]) -> None:
        await clearing.run(settings, app[POOL], ready)

    background(app, subscriptions.NAME, let_wait)
    background(app, "subscriptions-delivery", tell)
    background(app, "subscriptions-catching-up", catch_up)
    background(app, "subscriptions-upkeep", keep_up)
    background(app, "subscriptions-clearing", clear)


service = Service(
    "subscriptions",
    {
        "api": SubscriptionsApiSettings,
        "worker": SubscriptionsWorkerSettings,
        "all": SubscriptionsSettings,
    },
    install,
)


def create_app(settings: SubscriptionsSettings, role: Role = "all") -> web.Application:
    """Subscriptions alone."""
    return build_app([(service, settings)], role)

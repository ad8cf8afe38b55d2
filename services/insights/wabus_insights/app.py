"""Insights as a process: what counts and reads Meta's own counts as worker, what is asked about them as API."""

from collections.abc import AsyncIterator, Callable

import asyncpg
from aiohttp import web
from wabus_runtime.directory.directory import Directory
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.service.process import Role, Service, background, build_app

from wabus_insights.api.routes import add_routes
from wabus_insights.settings import InsightsApiSettings, InsightsSettings, InsightsWorkerSettings
from wabus_insights.worker import projector
from wabus_insights.worker.costs import upkeep as costs_upkeep

POOL: web.AppKey[asyncpg.Pool] = web.AppKey("insights_pool", asyncpg.Pool)


def install(app: web.Application, settings: InsightsApiSettings | InsightsWorkerSettings, role: Role) -> None:
    """Add what the role needs to an application."""

    async def pool(_app: web.Application) -> AsyncIterator[None]:
        async with migrated_pool(settings, projector.PACKAGE) as opened:
            app[POOL] = opened
            yield

    app.cleanup_ctx.append(pool)
    if isinstance(settings, InsightsApiSettings) and role != "worker":
        _install_api(app, settings)
    if isinstance(settings, InsightsWorkerSettings) and role != "api":
        _install_worker(app, settings)


def _install_api(app: web.Application, settings: InsightsApiSettings) -> None:
    directory = Directory(settings)
    background(app, "insights-api-accounts", directory.run)
    add_routes(app, lambda: app[POOL], directory)


def _install_worker(app: web.Application, settings: InsightsWorkerSettings) -> None:
    directory = Directory(settings)

    async def fold(ready: Callable[[], None]) -> None:
        await projector.run(settings, app[POOL], directory, ready)

    async def keep_costs(ready: Callable[[], None]) -> None:
        await costs_upkeep.run(app[POOL], ready)

    background(app, "insights-accounts", directory.run)
    background(app, "insights-costs-upkeep", keep_costs)
    background(app, projector.NAME, fold)


service = Service(
    "insights",
    {"api": InsightsApiSettings, "worker": InsightsWorkerSettings, "all": InsightsSettings},
    install,
)


def create_app(settings: InsightsSettings, role: Role = "all") -> web.Application:
    """Insights alone."""
    return build_app([(service, settings)], role)

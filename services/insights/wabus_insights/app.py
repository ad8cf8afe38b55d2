"""Insights as a process: what counts and reads Meta's own counts as worker, what is asked about them as API."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import asyncpg
from aiohttp import web
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.directory.directory import Directory
from wabus_runtime.graph.client import Graph
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.postgres.offsets import channel
from wabus_runtime.postgres.read_replica import Reads
from wabus_runtime.service.process import Role, Service, background, build_app
from wabus_whatsapp.ids import Ids

from wabus_insights.api.experiments import routes as experiments
from wabus_insights.api.experiments.experimenting import ExperimentsApi
from wabus_insights.api.performance import routes as performance
from wabus_insights.api.performance.enabling import EnablingApi
from wabus_insights.api.planning import routes as planning
from wabus_insights.api.planning.advice import AdviceApi
from wabus_insights.api.planning.budgets import BudgetsApi
from wabus_insights.api.planning.costs import PlannedCostsApi
from wabus_insights.api.routes import add_routes
from wabus_insights.settings import InsightsApiSettings, InsightsSettings, InsightsWorkerSettings
from wabus_insights.worker import projector
from wabus_insights.worker.costs import upkeep as costs_upkeep
from wabus_insights.worker.experiments import looking
from wabus_insights.worker.performance import upkeep
from wabus_insights.worker.performance.asking import Asking
from wabus_insights.worker.planning.advising import Advising
from wabus_insights.worker.planning.reading import Reading
from wabus_insights.worker.planning.watching import Watching

SOURCE = "/wabus/insights"
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
        _install_planning_api(app, settings)
        _install_experiments_api(app, settings)
    if isinstance(settings, InsightsWorkerSettings) and role != "api":
        directory = Directory(settings)
        _install_worker(app, settings, directory)
        _install_planning_worker(app, settings, directory)
        _install_experiments_worker(app, settings)


def _install_planning_api(app: web.Application, settings: InsightsApiSettings) -> None:
    publisher = Publisher(settings, SOURCE)
    pseudonyms = Pseudonyms(settings, publisher)

    def pool() -> asyncpg.Pool:
        return app[POOL]

    async def publishing(_app: web.Application) -> AsyncIterator[None]:
        await publisher.start()
        yield
        await publisher.stop()

    app.cleanup_ctx.append(publishing)
    background(app, "insights-names", pseudonyms.run)
    planning.add_routes(
        app,
        BudgetsApi(pool, publisher, pseudonyms, projector.NAME),
        PlannedCostsApi(pool),
        AdviceApi(pool, publisher, pseudonyms, projector.NAME),
    )
    performance.add_enabling(app, EnablingApi(pool, publisher, pseudonyms))


@dataclass(frozen=True)
class _Planning:
    """What reads Meta's own account and counts, looks at budgets, and works advice out."""

    reading: Reading
    asking: Asking
    watching: Watching
    advising: Advising


PLANNING: web.AppKey[_Planning] = web.AppKey("insights_planning", _Planning)


def _install_planning_worker(app: web.Application, settings: InsightsWorkerSettings, directory: Directory) -> None:
    credentials, keyring = CredentialCache(settings), Keyring(settings)

    async def parts(app: web.Application) -> AsyncIterator[None]:
        publisher = Publisher(settings, SOURCE)
        await publisher.start()
        # Work that is due can wait for a rate limit by itself, and leave its place to another.
        patient = settings.model_copy(update={"graph_rate_limit_wait": 0.0})
        async with Graph(patient) as graph:
            app[PLANNING] = _Planning(
                Reading(app[POOL], graph, credentials, keyring, publisher),
                Asking(app[POOL], graph, settings.meta_graph_url, credentials, keyring, publisher, directory),
                Watching(settings, app[POOL], publisher, projector.NAME, projector.TOPICS),
                Advising(app[POOL]),
            )
            yield
        await publisher.stop()

    async def read(ready: Callable[[], None]) -> None:
        await app[PLANNING].reading.run(ready)

    async def ask(ready: Callable[[], None]) -> None:
        await app[PLANNING].asking.run(ready)

    async def watch(ready: Callable[[], None]) -> None:
        await app[PLANNING].watching.run(ready)

    async def advise(ready: Callable[[], None]) -> None:
        await app[PLANNING].advising.run(ready)

    app.cleanup_ctx.append(parts)
    background(app, "insights-credentials", credentials.run)
    background(app, "insights-pricing", read)
    background(app, "insights-of-templates", ask)
    background(app, "insights-budgets", watch)
    background(app, "insights-advice", advise)


def _install_experiments_api(app: web.Application, settings: InsightsApiSettings) -> None:
    directory, publisher = Directory(settings), Publisher(settings, SOURCE)
    pseudonyms = Pseudonyms(settings, publisher)
    announcements = Announcements(lambda: Reads(app[POOL], None, projector.NAME), channel(projector.NAME))

    async def publishing(_app: web.Application) -> AsyncIterator[None]:
        await publisher.start()
        yield
        await publisher.stop()

    async def close(_app: web.Application) -> None:
        announcements.close()

    app.cleanup_ctx.append(publishing)
    app.on_shutdown.append(close)
    background(app, "insights-experiment-accounts", directory.run)
    background(app, "insights-experiment-announcements", announcements.run)
    background(app, "insights-experiment-names", pseudonyms.run)
    ids = Ids(settings.identity_bytes)
    api = ExperimentsApi(lambda: app[POOL], publisher, pseudonyms, announcements, directory, ids)
    experiments.add_routes(app, api)


def _install_experiments_worker(app: web.Application, settings: InsightsWorkerSettings) -> None:
    publisher = Publisher(settings, SOURCE)

    async def publishing(_app: web.Application) -> AsyncIterator[None]:
        await publisher.start()
        yield
        await publisher.stop()

    async def look(ready: Callable[[], None]) -> None:
        await looking.run(settings, app[POOL], publisher, ready)

    app.cleanup_ctx.append(publishing)
    background(app, "insights-experiments", look)


def _install_api(app: web.Application, settings: InsightsApiSettings) -> None:
    directory = Directory(settings)
    background(app, "insights-api-accounts", directory.run)
    add_routes(app, lambda: app[POOL], directory)


def _install_worker(app: web.Application, settings: InsightsWorkerSettings, directory: Directory) -> None:
    async def fold(ready: Callable[[], None]) -> None:
        await projector.run(settings, app[POOL], directory, ready)

    async def keep_costs(ready: Callable[[], None]) -> None:
        await costs_upkeep.run(app[POOL], ready)

    async def keep_up(ready: Callable[[], None]) -> None:
        await upkeep.run(settings, app[POOL], projector.NAME, projector.REBUILDING, ready)

    background(app, "insights-accounts", directory.run)
    background(app, "insights-costs-upkeep", keep_costs)
    background(app, projector.NAME, fold)
    background(app, "insights-upkeep", keep_up)


service = Service(
    "insights",
    {"api": InsightsApiSettings, "worker": InsightsWorkerSettings, "all": InsightsSettings},
    install,
)


def create_app(settings: InsightsSettings, role: Role = "all") -> web.Application:
    """Insights alone."""
    return build_app([(service, settings)], role)

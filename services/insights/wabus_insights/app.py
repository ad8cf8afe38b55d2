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
from wabus_insights.worker.costs import recounting, summing
from wabus_insights.worker.costs import upkeep as costs_upkeep
from wabus_insights.worker.experiments import looking
from wabus_insights.worker.performance import upkeep
from wabus_insights.worker.performance.asking import Asking
from wabus_insights.worker.planning.advising import Advising
from wabus_insights.worker.planning.counting import Counting
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
    directory, publisher = Directory(settings), Publisher(settings, SOURCE)

    async def publishing(_app: web.Application) -> AsyncIterator[None]:
        await publisher.start()
        yield
        await publisher.stop()

    app.cleanup_ctx.append(publishing)
    background(app, "insights-accounts", directory.run)
    if isinstance(settings, InsightsApiSettings) and role != "worker":
        _install_api(app, settings, directory, publisher)
    if isinstance(settings, InsightsWorkerSettings) and role != "api":
        _install_worker(app, settings, directory, publisher)


def _install_api(
    app: web.Application, settings: InsightsApiSettings, directory: Directory, publisher: Publisher
) -> None:
    pseudonyms = Pseudonyms(settings, publisher)
    announcements = Announcements(lambda: Reads(app[POOL], None, projector.NAME), channel(projector.NAME))

    def pool() -> asyncpg.Pool:
        return app[POOL]

    async def close(_app: web.Application) -> None:
        announcements.close()

    app.on_shutdown.append(close)
    background(app, "insights-names", pseudonyms.run)
    background(app, "insights-announcements", announcements.run)
    add_routes(app, pool, directory, projector.REBUILDING)
    planning.add_routes(
        app,
        BudgetsApi(pool, publisher, pseudonyms, projector.NAME),
        PlannedCostsApi(pool),
        AdviceApi(pool, publisher, pseudonyms, projector.NAME),
    )
    performance.add_enabling(app, EnablingApi(pool, publisher, pseudonyms))
    ids = Ids(settings.identity_bytes)
    experiments.add_routes(app, ExperimentsApi(pool, publisher, pseudonyms, announcements, directory, ids))


@dataclass(frozen=True)
class _OfMeta:
    """What reads Meta's own account and counts."""

    reading: Reading
    asking: Asking


OF_META: web.AppKey[_OfMeta] = web.AppKey("insights_of_meta", _OfMeta)


def _install_worker(
    app: web.Application, settings: InsightsWorkerSettings, directory: Directory, publisher: Publisher
) -> None:
    credentials, keyring = CredentialCache(settings), Keyring(settings)

    async def of_meta(app: web.Application) -> AsyncIterator[None]:
        # Work that is due can wait for a rate limit by itself, and leave its place to another.
        patient = settings.model_copy(update={"graph_rate_limit_wait": 0.0})
        async with Graph(patient) as graph:
            app[OF_META] = _OfMeta(
                Reading(app[POOL], graph, credentials, keyring, publisher),
                Asking(app[POOL], graph, settings.meta_graph_url, credentials, keyring, publisher, directory),
            )
            yield

    async def fold(ready: Callable[[], None]) -> None:
        await projector.run(settings, app[POOL], directory, ready)

    async def keep_costs(ready: Callable[[], None]) -> None:
        await costs_upkeep.run(app[POOL], ready)

    async def sum_up(ready: Callable[[], None]) -> None:
        await summing.run(app[POOL], ready)

    async def count_anew(ready: Callable[[], None]) -> None:
        await recounting.run(app[POOL], ready)

    async def keep_up(ready: Callable[[], None]) -> None:
        await upkeep.run(settings, app[POOL], projector.NAME, projector.REBUILDING, ready)

    async def read(ready: Callable[[], None]) -> None:
        await app[OF_META].reading.run(ready)

    async def ask(ready: Callable[[], None]) -> None:
        await app[OF_META].asking.run(ready)

    async def watch(ready: Callable[[], None]) -> None:
        await Watching(settings, app[POOL], publisher, projector.NAME, projector.TOPICS).run(ready)

    async def advise(ready: Callable[[], None]) -> None:
        await Advising(app[POOL]).run(ready)

    async def count_for_advice(ready: Callable[[], None]) -> None:
        await Counting(settings, app[POOL], projector.NAME, projector.REBUILDING).run(ready)

    async def look(ready: Callable[[], None]) -> None:
        await looking.run(settings, app[POOL], publisher, ready)

    app.cleanup_ctx.append(of_meta)
    background(app, projector.NAME, fold)
    background(app, "insights-credentials", credentials.run)
    background(app, "insights-costs-upkeep", keep_costs)
    background(app, "insights-sums", sum_up)
    background(app, "insights-costs-anew", count_anew)
    background(app, "insights-upkeep", keep_up)
    background(app, "insights-pricing", read)
    background(app, "insights-of-templates", ask)
    background(app, "insights-budgets", watch)
    background(app, "insights-advice", advise)
    background(app, "insights-advice-counting", count_for_advice)
    background(app, "insights-experiments", look)


service = Service(
    "insights",
    {"api": InsightsApiSettings, "worker": InsightsWorkerSettings, "all": InsightsSettings},
    install,
)


def create_app(settings: InsightsSettings, role: Role = "all") -> web.Application:
    """Insights alone."""
    return build_app([(service, settings)], role)

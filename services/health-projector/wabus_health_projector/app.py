"""The health-projector as a process: the projection as worker, its read endpoints as API."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import asyncpg
from aiohttp import web
from pydantic import Field
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.graph.client import Graph
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.outbox.outbox import deliver
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.postgres.read_replica import Reads, reads
from wabus_runtime.projection.engine import project as run_projection
from wabus_runtime.service.process import Role, Service, background, build_app
from wabus_runtime.settings import (
    AuthSettings,
    DatabaseSettings,
    HttpSettings,
    IdentitySettings,
    PublicSettings,
    ReconcileSettings,
)

from wabus_health_projector.api.health import Api
from wabus_health_projector.api.live import Live
from wabus_health_projector.api.stream import Streams
from wabus_health_projector.tables import history
from wabus_health_projector.tables.store import CHANNEL
from wabus_health_projector.worker import partitions, projector
from wabus_health_projector.worker.alerts import AlertSettings, alerts
from wabus_health_projector.worker.checker import SOURCE, Checker, CheckerSettings
from wabus_health_projector.worker.evaluator import Evaluator, EvaluatorSettings
from wabus_health_projector.worker.lag import Lag


class HealthApiSettings(
    ReconcileSettings, IdentitySettings, DatabaseSettings, PublicSettings, HttpSettings, AuthSettings
):
    """What answering takes; nothing that opens a token or speaks to Meta."""

    health_streams_per_org: int = Field(default=20, ge=1)
    """Live streams that an organisation can have open at a time, in one process."""


class HealthWorkerSettings(EvaluatorSettings, AlertSettings, CheckerSettings, IdentitySettings, HttpSettings):
    """What folding, checking and alerting take."""


class HealthProjectorSettings(HealthApiSettings, HealthWorkerSettings):
    """Everything that the health-projector can be told."""


POOL: web.AppKey[asyncpg.Pool] = web.AppKey("health_projector_pool", asyncpg.Pool)
READS: web.AppKey[Reads] = web.AppKey("health_projector_reads", Reads)


def install(app: web.Application, settings: HealthApiSettings | HealthWorkerSettings, role: Role) -> None:
    async def pool(_app: web.Application) -> AsyncIterator[None]:
        async with migrated_pool(settings, "wabus_health_projector") as opened:
            app[POOL] = opened
            yield

    app.cleanup_ctx.append(pool)
    lag = Lag(settings)
    background(app, "health-projector-lag", lag.run)
    if isinstance(settings, HealthWorkerSettings) and role != "api":
        _install_worker(app, settings, lag)
    if isinstance(settings, HealthApiSettings) and role != "worker":
        _install_api(app, settings, lag)


def _install_worker(app: web.Application, settings: HealthWorkerSettings, lag: Lag) -> None:
    async def project(ready: Callable[[], None]) -> None:
        await projector.run(settings, app[POOL], ready)

    async def remember(ready: Callable[[], None]) -> None:
        await history.run(settings, app[POOL], ready)

    async def evaluate(ready: Callable[[], None]) -> None:
        await Evaluator(settings, app[POOL], lag).run(ready)

    async def keep_partitions(ready: Callable[[], None]) -> None:
        await partitions.run(app[POOL], lag, ready)

    background(app, projector.NAME, project)
    background(app, "health-partitions", keep_partitions)
    background(app, history.NAME, remember)
    background(app, "health-evaluator", evaluate)
    if outbox := alerts(settings):

        async def enqueue(ready: Callable[[], None]) -> None:
            await run_projection(settings, app[POOL], outbox.projection, ready)

        async def alert(ready: Callable[[], None]) -> None:
            await deliver(settings, app[POOL], outbox, ready)

        background(app, outbox.name, enqueue)
        background(app, f"{outbox.name}-delivery", alert)

    credentials = CredentialCache(settings)
    # A check that meets a rate limit gives its place to another account, and comes again later.
    patience = settings.model_copy(update={"graph_rate_limit_wait": 0})

    async def check(ready: Callable[[], None]) -> None:
        async with Graph(patience) as graph:
            await Checker(settings, app[POOL], graph, credentials).run(ready)

    background(app, "health-credentials", credentials.run)
    background(app, "health-checks", check)


def _install_api(app: web.Application, settings: HealthApiSettings, lag: Lag) -> None:
    async def open_reads(_app: web.Application) -> AsyncIterator[None]:
        async with reads(settings, app[POOL], projector.NAME) as opened:
            app[READS] = opened
            yield

    async def compare(ready: Callable[[], None]) -> None:
        await app[READS].run(ready)

    app.cleanup_ctx.append(open_reads)
    background(app, "health-reads", compare)
    announcements = Announcements(lambda: app[READS], CHANNEL)
    background(app, "health-announcements", announcements.run)
    publisher = Publisher(settings, SOURCE)

    async def publishing(_app: web.Application) -> AsyncIterator[None]:
        await publisher.start()
        yield
        await publisher.stop()

    app.cleanup_ctx.append(publishing)
    reconcile_every = timedelta(seconds=settings.reconcile_interval)
    pseudonyms = Pseudonyms(settings, publisher)
    background(app, "health-names", pseudonyms.run)
    Api(lambda: app[READS], lag, announcements, publisher, pseudonyms, reconcile_every).install(app)
    live = Live(lambda: app[READS], lag, announcements, reconcile_every)
    app.router.add_get(
        "/webhook/health/stream", Streams(live, settings.health_streams_per_org).stream, allow_head=False
    )

    async def close(_app: web.Application) -> None:
        announcements.close()

    app.on_shutdown.append(close)


service = Service(
    "health-projector",
    {"api": HealthApiSettings, "worker": HealthWorkerSettings, "all": HealthProjectorSettings},
    install,
)


def create_app(settings: HealthProjectorSettings, role: Role = "all") -> web.Application:
    """The health-projector alone."""
    return build_app([(service, settings)], role)

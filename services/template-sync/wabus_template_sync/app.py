"""The process: template-sync's settings, its routes, and the loops that keep the templates in step."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from weakref import WeakValueDictionary

import asyncpg
from aiohttp import web
from pydantic import Field
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.http.streams import OpenStreams
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.postgres.offsets import ProjectionOffsets, channel
from wabus_runtime.postgres.read_replica import reads
from wabus_runtime.projection.engine import project
from wabus_runtime.service.process import Role, Service, background, build_app
from wabus_runtime.settings import (
    AuthSettings,
    CredentialSettings,
    DatabaseSettings,
    HttpSettings,
    IdentitySettings,
    PublicSettings,
    ReconcileSettings,
)

from wabus_template_sync.api.routes import add_routes
from wabus_template_sync.api.sync_stream import STREAMS_PER_ORG
from wabus_template_sync.api.syncs import SyncApi
from wabus_template_sync.api.templates import Api
from wabus_template_sync.tables.store import PACKAGE
from wabus_template_sync.worker import projector
from wabus_template_sync.worker.access import Access
from wabus_template_sync.worker.follow import Follower
from wabus_template_sync.worker.partition_publisher import SOURCE
from wabus_template_sync.worker.reconcile import reconcile
from wabus_template_sync.worker.runner import Worker, WorkerSettings
from wabus_template_sync.worker.sync import Synchroniser
from wabus_template_sync.worker.workload import Workload


class TablesSettings(DatabaseSettings):
    database_pool_size: int = Field(default=8, ge=4)
    """Two connections wait most of the time, and the projection must never wait for them."""


class TemplateApiSettings(
    PublicSettings, IdentitySettings, ReconcileSettings, TablesSettings, HttpSettings, AuthSettings
):
    """What answering takes; nothing that opens a token or speaks to Meta."""


class TemplateWorkerSettings(
    WorkerSettings, IdentitySettings, ReconcileSettings, TablesSettings, HttpSettings, CredentialSettings
):
    """What syncing takes."""


class TemplateSyncSettings(TemplateApiSettings, TemplateWorkerSettings):
    """Everything that template-sync can be told."""


@dataclass(frozen=True)
class _Worker:
    publisher: Publisher
    graph: Graph
    tables: ProjectionOffsets


POOL: web.AppKey[asyncpg.Pool] = web.AppKey("template_sync_pool", asyncpg.Pool)
WORKER: web.AppKey[_Worker] = web.AppKey("template_sync_worker", _Worker)
API: web.AppKey[Api] = web.AppKey("template_api", Api)
SYNC_API: web.AppKey[SyncApi] = web.AppKey("template_sync_api", SyncApi)


def install(app: web.Application, settings: TemplateApiSettings | TemplateWorkerSettings, role: Role) -> None:
    """Add what the role needs to an application."""

    async def pool(app: web.Application) -> AsyncIterator[None]:
        async with migrated_pool(settings, PACKAGE) as opened:
            app[POOL] = opened
            yield

    app.cleanup_ctx.append(pool)
    if isinstance(settings, TemplateApiSettings) and role != "worker":
        _install_api(app, settings)
    if isinstance(settings, TemplateWorkerSettings) and role != "api":
        _install_worker(app, settings)


def _install_api(app: web.Application, settings: TemplateApiSettings) -> None:
    announcements = Announcements(lambda: app[API].reads, channel(projector.NAME))
    publisher = Publisher(settings, SOURCE)
    pseudonyms = Pseudonyms(settings, publisher)
    interval = timedelta(seconds=settings.reconcile_interval)

    async def api(app: web.Application) -> AsyncIterator[None]:
        await publisher.start()
        async with reads(settings, app[POOL], projector.NAME) as opened:
            app[API] = Api(opened)
            asking = WeakValueDictionary[str, asyncio.Lock]()
            streams = OpenStreams(STREAMS_PER_ORG)
            app[SYNC_API] = SyncApi(opened, publisher, pseudonyms, announcements, asking, streams, interval)
            yield
        await publisher.stop()

    async def closing(_app: web.Application) -> None:
        announcements.close()

    async def compare(ready: Callable[[], None]) -> None:
        await app[API].reads.run(ready)

    app.cleanup_ctx.append(api)
    app.on_shutdown.append(closing)
    background(app, "template-reads", compare)
    background(app, "template-announcements", announcements.run)
    background(app, "template-names", pseudonyms.run)
    add_routes(app, lambda: app[API], lambda: app[SYNC_API])


def _install_worker(app: web.Application, settings: TemplateWorkerSettings) -> None:
    credentials = CredentialCache(settings)
    keyring = Keyring(settings)
    workload = Workload()

    async def parts(app: web.Application) -> AsyncIterator[None]:
        publisher = Publisher(settings, SOURCE)
        await publisher.start()
        async with Graph(settings) as graph:
            app[WORKER] = _Worker(publisher, graph, ProjectionOffsets(app[POOL], projector.NAME))
            yield
        await publisher.stop()

    async def projection(ready: Callable[[], None]) -> None:
        await project(settings, app[POOL], projector.PROJECTION, ready)

    async def catch_up(ready: Callable[[], None]) -> None:
        await app[WORKER].tables.run(ready)

    async def worker(ready: Callable[[], None]) -> None:
        parts, access = app[WORKER], Access(app[POOL], credentials, keyring, settings.identity_bytes)
        synchroniser, follower = Synchroniser(settings, access, parts.graph), Follower(access, parts.graph)
        await Worker(settings, synchroniser, follower, parts.publisher, parts.tables, workload).run(ready)

    async def reconciliation(ready: Callable[[], None]) -> None:
        await reconcile(settings, app[POOL], app[WORKER].publisher, workload, ready)

    app.cleanup_ctx.append(parts)
    background(app, "template-credentials", credentials.run)
    background(app, projector.NAME, projection)
    background(app, "template-catch-up", catch_up)
    background(app, "template-sync-worker", worker)
    background(app, "template-reconciliation", reconciliation)


service = Service(
    "template-sync",
    {"api": TemplateApiSettings, "worker": TemplateWorkerSettings, "all": TemplateSyncSettings},
    install,
)


def create_app(settings: TemplateSyncSettings, role: Role = "all") -> web.Application:
    """template-sync alone."""
    return build_app([(service, settings)], role)

"""The sender as a process: fold, dispatcher and upkeep as worker, what is asked for and what became of it as API."""

from collections.abc import AsyncIterator, Callable

import asyncpg
from aiohttp import web
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.directory.directory import Directory
from wabus_runtime.directory.prices import Prices
from wabus_runtime.graph.client import Graph
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.postgres.offsets import channel
from wabus_runtime.postgres.read_replica import Reads
from wabus_runtime.projection.ownership import Ownership
from wabus_runtime.service.process import DRAINS, Role, Service, background, build_app

from wabus_sender.api.messages import MessagesApi
from wabus_sender.api.numbers import NumbersApi
from wabus_sender.api.people.blocking import BlockingApi
from wabus_sender.api.people.opting import OptingApi
from wabus_sender.api.policy import PolicyApi
from wabus_sender.api.pricing import Pricing
from wabus_sender.api.queue_bound import QueueBound
from wabus_sender.api.reporting import ReportingApi
from wabus_sender.api.routes import add_routes
from wabus_sender.api.sends import SendsApi
from wabus_sender.api.uploads import UploadsApi
from wabus_sender.settings import SenderApiSettings, SenderSettings, SenderWorkerSettings
from wabus_sender.tables import reading
from wabus_sender.worker import freshness, projector, telling_choices, upkeep
from wabus_sender.worker.calling import Calls
from wabus_sender.worker.dispatcher import Dispatcher
from wabus_sender.worker.telling import SOURCE
from wabus_sender.worker.uploading import Uploading

POOL: web.AppKey[asyncpg.Pool] = web.AppKey("sender_pool", asyncpg.Pool)
CALLS: web.AppKey[Calls] = web.AppKey("sender_calls", Calls)

KEEP_ALIVE = 2.0  # seconds: a connection that Meta closes at the moment of a call makes its answer unknown


def install(app: web.Application, settings: SenderApiSettings | SenderWorkerSettings, role: Role) -> None:
    """Add what the role needs to an application."""

    async def pool(_app: web.Application) -> AsyncIterator[None]:
        async with migrated_pool(settings, projector.PACKAGE) as opened:
            app[POOL] = opened
            yield

    app.cleanup_ctx.append(pool)
    if isinstance(settings, SenderApiSettings) and role != "worker":
        _install_api(app, settings)
    if isinstance(settings, SenderWorkerSettings) and role != "api":
        _install_worker(app, settings)


def _install_api(app: web.Application, settings: SenderApiSettings) -> None:
    publisher = Publisher(settings, SOURCE)
    pseudonyms = Pseudonyms(settings, publisher)
    announcements = Announcements(lambda: Reads(app[POOL], None, projector.NAME), channel(projector.NAME))

    async def api(_app: web.Application) -> AsyncIterator[None]:
        await publisher.start()
        yield
        await publisher.stop()

    async def close(_app: web.Application) -> None:
        announcements.close()

    app.cleanup_ctx.append(api)
    app.on_shutdown.append(close)
    background(app, "sender-announcements", announcements.run)
    background(app, "sender-names", pseudonyms.run)
    bound = QueueBound(
        lambda org_id, most, send_ids: reading.waiting(app[POOL], org_id, most, send_ids), settings.sender_queue_limit
    )
    numbers = NumbersApi(lambda: app[POOL])
    sends = SendsApi(lambda: app[POOL], publisher, pseudonyms, announcements)
    blocking = BlockingApi(lambda: app[POOL], publisher, pseudonyms, announcements)
    opting = OptingApi(lambda: app[POOL], publisher, pseudonyms)
    reporting = ReportingApi(lambda: app[POOL], publisher, pseudonyms)
    uploads = UploadsApi(lambda: app[POOL], announcements)
    directory, prices = Directory(settings), Prices(settings)
    background(app, "sender-api-accounts", directory.run)
    background(app, "sender-prices", prices.run)
    messages = MessagesApi(lambda: app[POOL], publisher, pseudonyms, bound, sends, Pricing(directory, prices))
    add_routes(app, messages, sends, numbers, uploads, reporting, opting, blocking, PolicyApi(lambda: app[POOL]))


def _install_worker(app: web.Application, settings: SenderWorkerSettings) -> None:
    directory, credentials, ownership = Directory(settings), CredentialCache(settings), Ownership()
    keyring = Keyring(settings)
    publisher = Publisher(settings, SOURCE)
    dispatchers: list[Dispatcher] = []

    async def parts(_app: web.Application) -> AsyncIterator[None]:
        await publisher.start()
        async with Graph(settings, connections=settings.sender_calls, keep_alive=KEEP_ALIVE) as graph:
            app[CALLS] = Calls(graph, credentials, keyring)
            yield
        await publisher.stop()

    async def project(ready: Callable[[], None]) -> None:
        await projector.run(settings, app[POOL], directory, ownership, ready)

    async def dispatch(ready: Callable[[], None]) -> None:
        await credentials.whole(projector.DIRECTORY_TIMEOUT)
        if not dispatchers:
            dispatchers.append(
                Dispatcher(
                    settings,
                    app[POOL],
                    ownership,
                    publisher,
                    lambda: app[CALLS],
                    settings.sender_calls,
                    settings.graph_timeout,
                )
            )
        await dispatchers[0].run(ready)

    async def upload(ready: Callable[[], None]) -> None:
        await credentials.whole(projector.DIRECTORY_TIMEOUT)
        await Uploading(app[POOL], lambda: app[CALLS]).run(ready)

    async def tell_choices(ready: Callable[[], None]) -> None:
        await telling_choices.run(app[POOL], publisher, ready)

    async def drain() -> None:
        for dispatcher in dispatchers:
            await dispatcher.drain()

    async def stay_fresh(ready: Callable[[], None]) -> None:
        await freshness.run(settings, app[POOL], ready)

    async def keep_up(ready: Callable[[], None]) -> None:
        await upkeep.run(app[POOL], ready)

    app.cleanup_ctx.append(parts)
    app[DRAINS].append(drain)
    background(app, "sender-accounts", directory.run)
    background(app, "sender-credentials", credentials.run)
    background(app, projector.NAME, project)
    background(app, "sender-dispatcher", dispatch)
    background(app, "sender-uploads", upload)
    background(app, "sender-choices", tell_choices)
    background(app, "sender-freshness", stay_fresh)
    background(app, "sender-upkeep", keep_up)


service = Service(
    "sender",
    {"api": SenderApiSettings, "worker": SenderWorkerSettings, "all": SenderSettings},
    install,
)


def create_app(settings: SenderSettings, role: Role = "all") -> web.Application:
    """The sender alone."""
    return build_app([(service, settings)], role)

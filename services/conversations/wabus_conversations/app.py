"""Conversations as a process: the projection with its upkeep as worker, what answers about it as API."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
from aiohttp import web
from wabus_events import MESSAGES, SENDS
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.directory.directory import Directory
from wabus_runtime.feed.feed import Feed
from wabus_runtime.feed.reader import Source
from wabus_runtime.graph.client import Graph
from wabus_runtime.graph.download import download_session
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.postgres.offsets import channel
from wabus_runtime.postgres.read_replica import Reads, reads
from wabus_runtime.service.process import DRAINS, Role, Service, background, build_app

from wabus_conversations.api import following
from wabus_conversations.api.contacts import SOURCE, ContactsApi
from wabus_conversations.api.conversations import ConversationsApi
from wabus_conversations.api.following import FollowingApi
from wabus_conversations.api.media import MediaApi
from wabus_conversations.api.routes import add_routes
from wabus_conversations.api.work.acting import ActingApi
from wabus_conversations.api.work.looking import LookingApi
from wabus_conversations.api.work.presence import Presence
from wabus_conversations.api.work.settings import SettingsApi
from wabus_conversations.settings import (
    ConversationsApiSettings,
    ConversationsSettings,
    ConversationsWorkerSettings,
)
from wabus_conversations.store.objects import MediaStore
from wabus_conversations.threads.ids import Ids
from wabus_conversations.worker import clearing, projector, upkeep
from wabus_conversations.worker.keeping import Keeping
from wabus_conversations.worker.media.due import Fetching
from wabus_conversations.worker.media.fetching import Fetcher
from wabus_conversations.worker.media.upkeep import Upkeep
from wabus_conversations.worker.work import projector as folding
from wabus_conversations.worker.work.routing import Routing

CREDENTIALS_TIMEOUT = 60.0  # seconds for all accounts' tokens to be read at the start

POOL: web.AppKey[asyncpg.Pool] = web.AppKey("conversations_pool", asyncpg.Pool)
READS: web.AppKey[Reads] = web.AppKey("conversations_reads", Reads)


def install(app: web.Application, settings: ConversationsApiSettings | ConversationsWorkerSettings, role: Role) -> None:
    """Add what the role needs to an application."""

    async def pool(_app: web.Application) -> AsyncIterator[None]:
        async with migrated_pool(settings, projector.PACKAGE) as opened:
            app[POOL] = opened
            yield

    app.cleanup_ctx.append(pool)
    if isinstance(settings, ConversationsApiSettings) and role != "worker":
        _install_api(app, settings)
    if isinstance(settings, ConversationsWorkerSettings) and role != "api":
        _install_worker(app, settings)


def _install_api(app: web.Application, settings: ConversationsApiSettings) -> None:
    announcements = Announcements(lambda: app[READS], channel(projector.NAME))
    publisher = Publisher(settings, SOURCE)
    kept = timedelta(days=settings.conversations_feed_days)
    source = Source(projector.NAME, (MESSAGES.name, SENDS.name), kept, following.frames, lambda: app[READS])
    feed = Feed(source, announcements)
    presence = Presence(lambda: app[READS])
    looking = LookingApi(feed, lambda: app[READS])

    async def api(_app: web.Application) -> AsyncIterator[None]:
        await publisher.start()
        async with reads(settings, app[POOL], projector.NAME) as opened:
            app[READS] = opened
            yield
        await publisher.stop()

    async def compare(ready: Callable[[], None]) -> None:
        await app[READS].run(ready)

    async def close(_app: web.Application) -> None:
        announcements.close()
        feed.close()

    app.cleanup_ctx.append(api)
    app.on_shutdown.append(close)
    background(app, "conversations-reads", compare)
    background(app, "conversations-announcements", announcements.run)
    background(app, "conversations-presence", presence.run)
    background(app, "conversations-looking", looking.run)
    app[DRAINS].append(feed.drain)
    add_routes(
        app,
        ConversationsApi(lambda: app[READS], settings.conversations_search),
        ContactsApi(lambda: app[READS], publisher, announcements),
        FollowingApi(
            feed, lambda: app[READS], presence, settings.conversations_streams_per_org, settings.conversations_streams
        ),
        MediaApi(lambda: app[READS], MediaStore(settings.media_store_url)),
        ActingApi(lambda: app[READS], publisher, announcements),
        SettingsApi(lambda: app[READS], publisher, announcements),
        looking,
    )


@dataclass(frozen=True)
class _Media:
    """What fetches media, and what tells of them and deletes them."""

    fetching: Fetching
    upkeep: Upkeep


MEDIA: web.AppKey[_Media] = web.AppKey("conversations_media", _Media)


ROUTING: web.AppKey[Routing] = web.AppKey("conversations_routing", Routing)


def _install_media(app: web.Application, settings: ConversationsWorkerSettings) -> None:
    credentials, keyring = CredentialCache(settings), Keyring(settings)

    async def parts(app: web.Application) -> AsyncIterator[None]:
        pool, store, decided = app[POOL], MediaStore(settings.media_store_url), asyncio.Event()
        publisher = Publisher(settings, SOURCE)
        await publisher.start()
        # Work that is due can wait for a rate limit by itself, and leave its place to another.
        patient = settings.model_copy(update={"graph_rate_limit_wait": 0.0})
        async with Graph(patient) as graph, download_session(settings.media_fetches) as session:
            url, largest = settings.meta_graph_url, settings.media_max_bytes
            fetcher = Fetcher(graph, url, session, credentials, keyring, store, largest)
            fetching = Fetching(pool, fetcher, settings.media_fetches, decided)
            app[MEDIA] = _Media(fetching, Upkeep(pool, store, publisher, decided))
            yield
        await publisher.stop()

    async def fetch(ready: Callable[[], None]) -> None:
        await credentials.whole(CREDENTIALS_TIMEOUT)
        await app[MEDIA].fetching.run(ready)

    async def keep_up(ready: Callable[[], None]) -> None:
        await app[MEDIA].upkeep.run(ready)

    app.cleanup_ctx.append(parts)
    background(app, "conversations-credentials", credentials.run)
    background(app, "conversations-media", fetch)
    background(app, "conversations-media-upkeep", keep_up)


def _install_routing(app: web.Application, settings: ConversationsWorkerSettings) -> None:
    async def parts(app: web.Application) -> AsyncIterator[None]:
        publisher = Publisher(settings, SOURCE)
        await publisher.start()
        app[ROUTING] = Routing(app[POOL], publisher)
        yield
        await publisher.stop()

    async def give(ready: Callable[[], None]) -> None:
        await app[ROUTING].run(ready)

    async def wake(ready: Callable[[], None]) -> None:
        await app[ROUTING].wake(ready)

    app.cleanup_ctx.append(parts)
    background(app, "conversations-routing", give)
    background(app, "conversations-put-off", wake)


def _install_worker(app: web.Application, settings: ConversationsWorkerSettings) -> None:
    directory = Directory(settings)
    keeping = Keeping(settings.identity_bytes, settings.conversations_retention_days, settings.conversations_feed_days)

    async def project(ready: Callable[[], None]) -> None:
        await projector.run(settings, app[POOL], directory, keeping, ready)

    async def work(ready: Callable[[], None]) -> None:
        await folding.run(settings, app[POOL], ready)

    async def keep_up(ready: Callable[[], None]) -> None:
        await upkeep.run(app[POOL], keeping, ready)

    async def clear(ready: Callable[[], None]) -> None:
        await clearing.run(app[POOL], keeping, Ids(settings.identity_bytes), ready)

    background(app, "conversations-accounts", directory.run)
    background(app, projector.NAME, project)
    background(app, folding.NAME, work)
    background(app, "conversations-upkeep", keep_up)
    background(app, "conversations-clearing", clear)
    _install_media(app, settings)
    _install_routing(app, settings)


service = Service(
    "conversations",
    {
        "api": ConversationsApiSettings,
        "worker": ConversationsWorkerSettings,
        "all": ConversationsSettings,
    },
    install,
)


def create_app(settings: ConversationsSettings, role: Role = "all") -> web.Application:
    """Conversations alone."""
    return build_app([(service, settings)], role)

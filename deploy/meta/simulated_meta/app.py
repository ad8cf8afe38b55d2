"""The simulated Meta as one aiohttp application."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from simulated_meta import control
from simulated_meta.context import META, Meta
from simulated_meta.control.story import answer
from simulated_meta.faults import Faults
from simulated_meta.graph import api, login, media
from simulated_meta.sending.telling import tell_statuses
from simulated_meta.state import Store
from simulated_meta.webhooks.delivery import Sender, Way

HANDSHAKE_DELAY_MAX = 5.0  # seconds between tries to verify the app's own callback


def create_app(store: Store, *, delay_scale: float = 1.0, way: Way | None = None) -> web.Application:
    """Graph under `/v23.0/` (or another version), the dialog under `/v23.0/dialog/oauth`, control under `/_control`."""
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app.cleanup_ctx.append(_meta(store, delay_scale, way or Way()))
    control.add_routes(app)
    login.add_routes(app)
    media.add_routes(app)
    api.add_routes(app)
    return app


def _meta(store: Store, delay_scale: float, way: Way):
    async def context(app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
            sender = Sender(session, delay_scale, way)
            meta = app[META] = Meta(store, sender, session, Faults(), way)
            tasks = [
                asyncio.create_task(store.save_when_changed()),
                asyncio.create_task(_verify_callback(meta)),
                asyncio.create_task(tell_statuses(meta)),
                asyncio.create_task(answer(meta)),
            ]
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await sender.close()
        store.save()

    return context


async def _verify_callback(meta: Meta) -> None:
    """Verify the app's own callback as soon as the gateway answers there, as its owner would in the App Dashboard."""
    delay = 0.1
    while meta.world.callback_url and meta.world.verify_token and not meta.world.callback_verified:
        if await meta.handshake(meta.world.callback_url, meta.world.verify_token) is None:
            meta.world.callback_verified = True
            meta.store.changed()
        else:
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, HANDSHAKE_DELAY_MAX)

"""pywa as a reader of webhooks: types that nobody here wrote."""

from typing import Any

from aiohttp import web
from pywa import handlers
from pywa.client import WhatsApp
from pywa.types.base_update import RawUpdate

NO_WEBHOOK = ("Handler", "RawUpdateHandler", "FlowRequestHandler")


class Reader:
    """A receiver whose webhooks pywa reads: `raw` are all, `typed` those with a type, `bodies` the bytes."""

    def __init__(self, phone_id: str) -> None:
        self.raw: list[RawUpdate] = []
        self.typed: list[Any] = []
        self.bodies: list[bytes] = []
        self._whatsapp = WhatsApp(phone_id=phone_id, token="t", server=None, filter_updates=False)
        self._whatsapp.add_handlers(handlers.RawUpdateHandler(lambda _, update: self.raw.append(update)))
        for name in handlers.__all__:
            if name.endswith("Handler") and name not in NO_WEBHOOK:
                self._whatsapp.add_handlers(getattr(handlers, name)(self._read))

    def _read(self, _whatsapp: WhatsApp, update: Any) -> None:
        self.typed.append(update)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=4 * 1024 * 1024)
        app.router.add_post("/{path:.*}", self._receive)
        return app

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        text, status = self._whatsapp.webhook_update_handler(body)
        return web.Response(text=text, status=status)

"""What the handlers of the simulated Meta share."""

from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from simulated_meta.faults import Faults
from simulated_meta.sending.state import Sending
from simulated_meta.state import Store, World
from simulated_meta.webhooks.delivery import Sender, Way, handshake


@dataclass
class Meta:
    store: Store
    sender: Sender
    session: aiohttp.ClientSession
    faults: Faults
    way: Way
    sending: Sending = field(default_factory=Sending)

    @property
    def world(self) -> World:
        return self.store.world

    async def handshake(self, url: str, verify_token: str) -> str | None:
        """Verify a callback: None when it answered as it must, else what was wrong."""
        return await handshake(self.session, self.way.to(url), verify_token)


META = web.AppKey("meta", Meta)

"""What the handlers of the simulated Meta share."""

from dataclasses import dataclass

import aiohttp
from aiohttp import web

from simulated_meta.faults import Faults
from simulated_meta.state import Store, World
from simulated_meta.webhooks.delivery import Sender


@dataclass
class Meta:
    store: Store
    sender: Sender
    session: aiohttp.ClientSession
    faults: Faults

    @property
    def world(self) -> World:
        return self.store.world


META = web.AppKey("meta", Meta)

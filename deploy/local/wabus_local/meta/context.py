"""What the handlers of the simulated Meta share."""

from dataclasses import dataclass

import aiohttp
from aiohttp import web

from wabus_local.meta.delivery import Sender
from wabus_local.meta.faults import Faults
from wabus_local.meta.state import Store, World


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

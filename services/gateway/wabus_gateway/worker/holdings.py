"""What the gateway holds of organisations and accounts: no tables, only who is connected."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from wabus_runtime.credentials.credential_cache import CredentialCache, following_credentials
from wabus_runtime.graph.client import Graph
from wabus_runtime.identity.holdings import Holdings, NotNow
from wabus_runtime.settings import load

from wabus_gateway.worker.connect import ConnectRefused, ConnectSettings, disconnect

REASON = "forgotten"
"""Why an account was disconnected."""


class Connected:
    """The accounts that are connected; see `Connections`."""

    def __init__(self, settings: ConnectSettings, graph: Graph, credentials: CredentialCache) -> None:
        self._settings = settings
        self._graph = graph
        self._credentials = credentials

    async def end(self, org_id: str, waba_id: str) -> bool:
        try:
            await disconnect(
                self._settings,
                self._graph,
                self._credentials,
                org_id=org_id,
                waba_id=waba_id,
                clock=lambda: datetime.now(UTC),
                reason=REASON,
            )
        except ConnectRefused as refused:
            if refused.code == "not_connected":
                return False
            raise NotNow("somebody is connecting or disconnecting an account just now") from None
        return True


@asynccontextmanager
async def _connections() -> AsyncGenerator[Connected]:
    settings = load(ConnectSettings)
    async with Graph(settings) as graph, following_credentials(settings) as credentials:
        yield Connected(settings, graph, credentials)


HOLDINGS = Holdings(connections=_connections)

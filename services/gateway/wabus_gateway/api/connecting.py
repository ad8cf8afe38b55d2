"""Connecting over HTTP: Embedded Signup, what is connected, disconnecting. The login dialog is `signing_up.py`."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from aiohttp import web
from pydantic import SecretStr
from wabus_events import AccountConnected
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.graph.client import Graph
from wabus_runtime.http import bodies
from wabus_runtime.http.answers import checked, json_response, query_of
from wabus_runtime.http.auth import authorise, count_asked
from wabus_runtime.http.openapi import document
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.settings import AuthSettings

from wabus_gateway.api.meta_requests import MetaRequests, TooOften
from wabus_gateway.api.models import (
    Connected,
    Connection,
    Connections,
    Disconnected,
    EndQuery,
    Signup,
)
from wabus_gateway.api.refusals import refusal
from wabus_gateway.api.signing_up import SigningUp
from wabus_gateway.worker import oauth
from wabus_gateway.worker.connect import (
    ConnectRefused,
    ConnectSettings,
    connect,
    disconnect,
)


class ConnectApiSettings(ConnectSettings, AuthSettings):
    pass


class ConnectApi:
    """The handlers, with a client for Graph, the credentials that the gateway follows, and people's names."""

    def __init__(
        self, settings: ConnectApiSettings, replica: CredentialCache, pseudonyms: Pseudonyms, too_often: TooOften
    ) -> None:
        self._settings = settings
        self._replica = replica
        self._pseudonyms = pseudonyms
        self._too_often = too_often
        self._graph: Graph | None = None

    def install(self, app: web.Application) -> None:
        SigningUp(self._settings, self._replica, self._client_of, self._connect, self._too_often).install(app)
        app.router.add_post("/whatsapp/connect", self.embedded_signup)
        app.router.add_get("/whatsapp/connection", self.connections)
        app.router.add_delete("/whatsapp/connection", self.end)
        document(app)
        MetaRequests(self._settings, self._replica, self._disconnect, self._too_often).install(app)
        app.cleanup_ctx.append(self._client)

    async def embedded_signup(self, request: web.Request) -> web.Response:
        """Embedded Signup's result: the code is exchanged and the account it names is connected."""
        caller = await authorise(request)
        count_asked(request, caller)
        signup = await bodies.json_body(request, Signup)
        try:
            token = await oauth.exchange(self._settings, self._client_of(), signup.code, redirected=False)
            account = await self._connect(
                caller.org_id, signup.waba_id, token, caller.subject or "", phone_number_id=signup.phone_number_id
            )
        except ConnectRefused as refused:
            raise refusal(refused.code, refused.message) from None
        connected = Connected.of(caller.org_id, account)
        return json_response(connected, status=201, headers={"Location": "/whatsapp/connection"})

    async def connections(self, request: web.Request) -> web.Response:
        """The caller's connected accounts; never their tokens."""
        caller = await authorise(request)
        found = [
            Connection(
                waba_id=credential.waba_id,
                connected_at=credential.time,
                token_expires_at=credential.expires_at,
                scopes=credential.scopes,
            )
            for credential in self._replica.of_organisation(caller.org_id)
        ]
        return json_response(Connections(org_id=caller.org_id, connections=found))

    async def end(self, request: web.Request) -> web.Response:
        """Disconnect one account (`waba_id`) or all of the caller's organisation."""
        caller = await authorise(request)
        asked = checked(EndQuery, query_of(request)).waba_id
        await self._replica.refresh()
        owned = [credential.waba_id for credential in self._replica.of_organisation(caller.org_id)]
        ending = owned if asked is None else [asked]
        try:
            if not ending:
                raise ConnectRefused("not_connected", "No WhatsApp account is connected.")
            for waba_id in ending:
                await self._disconnect(caller.org_id, waba_id, "requested")
        except ConnectRefused as refused:
            raise refusal(refused.code, refused.message) from None
        return json_response(Disconnected(disconnected=ending))

    async def _connect(
        self, org_id: str, waba_id: str, token: SecretStr, subject: str, *, phone_number_id: str | None = None
    ) -> AccountConnected:
        return await connect(
            self._settings,
            self._client_of(),
            self._replica,
            org_id=org_id,
            waba_id=waba_id,
            token=token,
            clock=lambda: datetime.now(UTC),
            connected_by=await self._pseudonyms.of(org_id, subject),
            phone_number_id=phone_number_id,
        )

    async def _disconnect(self, org_id: str, waba_id: str, reason: str) -> None:
        await disconnect(
            self._settings,
            self._client_of(),
            self._replica,
            org_id=org_id,
            waba_id=waba_id,
            clock=lambda: datetime.now(UTC),
            reason=reason,
        )

    def _client_of(self) -> Graph:
        if self._graph is None:
            raise RuntimeError("the application has not started")
        return self._graph

    async def _client(self, _app: web.Application) -> AsyncIterator[None]:
        async with Graph(self._settings) as graph:
            self._graph = graph
            yield

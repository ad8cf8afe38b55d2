"""Connecting over HTTP: the login dialog and its way back, Embedded Signup, disconnecting."""

import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson
import structlog
from aiohttp import web
from pydantic import SecretStr
from wabus_events import AccountConnected
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.http import bodies
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import authenticate, require_admin
from wabus_runtime.http.openapi import document
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.settings import AuthSettings
from wabus_whatsapp.graph_errors import GraphError

from wabus_gateway.api.meta_requests import MetaRequests
from wabus_gateway.api.models import (
    OPERATIONS,
    Begun,
    Connected,
    Connection,
    Connections,
    Disconnected,
    EndQuery,
    Signup,
)
from wabus_gateway.api.pages import choice_page, message_page, refusal_page
from wabus_gateway.worker import oauth
from wabus_gateway.worker.connect import (
    ConnectRefused,
    ConnectSettings,
    connect,
    disconnect,
    inspect,
    permission_missing,
)

COOKIE = "wabus_connect"  # over TLS with __Host- in front: then no other host of our domain can set it (RFC 6265bis)
USED_STATES = 10_000  # states remembered as used until they expire anyway

STATUS_OF = {
    "connected_elsewhere": 409,
    "connecting_elsewhere": 409,
    "not_connected": 404,
    "app_refused": 503,
    "rate_limited": 503,
    "graph_unavailable": 502,
    "malformed_answer": 502,
}
"""HTTP status of a refusal; any other is 422: the account or the token will not do."""

log = structlog.get_logger()


class ConnectApiSettings(ConnectSettings, AuthSettings):
    pass


class ConnectApi:
    """The handlers, with a client for Graph and the replica of credentials that the gateway follows."""

    def __init__(self, settings: ConnectApiSettings, replica: CredentialCache) -> None:
        self._settings = settings
        self._replica = replica
        self._keyring = Keyring(settings)
        self._over_tls = settings.public_url.startswith("https:")
        self._cookie = f"__Host-{COOKIE}" if self._over_tls else COOKIE
        self._graph: Graph | None = None
        self._used: OrderedDict[str, None] = OrderedDict()

    def install(self, app: web.Application) -> None:
        app.router.add_get("/whatsapp/connect", self.start, allow_head=False)
        app.router.add_post("/whatsapp/connect", self.embedded_signup)
        app.router.add_get("/whatsapp/callback", self.returned, allow_head=False)
        app.router.add_post("/whatsapp/callback", self.chosen)
        app.router.add_get("/whatsapp/connection", self.connections)
        app.router.add_delete("/whatsapp/connection", self.end)
        document(app, OPERATIONS)
        MetaRequests(self._settings, self._replica, self._disconnect).install(app)
        app.cleanup_ctx.append(self._client)

    async def start(self, request: web.Request) -> web.Response:
        """Begin: a state bound to this browser, and where Meta's dialog is; a redirect if HTML is asked for."""
        caller = await authenticate(request)
        cookie = secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        pending = oauth.begin(org_id=caller.org_id, subject=caller.subject or "", cookie=cookie, now=now)
        url = oauth.dialog_url(self._settings, pending.seal(self._keyring))
        if "text/html" in request.headers.get("Accept", ""):
            response = web.Response(status=303, headers={"Location": url, "Cache-Control": "no-store"})
        else:
            expires_at = datetime.fromtimestamp(pending.expires_at, UTC)
            response = json_response(Begun(authorization_url=url, expires_at=expires_at))
        response.set_cookie(
            self._cookie,
            cookie,
            path="/",
            httponly=True,
            samesite="Lax",
            secure=self._over_tls,
            max_age=int(oauth.STATE_LIFETIME.total_seconds()),
        )
        return response

    async def returned(self, request: web.Request) -> web.Response:
        """Back from Meta's dialog, with a code or without."""
        try:
            pending = self._resumed(request.query.get("state", ""), request)
        except oauth.StateRefused as refused:
            return self._ended(_refused_page(refused))
        if "code" not in request.query:
            denied = request.query.get("error") == "access_denied"
            log.info("consent not given", action="connect_denied", denied=denied)
            return self._ended(_denied() if denied else _unfinished())
        try:
            token = await oauth.exchange(self._settings, self._client_of(), request.query["code"], redirected=True)
            facts = await inspect(self._settings, self._client_of(), token, now=datetime.now(UTC))
            graph_url = self._settings.meta_graph_url
            wabas = await oauth.granted_wabas(self._client_of(), graph_url, token, facts.waba_ids)
            if not wabas and facts.may_lack_permission:
                raise permission_missing(facts.scopes)
        except ConnectRefused as refused:
            return self._ended(refusal_page(STATUS_OF.get(refused.code, 422), refused.code, refused.message))
        except GraphError as error:
            return self._ended(refusal_page(STATUS_OF.get(error.code, 422), error.code, error.message))
        if not wabas:
            return self._ended(_no_account())
        if len(wabas) == 1:
            return await self._finish(pending, next(iter(wabas)), token)
        choosing = oauth.Pending(
            pending.org_id, pending.subject, pending.browser, pending.expires_at, token.get_secret_value(), tuple(wabas)
        )
        return choice_page(choosing.seal(self._keyring), wabas)

    async def chosen(self, request: web.Request) -> web.Response:
        """The person chose one of several accounts."""
        form = await bodies.form(request)
        try:
            pending = self._resumed(form.get("state", ""), request)
        except oauth.StateRefused as refused:
            return self._ended(_refused_page(refused))
        waba_id = form.get("waba_id", "")
        if pending.token is None or waba_id not in pending.waba_ids:
            return self._ended(_unfinished())
        return await self._finish(pending, waba_id, SecretStr(pending.token))

    async def embedded_signup(self, request: web.Request) -> web.Response:
        """Embedded Signup's result: the code is exchanged and the account it names is connected."""
        caller = await authenticate(request)
        signup = checked(Signup, _json(await bodies.json_text(request)))
        try:
            token = await oauth.exchange(self._settings, self._client_of(), signup.code, redirected=False)
            account = await self._connect(
                caller.org_id, signup.waba_id, token, caller.subject or "", phone_number_id=signup.phone_number_id
            )
        except ConnectRefused as refused:
            raise _problem(refused) from None
        connected = Connected(
            org_id=caller.org_id,
            waba_id=account.waba_id,
            phone_numbers=account.phone_numbers,
            connected_at=account.time,
            token_expires_at=account.token_expires_at,
        )
        return json_response(connected, status=201, headers={"Location": "/whatsapp/connection"})

    async def connections(self, request: web.Request) -> web.Response:
        """The caller's connected accounts; never their tokens."""
        caller = await authenticate(request)
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
        caller = await require_admin(request)
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
            raise _problem(refused) from None
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
            connected_by=subject,
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

    async def _finish(self, pending: oauth.Pending, waba_id: str, token: SecretStr) -> web.Response:
        try:
            await self._connect(pending.org_id, waba_id, token, pending.subject)
        except ConnectRefused as refused:
            return self._ended(refusal_page(STATUS_OF.get(refused.code, 422), refused.code, refused.message))
        except KafkaUnavailable:
            return self._ended(refusal_page(503, "not_stored", "We could not store the connection."))
        return self._ended(
            web.Response(
                status=303, headers={"Location": "/?" + urlencode({"connected": waba_id}), "Cache-Control": "no-store"}
            )
        )

    def _resumed(self, sealed: str, request: web.Request) -> oauth.Pending:
        """The sign-up of this state; each state works once here, whatever the browser keeps."""
        if sealed in self._used:
            raise oauth.StateRefused("used")
        pending = oauth.resume(
            sealed, cookie=request.cookies.get(self._cookie), keyring=self._keyring, now=datetime.now(UTC)
        )
        self._used[sealed] = None
        while len(self._used) > USED_STATES:
            self._used.popitem(last=False)
        return pending

    def _ended(self, response: web.Response) -> web.Response:
        response.del_cookie(self._cookie, path="/", secure=self._over_tls)
        return response

    def _client_of(self) -> Graph:
        if self._graph is None:
            raise RuntimeError("the application has not started")
        return self._graph

    async def _client(self, _app: web.Application) -> AsyncIterator[None]:
        async with Graph(self._settings) as graph:
            self._graph = graph
            yield


def _json(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        raise bodies.malformed_json() from None


def _problem(refused: ConnectRefused) -> Problem:
    return Problem(STATUS_OF.get(refused.code, 422), refused.code, "Not connected", refused.message)


def _refused_page(refused: oauth.StateRefused) -> web.Response:
    log.warning("a state was refused", action="state_refused", reason=refused.code)
    if refused.code in ("expired", "used"):
        return message_page(
            410,
            "This sign-up is over",
            "It took longer than ten minutes, or was finished already. Nothing was changed now.",
            "If WhatsApp is not connected yet, go back and click Connect again.",
        )
    return message_page(
        403,
        "This sign-up was not started here",
        "It belongs to another browser, was finished already, or you began another one after it. Nothing was changed.",
        "Go back and click Connect again, in the browser where you want to finish.",
    )


def _denied() -> web.Response:
    return message_page(
        403,
        "WhatsApp is not connected",
        "You did not give your consent at Meta, so nothing was changed.",
        "You can go back and click Connect again any time.",
    )


def _unfinished() -> web.Response:
    return message_page(
        400,
        "The sign-up was not finished",
        "Meta sent you back before you were done, so nothing was changed.",
        "Go back and click Connect again. At Meta, follow the steps until it says that you are done.",
    )


def _no_account() -> web.Response:
    return message_page(
        422,
        "There is no WhatsApp account to connect",
        "You gave access, but to no WhatsApp Business account.",
        "Go back and click Connect again. At Meta, choose an account in the list, or create one there.",
    )

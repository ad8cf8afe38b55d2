"""Signing up through Meta's dialog: there, back at once, and on by what the page asks.

The way back asks Meta nothing: it seals what Meta has sent and leads to the status page, which asks for the rest in two
steps, each short enough for any proxy. So nobody looks at a blank page for as long as Meta takes, several accounts are
connected beside each other, and a process that dies is an answer that does not come: the page says so and asks the next
process, with the same sealed text. No step has to be undone, and none is finished by halves (`worker/connect.py`).
"""

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from aiohttp import web
from pydantic import SecretStr
from wabus_events import AccountConnected
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.http import bodies
from wabus_runtime.http.answers import Problem, checked, json_response
from wabus_runtime.http.auth import authorise, count_asked
from wabus_runtime.http.formats.compression import uncompressed
from wabus_whatsapp.graph_errors import GraphError

from wabus_gateway.api.meta_requests import TooOften
from wabus_gateway.api.models import Begun, Connected, Granted, SetUp, SetUpPath, Step
from wabus_gateway.api.pages import message_page
from wabus_gateway.api.refusals import refusal
from wabus_gateway.worker import oauth
from wabus_gateway.worker.connect import ConnectRefused, ConnectSettings, inspect, permission_missing

COOKIE = "wabus_connect"  # over TLS with __Host- in front: then no other host of our domain can set it (RFC 6265bis)
COOKIES_MAX = 8  # sign-ups that a browser can have under way; a header of more cookies than that grows too long
USED_SIGN_UPS = 10_000  # remembered as used until they expire anyway

log = structlog.get_logger()

Connect = Callable[[str, str, SecretStr, str], Awaitable[AccountConnected]]
"""Connects for an organisation the account with this id, with a token, by a person. Raises as `worker.connect` does."""


class SigningUp:
    """The handlers, and which sign-ups have been used."""

    def __init__(
        self,
        settings: ConnectSettings,
        replica: CredentialCache,
        graph: Callable[[], Graph],
        connect: Connect,
        too_often: TooOften,
    ) -> None:
        self._settings = settings
        self._replica = replica
        self._graph = graph
        self._connect = connect
        self._too_often = too_often
        self._keyring = Keyring(settings)
        self._over_tls = settings.public_url.startswith("https:")
        self._cookie = f"__Host-{COOKIE}" if self._over_tls else COOKIE
        self._used: OrderedDict[str, None] = OrderedDict()

    def install(self, app: web.Application) -> None:
        app.router.add_get("/whatsapp/connect", self.start, allow_head=False)
        app.router.add_get("/whatsapp/callback", self.returned, allow_head=False)
        app.router.add_post("/whatsapp/setup", self.granted)
        app.router.add_post("/whatsapp/setup/{waba_id}", self.connect)

    async def start(self, request: web.Request) -> web.Response:
        """Begin: a state bound to this browser, and where Meta's dialog is; a redirect if HTML is asked for."""
        caller = await authorise(request)
        count_asked(request, caller)
        cookie = secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        pending = oauth.begin(org_id=caller.org_id, subject=caller.subject or "", cookie=cookie, now=now)
        url = oauth.dialog_url(self._settings, pending.seal(self._keyring))
        if "text/html" in request.headers.get("Accept", ""):
            response = web.Response(status=303, headers={"Location": url, "Cache-Control": "no-store"})
        else:
            expires_at = datetime.fromtimestamp(pending.expires_at, UTC)
            response = uncompressed(json_response(Begun(authorization_url=url, expires_at=expires_at)))
        for oldest in sorted(self._cookies(request))[: -COOKIES_MAX + 1]:
            response.del_cookie(oldest, path="/", secure=self._over_tls)
        response.set_cookie(
            self._cookie_of(pending),
            cookie,
            path="/",
            httponly=True,
            samesite="Lax",
            secure=self._over_tls,
            max_age=int(oauth.STATE_LIFETIME.total_seconds()),
        )
        return response

    async def returned(self, request: web.Request) -> web.Response:
        """Back from Meta's dialog, with a code or without. What takes time the page asks for."""
        try:
            pending = self._resumed(request.query.get("state", ""), request)
        except oauth.StateRefused as refused:
            return self._refused(request, refused)
        code = request.query.get("code")
        if not code:
            denied = request.query.get("error") == "access_denied"
            log.info("consent not given", action="connect_denied", denied=denied)
            self._use(pending)
            return self._without_cookie(pending, _denied() if denied else _unfinished())
        sealed = replace(pending, code=code).seal(self._keyring)
        # After the `#`, so that no server and no log on the way ever sees it.
        return web.Response(status=303, headers={"Location": f"/#setup={sealed}", "Cache-Control": "no-store"})

    async def granted(self, request: web.Request) -> web.Response:
        """What Meta's code gives access to. It works once; nothing is connected yet."""
        step = await bodies.json_body(request, Step)
        pending = self._continued(step.setup, request)
        if pending.code is None:
            raise _over()
        token = await self._exchanged(pending, pending.code)
        try:
            facts = await inspect(self._settings, self._graph(), token, now=datetime.now(UTC))
            graph_url = self._settings.meta_graph_url
            wabas = await oauth.granted_wabas(self._graph(), graph_url, token, facts.waba_ids)
            if not wabas and facts.may_lack_permission:
                raise permission_missing(facts.scopes)
        except (ConnectRefused, GraphError) as refused:
            raise refusal(refused.code, refused.message) from None
        if not wabas:
            raise refusal("no_account", "You gave access, but to no WhatsApp Business account.")
        ours = {credential.waba_id for credential in self._replica.of_organisation(pending.org_id)}
        choosing = replace(pending, code=None, token=token.get_secret_value(), waba_ids=tuple(wabas))
        accounts = [Granted(waba_id=waba_id, name=name, connected=waba_id in ours) for waba_id, name in wabas.items()]
        set_up = SetUp(setup=choosing.seal(self._keyring), org_id=pending.org_id, accounts=accounts)
        return uncompressed(json_response(set_up))

    async def _exchanged(self, pending: oauth.Pending, code: str) -> SecretStr:
        """The token for Meta's code. Raises a problem; after one that passes, the code can be used once more."""
        self._use(pending)
        try:
            return await oauth.exchange(self._settings, self._graph(), code, redirected=True)
        except ConnectRefused as refused:
            problem = refusal(refused.code, refused.message)
            if problem.status >= 500:
                self._used.pop(pending.browser, None)
            raise problem from None

    async def connect(self, request: web.Request) -> web.Response:
        """Connect one of the accounts that were granted. Asked again, as after an answer that did not come, it does so
        again, which changes nothing.
        """
        waba_id = checked(SetUpPath, dict(request.match_info)).waba_id
        step = await bodies.json_body(request, Step)
        pending = self._continued(step.setup, request)
        if pending.token is None or waba_id not in pending.waba_ids:
            raise _over()
        try:
            account = await self._connect(pending.org_id, waba_id, SecretStr(pending.token), pending.subject)
        except ConnectRefused as refused:
            raise refusal(refused.code, refused.message) from None
        response = json_response(Connected.of(pending.org_id, account), status=201)
        return self._without_cookie(pending, response) if len(pending.waba_ids) == 1 else response

    def _continued(self, sealed: str, request: web.Request) -> oauth.Pending:
        """The sign-up that the page goes on with. Raises a problem."""
        try:
            return self._resumed(sealed, request)
        except oauth.StateRefused as refused:
            raise self._too_often(request, "state_refused", refused.code) or _problem(refused) from None

    def _refused(self, request: web.Request, refused: oauth.StateRefused) -> web.Response:
        if limited := self._too_often(request, "state_refused", refused.code):
            return limited.response()
        problem = _problem(refused)
        return message_page(problem.status, problem.title, problem.detail, str(problem.members["way_on"]), again=True)

    def _resumed(self, sealed: str, request: web.Request) -> oauth.Pending:
        """The sign-up of this state; Meta's code of each works once here, whatever the browser keeps."""
        pending = oauth.opened(sealed, self._keyring)
        if pending.token is None and pending.browser in self._used:
            raise oauth.StateRefused("used")
        oauth.check(pending, cookies=self._cookies(request).values(), now=datetime.now(UTC))
        return pending

    def _use(self, pending: oauth.Pending) -> None:
        self._used[pending.browser] = None
        while len(self._used) > USED_SIGN_UPS:
            self._used.popitem(last=False)

    def _cookies(self, request: web.Request) -> dict[str, str]:
        """The cookies of the sign-ups that this browser has under way, by name."""
        return {name: value for name, value in request.cookies.items() if name.startswith(self._cookie)}

    def _cookie_of(self, pending: oauth.Pending) -> str:
        """The name of a sign-up's own cookie. Sorted, those that end first come first."""
        return f"{self._cookie}_{int(pending.expires_at):011d}_{pending.browser[:12]}"

    def _without_cookie(self, pending: oauth.Pending, response: web.Response) -> web.Response:
        """The answer that ends a sign-up: others of the same browser go on."""
        response.del_cookie(self._cookie_of(pending), path="/", secure=self._over_tls)
        return response


def _over() -> Problem:
    return refusal("sign_up_over", "It took longer than ten minutes, or was finished already. Nothing was changed now.")


def _not_ours() -> Problem:
    return refusal("sign_up_not_ours", "It belongs to another browser, or was finished already. Nothing was changed.")


def _problem(refused: oauth.StateRefused) -> Problem:
    return _over() if refused.code in ("expired", "used") else _not_ours()


def _denied() -> web.Response:
    return message_page(
        403,
        "WhatsApp is not connected",
        "You did not give your consent at Meta, so nothing was changed.",
        "You can connect any time.",
        again=True,
    )


def _unfinished() -> web.Response:
    return message_page(
        400,
        "The sign-up was not finished",
        "Meta sent you back before you were done, so nothing was changed.",
        "Connect again. At Meta, follow the steps until it says that you are done.",
        again=True,
    )

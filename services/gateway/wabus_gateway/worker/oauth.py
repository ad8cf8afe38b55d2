"""Meta's login dialog: a state that only the browser it was made for can bring back, once and in time; codes to tokens.

Sources: Meta, "Manually Build a Login Flow" (Facebook Login), "Embedded Signup"; RFC 6749, section 10.12 (CSRF).
A gateway keeps no table: the state is sealed with `CREDENTIAL_KEYS` and bound to a cookie of its own, for a person may
have begun in two tabs; the cookie ends with its first use. A stolen state without the cookie is worthless, a replayed
one finds Meta's code used up.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode, urlsplit

import structlog
from pydantic import SecretStr, TypeAdapter, ValidationError
from wabus_runtime.credentials.sealing import CannotOpen, Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.graph.pages import listed
from wabus_whatsapp.graph_errors import GraphError
from wabus_whatsapp.text.stored import storable

from wabus_gateway.worker.connect import SCOPES_NEEDED, ConnectRefused, ConnectSettings

STATE_LIFETIME = timedelta(minutes=10)
MAX_WABAS = 500  # accounts offered for a choice
MAX_BUSINESSES = 500  # whose accounts are listed
NAMES_AT_ONCE = 8  # calls to Graph for the names of accounts

log = structlog.get_logger()


class StateRefused(Exception):
    """A state that will not do. `code`: `forged`, `foreign` (another browser's), `used` or `expired`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-up under way: for whom, in which browser, until when; then Meta's code, then what that gave access to."""

    org_id: str
    subject: str
    browser: str
    """SHA-256 of the browser's cookie."""
    expires_at: float
    code: str | None = None
    """Meta's, once the person is back from there."""
    token: str | None = None
    waba_ids: tuple[str, ...] = ()

    def seal(self, keyring: Keyring) -> str:
        """The text that leaves us and comes back: nobody else can read or make one."""
        return keyring.seal_text(json.dumps(asdict(self)), purpose="connect")


_PENDING = TypeAdapter(Pending)


def begin(*, org_id: str, subject: str, cookie: str, now: datetime) -> Pending:
    """A new sign-up of an organisation in the browser that has this cookie."""
    return Pending(org_id, subject, _digest(cookie), (now + STATE_LIFETIME).timestamp())


def opened(sealed: str, keyring: Keyring) -> Pending:
    """The sign-up that a state belongs to, whoever brings it. Raises `StateRefused`."""
    try:
        return _PENDING.validate_json(keyring.open_text(sealed, purpose="connect"))
    except (CannotOpen, ValidationError):
        raise StateRefused("forged") from None


def check(pending: Pending, *, cookies: Collection[str], now: datetime) -> None:
    """Raises `StateRefused` unless it was begun in the browser that has these cookies, and not too long ago."""
    if not any(hmac.compare_digest(pending.browser, _digest(cookie)) for cookie in cookies):
        raise StateRefused("foreign")
    if now.timestamp() > pending.expires_at:
        raise StateRefused("expired")


def dialog_url(settings: ConnectSettings, state: str) -> str:
    """Where the browser goes to ask its person for consent."""
    graph_is_metas = urlsplit(settings.meta_graph_url).hostname == "graph.facebook.com"
    dialog = "https://www.facebook.com" if graph_is_metas else settings.meta_graph_url
    query = {
        "client_id": settings.meta_app_id,
        "redirect_uri": redirect_uri(settings),
        "state": state,
        "scope": ",".join(SCOPES_NEEDED),
        "response_type": "code",
    }
    return f"{dialog}/{settings.meta_graph_version}/dialog/oauth?{urlencode(query)}"


def redirect_uri(settings: ConnectSettings) -> str:
    """The one address that Meta sends the browser back to; it never comes from a request."""
    return f"{settings.public_url}/whatsapp/callback"


async def exchange(settings: ConnectSettings, graph: Graph, code: str, *, redirected: bool) -> SecretStr:
    """The access token for a code, made to last. Codes of Embedded Signup have no redirect. Raises `ConnectRefused`."""
    app = {"client_id": settings.meta_app_id, "client_secret": settings.meta_app_secrets[0].get_secret_value()}
    given = {"code": code, **({"redirect_uri": redirect_uri(settings)} if redirected else {})}
    try:
        answer, _ = await graph.call("GET", "oauth/access_token", None, {**app, **given})
    except GraphError as error:
        if not error.retryable:
            raise ConnectRefused(
                "code_refused",
                "Meta did not accept the sign-up: it was used already, or took too long. Please start again.",
            ) from None
        raise ConnectRefused(error.code, error.message) from None
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise ConnectRefused("code_refused", "Meta gave no access. Please start again.")
    if not answer.get("expires_in"):
        return SecretStr(token)
    longer = {"grant_type": "fb_exchange_token", "fb_exchange_token": token}
    try:
        answer, _ = await graph.call("GET", "oauth/access_token", None, {**app, **longer})
    except GraphError:
        return SecretStr(token)  # a short-lived token still connects; health tells when it is about to end
    return SecretStr(str(answer.get("access_token") or token))


async def granted_wabas(graph: Graph, graph_url: str, token: SecretStr, named: tuple[str, ...]) -> dict[str, str]:
    """The accounts a token may manage, by id, with their names; `named` are those that `debug_token` lists.

    Raises a `GraphError`.
    """
    if named:
        offered = named[:MAX_WABAS]
        at_once = asyncio.Semaphore(NAMES_AT_ONCE)
        names = await asyncio.gather(*(_name(graph, token, waba_id, at_once) for waba_id in offered))
        return dict(zip(offered, names, strict=True))
    found: dict[str, str] = {}
    try:
        async for business in listed(graph, graph_url, "me/businesses", token, "id", MAX_BUSINESSES):
            for edge in ("owned_whatsapp_business_accounts", "client_whatsapp_business_accounts"):
                path = f"{quote(str(business['id']), safe='')}/{edge}"
                async for waba in listed(graph, graph_url, path, token, "id,name", MAX_WABAS):
                    found[str(waba["id"])] = storable(str(waba.get("name") or waba["id"]))
            if len(found) >= MAX_WABAS:
                break
    except GraphError as error:
        if error.retryable:
            raise
        # Listing needs a permission that we don't ask for: what can't be listed has to be chosen in the dialog.
        log.info("accounts could not be listed", action="accounts_unlisted", code=error.code)
    return dict(list(found.items())[:MAX_WABAS])


async def _name(graph: Graph, token: SecretStr, waba_id: str, at_once: asyncio.Semaphore) -> str:
    try:
        async with at_once:
            answer, _ = await graph.call("GET", quote(waba_id, safe=""), token, {"fields": "id,name"})
    except GraphError as error:
        if error.retryable:
            raise
        return waba_id  # one account that can't be seen must not hide the others; connecting it will say why
    return storable(str(answer.get("name") or waba_id))


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode(errors="replace")).hexdigest()

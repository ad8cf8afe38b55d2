"""Who calls Graph, and what they may see."""

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from simulated_meta.context import Meta
from simulated_meta.graph import errors
from simulated_meta.state import Business, Phone, Token, Waba

MANAGEMENT = "whatsapp_business_management"
MESSAGING = "whatsapp_business_messaging"
BUSINESSES = "business_management"

NodeType = Literal["WhatsAppBusinessAccount", "WhatsAppBusinessPhoneNumber", "WhatsAppMessageTemplate", "Business"]


@dataclass(frozen=True)
class Call:
    """One call to Graph: its parameters from query and body together, its caller's token, its version."""

    meta: Meta
    request: web.Request
    parameters: dict[str, str]
    version: str
    content: Any = None
    """The body as it was sent, where that is JSON."""

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def fields(self) -> str | None:
        return self.parameters.get("fields")

    @property
    def token_value(self) -> str:
        bearer = self.request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        return bearer or self.parameters.get("access_token", "")


@dataclass(frozen=True)
class Node:
    """An object of Graph that the caller may see, and the WABA that it belongs to."""

    type: NodeType
    id: str
    waba: Waba | None = None
    phone: Phone | None = None
    business: Business | None = None


def authenticate(call: Call) -> Token | None:
    """The caller's token; None for the app's own `APP_ID|SECRET`. Raises `GraphError`."""
    world, value = call.meta.world, call.token_value
    if not value:
        raise errors.no_token()
    if value in {f"{world.app_id}|{secret}" for secret in world.app_secrets}:
        return None
    if value.startswith(f"{world.app_id}|"):
        raise errors.refused_app_token()
    token = world.tokens.get(value)
    if token is None:
        raise errors.malformed_token()
    if token.revoked:
        raise errors.revoked_token()
    if token.expires_at and token.expires_at <= time.time():
        raise errors.expired_token()
    proof = call.parameters.get("appsecret_proof")
    secrets = world.app_secrets if token.app_id is None else []  # another app's secret is not known here
    right = [hmac.new(secret.encode(), value.encode(), hashlib.sha256).hexdigest() for secret in secrets]
    if proof is not None and proof not in right:
        raise errors.refused_proof()
    return token


def node(call: Call, object_id: str, scope: str = MANAGEMENT) -> Node:
    """What an id means to a caller who needs this permission. Raises `GraphError`.

    What they may not see looks like what is not there.
    """
    token = authenticate(call)
    found = _find(call.meta, object_id)
    if token is None:
        raise errors.no_permission() if found else errors.unknown_object(object_id, call.method)
    if found and found.business:
        owned = {waba.business_id for waba in _seen(call.meta, token)}
        if found.id in owned:
            return found
        raise errors.unknown_object(object_id, call.method)
    if scope not in token.scopes:
        raise errors.missing_scope(scope)
    if found is None or found.waba is None or found.waba.id not in token.waba_ids:
        raise errors.unknown_object(object_id, call.method)
    return found


def seen_wabas(call: Call) -> list[Waba]:
    """The accounts that the caller's token may manage, through their portfolios. Raises `GraphError`."""
    token = authenticate(call)
    if token is None:
        raise errors.no_permission()
    if BUSINESSES not in token.scopes:
        raise errors.missing_scope(BUSINESSES)
    return _seen(call.meta, token)


def _seen(meta: Meta, token: Token) -> list[Waba]:
    return [meta.world.wabas[waba_id] for waba_id in token.waba_ids if waba_id in meta.world.wabas]


def _find(meta: Meta, object_id: str) -> Node | None:
    world = meta.world
    if waba := world.wabas.get(object_id):
        return Node("WhatsAppBusinessAccount", object_id, waba)
    if phone := world.phone(object_id):
        return Node("WhatsAppBusinessPhoneNumber", object_id, world.wabas[phone.waba_id], phone)
    if waba := world.waba_of_template(object_id):
        return Node("WhatsAppMessageTemplate", object_id, waba)
    if business := world.business(object_id):
        return Node("Business", object_id, business=business)
    return None

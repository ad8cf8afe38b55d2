"""Control of access tokens and codes."""

import time
from typing import Any

from aiohttp import web

from simulated_meta.context import Meta
from simulated_meta.graph import login
from simulated_meta.state import SCOPES

Json = dict[str, Any]


async def list_tokens(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Every token with its WABAs, scopes and state."""
    return {"data": [token.model_dump() for token in meta.world.tokens.values()]}


async def add_token(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{waba_ids?: all, scopes?, expires_in?: seconds, 0 never, app_id?: another app's, names_targets?: true}"""
    waba_ids = [str(waba_id) for waba_id in body.get("waba_ids", meta.world.wabas)]
    token = login.new_token(meta, waba_ids, body.get("scopes"), int(body.get("expires_in", 0)))
    token.app_id = str(body["app_id"]) if "app_id" in body else None
    token.names_targets = bool(body.get("names_targets", True))
    return token.model_dump()


async def change_tokens(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{token?: all, action: expire|revoke|restore|remove_scope|add_scope, scope?}"""
    chosen = [meta.world.tokens[body["token"]]] if "token" in body else list(meta.world.tokens.values())
    for token in chosen:
        match body["action"]:
            case "expire":
                token.expires_at = int(time.time()) - 1
            case "revoke":
                token.revoked = True
            case "restore":
                token.revoked, token.expires_at = False, 0
            case "remove_scope":
                token.scopes = [scope for scope in token.scopes if scope != body["scope"]]
            case "add_scope":
                token.scopes = [*token.scopes, str(body["scope"])]
            case _:
                raise ValueError("actions are: expire, revoke, restore, remove_scope, add_scope")
    return {"changed": len(chosen)}


async def add_code(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{waba_ids?: all, scopes?, redirect_uri?}: a code as the dialog or Embedded Signup gives it."""
    waba_ids = [str(waba_id) for waba_id in body.get("waba_ids", meta.world.wabas)]
    scopes = [str(scope) for scope in body.get("scopes") or SCOPES]
    return {"code": login.new_code(meta, waba_ids, scopes, str(body.get("redirect_uri", ""))).value}


ROUTES = (
    ("GET", "/tokens", list_tokens),
    ("POST", "/tokens", add_token),
    ("PATCH", "/tokens", change_tokens),
    ("POST", "/codes", add_code),
)

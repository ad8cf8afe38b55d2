"""Facebook Login as far as a business needs it: the dialog, authorisation codes, tokens and what `debug_token` says."""

import html
import secrets
import time
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from simulated_meta.context import META, Meta
from simulated_meta.graph.errors import GraphError, other_app
from simulated_meta.state import SCOPES, Code, Token, World

CODE_LIFETIME = 600  # seconds; RFC 6749, section 4.1.2
TOKEN_LIFETIME = 60 * 24 * 3600  # seconds; "Long-lived access tokens" (Facebook Login)

DIALOG = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Log in with Facebook (simulated)</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui;max-width:32rem;margin:4rem auto;padding:0 1rem}}
h1{{font-size:1.5rem;line-height:1.3}}fieldset{{border:1px solid #8888;border-radius:10px}}
button{{font:inherit;padding:.6rem 1.4rem;margin-right:.5rem;border:1px solid #8888;border-radius:8px;cursor:pointer}}
button[value=allow]{{background:#0a62d6;border-color:#0a62d6;color:#fff;font-weight:600}}</style>
<h1>{app} would like to manage your WhatsApp account</h1>
<p>This is the simulated Meta of the local stack. Permissions: {scopes}</p>
<form method="post"><fieldset><legend>WhatsApp Business account</legend>{choices}</fieldset>
<p><button name="decision" value="allow">Allow</button><button name="decision" value="deny">Cancel</button></p>
</form></html>"""


def add_routes(app: web.Application) -> None:
    for path in ("/{version}/dialog/oauth", "/dialog/oauth"):
        app.router.add_get(path, dialog)
        app.router.add_post(path, decide)


async def dialog(request: web.Request) -> web.Response:
    """The page on which a person allows or denies; see "Manually Build a Login Flow" (Facebook Login)."""
    world = request.app[META].world
    if why := _refused(world, request):
        return web.Response(
            text=f"<h1>Sorry, something went wrong.</h1><p>{why}</p>", status=400, content_type="text/html"
        )
    choices = "".join(
        f'<p><label><input type="radio" name="waba" value="{waba.id}" {"checked" if first else ""}> '
        f"{html.escape(waba.name)} ({waba.id})</label></p>"
        for first, waba in ((at == 0, waba) for at, waba in enumerate(list(world.wabas.values())[:50]))
    )
    page = DIALOG.format(
        app=html.escape(world.app_name), scopes=html.escape(", ".join(_scopes(request))), choices=choices
    )
    return web.Response(text=page, content_type="text/html")


async def decide(request: web.Request) -> web.Response:
    """Back to the app with a code, or with why there is none: "Manually build a login flow", Cancelled login."""
    meta = request.app[META]
    if why := _refused(meta.world, request):
        return web.Response(text=why, status=400)
    form = await request.post()
    redirect_uri = request.query["redirect_uri"]
    chosen = [str(waba) for waba in form.getall("waba", [])]
    if form.get("decision") == "allow" and chosen and set(chosen) <= meta.world.wabas.keys():
        code = new_code(meta, chosen, _scopes(request), redirect_uri)
        answer = {"code": code.value}
    else:
        answer = {
            "error": "access_denied",
            "error_code": "200",
            "error_description": "Permissions error",
            "error_reason": "user_denied",
        }
    if "state" in request.query:
        answer["state"] = request.query["state"]
    joint = "&" if "?" in redirect_uri else "?"
    return web.Response(status=302, headers={"Location": redirect_uri + joint + urlencode(answer)})


def new_code(meta: Meta, waba_ids: list[str], scopes: list[str], redirect_uri: str) -> Code:
    """A code that works once: "Manually build a login flow" (Facebook Login), Exchanging code for an access token."""
    code = Code(
        value="AQ" + secrets.token_urlsafe(48),
        waba_ids=waba_ids,
        scopes=scopes,
        redirect_uri=redirect_uri,
        expires_at=int(time.time()) + CODE_LIFETIME,
    )
    meta.world.codes[code.value] = code
    meta.store.changed()
    return code


def new_token(
    meta: Meta, waba_ids: list[str], scopes: list[str] | None = None, lifetime: int = TOKEN_LIFETIME, kind: str = "USER"
) -> Token:
    """A token for these WABAs; `lifetime` 0 never expires, as those of system users: "Access tokens" (WhatsApp)."""
    now = int(time.time())
    token = Token(
        value="EAA" + secrets.token_hex(60),
        waba_ids=waba_ids,
        scopes=list(SCOPES) if scopes is None else scopes,
        type=kind,
        issued_at=now,
        expires_at=now + lifetime if lifetime else 0,
    )
    meta.world.tokens[token.value] = token
    meta.store.changed()
    return token


def access_token(meta: Meta, params: dict[str, str]) -> dict[str, Any]:
    """Exchange a code, or a token for a longer one; or the app's own token.

    "Manually build a login flow", "Long-lived access tokens", "Access tokens" (Facebook Login).
    """
    world = meta.world
    if params.get("client_id") != world.app_id:
        raise GraphError("Error validating application. Cannot get application info due to a system error.", 101)
    if params.get("client_secret") not in world.app_secrets:
        # As stackoverflow.com/questions/14575477 has it for a secret that is not the app's.
        raise GraphError("Error validating client secret.", 1)
    match params.get("grant_type"):
        case "client_credentials":
            return {"access_token": f"{world.app_id}|{params['client_secret']}", "token_type": "bearer"}
        case "fb_exchange_token":
            old = world.tokens.get(params.get("fb_exchange_token", ""))
            if old is None or old.revoked or (old.expires_at and old.expires_at <= time.time()):
                raise GraphError("Error validating access token: Session has expired.", 190, status=401, subcode=463)
            token = new_token(meta, old.waba_ids, old.scopes)
        case _:
            token = _exchange(meta, params)
    return {"access_token": token.value, "token_type": "bearer", "expires_in": TOKEN_LIFETIME}


def _exchange(meta: Meta, params: dict[str, str]) -> Token:
    """A code is good once (socialite#385), for a while (LaravelFacebookSdk#141), with the redirect_uri of its dialog.

    "Manually build a login flow"; "Embedded Signup", Implementation: its codes have none.
    """
    code = meta.world.codes.get(params.get("code", ""))
    if code is None:
        raise GraphError("Invalid verification code format.", 100)
    if code.used:
        raise GraphError("This authorization code has been used.", 100, subcode=36009)
    if code.expires_at <= time.time():
        raise GraphError("This authorization code has expired.", 100, subcode=36007)
    if code.redirect_uri != params.get("redirect_uri", ""):
        message = (
            "Error validating verification code. Please make sure your redirect_uri is identical to the one you used "
            "in the OAuth dialog request"
        )
        raise GraphError(message, 100, subcode=36008)
    code.used = True
    return new_token(meta, code.waba_ids, code.scopes)


def debug_token(meta: Meta, value: str) -> dict[str, Any]:
    """What "Debug-Token" (Graph API reference) shows, all of it: the WABAs of `granular_scopes` come on one page.

    A scope without `target_ids` is for all that the person has: "Access tokens, granular permissions" (Facebook Login).
    """
    token = meta.world.tokens.get(value)
    if token is None:
        error = {"code": 190, "message": "Invalid OAuth access token - Cannot parse access token"}
        return {"data": {"error": error, "is_valid": False, "scopes": []}}
    if token.app_id not in (None, meta.world.app_id):
        raise other_app()
    expired = bool(token.expires_at) and token.expires_at <= time.time()
    targets = {"target_ids": token.waba_ids} if token.names_targets else {}
    scopes = [scope for scope in token.scopes if scope not in token.unlisted_scopes]
    granular = [{"scope": scope} | targets for scope in scopes if scope.startswith("whatsapp_")]
    data: dict[str, Any] = {
        "app_id": meta.world.app_id,
        "type": token.type,
        "application": meta.world.app_name,
        "data_access_expires_at": token.expires_at,
        "expires_at": token.expires_at,
        "issued_at": token.issued_at,
        "is_valid": not expired and not token.revoked,
        "scopes": scopes,
        "granular_scopes": granular,
        "user_id": token.user_id,
    }
    if not data["is_valid"]:
        message = "The session has been invalidated." if token.revoked else "Error validating access token: expired."
        data["error"] = {"code": 190, "message": message, "subcode": 460 if token.revoked else 463}
    return {"data": data}


def _refused(world: World, request: web.Request) -> str | None:
    """Why the dialog does not open: "Login security" (Facebook Login), Strict mode for redirect URIs."""
    if request.query.get("client_id") != world.app_id:
        return "Invalid App ID: the provided app ID does not look like a valid app ID."
    redirect_uri = request.query.get("redirect_uri", "")
    if not any(redirect_uri == allowed or redirect_uri.startswith(allowed + "/") for allowed in world.redirect_uris):
        return "URL blocked: the redirect URI is not in the app's list of valid OAuth redirect URIs."
    return None


def _scopes(request: web.Request) -> list[str]:
    asked = [scope.strip() for scope in request.query.get("scope", "").split(",") if scope.strip()]
    return asked or list(SCOPES)

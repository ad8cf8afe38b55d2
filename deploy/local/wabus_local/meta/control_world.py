"""Control of the simulated world itself: WABAs, phone numbers, templates, tokens, faults."""

import time
from dataclasses import fields
from typing import Any

from aiohttp import web

from wabus_local.meta import oauth, payloads, seed
from wabus_local.meta.context import Meta
from wabus_local.meta.faults import Failure, Faults, Limit
from wabus_local.meta.fire import fire
from wabus_local.meta.state import SCOPES, Phone, Waba

Json = dict[str, Any]

WABAS_MAX = 2000
TEMPLATES_MAX = 10_000


async def show_state(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Everything at a glance, without tokens or secrets."""
    world = meta.world
    wabas = [
        {
            "id": waba.id,
            "name": waba.name,
            "templates": len(waba.templates),
            "phones": [phone.model_dump() for phone in waba.phones.values()],
            "subscribed_apps": {app: found.override_callback_uri for app, found in waba.subscribed_apps.items()},
        }
        for waba in world.wabas.values()
    ]
    app = {
        "id": world.app_id,
        "callback_url": world.callback_url,
        "callback_verified": world.callback_verified,
        "has_messages_callback": world.has_messages_callback,
    }
    return {"app": app, "wabas": wabas, "tokens": len(world.tokens), "faults": meta.faults.as_json()}


async def change_app(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{app_secrets?: […], has_messages_callback?}: a reset of the secret; an app that gets no messages of its own.

    While these secrets are not those of META_APP_SECRETS, Graph refuses the app, and the gateway what it is sent.
    """
    world = meta.world
    app_secrets, callback = body.get("app_secrets", world.app_secrets), body.get("has_messages_callback")
    if not isinstance(app_secrets, list) or not app_secrets or not all(isinstance(one, str) for one in app_secrets):
        raise ValueError("app_secrets must be a list of at least one text")
    world.app_secrets = app_secrets
    world.has_messages_callback = world.has_messages_callback if callback is None else bool(callback)
    return {"app_secrets": len(world.app_secrets), "has_messages_callback": world.has_messages_callback}


async def add_wabas(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{id?, name?, templates?: N, count?: 1}: WABAs, each with a phone number, and one token for them all."""
    count = int(body.get("count", 1))
    if not 0 < count <= WABAS_MAX or not 0 <= int(body.get("templates", 0)) <= TEMPLATES_MAX:
        raise ValueError(f"count is at most {WABAS_MAX}, templates at most {TEMPLATES_MAX}")
    if body.get("id") and (count > 1 or body["id"] in meta.world.wabas):
        raise ValueError("that id can't be used: it is taken, or count is more than 1")
    wabas = [seed.new_waba(meta.world, body.get("id"), body.get("name")) for _ in range(count)]
    for waba in wabas:
        for template in seed.many_templates(meta.world, int(body.get("templates", 0))):
            waba.templates[template["id"]] = template
    token = oauth.new_token(meta, [waba.id for waba in wabas], lifetime=0, kind="SYSTEM_USER")
    made = [{"id": waba.id, "phone_number_id": next(iter(waba.phones))} for waba in wabas]
    return {"wabas": made, "token": token.value}


async def change_waba(meta: Meta, request: web.Request, body: Json) -> Json:
    """{account_review_status?, status?, name?, …}: a changed review status sends account_review_update."""
    waba = _waba(meta, request)
    before = waba.account_review_status
    changed = Waba.model_validate(waba.model_dump() | _without(body, "id", "templates", "phones"))
    meta.world.wabas[waba.id] = changed
    if changed.account_review_status == before:
        return {"id": waba.id}
    value = {"decision": changed.account_review_status}
    return {"id": waba.id} | await fire(meta, request, waba.id, "account_review_update", value)


async def add_phone(meta: Meta, request: web.Request, body: Json) -> Json:
    """{display_phone_number, verified_name?, …}: one more phone number of the WABA."""
    waba = _waba(meta, request)
    phone = Phone.model_validate(
        {"verified_name": waba.name, "id": meta.world.new_id()} | body | {"waba_id": waba.id},
    )
    waba.phones[phone.id] = phone
    return phone.model_dump()


async def change_phone(meta: Meta, request: web.Request, body: Json) -> Json:
    """{quality_rating?, messaging_limit_tier?, status?, …}: sends phone_number_quality_update."""
    phone = meta.world.phone(request.match_info["phone"])
    if phone is None:
        raise KeyError(request.match_info["phone"])
    changed = Phone.model_validate(phone.model_dump() | _without(body, "id", "waba_id"))
    meta.world.wabas[phone.waba_id].phones[phone.id] = changed
    if changed.messaging_limit_tier != phone.messaging_limit_tier:
        event = str(body.get("event", "DOWNGRADE"))
        value = payloads.phone_quality(changed, event, phone.messaging_limit_tier)
    else:
        value = payloads.phone_quality(changed, "UNFLAGGED" if changed.quality_rating == "GREEN" else "FLAGGED")
    sent = await fire(meta, request, phone.waba_id, "phone_number_quality_update", value)
    return {"phone": changed.model_dump()} | sent


async def list_templates(meta: Meta, request: web.Request, _body: Json) -> Json:
    """All templates of a WABA."""
    return {"data": list(_waba(meta, request).templates.values())}


async def add_templates(meta: Meta, request: web.Request, body: Json) -> Json:
    """{count: N} adds N made-up templates; {name, language?, category?, status?, components?, …} adds that one."""
    waba = _waba(meta, request)
    count = int(body.get("count", 0))
    if len(waba.templates) + count > TEMPLATES_MAX:
        raise ValueError(f"a WABA has at most {TEMPLATES_MAX} templates here")
    if "count" in body:
        added = seed.many_templates(meta.world, count, len(waba.templates))
    else:
        template_id = str(body.get("id") or meta.world.new_id())
        added = [seed.template(template_id, str(body["name"]), **_without(body, "id", "name"))]
    waba.templates |= {template["id"]: template for template in added}
    return {"added": len(added), "ids": [template["id"] for template in added]}


async def change_template(meta: Meta, request: web.Request, body: Json) -> Json:
    """{components?, category?, quality?: GREEN|YELLOW|RED|UNKNOWN, …}: each of these three sends its own webhook."""
    waba, template = _template(meta, request)
    old_category, old_quality = template["category"], template["quality_score"]["score"]
    template |= _without(body, "id", "quality")
    sent: Json = {"webhook": None}
    if "components" in body:
        value = payloads.template_components(template)
        sent = await fire(meta, request, waba.id, "message_template_components_update", value)
    if body.get("category", old_category) != old_category:
        template["previous_category"] = old_category
        value = payloads.template_category(template, old_category, template["category"])
        sent = await fire(meta, request, waba.id, "template_category_update", value)
    if "quality" in body:
        template["quality_score"] = template["quality_score"] | {"score": body["quality"]}
        value = payloads.template_quality(template, old_quality, str(body["quality"]))
        sent = await fire(meta, request, waba.id, "message_template_quality_update", value)
    return {"template": template} | sent


async def delete_template(meta: Meta, request: web.Request, _body: Json) -> Json:
    """Gone at once; sends message_template_status_update with PENDING_DELETION."""
    waba, template = _template(meta, request)
    del waba.templates[template["id"]]
    value = payloads.template_status(template, "remove", _now())
    return await fire(meta, request, waba.id, "message_template_status_update", value)


async def act_on_template(meta: Meta, request: web.Request, body: Json) -> Json:
    """{reason?}; actions: approve, reject, pause, unpause, disable, reinstate, flag, review, appeal, archive, remove.

    Changes the status and sends message_template_status_update.
    """
    waba, template = _template(meta, request)
    action, reason = request.match_info["action"], body.get("reason")
    if action not in payloads.ACTIONS:
        raise ValueError(f"actions are: {', '.join(payloads.ACTIONS)}")
    template["status"] = payloads.STATUS_AFTER[action]
    value = payloads.template_status(template, action, _now(), reason)
    template["rejected_reason"] = value["reason"] if action == "reject" else "NONE"
    sent = await fire(meta, request, waba.id, "message_template_status_update", value)
    return {"template": template} | sent


async def list_tokens(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Every token with its WABAs, scopes and state."""
    return {"data": [token.model_dump() for token in meta.world.tokens.values()]}


async def add_token(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{waba_ids?: all, scopes?, expires_in?: seconds, 0 never}"""
    waba_ids = [str(waba_id) for waba_id in body.get("waba_ids", meta.world.wabas)]
    return oauth.new_token(meta, waba_ids, body.get("scopes"), int(body.get("expires_in", 0))).model_dump()


async def change_tokens(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{token?: all, action: expire|revoke|restore|remove_scope|add_scope, scope?}"""
    chosen = [meta.world.tokens[body["token"]]] if "token" in body else list(meta.world.tokens.values())
    for token in chosen:
        match body["action"]:
            case "expire":
                token.expires_at = _now() - 1
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
    return {"code": oauth.new_code(meta, waba_ids, scopes, str(body.get("redirect_uri", ""))).value}


async def show_faults(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Latency, failures and limits now in force."""
    return meta.faults.as_json()


async def set_faults(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{latency_ms?, calls_an_hour?, fail?: {…}, rate_limit?: {…}}

    fail: {times, status?, code?, subcode?, message?, path?: part of it, body?: json|html|truncated|empty};
    rate_limit: {waba_id?: all, calls_left?: 0, minutes?: 5, code?: 80008|80007|4}.
    """
    faults = meta.faults
    if "fail" in body:
        known = {field.name for field in fields(Failure)}
        if unknown := set(body["fail"]) - known:
            raise ValueError(f"fail knows {', '.join(sorted(known))}; not {', '.join(sorted(unknown))}")
        faults.failures.append(Failure(**({"times": 1} | body["fail"])))
    if "rate_limit" in body:
        wanted = body["rate_limit"]
        faults.limits[str(wanted.get("waba_id", "*"))] = Limit(
            int(wanted.get("calls_left", 0)), float(wanted.get("minutes", 5)), int(wanted.get("code", 80008))
        )
    faults.latency_ms = int(body.get("latency_ms", faults.latency_ms))
    faults.calls_an_hour = int(body.get("calls_an_hour", faults.calls_an_hour))
    return faults.as_json()


async def clear_faults(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Everything works again; the list of calls stays."""
    meta.faults = Faults(calls=meta.faults.calls)
    return meta.faults.as_json()


async def list_calls(meta: Meta, request: web.Request, _body: Json) -> Json:
    """The latest Graph calls: when, method, path, status. ?path= keeps those that contain it."""
    wanted = request.query.get("path", "")
    return {"data": [vars(call) for call in meta.faults.calls if wanted in call.path]}


async def reset(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Back to the demo world, with a new token, no faults and no calls listed; callback URLs stay."""
    old = meta.world
    world = seed.new_world(old.app_id, old.app_secrets)
    world.callback_url, world.verify_token = old.callback_url, old.verify_token
    world.callback_verified, world.redirect_uris = old.callback_verified, old.redirect_uris
    meta.store.world, meta.faults = world, Faults()
    return {"token": next(iter(world.tokens))}


def _waba(meta: Meta, request: web.Request) -> Waba:
    return meta.world.wabas[request.match_info["waba"]]


def _template(meta: Meta, request: web.Request) -> tuple[Waba, Json]:
    template_id = request.match_info["template"]
    waba = meta.world.waba_of_template(template_id)
    if waba is None:
        raise KeyError(template_id)
    return waba, waba.templates[template_id]


def _without(body: Json, *names: str) -> Json:
    return {name: value for name, value in body.items() if name not in names}


def _now() -> int:
    return int(time.time())


ROUTES = (
    ("GET", "/state", show_state),
    ("PATCH", "/app", change_app),
    ("POST", "/wabas", add_wabas),
    ("PATCH", "/wabas/{waba}", change_waba),
    ("POST", "/wabas/{waba}/phones", add_phone),
    ("PATCH", "/phones/{phone}", change_phone),
    ("GET", "/wabas/{waba}/templates", list_templates),
    ("POST", "/wabas/{waba}/templates", add_templates),
    ("PATCH", "/templates/{template}", change_template),
    ("DELETE", "/templates/{template}", delete_template),
    ("POST", "/templates/{template}/{action}", act_on_template),
    ("GET", "/tokens", list_tokens),
    ("POST", "/tokens", add_token),
    ("PATCH", "/tokens", change_tokens),
    ("POST", "/codes", add_code),
    ("GET", "/faults", show_faults),
    ("POST", "/faults", set_faults),
    ("DELETE", "/faults", clear_faults),
    ("GET", "/calls", list_calls),
    ("POST", "/reset", reset),
)

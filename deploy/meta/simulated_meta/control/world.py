"""Control of the simulated world itself: the app, portfolios, WABAs, phone numbers, and which Graph is played."""

import re
from typing import Any, get_args

from aiohttp import web

from simulated_meta import seed
from simulated_meta.context import Meta
from simulated_meta.control.bodies import waba_of, without
from simulated_meta.control.templates import TEMPLATES_MAX
from simulated_meta.faults import Faults
from simulated_meta.graph import login
from simulated_meta.sending.state import Sending
from simulated_meta.state import WEBHOOK_FIELDS, Business, FieldState, Phone, SendingHealth, Waba
from simulated_meta.webhooks import accounts
from simulated_meta.webhooks.fire import fire

Json = dict[str, Any]

WABAS_MAX = 2000
VERSION = re.compile(r"v\d+\.\d+")

# As "Messaging and Calling Health Status" and "Flows, health status" have them (141006 also in pywa's tests).
KNOWN_ERRORS = {
    141006: {
        "error_code": 141006,
        "error_description": "There is an error with the payment method. This will block business initiated "
        "conversations.",
        "possible_solution": "There was an error with your payment method. Please add a new payment method to the "
        "account.",
    },
    141010: {
        "error_code": 141010,
        "error_description": "The Business has not passed business verification.",
        "possible_solution": "Visit business settings and start or resolve the business verification request.",
    },
    141014: {
        "error_code": 141014,
        "error_description": "The WABA is banned.",
        "possible_solution": "Please visit Business Support Home for more details "
        "(https://business.facebook.com/accountquality) on how to appeal the ban.",
    },
}


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
        "fields": world.app_fields,
    }
    graph = {"version": world.graph_version, "retired": world.retired}
    return {"app": app, "graph": graph, "wabas": wabas, "tokens": len(world.tokens), "faults": meta.faults.as_json()}


async def change_app(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{app_secrets?: […], fields?: […], has_messages_callback?, callback_url?}: a reset of the secret; another
    subscription of the app, as somebody changes it in the App Dashboard; one whose callback is somebody else's.

    While these secrets are not those of META_APP_SECRETS, Graph refuses the app, and the gateway what it is sent.
    """
    world = meta.world
    app_secrets, callback = body.get("app_secrets", world.app_secrets), body.get("has_messages_callback")
    fields = body.get("fields", world.app_fields)
    if not isinstance(app_secrets, list) or not app_secrets or not all(isinstance(one, str) for one in app_secrets):
        raise ValueError("app_secrets must be a list of at least one text")
    if not isinstance(fields, list) or not {*map(str, fields)} <= {*WEBHOOK_FIELDS}:
        raise ValueError(f"fields must be a list of {', '.join(WEBHOOK_FIELDS)}")
    world.app_secrets, world.app_fields = app_secrets, [str(name) for name in fields]
    if callback is not None:
        world.app_fields = [name for name in world.app_fields if name != "messages"] + ["messages"] * bool(callback)
    if "callback_url" in body:  # verified when it was set; whoever answers there now is not asked again
        world.callback_url, world.callback_verified = body["callback_url"], bool(body["callback_url"])
    return {
        "app_secrets": len(world.app_secrets),
        "has_messages_callback": world.has_messages_callback,
        "fields": world.app_fields,
    }


async def change_health(meta: Meta, request: web.Request, body: Json) -> Json:
    """{can_send_message?: BLOCKED, errors?: [code or {error_code, error_description, possible_solution}],
    additional_info?: […]}: what `health_status` says of this number, account, portfolio or app; AVAILABLE ends it.
    """
    id_ = request.match_info["id"]
    errors = [KNOWN_ERRORS[each] if isinstance(each, int) else each for each in body.get("errors", [])]
    meta.world.health[id_] = SendingHealth.model_validate({"can_send_message": "BLOCKED"} | body | {"errors": errors})
    return {"id": id_} | meta.world.health[id_].model_dump()


async def change_graph(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{version?: "v25.0", retired?: {"NodeType.field": "null"|"gone"|"kept"}, parent_user_ids?}: which Graph is played.

    A later version than this is refused. A retired field is null, or there is none of that name any more.
    """
    world, states = meta.world, {*get_args(FieldState), "kept"}
    version, retired = str(body.get("version", world.graph_version)), body.get("retired", {})
    if not VERSION.fullmatch(version):
        raise ValueError("version must look like v25.0")
    if not isinstance(retired, dict) or not all("." in name and state in states for name, state in retired.items()):
        raise ValueError(f"retired needs NodeType.field: one of {', '.join(sorted(states))}")
    world.graph_version = version
    world.has_parent_user_ids = bool(body.get("parent_user_ids", world.has_parent_user_ids))
    world.retired = {name: state for name, state in (world.retired | retired).items() if state != "kept"}
    return {"version": version, "retired": world.retired, "parent_user_ids": world.has_parent_user_ids}


async def add_wabas(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{id?, name?, templates?: N, count?: 1, own_businesses?}: WABAs, each with a phone number; one token for them all.

    own_businesses: true gives each a portfolio of its own.
    """
    count = int(body.get("count", 1))
    if not 0 < count <= WABAS_MAX or not 0 <= int(body.get("templates", 0)) <= TEMPLATES_MAX:
        raise ValueError(f"count is at most {WABAS_MAX}, templates at most {TEMPLATES_MAX}")
    if body.get("id") and (count > 1 or body["id"] in meta.world.wabas):
        raise ValueError("that id can't be used: it is taken, or count is more than 1")
    owns = bool(body.get("own_businesses"))
    wabas = [
        seed.new_waba(meta.world, body.get("id"), body.get("name"), _new_business(meta) if owns else None)
        for _ in range(count)
    ]
    for waba in wabas:
        for template in seed.many_templates(meta.world, int(body.get("templates", 0))):
            waba.templates[template["id"]] = template
    token = login.new_token(meta, [waba.id for waba in wabas], lifetime=0, kind="SYSTEM_USER")
    made = [{"id": waba.id, "phone_number_id": next(iter(waba.phones))} for waba in wabas]
    return {"wabas": made, "token": token.value}


async def put_portfolio(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{id?, name?, country?}: a portfolio, or what is known of one, as one that accounts are shared with."""
    id_ = str(body.get("id") or meta.world.new_id())
    before = meta.world.businesses.get(id_) or Business(id=id_, name=f"Portfolio {id_}")
    meta.world.businesses[id_] = Business.model_validate(before.model_dump() | body | {"id": id_})
    return meta.world.businesses[id_].model_dump()


async def change_waba(meta: Meta, request: web.Request, body: Json) -> Json:
    """{account_review_status?, status?, timezone_id?, currency?, country?, shares_credit_line?, insights_since?: s,
    primary_business_location?, auth_international_since?: {country: s}, marketing_messages_onboarding_status?, …}

    A changed review status is told.
    """
    waba = waba_of(meta, request)
    before = waba.account_review_status
    changed = Waba.model_validate(waba.model_dump() | without(body, "id", "templates", "phones"))
    meta.world.wabas[waba.id] = changed
    if changed.account_review_status == before:
        return {"id": waba.id}
    value = {"decision": changed.account_review_status}
    return {"id": waba.id} | await fire(meta, request, waba.id, "account_review_update", value)


async def update_account(meta: Meta, request: web.Request, body: Json) -> Json:
    """{event, …}: sends account_update; PARTNER_… and a few others in an entry of the portfolio, with waba_info."""
    waba = waba_of(meta, request)
    event = str(body["event"])
    value = accounts.account_update(waba, event, meta.world.app_id, without(body, "event"))
    entry_id = meta.world.business_id if event in accounts.TO_THE_PORTFOLIO else waba.id
    return await fire(meta, request, entry_id, "account_update", value)


async def change_capability(meta: Meta, request: web.Request, body: Json) -> Json:
    """{max_daily_conversations_per_business?: 2000, -1 unlimited, max_phone_numbers?}: business_capability_update."""
    waba = waba_of(meta, request)
    value = accounts.capability(
        body.get("max_daily_conversations_per_business", 2000), int(body.get("max_phone_numbers", 25))
    )
    return await fire(meta, request, waba.id, "business_capability_update", value)


async def add_phone(meta: Meta, request: web.Request, body: Json) -> Json:
    """{display_phone_number, verified_name?, registered?: false, is_on_biz_app?: true, …}: one more phone number."""
    waba = waba_of(meta, request)
    phone = Phone.model_validate(
        {"verified_name": waba.name, "id": meta.world.new_id()} | body | {"waba_id": waba.id},
    )
    waba.phones[phone.id] = phone
    return phone.model_dump()


async def change_phone(meta: Meta, request: web.Request, body: Json) -> Json:
    """{quality_rating?, messaging_limit_tier?, status?, registered?, …}: sends phone_number_quality_update."""
    phone = meta.world.phone(request.match_info["phone"])
    if phone is None:
        raise KeyError(request.match_info["phone"])
    changed = Phone.model_validate(phone.model_dump() | without(body, "id", "waba_id"))
    meta.world.wabas[phone.waba_id].phones[phone.id] = changed
    if changed.messaging_limit_tier != phone.messaging_limit_tier:
        event = str(body.get("event", "DOWNGRADE"))
        value = accounts.phone_quality(changed, event, phone.messaging_limit_tier)
    else:
        value = accounts.phone_quality(changed, "UNFLAGGED" if changed.quality_rating == "GREEN" else "FLAGGED")
    sent = await fire(meta, request, phone.waba_id, "phone_number_quality_update", value)
    return {"phone": changed.model_dump()} | sent


async def reset(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Back to the demo world, with a new token, no faults, an empty ledger and no calls listed; callback URLs stay."""
    old = meta.world
    world = seed.new_world(old.app_id, old.app_secrets)
    world.callback_url, world.verify_token = old.callback_url, old.verify_token
    world.callback_verified, world.redirect_uris = old.callback_verified, old.redirect_uris
    meta.sending.more.set()
    meta.store.world, meta.faults, meta.sending = world, Faults(), Sending()
    return {"token": next(iter(world.tokens))}


def _new_business(meta: Meta) -> str:
    business_id = meta.world.new_id()
    meta.world.businesses[business_id] = Business(id=business_id, name=f"Portfolio {business_id}")
    return business_id


ROUTES = (
    ("GET", "/state", show_state),
    ("PATCH", "/app", change_app),
    ("PATCH", "/graph", change_graph),
    ("PUT", "/health/{id}", change_health),
    ("POST", "/wabas", add_wabas),
    ("POST", "/portfolios", put_portfolio),
    ("PATCH", "/wabas/{waba}", change_waba),
    ("POST", "/wabas/{waba}/account_update", update_account),
    ("POST", "/wabas/{waba}/capability", change_capability),
    ("POST", "/wabas/{waba}/phones", add_phone),
    ("PATCH", "/phones/{phone}", change_phone),
    ("POST", "/reset", reset),
)

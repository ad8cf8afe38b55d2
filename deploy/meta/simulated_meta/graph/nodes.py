"""Graph's objects: which fields each has in the world that is played, and the lists of them.

Sources: "WhatsApp Business Account", "WhatsApp Business Phone Number", "WhatsApp Message Template", "Business" (Graph
API reference), and Meta's OpenAPI of business messaging.
"""

from collections.abc import Sequence
from typing import Any

from simulated_meta.context import Meta
from simulated_meta.graph import answers, insights
from simulated_meta.graph.access import Call, Node, NodeType
from simulated_meta.graph.answers import Json
from simulated_meta.graph.errors import unknown_object
from simulated_meta.state import Business, Phone, SendingHealth, Waba

TEMPLATE_FIELDS = ("name", "parameter_format", "components", "language", "status", "category", "sub_category")
TEMPLATE_KNOWN: Json = dict.fromkeys(
    (
        *TEMPLATE_FIELDS,
        *("quality_score", "rejected_reason", "previous_category", "correct_category", "library_template_name"),
        *("message_send_ttl_seconds", "cta_url_link_tracking_opted_out", "degrees_of_freedom_spec"),
        "last_updated_time",
    )
)
PHONE_FIELDS = ("verified_name", "display_phone_number", "quality_rating", "code_verification_status", "platform_type")
WABA_FIELDS = ("name", "timezone_id", "message_template_namespace", "currency")
BUSINESS_FIELDS = ("name",)


def show(call: Call, node: Node) -> Json:
    """One object with the fields asked for. Raises `GraphError` for a field that it has not."""
    match node.type:
        case "WhatsAppBusinessAccount" if node.waba:
            return _waba(call, node.waba)
        case "WhatsAppBusinessPhoneNumber" if node.phone:
            return _phone(call, node.phone)
        case "WhatsAppMessageTemplate" if node.waba:
            return _template(call, node.waba.templates[node.id])
        case "Business" if node.business:
            return _business(call, node.business)
        case _:
            raise unknown_object(node.id)


def templates(call: Call, waba: Waba) -> Json:
    params = call.parameters
    chosen = [
        template
        for template in waba.templates.values()
        if all(
            template[name] in params[name].split(",") for name in ("status", "category", "language") if name in params
        )
        and params.get("name", "") in template["name"]
    ]
    asked = answers.split_fields(params.get("summary", ""))
    summary: Json = {"summary": {"total_count": len(waba.templates)}} if "total_count" in asked else {}
    chosen, paging = _page(call, chosen)
    return {"data": [_template(call, template) for template in chosen]} | paging | summary


def phone_numbers(call: Call, waba: Waba) -> Json:
    chosen, paging = _page(call, [{"id": phone.id} for phone in waba.phones.values()])
    return {"data": [_phone(call, waba.phones[phone["id"]]) for phone in chosen]} | paging


def wabas(call: Call, listed: Sequence[Waba]) -> Json:
    """A list of WABAs, 25 on a page unless a `limit` says otherwise: "Paginated results" (Graph API)."""
    chosen, paging = _page(call, [{"id": waba.id} for waba in listed])
    by_id = {waba.id: waba for waba in listed}
    return {"data": [_waba(call, by_id[waba["id"]]) for waba in chosen]} | paging


def businesses(call: Call, listed: Sequence[Waba]) -> Json:
    """The portfolios of these WABAs: "User, businesses" (Graph API reference)."""
    world = call.meta.world
    ids = dict.fromkeys(waba.business_id for waba in listed)
    found = [business for business_id in ids if (business := world.business(business_id))]
    chosen, paging = _page(call, [{"id": business.id} for business in found])
    by_id = {business.id: business for business in found}
    return {"data": [_business(call, by_id[business["id"]]) for business in chosen]} | paging


def _page(call: Call, items: Sequence[Json]) -> tuple[list[Json], Json]:
    params = call.parameters
    return answers.page(
        items,
        limit=answers.parse_limit(params.get("limit")),
        after=params.get("after"),
        before=params.get("before"),
        url=str(call.request.url.with_query(None)),
        query=params | {"access_token": call.token_value},
    )


def _picked(call: Call, item: Json, default: Sequence[str], node: NodeType) -> Json:
    for name, state in call.meta.world.retired.items():
        type_, _, field = name.partition(".")
        if type_ == node and field in item:
            if state == "gone":
                del item[field]
            else:
                item[field] = None
    return answers.pick(item, call.fields, default, node)


def _template(call: Call, template: Json) -> Json:
    return _picked(call, TEMPLATE_KNOWN | template, TEMPLATE_FIELDS, "WhatsAppMessageTemplate")


def _phone(call: Call, phone: Phone) -> Json:
    item = phone.model_dump(exclude={"waba_id", "throughput", "registered", "unusable_until"}) | {
        # "Messaging limits": the limit is the portfolio's and has a name of its own; the number's is null since.
        "whatsapp_business_manager_messaging_limit": phone.messaging_limit_tier,
        "platform_type": "CLOUD_API",
        "account_mode": "LIVE",
        "is_official_business_account": False,
        "health_status": _health_status(call.meta, call.meta.world.wabas[phone.waba_id], phone),
        "throughput": {"level": phone.throughput},
        "webhook_configuration": _webhook_configuration(call.meta, phone),
    }
    if not phone.registered:
        # chatwoot#12556: a number that was verified and not registered; "Phone numbers", Status: Pending.
        item |= {"status": "PENDING", "platform_type": "NOT_APPLICABLE", "throughput": {"level": "NOT_APPLICABLE"}}
    return _picked(call, item, PHONE_FIELDS, "WhatsAppBusinessPhoneNumber")


def _webhook_configuration(meta: Meta, phone: Phone) -> dict[str, str]:
    """Where a number's webhooks go, level by level: "Webhook overrides", Get phone number alternate callback."""
    subscription = meta.world.wabas[phone.waba_id].subscribed_apps.get(meta.world.app_id)
    urls = {
        "whatsapp_business_account": subscription.override_callback_uri if subscription else None,
        "application": meta.world.callback_url if meta.world.callback_verified else None,
    }
    return {level: url for level, url in urls.items() if url}


def _waba(call: Call, waba: Waba) -> Json:
    owner = call.meta.world.business(waba.business_id)
    item: dict[str, Any] = waba.model_dump(
        exclude={
            *("templates", "phones", "subscribed_apps", "business_id", "shared_with", "auth_international_since"),
            *("disable_marketing_messages_on_cloud_api", "insights_since", "shares_credit_line"),
        }
    ) | {
        "is_enabled_for_insights": bool(waba.insights_since),
        "owner_business_info": {"id": waba.business_id, "name": owner.name if owner else ""},
        "on_behalf_of_business_info": None,
        "health_status": _health_status(call.meta, waba),
    }
    for name, arguments in answers.expanded(call.fields or "").items():
        if name in insights.FIELDS:
            item[name] = insights.FIELDS[name](call, waba, arguments)
    return _picked(call, item, WABA_FIELDS, "WhatsAppBusinessAccount")


def _health_status(meta: Meta, waba: Waba, phone: Phone | None = None) -> Json:
    """What takes part in sending, and the worst of it: "Messaging and Calling Health Status", Response, Overall status.

    The number only where it is asked itself; account, portfolio and app always.
    """
    world = meta.world
    parts = [("PHONE_NUMBER", phone.id)] if phone else []
    parts += [("WABA", waba.id), ("BUSINESS", waba.business_id), ("APP", world.app_id)]
    entities: list[Json] = []
    for kind, id_ in parts:
        said = world.health.get(id_, SendingHealth())
        details = said.model_dump(exclude={"can_send_message"})
        told = {name: value for name, value in details.items() if value}
        entities.append({"entity_type": kind, "id": id_, "can_send_message": said.can_send_message} | told)
    words = [str(entity["can_send_message"]) for entity in entities]
    worst = next(word for word in ("BLOCKED", "LIMITED", "AVAILABLE") if word in words)
    return {"can_send_message": worst, "entities": entities}


def _business(call: Call, business: Business) -> Json:
    item: Json = business.model_dump() | dict.fromkeys(("verification_status", "timezone_id", "created_time"))
    return _picked(call, item, BUSINESS_FIELDS, "Business")

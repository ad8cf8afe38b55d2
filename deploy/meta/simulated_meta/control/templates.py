"""Control of templates, and of what Meta decides about them."""

from typing import Any

from aiohttp import web

from simulated_meta import seed
from simulated_meta.context import Meta
from simulated_meta.control.bodies import now, waba_of, without
from simulated_meta.state import Waba
from simulated_meta.webhooks import templates
from simulated_meta.webhooks.fire import fire

Json = dict[str, Any]

TEMPLATES_MAX = 10_000


async def list_templates(meta: Meta, request: web.Request, _body: Json) -> Json:
    """All templates of a WABA."""
    return {"data": list(waba_of(meta, request).templates.values())}


async def add_templates(meta: Meta, request: web.Request, body: Json) -> Json:
    """{count: N} adds N made-up templates; {name, language?, category?, status?, components?, …} adds that one."""
    waba = waba_of(meta, request)
    count = int(body.get("count", 0))
    if len(waba.templates) + count > TEMPLATES_MAX:
        raise ValueError(f"a WABA has at most {TEMPLATES_MAX} templates here")
    if "count" in body:
        added = seed.many_templates(meta.world, count, len(waba.templates))
    else:
        template_id = str(body.get("id") or meta.world.new_id())
        added = [seed.template(template_id, str(body["name"]), **without(body, "id", "name"))]
    waba.templates |= {template["id"]: template for template in added}
    return {"added": len(added), "ids": [template["id"] for template in added]}


async def change_template(meta: Meta, request: web.Request, body: Json) -> Json:
    """{components?, category?, quality?: GREEN|YELLOW|RED|UNKNOWN, …}: each of these three sends its own webhook."""
    waba, template = _template(meta, request)
    old_category, old_quality = template["category"], template["quality_score"]["score"]
    template |= without(body, "id", "quality")
    sent: Json = {"webhook": None}
    if "components" in body:
        value = templates.template_components(template)
        sent = await fire(meta, request, waba.id, "message_template_components_update", value)
    if body.get("category", old_category) != old_category:
        template["previous_category"] = old_category
        value = templates.template_category(template, old_category, template["category"])
        sent = await fire(meta, request, waba.id, "template_category_update", value)
    if "quality" in body:
        template["quality_score"] = template["quality_score"] | {"score": body["quality"]}
        value = templates.template_quality(template, old_quality, str(body["quality"]))
        sent = await fire(meta, request, waba.id, "message_template_quality_update", value)
    return {"template": template} | sent


async def delete_template(meta: Meta, request: web.Request, _body: Json) -> Json:
    """Gone at once; sends message_template_status_update with PENDING_DELETION."""
    waba, template = _template(meta, request)
    del waba.templates[template["id"]]
    value = templates.template_status(template, "remove", now(meta.world))
    return await fire(meta, request, waba.id, "message_template_status_update", value)


async def act_on_template(meta: Meta, request: web.Request, body: Json) -> Json:
    """{reason?}; actions: approve, reject, pause, unpause, disable, reinstate, flag, review, appeal, archive, remove.

    Changes the status and sends message_template_status_update.
    """
    waba, template = _template(meta, request)
    action, reason = request.match_info["action"], body.get("reason")
    if action not in templates.ACTIONS:
        raise ValueError(f"actions are: {', '.join(templates.ACTIONS)}")
    template["status"] = templates.STATUS_AFTER[action]
    value = templates.template_status(template, action, now(meta.world), reason)
    template["rejected_reason"] = value["reason"] if action == "reject" else "NONE"
    sent = await fire(meta, request, waba.id, "message_template_status_update", value)
    return {"template": template} | sent


def _template(meta: Meta, request: web.Request) -> tuple[Waba, Json]:
    template_id = request.match_info["template"]
    waba = meta.world.waba_of_template(template_id)
    if waba is None:
        raise KeyError(template_id)
    return waba, waba.templates[template_id]


ROUTES = (
    ("GET", "/wabas/{waba}/templates", list_templates),
    ("POST", "/wabas/{waba}/templates", add_templates),
    ("PATCH", "/templates/{template}", change_template),
    ("DELETE", "/templates/{template}", delete_template),
    ("POST", "/templates/{template}/{action}", act_on_template),
)

"""Control of sending: the ledger of what was really sent, limits, windows, and how statuses go wrong."""

import time
from typing import Any

from aiohttp import web

from simulated_meta.context import Meta
from simulated_meta.people import person
from simulated_meta.sending.ledger import Ledger
from simulated_meta.sending.refusals import TITLES
from simulated_meta.sending.state import Sending

Json = dict[str, Any]

LISTED = 10_000  # at most, in one answer


async def show_sending(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Settings, and counts: sent, doubled by biz_opaque_callback_data, refused by code, violations of limits."""
    sending = meta.sending
    numbers = {
        id_: {"violations": one.violations, "highest_in_a_second": one.highest}
        for id_, one in sending.limits.numbers.items()
    }
    violations = {
        "number": sum(one.violations for one in sending.limits.numbers.values()),
        "pair": sending.limits.pair_violations,
    }
    counts = sending.ledger.counts() | {"statuses_due": len(sending.due), "violations": violations, "numbers": numbers}
    return {"settings": sending.settings.as_json(), "counts": counts}


async def change_sending(meta: Meta, request: web.Request, body: Json) -> Json:
    """{limits?, windows?, tells?: whether statuses come, by_webhook?: [codes that are answered by a webhook],
    statuses?: {seed?, delays?: [sent, delivered, read], and shares from 0 to 1: doubled, turned, skipped, unread,
    failed, failed_after_delivered, held, held_then_dropped, paused, unwanted, experiment, withheld, opaque_lost}}
    """
    settings = meta.sending.settings
    if unknown := body.keys() - {"limits", "windows", "tells", "by_webhook", "statuses"}:
        raise ValueError(f"there is no {', '.join(sorted(unknown))}")
    chaos = settings.chaos.changed(body.get("statuses", {}))
    codes = frozenset(int(code) for code in body.get("by_webhook", settings.by_webhook))
    if strange := codes - TITLES.keys():
        raise ValueError(f"codes of sending are not {sorted(strange)}")
    for name in ("limits", "windows", "tells"):
        setattr(settings, name, bool(body.get(name, getattr(settings, name))))
    settings.chaos, settings.by_webhook = chaos, codes
    return await show_sending(meta, request, body)


async def reset_sending(meta: Meta, request: web.Request, body: Json) -> Json:
    """Settings as at the start, an empty ledger, nothing due."""
    meta.sending.more.set()  # whoever waits on the old one looks at the new one
    meta.sending = Sending()
    return await show_sending(meta, request, body)


async def list_sent(meta: Meta, request: web.Request, _body: Json) -> Json:
    """What was really sent, oldest first. ?after=n (of the entry before) &limit=1000 &opaque= &phone_number_id= &to="""
    ledger: Ledger = meta.sending.ledger
    query = request.query
    after, limit = int(query.get("after", 0)), min(int(query.get("limit", 1000)), LISTED)
    wanted = {
        "opaque": query.get("opaque"),
        "phone_number_id": query.get("phone_number_id"),
        "input": query.get("to"),
    }
    asked = {name: value for name, value in wanted.items() if value is not None}
    found = [
        sent.as_json()
        for sent in ledger.since(after, ledger.total if asked else limit)
        if all(getattr(sent, name) == value for name, value in asked.items())
    ]
    return {"data": found[:limit], "total": ledger.total}


async def change_relation(meta: Meta, request: web.Request, body: Json) -> Json:
    """{phone_number_id, wrote_seconds_ago?, stopped_marketing?, blocked_business?, owner?: us|another}: what there is
    between a person and a number, without telling anybody.
    """
    phone = meta.world.phone(str(body["phone_number_id"]))
    if phone is None:
        raise KeyError(body["phone_number_id"])
    who = person(meta.world, request.match_info["user"])
    known = {name: body[name] for name in ("stopped_marketing", "blocked_business", "owner") if name in body}
    if "wrote_seconds_ago" in body:
        known["wrote_at"] = meta.world.now() - float(body["wrote_seconds_ago"])
    relation = who.relation(phone.id)
    changed = type(relation).model_validate(relation.model_dump() | known)
    who.relations[phone.id] = changed
    return {"user_id": who.user_id} | changed.model_dump()


async def upgrade_number(meta: Meta, request: web.Request, body: Json) -> Json:
    """{seconds?: 60}: its throughput is raised to 1,000 messages a second, and it is unusable for so long (131057)."""
    phone = meta.world.phone(request.match_info["phone"])
    if phone is None:
        raise KeyError(request.match_info["phone"])
    phone.throughput, phone.unusable_until = "HIGH", time.time() + float(body.get("seconds", 60))
    return phone.model_dump()


ROUTES = (
    ("GET", "/sending", show_sending),
    ("PATCH", "/sending", change_sending),
    ("DELETE", "/sending", reset_sending),
    ("GET", "/sent", list_sent),
    ("PATCH", "/people/{user}/relation", change_relation),
    ("POST", "/phones/{phone}/upgrade", upgrade_number),
)

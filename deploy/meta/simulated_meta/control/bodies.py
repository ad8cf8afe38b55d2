"""What handlers of the control API take from a request: the objects that it means, and its body."""

import base64
import secrets
import time
from typing import Any

from aiohttp import web

from simulated_meta.context import Meta
from simulated_meta.sending import rules
from simulated_meta.state import Person, Phone, Waba, World

Json = dict[str, Any]


def waba_of(meta: Meta, request: web.Request) -> Waba:
    """The WABA of the path. Raises KeyError."""
    return meta.world.wabas[request.match_info["waba"]]


def phone_of(meta: Meta, body: Json) -> Phone:
    """The number that `phone_number_id`, or else `waba_id`, means; without both the first. Raises KeyError."""
    if "phone_number_id" in body:
        phone = meta.world.phone(str(body["phone_number_id"]))
        if phone is None:
            raise KeyError(body["phone_number_id"])
        return phone
    waba = meta.world.wabas[str(body["waba_id"])] if "waba_id" in body else next(iter(meta.world.wabas.values()))
    return next(iter(waba.phones.values()))


def wamid(body: Json) -> str:
    """The message id that the body gives, or a new one."""
    return str(body.get("id") or "wamid.HBgL" + base64.b64encode(secrets.token_bytes(30)).decode().rstrip("="))


def without(body: Json, *names: str) -> Json:
    return {name: value for name, value in body.items() if name not in names}


def now(world: World) -> int:
    """Of the time that is played, in Unix seconds."""
    return int(world.now())


def hear(meta: Meta, phone: Phone, who: Person, *, by_ad: bool = False) -> None:
    """Somebody wrote to a number: it counts for its throughput, and their window is open from now on."""
    meta.sending.limits.number(phone.id).passed(time.time())
    rules.hear(who.relation(phone.id), meta.world.now(), by_ad=by_ad)

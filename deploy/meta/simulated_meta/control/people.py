"""Control of people: what they write, whether Meta shows their numbers, their groups, payments and calls."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from simulated_meta.context import Meta
from simulated_meta.control.bodies import hear, now, phone_of, wamid, without
from simulated_meta.people import person, user_id
from simulated_meta.state import Group, Person, Phone, World
from simulated_meta.webhooks import accounts, coexistence, messages, statuses, threads
from simulated_meta.webhooks.fire import fire

Json = dict[str, Any]

CHANGEABLE = ("phone", "name", "username", "shows_phone", "on_whatsapp")
SENDER = "16505551234"
TEXT = "Does it come in another color?"


async def list_people(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Everybody who wrote, was written to, or was added."""
    return {"data": [each.model_dump() for each in meta.world.persons.values()]}


async def add_person(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{phone?, user_id?, name?, username?, shows_phone?, on_whatsapp?}: somebody; with shows_phone false Meta hides
    their number.
    """
    who = person(meta.world, str(body.get("phone") or body["user_id"]))
    return _changed(meta, who, body).model_dump()


async def change_person(meta: Meta, request: web.Request, body: Json) -> Json:
    """{phone?, name?, username?, shows_phone?, on_whatsapp?}: another phone gives them another BSUID, and a system
    message is sent.
    """
    before = meta.world.persons[request.match_info["user"]]
    if body.get("phone") in (None, before.phone):
        return {"person": _changed(meta, before, body).model_dump(), "webhook": None}
    phone = phone_of(meta, without(body, "phone"))
    number = str(body["phone"])
    after = before.model_copy(update={"phone": number, "user_id": user_id(meta.world, number)})
    del meta.world.persons[before.user_id]
    meta.world.persons[after.user_id] = after
    _changed(meta, after, body)
    value = messages.changed_identity(meta.world, phone, before, after, wamid(body), now(meta.world))
    return {"person": after.model_dump()} | await fire(meta, request, phone.waba_id, "messages", value)


async def fire_message(meta: Meta, request: web.Request, body: Json) -> Json:
    """{waba_id?: the first, phone_number_id?, from?, name?, text?, id?, group_id?, ad?, edits?, revokes?, tamper?}

    A person writes to the business, by number or BSUID; with `ad` they came by an ad that clicks to WhatsApp; `edits`
    and `revokes` are ids of messages of theirs.
    """
    phone, id_ = phone_of(meta, body), wamid(body)
    sender = person(meta.world, str(body.get("from", SENDER)), str(body["name"]) if "name" in body else None)
    group = meta.world.groups[str(body["group_id"])] if "group_id" in body else None
    words = str(body.get("text", TEXT))
    content = messages.text(words) | (messages.referral(id_) if body.get("ad") else {})
    if "edits" in body:
        content = messages.edited(str(body["edits"]), words)
    elif "revokes" in body:
        content = messages.revoked(str(body["revokes"]))
    value = messages.received(meta.world, phone, sender, id_, now(meta.world), content, group)
    if group is None and not {"edits", "revokes"} & body.keys():  # of these no page says that they open it
        hear(meta, phone, sender, by_ad=bool(body.get("ad")))
    sent = await fire(meta, request, phone.waba_id, "messages", value, tamper=bool(body.get("tamper")))
    return {"id": id_} | sent


async def fire_status(meta: Meta, request: web.Request, body: Json) -> Json:
    """{waba_id?, phone_number_id?, to?, status?: sent|delivered|read|played|failed, id?, opaque?, tamper?}

    What became of a message of the business; `to` is the number or the BSUID that it was sent to.
    """
    phone, id_, to = phone_of(meta, body), wamid(body), str(body.get("to", SENDER))
    value = statuses.status(
        meta.world,
        phone,
        person(meta.world, to),
        str(body.get("status", "delivered")),
        id_,
        now(meta.world),
        addressed_by="phone" if to.isdigit() else "user_id",
        opaque=str(body["opaque"]) if "opaque" in body else None,
    )
    sent = await fire(meta, request, phone.waba_id, "messages", value, tamper=bool(body.get("tamper")))
    return {"id": id_} | sent


async def fire_errors(meta: Meta, request: web.Request, body: Json) -> Json:
    """{code?: 130429, title?, details?, from?}: errors of `messages`, beside a message if `from` is there."""
    phone, beside = phone_of(meta, body), None
    if "from" in body:
        sender = person(meta.world, str(body["from"]))
        beside = messages.received(meta.world, phone, sender, wamid(body), now(meta.world), messages.text(TEXT))
    title, details = str(body.get("title", "Rate limit hit")), str(body.get("details", "Too many messages were sent."))
    value = messages.errors(phone, int(body.get("code", 130429)), title, details, beside)
    return await fire(meta, request, phone.waba_id, "messages", value)


async def fire_payment(meta: Meta, request: web.Request, body: Json) -> Json:
    """{to?, status?: pending|captured|failed, id?, reference_id?, transaction_id?, amount?, currency?, refunds?}

    What became of a payment; amounts in hundredths, refunds: [{id, amount}].
    """
    phone, id_ = phone_of(meta, body), wamid(body)
    order = {
        "reference_id": str(body.get("reference_id", "order-1")),
        "transaction_id": str(body.get("transaction_id", "pay_1")),
        "amount": int(body.get("amount", 21000)),
        "currency": str(body.get("currency", "INR")),
        "refunds": body.get("refunds", []),
    }
    payer = person(meta.world, str(body.get("to", "919876543210")))
    value = statuses.payment(meta.world, phone, payer, str(body.get("status", "captured")), id_, now(meta.world), order)
    return {"id": id_} | await fire(meta, request, phone.waba_id, "messages", value)


async def add_group(meta: Meta, request: web.Request, body: Json) -> Json:
    """{subject?, participants?: [number or BSUID, …]}: a group; sends group_lifecycle_update."""
    world, phone = meta.world, phone_of(meta, body)
    members = [person(world, str(who)).user_id for who in body.get("participants", [])]
    group = Group(
        id=f"Y2FwaV9ncm91cDo{world.new_id()}", phone_number_id=phone.id, subject=str(body.get("subject", "Plants"))
    )
    group.participants = list(dict.fromkeys(members))
    world.groups[group.id] = group
    value = messages.group_created(phone, group, world.new_id(), now(meta.world))
    return {"group": group.model_dump()} | await fire(meta, request, phone.waba_id, "group_lifecycle_update", value)


async def join_group(meta: Meta, request: web.Request, body: Json) -> Json:
    """{user}: a number or BSUID follows the invitation; sends group_participants_update."""
    group, phone = _group(meta, request)
    who = person(meta.world, str(body["user"]))
    group.participants = list(dict.fromkeys((*group.participants, who.user_id)))
    value = messages.joined_group(meta.world, phone, group, who, now(meta.world))
    sent = await fire(meta, request, phone.waba_id, "group_participants_update", value)
    return {"group": group.model_dump()} | sent


async def fire_group_statuses(meta: Meta, request: web.Request, body: Json) -> Json:
    """{status?: delivered|read, id?}: what became of a message to a group, for all its participants in one webhook."""
    group, phone = _group(meta, request)
    id_, members = wamid(body), [person(meta.world, user) for user in group.participants]
    state = str(body.get("status", "delivered"))
    value = statuses.group_statuses(meta.world, phone, group, members, state, id_, now(meta.world))
    return {"id": id_} | await fire(meta, request, phone.waba_id, "messages", value)


Sample = Callable[[World, Phone, Person, Json], Json]


async def fire_field(meta: Meta, request: web.Request, body: Json) -> Json:
    """{phone_number_id?, user?, variant?, id?, text?, value?}: a webhook of a field that nothing else here sends.

    Fields and their variants: smb_message_echoes (text, edit, revoke), history (chunk, many: {threads?, messages?},
    medium, medium_sent, declined), smb_app_state_sync (add, remove), user_id_update, user_preferences (stop, resume,
    signup), messaging_handovers (control_passed, control_taken, bare, untyped), standby (message, status, echo,
    echo_again, template), calls (connect, terminate, ringing, accepted, rejected, answered, ended, failed),
    account_offboarded, account_reconnected. `value` goes over it.
    """
    field, phone = request.match_info["field"], phone_of(meta, body)
    if field not in VARIANTS:
        raise ValueError(f"fields are: {', '.join(VARIANTS)}")
    variants = VARIANTS[field]
    variant = str(body.get("variant", next(iter(variants))))
    if variant not in variants:
        raise ValueError(f"variants of {field} are: {', '.join(variants)}")
    who = person(meta.world, str(body.get("user", SENDER)))
    value = variants[variant](meta.world, phone, who, {"id": wamid(body), "text": str(body.get("text", TEXT))} | body)
    relation = who.relation(phone.id)
    match field, variant:
        case "user_preferences", "stop" | "resume":
            relation.stopped_marketing = variant == "stop"
        case "messaging_handovers", "control_passed" | "control_taken":
            # "messaging_handovers webhook reference": it is passed to whom it tells, and taken from them.
            relation.owner = "us" if variant == "control_passed" else "another"
        case "calls", "connect":
            relation.wrote_at = meta.world.now()
        case _:
            pass
    return await fire(meta, request, phone.waba_id, field, value | body.get("value", {}))


def _echo(content: Callable[[Json], Json]) -> Sample:
    return lambda world, phone, who, body: coexistence.echo(world, phone, who, body["id"], now(world), content(body))


def _history(world: World, phone: Phone, who: Person, body: Json) -> Json:
    progress = {"phase": 0, "chunk_order": 1, "progress": 55} | body.get("progress", {})
    id_ = body["id"]
    return coexistence.history_chunk(world, phone, who, (f"{id_}1", f"{id_}2", f"{id_}3"), now(world), progress)


def _history_of_many(world: World, phone: Phone, _who: Person, body: Json) -> Json:
    progress = {"phase": 1, "chunk_order": 1, "progress": 55} | body.get("progress", {})
    threads, count = int(body.get("threads", 20)), int(body.get("messages", 50))
    return coexistence.history_of_many(world, phone, threads, count, body["id"], now(world), progress)


def _renumbered(world: World, phone: Phone, who: Person, _body: Json) -> Json:
    after = who.model_copy(update={"user_id": user_id(world, who.user_id)})
    return threads.user_id_update(world, phone, who, after, now(world))


def _standby_message(world: World, phone: Phone, who: Person, body: Json) -> Json:
    copied = messages.received(world, phone, who, body["id"], now(world), messages.text(body["text"]))
    return threads.standby(phone, copied)


def _standby_status(world: World, phone: Phone, who: Person, body: Json) -> Json:
    return threads.standby(phone, statuses.status(world, phone, who, "delivered", body["id"], now(world)))


def _address_book(action: str) -> Sample:
    return lambda world, phone, who, _body: coexistence.address_book(world, phone, who, action, now(world))


def _preference(choice: str) -> Sample:
    return lambda world, phone, who, _body: threads.preference(world, phone, who, choice, now(world))


def _handover(kind: str) -> Sample:
    return lambda world, phone, who, _body: threads.handover(phone, who, kind, now(world), "Asked for a person")


def _call_id(body: Json) -> str:
    return str(body["id"]).replace("wamid", "wacid")


def _call(event: str) -> Sample:
    return lambda world, phone, who, body: threads.call(world, phone, who, _call_id(body), now(world), event)


def _call_status(status: str) -> Sample:
    return lambda world, phone, who, body: threads.call_status(world, phone, who, _call_id(body), now(world), status)


def _call_of_business(event: str, status: str) -> Sample:
    return lambda world, phone, who, body: threads.call_of_business(
        world, phone, who, _call_id(body), now(world), event, status
    )


def _offboarding(world: World, phone: Phone, _who: Person, _body: Json) -> Json:
    return accounts.offboarding(world.wabas[phone.waba_id], phone, now(world))


VARIANTS: dict[str, dict[str, Sample]] = {
    "smb_message_echoes": {
        "text": _echo(lambda body: messages.text(body["text"])),
        "edit": _echo(lambda body: messages.edited(str(body.get("original", "wamid.original")), body["text"])),
        "revoke": _echo(lambda body: messages.revoked(str(body.get("original", "wamid.original")))),
    },
    "history": {
        "chunk": _history,
        "many": _history_of_many,
        "medium_sent": lambda world, phone, who, body: coexistence.history_medium_sent(
            world, phone, who, body["id"], now(world), "24230790383178626"
        ),
        "medium": lambda world, phone, who, body: coexistence.history_medium(
            world, phone, who, body["id"], now(world), "24230790383178626"
        ),
        "declined": lambda _world, phone, _who, _body: coexistence.history_declined(phone),
    },
    "smb_app_state_sync": {"add": _address_book("add"), "remove": _address_book("remove")},
    "user_id_update": {"changed": _renumbered},
    "user_preferences": {each: _preference(each) for each in ("stop", "resume", "signup")},
    "messaging_handovers": {
        "control_passed": _handover("control_passed"),
        "control_taken": _handover("control_taken"),
        "untyped": lambda world, phone, who, _body: threads.untyped_handover(
            phone, who, "control_passed", now(world), "Asked for a person"
        ),
        "bare": lambda world, phone, _who, _body: threads.bare_handover(phone, "control_passed", now(world)),
    },
    "standby": {
        "message": _standby_message,
        "status": _standby_status,
        "echo": lambda world, phone, who, body: threads.standby_echo(phone, who, body["id"], now(world), body["text"]),
        "echo_again": lambda world, phone, who, body: threads.standby_echo(
            phone, who, body["id"], now(world), body["text"], again=True
        ),
        "template": lambda world, phone, who, body: threads.standby_template(
            phone, who, body["id"], now(world), str(body.get("name", "hello_world"))
        ),
    },
    "calls": {
        "connect": _call("connect"),
        "terminate": _call("terminate"),
        **{status: _call_status(status.upper()) for status in ("ringing", "accepted", "rejected")},
        "answered": _call_of_business("connect", ""),
        "ended": _call_of_business("terminate", "COMPLETED"),
        "failed": _call_of_business("terminate", "FAILED"),
    },
    "account_offboarded": {"left": _offboarding},
    "account_reconnected": {"back": _offboarding},
}


def _changed(meta: Meta, who: Person, body: Json) -> Person:
    known = {name: body[name] for name in CHANGEABLE if name in body}
    changed = Person.model_validate(who.model_dump() | known)
    meta.world.persons[changed.user_id] = changed
    return changed


def _group(meta: Meta, request: web.Request) -> tuple[Group, Phone]:
    group = meta.world.groups[request.match_info["group"]]
    phone = meta.world.phone(group.phone_number_id)
    if phone is None:
        raise KeyError(group.phone_number_id)
    return group, phone


ROUTES = (
    ("GET", "/people", list_people),
    ("POST", "/people", add_person),
    ("PATCH", "/people/{user}", change_person),
    ("POST", "/messages", fire_message),
    ("POST", "/messages/statuses", fire_status),
    ("POST", "/messages/errors", fire_errors),
    ("POST", "/payments", fire_payment),
    ("POST", "/groups", add_group),
    ("POST", "/groups/{group}/participants", join_group),
    ("POST", "/groups/{group}/statuses", fire_group_statuses),
    ("POST", "/fields/{field}", fire_field),
)

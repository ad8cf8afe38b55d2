"""What Meta tells of threads with several responders, of preferences, ids and calls. Pure.

Sources: "messaging_handovers webhook reference", "Standby webhooks", "Conversation Routing", "user_preferences webhook
reference", "Business-scoped user IDs", "Calling API", Webhooks.
"""

from typing import Any

from simulated_meta.people import contact, identity, parent_user_id
from simulated_meta.state import Person, Phone, World
from simulated_meta.webhooks.wire import about, digits

Json = dict[str, Any]


def handover(phone: Phone, who: Person, kind: str, time: int, metadata: str) -> Json:
    """Value of `messaging_handovers`; `kind` is control_passed (to the new owner) or control_taken (to the old one)."""
    roles = {"previous_owner_role": "ai_agent", "new_owner_role": "escalation", "metadata": metadata}
    if kind == "control_passed":
        roles |= {"conversation_context": {"type": "summary", "summary": {"text": "Asked for a person."}}}
    return {
        "messaging_product": "whatsapp",
        "recipient": {"display_phone_number": digits(phone.display_phone_number), "phone_number_id": phone.id},
        **({"sender": {"phone_number": who.shown_phone}} if who.shown_phone else {}),
        "timestamp": str(time),
        "type": kind,
        kind: roles,
    }


def untyped_handover(phone: Phone, who: Person, kind: str, time: int, metadata: str) -> Json:
    """The same as the test panel of the App Dashboard sends it: without `type`, with nothing but the metadata."""
    told = {name: part for name, part in handover(phone, who, kind, time, metadata).items() if name != "type"}
    return told | {kind: {"metadata": metadata}}


def bare_handover(phone: Phone, kind: str, time: int) -> Json:
    """The least that a handover says: "Treat every field inside the notification object as optional"."""
    recipient = {"display_phone_number": digits(phone.display_phone_number), "phone_number_id": phone.id}
    return {"messaging_product": "whatsapp", "recipient": recipient, "timestamp": str(time), "type": kind, kind: {}}


def standby(phone: Phone, copied: Json) -> Json:
    """Value of `standby`: what `messages` would have (contacts, messages, statuses), for who only looks on."""
    return {**about(phone), "standby": {name: part for name, part in copied.items() if name not in about(phone)}}


def standby_echo(phone: Phone, to: Person, wamid: str, time: int, body: str, *, again: bool = False) -> Json:
    """Value of `standby` for what the thread's owner sent: the request as they made it, with both who it was to.

    That an id stands in `recipient` beside `to`, or the number once more (`again`), is what others got from Meta in
    September 2026.
    """
    recipient = {"recipient": to.user_id}
    if to.shown_phone:
        recipient = {"to": to.shown_phone, "recipient": to.shown_phone if again else to.user_id}
    message = {"messaging_product": "whatsapp", **recipient, "type": "text", "text": {"body": body}}
    return standby(phone, {"message_echoes": [{"id": wamid, "timestamp": str(time), "message": message}]})


def standby_template(phone: Phone, to: Person, wamid: str, time: int, name: str) -> Json:
    """The same for a template, with the template beside the request: "Standby webhooks", Template message echo."""
    recipient = {"to": to.shown_phone} if to.shown_phone else {"recipient": to.user_id}
    request = {"name": name, "language": {"code": "en"}}
    message = {"messaging_product": "whatsapp", **recipient, "type": "template", "template": request}
    template = {"name": name, "status": "APPROVED", "components": [{"type": "BODY", "text": "Hi {{1}}!"}]}
    return standby(
        phone, {"message_echoes": [{"id": wamid, "timestamp": str(time), "message": message, "template": template}]}
    )


def preference(world: World, phone: Phone, who: Person, choice: str, time: int) -> Json:
    """Value of `user_preferences`; `choice` is stop or resume. "Not interested" sends none.

    Some are told of sign-ups too, with the id of the link: pywa reads them, Meta's page does not name them.
    """
    item: Json = {
        **identity(world, who),
        "detail": f"User requested to {choice} marketing messages",
        "category": "marketing_messages",
        "value": choice,
        "timestamp": time,
    }
    if choice == "signup":
        item["signup_id"] = "24230790383178626"
    return {**about(phone), "contacts": [contact(world, who)], "user_preferences": [item]}


def user_id_update(world: World, phone: Phone, before: Person, after: Person, time: int) -> Json:
    """Value of `user_id_update`: another BSUID. Providers pass it on, and Meta had it in its page until Aug 2026.

    "Changelog", Aug 11, 2026: nobody can subscribe to it; Meta sends the same as a system message.
    """
    item: Json = {
        **({"wa_id": after.shown_phone} if after.shown_phone else {}),
        "detail": f"User id for {after.name} has been updated.",
        "user_id": {"previous": before.user_id, "current": after.user_id},
        "timestamp": str(time),
    }
    if above := parent_user_id(world, after):
        item["parent_user_id"] = {"previous": parent_user_id(world, before), "current": above}
    return {**about(phone), "contacts": [contact(world, after)], "user_id_update": [item]}


def call(world: World, phone: Phone, who: Person, call_id: str, time: int, event: str) -> Json:
    """Value of `calls` for a call that a person begins (`connect`) and ends (`terminate`)."""
    item: Json = {
        "id": call_id,
        **identity(world, who, "from", "from_", "from_parent_user_id"),
        "to": digits(phone.display_phone_number),
        "event": event,
        "timestamp": str(time),
        "direction": "USER_INITIATED",
    }
    if event == "connect":
        item["session"] = {"sdp_type": "offer", "sdp": "v=0\r\n"}
    else:
        item |= {"status": "COMPLETED", "start_time": str(time - 60), "end_time": str(time), "duration": 60}
    return {**about(phone), "calls": [item], "contacts": [contact(world, who)]}


def call_of_business(world: World, phone: Phone, to: Person, call_id: str, time: int, event: str, status: str) -> Json:
    """Value of `calls` for a call that the business begins; `status` is how it ended: COMPLETED or FAILED.

    "Business-scoped user IDs", Business-initiated connected calls webhooks, and those of terminated calls.
    """
    item: Json = {
        "id": call_id,
        "from": digits(phone.display_phone_number),
        **identity(world, to, "to", "to_", "to_parent_user_id"),
        "event": event,
        "timestamp": str(time),
        "direction": "BUSINESS_INITIATED",
        "biz_opaque_callback_data": "case-7",
    }
    value: Json = {**about(phone), "calls": [item], "contacts": [contact(world, to)]}
    if event == "connect":
        item["session"] = {"sdp_type": "answer", "sdp": "v=0\r\n"}
    else:
        item["status"] = status
        if status == "FAILED":
            value["errors"] = [{"code": 138021, "title": "Connection failed", "message": "Connection failed"}]
    return value


def call_status(world: World, phone: Phone, to: Person, call_id: str, time: int, status: str) -> Json:
    """Value of `calls` that says what becomes of such a call at the person's: RINGING, ACCEPTED or REJECTED.

    "Business-scoped user IDs", Business-initiated calls status webhooks.
    """
    item: Json = {
        "id": call_id,
        "type": "call",
        "status": status,
        "timestamp": str(time),
        **identity(world, to, "recipient_id", "recipient_", "recipient_parent_user_id"),
        "biz_opaque_callback_data": "case-7",
    }
    return {**about(phone), "statuses": [item], "contacts": [contact(world, to)]}

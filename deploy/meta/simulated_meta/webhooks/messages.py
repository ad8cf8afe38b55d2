"""Values of `messages` for what people send: also those without a number, and those in groups. Pure.

Sources: "messages webhook reference" and its pages for each type, "Business-scoped user IDs", "Groups API", Webhooks.
"""

import base64
from typing import Any

from simulated_meta.people import contact, identity
from simulated_meta.state import Group, Person, Phone, World
from simulated_meta.webhooks.wire import about, digits

Json = dict[str, Any]

ERRORS_PAGE = "/docs/whatsapp/cloud-api/support/error-codes/"


def received(
    world: World, phone: Phone, sender: Person, wamid: str, time: int, content: Json, group: Group | None = None
) -> Json:
    """One message. `content` has its `type` and, under the type's name, what is in it."""
    item: Json = {
        **identity(world, sender, "from", "from_", "from_parent_user_id"),
        **({"group_id": group.id} if group else {}),
        "id": wamid,
        "timestamp": str(time),
        **content,
    }
    return {**about(phone), "contacts": [contact(world, sender)], "messages": [item]}


def text(body: str) -> Json:
    return {"text": {"body": body}, "type": "text"}


def referral(wamid: str) -> Json:
    """What a message has beside its content if its sender came by an ad: "messages webhook reference", `referral`."""
    ad = {
        "source_url": "https://fb.me/3cr4Wqqkv",
        "source_id": "120226305854810726",
        "source_type": "ad",
        "body": "Succulents, delivered to your door.",
        "headline": "Chat with us",
        "media_type": "image",
        "image_url": "https://scontent.example/ad.jpg",
        "ctwa_clid": base64.urlsafe_b64encode(wamid.encode()).decode().rstrip("=")[-64:],
    }
    return {"referral": ad}


def button(template_wamid: str, phone: Phone, text: str) -> Json:
    """The content of a quick reply to a template: "Button messages webhook reference"."""
    context = {"from": digits(phone.display_phone_number), "id": template_wamid}
    return {"context": context, "type": "button", "button": {"payload": text, "text": text}}


def edited(original: str, body: str) -> Json:
    """The content of an edit: "Edit messages webhook reference"."""
    message = {"context": {"id": original}, "type": "text", "text": {"body": body}}
    return {"type": "edit", "edit": {"original_message_id": original, "message": message}}


def revoked(original: str) -> Json:
    """The content of a deletion: "Revoke messages webhook reference"."""
    return {"type": "revoke", "revoke": {"original_message_id": original}}


def changed_identity(world: World, phone: Phone, before: Person, after: Person, wamid: str, time: int) -> Json:
    """Somebody has another number and so another BSUID: "System messages webhook reference". It has no contacts."""
    shows = before.shown_phone and after.shown_phone
    system: Json = {
        "body": f"User {after.name} changed from {before.shown_phone or before.user_id} to "
        f"{after.shown_phone if shows else after.user_id}",
        **identity(world, after),
        "previous_user_id": before.user_id,
        "type": "user_changed_number" if shows else "user_changed_user_id",
    }
    if not shows:
        system.pop("wa_id", None)
    item: Json = {
        **({"from": before.shown_phone} if before.shown_phone else {}),
        "id": wamid,
        "timestamp": str(time),
        "type": "system",
        "system": system,
    }
    return {**about(phone), "messages": [item]}


def errors(phone: Phone, code: int, title: str, details: str, beside: Json | None = None) -> Json:
    """A value that has nothing but `errors`, or has them beside what else it tells.

    "Errors messages webhook reference"; "messages webhook reference": those of a message are in the message.
    """
    error = {"code": code, "title": title, "message": title, "error_data": {"details": details}, "href": ERRORS_PAGE}
    return {**about(phone), **(beside or {}), "errors": [error]}


def group_created(phone: Phone, group: Group, request_id: str, time: int) -> Json:
    """Value of `group_lifecycle_update`."""
    item = {
        "timestamp": time,
        "group_id": group.id,
        "type": "group_create",
        "request_id": request_id,
        "subject": group.subject,
        "invite_link": f"https://chat.whatsapp.com/{group.id[-22:]}",
        "join_approval_mode": "auto_approve",
    }
    return {**about(phone), "groups": [item]}


def joined_group(world: World, phone: Phone, group: Group, who: Person, time: int) -> Json:
    """Value of `group_participants_update` for somebody who followed the invitation."""
    participant = identity(world, who) | ({"username": who.username} if who.username else {})
    item = {
        "timestamp": time,
        "group_id": group.id,
        "type": "group_participants_add",
        "reason": "invite_link",
        "added_participants": [participant],
    }
    return {**about(phone), "groups": [item]}

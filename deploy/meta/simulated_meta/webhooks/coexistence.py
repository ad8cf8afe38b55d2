"""What Meta tells of a number that is also used in the WhatsApp Business app. Pure.

Sources: "smb_message_echoes", "history" and "smb_app_state_sync" webhook references, "Business-scoped user IDs",
Coexistence.
"""

from typing import Any

from simulated_meta.people import contact, identity, user_id
from simulated_meta.state import Person, Phone, World
from simulated_meta.webhooks.wire import about, digits

Json = dict[str, Any]

DECLINED = "History sync is turned off by the business from the WhatsApp Business App"


def echo(world: World, phone: Phone, to: Person, wamid: str, time: int, content: Json) -> Json:
    """Value of `smb_message_echoes` for what somebody sent, edited or deleted in the app."""
    item: Json = {
        "from": digits(phone.display_phone_number),
        **identity(world, to, "to", "to_", "to_parent_user_id"),
        "id": wamid,
        "timestamp": str(time),
        **content,
    }
    return {**about(phone), "contacts": [contact(world, to)], "message_echoes": [item]}


def history_chunk(
    world: World, phone: Phone, who: Person, wamids: tuple[str, str, str], time: int, progress: Json
) -> Json:
    """Value of `history`: a thread with a message each way and a medium that is told of later.

    `progress` has `phase` (0 to 2), `chunk_order` and `progress` (100 when all is told).
    """
    sent, medium, answered = wamids
    number = digits(phone.display_phone_number)
    business: Json = {"from": number} | ({"to": who.shown_phone} if who.shown_phone else {})
    person = identity(world, who, "from", "from_", "from_parent_user_id")
    thread: Json = {
        **({"id": who.shown_phone} if who.shown_phone else {}),
        "context": identity(world, who) | ({"username": who.username} if who.username else {}),
        "messages": [
            _past(
                business, sent, time - 3600, "READ", {"type": "text", "text": {"body": "Here is what you asked for."}}
            ),
            _past(business, medium, time - 3590, "PLAYED", {"type": "media_placeholder"}),
            _past(person, answered, time - 3500, "READ", {"type": "text", "text": {"body": "Thanks!"}}),
        ],
    }
    return {**about(phone), "history": [{"metadata": progress, "threads": [thread]}]}


Past = tuple[str, int, bool, Json]
"""A message of before: its id, its time, whether the business wrote it, its content."""


def history_of(world: World, phone: Phone, who: Person, told: list[Past], progress: Json) -> Json:
    """Value of `history` with one thread."""
    business: Json = {"from": digits(phone.display_phone_number)} | ({"to": who.shown_phone} if who.shown_phone else {})
    person = identity(world, who, "from", "from_", "from_parent_user_id")
    past = [_past(business if ours else person, id_, time, "READ", content) for id_, time, ours, content in told]
    thread: Json = {
        **({"id": who.shown_phone} if who.shown_phone else {}),
        "context": identity(world, who) | ({"username": who.username} if who.username else {}),
        "messages": past,
    }
    return {**about(phone), "history": [{"metadata": progress, "threads": [thread]}]}


def history_of_many(
    world: World, phone: Phone, threads: int, messages: int, wamid: str, time: int, progress: Json
) -> Json:
    """Value of `history` with so many threads of so many messages: "a single webhook could potentially describe
    thousands of messages". Every other one is the business's; `wamid` is what their ids begin with.
    """
    number = digits(phone.display_phone_number)
    told: list[Json] = []
    for thread in range(threads):
        person = f"1650{thread:07}"
        past: list[Json] = []
        for place in range(messages):
            sender = {"from": number, "to": person} if place % 2 else {"from": person}
            content = {"type": "text", "text": {"body": f"Here is what you asked for, no. {place}."}}
            past.append(_past(sender, f"{wamid}{thread}.{place}", time - 86_400 + place, "READ", content))
        told.append({"id": person, "context": {"wa_id": person, "user_id": user_id(world, person)}, "messages": past})
    return {**about(phone), "history": [{"metadata": progress, "threads": told}]}


def history_medium(world: World, phone: Phone, who: Person, wamid: str, time: int, media_id: str) -> Json:
    """Value of `history` that tells of a medium; its `sha256` is hexadecimal here."""
    image = {"mime_type": "image/jpeg", "sha256": "3f9d94d399fa61c191bc1d4ca71375a0", "id": media_id}
    item: Json = {
        **identity(world, who, "from", "from_", "from_parent_user_id"),
        "id": wamid,
        "timestamp": str(time),
        "type": "image",
        "image": image,
    }
    return {**about(phone), "contacts": [contact(world, who)], "messages": [item]}


def history_medium_sent(world: World, phone: Phone, to: Person, wamid: str, time: int, media_id: str) -> Json:
    """The same for what the business sent: "Business-scoped user IDs", History webhooks, has these as echoes."""
    image = {"mime_type": "image/jpeg", "sha256": "3f9d94d399fa61c191bc1d4ca71375a0", "id": media_id}
    return echo(world, phone, to, wamid, time, {"type": "image", "image": image})


def history_declined(phone: Phone) -> Json:
    """Value of `history` when the business does not share what was."""
    details = {"details": "History sharing is turned off by the business"}
    error = {"code": 2593109, "title": DECLINED, "message": DECLINED, "error_data": details}
    return {**about(phone), "history": [{"errors": [error]}]}


def address_book(world: World, phone: Phone, who: Person, action: str, time: int) -> Json:
    """Value of `smb_app_state_sync`: a contact was added or edited (`add`), or removed (`remove`, without names)."""
    names = {"full_name": who.name, "first_name": who.name.split(" ")[0]} if action == "add" else {}
    item: Json = {
        "type": "contact",
        "contact": {
            **names,
            **identity(world, who, "phone_number"),
            **({"username": who.username} if who.username else {}),
        },
        "action": action,
        "metadata": {"timestamp": str(time)},
    }
    return {**about(phone), "state_sync": [item]}


def _past(sender: Json, wamid: str, time: int, status: str, content: Json) -> Json:
    return {**sender, "id": wamid, "timestamp": str(time), **content, "history_context": {"status": status}}

"""Values of `messages` for what becomes of what the business sent. Pure.

Sources: "Status messages webhook reference", "Business-scoped user IDs", Status messages webhooks, "Groups API",
Webhooks, "Payments API", Payment status webhooks.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from simulated_meta.people import contact, identity, parent_user_id
from simulated_meta.state import Group, Person, Phone, World
from simulated_meta.webhooks.messages import ERRORS_PAGE
from simulated_meta.webhooks.wire import about

Json = dict[str, Any]

CONVERSATION_UNTIL = (24, 0)  # "Pricing": since this version only those of a free entry point have a conversation
TO_A_PERSON = ("sent", "delivered", "read", "played")


@dataclass(frozen=True, slots=True)
class Price:
    """What a status says that a message costs: "Pricing" (since July 2025 of each message, PMP)."""

    category: str = "utility"
    type: str = "regular"
    """`regular`, `free_customer_service`, `free_group_customer_service` or `free_entry_point`."""
    is_told_with_read: bool = False
    """Where nothing was told of the delivery."""
    cost: tuple[float, str] | None = None
    """Amount and currency, told with the delivery of what has a max price: "Set a max price …", Webhook cost fields."""
    free_until: int | None = None
    """In a free entry point window, the Unix seconds of its end."""


@dataclass(frozen=True, slots=True)
class Failed:
    code: int
    title: str
    details: str


UNREACHABLE = Failed(131026, "Message undeliverable", "Message failed to send because the recipient can't be reached.")


def status(
    world: World,
    phone: Phone,
    to: Person,
    state: str,
    wamid: str,
    time: int,
    *,
    addressed_by: Literal["phone", "user_id"] = "phone",
    opaque: str | None = None,
    price: Price = Price(),
    why: Failed = UNREACHABLE,
) -> Json:
    """One status; `why` is why it failed.

    A failed one has no contacts, and names who it was for only as the business had addressed them.
    """
    item: Json = {"id": wamid, "status": state, "timestamp": str(time)}
    if state in TO_A_PERSON:
        item |= identity(world, to, "recipient_id", "recipient_", "recipient_parent_user_id")
    elif addressed_by == "phone" and to.shown_phone:
        item["recipient_id"] = to.shown_phone
    else:
        item["recipient_user_id"] = to.user_id
    if opaque is not None:
        item["biz_opaque_callback_data"] = opaque
    if state == "failed":
        item["errors"] = [
            {
                "code": why.code,
                "title": why.title,
                "message": why.title,
                "error_data": {"details": why.details},
                "href": ERRORS_PAGE,
            }
        ]
        return {**about(phone), "statuses": [item]}
    item |= _billing(world, wamid, state, time, price)
    contacts = [contact(world, to, with_username=state != "sent")]
    return {**about(phone), "contacts": contacts, "statuses": [item]}


def group_statuses(
    world: World,
    phone: Phone,
    group: Group,
    participants: Sequence[Person],
    state: str,
    wamid: str,
    time: int,
    *,
    opaque: str | None = None,
    prices: Mapping[str, Price] | None = None,
) -> Json:
    """The statuses of one message to a group: one for each participant, several in a webhook, contacts beside them.

    `prices` are by the participant's user_id: "Groups API Pricing", each delivery is charged.
    """
    items: list[Json] = []
    for who in participants:
        item: Json = {
            "id": wamid,
            "status": state,
            "timestamp": str(time),
            "recipient_id": group.id,
            "recipient_type": "group",
            "recipient_participant_user_id": who.user_id,
        }
        if who.shown_phone:
            item["recipient_participant_id"] = who.shown_phone
        if above := parent_user_id(world, who):
            item["recipient_participant_parent_user_id"] = above
        if opaque is not None:
            item["biz_opaque_callback_data"] = opaque
        items.append(item | _pricing(state, (prices or {}).get(who.user_id, Price("group_utility"))))
    return {**about(phone), "contacts": [contact(world, who) for who in participants], "statuses": items}


def payment(world: World, phone: Phone, payer: Person, state: str, wamid: str, time: int, order: Json) -> Json:
    """One status of a payment. `order` has reference_id, amount (in hundredths), currency, transaction_id, refunds.

    Its states are `pending`, `captured` and `failed`, and it comes again, the same, with the `refunds` of later days.
    """
    amount = {"value": order["amount"], "offset": 100}
    attempt = {"pending": "pending", "captured": "success"}.get(state, "failed")
    transaction: Json = {
        "id": order["transaction_id"],
        "type": "razorpay",
        "status": attempt,
        "created_timestamp": time,
        "updated_timestamp": time,
        "method": {"type": "upi"},
    }
    if attempt == "failed":
        transaction["error"] = {"code": "BAD_REQUEST_ERROR", "reason": "payment_cancelled"}
    refunds = [
        {
            "id": refund["id"],
            "amount": {"value": refund["amount"], "offset": 100},
            "speed_processed": "normal",
            "status": "success",
            "created_timestamp": time,
            "updated_timestamp": time,
        }
        for refund in order["refunds"]
    ]
    details: Json = {
        "reference_id": order["reference_id"],
        "amount": amount,
        "currency": order["currency"],
        "transaction": transaction,
    }
    item: Json = {
        **identity(world, payer, "recipient_id", "recipient_", "recipient_parent_user_id"),
        "id": wamid,
        "type": "payment",
        "status": state,
        "timestamp": str(time),
        "payment": details | ({"refunds": refunds} if refunds else {}),
    }
    return {**about(phone), "contacts": [contact(world, payer)], "statuses": [item]}


def _billing(world: World, wamid: str, state: str, time: int, price: Price) -> Json:
    version = tuple(int(part) for part in world.graph_version[1:].split("."))
    found = _pricing(state, price)
    if found and (version < CONVERSATION_UNTIL or price.free_until is not None):
        conversation: Json = {"id": uuid.uuid5(uuid.NAMESPACE_OID, wamid).hex, "origin": {"type": price.category}}
        if state == "sent":
            conversation["expiration_timestamp"] = str(price.free_until or time + 24 * 3600)
        found["conversation"] = conversation
    return found


def _pricing(state: str, price: Price) -> Json:
    """ "Status messages webhook reference": with sent, and with one of delivered and read."""
    if state not in ("sent", "delivered") and not (state == "read" and price.is_told_with_read):
        return {}
    billable = price.type == "regular"
    pricing: Json = {"billable": billable, "pricing_model": "PMP", "category": price.category, "type": price.type}
    if price.cost and state != "sent":
        pricing["cost"] = {"amount": price.cost[0], "currency": price.cost[1]}
    return {"pricing": pricing}

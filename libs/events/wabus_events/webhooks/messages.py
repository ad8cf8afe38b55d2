"""The field `messages`: what people write, what becomes of what the business sent, and errors of a number. Pure.

Source: Meta, "messages webhook reference", "Business-scoped user IDs", "Groups API", "Payments API".
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from wabus_events.models.event import Event, fact_id
from wabus_events.models.messages.messages import MessageReceived, MessageStatusChanged, MessagingFailed
from wabus_events.models.messages.threads import ContactIdentityChanged
from wabus_events.webhooks.about import About, unrecognised
from wabus_events.webhooks.items import (
    FROM,
    PARTICIPANT_IDS,
    RECIPIENT,
    UNFIT,
    Names,
    Person,
    each_in,
    person_of,
    shared_with,
)
from wabus_events.webhooks.values import (
    BSUID,
    Json,
    code_of,
    codes_of,
    digest,
    items_of,
    moment,
    number_of,
    object_of,
    text,
)

FIELD = "messages"

_OF_GROUP = frozenset({"recipient_type", *PARTICIPANT_IDS})
_TOLD_APART = frozenset({"type", *PARTICIPANT_IDS})
RENUMBERED = frozenset({"user_changed_number", "user_changed_user_id", "customer_changed_number"})
"""The types of `system` messages that say who somebody is now; others may name other people."""
_FROM_TO = re.compile(r".* changed from (\S+) to (\S+)", re.DOTALL)


def facts_in_messages(value: Json, about: About) -> Iterator[Event | None]:
    """Messages and statuses, each in an event with a value of its own; and the errors of the number beside them."""
    count = len(items_of(value, "messages")) + len(items_of(value, "statuses"))
    if not count:
        yield
        try:
            yield failure(value, about)
        except UNFIT:
            yield from unrecognised(value, about, FIELD, "neither messages nor statuses")
        return

    def made(kind: str, item: Any, own: Json) -> Iterator[Event]:
        if kind == "statuses":
            yield _status(item, own, about)
            return
        message = _message(item, own, about)
        yield message
        if message.message_type == "system" and (changed := _identity_changed(message, item)):
            yield changed

    beside = failure_beside(_without_those_of_its_status(value) if count == 1 else value, about)
    told_twice = beside is None or count == 1 or about.unrecognised_too
    items = value if told_twice else {name: part for name, part in value.items() if name != "errors"}
    yield from each_in(items, (FIELD, "statuses"), about, FIELD, made)
    if beside:
        yield beside


def failure(value: Json, about: About) -> MessagingFailed:
    """Errors of a number that belong to no message.

    Raises one of `UNFIT` where the value is something else.
    """
    metadata = value["metadata"]
    return MessagingFailed(
        id=fact_id(MessagingFailed.type, about.waba_id or "", digest(value), *about.entry_id_parts),
        time=about.time,
        org_id=about.org_id,
        waba_id=about.waba_id or "",
        phone_number_id=metadata["phone_number_id"],
        display_phone_number=metadata.get("display_phone_number"),
        error_codes=[code_of(error["code"]) for error in value["errors"]],
        value=value,
    )


def failure_beside(value: Json, about: About) -> MessagingFailed | None:
    """The same where Meta tells other things too: errors beside messages are of the number, and not of these.

    Source: Meta, "messages webhook reference": those of a message are in the message or status itself.
    """
    errors = items_of(value, "errors")
    if not errors:
        return None
    try:
        return failure(shared_with(value, errors=errors), about)
    except UNFIT:
        return None  # whatever it is, it is kept with the rest


def _without_those_of_its_status(value: Json) -> Json:
    """The value of one item, without the errors that say why that one failed, as in older examples of Meta's."""
    errors, statuses = items_of(value, "errors"), items_of(value, "statuses")
    if not (errors and statuses and object_of(statuses[0]).get("status") == "failed"):
        return value
    own = [object_of(error).get("code") for error in items_of(statuses[0], "errors")]
    left = [error for error in errors if object_of(error).get("code") not in own] if own else []
    return {**value, "errors": left}


def _message(item: Any, value: Json, about: About) -> MessageReceived:
    metadata = value["metadata"]
    wamid: str = item["id"]
    message_type = item.get("type") or "unknown"
    who = person_of(item, items_of(value, "contacts"), FROM)
    user_id = who.user_id
    if message_type == "system":  # it has no contacts, and names the new id beside the old one
        user_id = user_id or text(object_of(item.get("system")).get("previous_user_id"))
    return MessageReceived(
        id=fact_id(MessageReceived.type, wamid),
        time=moment(item.get("timestamp")) or about.time,
        org_id=about.org_id,
        waba_id=about.waba_id or "",
        phone_number_id=metadata["phone_number_id"],
        display_phone_number=metadata.get("display_phone_number"),
        wamid=wamid,
        contact=contact_in(item, FROM),
        user_id=user_id,
        parent_user_id=who.parent_user_id,
        username=who.username,
        group_id=text(item.get("group_id")),
        message_type=message_type,
        value=value,
    )


def _status(item: Any, value: Json, about: About) -> MessageStatusChanged:
    metadata = value["metadata"]
    wamid: str = item["id"]
    codes = codes_of(item.get("errors"))
    if not codes and "errors" in value and item.get("status") == "failed":
        told = (object_of(error).get("code") for error in items_of(value, "errors"))
        codes = [code for code in told if type(code) is int]
    contact = contact_in(item, RECIPIENT)
    who, group_id, participant, participant_user_id = recipient_of(item, items_of(value, "contacts"), contact)
    return MessageStatusChanged(
        id=fact_id(MessageStatusChanged.type, wamid, item["status"], contact, *status_id_parts(item)),
        time=moment(item.get("timestamp")) or about.time,
        org_id=about.org_id,
        waba_id=about.waba_id or "",
        phone_number_id=metadata["phone_number_id"],
        display_phone_number=metadata.get("display_phone_number"),
        wamid=wamid,
        contact=contact,
        user_id=None if group_id else who.user_id,
        parent_user_id=who.parent_user_id,
        username=who.username,
        group_id=group_id,
        participant=participant,
        participant_user_id=participant_user_id,
        status=item["status"],
        error_codes=codes,
        value=value,
    )


def recipient_of(item: Any, contacts: Sequence[Any], contact: str) -> tuple[Person, str | None, str | None, str | None]:
    """Whose status it is, and for a message to a group the group, and the participant's number and id.

    Source: Meta, "Groups API", Webhooks; "Business-scoped user IDs", Status messages webhooks for groups.
    """
    if _OF_GROUP.isdisjoint(item) or not (
        item.get("recipient_type") == "group" or any(item.get(name) for name in PARTICIPANT_IDS)
    ):
        return person_of(item, contacts, RECIPIENT), None, None, None
    number = "recipient_participant_id" if item.get("recipient_participant_id") else "participant_recipient_id"
    names = Names(number, "recipient_participant_user_id", "recipient_participant_parent_user_id")
    who = person_of(item, contacts, names)
    return who, text(contact), number_of(item.get(number)), who.user_id


def contact_in(item: Json, names: Names) -> str:
    """Who is at the other end: a WhatsApp id, or the id that Meta gives where the number is hidden."""
    return text(item.get(names.number) or item.get(names.user_id)) or ""


def status_id_parts(item: Json) -> tuple[str, ...]:
    """What tells statuses of one message apart, beside status and recipient: the participant, and the payment.

    A message to a group has a status for each participant. An order has one for each attempt to pay and each refund;
    attempts may share a transaction's id, which can be the id of the order with the payment provider.
    Source: Meta, "Business-scoped user IDs", "Payments API", payment status webhooks.
    """
    if _TOLD_APART.isdisjoint(item):
        return ("",)
    participant = next((str(item[name]) for name in PARTICIPANT_IDS if item.get(name)), "")
    if item.get("type") != "payment":
        return (participant,)
    return participant, "payment", digest(item.get("payment"))


def _identity_changed(message: MessageReceived, item: Json) -> ContactIdentityChanged | None:
    """What a `system` message says of who somebody is now, and was. Meta: "System messages webhook reference".

    `customer` and `new_wa_id` are of version 11 and before. Until August 2026 the id of before stood in the text alone.
    """
    system = object_of(item.get("system"))
    if text(system.get("type")) not in RENUMBERED:
        return None
    now = text(system.get("user_id"))
    beside = text(item.get("from_user_id"))  # who it is from is who they were, but the id may be the new one already
    before = text(system.get("previous_user_id")) or (beside if beside != now else None) or _told_before(system, now)
    number_now = number_of(system.get("wa_id")) or number_of(system.get("new_wa_id"))
    number_before = number_of(system.get("customer")) or number_of(item.get("from"))
    if not (now or number_now):
        return None
    return ContactIdentityChanged(
        id=fact_id(ContactIdentityChanged.type, message.phone_number_id, message.wamid),
        time=message.time,
        org_id=message.org_id,
        waba_id=message.waba_id,
        phone_number_id=message.phone_number_id,
        display_phone_number=message.display_phone_number,
        wamid=message.wamid,
        previous_user_id=before,
        current_user_id=now,
        previous_parent_user_id=text(system.get("previous_parent_user_id")) or text(item.get("from_parent_user_id")),
        current_parent_user_id=text(system.get("parent_user_id")),
        previous_wa_id=number_before,
        current_wa_id=number_now,
        value=message.value,
    )


def _told_before(system: Json, now: str | None) -> str | None:
    """The id of before in the text “User … changed from … to …”, where it names the same new one."""
    found = _FROM_TO.fullmatch(text(system.get("body")) or "")
    if now is None or found is None or found[2] != now or not BSUID.fullmatch(found[1]):
        return None
    return found[1]

"""What Meta tells of a conversation beside its messages: ids, preferences, responders and calls. Pure.

Sources: Meta, "Business-scoped user IDs", "user_preferences webhook reference", "messaging_handovers webhook
reference", "Standby webhooks", "Conversation Routing", "Cloud API Calling".
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypedDict

from wabus_events.models.event import Event, fact_id
from wabus_events.models.messages.messages import is_number, original_of
from wabus_events.models.messages.threads import (
    CallReported,
    ContactIdentityChanged,
    MarketingPreferenceChanged,
    StandbyReceived,
    ThreadControlChanged,
)
from wabus_events.webhooks.about import About, unrecognised
from wabus_events.webhooks.items import (
    BY_PHONE_NUMBER,
    FROM,
    LEFT,
    PLAIN,
    RECIPIENT,
    TO,
    UNFIT,
    Number,
    each_in,
    id_by_content,
    ids_of,
    is_group,
    items_apart,
    known,
    lacking,
    number_in,
    person_of,
    shared_with,
)
from wabus_events.webhooks.messages import contact_in, recipient_of, status_id_parts
from wabus_events.webhooks.values import (
    Json,
    codes_of,
    items_of,
    moment,
    number_of,
    object_of,
    text,
    whole_number,
)

MARKETING = "marketing_messages"
COPIES: dict[str, Literal["message", "status", "echo"]] = {
    "messages": "message",
    "statuses": "status",
    "message_echoes": "echo",
}
"""What the lists in a `standby` are copies of."""
_CHANGES = ("control_passed", "control_taken")
BUSINESS, USER = "BUSINESS_INITIATED", "USER_INITIATED"


def facts_in_user_id_update(value: Json, about: About) -> Iterator[Event | None]:
    """`user_id_update`."""

    def made(_kind: str, item: Any, own: Json) -> Iterator[Event]:
        number = number_in(own["metadata"], about)
        ids, parents = item["user_id"], object_of(item.get("parent_user_id"))
        contacts = items_of(own, "contacts")
        alone = object_of(contacts[0]) if len(contacts) == 1 else {}
        yield ContactIdentityChanged(
            **number,
            id=id_by_content(ContactIdentityChanged, number, item, about, item.get("timestamp")),
            time=moment(item.get("timestamp")) or about.time,
            previous_user_id=text(ids.get("previous")),
            current_user_id=known(ids["current"]),
            previous_parent_user_id=text(parents.get("previous")),
            current_parent_user_id=text(parents.get("current")),
            current_wa_id=number_of(item.get("wa_id")) or number_of(alone.get("wa_id")),
            value=own,
        )

    yield from each_in(value, ("user_id_update",), about, "user_id_update", made)


def facts_in_preferences(value: Json, about: About) -> Iterator[Event | None]:
    """`user_preferences`."""

    def made(_kind: str, item: Any, own: Json) -> Iterator[Event]:
        if item["category"].lower() != MARKETING:
            raise KeyError(MARKETING)
        number = number_in(own["metadata"], about)
        who = person_of(item, items_of(own, "contacts"), PLAIN)
        yield MarketingPreferenceChanged(
            **number,
            **ids_of(who),
            id=id_by_content(MarketingPreferenceChanged, number, item, about, item.get("timestamp")),
            time=moment(item.get("timestamp")) or about.time,
            contact=known(who.contact),
            category=MARKETING,
            choice=item["value"].lower(),
            signup_id=_id(item.get("signup_id")),
            value=own,
        )

    yield from each_in(value, ("user_preferences",), about, "user_preferences", made)


def facts_in_handovers(value: Json, about: About) -> Iterator[Event | None]:
    """`messaging_handovers`. Meta: "Treat every field inside the notification object as optional"."""
    yield
    try:
        yield _handover(value, about)
    except UNFIT:
        yield from unrecognised(value, about, "messaging_handovers", lacking("messaging_handovers"))


def _handover(value: Json, about: About) -> ThreadControlChanged:
    """The samples of Meta's own test name no `type`: then it is the one whose object is there."""
    recipient = object_of(value.get("recipient"))
    number = number_in(recipient if recipient.get("phone_number_id") else value["metadata"], about)
    objects = [name for name in _CHANGES if isinstance(value.get(name), dict)]
    change: str = value.get("type") or (objects[0] if len(objects) == 1 else "")
    told, sender = object_of(value.get(known(change))), object_of(value.get("sender"))
    names = PLAIN if sender.get("wa_id") else BY_PHONE_NUMBER
    who = person_of(sender, items_of(value, "contacts"), names)
    previous, new = _owner(told, _PREVIOUS), _owner(told, _NEW)
    return ThreadControlChanged(
        **number,
        **ids_of(who),
        id=id_by_content(ThreadControlChanged, number, value, about, value.get("timestamp")),
        time=moment(value.get("timestamp")) or about.time,
        contact=who.contact or None,
        change=change,
        previous_owner_role=previous.role,
        new_owner_role=new.role,
        previous_owner_app_id=previous.app_id,
        new_owner_app_id=new.app_id,
        metadata=text(told.get("metadata")),
        value=value,
    )


class _Owner(NamedTuple):
    """Who answers, or did."""

    role: str | None
    app_id: str | None


class _OwnerNames(NamedTuple):
    """Under which names a handover has who answers, or did."""

    role: str
    app_role: str
    """The app's own role, which is named beside its role in the conversation, or alone."""
    app_id: str
    nested: str
    """An object that has both, in some webhooks."""


_PREVIOUS = _OwnerNames("previous_owner_role", "previous_owner_app_role", "previous_owner_app_id", "previous_owner")
_NEW = _OwnerNames("new_owner_role", "new_owner_app_role", "new_owner_app_id", "new_owner")


def _owner(told: Json, names: _OwnerNames) -> _Owner:
    nested = object_of(told.get(names.nested))
    role = text(told.get(names.role)) or text(told.get(names.app_role)) or text(nested.get("app_role"))
    return _Owner(role, _id(told.get(names.app_id)) or _id(nested.get("app_id")))


def facts_in_standby(value: Json, about: About) -> Iterator[Event | None]:
    """`standby`: what `messages` would have, and what the other responder sent, in an object of its own, or without."""
    is_nested = "standby" in value
    copied = object_of(value["standby"]) if is_nested else value
    if not any(items_of(copied, kind) for kind in COPIES):
        yield from unrecognised(value, about, "standby", lacking("standby"))
        return
    beside = {name: part for name, part in value.items() if name != "standby"} if is_nested else {}
    apart = items_apart(copied, tuple(COPIES))
    while True:
        try:
            found = next(apart)
        except StopIteration as end:
            left: Json = end.value
            break
        if found is None:
            yield
            continue
        kind, item, own = found
        whole = value if own is copied else shared_with(beside, standby=own) if is_nested else own
        try:
            yield _standby(COPIES[kind], item, whole, about)
        except UNFIT:
            yield from unrecognised(whole, about, "standby", f"one of {kind} without what its model needs")
    alone = sum(len(items_of(copied, kind)) for kind in COPIES) == 1
    if left or (not alone and beside.keys() - shared_with(beside).keys()):
        yield from unrecognised({**beside, "standby": left} if is_nested else left, about, "standby", LEFT)


class _Copied(TypedDict, total=False):
    """What a copy is made of, beside whose account and number it is."""

    contact: str
    user_id: str | None
    parent_user_id: str | None
    username: str | None
    group_id: str | None
    participant: str | None
    participant_user_id: str | None
    message_type: str | None
    original_wamid: str | None
    status: str
    error_codes: list[int]


def _standby(kind: Literal["message", "status", "echo"], item: Any, value: Json, about: About) -> StandbyReceived:
    number, wamid = number_in(value["metadata"], about), item["id"]
    copied = object_of(value.get("standby")) or value
    contacts = items_of(copied, "contacts") or items_of(value, "contacts")
    id_parts: tuple[str, ...] = ()
    match kind:
        case "message":
            found = _copied_message(item, contacts)
        case "echo":
            found = _copied_echo(item, contacts)
        case "status":
            contact = known(contact_in(item, RECIPIENT))
            found = _copied_status(item, contacts, contact)
            id_parts = item["status"], contact, *status_id_parts(item)
    return StandbyReceived(
        **number,
        **found,
        id=fact_id(StandbyReceived.type, number["phone_number_id"], kind, wamid, *id_parts),
        time=moment(item.get("timestamp")) or about.time,
        kind=kind,
        wamid=wamid,
        value=value,
    )


def _copied_message(item: Any, contacts: Sequence[Any]) -> _Copied:
    who = person_of(item, contacts, FROM)
    message_type, original = type_of(item)
    return {
        **ids_of(who),
        "contact": known(who.contact),
        "group_id": text(item.get("group_id")),
        "message_type": message_type,
        "original_wamid": original,
    }


def _copied_status(item: Any, contacts: Sequence[Any], contact: str) -> _Copied:
    who, group_id, participant, participant_user_id = recipient_of(item, contacts, contact)
    return {
        **ids_of(who),
        "user_id": None if group_id else who.user_id,
        "contact": contact,
        "group_id": group_id,
        "participant": participant,
        "participant_user_id": participant_user_id,
        "status": item["status"],
        "error_codes": codes_of(item.get("errors")),
    }


def _copied_echo(item: Any, contacts: Sequence[Any]) -> _Copied:
    """The request as the other responder made it, in `message`: to a number, or by `recipient` to an id.

    `recipient` also stands beside `to`, as the same person's id or the same number once more.
    """
    request = object_of(item.get("message")) or item
    to, recipient = text(request.get("to")), text(request.get("recipient"))
    if recipient and is_number(recipient):
        to, recipient = to or recipient, None
    group_id = to if request.get("recipient_type") == "group" or is_group(to) else None
    if group_id:
        contacts = ()
    is_parent = recipient is not None and ".ENT." in recipient
    addressed = {
        "to": to,
        "to_user_id": request.get("to_user_id") or (None if is_parent else recipient),
        "to_parent_user_id": request.get("to_parent_user_id") or (recipient if is_parent else None),
    }
    who = person_of(addressed, contacts, TO)
    message_type, original = type_of(request)
    return {
        **ids_of(who),
        "contact": known(who.contact or who.parent_user_id or ""),
        "group_id": group_id,
        "message_type": message_type,
        "original_wamid": original,
    }


def facts_in_calls(value: Json, about: About) -> Iterator[Event | None]:
    """`calls`."""
    alone = len(items_of(value, "calls")) + len(items_of(value, "statuses")) == 1

    def made(kind: str, item: Any, own: Json) -> Iterator[Event]:
        number = number_in(own["metadata"], about)
        errors = codes_of(item.get("errors")) or (codes_of(own.get("errors")) if alone else [])
        yield _call(kind, item, own, number, errors, about)

    yield from each_in(value, ("calls", "statuses"), about, "calls", made)


def _call(kind: str, item: Any, value: Json, number: Number, errors: list[int], about: About) -> CallReported:
    """A call, or a status, which only those of the business have."""
    call_id, contacts = item["id"], items_of(value, "contacts")
    if kind == "statuses":
        event, direction = "status", text(item.get("direction")) or BUSINESS
        who = person_of(item, contacts, RECIPIENT)
    else:
        event, direction = item["event"], text(item.get("direction"))
        by_business = direction == BUSINESS or (direction is None and _is_number(item.get("from"), number))
        who = person_of(item, contacts, TO if by_business else FROM)
    told_at = item.get("timestamp")
    status = text(item.get("status"))
    return CallReported(
        **number,
        **ids_of(who),
        id=fact_id(
            CallReported.type, number["phone_number_id"], call_id, event, status or "", str(told_at or about.entry_time)
        ),
        time=moment(told_at) or about.time,
        call_id=call_id,
        contact=known(who.contact),
        event=event,
        direction=direction,
        status=status,
        began_at=moment(item.get("start_time")),
        ended_at=moment(item.get("end_time")),
        duration=whole_number(item.get("duration")),
        error_codes=errors,
        value=value,
    )


def type_of(item: Json) -> tuple[str, str | None]:
    """The type of a message, and of an edit or a revoke the message that it is about."""
    message_type = text(item.get("type")) or "unknown"
    return message_type, original_of(item.get(message_type)) if message_type in ("edit", "revoke") else None


def digits_of(number: Any) -> str:
    return "".join(filter(str.isdigit, number)) if isinstance(number, str) else ""


def _is_number(sender: Any, number: Number) -> bool:
    return bool(digits_of(sender)) and digits_of(sender) == digits_of(number["display_phone_number"])


def _id(part: Any) -> str | None:
    """An id of Meta's, which is a text or a number."""
    return str(part) if isinstance(part, int) and not isinstance(part, bool) else text(part)

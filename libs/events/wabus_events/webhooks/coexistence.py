"""What Meta tells of a number that is also used in the WhatsApp Business app. Pure.

Sources: Meta, "smb_message_echoes", "history" and "smb_app_state_sync" webhook references, "Business-scoped user IDs",
Coexistence.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from wabus_events.models.event import Event, fact_id, fact_ids, like
from wabus_events.models.messages.coexistence import ContactSynced, HistoryProgressed, MessageEchoed, MessageImported
from wabus_events.models.messages.messages import is_number
from wabus_events.webhooks.about import About, kept_as_bytes, unrecognised
from wabus_events.webhooks.items import (
    BY_PHONE_NUMBER,
    FROM,
    PLAIN,
    SMALL_STEPS,
    TO,
    UNFIT,
    Number,
    Person,
    each_in,
    id_by_content,
    ids_of,
    is_group,
    known,
    number_in,
    person_of,
    shared_with,
)
from wabus_events.webhooks.threads import digits_of, type_of
from wabus_events.webhooks.values import (
    BSUID,
    Json,
    Unwritable,
    codes_of,
    items_of,
    moment,
    number_of,
    object_of,
    text,
    whole_number,
)

_LISTS = ("history", "messages", "message_echoes")
_OF_A_THREAD = ("id", "group_id", "context")
NOBODY = Person("", None, None, None)
DECLINED = 2593109  # Meta: "history webhook reference", chat history sharing declined


def facts_in_echoes(value: Json, about: About) -> Iterator[Event | None]:
    """`smb_message_echoes`: messages, edits and revokes."""

    def made(_kind: str, item: Any, own: Json) -> Iterator[Event]:
        number, wamid = number_in(own["metadata"], about), item["id"]
        who = person_of(item, items_of(own, "contacts"), TO)
        message_type, original = type_of(item)
        group_id = text(item.get("group_id")) or (who.contact if is_group(who.contact) else None)
        yield MessageEchoed(
            **number,
            **ids_of(NOBODY if group_id else who),
            id=fact_id(MessageEchoed.type, number["phone_number_id"], wamid),
            time=moment(item.get("timestamp")) or about.time,
            wamid=wamid,
            contact=known(group_id or who.contact),
            group_id=group_id,
            message_type=message_type,
            original_wamid=original,
            value=own,
        )

    yield from each_in(value, ("message_echoes",), about, "smb_message_echoes", made)


def facts_in_address_book(value: Json, about: About) -> Iterator[Event | None]:
    """`smb_app_state_sync`: contacts."""

    def made(_kind: str, item: Any, own: Json) -> Iterator[Event]:
        if item["type"] != "contact":
            raise KeyError("contact")
        number, contact = number_in(own["metadata"], about), object_of(item["contact"])
        told_at = object_of(item.get("metadata")).get("timestamp")
        who = person_of(contact, (), BY_PHONE_NUMBER)
        yield ContactSynced(
            **number,
            **ids_of(who),
            id=id_by_content(ContactSynced, number, item, about, told_at),
            time=moment(told_at) or about.time,
            contact=known(who.contact),
            action=item["action"],
            full_name=text(contact.get("full_name")),
            first_name=text(contact.get("first_name")),
            value=own,
        )

    yield from each_in(value, ("state_sync",), about, "smb_app_state_sync", made)


def facts_in_history(value: Json, about: About) -> Iterator[Event | None]:
    """`history`: chunks of threads, that the business shares none, or a medium of a message that was told before."""

    def made(kind: str, item: Any, own: Json) -> Iterator[Event | None]:
        number = number_in(own["metadata"], about)
        if kind == "history":
            yield from _chunk(item, own, number, about)
        else:
            yield _medium(kind, item, own, number, about)

    count = sum(len(items_of(value, kind)) for kind in _LISTS)
    failed = _failed(value, about, alone=count == 0)
    if count or failed is None:
        told_apart = failed is not None and count > 1
        items = {name: part for name, part in value.items() if name != "errors"} if told_apart else value
        yield from each_in(items, _LISTS, about, "history", made)
    if failed:
        yield failed


def _failed(value: Json, about: About, *, alone: bool) -> HistoryProgressed | None:
    """Errors of all of it, which stand in the value and in none of its chunks; None where there are none.

    Where they are `alone` it has all that the value has.
    """
    errors = items_of(value, "errors")
    if not errors:
        return None
    try:
        number = number_in(value["metadata"], about)
        own = value if alone else shared_with(value, errors=errors)
        return _progress({}, own, 0, codes_of(errors), number, about, "value")
    except UNFIT:
        return None  # whatever it is, it is kept with the rest


def _chunk(chunk: Any, value: Json, number: Number, about: About) -> Iterator[Event | None]:
    """One event for each message, and one that says how far it all is. Thousands of messages: each step is small."""
    told = chunk.get("metadata")
    threads, errors = items_of(chunk, "threads"), codes_of(chunk.get("errors"))
    if not (threads or errors or told):
        raise KeyError("threads")
    shared, around = shared_with(value), {} if told is None else {"metadata": told}
    count = 0
    left: list[Any] = []
    for position, thread in enumerate(threads):
        if position % SMALL_STEPS == 0:
            yield
        parts = object_of(thread)
        messages = items_of(parts, "messages")
        head = {name: part for name, part in parts.items() if name in _OF_A_THREAD}
        if not messages:
            left.append(thread)
        elif len(head) + 1 < len(parts):  # parts that are new to us are kept, but not with each of its messages
            left.append({name: part for name, part in parts.items() if name != "messages"})
        imported = _importing(_conversation_in(head), number, about)
        for message in messages:
            if isinstance(message, Unwritable):
                yield from kept_as_bytes(message, about, "a message that events cannot carry as JSON")
                continue
            alone = head.copy()  # a part of the value for each level: to unpack each into a new one takes longer
            alone["messages"] = [message]
            part = around.copy()
            part["threads"] = [alone]
            own = shared.copy()
            own["history"] = [part]
            try:
                yield imported(message, own)
            except UNFIT:
                yield from unrecognised(own, about, "history", "one of messages without what its model needs")
        count += len(messages)
    rest = {name: part for name, part in chunk.items() if name != "threads"} | ({"threads": left} if left else {})
    yield _progress(object_of(told), {**value, "history": [rest]}, count, errors, number, about)


def _progress(
    told: Json, value: Json, count: int, errors: list[int], number: Number, about: About, *where: str
) -> HistoryProgressed:
    """Its id is where it is in the history; another synchronisation, which tells the same again, has another entry."""
    places = (str(told.get(name)) for name in ("phase", "chunk_order", "progress"))
    parts = (number["phone_number_id"], *places, str(count), ",".join(map(str, errors)), *about.entry_id_parts, *where)
    return HistoryProgressed(
        **number,
        id=fact_id(HistoryProgressed.type, *parts),
        time=about.time,
        phase=whole_number(told.get("phase")),
        chunk_order=whole_number(told.get("chunk_order")),
        progress=whole_number(told.get("progress")),
        messages=count,
        declined=DECLINED in errors,
        error_codes=errors,
        value=value,
    )


class _Conversation(NamedTuple):
    """With whom a thread is."""

    who: Person
    group_id: str | None = None


def _conversation_in(thread: Json) -> _Conversation:
    """With whom a thread is: by `id` a number, or what Meta gives instead of it, and by `context` whatever it knows.

    Meta says that it leaves groups out. Were there one all the same, its id would be no number of anybody's.
    """
    context, named = object_of(thread.get("context")), number_of(thread.get("id"))
    group_id = text(thread.get("group_id")) or text(context.get("group_id")) or (named if is_group(named) else None)
    if group_id:
        return _Conversation(NOBODY, group_id)
    found = person_of(context, (), PLAIN)
    if named is None:
        return _Conversation(found)
    user_id = found.user_id or (named if BSUID.fullmatch(named) else None)
    contact = named if is_number(named) or named == user_id else found.contact
    return _Conversation(found._replace(contact=contact, user_id=user_id))


def _importing(conversation: _Conversation, number: Number, about: About) -> Callable[[Json, Json], MessageImported]:
    """What makes events of the messages of a thread with somebody: each of its own value."""
    who, group_id = conversation
    contact, user_id, parent_user_id, username = who
    business, phone_number_id = digits_of(number["display_phone_number"]), number["phone_number_id"]
    senders = (business, contact) if contact else ()
    id_of = fact_ids(MessageImported.type, phone_number_id)
    # All there are, in their order; a message's own take their places in a copy. To make a dictionary of them for each
    # takes twice as long.
    of_all: Json = {
        "id": None,
        "time": None,
        "org_id": number["org_id"],
        "source": "",
        "traceparent": None,
        "waba_id": number["waba_id"],
        "phone_number_id": phone_number_id,
        "display_phone_number": number["display_phone_number"],
        "wamid": None,
        "contact": contact,
        "user_id": user_id,
        "parent_user_id": parent_user_id,
        "username": username,
        "group_id": None,
        "from_business": None,
        "message_type": None,
        "original_wamid": None,
        "status": None,
        "value": None,
    }
    another: Callable[[Json], MessageImported] | None = None

    def imported(item: Json, value: Json) -> MessageImported:
        nonlocal another
        wamid, sender = item["id"], item.get("from")
        of_group = group_id or ("group_id" in item and text(item["group_id"])) or None
        usual = sender and sender in senders and (user_id or "from_user_id" not in item)
        message_type, original = type_of(item)
        context = item.get("history_context")
        status = text(context.get("status")) if isinstance(context, dict) else None  # pyright: ignore[reportUnknownMemberType]
        fields = of_all.copy()
        # The same message with more in it, or later with another status, is another fact.
        fields["id"] = id_of(wamid, message_type, status or "")
        fields["time"] = moment(item.get("timestamp")) or about.time
        fields["wamid"] = wamid
        fields["from_business"] = sender == business if usual else _is_from_business(item, business, contact)
        fields["message_type"] = message_type
        fields["original_wamid"] = original
        fields["status"] = status
        fields["value"] = value
        if of_group:
            fields["group_id"] = of_group
            return MessageImported.model_validate(fields | _told_in_group(of_group, who, item, business))
        if not usual:
            return MessageImported.model_validate(fields | _told_of(who, item, business))
        if another is None:
            first = MessageImported.model_validate(fields)
            another = like(first)
            return first
        # Thousands that differ in what is of the right type already, but for this one.
        return another(fields) if isinstance(wamid, str) else MessageImported.model_validate(fields)

    return imported


def _medium(kind: str, item: Any, value: Json, number: Number, about: About) -> MessageImported:
    """What a person sent is in `messages`, what the business sent in `message_echoes`."""
    contacts = items_of(value, "contacts")
    by_business = kind == "message_echoes" or _is_from_business(item, digits_of(number["display_phone_number"]), "")
    who = person_of(item, contacts, TO if by_business else FROM)
    return _importing(_Conversation(who), number, about)(item, value)


def _told_of(who: Person, item: Json, business: str) -> dict[str, str | None]:
    """What a message says of the person in its thread that the thread does not; only people have such ids."""
    to, sender = person_of(item, (), TO), person_of(item, (), FROM)
    beside = next((each.contact for each in (to, sender) if digits_of(each.contact) not in ("", business)), "")
    return {
        "contact": known(who.contact or who.user_id or beside or to.user_id or sender.user_id or ""),
        "user_id": who.user_id or to.user_id or sender.user_id,
        "parent_user_id": who.parent_user_id or to.parent_user_id or sender.parent_user_id,
    }


def _told_in_group(group_id: str, beside: Person, item: Json, business: str) -> dict[str, Any]:
    """Who wrote a message in a group: a participant, or the business, of which the thread has the group alone."""
    sender = person_of(item, (), FROM)
    by_business = digits_of(item.get("from")) == business
    if sender.contact == beside.contact:
        sender = beside
    elif by_business:
        sender = NOBODY
    return {**ids_of(sender), "contact": sender.contact or group_id, "from_business": by_business}


def _is_from_business(item: Json, business: str, contact: str) -> bool:
    """Who wrote it: `from` is the business's number, or not the person's; `to` stands in what the business sent."""
    sender, recipient = digits_of(item.get("from")), item.get("to") or item.get("to_user_id")
    if sender and sender in (business, digits_of(contact)):
        return sender == business
    if recipient:
        return digits_of(recipient) != business
    return bool(sender) and contact.isdigit()

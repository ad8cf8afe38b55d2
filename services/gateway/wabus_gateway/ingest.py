"""What did Meta tell us? A webhook's bytes become events, one for each message, status and change; nothing is lost.

Pure: no I/O, no clock. What has no model, or does not fit the one it has, is kept whole as `Unrecognised`.
Source: Meta, "Webhooks reference: WhatsApp Business Account".
"""

import base64
import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import orjson
from pydantic import ValidationError
from wabus_events import Event, MessageReceived, MessageStatusChanged, Unrecognised, fact_id

from wabus_gateway.changes import change_event
from wabus_gateway.payload import SMALL_STEPS, TooManyParts, Unwritable, parsed

Json = dict[str, Any]
Owner = Callable[[str], str | None]
"""The organisation that has a WABA connected, or None."""

_LATEST_SECONDS = 253_402_300_799  # 9999-12-31, the last moment a datetime holds
_SHARED = ("messaging_product", "metadata")  # small parts of a value that every message's event repeats


def facts_in(body: bytes, *, received_at: datetime, owner: Owner) -> Iterator[Event]:
    """The events of a correctly signed webhook, in its order. Linear in its size; never raises for its content."""
    for event in facts_in_slices(body, received_at=received_at, owner=owner):
        if event is not None:
            yield event


def facts_in_slices(body: bytes, *, received_at: datetime, owner: Owner) -> Iterator[Event | None]:
    """The same, none of whose steps takes more than some ms: None where one has made nothing yet."""
    try:
        payload: Any = yield from parsed(body)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        yield
        many = isinstance(error, TooManyParts)
        reason = "more parts than a webhook has" if many else "the body is no JSON that events can carry"
        yield whole(body, received_at=received_at, reason=reason)
        return
    if not isinstance(payload, dict):
        yield whole(body, received_at=received_at, reason="the body is no JSON object")
        return
    root = cast(Json, payload)
    entries = root.get("entry")
    if root.get("object") != "whatsapp_business_account" or not isinstance(entries, list):
        yield from _unrecognised(root, None, None, received_at, "not a webhook of a WhatsApp Business account", owner)
        return
    for entry in cast(list[Any], entries):
        yield from _facts_in_entry(entry, received_at, owner)
    extra = {key: value for key, value in root.items() if key not in ("object", "entry")}
    if extra or not entries:
        yield from _unrecognised(
            root if not entries else extra, None, None, received_at, "unknown parts beside entry", owner
        )


def whole(body: bytes, *, received_at: datetime, reason: str) -> Unrecognised:
    """A webhook that can't be taken apart, as the bytes that came."""
    return Unrecognised(
        id=fact_id(Unrecognised.type, hashlib.sha256(body).hexdigest()),
        time=received_at,
        reason=reason,
        body=base64.b64encode(body).decode(),
    )


def _facts_in_entry(entry: Any, received_at: datetime, owner: Owner) -> Iterator[Event | None]:
    if not isinstance(entry, dict):
        yield from _unrecognised(entry, None, None, received_at, "an entry is no object", owner)
        return
    parts = cast(Json, entry)
    waba_id, changes = parts.get("id"), parts.get("changes")
    time = moment(parts.get("time"))
    if not isinstance(waba_id, str | int) or isinstance(waba_id, bool) or not isinstance(changes, list) or not changes:
        yield from _unrecognised(parts, None, None, time or received_at, "an entry without id or changes", owner)
        return
    waba = str(waba_id)
    for change in cast(list[Any], changes):
        yield from _facts_in_change(waba, time, change, received_at, owner)
    understood = {"id", "changes", "time"} if time else {"id", "changes"}
    extra = {key: value for key, value in parts.items() if key not in understood}
    if extra:
        yield from _unrecognised(extra, waba, None, time or received_at, "unknown parts of an entry", owner)


def _facts_in_change(
    waba_id: str, entry_time: datetime | None, change: Any, received_at: datetime, owner: Owner
) -> Iterator[Event | None]:
    time = entry_time or received_at
    if isinstance(change, Unwritable):
        kept = whole(change.body, received_at=time, reason="a change that events cannot carry as JSON")
        yield
        yield kept.model_copy(update={"waba_id": waba_id, "org_id": owner(waba_id), "field": change.field})
        return
    parts = cast(Json, change) if isinstance(change, dict) else {}
    field, value = parts.get("field"), parts.get("value")
    if not isinstance(field, str) or not isinstance(value, dict) or set(parts) != {"field", "value"}:
        known = field if isinstance(field, str) else None
        yield from _unrecognised(change, waba_id, known, time, "a change is not just field and value", owner)
        return
    content = cast(Json, value)
    if field == "messages":
        yield from _conversation(waba_id, content, time, owner)
        return
    id_parts = _identity(waba_id, entry_time, parts)
    yield
    try:
        event = change_event(
            field,
            content,
            id_parts=id_parts,
            waba_id=waba_id,
            time=time,
            org_id=owner(waba_id),
        )
    except (KeyError, ValidationError):
        yield from _unrecognised(content, waba_id, field, time, f"a {field[:64]} without what its model needs", owner)
        return
    if event is None:
        yield from _unrecognised(content, waba_id, field, time, "no model for this field", owner)
    else:
        yield event


def _conversation(waba_id: str, value: Json, time: datetime, owner: Owner) -> Iterator[Event | None]:
    """Messages and statuses, each in an event with a value of its own: Meta's, with only this one item in it."""
    messages, statuses = _items(value, "messages"), _items(value, "statuses")
    count = len(messages) + len(statuses)
    if not count:
        yield from _unrecognised(value, waba_id, "messages", time, "neither messages nor statuses", owner)
        return
    contacts = _items(value, "contacts")
    taken = {"messages", "statuses", "contacts"}
    rest = {key: part for key, part in value.items() if key not in taken or not isinstance(part, list)}
    if count == 1:
        of_contact = {"": contacts} if contacts else {}
        left: Json = {}
    else:
        # What belongs to no single message goes into an event of its own, not into each: that keeps it linear.
        left = {key: part for key, part in rest.items() if key not in _SHARED}
        rest = {key: part for key, part in rest.items() if key in _SHARED}
        of_contact = yield from _by_contact(contacts)
    used: set[str] = set()
    for kind, items in (("messages", messages), ("statuses", statuses)):
        for item in items:
            contact = _contact(kind, item)
            whose = "" if count == 1 else contact
            # Alone in its value it keeps that untouched.
            own = (
                value
                if count == 1
                else {**rest, **({"contacts": of_contact[whose]} if whose in of_contact else {}), kind: [item]}
            )
            used.add(whose)
            try:
                yield _message(waba_id, contact, own, item, time, owner(waba_id), kind)
            except (KeyError, TypeError, ValidationError):
                yield from _unrecognised(
                    own, waba_id, "messages", time, f"one of {kind} without what its model needs", owner
                )
    unused = [contact for whose, group in of_contact.items() if whose not in used for contact in group]
    if unused:
        left["contacts"] = unused
    if left:
        yield from _unrecognised(
            {**rest, **left}, waba_id, "messages", time, "parts that belong to no single message", owner
        )


def _message(
    waba_id: str, contact: str, value: Json, item: Any, time: datetime, org_id: str | None, kind: str
) -> MessageReceived | MessageStatusChanged:
    metadata = value["metadata"]
    wamid: str = item["id"]
    happened = moment(item.get("timestamp")) or time
    if kind == "messages":
        return MessageReceived(
            id=fact_id(MessageReceived.type, wamid),
            time=happened,
            org_id=org_id,
            waba_id=waba_id,
            phone_number_id=metadata["phone_number_id"],
            display_phone_number=metadata.get("display_phone_number"),
            wamid=wamid,
            contact=contact,
            message_type=item.get("type") or "unknown",
            value=value,
        )
    # A message to a group has a status for each participant.
    participant = str(item.get("recipient_participant_id") or "")
    return MessageStatusChanged(
        id=fact_id(MessageStatusChanged.type, wamid, item["status"], contact, participant),
        time=happened,
        org_id=org_id,
        waba_id=waba_id,
        phone_number_id=metadata["phone_number_id"],
        display_phone_number=metadata.get("display_phone_number"),
        wamid=wamid,
        contact=contact,
        status=item["status"],
        error_codes=[error["code"] for error in item.get("errors") or []],
        value=value,
    )


def _contact(kind: str, item: Any) -> str:
    """Who is at the other end: a WhatsApp id, or the id that Meta gives where the number is hidden."""
    if not isinstance(item, dict):
        return ""
    names = ("from", "from_user_id") if kind == "messages" else ("recipient_id", "recipient_user_id")
    found = next((item[name] for name in names if item.get(name)), "")
    return found if isinstance(found, str) else ""


def _by_contact(contacts: Sequence[Any]) -> Generator[None, None, dict[str, list[Any]]]:
    grouped: dict[str, list[Any]] = {}
    for number, contact in enumerate(contacts, start=1):
        parts = cast(Json, contact) if isinstance(contact, dict) else {}
        whose = parts.get("wa_id") or parts.get("user_id") or ""
        grouped.setdefault(whose if isinstance(whose, str) else "", []).append(contact)
        if number % SMALL_STEPS == 0:
            yield
    return grouped


def _items(value: Json, name: str) -> list[Any]:
    found = value.get(name)
    return cast(list[Any], found) if isinstance(found, list) else []


def _unrecognised(
    value: Any, waba_id: str | None, field: str | None, time: datetime, reason: str, owner: Owner
) -> Iterator[Event | None]:
    identity = fact_id(Unrecognised.type, waba_id or "", field or "", _digest(value))
    yield  # 3 MB take 8 ms to digest, and as much again to encode
    yield Unrecognised(
        id=identity,
        time=time,
        org_id=owner(waba_id) if waba_id else None,
        waba_id=waba_id,
        field=field,
        reason=reason,
        value=value,
    )


def _identity(waba_id: str, entry_time: datetime | None, change: Mapping[str, Any]) -> tuple[str, ...]:
    return waba_id, entry_time.isoformat() if entry_time else "", _digest(change)


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def moment(value: Any) -> datetime | None:
    """Meta's times: seconds since 1970 as a number or a string of digits; in some webhooks milliseconds."""
    try:
        seconds = float(int(value))
    except (TypeError, ValueError, OverflowError):
        return None
    if seconds > 100_000_000_000:
        seconds /= 1000
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds <= _LATEST_SECONDS else None

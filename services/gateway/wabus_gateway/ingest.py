"""What did Meta tell us? A webhook's bytes become events, one for each message, status and change; nothing is lost.

Pure: no I/O, no clock. What has no model, or does not fit the one it has, is kept whole as `Unrecognised`.
Source: Meta, "Webhooks reference: WhatsApp Business Account".
"""

import base64
import gc
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import orjson
from pydantic import ValidationError
from wabus_events import Event, MessageReceived, MessageStatusChanged, Unrecognised, fact_id

from wabus_gateway.changes import change_event

Json = dict[str, Any]
Owner = Callable[[str], str | None]
"""The organisation that has a WABA connected, or None."""

# Numbers beyond 64 bits would come back rounded from the fast parser; so many digits in a row may stand for one.
# Looking for them this way takes a tenth of a regular expression's time.
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_MAYBE_A_HUGE_NUMBER = b"0" * 19
DEEPEST = 200  # levels that every JSON library on the way writes and reads
_LARGE = 64 * 1024  # bytes of a body
_LATEST_SECONDS = 253_402_300_799  # 9999-12-31, the last moment a datetime holds
_SHARED = ("messaging_product", "metadata")  # small parts of a value that every message's event repeats


def facts_in(body: bytes, *, received_at: datetime, owner: Owner) -> Iterator[Event]:
    """The events of a correctly signed webhook, in its order. Linear in its size; never raises for its content."""
    try:
        payload = _parse(body)
    except (ValueError, TypeError, LookupError, RecursionError):
        yield whole(body, received_at=received_at, reason="the body is no JSON that events can carry")
        return
    if not isinstance(payload, dict):
        yield whole(body, received_at=received_at, reason="the body is no JSON object")
        return
    root = cast(Json, payload)
    entries = root.get("entry")
    if root.get("object") != "whatsapp_business_account" or not isinstance(entries, list):
        yield _unrecognised(root, None, None, received_at, "not a webhook of a WhatsApp Business account", owner)
        return
    for entry in cast(list[Any], entries):
        yield from _facts_in_entry(entry, received_at, owner)
    extra = {key: value for key, value in root.items() if key not in ("object", "entry")}
    if extra or not entries:
        yield _unrecognised(
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


def has_huge_number(body: bytes) -> bool:
    """Whether a number in it may have more than 64 bits; a long row of digits in a text counts as one."""
    return _MAYBE_A_HUGE_NUMBER in body.translate(_DIGITS_TO_ZERO)


def _parse(body: bytes) -> Any:
    """The JSON of a body, exactly. Raises ValueError, TypeError or RecursionError where it could not be passed on."""
    if has_huge_number(body):
        return _unwritable_apart(_lenient(body))
    try:
        payload = _loads(body)
    except orjson.JSONDecodeError:  # a lone surrogate, perhaps: half an emoji, where somebody cut a name
        return _unwritable_apart(_lenient(body))
    return _unwritable_apart(payload) if body.count(b"[") + body.count(b"{") > DEEPEST else payload


def _loads(body: bytes) -> Any:
    """Parse without looking for garbage meanwhile: with tens of thousands of objects that is most of the time."""
    collecting = len(body) > _LARGE and gc.isenabled()
    if collecting:
        gc.disable()
    try:
        return orjson.loads(body)
    finally:
        if collecting:
            gc.enable()


def _lenient(body: bytes) -> Any:
    return json.loads(body.decode(), parse_float=_finite, parse_constant=_finite)


@dataclass(frozen=True, slots=True)
class _Unwritable:
    """A change that events can't carry as JSON: a number beyond 64 bits, a lone surrogate, hundreds of levels."""

    field: str | None
    body: bytes


def _unwritable_apart(payload: Any) -> Any:
    """The payload with such changes as `_Unwritable`, so that one of them does not take the others with it."""
    if _is_writable(payload):
        return payload
    for entry in payload["entry"]:
        entry["changes"] = [change if _is_writable(change) else _unwritable(change) for change in entry["changes"]]
    orjson.dumps(payload, default=lambda _change: None)
    return payload


def _unwritable(change: Any) -> _Unwritable:
    field = cast(Json, change).get("field") if isinstance(change, dict) else None
    return _Unwritable(field if isinstance(field, str) and _is_writable(field) else None, json.dumps(change).encode())


def _is_writable(payload: Any) -> bool:
    try:
        orjson.dumps([[[[payload]]]])  # an event nests it a little deeper
    except TypeError:
        return False
    return True


def _finite(number: str) -> float:
    if not math.isfinite(float(number)):
        raise ValueError("no number of JSON, or one beyond a double")
    return float(number)


def _facts_in_entry(entry: Any, received_at: datetime, owner: Owner) -> Iterator[Event]:
    if not isinstance(entry, dict):
        yield _unrecognised(entry, None, None, received_at, "an entry is no object", owner)
        return
    parts = cast(Json, entry)
    waba_id, changes = parts.get("id"), parts.get("changes")
    time = moment(parts.get("time"))
    if not isinstance(waba_id, str | int) or isinstance(waba_id, bool) or not isinstance(changes, list) or not changes:
        yield _unrecognised(parts, None, None, time or received_at, "an entry without id or changes", owner)
        return
    waba = str(waba_id)
    for change in cast(list[Any], changes):
        yield from _facts_in_change(waba, time, change, received_at, owner)
    understood = {"id", "changes", "time"} if time else {"id", "changes"}
    extra = {key: value for key, value in parts.items() if key not in understood}
    if extra:
        yield _unrecognised(extra, waba, None, time or received_at, "unknown parts of an entry", owner)


def _facts_in_change(
    waba_id: str, entry_time: datetime | None, change: Any, received_at: datetime, owner: Owner
) -> Iterator[Event]:
    time = entry_time or received_at
    if isinstance(change, _Unwritable):
        kept = whole(change.body, received_at=time, reason="a change that events cannot carry as JSON")
        yield kept.model_copy(update={"waba_id": waba_id, "org_id": owner(waba_id), "field": change.field})
        return
    parts = cast(Json, change) if isinstance(change, dict) else {}
    field, value = parts.get("field"), parts.get("value")
    if not isinstance(field, str) or not isinstance(value, dict) or set(parts) != {"field", "value"}:
        known = field if isinstance(field, str) else None
        yield _unrecognised(change, waba_id, known, time, "a change is not just field and value", owner)
        return
    content = cast(Json, value)
    if field == "messages":
        yield from _conversation(waba_id, content, time, owner)
        return
    try:
        event = change_event(
            field,
            content,
            id_parts=_identity(waba_id, entry_time, parts),
            waba_id=waba_id,
            time=time,
            org_id=owner(waba_id),
        )
    except (KeyError, ValidationError):
        yield _unrecognised(content, waba_id, field, time, f"a {field[:64]} without what its model needs", owner)
        return
    yield event or _unrecognised(content, waba_id, field, time, "no model for this field", owner)


def _conversation(waba_id: str, value: Json, time: datetime, owner: Owner) -> Iterator[Event]:
    """Messages and statuses, each in an event with a value of its own: Meta's, with only this one item in it."""
    messages, statuses = _items(value, "messages"), _items(value, "statuses")
    count = len(messages) + len(statuses)
    if not count:
        yield _unrecognised(value, waba_id, "messages", time, "neither messages nor statuses", owner)
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
        of_contact = _by_contact(contacts)
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
                yield _unrecognised(
                    own, waba_id, "messages", time, f"one of {kind} without what its model needs", owner
                )
    unused = [contact for whose, group in of_contact.items() if whose not in used for contact in group]
    if unused:
        left["contacts"] = unused
    if left:
        yield _unrecognised(
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


def _by_contact(contacts: Sequence[Any]) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = {}
    for contact in contacts:
        parts = cast(Json, contact) if isinstance(contact, dict) else {}
        whose = parts.get("wa_id") or parts.get("user_id") or ""
        grouped.setdefault(whose if isinstance(whose, str) else "", []).append(contact)
    return grouped


def _items(value: Json, name: str) -> list[Any]:
    found = value.get(name)
    return cast(list[Any], found) if isinstance(found, list) else []


def _unrecognised(
    value: Any, waba_id: str | None, field: str | None, time: datetime, reason: str, owner: Owner
) -> Unrecognised:
    return Unrecognised(
        id=fact_id(Unrecognised.type, waba_id or "", field or "", _digest(value)),
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

"""What did Meta tell us? A webhook's bytes become events, one for each message, status and change; nothing is lost.

Pure: no I/O, no clock. What has no model, or does not fit the one it has, is kept whole as `Unrecognised`.
Source: Meta, "Webhooks reference: WhatsApp Business Account".
"""

import base64
import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeGuard, cast

import orjson
from pydantic import ValidationError
from wabus_events import Event, MessageReceived, MessageStatusChanged, MessagingFailed, Unrecognised, fact_id

from wabus_gateway.webhooks.changes import change_event
from wabus_gateway.webhooks.sliced_json import SMALL_STEPS, TooManyParts, Unwritable, parsed

Json = dict[str, Any]
Owner = Callable[[str], str | None]
"""The organisation that has a WABA connected, or None."""

_LATEST_SECONDS = 253_402_300_799  # 9999-12-31, the last moment a datetime holds
PARTICIPANT_IDS = ("recipient_participant_id", "recipient_participant_user_id", "participant_recipient_id")
"""Members of a group's status that say whose it is, the first first: a number, what Meta gives instead of it, and the
number's name in older examples."""
_PEOPLE = ("from", "from_user_id", "recipient_id", "recipient_user_id", *PARTICIPANT_IDS)
"""Members of a message or a status that say which of the value's contacts are its own."""
_MOST_CONTACTS = 10  # of one person: Meta sends one, and to repeat many with each message would not be linear
_SHARED = ("messaging_product", "metadata")  # small parts of a value that every message's event repeats


def facts_in(body: bytes, *, received_at: datetime, owner: Owner, app_id: str | None = None) -> Iterator[Event]:
    """The events of a correctly signed webhook, in its order. Linear in its size; never raises for its content.

    `app_id` is our own app's, to know what Meta tells of others.
    """
    for event in facts_in_slices(body, received_at=received_at, owner=owner, app_id=app_id):
        if event is not None:
            yield event


def facts_in_slices(
    body: bytes, *, received_at: datetime, owner: Owner, app_id: str | None = None
) -> Iterator[Event | None]:
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
    nobody = _About(None, None, received_at, owner, app_id)
    if root.get("object") != "whatsapp_business_account" or not isinstance(entries, list):
        yield from _unrecognised(root, nobody, None, "not a webhook of a WhatsApp Business account")
        return
    for entry in cast(list[Any], entries):
        yield from _facts_in_entry(entry, nobody)
    extra = {key: value for key, value in root.items() if key not in ("object", "entry")}
    if extra or not entries:
        yield from _unrecognised(root if not entries else extra, nobody, None, "unknown parts beside entry")


def whole(body: bytes, *, received_at: datetime, reason: str) -> Unrecognised:
    """A webhook that can't be taken apart, as the bytes that came."""
    return Unrecognised(
        id=fact_id(Unrecognised.type, hashlib.sha256(body).hexdigest()),
        time=received_at,
        reason=reason,
        body=base64.b64encode(body).decode(),
    )


@dataclass(frozen=True, slots=True)
class _About:
    """Whom a part of a webhook is about, and when Meta says that it happened."""

    waba_id: str | None
    entry_time: datetime | None
    received_at: datetime
    owner: Owner
    app_id: str | None = None
    portfolio_id: str | None = None
    """The business portfolio that the entry is for, where that is not the account's own entry."""

    @property
    def time(self) -> datetime:
        return self.entry_time or self.received_at

    @property
    def org_id(self) -> str | None:
        return self.owner(self.waba_id) if self.waba_id else None

    @property
    def entry_id_parts(self) -> tuple[str, ...]:
        """What tells the same words in two entries apart. Not when it was received: a repetition is the same fact."""
        time = (self.entry_time.isoformat(),) if self.entry_time else ()
        return (*time, *_present(self.portfolio_id))


def _facts_in_entry(entry: Any, nobody: _About) -> Iterator[Event | None]:
    if not isinstance(entry, dict):
        yield from _unrecognised(entry, nobody, None, "an entry is no object")
        return
    parts = cast(Json, entry)
    entry_id, changes = parts.get("id"), parts.get("changes")
    time = moment(parts.get("time"))
    if not _is_id(entry_id) or not isinstance(changes, list) or not changes:
        # Its time is in what is kept, and so in the identity.
        about = replace(nobody, received_at=time or nobody.received_at)
        yield from _unrecognised(parts, about, None, "an entry without id or changes")
        return
    about = replace(nobody, waba_id=str(entry_id), entry_time=time)
    for change in cast(list[Any], changes):
        yield from _facts_in_change(about, change)
    understood = {"id", "changes", "time"} if time else {"id", "changes"}
    extra = {key: value for key, value in parts.items() if key not in understood}
    if extra:
        yield from _unrecognised(extra, about, None, "unknown parts of an entry")


def _facts_in_change(entry: _About, change: Any) -> Iterator[Event | None]:
    if isinstance(change, Unwritable):
        about = _about_change(entry, change.field, None)
        digest = hashlib.sha256(change.body).hexdigest()
        kept = whole(change.body, received_at=about.time, reason="a change that events cannot carry as JSON")
        yield
        yield kept.model_copy(
            update={
                "id": fact_id(Unrecognised.type, about.waba_id or "", digest, *about.entry_id_parts),
                "waba_id": about.waba_id,
                "portfolio_id": about.portfolio_id,
                "org_id": about.org_id,
                "field": change.field,
            }
        )
        return
    parts = cast(Json, change) if isinstance(change, dict) else {}
    field, value = parts.get("field"), parts.get("value")
    about = _about_change(entry, field, value)
    if not isinstance(field, str) or not isinstance(value, dict) or set(parts) != {"field", "value"}:
        known = field if isinstance(field, str) else None
        yield from _unrecognised(change, about, known, "a change is not just field and value")
        return
    content = cast(Json, value)
    if field == "messages":
        yield from _conversation(content, about)
        return
    id_parts = _identity(about, parts)
    yield
    try:
        event = change_event(
            field,
            content,
            id_parts=id_parts,
            waba_id=about.waba_id or "",
            portfolio_id=about.portfolio_id,
            time=about.time,
            org_id=about.org_id,
            app_id=about.app_id,
        )
    except (KeyError, ValidationError):
        yield from _unrecognised(content, about, field, f"a {field[:64]} without what its model needs")
        return
    if event is None:
        yield from _unrecognised(content, about, field, "no model for this field")
    else:
        yield event


def _about_change(entry: _About, field: Any, value: Any) -> _About:
    """Whom a change is about: the account that it names, else its entry's.

    What Meta tells a partner is in an entry of the partner's business portfolio: `partner_solutions` always, and
    those events of `account_update` that have a `waba_info`. Source: Meta, "account_update webhook reference",
    "partner_solutions webhook reference".
    """
    match field, value:
        case "partner_solutions", _:
            return replace(entry, waba_id=None, portfolio_id=entry.waba_id)
        case "account_update", {"waba_info": {"waba_id": named}} if named and _is_id(named):
            waba_id = str(named)
            return entry if waba_id == entry.waba_id else replace(entry, waba_id=waba_id, portfolio_id=entry.waba_id)
        case _:
            return entry


def _conversation(value: Json, about: _About) -> Iterator[Event | None]:
    """Messages and statuses, each in an event with a value of its own: Meta's, with only this one item in it."""
    messages, statuses = _items(value, "messages"), _items(value, "statuses")
    count = len(messages) + len(statuses)
    if not count:
        yield
        try:
            yield _failed(value, about)
        except (KeyError, TypeError, ValidationError):
            yield from _unrecognised(value, about, "messages", "neither messages nor statuses")
        return
    contacts = _items(value, "contacts")
    taken = {"messages", "statuses", "contacts"}
    rest = {key: part for key, part in value.items() if key not in taken or not isinstance(part, list)}
    if count == 1:
        by_id: dict[str, list[int]] = {}
        left: Json = {}
    else:
        # What belongs to no single message goes into an event of its own, not into each: that keeps it linear.
        left = {key: part for key, part in rest.items() if key not in _SHARED}
        rest = {key: part for key, part in rest.items() if key in _SHARED}
        by_id = yield from _by_id(contacts)
    used: set[int] = set()
    for kind, items in (("messages", messages), ("statuses", statuses)):
        for item in items:
            # Alone in its value it keeps that untouched.
            own = value
            if count > 1:
                whose = _whose(item, by_id)
                used.update(whose)
                own = {**rest, **({"contacts": [contacts[number] for number in whose]} if whose else {}), kind: [item]}
            try:
                yield _message(_contact(kind, item), own, item, about, kind)
            except (KeyError, TypeError, ValidationError):
                yield from _unrecognised(own, about, "messages", f"one of {kind} without what its model needs")
    unused = [contact for number, contact in enumerate(contacts) if number not in used] if count > 1 else []
    if unused:
        left["contacts"] = unused
    if left:
        yield from _unrecognised({**rest, **left}, about, "messages", "parts that belong to no single message")


def _message(contact: str, value: Json, item: Any, about: _About, kind: str) -> MessageReceived | MessageStatusChanged:
    metadata = value["metadata"]
    wamid: str = item["id"]
    happened = moment(item.get("timestamp")) or about.time
    waba_id = about.waba_id or ""
    if kind == "messages":
        return MessageReceived(
            id=fact_id(MessageReceived.type, wamid),
            time=happened,
            org_id=about.org_id,
            waba_id=waba_id,
            phone_number_id=metadata["phone_number_id"],
            display_phone_number=metadata.get("display_phone_number"),
            wamid=wamid,
            contact=contact,
            group_id=_text(item.get("group_id")),
            message_type=item.get("type") or "unknown",
            value=value,
        )
    return MessageStatusChanged(
        id=fact_id(MessageStatusChanged.type, wamid, item["status"], contact, *_status_id_parts(item)),
        time=happened,
        org_id=about.org_id,
        waba_id=waba_id,
        phone_number_id=metadata["phone_number_id"],
        display_phone_number=metadata.get("display_phone_number"),
        wamid=wamid,
        contact=contact,
        status=item["status"],
        error_codes=[error["code"] for error in item.get("errors") or []],
        value=value,
    )


def _failed(value: Json, about: _About) -> MessagingFailed:
    """Errors of a number that belong to no message.

    Raises KeyError, TypeError or ValidationError where the value is something else.
    """
    metadata = value["metadata"]
    identity = fact_id(MessagingFailed.type, about.waba_id or "", _digest(value), *about.entry_id_parts)
    return MessagingFailed(
        id=identity,
        time=about.time,
        org_id=about.org_id,
        waba_id=about.waba_id or "",
        phone_number_id=metadata["phone_number_id"],
        display_phone_number=metadata.get("display_phone_number"),
        error_codes=[error["code"] for error in value["errors"]],
        value=value,
    )


def _status_id_parts(item: Json) -> tuple[str, ...]:
    """What tells statuses of one message apart, beside status and recipient: the participant, and the payment.

    A message to a group has a status for each participant. An order has one for each attempt to pay and each refund;
    attempts may share a transaction's id, which can be the id of the order with the payment provider.
    Source: Meta, "Business-scoped user IDs", "Payments API", payment status webhooks.
    """
    participant = next((str(item[name]) for name in PARTICIPANT_IDS if item.get(name)), "")
    if item.get("type") != "payment":
        return (participant,)
    return participant, "payment", _digest(item.get("payment"))


def _contact(kind: str, item: Any) -> str:
    """Who is at the other end: a WhatsApp id, or the id that Meta gives where the number is hidden."""
    if not isinstance(item, dict):
        return ""
    names = ("from", "from_user_id") if kind == "messages" else ("recipient_id", "recipient_user_id")
    return _text(next((item[name] for name in names if item.get(name)), None)) or ""


def _text(part: Any) -> str | None:
    return part if isinstance(part, str) and part else None


def _by_id(contacts: Sequence[Any]) -> Generator[None, None, dict[str, list[int]]]:
    """Which contacts have an id, be it a WhatsApp id or what Meta gives beside or instead of it."""
    found: dict[str, list[int]] = {}
    for number, contact in enumerate(contacts):
        for each in _ids(contact, ("wa_id", "user_id")):
            found.setdefault(each, []).append(number)
        if number % SMALL_STEPS == 0:
            yield
    return found


def _whose(item: Any, by_id: Mapping[str, Sequence[int]]) -> list[int]:
    """Which contacts are those of a message or a status; what belongs to too many is left to be kept once."""
    found = [by_id.get(each, ()) for each in _ids(item, _PEOPLE)]
    return sorted({number for numbers in found if len(numbers) <= _MOST_CONTACTS for number in numbers})


def _ids(part: Any, names: Sequence[str]) -> Iterator[str]:
    if isinstance(part, dict):
        for name in names:
            found = cast(Json, part).get(name)
            if found and isinstance(found, str):
                yield found


def _items(value: Json, name: str) -> list[Any]:
    found = value.get(name)
    return cast(list[Any], found) if isinstance(found, list) else []


def _unrecognised(value: Any, about: _About, field: str | None, reason: str) -> Iterator[Event | None]:
    identity = fact_id(Unrecognised.type, about.waba_id or "", field or "", _digest(value), *about.entry_id_parts)
    yield  # 3 MB take 8 ms to digest, and as much again to encode
    yield Unrecognised(
        id=identity,
        time=about.time,
        org_id=about.org_id,
        waba_id=about.waba_id,
        portfolio_id=about.portfolio_id,
        field=field,
        reason=reason,
        value=value,
    )


def _identity(about: _About, change: Mapping[str, Any]) -> tuple[str, ...]:
    time = about.entry_time.isoformat() if about.entry_time else ""
    return about.waba_id or "", time, _digest(change), *_present(about.portfolio_id)


def _present(part: str | None) -> tuple[str, ...]:
    return () if part is None else (part,)


def _is_id(value: Any) -> TypeGuard[str | int]:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def moment(value: Any) -> datetime | None:
    """Meta's times: seconds since 1970 as a number or a string of digits; in some webhooks milliseconds."""
    if isinstance(value, bool):
        return None
    try:
        seconds = float(int(value))
    except (TypeError, ValueError, OverflowError):
        return None
    if seconds > 100_000_000_000:
        seconds /= 1000
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds <= _LATEST_SECONDS else None

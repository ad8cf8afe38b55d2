"""The most frequent webhook, one message or one status, as its Kafka record without a model in between.

Pure, and only a shortcut: whatever is unusual in the least is left to `ingest`, and what comes out here is, byte for
byte, what the models make of it (tests/gateway/unit/test_single_event.py). It takes a fifth of the time.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from wabus_events import MESSAGES, MessageReceived, MessageStatusChanged, Record, fact_id
from wabus_events.webhooks.about import Owner
from wabus_events.webhooks.items import PARTICIPANT_IDS
from wabus_events.webhooks.values import moment
from wabus_events.wire.envelope import envelope_headers, rfc3339

from wabus_gateway.webhooks.sliced_json import DEEPEST, has_huge_number

# What a status may need for its identity: of a group, of a payment.
_TOLD_APART = frozenset({*PARTICIPANT_IDS, "recipient_type", "type"})


class SingleEvent(NamedTuple):
    """A webhook with one fact in it. `kind` is the name of the fact's model."""

    kind: str
    waba_id: str
    org_id: str | None
    time: datetime
    record: Record


def single_event_of(body: bytes, *, owner: Owner, source: str) -> SingleEvent | None:
    """The fact of a correctly signed webhook that holds just one message or status in its usual form, else None."""
    if has_huge_number(body) or body.count(b"[") + body.count(b"{") > DEEPEST:
        return None
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    found = _only_value(payload)
    if found is None:
        return None
    waba_id, value = found
    messages, statuses, metadata = value.get("messages"), value.get("statuses"), value.get("metadata")
    if type(metadata) is not dict or "errors" in value:
        return None
    phone_number_id, display = metadata.get("phone_number_id"), metadata.get("display_phone_number")
    item = _only(messages if statuses is None else statuses if messages is None else None)
    if item is None or type(phone_number_id) is not str or not (display is None or type(display) is str):
        return None
    wamid, timestamp = item.get("id"), item.get("timestamp")
    if statuses is None:
        contact, user_id, parent_user_id = item.get("from"), item.get("from_user_id"), item.get("from_parent_user_id")
    else:
        contact, user_id = item.get("recipient_id"), item.get("recipient_user_id")
        parent_user_id = item.get("recipient_parent_user_id")
    told_at = _time(timestamp) if type(timestamp) is str else None
    if type(wamid) is not str or type(contact) is not str or not contact.isdecimal() or told_at is None:
        return None
    happened, time = told_at
    username = None
    if contacts := value.get("contacts"):
        known = _only(contacts)
        if known is None:
            return None
        if "user_id" in known:
            told = known["user_id"]
            if user_id is None:
                user_id = told
            elif user_id != told:
                return None
        parent_user_id = parent_user_id or known.get("parent_user_id")
        profile = known.get("profile")
        if type(profile) is dict and "username" in profile:
            username = profile["username"]
    if not (user_id is parent_user_id is username is None or _are_texts(user_id, parent_user_id, username)):
        return None
    if statuses is None:
        message_type = item.get("type")
        if type(message_type) is not str or not message_type or message_type == "system" or "group_id" in item:
            return None
        model = MessageReceived
        identity = fact_id(model.type, wamid)
        fields = {
            "waba_id": waba_id,
            "phone_number_id": phone_number_id,
            "display_phone_number": display,
            "wamid": wamid,
            "contact": contact,
            "user_id": user_id,
            "parent_user_id": parent_user_id,
            "username": username,
            "group_id": None,
            "message_type": message_type,
            "value": value,
        }
    else:
        status = item.get("status")
        if type(status) is not str or item.get("errors") or not _TOLD_APART.isdisjoint(item):
            return None
        model = MessageStatusChanged
        identity = fact_id(model.type, wamid, status, contact, "")
        fields = {
            "waba_id": waba_id,
            "phone_number_id": phone_number_id,
            "display_phone_number": display,
            "wamid": wamid,
            "contact": contact,
            "user_id": user_id,
            "parent_user_id": parent_user_id,
            "username": username,
            "group_id": None,
            "participant": None,
            "participant_user_id": None,
            "status": status,
            "error_codes": [],
            "value": value,
        }
    org_id = owner(waba_id)
    headers = envelope_headers(identity, source, model, time, waba_id, org_id)
    record = Record(MESSAGES.name, f"{phone_number_id}:{contact}".encode(), orjson.dumps(fields), headers)
    return SingleEvent(model.__name__, waba_id, org_id, happened, record)


def _only_value(payload: Any) -> tuple[str, dict[str, Any]] | None:
    """The WABA and the value of a payload with one entry that has one change of the field `messages`."""
    if type(payload) is not dict or len(payload) != 2 or payload.get("object") != "whatsapp_business_account":
        return None
    entry = _only(payload.get("entry"))
    if entry is None or len(entry) > 3:
        return None
    waba_id, change = entry.get("id"), _only(entry.get("changes"))
    if type(waba_id) is not str or not waba_id or change is None:
        return None
    if len(entry) == 3 and moment(entry.get("time")) is None:
        return None
    value = change.get("value")
    if len(change) != 2 or change.get("field") != "messages" or type(value) is not dict:
        return None
    return waba_id, value


def _only(items: Any) -> dict[str, Any] | None:
    """The one object in a list of one."""
    if type(items) is not list or len(items) != 1 or type(items[0]) is not dict:
        return None
    return items[0]


def _are_texts(*parts: Any) -> bool:
    """Whether each is None or a text that is not empty."""
    return all(part is None or (part and type(part) is str) for part in parts)


@lru_cache(maxsize=4096)
def _time(timestamp: str) -> tuple[datetime, bytes] | None:
    """Meta's time, and how an event's header has it."""
    found = moment(timestamp)
    return (found, rfc3339(found)) if found else None

"""What of a record may be published again, when it comes from an export or from the dead letters. Pure.

Such a record was written by this release, an earlier or a later one, or could not be read at all: whatever it is, it
brings back nobody who was forgotten since, and no person into a topic that is kept for ever.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, cast

import orjson
from wabus_events import (
    CONVERSATIONS,
    ERASURES,
    EVENTS,
    MESSAGES,
    SENDS,
    AccountForgotten,
    ContactForgotten,
    HealthChanged,
    OrganisationForgotten,
    Record,
    contact_id,
)
from wabus_events.webhooks.lasting_values import lasting_value
from wabus_events.wire.plain_names import plain_names

from wabus_whatsapp.forgetting import Lines, people_named

_ID_IN_TEXT = re.compile(r"\+?\d{5,30}|[A-Z]{2}\.[A-Za-z0-9.]{1,140}")

Fields = dict[str, Any]


def record_respecting(record: Record, lines: Lines, logged_at: datetime | None = None) -> Record | None:
    """What is left of a record when whoever was forgotten since is not in it any more; None if nothing is.

    The same object where nothing has to go. `logged_at` is when it was logged, where its own time can't be read.
    """
    fields, changed = _fields(record), without_persons(record)
    attributes = {name: _text(content) for name, content in record.headers}
    at = _time(attributes.get("ce_time"), record.timestamp_ms, logged_at)
    if record.topic == ERASURES.name or lines.newest is None or (at is not None and at > lines.newest):
        return changed
    # Of what nobody can tell when it was, it may have been before each line.
    at = at or datetime.min.replace(tzinfo=UTC)
    org_id = attributes.get("ce_orgid")
    # The key is in the header too, but where a record is too broken to have one.
    names = {org_id, attributes.get("ce_subject"), _text(record.key), _account_of(fields)}
    if any(lines.covers(kind, name, at) for kind in (OrganisationForgotten, AccountForgotten) for name in names):
        return None
    if record.topic in (MESSAGES.name, SENDS.name, CONVERSATIONS.name):
        people = people_named(fields) if fields else _people_in_text(record)
        scopes = (org_id, "") if org_id else ("",)
        if any(lines.covers(ContactForgotten, who, at, scope) for who in people for scope in scopes):
            return None

    def forget(fields: Fields) -> None:
        reasons = fields.get("reasons")
        if isinstance(reasons, list):
            fields["reasons"] = [
                one for one in cast(list[Any], reasons) if not lines.covers(AccountForgotten, _account_of(one), at)
            ]

    if attributes.get("ce_type") == HealthChanged.type:
        return _changed(changed, forget)
    return changed


def without_persons(record: Record) -> Record:
    """A record without what releases before 0.3 wrote of persons into topics that are kept for ever.

    The same object where there is nothing of that.
    """
    kind = EVENTS.get(_text(dict(record.headers).get("ce_type")))

    def tidy(fields: Fields) -> None:
        for name in plain_names(fields):
            fields[name] = None
        if kind is not None and isinstance(fields.get("value"), dict):
            fields["value"] = lasting_value(kind, fields["value"])

    return _changed(record, tidy)


def _changed(record: Record, change: Callable[[Fields], None]) -> Record:
    fields = _fields(record)
    if fields is None:
        return record
    before = orjson.dumps(fields)
    change(fields)
    value = orjson.dumps(fields)
    return record if value == before else Record(record.topic, record.key, value, record.headers, record.timestamp_ms)


def _people_in_text(record: Record) -> Iterable[str]:
    return {contact_id(found) for found in _ID_IN_TEXT.findall(_text(record.value))}


def _fields(record: Record) -> Fields | None:
    try:
        fields = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return None
    return cast(Fields, fields) if isinstance(fields, dict) else None


def _account_of(reason: Any) -> str | None:
    waba_id = cast(Fields, reason).get("waba_id") if isinstance(reason, dict) else None
    return waba_id if isinstance(waba_id, str) else None


def _time(ce_time: str | None, timestamp_ms: int | None, logged_at: datetime | None) -> datetime | None:
    """When it happened, or where that can't be read, when it was logged."""
    try:
        at = datetime.fromisoformat(ce_time or "")
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        return logged_at if timestamp_ms is None else datetime.fromtimestamp(timestamp_ms / 1000, UTC)


def _text(content: bytes | None) -> str:
    return (content or b"").decode(errors="replace")

"""CloudEvents 1.0 in Kafka's binary mode: attributes in `ce_` headers, the event's own fields as a JSON value.

Source: CloudEvents "Kafka Protocol Binding", section 3.2 (binary content mode); "Distributed Tracing" extension.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

import orjson
from pydantic import BaseModel, ValidationError

from wabus_events.models.event import EVENTS, Event
from wabus_events.wire.plain_names import plain_names
from wabus_events.wire.upcasting import Fields, newest, upcasted

Headers = list[tuple[str, bytes]]


@dataclass(slots=True)
class Record:
    """What goes into Kafka. `value` is None for a tombstone; `topic` has no prefix.

    Nobody changes one but to add headers. It is not frozen, for that takes three times as long, at each event.
    """

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers
    timestamp_ms: int | None = None


class UndecodableRecord(Exception):
    """A record that is no event of ours, or a broken one. The message names what is wrong, never the content."""


class UnknownEventType(UndecodableRecord):
    """A CloudEvent of a type that this version of `wabus_events` does not have: skip it, or upgrade."""


def encode(event: Event, source: str) -> Record:
    """The Kafka record of an event; `source` is the publishing service, such as `/wabus/gateway`."""
    # What a model has is asked for of its dictionary: each attribute takes it four times as long.
    fields = event.__dict__.copy()
    identity, time, org_id = fields.pop("id"), rfc3339(fields.pop("time")), fields.pop("org_id")
    traceparent = fields.pop("traceparent")
    del fields["source"]
    headers = envelope_headers(identity, source, event.__class__, time, event.subject, org_id)
    if traceparent:
        headers.append(("ce_traceparent", traceparent.encode()))
    value = orjson.dumps(fields, default=_plain, option=orjson.OPT_UTC_Z)
    return Record(event.topic.name, event.key.encode(), value, headers)


def envelope_headers(
    identity: str, source: str, model: type[Event], time: bytes, subject: str | None, org_id: str | None
) -> Headers:
    """The headers of a record of such an event; `time` is RFC 3339."""
    sender, event_type = _of_all_such(source, model)
    return [
        _SPECVERSION,
        ("ce_id", identity.encode()),
        sender,
        event_type,
        ("ce_time", time),
        _CONTENT_TYPE,
        *_of_an_account(subject, org_id),
    ]


_SPECVERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")

# What many records have is there once: of the thousands that wait for Kafka, each object that they need less counts.


@lru_cache(maxsize=512)
def _of_all_such(source: str, model: type[Event]) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    return ("ce_source", source.encode()), ("ce_type", model.type.encode())


@lru_cache(maxsize=4096)
def _of_an_account(subject: str | None, org_id: str | None) -> tuple[tuple[str, bytes], ...]:
    named = ("ce_subject", subject), ("ce_orgid", org_id)
    return tuple((name, text.encode()) for name, text in named if text)


def rfc3339(time: datetime) -> bytes:
    """A moment in UTC, ending in Z."""
    moment = time if time.tzinfo is UTC else time.astimezone(UTC)
    return orjson.dumps(moment, option=orjson.OPT_UTC_Z)[1:-1]  # a third of the time of isoformat


def tombstone(event_type: type[Event], key: str) -> Record:
    """The record that removes `key` from a compacted topic."""
    return Record(event_type.topic.name, key.encode(), None, [])


def decode(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Event:
    """The event of a Kafka record.

    A record of an older version comes out as the newest one, through its upcasters, and without the plain names of
    people that releases before 0.3 wrote.
    Raises `UnknownEventType` where the type is not one of `EVENTS`, `UndecodableRecord` where an attribute is
    missing, the value is no JSON object, or a field does not fit.
    """
    attributes = dict(headers)
    try:
        event_type = attributes["ce_type"].decode()
        fields: dict[str, object] = {
            "id": attributes["ce_id"].decode(),
            "time": _moment(attributes["ce_time"].decode()),
            "source": attributes["ce_source"].decode(),
        }
    except KeyError as missing:
        raise UndecodableRecord(f"the record has no {missing.args[0]} header") from None
    except AttributeError:  # Kafka has headers without a value
        raise UndecodableRecord("a ce_ header has no value") from None
    except UnicodeDecodeError:
        raise UndecodableRecord("a ce_ header is not UTF-8") from None
    if not fields["id"]:
        raise UndecodableRecord("the record's ce_id is empty")
    model = EVENTS.get(event_type) or newest(event_type)
    if model is None:
        raise UnknownEventType(f"no event is called {event_type[:100]!r}")
    if org_id := attributes.get("ce_orgid"):
        fields["org_id"] = org_id.decode(errors="replace")
    if traceparent := attributes.get("ce_traceparent"):
        fields["traceparent"] = traceparent.decode(errors="replace")
    if value is None:
        raise UndecodableRecord(f"a record of {event_type} has no value")
    try:
        payload = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise UndecodableRecord(f"the value of a {event_type} is no JSON") from None
    if not isinstance(payload, dict):
        raise UndecodableRecord(f"the value of a {event_type} is no JSON object")
    if event_type != model.type:
        payload = _upcasted(event_type, payload)
    for name in plain_names(payload):
        payload[name] = None
    try:
        payload.update(fields)
        return model.__pydantic_validator__.validate_python(payload)  # a fifth less than `model_validate`
    except ValidationError as invalid:
        where = ", ".join(sorted({".".join(map(str, error["loc"])) for error in invalid.errors()}))
        raise UndecodableRecord(f"a {event_type} does not fit its model at: {where}") from None


def _moment(text: str) -> datetime | str:
    """A moment with `UTC` itself, which pydantic has one of for each: two of those take 17 times as long to compare."""
    if text[10:11] != "T" or text[-1:] != "Z":
        return text
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _upcasted(event_type: str, payload: Fields) -> Fields:
    try:
        return upcasted(event_type, payload)
    except Exception as error:
        raise UndecodableRecord(f"a {event_type} could not be upcast: {type(error).__name__}") from None


def _plain(part: object) -> object:
    if isinstance(part, BaseModel):
        return orjson.Fragment(part.model_dump_json())
    if isinstance(part, Decimal):  # as text, which no reader rounds
        return format(part, "f")
    raise TypeError(f"{type(part).__name__} is no JSON")

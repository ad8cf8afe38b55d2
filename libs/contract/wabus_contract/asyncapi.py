"""The AsyncAPI 3.0 document of wabus: its topics as channels, its events as messages. Pure."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from wabus_events.models.event import Event
from wabus_events.models.topics import Topic

from wabus_contract.publishing import owner_of, what_it_says, when_published
from wabus_contract.schemas import schema_of

PREFIX = "wabus."

ABOUT = """\
What wabus tells about WhatsApp Business accounts: CloudEvents 1.0 in Kafka's binary mode, attributes in `ce_` headers,
the event's fields as a JSON value. Read committed; drop duplicates by `ce_id`; ignore fields and types you do not know.
The topics' names begin with `wabus.`, or with what a deployment sets as TOPIC_PREFIX."""

HEADERS: dict[str, tuple[str, str, bool]] = {
    "ce_specversion": ("Always 1.0.", "1.0", True),
    "ce_id": ("The same fact has the same id, however often it is delivered.", "", True),
    "ce_source": ("The service that says so.", "/wabus/gateway", True),
    "ce_type": ("The event and its version.", "", True),
    "ce_time": ("When it happened, as its source tells it (RFC 3339, UTC).", "2026-01-02T03:04:05.678901Z", True),
    "content-type": ("Of the value.", "application/json", True),
    "ce_subject": ("What it is about: the WABA id, or the organisation.", "102290129340398", False),
    "ce_orgid": ("The platform's organisation; absent while nobody has connected the WABA.", "demo", False),
    "ce_traceparent": ("W3C trace context of the webhook or request that led to it.", "", False),
}


def document(kinds: Sequence[type[Event]]) -> dict[str, Any]:
    """The whole document for these events."""
    topics = list(dict.fromkeys(kind.topic for kind in kinds))
    schemas: dict[str, Any] = {"Headers": _headers()}
    messages: dict[str, Any] = {}
    for kind in kinds:
        schema = _embedded(schema_of(kind))
        schemas.update(schema.pop("$defs", {}))
        schemas[_name(kind)] = schema
        messages[_name(kind)] = _message(kind)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "wabus", "version": "1", "description": ABOUT},
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "variables": {"bootstrap": {"default": "127.0.0.1:19092", "description": "KAFKA_BOOTSTRAP_SERVERS"}},
            }
        },
        "channels": {topic.name: _channel(topic, kinds) for topic in topics},
        "operations": {
            f"publish-{topic.name.partition('.')[0]}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{topic.name}"},
                "summary": topic.about,
            }
            for topic in topics
        },
        "components": {"messages": messages, "schemas": dict(sorted(schemas.items()))},
    }


def to_yaml(value: Any, indent: str = "") -> str:
    """YAML in block style with JSON's scalars, which YAML 1.2 has too (section 1.3, "Relation to JSON")."""
    return "".join(f"{line}\n" for line in _lines(value, indent))


def _lines(value: Any, indent: str) -> Iterator[str]:
    pairs = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, item in pairs:
        mark = "-" if key is None else f"{json.dumps(key, ensure_ascii=False) if _needs_quotes(key) else key}:"
        if isinstance(item, dict | list) and item:
            yield f"{indent}{mark}"
            yield from _lines(item, indent + "  ")
        else:
            yield f"{indent}{mark} {json.dumps(item, ensure_ascii=False)}"


def _needs_quotes(key: str) -> bool:
    return not key.replace("_", "").replace("-", "").replace(".", "").isalnum() or key in ("null", "true", "false")


def _name(kind: type[Event]) -> str:
    return kind.type.removeprefix(PREFIX)


def _channel(topic: Topic, kinds: Sequence[type[Event]]) -> dict[str, Any]:
    config = topic.config()
    return {
        "address": PREFIX + topic.name,
        "description": topic.about,
        "messages": {_name(k): {"$ref": f"#/components/messages/{_name(k)}"} for k in kinds if k.topic == topic},
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [config["cleanup.policy"]],
                    "retention.ms": int(config["retention.ms"]),
                    "max.message.bytes": int(config["max.message.bytes"]),
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(kind: type[Event]) -> dict[str, Any]:
    return {
        "name": kind.type,
        "title": kind.__name__,
        "summary": when_published(kind),
        "description": what_it_says(kind),
        "contentType": "application/json",
        "tags": [{"name": owner_of(kind)}],
        "headers": {"$ref": "#/components/schemas/Headers"},
        "payload": {"$ref": f"#/components/schemas/{_name(kind)}"},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": kind.topic.key}, "bindingVersion": "0.5.0"},
        },
    }


def _headers() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": about, **({"examples": [sample]} if sample else {})}
            for name, (about, sample, _) in HEADERS.items()
        },
        "required": [name for name, (_, _, required) in HEADERS.items() if required],
    }


def _embedded(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema as part of the document: no dialect or id of its own, shared definitions among the components."""

    def moved(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: moved(item) for key, item in part.items()}
        if isinstance(part, list):
            return [moved(item) for item in part]
        if isinstance(part, str) and part.startswith("#/$defs/"):
            return part.replace("#/$defs/", "#/components/schemas/")
        return part

    return {key: moved(part) for key, part in schema.items() if key not in ("$schema", "$id")}

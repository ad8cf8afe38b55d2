"""What may change in a published version of an event, and what may not: two JSON Schemas compared. Pure.

Records stay in Kafka for ever and subscribers upgrade when they like. So every old record must fit the new schema,
and every new record the old one: only a new optional field does both. And it stays where it is, for subscribers read it
there, in an order that its key and the number of partitions give.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

NEW_VERSION = """\
A published version never changes that way. Make a new one:
  1. class {name}(…, version={next}) with the fields as they shall be;
  2. @upcast("{type}"), a function from the old fields to the new ones (wabus_events/wire/upcasting.py), beside it;
  3. python -m wabus_contract.catalogue
The old version's schema and golden record stay committed: they show that old records can still be read."""

NEW_PLACE = """\
A published event stays in its topic, under its key, in as many partitions. To move it:
  1. declare a new topic beside the old one (wabus_events/models/topics.py): {topic}
  2. class {name}(…, topic=…, version={next}) with the key it shall have, and @upcast("{type}") beside it
  3. python -m wabus_contract.catalogue
The old topic stays as long as its records do; consumers read both, the old one to its end."""

PLACE = {
    "topic": "subscribers read it there, and its old records stay there",
    "partitions": "keys would go to other partitions, and what shares one out of its order",
    "compacted": "a compacted topic keeps the newest record of each key only, another one every record",
}
"""Where a version is published, and what moving it would do."""

CONSTRAINTS = (
    "format", "enum", "const", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip


def breaks(old: Schema, new: Schema) -> list[str]:
    """Why `new` can't replace `old` under the same version; empty if it can."""
    return list(_object("", old, new, old, new))


def moves(old: Schema, new: Schema) -> list[str]:
    """Where a version would be published otherwise than before; empty for a schema that does not say where it was."""
    before, after = old.get("x-kafka", {}), new["x-kafka"]
    return [
        f"{name} was {before[name]!r}, is {after[name]!r}; {why}"
        for name, why in PLACE.items()
        if name in before and before[name] != after[name]
    ]


def how_to_move(event_type: str, topic: str) -> str:
    """What to do instead of moving, or keying otherwise, an event that was published in a topic."""
    name, _, version = event_type.rpartition(".v")
    stem, _, number = topic.rpartition(".v")
    following = f'Topic("{stem}.v{int(number) + 1}", …)' if number.isdecimal() else "Topic(…)"
    return NEW_PLACE.format(name=name.removeprefix("wabus."), type=event_type, next=int(version) + 1, topic=following)


def how_to_go_on(event_type: str) -> str:
    """What to do instead, for the person who made the change."""
    name, _, version = event_type.rpartition(".v")
    return NEW_VERSION.format(name=name.removeprefix("wabus."), type=event_type, next=int(version) + 1)


def _object(path: str, old: Schema, new: Schema, old_root: Schema, new_root: Schema) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name, schema in before.items():
        where = f"{path}{name}"
        if name not in after:
            yield f"{where}: removed; subscribers read it"
        else:
            yield from _value(where, schema, after[name], old_root, new_root)
    for name in sorted(set(new.get("required", [])) - set(old.get("required", []))):
        yield f"{path}{name}: required now; old records lack it"
    for name in sorted((set(old.get("required", [])) - set(new.get("required", []))) & set(after)):
        yield f"{path}{name}: required no more; subscribers count on it"


def _value(where: str, old: Schema, new: Schema, old_root: Schema, new_root: Schema) -> Iterator[str]:
    before, after = _alternatives(old, old_root), _alternatives(new, new_root)
    if narrowed := sorted(before.keys() - after.keys()):
        yield f"{where}: may no longer be {' or '.join(narrowed)}; old records are"
    if widened := sorted(after.keys() - before.keys()):
        yield f"{where}: may now be {' or '.join(widened)} too; subscribers do not expect it"
    for kind in sorted(before.keys() & after.keys()):
        one, other = before[kind], after[kind]
        for constraint in CONSTRAINTS:
            if one.get(constraint) != other.get(constraint):
                yield f"{where}: {constraint} was {one.get(constraint)!r}, is {other.get(constraint)!r}"
        if kind == "array":
            yield from _value(f"{where}[]", one.get("items", {}), other.get("items", {}), old_root, new_root)
        if kind == "object":
            yield from _object(f"{where}.", one, other, old_root, new_root)
            values = [part.get("additionalProperties", True) for part in (one, other)]
            inner = [part if isinstance(part, dict) else {} for part in values]
            yield from _value(f"{where}.*", inner[0], inner[1], old_root, new_root)


def _alternatives(schema: Schema, root: Schema) -> dict[str, Schema]:
    """What a value may be, by JSON type; `anything` for a schema that says nothing. References are followed."""
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].rpartition("/")[2]]
        return _alternatives(target, root)
    if "anyOf" in schema:
        return {kind: found for part in schema["anyOf"] for kind, found in _alternatives(part, root).items()}
    if "enum" in schema and "type" not in schema:
        return {"string": schema}
    types = schema.get("type", "anything")
    return dict.fromkeys(types if isinstance(types, list) else [types], schema)

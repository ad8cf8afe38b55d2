"""`python -m wabus_contract.catalogue`: write everything that is generated from the event models, for people to commit.

JSON Schemas (libs/events/schemas), the AsyncAPI document (libs/events/asyncapi.yaml), the catalogue page
(docs/catalogue), and a golden record for each new version (tests/contract/golden), which is never written again.
Refuses where a published version would change incompatibly.
"""

import argparse
import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from wabus_events.models.credentials import PRIVATE_TOPICS
from wabus_events.models.event import EVENTS
from wabus_events.testing import example
from wabus_events.wire.envelope import decode, encode
from wabus_events.wire.upcasting import newest

from wabus_contract.asyncapi import document, to_yaml
from wabus_contract.catalogue_page import page
from wabus_contract.compatibility import breaks, how_to_go_on, how_to_move, moves
from wabus_contract.schemas import schema_of

COMMAND = "python -m wabus_contract.catalogue"
ROOT = Path(__file__).parents[3]
SCHEMAS = Path("libs/events/schemas")
ASYNCAPI = Path("libs/events/asyncapi.yaml")
GOLDEN = Path("tests/contract/golden")
PAGE = Path("docs/catalogue/index.html")


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--unreleased",
        action="append",
        default=[],
        metavar="TYPE",
        help="make the schema and golden record of this type anew; only before its first release: wabus.Name.v1",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something would change")
    arguments = parser.parse_args()
    if not (ROOT / SCHEMAS.parent).is_dir():
        sys.exit("this writes into a checkout of wabus: install libs/events from one with pip install -e")
    for event_type in arguments.unreleased:
        _path(SCHEMAS, event_type).unlink(missing_ok=True)
        _path(GOLDEN, event_type).unlink(missing_ok=True)
    if problems := incompatible(published(ROOT / SCHEMAS)) + rekeyed(published(ROOT / GOLDEN)):
        sys.exit("\n".join(problems))
    changed = [path for path, text in generated(ROOT).items() if _read(ROOT / path) != text]
    if arguments.check:
        sys.exit(f"out of date: {', '.join(map(str, changed))}; run {COMMAND}" if changed else 0)
    texts = generated(ROOT)
    for path in changed:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(texts[path], encoding="utf-8")
        print("wrote", path)


def generated(root: Path) -> dict[Path, str]:
    """What the files must contain, by their path in the checkout. Golden records that exist are left out."""
    public = sorted(
        (kind for kind in EVENTS.values() if kind.topic not in PRIVATE_TOPICS),
        key=lambda kind: (kind.topic.name, kind.type),
    )
    files = {
        ASYNCAPI: f"# Written by {COMMAND}\n{to_yaml(document(public))}",
        PAGE: page(public),
    }
    for event_type, kind in sorted(EVENTS.items()):
        files[SCHEMAS / f"{event_type}.json"] = _json(schema_of(kind))
        golden = GOLDEN / f"{event_type}.json"
        if not (root / golden).exists():
            files[golden] = _json(golden_record(event_type))
    return files


def golden_record(event_type: str) -> dict[str, Any]:
    """A record with every field filled, as this version writes it."""
    record = encode(example(EVENTS[event_type]), "/wabus/example")
    return {
        "key": record.key.decode(),
        "headers": {name: value.decode() for name, value in record.headers},
        "value": json.loads(record.value or b"null"),
    }


def published(folder: Path) -> dict[str, dict[str, Any]]:
    """The committed schemas, or golden records, by event type."""
    return {path.name.removesuffix(".json"): json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))}


def incompatible(schemas: Mapping[str, dict[str, Any]], *, types: Collection[str] | None = None) -> list[str]:
    """What is wrong with the models of today, seen from published schemas, and what to do about it."""
    problems: list[str] = []
    for event_type, schema in schemas.items():
        if types is not None and event_type not in types:
            continue
        if event_type in EVENTS:
            now = schema_of(EVENTS[event_type])
            found, moved = breaks(schema, now), moves(schema, now)
            problems += [f"{event_type}: {one}" for one in found + moved]
            problems += [how_to_go_on(event_type)] if found else []
            problems += [how_to_move(event_type, EVENTS[event_type].topic.name)] if moved else []
        elif newest(event_type) is None:
            problems += [
                f"{event_type}: records of it are in Kafka for ever, and neither a model nor an upcaster reads them",
                how_to_go_on(event_type),
            ]
    return problems


def rekeyed(golden: Mapping[str, dict[str, Any]]) -> list[str]:
    """Which events would get another key than their golden records have, and what to do about it."""
    problems: list[str] = []
    for event_type, record in golden.items():
        if event_type not in EVENTS:
            continue
        headers = [(name, value.encode()) for name, value in record["headers"].items()]
        key = decode(headers, json.dumps(record["value"]).encode()).key
        if key != record["key"]:
            problems += [
                f"{event_type}: key was {record['key']!r}, is {key!r}; what belongs together would be out of its order",
                how_to_move(event_type, EVENTS[event_type].topic.name),
            ]
    return problems


def _path(folder: Path, event_type: str) -> Path:
    return ROOT / folder / f"{event_type}.json"


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()

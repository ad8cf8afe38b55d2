"""A published version never changes incompatibly, and every record ever written can be read."""

import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, create_model
from wabus_contract.catalogue import (
    COMMAND,
    GOLDEN,
    SCHEMAS,
    generated,
    golden_record,
    incompatible,
    published,
    rekeyed,
)
from wabus_contract.compatibility import breaks
from wabus_contract.schemas import schema_of
from wabus_events import ACCOUNTS, EVENTS, TEMPLATES, Event, Topic, UndecodableRecord, WabaEvent, decode, encode, upcast
from wabus_events.models.event import fact_id
from wabus_events.testing import NOW, an, only_here
from wabus_events.wire.plain_names import plain_names
from wabus_events.wire.upcasting import Fields

ROOT = Path(__file__).parents[2]
GOLDEN_RECORDS = {path.name.removesuffix(".json"): path for path in sorted((ROOT / GOLDEN).glob("*.json"))}


def test_published_versions_have_not_changed_incompatibly() -> None:
    problems = incompatible(published(ROOT / SCHEMAS)) + rekeyed(published(ROOT / GOLDEN))
    assert not problems, "\n".join(problems)


def test_not_even_by_rewriting_the_schemas_of_the_last_release() -> None:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30)
        return done.stdout if done.returncode == 0 else ""

    tags = git("tag", "--list", "v*", "--merged", "HEAD", "--sort=-version:refname").split()
    paths = git("ls-tree", "--name-only", f"{tags[0]}:{SCHEMAS}").split() if tags else []
    released = {path.removesuffix(".json"): orjson.loads(git("show", f"{tags[0]}:{SCHEMAS}/{path}")) for path in paths}
    assert not (problems := incompatible(released)), "\n".join(problems)


def test_what_is_generated_is_committed_as_it_would_be_generated_now() -> None:
    stale = [
        str(path)
        for path, text in generated(ROOT).items()
        if not (ROOT / path).exists() or (ROOT / path).read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run `{COMMAND}` and commit: {', '.join(stale)}"


def test_every_version_ever_published_has_a_golden_record() -> None:
    assert GOLDEN_RECORDS.keys() == published(ROOT / SCHEMAS).keys()


@pytest.mark.parametrize("event_type", GOLDEN_RECORDS)
def test_a_record_of_long_ago_is_read_as_it_was_meant(event_type: str) -> None:
    golden = orjson.loads(GOLDEN_RECORDS[event_type].read_bytes())
    event = decode(as_kafka_has_them(golden["headers"]), orjson.dumps(golden["value"]))
    assert (event.id, event.org_id) == (golden["headers"]["ce_id"], golden["headers"]["ce_orgid"])
    if event_type in EVENTS:
        assert event.key == golden["key"]
        nameless = dict.fromkeys(plain_names(golden["value"]))  # who asked is read as nobody since 0.3
        assert includes(event.model_dump(mode="json"), {**golden["value"], **nameless})


def as_kafka_has_them(headers: dict[str, str]) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in headers.items()]


def includes(read: Any, written: Any) -> bool:
    """Whether everything written is there; fields that came later may be there too."""
    if isinstance(read, dict) and isinstance(written, dict):
        return all(name in read and includes(read[name], part) for name, part in written.items())
    if isinstance(read, list) and isinstance(written, list):
        return len(read) == len(written) and all(map(includes, read, written))
    return read == written


class Inner(BaseModel):
    a: str


class Before(BaseModel):
    kept: str
    number: int
    maybe: str | None = None
    inner: Inner
    many: list[Inner] = []
    counts: dict[str, int] = {}
    value: dict[str, Any] = {}


def changed(**fields: Any) -> list[str]:
    """What is wrong when these fields of `Before` are declared otherwise; None removes one."""
    kept: dict[str, Any] = {
        name: (info.annotation, info) for name, info in Before.model_fields.items() if name not in fields
    }
    declared = {name: part for name, part in fields.items() if part is not None}
    after = create_model("Before", **kept, **declared)
    return breaks(Before.model_json_schema(mode="serialization"), after.model_json_schema(mode="serialization"))


class InnerWithout(BaseModel):
    b: str = ""


def test_a_new_optional_field_is_compatible() -> None:
    assert changed() == []
    assert changed(more=(str | None, None), further=(list[str], [])) == []


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"kept": None}, "kept: removed"),
        ({"maybe": None}, "maybe: removed"),
        ({"more": (str, ...)}, "more: required now"),
        ({"number": (str, ...)}, "number: may no longer be integer"),
        ({"maybe": (str, "")}, "maybe: may no longer be null"),
        ({"number": (int | None, ...)}, "number: may now be null too"),
        ({"kept": (str, "")}, "kept: required no more"),
        ({"kept": (date, ...)}, "kept: format was None, is 'date'"),
        ({"inner": (InnerWithout, ...)}, "inner.a: removed"),
        ({"many": (list[InnerWithout], [])}, "many[].a: removed"),
        ({"counts": (dict[str, str], {})}, "counts.*: may no longer be integer"),
        ({"value": (dict[str, int], {})}, "value.*: may no longer be anything"),
    ],
)
def test_an_incompatible_change_is_named(fields: dict[str, Any], complaint: str) -> None:
    assert any(found.startswith(complaint) for found in changed(**fields)), changed(**fields)


def test_who_breaks_a_version_is_told_how_to_make_a_new_one() -> None:
    with only_here():

        class Teleported(WabaEvent, topic=ACCOUNTS):
            where: str

        schema = schema_of(Teleported)
        schema["properties"]["gone"] = {"type": "string"}
        problems = "\n".join(incompatible({Teleported.type: schema}))
    assert "wabus.Teleported.v1: gone: removed" in problems
    assert "version=2" in problems
    assert '@upcast("wabus.Teleported.v1")' in problems


@pytest.mark.parametrize(
    ("topic", "complaint"),
    [
        (TEMPLATES, "topic was 'accounts.v1', is 'templates.v1'; subscribers read it there"),
        (replace(ACCOUNTS, partitions=24), "partitions was 12, is 24; keys would go to other partitions"),
        (replace(ACCOUNTS, compacted=True), "compacted was False, is True"),
    ],
)
def test_who_moves_a_published_event_is_told_how_to_do_it_with_a_new_topic(topic: Topic, complaint: str) -> None:
    with only_here():
        before = schema_of(teleported(ACCOUNTS))
    with only_here():
        teleported(topic)
        problems = "\n".join(incompatible({"wabus.Teleported.v1": before}))
    assert f"wabus.Teleported.v1: {complaint}" in problems
    assert f'Topic("{topic.name.removesuffix("1")}2", …)' in problems
    assert "version=2" in problems


def test_who_gives_a_published_event_another_key_is_told_the_same() -> None:
    with only_here():
        before = golden_record(teleported(ACCOUNTS).type)
        assert rekeyed({"wabus.Teleported.v1": before}) == []
    with only_here():

        class Teleported(WabaEvent, topic=ACCOUNTS):
            where: str

            @property
            def key(self) -> str:
                return self.where

        problems = "\n".join(rekeyed({Teleported.type: before}))
    assert f"wabus.Teleported.v1: key was {before['key']!r}, is 'a where'" in problems
    assert "To move it" in problems


def teleported(topic: Topic) -> type[Event]:
    class Teleported(WabaEvent, topic=topic):
        where: str

    return Teleported


def test_a_schema_from_before_it_said_where_it_is_published_can_still_be_compared() -> None:
    schemas = published(ROOT / SCHEMAS)
    for schema in schemas.values():
        del schema["x-kafka"]
    assert incompatible(schemas) == []


def test_a_published_event_that_nothing_reads_any_more_is_named() -> None:
    assert any("wabus.Forgotten.v1" in problem for problem in incompatible({"wabus.Forgotten.v1": {}}))


V1_HEADERS = {
    "ce_id": fact_id("wabus.Teleported.v1", "1"), "ce_type": "wabus.Teleported.v1", "ce_source": "/wabus/gateway",
    "ce_time": "2026-01-02T03:04:05.678901Z", "ce_orgid": "demo",
}  # fmt: skip


def test_an_old_record_comes_out_as_the_newest_version_through_each_step() -> None:
    with only_here():

        class Teleported(WabaEvent, topic=ACCOUNTS, version=3):
            """Was somewhere, is elsewhere."""

            places: list[str]
            metres: int

        @upcast("wabus.Teleported.v1")
        def _(old: Fields) -> Fields:
            return {"waba_id": old["waba_id"], "origin": old["from"], "target": old["to"]}

        @upcast("wabus.Teleported.v2")
        def _(old: Fields) -> Fields:
            return {**old, "places": [old["origin"], old["target"]], "metres": 0}

        event = decode(as_kafka_has_them(V1_HEADERS), b'{"waba_id": "7", "from": "here", "to": "there"}')
        assert isinstance(event, Teleported)
        assert (event.places, event.metres, event.id, event.org_id, event.time) == (
            ["here", "there"], 0, V1_HEADERS["ce_id"], "demo", NOW,
        )  # fmt: skip
        assert incompatible({"wabus.Teleported.v1": {}, "wabus.Teleported.v2": {}}) == []
        again = encode(event, event.source)
        assert decode(again.headers, again.value) == event


def test_an_upcaster_that_fails_is_an_undecodable_record_and_quotes_nothing() -> None:
    with only_here():

        class Teleported(WabaEvent, topic=ACCOUNTS, version=2):
            place: str

        @upcast("wabus.Teleported.v1")
        def _(old: Fields) -> Fields:
            raise ValueError(old["to"])

        with pytest.raises(UndecodableRecord) as caught:
            decode(as_kafka_has_them(V1_HEADERS), b'{"waba_id": "7", "to": "private"}')
    assert Teleported.version == 2
    assert "private" not in str(caught.value)


def test_a_golden_record_holds_every_field() -> None:
    for event_type, kind in EVENTS.items():
        assert golden_record(event_type)["value"].keys() == kind.model_fields.keys() - Event.model_fields.keys()


def test_built_events_have_ids_of_their_own_and_what_was_asked_for() -> None:
    kind = EVENTS["wabus.TemplatesSynced.v1"]
    one, other = an(kind, approved=3), an(kind, org_id=None)
    assert one.id != other.id
    assert one.model_dump()["approved"] == 3
    assert other.org_id is None

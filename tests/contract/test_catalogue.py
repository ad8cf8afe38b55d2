"""The catalogue page answers what a stranger asks of each event, and leads nowhere that is not there."""

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from wabus_contract.catalogue_page import TEST
from wabus_contract.publishing import owner_of
from wabus_contract.schemas import schema_of
from wabus_events import EVENTS, PRIVATE_TOPICS, TOPICS, Event
from wabus_events.testing import an, example

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/catalogue/index.html"
PUBLIC = [kind for kind in EVENTS.values() if kind.topic not in PRIVATE_TOPICS]
SERVICES = {
    "gateway",
    "template-sync",
    "health-projector",
    "sender",
    "conversations",
    "insights",
    "wabus",
}  # the last is the command


@pytest.fixture(scope="module")
def html() -> str:
    return PAGE.read_text(encoding="utf-8")


def article(html: str, kind: type[Event]) -> str:
    return html.partition(f'<article id="{kind.__name__}">')[2].partition("</article>")[0]


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_each_event_says_when_what_where_how_long_and_whose_with_an_example_that_is_valid(
    html: str, kind: type[Event]
) -> None:
    told = dict(re.findall(r"<dt>(\w+)</dt><dd>(.+?)</dd>", article(html, kind)))
    assert told.keys() == {"When", "Type", "Topic", "Key", "Kept", "Owner", "Schema"}
    assert told["Owner"] in SERVICES
    assert kind.type in told["Type"]
    shown = unescape(article(html, kind).partition("<pre>")[2].partition("</pre>")[0])
    headers, _, value = shown.partition("\n\n")
    assert f"ce_type: {kind.type}\n" in headers
    assert json.loads(value) == example(kind).model_dump(mode="json")
    jsonschema_rs.validator_for(schema_of(kind)).validate(json.loads(value))


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_each_field_has_a_meaning_and_an_example_that_somebody_thought_about(kind: type[Event]) -> None:
    schema = schema_of(kind)
    for part in (schema, *schema.get("$defs", {}).values()):
        for name, field in part["properties"].items():
            assert "$ref" in field or field.get("description"), f"{part['title']}.{name} has no meaning"
    invented = re.findall(r'"a [a-z_]+"', example(kind).model_dump_json())
    assert not invented, f"wabus_events/samples.py should say what stands for {invented}"


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self.targets += [names["href"] or ""] if "href" in names else []
        self.places += [names["id"] or ""] if "id" in names else []


def test_every_link_leads_somewhere(html: str) -> None:
    links = Links()
    links.feed(html)
    assert len(links.places) == len(set(links.places))
    for target in links.targets:
        if target.startswith("#"):
            assert target[1:] in links.places, target
        elif not target.startswith("https://"):
            assert (PAGE.parent / target).exists(), target


def test_owners_are_services_and_topics_are_all_there(html: str) -> None:
    assert {owner_of(kind) for kind in PUBLIC} == SERVICES
    for topic in {kind.topic for kind in PUBLIC}:
        assert topic in TOPICS
        assert f'id="{topic.name}"' in html


async def test_the_pages_test_passes() -> None:
    names: dict[str, Any] = {}
    exec(TEST, names)
    await names["test_approved_templates_are_billed"]()


def test_a_built_event_is_valid_too() -> None:
    for kind in EVENTS.values():
        jsonschema_rs.validator_for(schema_of(kind)).validate(an(kind).model_dump(mode="json"))

"""The schemas say what the models accept, and what each field means."""

from pathlib import Path

import jsonschema_rs
import orjson
import pytest
from wabus_contract.catalogue_page import page
from wabus_contract.schemas import schema_of
from wabus_events import EVENTS, Event, MessageReceived, TemplateChanged, TemplatesSynced, encode
from wabus_events.testing import an, example

SCHEMAS = Path(__file__).parents[3] / "libs/events/schemas"


@pytest.mark.parametrize("kind", list(EVENTS.values()), ids=list(EVENTS))
def test_what_we_write_fits_the_committed_schema(kind: type[Event]) -> None:
    schema = orjson.loads((SCHEMAS / f"{kind.type}.json").read_bytes())
    jsonschema_rs.meta.validate(schema)
    for event in (an(kind), example(kind)):
        value = encode(event, "/wabus/test").value
        assert value is not None
        jsonschema_rs.validate(schema, orjson.loads(value))


def test_a_value_with_a_field_of_the_wrong_type_does_not_fit() -> None:
    value = an(TemplatesSynced).model_dump(mode="json") | {"approved": "three"}
    assert not jsonschema_rs.is_valid(schema_of(TemplatesSynced), value)


def test_docstrings_beneath_fields_become_descriptions_nested_models_included() -> None:
    schema = schema_of(TemplateChanged)
    assert schema["properties"]["changed_fields"]["description"].startswith("Which fields")
    assert "APPROVED" in schema["$defs"]["Template"]["properties"]["status"]["description"]


def test_the_envelope_is_not_part_of_the_value() -> None:
    assert not schema_of(TemplatesSynced)["properties"].keys() & Event.model_fields.keys()


def test_the_page_escapes_what_models_say_and_links_each_event_once() -> None:
    kinds = [TemplatesSynced, TemplateChanged, MessageReceived]
    html = page(kinds)
    assert html.count('<article id="TemplatesSynced">') == 1
    assert "list of string" in html
    assert "Grüße 👋" in html
    assert "Meta's" not in html
    for kind in kinds:
        assert f'href="#{kind.__name__}"' in html

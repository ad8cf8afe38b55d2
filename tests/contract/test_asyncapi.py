"""The AsyncAPI document says what the code does, in the official parser's eyes too."""

import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from node_packages import installed
from wabus_contract.asyncapi import document, to_yaml
from wabus_events import EVENTS, PRIVATE_TOPICS, Event, encode
from wabus_events.testing import an, example

ROOT = Path(__file__).parents[2]
ASYNCAPI = ROOT / "libs/events/asyncapi.yaml"
PUBLIC = [kind for kind in EVENTS.values() if kind.topic not in PRIVATE_TOPICS]


@pytest.fixture(scope="module")
def committed() -> Any:
    return yaml.safe_load(ASYNCAPI.read_text(encoding="utf-8"))


def test_what_we_write_is_the_yaml_of_what_we_mean() -> None:
    meant = document(PUBLIC)
    assert yaml.safe_load(to_yaml(meant)) == meant


def test_the_official_parser_finds_nothing_wrong() -> None:
    folder = installed(ROOT / "tests/contract/asyncapi")
    done = subprocess.run(
        ["node", str(ROOT / "tests/contract/asyncapi/validate.mjs"), str(ASYNCAPI)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("valid: "), done.stdout


def test_every_reference_leads_somewhere(committed: Any) -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, list):
            return [found for item in part for found in references(item)]
        if not isinstance(part, dict):
            return []
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for item in part.values() for found in references(item)]

    for reference in references(committed):
        target = committed
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.type)
def test_a_record_of_ours_is_a_message_of_the_document(committed: Any, kind: type[Event]) -> None:
    name = kind.type.removeprefix("wabus.")
    assert name in committed["channels"][kind.topic.name]["messages"]
    definitions = {"components": committed["components"]}
    payload = jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{name}", **definitions})
    headers = jsonschema_rs.validator_for({"$ref": "#/components/schemas/Headers", **definitions})
    for event in (an(kind), example(kind)):
        record = encode(event, "/wabus/test")
        payload.validate(event.model_dump(mode="json"))
        headers.validate({name: value.decode() for name, value in record.headers})


def test_credentials_are_in_no_public_document() -> None:
    for path in (ASYNCAPI, ROOT / "docs/catalogue/index.html"):
        assert "CredentialStored" not in path.read_text(encoding="utf-8")

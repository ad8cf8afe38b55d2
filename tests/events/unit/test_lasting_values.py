"""What of a webhook's value is kept for ever: nothing that is about a person, and all that anybody reads."""

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from simulated_meta import new_world
from simulated_meta.webhooks import accounts, templates
from wabus_events import ACCOUNTS, EVENTS, MESSAGES, Event
from wabus_events.samples import SAMPLES
from wabus_events.webhooks.lasting_values import LASTING, Members, lasting_value

ROOT = Path(__file__).parents[3]
WITH_VALUE = [kind for kind in EVENTS.values() if "value" in kind.model_fields and kind.topic != MESSAGES]


def test_every_event_that_is_kept_for_ever_with_metas_value_says_what_of_it() -> None:
    assert WITH_VALUE
    assert set(LASTING) == set(WITH_VALUE)


def named(members: Members) -> set[str]:
    return {name for name, inner in members.items() for name in (name, *(named(inner) if inner else ()))}


@pytest.mark.parametrize("kind", WITH_VALUE, ids=lambda kind: kind.__name__)
def test_what_the_catalogue_shows_is_what_is_kept(kind: type[Event]) -> None:
    value = SAMPLES[f"{kind.__name__}.value"]
    assert lasting_value(kind, value) == value


def simulated() -> list[tuple[str, dict[str, Any]]]:
    world = new_world("1", ["secret"])
    waba = next(iter(world.wabas.values()))
    template = next(iter(waba.templates.values()))
    phone = next(iter(waba.phones.values()))
    return [
        ("AccountUpdated", accounts.account_update(waba, "PARTNER_REMOVED", "1", {})),
        ("AccountUpdated", accounts.account_update(waba, "PARTNER_APP_INSTALLED", "1", {})),
        ("CapabilityChanged", accounts.capability(2000, 25)),
        ("PhoneNumberQualityChanged", accounts.phone_quality(phone, "DOWNGRADE", "TIER_2K")),
        *(("TemplateStatusChanged", templates.template_status(template, action, 1)) for action in templates.ACTIONS),
        ("TemplateQualityChanged", templates.template_quality(template, "GREEN", "RED")),
        ("TemplateCategoryChanged", templates.template_category(template, "UTILITY", "MARKETING")),
        ("TemplateComponentsChanged", templates.template_components(template)),
    ]


@pytest.mark.parametrize(("name", "value"), simulated())
def test_what_meta_is_known_to_send_is_kept_whole(name: str, value: dict[str, Any]) -> None:
    kind = EVENTS[f"wabus.{name}.v1"]
    assert lasting_value(kind, value) == value


def test_whatever_health_reads_of_a_value_is_kept() -> None:
    source = (ROOT / "services/health-projector/wabus_health_projector/health/payloads.py").read_text()
    read = {
        argument.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get"
        for argument in node.args[:1]
        if isinstance(argument, ast.Constant)
    }
    kept = {name for kind, members in LASTING.items() if kind.topic == ACCOUNTS for name in named(members)}
    assert len(read) > 8
    assert read <= kept


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def together(documented: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    return others | documented


def values_of(members: Members) -> st.SearchStrategy[dict[str, Any]]:
    """Values with documented members of any kind, right or wrong, and others beside."""
    parts = {name: json | (values_of(inner) if inner else json) for name, inner in members.items()}
    return st.builds(
        together,
        st.fixed_dictionaries({}, optional=parts),
        st.dictionaries(st.text(min_size=1, max_size=5), json, max_size=2),
    )


def leaves(value: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    match value:
        case dict():
            return {leaf for name, part in value.items() for leaf in leaves(part, (*path, str(name)))}
        case list():
            return {leaf for part in value for leaf in leaves(part, path)}
        case _:
            return {path}


def documented(members: Members, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    return {
        found
        for name, inner in members.items()
        for found in (documented(inner, (*path, name)) | {(*path, name)} if inner else {(*path, name)})
    }


@given(st.data())
@settings(max_examples=examples(200))
def test_nothing_that_meta_does_not_document_is_kept_whatever_it_looks_like(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(WITH_VALUE))
    value = data.draw(values_of(LASTING[kind]))
    kept = lasting_value(kind, value)
    assert leaves(kept) <= documented(LASTING[kind]) | {()}
    assert lasting_value(kind, kept) == kept

"""The components of a template message: what Meta would refuse is named by part, what it takes passes."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from simulated_meta.graph.errors import GraphError
from simulated_meta.seed import demo_templates
from simulated_meta.sending.template import check as meta_check
from wabus_whatsapp.sending.template_parameters import check_parameters
from wabus_whatsapp.templates.parse import parse_template
from wabus_whatsapp.templates.render import CannotRender

Json = dict[str, Any]

TEMPLATES = {f"{each['name']} {each['language']}": each for each in demo_templates()}


def texts(kind: str, *values: str, **more: Any) -> Json:
    return {"type": kind, "parameters": [{"type": "text", "text": value} for value in values], **more}


IMAGE = {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://shop.example/sale.jpg"}}]}
FILLED: dict[str, list[Json]] = {
    "order_confirmation en_US": [
        texts("header", "A-17"),
        texts("body", "Pablo", "June 27"),
        texts("button", "A-17", sub_type="url", index="0"),
    ],
    "summer_sale pt_BR": [
        IMAGE,
        {
            "type": "body",
            "parameters": [
                {"type": "text", "parameter_name": "first_name", "text": "Ana"},
                {"type": "text", "parameter_name": "discount", "text": "25%"},
            ],
        },
        {"type": "button", "sub_type": "quick_reply", "index": 0, "parameters": [{"type": "payload", "payload": "x"}]},
    ],
    "login_code en_US": [texts("body", "123456"), texts("button", "123456", sub_type="url", index="0")],
    "plant_collection en_US": [
        texts("body", "Ana"),
        {"type": "carousel", "cards": [{"card_index": each, "components": [IMAGE]} for each in range(2)]},
    ],
    "weekend_offer en_US": [
        {
            "type": "limited_time_offer",
            "parameters": [{"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": 1790000000000}}],
        },
        texts("body", "Pablo", "CARIBE25"),
        {
            "type": "button",
            "sub_type": "copy_code",
            "index": 0,
            "parameters": [{"type": "coupon_code", "coupon_code": "CARIBE25"}],
        },
    ],
    "appointment_reminder ar": [
        {
            "type": "header",
            "parameters": [
                {"type": "location", "location": {"latitude": "52.5", "longitude": "13.4", "name": "a", "address": "b"}}
            ],
        },
        texts("body", "10:00"),
    ],
}


def wrong(name: str, components: list[Json]) -> list[tuple[str, str | None, str]]:
    with pytest.raises(CannotRender) as caught:
        check_parameters(parse_template(TEMPLATES[name]), components)
    return [(each.part, each.parameter, each.problem) for each in caught.value.wrong]


@pytest.mark.parametrize("name", FILLED)
def test_what_is_filled_in_passes_here_and_at_meta(name: str) -> None:
    meta_check(TEMPLATES[name], FILLED[name])
    check_parameters(parse_template(TEMPLATES[name]), FILLED[name])


def test_what_the_recipient_will_see_comes_with_it() -> None:
    rendered = check_parameters(parse_template(TEMPLATES["summer_sale pt_BR"]), FILLED["summer_sale pt_BR"])
    assert rendered.body == "Oi Ana, aproveite 25% de desconto até domingo!"


ORDER = FILLED["order_confirmation en_US"]
WRONG: dict[str, tuple[str, list[Json], list[tuple[str, str | None, str]]]] = {
    "a code without its button": ("login_code en_US", [texts("body", "123456")], [("buttons[0]", None, "missing")]),
    "nothing": ("login_code en_US", [], [("body", "1", "missing"), ("buttons[0]", "1", "missing")]),
    "names left out": (
        "summer_sale pt_BR",
        [texts("body", "Ana", "25%")],
        [
            ("header", "image", "missing"),
            ("body", None, "invalid"),
            ("body", "first_name", "missing"),
            ("body", "discount", "missing"),
        ],
    ),
    "a footer": ("order_confirmation en_US", [*ORDER, texts("footer", "a")], [("footer", None, "extra")]),
    "two bodies": (
        "order_confirmation en_US",
        [*ORDER, texts("body", "a")],
        [("body", None, "extra"), ("body", "2", "missing")],
    ),
    "a line break, and a button that is none": (
        "login_code en_US",
        [texts("body", "1\n2"), texts("button", "1", sub_type="url", index="zero")],
        [("buttons", "index", "invalid"), ("body", "1", "unsendable"), ("buttons[0]", "1", "unsendable")],
    ),
    "a number for a text": (
        "login_code en_US",
        [{"type": "body", "parameters": [{"type": "text", "text": 7}]}],
        [("body", "1", "invalid")],
    ),
}


@pytest.mark.parametrize(("name", "components", "found"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_by_part_and_parameter(name: str, components: list[Json], found: list[Any]) -> None:
    assert wrong(name, components) == found


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, list[Json]]:
    """A template that is filled in, of which one component, parameter or value is taken away, doubled or replaced."""
    name = draw(st.sampled_from([*FILLED]))
    components = copy.deepcopy(FILLED[name])
    at = draw(st.integers(0, len(components) - 1))
    component = components[at]
    match draw(st.sampled_from(["drop", "double", "parameter", "value", "index", "none"])):
        case "drop":
            del components[at]
        case "double":
            components.append(copy.deepcopy(component))
        case "parameter" if component.get("parameters"):
            component["parameters"] = (
                component["parameters"][1:] if draw(st.booleans()) else [*component["parameters"]] * 2
            )
        case "value" if component.get("parameters"):
            given = component["parameters"][0]
            kind = given["type"]
            given[kind if kind in given else "text"] = draw(
                st.sampled_from(["", "a\nb", "x" * 2000, 7, None, {}, "ok"])
            )
        case "index":
            component["index"] = draw(st.sampled_from([0, "1", "9", "a", None]))
        case _:
            pass
    return name, components


@settings(max_examples=examples(400))
@given(spoilt())
def test_whatever_passes_meta_takes(drawn: tuple[str, list[Json]]) -> None:
    name, components = drawn
    try:
        check_parameters(parse_template(TEMPLATES[name]), components)
    except CannotRender:
        return
    try:
        meta_check(TEMPLATES[name], components)
    except GraphError as error:
        pytest.fail(f"Meta refuses it: {error.details}")

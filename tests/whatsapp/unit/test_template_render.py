"""Filling a template in: the final text and the payload, or everything that is wrong with what was given."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from pydantic import ValidationError
from wabus_whatsapp.templates.parse import parse_template
from wabus_whatsapp.templates.render import CannotRender, Rendered, render
from wabus_whatsapp.templates.render_input import RenderBody


def filled(components: list[dict[str, Any]], values: dict[str, Any], **more: Any) -> Rendered:
    raw = {"id": "1", "name": "t", "language": "en", "status": "APPROVED", "components": components, **more}
    return render(parse_template(raw), RenderBody.model_validate(values))


def wrong(components: list[dict[str, Any]], values: dict[str, Any], **more: Any) -> list[tuple[str, str | None, str]]:
    with pytest.raises(CannotRender) as caught:
        filled(components, values, **more)
    return [(one.part, one.parameter, one.problem) for one in caught.value.wrong]


BODY = {"type": "BODY", "text": "Hi {{1}}, order {{2}} of {{1}} comes."}
NAMED = {"type": "BODY", "text": "Oi {{first_name}}: {{discount}}!"}
HEADER = {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"}
URL = {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Track", "url": "https://s.example/o/{{1}}"}]}


def test_positional_parameters_go_into_header_body_and_button() -> None:
    values = {"header": {"text": ["A-1"]}, "body": ["Ana", "A-1"], "buttons": {"0": "a1?x=1"}}

    found = filled([HEADER, BODY, URL], values)

    assert found.header == {"format": "TEXT", "text": "Order A-1"}
    assert found.body == "Hi Ana, order A-1 of Ana comes."
    assert found.buttons[0]["url"] == "https://s.example/o/a1?x=1"
    assert found.components == [
        {"type": "header", "parameters": [{"type": "text", "text": "A-1"}]},
        {"type": "body", "parameters": [{"type": "text", "text": "Ana"}, {"type": "text", "text": "A-1"}]},
        {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "a1?x=1"}]},
    ]


def test_named_parameters_carry_their_names() -> None:
    found = filled([NAMED], {"body": {"discount": "25%", "first_name": "João"}})

    assert found.body == "Oi João: 25%!"
    assert found.components == [
        {
            "type": "body",
            "parameters": [
                {"type": "text", "text": "João", "parameter_name": "first_name"},
                {"type": "text", "text": "25%", "parameter_name": "discount"},
            ],
        }
    ]


def test_everything_that_is_missing_or_too_much_is_told_at_once() -> None:
    found = wrong([HEADER, BODY, URL], {"body": ["Ana", "A-1", "more"], "buttons": {"3": "x"}})

    assert found == [
        ("header", "1", "missing"),
        ("body", "3", "extra"),
        ("buttons[3]", None, "extra"),
        ("buttons[0]", "1", "missing"),
    ]


def test_a_list_for_named_parameters_and_a_wrong_name_are_told() -> None:
    assert ("body", None, "invalid") in wrong([NAMED], {"body": ["João", "25%"]})
    assert wrong([NAMED], {"body": {"first_name": "J", "disc": "2"}}) == [
        ("body", "discount", "missing"),
        ("body", "disc", "extra"),
    ]


@pytest.mark.parametrize(("value", "problem"), [(" ", "empty"), ("a\nb", "unsendable"), ("a     b", "unsendable")])
def test_what_meta_refuses_in_a_parameter_is_found_before(value: str, problem: str) -> None:
    assert wrong([BODY], {"body": ["Ana", value]}) == [("body", "2", problem)]


def test_texts_longer_than_meta_sends_are_told_with_their_length() -> None:
    assert wrong([BODY, URL], {"body": ["Ana", "x" * 1020], "buttons": {"0": "a"}}) == [("body", None, "too_long")]
    assert wrong([HEADER], {"header": {"text": ["x" * 60]}}) == [("header", None, "too_long")]


@pytest.mark.parametrize("button", ["OTP", "URL"])
def test_nobody_learns_before_sending_that_a_code_is_longer_than_meta_sends(button: str) -> None:
    """Graph takes the button as OTP and lists it as URL."""
    body = {"type": "BODY", "text": "*{{1}}* is your verification code."}
    shown = {
        "type": button,
        "text": "Copy code",
        "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}",
    }
    parts = [body, {"type": "BUTTONS", "buttons": [shown]}]

    said = wrong(parts, {"body": ["493021 (Example App)"]}, category="AUTHENTICATION")

    assert said == [("body", "1", "too_long"), ("buttons[0]", {"URL": "1", "OTP": "code"}[button], "too_long")]
    assert filled(parts, {"body": ["x" * 15]}, category="AUTHENTICATION").components[1]["sub_type"] == "url"
    assert (
        filled(parts[:1], {"body": ["x" * 16]}, category="UTILITY").body == f"*{'x' * 16}* is your verification code."
    )


def test_a_text_that_meta_would_send_is_refused_as_too_long() -> None:
    alone = {"type": "BODY", "text": "{{1}}"}
    assert filled([alone], {"body": ["x" * 1521]}).body == "x" * 1521
    assert filled([alone], {"body": ["x" * 32_768]}).body == "x" * 32_768
    assert wrong([{"type": "BODY", "text": "{{1}}!"}], {"body": ["x" * 32_768]}) == [("body", None, "too_long")]
    for other in ({"type": "FOOTER", "text": "Bye"}, {"type": "HOLOGRAM"}):
        assert wrong([alone, other], {"body": ["x" * 1025]}) == [("body", None, "too_long")]


def test_a_coupon_that_meta_would_take_is_refused_as_too_long() -> None:
    parts = [{"type": "BUTTONS", "buttons": [{"type": "COPY_CODE", "text": "Copy", "example": "X"}]}]
    assert filled(parts, {"buttons": {"0": "x" * 20}}).buttons[0]["code"] == "x" * 20
    assert wrong(parts, {"buttons": {"0": "x" * 21}}) == [("buttons[0]", "code", "too_long")]


def test_the_payload_of_a_product_button_has_a_part_that_meta_refuses() -> None:
    parts = [{"type": "BUTTONS", "buttons": [{"type": "SPM", "text": "View"}]}]
    assert filled(parts, {}).components == []
    assert wrong(parts, {"buttons": {"0": {"product_retailer_id": "1"}}}) == [("buttons[0]", None, "extra")]


@pytest.mark.parametrize("kind", ["IMAGE", "VIDEO", "GIF"])
def test_the_payload_of_a_picture_has_a_file_name_that_meta_refuses(kind: str) -> None:
    name = kind.lower()
    file = {"link": "https://cdn.example/a", "filename": "a.png"}
    assert wrong([{"type": "HEADER", "format": kind}], {"header": {name: file}}) == [("header", "filename", "extra")]
    [component] = filled([{"type": "HEADER", "format": "DOCUMENT"}], {"header": {"document": file}}).components
    assert component["parameters"][0]["document"] == file


@pytest.mark.parametrize("kind", ["IMAGE", "VIDEO", "DOCUMENT"])
def test_a_media_header_takes_a_file_by_id_or_link(kind: str) -> None:
    header = {"type": "HEADER", "format": kind}
    name = kind.lower()

    found = filled([header], {"header": {name: {"link": "https://cdn.example/a"}}})

    assert found.components == [
        {"type": "header", "parameters": [{"type": name, name: {"link": "https://cdn.example/a"}}]}
    ]
    assert wrong([header], {}) == [("header", name, "missing")]
    assert wrong([header], {"header": {name: {"link": "file:///etc"}}}) == [("header", name, "invalid")]
    assert wrong([header], {"header": {name: {"link": "https://x.example", "id": "1"}}}) == [
        ("header", name, "invalid")
    ]
    assert ("header", "text", "extra") in wrong([header], {"header": {"text": ["x"]}})


def test_a_location_header_takes_a_place() -> None:
    place = {"latitude": 52.5, "longitude": 13.4, "name": "Berlin"}

    found = filled([{"type": "HEADER", "format": "LOCATION"}], {"header": {"location": place}})

    assert found.components == [{"type": "header", "parameters": [{"type": "location", "location": place}]}]


def test_money_and_dates_show_their_fallback() -> None:
    money = {"type": "currency", "currency": {"fallback_value": "$10.99", "code": "USD", "amount_1000": 10990}}
    date = {"type": "date_time", "date_time": {"fallback_value": "27 June"}}

    found = filled([BODY], {"body": [money, date]})

    assert found.body == "Hi $10.99, order 27 June of $10.99 comes."
    assert found.components == [{"type": "body", "parameters": [money, date]}]


def test_the_button_of_a_one_time_password_takes_the_code_of_the_body() -> None:
    body = {"type": "BODY", "text": "*{{1}}* is your code."}
    otp = {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy"}]}

    found = filled([body, otp], {"body": ["123456"]}, category="AUTHENTICATION")

    assert found.components[1] == {
        "type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "123456"}],
    }  # fmt: skip


def test_offers_coupons_and_flows_have_parameters_of_their_own() -> None:
    offer = {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Hurry!", "has_expiration": True}}
    buttons = [
        {"type": "COPY_CODE", "text": "Copy", "example": "X"},
        {"type": "FLOW", "text": "Book"},
        {"type": "QUICK_REPLY", "text": "Stop"},
        {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+1"},
    ]
    parts = [offer, {"type": "BUTTONS", "buttons": buttons}]
    values = {"offer_expires_at_ms": 1709618400000, "buttons": {"0": "CARIBE25", "1": {"flow_token": "t"}, "2": "stop"}}

    found = filled(parts, values)

    assert [one.get("sub_type", one["type"]) for one in found.components] == [
        "limited_time_offer", "copy_code", "flow", "quick_reply",
    ]  # fmt: skip
    assert found.components[1]["parameters"] == [{"type": "coupon_code", "coupon_code": "CARIBE25"}]
    assert wrong(parts, {"buttons": {"0": "x" * 21, "3": "y"}}) == [
        ("limited_time_offer", "expiration_time_ms", "missing"),
        ("buttons[0]", "code", "too_long"),
        ("buttons[3]", None, "extra"),
    ]


def test_each_card_of_a_carousel_is_filled_in_on_its_own() -> None:
    card = {"components": [{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Only {{1}} left"}, URL]}
    carousel = {"type": "CAROUSEL", "cards": [card, card]}
    given = {"header": {"image": {"id": "7"}}, "body": ["3"], "buttons": {"0": "elf"}}

    found = filled([carousel], {"carousel": [given, given]})

    assert [one["body"] for one in found.cards] == ["Only 3 left"] * 2
    [component] = found.components
    assert [one["card_index"] for one in component["cards"]] == [0, 1]
    assert [one["type"] for one in component["cards"][0]["components"]] == ["header", "body", "button"]
    assert wrong([carousel], {"carousel": [given, given, given]}) == [("carousel[2]", None, "extra")]
    assert ("carousel[1].body", "1", "missing") in wrong([carousel], {"carousel": [given]})


NAMES = st.sampled_from(["1", "2", "10", "name", "x_1"])
PRINTED = st.text(st.characters(exclude_characters="\0"), max_size=8)
TEXTS = st.lists(NAMES.map("{{{{{}}}}}".format) | st.text(max_size=5), max_size=8).map("".join)


@given(TEXTS, st.dictionaries(NAMES, PRINTED, max_size=4), st.sampled_from(["NAMED", "POSITIONAL"]))
def test_whatever_is_given_it_is_filled_in_or_refused(text: str, values: dict[str, str], kind: str) -> None:
    parts = [{"type": "BODY", "text": text}]
    try:
        found = filled(parts, {"body": values}, parameter_format=kind)
    except CannotRender:
        return

    assert found.body is not None
    assert set(values) == {name for name in ("1", "2", "10", "name", "x_1") if f"{{{{{name}}}}}" in text}


def test_a_button_that_shows_an_order_needs_it() -> None:
    buttons = {"type": "BUTTONS", "buttons": [{"type": "ORDER_DETAILS", "text": "Review and pay"}]}
    order = {"order_details": {"reference_id": "A-1", "type": "digital-goods"}}

    found = filled([buttons], {"buttons": {"0": order}})

    assert found.components == [
        {
            **{"type": "button", "sub_type": "order_details", "index": "0"},
            "parameters": [{"type": "action", "action": order}],
        }
    ]
    assert wrong([buttons], {}) == [("buttons[0]", "action", "missing")]


def test_a_call_button_takes_for_how_long_it_works_and_a_payload() -> None:
    buttons = {"type": "BUTTONS", "buttons": [{"type": "VOICE_CALL", "text": "Call us"}]}

    assert filled([buttons], {}).components == []
    [component] = filled([buttons], {"buttons": {"0": {"ttl_minutes": 100, "payload": "support"}}}).components
    assert component["sub_type"] == "voice_call"
    assert component["parameters"] == [
        {"type": "ttl_minutes", "ttl_minutes": 100},
        {"type": "payload", "payload": "support"},
    ]
    assert filled([buttons], {"buttons": {"0": "support"}}).components[0]["parameters"] == component["parameters"][1:]
    assert wrong([buttons], {"buttons": {"0": {"ttl_minutes": 0, "payload": 7, "ttl": 1}}}) == [
        ("buttons[0]", "ttl", "extra"),
        ("buttons[0]", "ttl_minutes", "invalid"),
        ("buttons[0]", "payload", "invalid"),
    ]


def test_a_tap_on_the_message_may_lead_somewhere() -> None:
    target = {"title": "Offer details", "url": "https://shop.example/offer"}

    [component] = filled([{"type": "BODY", "text": "Hi"}], {"tap_target": target}).components

    assert component == {
        "type": "tap_target_configuration",
        "parameters": [{"type": "tap_target_configuration", "tap_target_configuration": [target]}],
    }
    assert wrong([], {"tap_target": {**target, "url": "offer"}}) == [("tap_target", "url", "invalid")]


ODD = st.sampled_from([None, True, -1, 0, 3.5, "", "{{1}}", "{{name}} {{2}}", "\0", [], {}, ["x"], {"a": [1]}])
FORMATS = ["TEXT", "IMAGE", "VIDEO", "GIF", "DOCUMENT", "LOCATION", "PRODUCT", "HOLOGRAM", "text"]
BUTTON_TYPES = [
    *("QUICK_REPLY", "URL", "PHONE_NUMBER", "COPY_CODE", "OTP", "FLOW", "CATALOG", "MPM", "SPM", "ORDER_DETAILS"),
    *("VOICE_CALL", "REQUEST_CONTACT_INFO", "APP", "hologram"),
]
BUTTON = st.fixed_dictionaries(
    {"type": st.sampled_from(BUTTON_TYPES) | ODD},
    optional=dict.fromkeys(("text", "url", "phone_number", "example", "otp_type", "flow_id", "flow_action"), ODD),
)
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["HEADER", "BODY", "FOOTER", "BUTTONS", "LIMITED_TIME_OFFER", "CALL_PERMISSION_REQUEST"])},
    optional={
        "text": ODD,
        "format": st.sampled_from(FORMATS) | ODD,
        "buttons": st.lists(BUTTON, max_size=3) | ODD,
        "example": ODD | st.dictionaries(st.sampled_from(["body_text", "header_text", "header_handle"]), ODD),
        "limited_time_offer": ODD | st.fixed_dictionaries({"text": ODD}, optional={"has_expiration": ODD}),
        "code_expiration_minutes": ODD,
    },
)
CARD = st.fixed_dictionaries({}, optional={"components": st.lists(PART, max_size=3) | ODD})
CAROUSEL = st.fixed_dictionaries({"type": st.just("CAROUSEL"), "cards": st.lists(CARD, max_size=3) | ODD})
VALUES = ODD | st.lists(PRINTED, max_size=3) | st.dictionaries(NAMES, PRINTED, max_size=3)
FILES = st.fixed_dictionaries({}, optional={"id": PRINTED, "link": st.just("https://a.example/x") | PRINTED})
HEADERS = st.fixed_dictionaries(
    {}, optional={"text": VALUES, **dict.fromkeys(("image", "video", "gif", "document", "location"), FILES | ODD)}
)
ACTIONS = st.dictionaries(st.sampled_from(["flow_token", "ttl_minutes", "payload"]), ODD, max_size=2)
ONE = {
    "header": HEADERS,
    "body": VALUES,
    "buttons": st.dictionaries(st.sampled_from(["0", "1", "7"]), ODD | PRINTED | ACTIONS, max_size=3),
}
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        **ONE,
        "carousel": st.lists(st.fixed_dictionaries({}, optional=ONE), max_size=3),
        "offer_expires_at_ms": st.integers(0, 2**40),
        "tap_target": st.fixed_dictionaries({"title": PRINTED, "url": PRINTED}),
    },
)


@settings(max_examples=examples(300))
@given(
    st.lists(PART | CAROUSEL, max_size=5),
    GIVEN,
    st.sampled_from(["AUTHENTICATION", "MARKETING"]),
    st.sampled_from(["NAMED", "POSITIONAL", "OTHER"]),
)
def test_no_template_however_odd_breaks_the_filling_in(
    components: list[dict[str, Any]], values: dict[str, Any], category: str, kind: str
) -> None:
    try:
        body = RenderBody.model_validate(values)
    except ValidationError:
        return
    raw = {"id": "1", "name": "t", "components": components, "category": category, "parameter_format": kind}
    template = parse_template(raw)
    try:
        found = render(template, body)
    except CannotRender as refused:
        said = [one.message for one in refused.wrong]
    else:
        assert orjson.dumps([found.header, found.body, found.footer, found.buttons, found.cards])
        assert all(component["type"] and orjson.dumps(component) for component in found.components)
        assert len(found.buttons) == len(template.buttons)
        return

    assert said
    assert all(message.endswith(".") for message in said)

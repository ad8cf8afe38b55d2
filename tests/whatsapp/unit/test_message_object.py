"""What is wrong with a message is named by its field, never quoted; what is right the simulated Meta takes."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from simulated_meta.graph.errors import GraphError
from simulated_meta.sending.message import parse
from wabus_whatsapp.sending.message import check, check_read_mark

Json = dict[str, Any]

BUTTONS = {
    "type": "button",
    "header": {"type": "image", "image": {"link": "https://shop.example/a.jpg"}},
    "body": {"text": "Which one?"},
    "footer": {"text": "Lucky Shrub"},
    "action": {"buttons": [{"type": "reply", "reply": {"id": str(each), "title": f"No. {each}"}} for each in range(3)]},
}
LIST = {
    "type": "list",
    "header": {"type": "text", "text": "Plants"},
    "body": {"text": "Which one?"},
    "action": {
        "button": "Choose",
        "sections": [
            {"title": "Small", "rows": [{"id": "1", "title": "Aloe", "description": "Likes the sun"}]},
            {"title": "Large", "rows": [{"id": "2", "title": "Agave"}]},
        ],
    },
}
FLOW = {
    "type": "flow",
    "body": {"text": "Book"},
    "action": {"name": "flow", "parameters": {"flow_message_version": "3", "flow_id": "1", "flow_cta": "Book"}},
}
LINK = {
    "type": "cta_url",
    "body": {"text": "See"},
    "action": {"name": "cta_url", "parameters": {"display_text": "See", "url": "https://shop.example"}},
}
PRODUCTS = {
    "type": "product_list",
    "header": {"type": "text", "text": "Plants"},
    "body": {"text": "Ours"},
    "action": {"catalog_id": "1", "sections": [{"title": "All", "product_items": [{"product_retailer_id": "a"}]}]},
}
RIGHT: dict[str, Json] = {
    "text": {"type": "text", "text": {"body": "Hello", "preview_url": True}, "context": {"message_id": "wamid.1"}},
    "no type": {"text": {"body": "Hello"}},
    "image": {"type": "image", "image": {"id": "1", "caption": "Aloe"}},
    "document": {"type": "document", "document": {"link": "https://shop.example/a.pdf", "filename": "a.pdf"}},
    "sticker": {"type": "sticker", "sticker": {"id": "1"}},
    "reaction": {"type": "reaction", "reaction": {"message_id": "wamid.1", "emoji": "👍"}},
    "reaction taken away": {"type": "reaction", "reaction": {"message_id": "wamid.1", "emoji": ""}},
    "location": {"type": "location", "location": {"latitude": "52.5", "longitude": 13.4, "name": "Here"}},
    "contacts": {
        "type": "contacts",
        "contacts": [{"name": {"formatted_name": "Ana B", "first_name": "Ana"}, "phones": [{"phone": "+491512345"}]}],
    },
    "buttons": {"type": "interactive", "interactive": BUTTONS},
    "list": {"type": "interactive", "interactive": LIST},
    "flow": {"type": "interactive", "interactive": FLOW},
    "link": {"type": "interactive", "interactive": LINK},
    "products": {"type": "interactive", "interactive": PRODUCTS},
    "template": {
        "type": "template",
        "template": {"name": "order", "language": {"code": "en"}, "components": [{"type": "body", "parameters": []}]},
    },
}


def wrong(message: Json) -> list[tuple[str, str]]:
    return [(each.field, each.problem) for each in check(message)]


@pytest.mark.parametrize("message", RIGHT.values(), ids=RIGHT)
def test_what_is_right_is_taken_here_and_by_meta(message: Json) -> None:
    assert check(message) == []
    parse({"messaging_product": "whatsapp", "to": "4915123456789"} | message)


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ({}, [("text", "missing")]),
        ({"type": "postcard"}, [("type", "invalid")]),
        ({"type": "text", "text": "Hello"}, [("text", "invalid")]),
        ({"type": "text", "text": {"body": "x" * 4097}}, [("text.body", "too_long")]),
        ({"type": "text", "text": {"body": "\x00"}}, [("text.body", "invalid")]),
        ({"type": "text", "text": {"body": " "}}, [("text.body", "missing")]),
        ({"type": "text", "text": {"body": "a"}, "image": {"id": "1"}}, [("image", "unknown")]),
        (
            {"type": "text", "text": {"body": "a"}, "biz_opaque_callback_data": "x"},
            [("biz_opaque_callback_data", "unknown")],
        ),
        ({"type": "image", "image": {"id": "1", "link": "https://a.example"}}, [("image", "invalid")]),
        ({"type": "image", "image": {"link": "file:///etc/passwd"}}, [("image.link", "invalid")]),
        ({"type": "audio", "audio": {"id": "1", "caption": "a"}}, [("audio.caption", "unknown")]),
        ({"type": "image", "image": {"id": "1", "filename": "a"}}, [("image.filename", "unknown")]),
        (
            {"type": "location", "location": {"latitude": 91, "longitude": "x"}},
            [("location.latitude", "invalid"), ("location.longitude", "invalid")],
        ),
        ({"type": "contacts", "contacts": [{"name": {"formatted_name": "Ana"}}]}, [("contacts[0].name", "missing")]),
        ({"type": "text", "text": {"body": "a"}, "context": {}}, [("context.message_id", "missing")]),
        ({"type": "template", "template": {"name": "a"}}, [("template.language", "missing")]),
        (
            {"messaging_product": "sms", "recipient_type": "crowd", "text": {"body": "a"}},
            [("messaging_product", "invalid"), ("recipient_type", "invalid")],
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_field(message: Json, found: list[tuple[str, str]]) -> None:
    assert wrong(message) == found


def test_everything_wrong_with_buttons_is_told_at_once() -> None:
    buttons = [
        {"type": "reply", "reply": {"id": "a", "title": "x" * 21}},
        {"type": "reply", "reply": {"id": "a", "title": "Yes"}},
        {"type": "reply"},
    ]
    message = {"type": "interactive", "interactive": BUTTONS | {"footer": {}, "action": {"buttons": buttons}}}

    assert wrong(message) == [
        ("interactive.footer.text", "missing"),
        ("interactive.action.buttons[2].reply", "missing"),
        ("interactive.action.buttons[0].reply.title", "too_long"),
        ("interactive.action.buttons[1].reply.id", "duplicate"),
    ]


def test_a_list_has_ten_rows_in_all_its_sections() -> None:
    sections = [
        {"title": f"S{at}", "rows": [{"id": f"{at}-{each}", "title": "Row"} for each in range(6)]} for at in range(2)
    ]
    message = {"type": "interactive", "interactive": LIST | {"action": {"button": "Choose", "sections": sections}}}

    assert wrong(message) == [("interactive.action.sections", "too_many")]


def test_read_marks() -> None:
    assert check_read_mark({"message_id": "wamid.1", "typing_indicator": {"type": "text"}}) == []
    found = check_read_mark({"status": "seen", "typing_indicator": {}, "text": {"body": "a"}})
    assert [(each.field, each.problem) for each in found] == [
        ("message_id", "missing"),
        ("status", "invalid"),
        ("typing_indicator.type", "invalid"),
        ("text", "unknown"),
    ]


SECRET = "Zq9x-what-nobody-may-read"
STRANGE = st.sampled_from(
    [None, "", " ", SECRET, SECRET * 200, 0, -1, True, [], [SECRET], {}, {SECRET: SECRET}, "\ud800"]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    match value:
        case dict():
            for name in value:
                yield from places(value[name], (*path, name))
        case list():
            for at, each in enumerate(value):
                yield from places(each, (*path, at))
        case _:
            pass


@st.composite
def spoilt(draw: st.DrawFn) -> Json:
    """A right message of which one or two parts are taken away or replaced."""
    message = copy.deepcopy(draw(st.sampled_from([*RIGHT.values()])))
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from([each for each in places(message) if each] or [("type",)]))
        holder: Any = message
        for step in path[:-1]:
            holder = holder[step]
        if draw(st.booleans()) and path != ("type",):
            del holder[path[-1]]
        else:
            holder[path[-1]] = copy.deepcopy(draw(STRANGE))
    return message


@settings(max_examples=examples(500))
@given(spoilt())
def test_whatever_passes_meta_takes_and_nothing_written_is_ever_quoted(message: Json) -> None:
    found = check(message)

    assert not any(SECRET in each.field + each.message for each in found)
    if not found:
        try:
            parse({"messaging_product": "whatsapp", "to": "4915123456789"} | message)
        except GraphError as error:
            pytest.fail(f"Meta refuses it: {error.message} {error.details}")

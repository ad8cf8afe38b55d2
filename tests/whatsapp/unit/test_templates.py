"""Parsing templates as Graph lists them, and comparing two listings."""

import time
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_events import Template, TemplateChanged, TemplateRemoved, TemplatesSynced, decode, encode
from wabus_template_sync.templates.comparison import changes
from wabus_template_sync.templates.facts import Sync, synced
from wabus_template_sync.templates.fold import TemplateRow
from wabus_template_sync.templates.listing import Listing
from wabus_whatsapp.templates.components import variables_in
from wabus_whatsapp.templates.parse import (
    Differences,
    UnreadableTemplate,
    changed_fields,
    counts,
    diff,
    dump_template,
    fingerprint_of,
    parse_template,
)

PROMOTION: dict[str, Any] = {
    "id": "594425479261596",
    "name": "seasonal_promotion",
    "language": "en_US",
    "status": "APPROVED",
    "category": "MARKETING",
    "sub_category": "CUSTOM",
    "parameter_format": "POSITIONAL",
    "quality_score": {"score": "GREEN", "date": 1728504000},
    "rejected_reason": "NONE",
    "components": [
        {
            "type": "HEADER",
            "format": "TEXT",
            "text": "Our {{1}} is on!",
            "example": {"header_text": ["Summer Sale"]},
        },
        {
            "type": "BODY",
            "text": "Shop through {{1}} and use code {{2}} to get {{3}} off, {{1}} only.",
            "example": {"body_text": [["the end of August", "25OFF", "25%"]]},
        },
        {"type": "FOOTER", "text": "Use the buttons below to manage your subscriptions"},
        {
            "type": "BUTTONS",
            "buttons": [
                {"type": "QUICK_REPLY", "text": "Unsubscribe"},
                {"type": "URL", "text": "Shop", "url": "https://shop.example/{{1}}", "example": ["x"]},
                {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+15550051310"},
                {"type": "TELEPATHY", "text": "Think", "strength": 11},
            ],
        },
        {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Expiring!", "has_expiration": True}},
    ],
}


def template(template_id: str = "1", status: str = "APPROVED", **more: Any) -> Template:
    return parse_template({"id": template_id, "name": "t", "language": "en", "status": status, **more})


def test_every_part_of_a_listed_template_finds_its_typed_place() -> None:
    parsed = parse_template(PROMOTION)

    assert (parsed.template_id, parsed.name, parsed.language) == ("594425479261596", "seasonal_promotion", "en_US")
    assert (parsed.category, parsed.status, parsed.quality) == ("MARKETING", "APPROVED", "GREEN")
    assert parsed.rejected_reason is None
    assert parsed.header is not None
    assert parsed.header.format == "TEXT"
    assert parsed.header.variables == ["1"]
    assert parsed.body is not None
    assert parsed.body.variables == ["1", "2", "3"]
    assert parsed.footer is not None
    assert [button.type for button in parsed.buttons] == ["QUICK_REPLY", "URL", "PHONE_NUMBER", "TELEPATHY"]
    assert parsed.buttons[1].variables == ["1"]
    assert parsed.buttons[2].phone_number == "+15550051310"
    assert parsed.buttons[3].raw["strength"] == 11


def test_components_without_a_type_of_ours_are_kept_as_they_are() -> None:
    parsed = parse_template(PROMOTION)

    assert parsed.other_components == [PROMOTION["components"][4]]
    assert parsed.raw["sub_category"] == "CUSTOM"
    assert parsed.raw["quality_score"] == {"score": "GREEN", "date": 1728504000}


def test_examples_stand_beside_the_variables_they_are_of() -> None:
    positional = parse_template(PROMOTION)
    named = [
        {"param_name": "first_name", "example": "João"},
        {"param_name": "discount", "example": "25%"},
    ]
    body = {"type": "BODY", "text": "Oi {{first_name}}: {{discount}}", "example": {"body_text_named_params": named}}
    by_name = template(components=[body])

    assert positional.header is not None
    assert positional.header.examples == {"1": "Summer Sale"}
    assert positional.body is not None
    assert positional.body.examples == {"1": "the end of August", "2": "25OFF", "3": "25%"}
    assert positional.buttons[1].example == "x"
    assert by_name.body is not None
    assert by_name.body.examples == {"first_name": "João", "discount": "25%"}


def test_carousels_and_limited_time_offers_are_typed_and_still_kept_whole() -> None:
    image = {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["https://cdn.example/a.jpg"]}}
    buttons = {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Shop", "url": "https://s.example/{{1}}"}]}
    card = {"components": [image, {"type": "BODY", "text": "Only {{1}} left"}, buttons]}
    carousel = {"type": "CAROUSEL", "cards": [card, card]}

    parsed = template(components=[carousel, PROMOTION["components"][4]])

    assert parsed.limited_time_offer is not None
    assert (parsed.limited_time_offer.text, parsed.limited_time_offer.has_expiration) == ("Expiring!", True)
    assert len(parsed.carousel) == 2
    first = parsed.carousel[0]
    assert first.header is not None
    assert (first.header.format, first.header.examples) == ("IMAGE", {"media": "https://cdn.example/a.jpg"})
    assert first.body is not None
    assert first.body.variables == first.buttons[0].variables == ["1"]
    assert parsed.other_components == [carousel, PROMOTION["components"][4]]


def test_authentication_and_flow_buttons_are_typed() -> None:
    otp = {"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy code"}
    flow = {"type": "FLOW", "text": "Book", "flow_id": 1479537139650973, "flow_action": "navigate"}

    parsed = template(
        components=[
            {"type": "BODY", "text": "*{{1}}* is your code.", "add_security_recommendation": True},
            {"type": "FOOTER", "text": "Expires in 10 minutes.", "code_expiration_minutes": 10},
            {"type": "BUTTONS", "buttons": [otp, flow]},
        ]
    )

    assert parsed.body is not None
    assert parsed.body.security_recommendation
    assert parsed.footer is not None
    assert parsed.footer.code_expiration_minutes == 10
    assert (parsed.buttons[0].otp_type, parsed.buttons[1].flow_id) == ("COPY_CODE", "1479537139650973")


def test_named_variables_are_told_apart_even_when_graph_does_not_say() -> None:
    parsed = template(
        components=[{"type": "BODY", "text": "Dear {{first_name}}, order {{order_id}} of {{first_name}}"}]
    )

    assert parsed.parameter_format == "NAMED"
    assert parsed.body is not None
    assert parsed.body.variables == ["first_name", "order_id"]


@pytest.mark.parametrize(
    "header",
    [
        {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["https://cdn.example/a.jpg"]}},
        {"type": "HEADER", "format": "LOCATION"},
    ],
)
def test_a_header_without_text_has_a_format_and_no_variables(header: dict[str, Any]) -> None:
    parsed = template(components=[header])

    assert parsed.header is not None
    assert (parsed.header.format, parsed.header.text, parsed.header.variables) == (header["format"], None, [])


@pytest.mark.parametrize(
    "components",
    [
        [{"type": "BODY"}, {"type": "FOOTER", "text": None}, {"type": "HEADER"}, {"type": "BUTTONS", "buttons": {}}],
        [{"type": "BUTTONS", "buttons": []}, {}],
        [{"type": "BODY", "text": "one"}, {"type": "BODY", "text": "two"}],
    ],
)
def test_odd_components_are_kept_rather_than_refused(components: list[dict[str, Any]]) -> None:
    parsed = template(components=components)

    kept = dump_template(parsed)["components"]
    assert sorted(map(str, kept)) == sorted(map(str, components))


@pytest.mark.parametrize("raw", [{}, {"id": "1"}, {"name": "t"}, {"id": True, "name": "t"}, {"id": "", "name": "t"}, 7])
def test_a_template_without_id_or_name_is_unreadable(raw: Any) -> None:
    with pytest.raises(UnreadableTemplate):
        parse_template(raw)


def test_json_too_deep_for_serialisers_is_unreadable() -> None:
    deep: Any = "bottom"
    for _ in range(300):
        deep = [deep]

    with pytest.raises(UnreadableTemplate):
        parse_template({"id": "1", "name": "t", "more": deep})


def test_a_text_with_nul_can_be_stored() -> None:
    parsed = template(components=[{"type": "BODY", "text": "a\0b"}])

    assert "\0" not in parsed.model_dump_json()


def test_a_signed_link_that_changes_at_every_call_is_no_change() -> None:
    def listed(signature: str) -> Template:
        image = {"header_handle": [f"https://cdn-{signature}.example/v/t61/1_n.jpg?oh={signature}&oe=67"]}
        header = {"type": "HEADER", "format": "IMAGE", "example": image}
        carousel = {"type": "CAROUSEL", "cards": [{"components": [header]}]}
        score = {"score": "GREEN", "date": int(signature, 16)}
        return template(components=[header, carousel], quality_score=score)

    before, after = listed("a1"), listed("b2")

    assert before != after
    assert not diff({"1": before}, [after])


def test_a_change_names_the_fields_that_differ() -> None:
    before = template("1", "PENDING", quality_score={"score": "UNKNOWN"})
    after = template("1", "APPROVED", quality_score={"score": "GREEN"})

    found = diff({"1": before}, [after])

    assert [(change.template, change.fields) for change in found.changed] == [(after, ("quality", "status"))]


def test_what_followers_may_hold_wrongly_is_told_once_more_but_counts_as_no_change() -> None:
    listed = template("1", "APPROVED")

    found = diff({"1": listed}, [listed], {"1"})

    assert [(change.template, change.previous, change.fields) for change in found.changed] == [(listed, listed, ())]
    assert found.numbers == {"added": 0, "changed": 0, "removed": 0}


def test_of_a_template_listed_twice_the_last_counts() -> None:
    found = diff({}, [template("1", "PENDING"), template("1", "APPROVED")])

    assert [one.status for one in found.added] == ["APPROVED"]


def test_counts_are_by_status_in_alphabetical_order() -> None:
    found = counts(["APPROVED", "REJECTED", "APPROVED", "PAUSED"])

    assert (found.total, found.approved) == (4, 2)
    assert list(found.by_status.items()) == [("APPROVED", 2), ("PAUSED", 1), ("REJECTED", 1)]


def test_a_sync_done_twice_publishes_the_same_ids() -> None:
    sync = Sync("s-1", "waba", "org", "manual", datetime(2025, 1, 1, tzinfo=UTC))
    found = diff({"9": template("9"), "2": template("2", "PENDING")}, [template("1"), template("2")])
    rows = [TemplateRow("waba", template_id) for template_id in ("2", "9")]

    def published(hour: int) -> list[str]:
        at = datetime(2025, 1, 1, hour, tzinfo=UTC)
        end = synced(sync, found.numbers, counts(["APPROVED"]), observed_at=at, finished_at=at)
        events = [*changes(found, rows, at, {**sync.about, "sync_id": sync.sync_id}, sync.sync_id), end]
        assert [type(event) for event in events] == [TemplateChanged, TemplateChanged, TemplateRemoved, TemplatesSynced]
        return [event.id for event in events]

    assert published(1) == published(2)


def test_a_listing_of_thousands_of_new_templates_is_small_in_memory_until_it_is_compared() -> None:
    listing = Listing("w", {})
    tracemalloc.start()
    for page in range(20):
        raw = orjson.dumps([{**PROMOTION, "id": f"{page}-{number}"} for number in range(100)])
        listing.take(orjson.loads(raw))
        del raw
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    size = len(orjson.dumps(PROMOTION))
    assert len(listing.to_compare({}, datetime(2025, 1, 1, tzinfo=UTC))) == 2000
    assert kept / 2000 < size + 1000


def test_the_fingerprint_is_the_same_whatever_order_the_keys_come_in_and_another_when_something_changes() -> None:
    edited = {**PROMOTION, "components": [*PROMOTION["components"][:2], {"type": "FOOTER", "text": "New"}]}

    assert fingerprint_of(PROMOTION) == fingerprint_of(dict(reversed(PROMOTION.items())))
    assert fingerprint_of(PROMOTION) != fingerprint_of(edited)
    assert fingerprint_of(7) is None


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TEXTS = st.sampled_from(["Hi", "{{1}} {{2}} {{1}}", "{{name}}", "", "{{", "{{ a }}"]) | st.text()
BUTTONS = st.fixed_dictionaries(
    {}, optional={"type": TEXTS | JSON, "text": TEXTS | JSON, "url": TEXTS | JSON, "x": JSON}
)
COMPONENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["HEADER", "BODY", "FOOTER", "BUTTONS", "CAROUSEL", "buttons"]) | JSON},
    optional={
        "format": st.sampled_from(["TEXT", "IMAGE"]) | JSON,
        "text": TEXTS | JSON,
        "buttons": st.lists(BUTTONS, max_size=3) | JSON,
        "example": JSON,
    },
)
LISTED = st.fixed_dictionaries(
    {"id": st.integers(1, 9).map(str) | st.integers(1, 9), "name": st.text(min_size=1)},
    optional={
        "language": st.sampled_from(["en", "de"]) | JSON,
        "status": st.sampled_from(["APPROVED", "PENDING", "rejected"]) | JSON,
        "category": st.sampled_from(["MARKETING", "UTILITY"]) | JSON,
        "parameter_format": st.sampled_from(["POSITIONAL", "NAMED"]) | JSON,
        "quality_score": st.sampled_from([{"score": "GREEN"}, "RED"]) | JSON,
        "rejected_reason": st.sampled_from(["NONE", "SCAM"]) | JSON,
        "components": st.lists(COMPONENTS, max_size=5) | JSON,
        "anything": JSON,
    },
)
TEMPLATES = st.lists(LISTED.map(parse_template), max_size=6)


@given(LISTED)
def test_parsing_what_was_dumped_gives_the_same_template(raw: dict[str, Any]) -> None:
    parsed = parse_template(raw)

    assert parse_template(dump_template(parsed)) == parsed


@given(JSON)
def test_whatever_graph_lists_is_read_or_unreadable(raw: Any) -> None:
    try:
        parse_template(raw)
    except UnreadableTemplate:
        return


@given(LISTED)
def test_a_template_survives_its_way_through_kafka(raw: dict[str, Any]) -> None:
    parsed = parse_template(raw)
    event = TemplateChanged(id="1", time=datetime(2025, 1, 1, tzinfo=UTC), waba_id="w", template=parsed, added=True)

    record = encode(event, "/test")
    received = decode(record.headers, record.value)

    assert isinstance(received, TemplateChanged)
    assert not diff({parsed.template_id: parsed}, [received.template])


@given(TEMPLATES, TEMPLATES)
def test_nothing_differs_once_the_differences_are_applied(before: list[Template], after: list[Template]) -> None:
    known = {one.template_id: one for one in before}
    found = diff(known, after)

    applied = {template_id: one for template_id, one in known.items() if one not in found.removed}
    applied |= {one.template_id: one for one in found.added}
    applied |= {change.template.template_id: change.template for change in found.changed}

    assert diff(applied, after) == Differences()


@given(TEMPLATES, st.lists(LISTED.map(parse_template), max_size=6, unique_by=lambda one: one.template_id), st.randoms())
def test_the_order_of_a_listing_makes_no_difference(before: list[Template], after: list[Template], random: Any) -> None:
    known = {one.template_id: one for one in before}
    shuffled = random.sample(after, len(after))

    assert diff(known, after) == diff(known, shuffled)


@pytest.mark.parametrize(
    "hostile", ["{{" * 200_000, "{{ " * 100_000, "{{a" * 100_000, "{{" + "a" * 300_000, "{{1}}" * 60_000]
)
def test_variables_of_a_hostile_text_are_found_in_linear_time(hostile: str) -> None:
    began = time.perf_counter()

    variables_in(hostile)

    assert time.perf_counter() - began < 1


@given(LISTED, LISTED)
def test_templates_with_the_same_fingerprint_do_not_differ(before: dict[str, Any], after: dict[str, Any]) -> None:
    same = fingerprint_of(before) == fingerprint_of(after)

    assert not same or not changed_fields(parse_template(before), parse_template(after))
    assert fingerprint_of(before) == fingerprint_of(dict(reversed(before.items())))

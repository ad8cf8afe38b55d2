"""The shortcut for a webhook with one fact makes, byte for byte, what the models make, or leaves it to them."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events import encode
from wabus_events.webhooks.items import PARTICIPANT_IDS
from wabus_gateway.fast_path.single_event import single_event_of
from wabus_gateway.webhooks.parse import facts_in
from webhooks import PHONE, conversation, encoded, status, template_status, text, webhook

USER, PARENT = "US.13491208655302741918", "US.ENT.11815799212886844830"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SOURCE = "/wabus/gateway"


def owner(waba_id: str) -> str | None:
    return "demo" if len(waba_id) % 2 else None


def agree(body: bytes) -> bool:
    """Whether the shortcut was taken; if so, it led to where the models lead."""
    lone = single_event_of(body, owner=owner, source=SOURCE)
    if lone is None:
        return False
    (event,) = facts_in(body, received_at=NOW, owner=owner)
    assert lone.record == encode(event, SOURCE)
    assert (lone.kind, lone.waba_id, lone.org_id) == (type(event).__name__, event.subject, event.org_id)
    return True


USUAL = {
    "a message": conversation(messages=[text("wamid.A")], contacts=[{"wa_id": "16505551234"}]),
    "a status": conversation(statuses=[status("wamid.A", conversation={"id": "c"}, pricing={"billable": True})]),
    "a status without errors": conversation(statuses=[status("wamid.A", errors=[])]),
    "parts never seen before": conversation(messages=[text("wamid.A") | {"new": {"a": [1.5]}}], new=[1]),
    "a message of 2026": conversation(
        messages=[text("wamid.A") | {"from_user_id": USER, "from_parent_user_id": PARENT}],
        contacts=[
            {
                "profile": {"name": "P", "username": "p"},
                "wa_id": "16505551234",
                "user_id": USER,
                "parent_user_id": PARENT,
            }
        ],
    ),
    "a message whose contact alone has the id": conversation(
        messages=[text("wamid.A")], contacts=[{"profile": {"name": "P"}, "wa_id": "16505551234", "user_id": USER}]
    ),
    "a status of 2026": conversation(
        statuses=[status("wamid.A", recipient_user_id=USER, recipient_parent_user_id=PARENT)],
        contacts=[{"profile": {"username": "p"}, "wa_id": "16505551234", "user_id": USER}],
    ),
    "a contact with another number": conversation(
        messages=[text("wamid.A")], contacts=[{"wa_id": "1", "user_id": "B"}]
    ),
    "no contacts": conversation(messages=[text("wamid.A")], contacts=[]),
    "non-ASCII": conversation(messages=[text("wamid.A", body="Grüße 😀 \x00")]),
}
UNUSUAL = {
    "two messages": [conversation(messages=[text("wamid.A"), text("wamid.B")])],
    "a message and a status": [conversation(messages=[text("wamid.A")], statuses=[status("wamid.B")])],
    "two changes": [conversation(messages=[text("wamid.A")]), template_status()],
    "a template": [template_status()],
    "a failed status": [conversation(statuses=[status("wamid.A", "failed", errors=[{"code": 1}])])],
    **{
        f"a group's status with {name}": [conversation(statuses=[status("wamid.A", **{name: "7"})])]
        for name in PARTICIPANT_IDS
    },
    "a payment's status": [conversation(statuses=[status("wamid.A", "captured", type="payment")])],
    "a group's status without a participant": [conversation(statuses=[status("wamid.A", recipient_type="group")])],
    "a system message": [
        conversation(messages=[text("wamid.A") | {"type": "system", "system": {"type": "user_changed_number"}}])
    ],
    "errors beside": [conversation(messages=[text("wamid.A")], errors=[{"code": 130429}])],
    "two contacts": [conversation(messages=[text("wamid.A")], contacts=[{"wa_id": "1"}, {"wa_id": "2"}])],
    "somebody else's contact": [
        conversation(messages=[text("wamid.A") | {"from_user_id": USER}], contacts=[{"user_id": "US.2"}])
    ],
    "an id that is none": [conversation(messages=[text("wamid.A") | {"from_user_id": 7}])],
    "a message to a group": [conversation(messages=[text("wamid.A") | {"group_id": "G"}])],
    "no sender": [conversation(messages=[{"id": "wamid.A", "timestamp": "1700000001", "type": "text"}])],
    "a huge number": [conversation(messages=[text("wamid.A") | {"number": 12345678901234567890123}])],
    "a time that is none": [conversation(messages=[text("wamid.A") | {"timestamp": "soon"}])],
}


@pytest.mark.parametrize("change", USUAL.values(), ids=USUAL)
def test_the_usual_takes_the_shortcut(change: dict[str, Any]) -> None:
    assert agree(encoded(webhook(change)))
    without_time = webhook(change)
    del without_time["entry"][0]["time"]
    assert agree(encoded(without_time))


@pytest.mark.parametrize("changes", UNUSUAL.values(), ids=UNUSUAL)
def test_the_unusual_is_left_to_the_models(changes: list[dict[str, Any]]) -> None:
    assert not agree(encoded(webhook(*changes)))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 300 + b"]" * 300])
def test_what_is_no_webhook_is_left_to_the_models(body: bytes) -> None:
    assert not agree(body)


odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "1", " 7", "1_0", "1700000001", "9" * 30, [], {}, ["a"], [{}], {"a": "b"}, "\x00é"]
)


def odd_parts(usual: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """What is usual, with any of its parts left out, odd, or joined by others."""
    parts = {name: st.just(part) | odd for name, part in usual.items()}
    return st.fixed_dictionaries({}, optional={**parts, "another": odd}).map(lambda changed: {**usual, **changed})


def dropping(usual: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(
        usual, st.sets(st.sampled_from(["id", "from", "timestamp", "type", "status", "time"]), max_size=1)
    ).map(lambda drawn: {name: part for name, part in drawn[0].items() if name not in drawn[1]})


telling_apart = st.fixed_dictionaries(
    {}, optional=dict.fromkeys([*PARTICIPANT_IDS, "recipient_type", "type", "payment", "group_id"], odd)
)
ids = st.sampled_from([USER, USER, PARENT, "US.2", None, "", 7])
NAMED = [f"{whose}{kind}user_id" for whose in ("from_", "recipient_") for kind in ("", "parent_")]
identifying = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMED, ids))
contacts = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "wa_id": st.sampled_from(["16505551234", "1"]) | odd,
            "user_id": ids,
            "parent_user_id": ids,
            "profile": st.fixed_dictionaries({}, optional={"name": odd, "username": ids}) | odd,
        },
    )
    | odd,
    max_size=2,
)
items = st.tuples(
    dropping(odd_parts(text("wamid.A"))) | dropping(odd_parts(status("wamid.B", errors=[]))),
    st.just({}) | telling_apart,
    st.just({}) | identifying,
).map(lambda drawn: {**drawn[0], **drawn[1], **drawn[2]})


@st.composite
def nearly_usual(draw: st.DrawFn) -> dict[str, Any]:
    value = {
        "messaging_product": "whatsapp",
        "metadata": draw(odd_parts({"display_phone_number": "1555", "phone_number_id": PHONE}) | odd),
        draw(st.sampled_from(["messages", "statuses"])): draw(st.lists(items, max_size=2) | odd),
        **draw(
            st.fixed_dictionaries(
                {}, optional={"contacts": contacts | odd, "errors": odd, "statuses": odd, "messages": odd, "new": odd}
            )
        ),
    }
    change = draw(odd_parts({"field": "messages", "value": value}))
    entry = draw(dropping(odd_parts({"id": "102", "time": 1_700_000_000, "changes": [change]})))
    return draw(odd_parts({"object": "whatsapp_business_account", "entry": [entry]}))


@st.composite
def usual(draw: st.DrawFn) -> dict[str, Any]:
    """What is usual but for who it says that it is about."""
    told = draw(st.sampled_from([("messages", text("wamid.A")), ("statuses", status("wamid.B"))]))
    more = draw(st.fixed_dictionaries({}, optional={"contacts": contacts}))
    return webhook(conversation(**{told[0]: [told[1] | draw(identifying)]}, **more))


@settings(max_examples=examples(1000))
@given(nearly_usual() | usual())
def test_they_agree_about_everything_in_between(payload: dict[str, Any]) -> None:
    agree(orjson.dumps(payload))

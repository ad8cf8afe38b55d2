"""What a thread shows: every kind of message, those of before and of elsewhere, and what was said about them later."""

import base64
import json
from collections.abc import Callable
from datetime import datetime
from itertools import permutations
from typing import Any, cast

import orjson
import pytest
from threads import (
    ANNA,
    ANNA_ID,
    IDS,
    NUMBER,
    ORG,
    START,
    WABA,
    accepted,
    at,
    called,
    echoed,
    facts,
    history,
    imported,
    last,
    only_thread,
    person,
    received,
    rules,
    standby,
    status,
    threads,
)  # fmt: skip
from wabus_conversations.threads.facts import Account, MessageFact, Source
from wabus_conversations.threads.fold import Thread
from wabus_conversations.threads.gathering import gather
from wabus_conversations.threads.reading import events_in
from wabus_conversations.threads.showing import Remark, Shown, shown
from wabus_events import Event, MessageReceived, MessageReported, SendSettled, Unrecognised


def remarks(thread: Thread) -> Shown:
    found = [
        Remark(
            message.message_id,
            message.kind,
            message.at,
            message.told.tie if message.told else 0,
            "business" if message.outgoing else "person",
            content(message.told),
        )
        for message in thread.messages
        if message.kind in ("reaction", "edit", "revoke")
    ]
    return shown(found)


def content(told: object) -> dict[str, Any]:
    return orjson.loads(cast(MessageFact, told).content or b"{}")


def texts(thread: Thread) -> list[str | None]:
    return [message.told.text for message in thread.messages if isinstance(message.told, MessageFact)]


def test_a_group_is_a_thread_of_its_own_and_has_no_window() -> None:
    group, anna = threads(received("1", 1), received("2", 2, group="g"))

    assert group.place.group_id == "g"
    assert group.summary.user_last_at is None
    assert len(anna.messages) == 1


def test_what_the_phone_app_tells_of_a_group_is_in_its_thread_and_a_contact_of_nobody() -> None:
    written = echoed("2", 2, None, group="g")
    before = imported("3", -5, ANNA, group="g"), imported("4", -4, None, group="g", ours=True)
    thread = only_thread(received("1", 1, ANNA, group="g"), written, *before)

    assert (thread.place.group_id, thread.place.person_id) == ("g", None)
    assert [(message.outgoing, any(message.whose)) for message in thread.messages] == [
        (False, True),
        (True, False),
        (False, True),
        (True, False),
    ]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_message_that_the_history_has_too_is_shown_once(order: tuple[int, ...]) -> None:
    events = [received("1", 1), imported("1", 1)]

    thread = only_thread(*(events[place] for place in order))

    assert [message.source for message in thread.messages] == [Source.RECEIVED]
    assert thread.summary.unread == 1


def test_history_goes_to_its_own_place_and_rings_nowhere() -> None:
    thread = only_thread(imported("1", -100), received("3", 3), imported("2", 50, ours=True))

    assert texts(thread) == [None, "3", None]
    assert last(thread) == at(3)
    assert thread.summary.unread == 1
    assert thread.summary.user_last_at == at(3)


def test_a_medium_of_the_history_takes_the_place_of_its_placeholder() -> None:
    events = [imported("1", 1, kind="media_placeholder"), imported("1", 1, kind="image", image={"id": "7"})]

    for order in permutations(events):
        (message,) = only_thread(*order).messages
        assert cast(MessageFact, message.told).type == "image"


def test_a_business_that_shares_no_history_has_said_so() -> None:
    batch = gather(facts([history(1, phase=None, declined=True)]), rules())

    assert [phase for _, _, phase in batch.histories] == [-1]


def test_a_message_from_the_phone_that_quotes_an_unknown_one_is_shown() -> None:
    thread = only_thread(echoed("2", 2, context="1", text={"body": "yes"}))
    known = only_thread(echoed("2", 2, context="1", text={"body": "yes"}), imported("1", 1))

    quoting = cast(MessageFact, thread.messages[0].told)
    assert thread.messages[0].outgoing
    assert quoting.context_id == known.messages[0].message_id, "it resolves itself"


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_later_of_two_edits_is_shown_whatever_came_first(order: tuple[int, ...]) -> None:
    events: list[Event] = [
        received("1", 1),
        received(
            "2", 2, kind="edit", edit={"original_message_id": "1", "message": {"type": "text", "text": {"body": "b"}}}
        ),
        received(
            "3", 3, kind="edit", edit={"original_message_id": "1", "message": {"type": "text", "text": {"body": "c"}}}
        ),
    ]

    thread = only_thread(*(events[place] for place in order))

    assert remarks(thread).edited == {"type": "text", "text": {"body": "c"}}
    assert remarks(thread).edited_at == at(3)
    assert thread.summary.unread == 1
    assert last(thread) == at(1)


def test_what_was_taken_back_before_it_came_is_not_shown_when_it_comes() -> None:
    thread = only_thread(echoed("2", 2, kind="revoke", revoke={"original_message_id": "1"}), echoed("1", 1))

    assert remarks(thread) == Shown(revoked_at=at(2))
    assert cast(MessageFact, thread.messages[1].told).about_id == thread.messages[0].message_id


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_reaction_that_was_taken_back_is_gone(order: tuple[int, ...]) -> None:
    events: list[Event] = [
        received("2", 2, kind="reaction", reaction={"message_id": "1", "emoji": "👍"}),
        received("3", 3, kind="reaction", reaction={"message_id": "1", "emoji": "❤️"}),
        received("4", 4, kind="reaction", reaction={"message_id": "1"}),
    ]

    assert remarks(only_thread(*(events[place] for place in order))).reactions == {}
    assert remarks(only_thread(*events[:2])).reactions == {"person": "❤️"}


@pytest.mark.parametrize("wamids", [("2", "3"), ("3", "2"), ("4", "5"), ("5", "4")])
def test_who_changes_their_mind_within_a_second_is_shown_with_what_they_chose_last(wamids: tuple[str, str]) -> None:
    edited = [{"original_message_id": "1", "message": {"type": "text", "text": {"body": body}}} for body in ("b", "c")]
    thread = only_thread(
        *(
            received(wamid, 2, kind="reaction", reaction={"message_id": "1", "emoji": emoji})
            for wamid, emoji in zip(wamids, ("👍", "❤️"), strict=True)
        ),
        *(received(f"edit {wamid}", 2, kind="edit", edit=edit) for wamid, edit in zip(wamids, edited, strict=True)),
    )

    assert remarks(thread).reactions == {"person": "❤️"}
    assert remarks(thread).edited == {"type": "text", "text": {"body": "c"}}


def test_a_reaction_rings_nowhere_and_may_open_the_window() -> None:
    thread = only_thread(received("2", 2, kind="reaction", reaction={"message_id": "1", "emoji": "👍"}))

    assert (thread.summary.unread, thread.summary.user_last_at, thread.summary.maybe_at) == (0, None, at(2))


@pytest.mark.parametrize("kind", ["unsupported", "unknown", "hologram"])
def test_a_message_of_tomorrow_is_kept_whole_and_opens_the_window(kind: str) -> None:
    thread = only_thread(received("1", 1, kind=kind, hologram={"of": ["a", 1]}))

    assert content(thread.messages[0].told)["hologram"] == {"of": ["a", 1]}
    assert thread.summary.user_last_at == at(1)
    assert thread.summary.unread == 1


def test_a_button_pressed_weeks_later_says_which_and_what_it_answers() -> None:
    thread = only_thread(
        received("1", 1, kind="button", button={"text": "Yes, please", "payload": "Y"}, context="sent")
    )

    told = cast(MessageFact, thread.messages[0].told)
    assert told.text == "Yes, please"
    assert told.context_id


@pytest.mark.parametrize("answer", ["no json {", "x" * 200_000])
def test_the_answer_of_a_flow_is_kept_as_it_came(answer: str) -> None:
    reply = {"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": answer}}
    thread = only_thread(received("1", 1, kind="interactive", interactive=reply))

    assert content(thread.messages[0].told)["interactive"] == reply
    assert texts(thread) == ["Sent"]


@pytest.mark.parametrize(
    ("kind", "parts", "text"),
    [
        ("order", {"order": {"text": "Two, please", "product_items": [{"product_retailer_id": "a"}]}}, "Two, please"),
        ("location", {"location": {"latitude": 1.5, "name": "Harbour", "address": "Quay 1"}}, "Harbour\nQuay 1"),
        ("image", {"image": {"id": "7", "caption": "Look"}}, "Look"),
        ("document", {"document": {"id": "7", "filename": "offer.pdf"}}, "offer.pdf"),
        ("contacts", {"contacts": [{"name": {"formatted_name": "Ben"}, "phones": []}]}, "Ben"),
        ("interactive", {"interactive": {"type": "list_reply", "list_reply": {"id": "1", "title": "Blue"}}}, "Blue"),
        ("text", {"text": {"body": "Hi"}, "referral": {"source_id": "ad", "image_url": "https://x.example"}}, "Hi"),
        ("text", {"text": "not as Meta describes it"}, None),
    ],
)  # fmt: skip
def test_orders_places_cards_and_pictures_are_kept_and_found(
    kind: str, parts: dict[str, Any], text: str | None
) -> None:
    thread = only_thread(received("1", 1, kind=kind, **parts))

    assert texts(thread) == [text]
    assert content(thread.messages[0].told).items() >= parts.items()


def test_somebody_who_only_opened_the_chat_rings_nowhere() -> None:
    thread = only_thread(received("1", 1, kind="request_welcome"))

    assert (thread.summary.unread, thread.summary.user_last_at) == (0, None)


def test_text_that_no_table_holds_is_kept_but_for_those_characters() -> None:
    text = "a\0b" + "x" * 65_536
    (message,) = only_thread(received("1", 1, text={"body": text})).messages
    told = cast(MessageFact, message.told)

    assert told.altered
    assert content(told)["text"]["body"] == text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    assert "\0" not in (told.text or "")


def test_half_an_emoji_is_shown_as_a_character_that_could_not_be_read() -> None:
    item = {"id": "1", "from": ANNA, "timestamp": "1795176000", "type": "text", "text": {"body": "a\ud83db" + "c" * 9}}
    value = {"metadata": {"phone_number_id": "1"}, "messages": [item | {"big": 2**70}]}
    body = base64.b64encode(json.dumps({"field": "messages", "value": value}).encode()).decode()
    kept = Unrecognised(id="", time=at(1), waba_id="w", reason="a change that events cannot carry as JSON", body=body)

    ((event, altered),) = events_in(kept)

    assert altered
    assert isinstance(event, MessageReceived)
    assert only_thread(event).messages[0].told
    assert event.value["messages"][0]["text"]["body"] == "a\N{REPLACEMENT CHARACTER}b" + "c" * 9


def test_a_change_whose_name_is_half_an_emoji_stops_nobody() -> None:
    body = base64.b64encode(json.dumps({"field": "\ud83d", "value": {"a": 1}}).encode()).decode()
    kept = Unrecognised(id="", time=at(1), waba_id="w", reason="a change that events cannot carry as JSON", body=body)

    assert list(events_in(kept)) == []


def test_what_had_no_model_when_it_came_is_read_as_what_it_is() -> None:
    echo = {"from": "1", "to": ANNA, "id": "2", "timestamp": "1795176000", "type": "text", "text": {"body": "Hi"}}
    value = {"metadata": {"phone_number_id": "1"}, "message_echoes": [echo]}
    kept = Unrecognised(id="", time=at(1), waba_id="w", reason="no model", field="smb_message_echoes", value=value)

    ((event, altered),) = events_in(kept)

    assert not altered
    assert texts(only_thread(event)) == ["Hi"]


@pytest.mark.parametrize(
    "body", ["no base64!", base64.b64encode(b"no JSON").decode(), base64.b64encode(b"[1]").decode()]
)
def test_what_cannot_be_read_is_left(body: str) -> None:
    assert list(events_in(Unrecognised(id="", time=at(1), reason="", body=body))) == []


def test_a_backslash_is_not_taken_for_a_nul() -> None:
    (message,) = only_thread(received("1", 1, text={"body": "a\\u0000b"})).messages

    assert not cast(MessageFact, message.told).altered


def test_a_message_six_days_late_is_at_its_own_place() -> None:
    day = 86_400
    thread = only_thread(received("2", 7 * day), received("1", day))

    assert texts(thread) == ["1", "2"]
    assert last(thread) == at(7 * day)


def test_nothing_older_than_the_service_is_unread() -> None:
    thread = only_thread(received("1", -10), received("2", 0))

    assert thread.summary.unread == 1
    assert thread.summary.user_last_at == START


def test_a_call_of_the_customer_opens_the_window_from_when_it_began() -> None:
    thread = only_thread(called("c", 5), called("c", 65, event="terminate"))

    assert thread.summary.user_last_at == at(5)
    assert [message.kind for message in thread.messages] == ["call", "call_update"]


def test_a_call_of_the_business_opens_nothing() -> None:
    assert only_thread(called("c", 5, direction="BUSINESS_INITIATED")).summary.user_last_at is None


def test_what_another_responder_gets_is_shown_and_rings_nowhere() -> None:
    thread = only_thread(standby("1", 1), standby("2", 2, copy_of="echo"))

    assert [message.outgoing for message in thread.messages] == [False, True]
    assert thread.summary.unread == 0
    assert thread.summary.user_last_at == at(1), "it is the number's window"


def test_a_number_that_an_earlier_release_took_for_an_id_is_no_second_person() -> None:
    copied = standby("2", 2, ANNA, ANNA, copy_of="echo")  # what `recipient` had beside `to`

    assert len(only_thread(received("1", 1), copied, received("3", 3, ANNA, ANNA_ID)).messages) == 3


def test_who_is_named_by_an_id_where_the_number_stood_is_the_same_person() -> None:
    as_before = received("1", 1, ANNA_ID)  # `from` has the id, and there is none beside

    assert len(only_thread(as_before, received("2", 2, None, ANNA_ID)).messages) == 2


def test_what_is_too_old_is_not_kept_and_does_not_come_back_by_a_status() -> None:

    events = [received("1", 1), echoed("2", 2), status("2", "read", 20)]

    def kept_from(_: Account) -> datetime:
        return at(10)

    batch = gather(facts(events), rules(kept_from=kept_from))

    assert batch.messages == {}
    assert len(batch.gone) == 2


def test_who_was_erased_and_writes_again_is_somebody_new() -> None:

    events = [received("1", 1), received("2", 3)]

    def forgotten(seconds: float) -> Callable[[str, str], datetime | None]:
        return lambda org_id, value: at(seconds) if (org_id, value) == (ORG, ANNA) else None

    (thread,) = threads(*events, forgotten_at=forgotten(2))

    assert [message.at for message in thread.messages] == [at(3)]
    assert thread.place.person_id == IDS.after_erasure(person(ANNA), at(2))
    assert threads(*events, forgotten_at=forgotten(3)) == []


def test_what_was_sent_through_us_is_in_its_thread_with_its_ticks_whichever_was_heard_first() -> None:
    sent = accepted("2", 2, ANNA, ANNA_ID, context="1", text={"body": "In blue, too."})
    asked, ticks = received("1", 1, ANNA, ANNA_ID), [status("2", "sent", 3, ANNA), status("2", "delivered", 4, ANNA)]
    for events in ([asked, sent, *ticks], [*ticks, sent, asked]):
        first, message = only_thread(*events).messages

        assert (message.source, message.outgoing, message.state.name) == (Source.ACCEPTED, True, "DELIVERED")
        told = cast(MessageFact, message.told)
        assert (told.text, told.context_id) == ("In blue, too.", first.message_id)


def test_a_send_whose_answer_was_lost_is_in_its_thread_once_a_status_has_told_of_it() -> None:
    settled = SendSettled(
        id="s", time=at(3), org_id=ORG, waba_id=WABA, phone_number_id=NUMBER, send_id="7", by="status", wamid="2",
        wa_id=ANNA, kind="text", message={"type": "text", "text": {"body": "Still there?"}},
    )  # fmt: skip
    [message] = only_thread(status("2", "sent", 3, ANNA), settled).messages

    assert cast(MessageFact, message.told).text == "Still there?"
    assert (message.source, message.state.name) == (Source.ACCEPTED, "SENT")


def test_what_another_system_has_sent_is_in_its_thread_as_it_was_told() -> None:
    reported = MessageReported(
        id="r", time=at(2), org_id=ORG, waba_id=WABA, phone_number_id=NUMBER, wamid="2", wa_id=ANNA, kind="text",
        message={"type": "text", "text": {"body": "From the shop."}},
    )  # fmt: skip
    for events in ([reported, status("2", "sent", 3, ANNA)], [status("2", "sent", 3, ANNA), reported, reported]):
        [message] = only_thread(*events).messages

        assert cast(MessageFact, message.told).text == "From the shop."
        assert (message.source, message.outgoing, message.state.name) == (Source.ACCEPTED, True, "SENT")

"""What an inbox is answered, by real HTTP over rows as the worker writes them."""

from datetime import timedelta
from typing import Any

import pytest
from conversations_world import HOUR, Inbox, Serve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from profiles import examples
from threads import (
    ANNA,
    ANNA_ID,
    BEN,
    BEN_ID,
    about,
    called,
    echoed,
    identity,
    imported,
    in_book,
    received,
    standby,
    status,
)
from wabus_conversations.app import create_app
from wabus_conversations.settings import ConversationsSettings
from wabus_conversations.threads.ids import message_id
from wabus_events import SendRefused
from wabus_events.testing import an
from wabus_runtime.http.paging import cursor_of
from wabus_runtime.settings import load
from wabus_whatsapp.sending.errors import ERRORS, meaning
from waiting import Eventually

pytest_plugins = ["conversations_world"]

REFUSED_ONCE = {"code": 131026, "title": "Undeliverable", "error_data": {"details": "Not on WhatsApp"}}


def reaction(wamid: str, when: float, about: str, emoji: str) -> Any:
    return received(wamid, when, ANNA, ANNA_ID, kind="reaction", reaction={"message_id": about, "emoji": emoji})


def edit(wamid: str, when: float, about: str, body: str) -> Any:
    changed = {"original_message_id": about, "message": {"type": "text", "text": {"body": body}}}
    return received(wamid, when, ANNA, ANNA_ID, kind="edit", edit=changed)


def revoke(wamid: str, when: float, about: str) -> Any:
    return received(wamid, when, ANNA, ANNA_ID, kind="revoke", revoke={"original_message_id": about})


def wrote(wamid: str, when: float, *whose: str | None, **others: Any) -> Any:
    """What somebody of the business wrote in the phone app: the wamid."""
    return echoed(wamid, when, *whose, text={"body": wamid}, **others)


def id_of(wamid: str, number: str = "number-1", org_id: str = "shop") -> str:
    return message_id(org_id, number, wamid)


async def test_the_list_has_the_newest_activity_first_and_what_an_inbox_shows(inbox: Inbox) -> None:
    await inbox.fold(
        received("hello", 1, ANNA, ANNA_ID, name="Anna"),
        received("hi", 5, BEN, BEN_ID, name="Ben"),
        in_book(6, "Ben from the gym", BEN, BEN_ID),
        wrote("how are you?", 9, None, ANNA_ID),
        status("how are you?", "delivered", 10, None, ANNA_ID),
    )
    anna, ben = await inbox.conversations()

    assert anna["contact"] | {"contact_id": ""} == {
        "contact_id": "", "name": "Anna", "username": None, "book_name": None, "numbers": [ANNA], "user_ids": [ANNA_ID],
    }  # fmt: skip
    assert anna["last_message"] | {"at": ""} == {
        "message_id": id_of("how are you?"), "direction": "out", "type": "text", "at": "", "text": "how are you?",
        "revoked": False, "state": "delivered",
    }  # fmt: skip
    assert (ben["contact"]["book_name"], ben["unread"], ben["window"]["state"]) == ("Ben from the gym", 1, "open")
    assert ben["group_id"] is ben["thread_owner"] is None


async def test_pages_leave_out_nobody_and_repeat_nobody(inbox: Inbox) -> None:
    # Several of the same second.
    await inbox.fold(*(received(f"m{person}", person // 4, f"1650555{person:04}") for person in range(23)))
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer = await inbox.ask("/conversations", after, limit="5")
        seen += [each["conversation_id"] for each in answer["conversations"]]
        if answer["next"] is None:
            break
        after = {"after": answer["next"]}

    assert len(seen) == len(set(seen)) == 23
    assert seen == [each["conversation_id"] for each in await inbox.conversations()]


async def test_each_filter_gives_its_own(inbox: Inbox) -> None:
    await inbox.fold(
        received("1", 1, ANNA, number="n1", waba="w1"),
        received("2", 2, ANNA, number="n2", waba="w1"),
        received("3", 3, ANNA, number="n3", waba="w2"),
        wrote("4", 4, BEN, number="n3", waba="w2"),
        imported("5", -30 * HOUR, "16505550003", number="n2", waba="w1"),
    )

    async def numbers(**params: str) -> list[str]:
        return [each["phone_number_id"] for each in await inbox.conversations(**params)]

    assert await numbers() == ["n3", "n3", "n2", "n1", "n2"]
    assert await numbers(waba_id="w1") == ["n2", "n1", "n2"]
    assert await numbers(waba_id="w2") == ["n3", "n3"]
    assert await numbers(phone_number_id="n2") == ["n2", "n2"]
    assert await numbers(waba_id="w1", phone_number_id="n3") == []
    assert await numbers(unread="true") == ["n3", "n2", "n1"]
    assert await numbers(unread="false") == ["n3", "n2"]
    assert await numbers(window="open") == ["n3", "n2", "n1"]
    assert await numbers(window="closed") == ["n3", "n2"]
    assert await numbers(window="closed", phone_number_id="n2", unread="false") == ["n2"]
    assert await numbers(phone_number_id="nobody's") == []
    first = await inbox.ask("/conversations", waba_id="w1", limit="2")
    rest = await inbox.ask("/conversations", waba_id="w1", limit="2", after=first["next"])
    assert [each["phone_number_id"] for each in rest["conversations"]] == ["n2"]


def refused_at_once(when: float, person: str) -> SendRefused:
    """Meta's answer to a call that the window is closed: no message has an id of it."""
    return an(SendRefused, stage="graph", error_code=131047, wa_id=person, user_id=None, **about(when))


async def test_nobody_writes_again_and_again_to_whom_meta_has_just_said_that_the_window_is_closed(inbox: Inbox) -> None:
    reaction = {"message_id": "m", "emoji": "+"}
    await inbox.fold(
        received("m", -30 * HOUR, ANNA), received("r", -HOUR, ANNA, kind="reaction", reaction=reaction),
    )  # fmt: skip
    [before] = await inbox.conversations()
    assert before["window"]["state"] == "maybe"
    await inbox.fold(refused_at_once(-HOUR / 2, ANNA))
    [after] = await inbox.conversations(window="closed")
    assert after["conversation_id"] == before["conversation_id"]
    assert (after["window"]["state"], after["last_activity_at"]) == ("closed", before["last_activity_at"])
    await inbox.fold(received("m2", -HOUR / 4, ANNA))
    assert [each["window"]["certain"] for each in await inbox.conversations(window="open")] == [True]


hours = st.floats(-60, 1).map(lambda hour: hour * HOUR)


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(hours, st.none() | hours, st.none() | hours, st.booleans()), min_size=1, max_size=6))
async def test_filtered_by_window_are_those_whose_window_says_so(
    inbox: Inbox, people: list[tuple[float, float | None, float | None, bool]]
) -> None:
    await inbox.pool.execute(
        "TRUNCATE conversations, messages, message_statuses, message_places, identifiers, persons, contact_facts"
    )
    events = []
    for number, (said, reacted, refused, at_once) in enumerate(people):
        person = f"1650555{number:04}"
        events.append(received(f"m{number}", said, person))
        if reacted is not None:
            part = {"message_id": f"m{number}", "emoji": "+"}
            events.append(received(f"r{number}", reacted, person, kind="reaction", reaction=part))
        if refused is not None and at_once:
            events.append(refused_at_once(refused, person))
        elif refused is not None:
            events.append(status(f"s{number}", "failed", refused, person, codes=[131047]))
    await inbox.fold(*events)
    everybody = await inbox.conversations(limit="200")
    found = {state: await inbox.conversations(window=state) for state in ("open", "maybe", "closed")}

    for state, those in found.items():
        expected = {each["conversation_id"] for each in everybody if each["window"]["state"] == state}
        assert {each["conversation_id"] for each in those} == expected


async def test_a_thread_has_what_was_said_later_at_each_message(inbox: Inbox) -> None:
    await inbox.fold(
        received("first", 1, ANNA, ANNA_ID),
        wrote("answer", 2, None, ANNA_ID, context="first"),
        status("answer", "read", 4, None, ANNA_ID),
        status("answer", "sent", 3, None, ANNA_ID),
        reaction("r1", 5, "answer", "👍"),
        reaction("r2", 6, "answer", "❤️"),
        received("a mistake", 7, ANNA, ANNA_ID),
        edit("e1", 8, "a mistake", "no mistake"),
        edit("e2", 9, "a mistake", "really none"),
        received("a secret", 10, ANNA, ANNA_ID),
        edit("e3", 11, "a secret", "still a secret"),
        revoke("v1", 12, "a secret"),
        received("lost", 13, ANNA, ANNA_ID, context="never seen"),
    )
    lost, revoked, edited, answer, first = await inbox.messages()

    assert (first["direction"], first["source"], first["text"], first["state"]) == ("in", "received", "first", None)
    assert first["content"]["text"] == {"body": "first"}
    assert answer["reply_to"] == {
        "message_id": id_of("first"), "here": True, "direction": "in", "type": "text", "text": "first",
    }  # fmt: skip
    assert (answer["state"], answer["direction"], answer["source"]) == ("read", "out", "echo")
    assert answer["sent_at"] < answer["read_at"]
    assert answer["reactions"] == [{"emoji": "❤️", "by": "contact", "contact_id": None}]
    assert (edited["text"], edited["original"]["text"]["body"]) == ("really none", "a mistake")
    assert [each["content"]["text"]["body"] for each in edited["edits"]] == ["no mistake", "really none"]
    assert edited["edited_at"] == edited["edits"][-1]["at"]
    assert revoked["revoked_at"]
    assert "secret" not in str(revoked)
    assert lost["reply_to"] == {
        "message_id": id_of("never seen"), "here": False, "direction": None, "type": None, "text": None,
    }  # fmt: skip
    (listed,) = await inbox.conversations()
    assert listed["last_message"]["text"] == "lost"


async def test_a_last_message_that_was_taken_back_says_nothing_in_the_list(inbox: Inbox) -> None:
    await inbox.fold(received("a secret", 1, ANNA, ANNA_ID), edit("e", 2, "a secret", "another"))
    (edited,) = await inbox.conversations()
    await inbox.fold(revoke("v", 3, "a secret"))
    (revoked,) = await inbox.conversations()

    assert edited["last_message"]["text"] == "another"
    assert (revoked["last_message"]["text"], revoked["last_message"]["revoked"]) == (None, True)


async def test_a_failure_after_delivery_is_a_note_and_one_before_is_none(inbox: Inbox) -> None:
    await inbox.fold(
        received("hello", 1),
        wrote("1", 2), status("1", "delivered", 3), status("1", "failed", 4, errors=[REFUSED_ONCE]),
        wrote("2", 5), status("2", "failed", 6, errors=[REFUSED_ONCE]),
    )  # fmt: skip
    failed, delivered, _ = await inbox.messages()

    known = {"meaning": meaning(131026), "remedy": ERRORS[131026].remedy}
    why = {"code": 131026, "title": "Undeliverable", "message": None, "details": "Not on WhatsApp", **known}
    assert (failed["state"], failed["failure"]["note"], failed["failure"]["errors"]) == ("failed", False, [why])
    assert (delivered["state"], delivered["failure"]["note"]) == ("delivered", True)
    conversation = await inbox.only_conversation()
    history = await inbox.ask(f"/conversations/{conversation}/messages/{delivered['message_id']}/statuses")
    assert [(each["status"], each["errors"]) for each in history["statuses"]] == [("delivered", []), ("failed", [why])]


async def test_what_something_else_sent_is_shown_to_who_asks_for_it(inbox: Inbox) -> None:
    await inbox.fold(received("hello", 1), status("elsewhere", "delivered", 2))
    assert [each["text"] for each in await inbox.messages()] == ["hello"]
    unknown, _ = await inbox.messages(include="unknown")
    assert (unknown["source"], unknown["state"], unknown["content"]) == ("status", "delivered", None)


async def test_calls_notices_copies_and_history_are_lines_of_the_thread(inbox: Inbox) -> None:
    await inbox.fold(
        imported("old", -100, ANNA), called("call", 2), called("call", 3, event="terminate"), standby("copy", 4, ANNA),
        received("welcome", 5, ANNA, kind="request_welcome"),
    )  # fmt: skip
    found = await inbox.messages()
    assert [(each["kind"], each["source"]) for each in found] == [
        ("system", "received"), ("message", "standby"), ("call", "received"), ("message", "history"),
    ]  # fmt: skip
    assert [each["content"]["event"] for each in found[2]["call_updates"]] == ["terminate"]


async def test_a_thread_is_read_from_its_end_from_its_middle_and_back(inbox: Inbox) -> None:
    await inbox.fold(*(received(f"m{number:02}", number // 3) for number in range(20)))
    conversation = await inbox.only_conversation()
    everything = [each["text"] for each in await inbox.messages()]
    assert everything == [f"m{number:02}" for number in reversed(range(20))]

    async def page(**params: str) -> tuple[list[str], dict[str, Any]]:
        answer = await inbox.ask(f"/conversations/{conversation}/messages", params, limit="6")
        return [each["text"] for each in answer["messages"]], answer

    seen, answer = await page()
    while answer["next"]:
        more, answer = await page(after=answer["next"])
        seen += more
    assert seen == everything
    middle, around = await page(around=id_of("m10"))
    assert middle == ["m13", "m12", "m11", "m10", "m09", "m08"]
    newer, _ = await page(before=around["previous"])
    older, _ = await page(after=around["next"])
    assert (newer, older) == (everything[:6], everything[12:18])
    first, beginning = await page(around=id_of("m00"))
    assert (first[-1], beginning["next"]) == ("m00", None)
    refused = await inbox.ask(
        f"/conversations/{conversation}/messages", after=around["next"], around=id_of("m10"), status=422
    )
    assert refused["code"] == "one_place_only"


async def test_a_group_s_messages_say_who_wrote_them_and_have_no_window(inbox: Inbox) -> None:
    await inbox.fold(
        received("1", 1, ANNA, ANNA_ID, group="g", name="Anna"), received("2", 2, BEN, BEN_ID, group="g"),
        status("3", "delivered", 3, ANNA, ANNA_ID, group="g"), status("3", "read", 4, BEN, BEN_ID, group="g"),
    )  # fmt: skip
    (group,) = await inbox.conversations()
    assert (group["group_id"], group["contact"], group["window"]) == ("g", None, None)
    sent, second, first = await inbox.messages(include="unknown")
    assert first["sender"]["name"] == "Anna"
    assert first["sender"]["contact_id"] not in (None, second["sender"]["contact_id"])
    path = f"/conversations/{group['conversation_id']}/messages/{sent['message_id']}/statuses"
    each = {status["status"]: status["contact_id"] for status in (await inbox.ask(path))["statuses"]}
    assert each == {"delivered": first["sender"]["contact_id"], "read": second["sender"]["contact_id"]}


async def test_who_gets_a_new_user_id_can_take_back_a_reaction_in_a_group(inbox: Inbox) -> None:
    def react(wamid: str, when: float, user_id: str | None, emoji: str) -> Any:
        about = {"message_id": "1", "emoji": emoji}
        return received(wamid, when, BEN, user_id, kind="reaction", group="g", reaction=about)

    await inbox.fold(
        received("1", 1, ANNA, ANNA_ID, group="g"), react("2", 2, BEN_ID, "👍"), react("3", 3, None, "🎉"),
        identity(4, (BEN, BEN_ID), (BEN, "US.2002")),
    )  # fmt: skip
    (reaction,) = (await inbox.messages())[0]["reactions"]
    assert (reaction["emoji"], reaction["by"]) == ("🎉", "contact")
    assert reaction["contact_id"]
    await inbox.fold(react("5", 5, "US.2002", ""))
    assert (await inbox.messages())[0]["reactions"] == []


async def test_a_former_id_leads_to_the_conversation_and_the_person_as_they_are_now(inbox: Inbox) -> None:
    await inbox.fold(received("by number", 1, ANNA))
    await inbox.fold(received("by id", 2, None, ANNA_ID))
    by_id, by_number = await inbox.conversations()
    await inbox.fold(identity(3, (ANNA, None), (ANNA, ANNA_ID)))
    (one,) = await inbox.conversations()

    assert one["conversation_id"] == by_number["conversation_id"]
    asked = await inbox.ask(f"/conversations/{by_id['conversation_id']}")
    assert asked == {**one, "merged_into": one["conversation_id"]}
    assert [each["text"] for each in await inbox.messages(by_id["conversation_id"])] == ["by id", "by number"]
    contact = await inbox.ask(f"/contacts/{by_id['contact']['contact_id']}")
    assert contact["contact_id"] == contact["merged_into"] == one["contact"]["contact_id"]
    assert {each["value"] for each in contact["identifiers"]} == {ANNA, ANNA_ID}


async def test_what_has_not_changed_is_not_sent_again(inbox: Inbox) -> None:
    await inbox.fold(received("1", 1))
    conversation = await inbox.only_conversation()
    for path in ("/conversations", f"/conversations/{conversation}", f"/conversations/{conversation}/messages"):
        headers = inbox.bearer("shop", "agent")
        async with inbox.client.get(path, headers=headers) as first:
            tag = first.headers["ETag"]
        async with inbox.client.get(path, headers={**headers, "If-None-Match": tag}) as again:
            assert again.status == 304, path


async def test_words_are_found_where_they_still_stand(inbox: Inbox) -> None:
    await inbox.fold(
        received("the red shoes", 1, ANNA, ANNA_ID),
        received("RED Hat, size 5", 2, BEN, BEN_ID),
        received("red as it was", 3, ANNA, ANNA_ID), edit("e1", 4, "red as it was", "blue it is"),
        received("red secret", 5, ANNA, ANNA_ID), revoke("v1", 6, "red secret"),
        received("ein schönes Cafe\N{COMBINING ACUTE ACCENT}", 7, ANNA, ANNA_ID),
    )  # fmt: skip
    await inbox.fold(received("red elsewhere", 1, ANNA, ANNA_ID), org_id="rival")

    async def found(q: str, **params: str) -> list[str]:
        answer = await inbox.ask("/conversations/search", params, q=q)
        return [each["text"] for each in answer["messages"]]

    assert await found("red") == ["RED Hat, size 5", "the red shoes"]
    assert await found("shoes RED") == ["the red shoes"]
    assert await found("blue") == ["blue it is"]
    # However the accent was typed: on a Mac apart, on a phone as one letter.
    assert await found("café") == await found("SCHO\N{COMBINING DIAERESIS}NES") == ["ein schönes Café"]
    assert await found("secret") == await found("!!!") == await found("org shop") == []
    conversation = next(each for each in await inbox.conversations() if each["contact"]["numbers"] == [BEN])
    assert await found("red", conversation_id=conversation["conversation_id"]) == ["RED Hat, size 5"]
    page = await inbox.ask("/conversations/search", q="red", limit="3")
    rest = await inbox.ask("/conversations/search", q="red", limit="3", after=page["next"])
    assert [each["text"] for each in page["messages"] + rest["messages"]] == ["RED Hat, size 5", "the red shoes"]


async def test_conversations_are_found_by_names_and_numbers_whoever_gave_them(inbox: Inbox) -> None:
    await inbox.fold(
        received("1", 1, ANNA, ANNA_ID, name="Anna-Lena Müller"),
        received("2", 2, BEN, BEN_ID, name="Ben"),
        received("3", 3, "16505550199", None, name="Annabel O'Hara"),
    )
    await inbox.fold(received("4", 4, ANNA, ANNA_ID, name="Anna-Lena Müller"), org_id="rival")

    async def found(named: str, **params: str) -> list[str]:
        answer = await inbox.ask("/conversations", params, named=named)
        return [each["contact"]["numbers"][0] for each in answer["conversations"]]

    assert await found("ann") == ["16505550199", ANNA]
    assert await found("lena MU\N{COMBINING DIAERESIS}l") == await found("müller anna") == [ANNA]
    assert await found("o'hara") == ["16505550199"]
    assert await found(f"+{BEN[:2]} {BEN[2:5]}-{BEN[5:8]}") == [BEN]
    assert await found("nna") == await found("!!!") == await found("org shop") == await found("49") == []
    page = await inbox.ask("/conversations", named="anna", limit="1")
    rest = await inbox.ask("/conversations", named="anna", limit="1", after=page["next"])
    assert [each["contact"]["numbers"][0] for each in rest["conversations"]] == [ANNA]


async def test_what_many_say_and_what_few_say_is_found_alike_the_newest_first(inbox: Inbox) -> None:
    people = (ANNA, ANNA_ID), (BEN, BEN_ID)
    # Most are newer than whatever a search may look at first, and two newer ones say what had been said before.
    said = [f"rare {number}" if number < 40 or number > 617 else f"order {number}" for number in range(620)]
    said[20] = "order 20"
    await inbox.fold(*(received(text, number, *people[number % 2]) for number, text in enumerate(said)))
    await inbox.fold(received("order of theirs", 700), org_id="rival")

    async def found(q: str, **params: str) -> list[str]:
        pages: list[str] = []
        while True:
            answer = await inbox.ask("/conversations/search", params, q=q, limit="100")
            pages += [each["text"] for each in answer["messages"]]
            if not answer["next"]:
                return pages
            params["after"] = answer["next"]

    assert await found("order") == [text for text in reversed(said) if text.startswith("order")]
    assert await found("rare") == [text for text in reversed(said) if text.startswith("rare")]
    assert await found("order 20") == ["order 20"]
    conversation = next(each for each in await inbox.conversations() if each["contact"]["numbers"] == [BEN])
    assert await found("order", conversation_id=conversation["conversation_id"]) == [
        text for number, text in reversed([*enumerate(said)]) if number % 2 and text.startswith("order")
    ]


async def test_whoever_has_a_number_is_found_however_it_is_written(inbox: Inbox) -> None:
    await inbox.fold(
        received("1", 1, ANNA, ANNA_ID, name="Anna"),
        received("2", 2, "551187654321"),
        received("3", 3, "5215512345678"),
    )

    async def found(identifier: str) -> list[tuple[list[str], str]]:
        answer = await inbox.ask("/contacts", identifier=identifier)
        return [(each["numbers"], each["match"]) for each in answer["contacts"]]

    assert await found("+1 (650) 555-1234") == await found(ANNA_ID) == [([ANNA], "same")]
    assert await found("+55 11 98765-4321") == [(["551187654321"], "similar")]
    assert await found("52 55 1234 5678") == [(["5215512345678"], "similar")]
    assert await found("49301234567") == []
    everybody = await inbox.ask("/contacts", limit="2")
    rest = await inbox.ask("/contacts", limit="2", after=everybody["next"])
    assert [each["numbers"] for each in everybody["contacts"] + rest["contacts"]] == [
        ["5215512345678"], ["551187654321"], [ANNA],
    ]  # fmt: skip
    (anna,) = (await inbox.ask("/contacts", identifier=ANNA))["contacts"]
    assert (anna["name"], len(anna["conversations"])) == ("Anna", 1)


@pytest.mark.parametrize(
    "path",
    ["/conversations/x", "/conversations/x/messages", "/contacts/x", "/contacts/16505551234",
     "/conversations/wamid.HBgLMTY1MDU1NTEyMzQ/messages"],
)  # fmt: skip
async def test_what_is_no_id_of_ours_is_refused(inbox: Inbox, path: str) -> None:
    assert (await inbox.ask(path, status=422))["code"] == "invalid_request"


async def test_what_is_not_there_is_not_found(inbox: Inbox) -> None:
    await inbox.fold(received("1", 1))
    nobody, here = "0" * 8 + "-0000-0000-0000-" + "0" * 12, await inbox.only_conversation()
    codes = {
        f"/conversations/{nobody}": "conversation_not_found",
        f"/conversations/{nobody}/messages": "conversation_not_found",
        f"/conversations/{here}/messages/{nobody}/statuses": "message_not_found",
        f"/contacts/{nobody}": "contact_not_found",
    }
    for path, code in codes.items():
        assert (await inbox.ask(path, status=404))["code"] == code
    assert (await inbox.ask(f"/conversations/{here}/messages", around=nobody, status=404))[
        "code"
    ] == "message_not_found"
    beyond = [cursor_of((at, nobody)) for at in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")]
    for query in ({"after": after} for after in ("bm9uZQ", "WyJ4IiwieSJd", *beyond)):
        assert (await inbox.ask("/conversations", query, status=422))["code"] == "invalid_cursor"


async def test_where_texts_are_not_kept_a_search_says_so(
    inbox: Inbox, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVERSATIONS_SEARCH", "false")
    inbox.client = await serve(create_app(load(ConversationsSettings), "api"))
    assert (await inbox.ask("/conversations/search", q="red", status=409))["code"] == "search_is_off"


async def test_a_window_that_has_closed_is_closed_without_any_new_event(inbox: Inbox) -> None:
    await inbox.fold(received("1", -23.5 * HOUR + timedelta(hours=1).total_seconds()), received("2", -24 * HOUR, BEN))
    states = {each["contact"]["numbers"][0]: each["window"]["state"] for each in await inbox.conversations()}
    assert states == {ANNA: "open", BEN: "closed"}


async def test_a_replica_of_its_own_is_asked_where_there_is_one(
    inbox: Inbox, serve: Serve, database_url: str, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    await inbox.fold(received("1", 1, ANNA))
    # What the other services have is not asked, and not even there.
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:9/elsewhere")
    monkeypatch.setenv("READ_DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:9/elsewhere")
    monkeypatch.setenv("CONVERSATIONS_DATABASE_URL", database_url)
    monkeypatch.setenv("CONVERSATIONS_READ_DATABASE_URL", database_url)
    inbox.client = await serve(create_app(load(ConversationsSettings), "api"))

    async def by_the_replica() -> bool:
        assert len(await inbox.conversations()) == 1
        metrics = await (await inbox.client.get("/metrics")).text()
        return 'wabus_reads_total{database="replica",projection="conversations"}' in metrics

    await eventually(by_the_replica)
    conversation, message = await inbox.only_conversation(), (await inbox.messages())[0]["message_id"]
    for path in (
        f"/conversations/{conversation}", f"/conversations/{conversation}/messages/{message}/statuses",
        "/conversations/search?q=1", f"/contacts?identifier={ANNA}", "/contacts",
    ):  # fmt: skip
        await inbox.ask(path)
    metrics = await (await inbox.client.get("/metrics")).text()
    assert 'wabus_read_replica_used{projection="conversations"} 1.0' in metrics

"""The pure functions of the pages, called in a browser: what is decided there without a page."""

from typing import Any

import pytest
from page_world import PageWorld
from playwright.sync_api import Page
from pure_functions import Call

pytest_plugins = ["pure_functions"]


def account(waba_id: str, status: str = "healthy", *codes: str, **more: Any) -> dict[str, Any]:
    reasons = [
        {"code": code, "severity": status, "message": f"{code} of {waba_id}", "waba_id": waba_id} for code in codes
    ]
    known: dict[str, Any] = {"evidence": [{"kind": "signed_webhook"}], "templates_needing_attention": [], "phones": []}
    return {"waba_id": waba_id, "name": f"Shop {waba_id}", "status": status, "reasons": reasons, **known, **more}


GOOD, LOST = {"status": "CONNECTED", "registered": True}, {"status": "PENDING", "registered": False}


@pytest.mark.parametrize(
    ("accounts", "status", "count", "partial", "about"),
    [
        ([account("1")], "healthy", 1, False, []),
        ([account("1"), account("2", "failing", "token_expired")], "failing", 1, False, ["2"]),
        ([account("1", "failing", "account_restricted"), account("2")], "failing", 1, True, ["1"]),
        ([account("1", "failing", "account_restricted", "token_expired")], "failing", 1, False, []),
        ([account("1", "failing", "number_not_registered", phones=[LOST, GOOD])], "failing", 1, True, []),
        ([account("1", "failing", "number_not_registered", phones=[LOST])], "failing", 1, False, []),
        ([account("1", "degraded", "x"), account("2", "degraded", "x")], "degraded", 2, False, ["1", "2"]),
    ],
)
def test_the_headline_is_about_the_worst(
    call: Call, accounts: list[Any], status: str, count: int, partial: bool, about: list[str]
) -> None:
    found = call("status/verdict.js", "headline", accounts)
    assert (found["status"], found["count"], found["of"]) == (status, count, len(accounts))
    assert found["partial"] is partial
    assert [each["waba_id"] for each in found["about"]] == about


@pytest.mark.parametrize(
    ("codes", "text"),
    [
        ((), "Verified"),
        (("webhook_silent",), "Nothing has come for long"),
        (("webhook_unverified",), "Pending"),
        (("webhook_silent", "webhook_misrouted"), "Not arriving"),
        (("webhook_misrouted", "token_expired"), "No access"),
    ],
)
def test_the_webhook_is_as_bad_as_the_worst_that_is_said_of_it(call: Call, codes: tuple[str, ...], text: str) -> None:
    assert call("status/verdict.js", "webhookOf", account("1", "failing", *codes))["text"] == text


def test_reasons_are_put_together_across_accounts_and_not_within_one(call: Call) -> None:
    accounts = [account("1", "degraded", "a"), account("2", "degraded", "a", "b")]
    reasons = [reason for each in accounts for reason in each["reasons"]]
    again = {**reasons[2], "message": "another b of 2"}
    found = call("status/verdict.js", "grouped", [*reasons, again], accounts)
    assert [len(group["reasons"]) for group in found] == [2, 1, 1]
    assert [[each["waba_id"] for each in group["accounts"]] for group in found] == [["1", "2"], ["2"], ["2"]]


def seen(live: str = "live", title: str = "All is well", *reasons: tuple[str, str]) -> dict[str, Any]:
    return {
        "live": live,
        "title": title,
        "reasons": [{"code": code, "waba_id": "1", "message": message} for code, message in reasons],
        "syncs": "6 of 8 templates approved.",
    }


NEWS = """async ([module, before, now]) => {
  const { news, seen } = await import(module);
  return news(before && seen(before), seen(now));
}"""


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (None, seen(), ["All is well."]),
        (seen(), seen(), []),
        (seen(), seen("live", "All is well", ("a", "It broke.")), ["It broke."]),
        (seen("live", "x", ("a", "It broke.")), seen("live", "y"), ["Solved: It broke.", "y."]),
        (seen("live", "x", ("a", "2 broke.")), seen("live", "x", ("a", "3 broke.")), ["3 broke."]),
        (seen("live", "x", ("a", "One."), ("a", "Two.")), seen("live", "x", ("a", "Two.")), ["Solved: One."]),
        (
            seen("live", "x", ("a", "One."), ("a", "Two."), ("a", "Three.")),
            seen("live", "x"),
            ["Solved: One.", "Solved: Two.", "1 more are solved."],
        ),
        (seen(), seen("lost"), ["Connection lost, retrying."]),
        (seen("lost"), seen("polling"), ["Connected."]),
    ],
)
def test_news_is_what_came_and_what_went(
    blank_page: Page, shared_world: PageWorld, before: Any, now: Any, said: list[str]
) -> None:
    assert blank_page.evaluate(NEWS, [f"{shared_world.url}/ui/status/news.js", before, now]) == said


HOUR, DAY = 3_600_000, 86_400_000
NOON = 1_796_212_800_000  # 2026-12-02, 13:00 in Berlin


def change(to: str, at: int) -> dict[str, Any]:
    return {"id": str(at), "to": to, "reasons": [], "since": at}


def test_each_day_has_the_worst_that_it_had_and_none_before_anything_was_known(call: Call) -> None:
    changes = (("healthy", NOON - 2 * DAY + HOUR), ("failing", NOON - 2 * DAY), ("degraded", NOON - 4 * DAY))
    history = [change(*each) for each in changes]
    spans = call("status/history.js", "spansOf", history, NOON)
    days = [day["worst"] for day in call("status/history.js", "daysOf", spans, NOON)]
    assert (len(days), days[:25]) == (30, [None] * 25)
    assert days[25:] == ["degraded", "degraded", "failing", "healthy", "healthy"]
    assert [(span["isNow"], span["until"] - span["from"]) for span in spans] == [
        (True, 2 * DAY - HOUR), (False, HOUR), (False, 2 * DAY),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ms", "words"), [(1, "1 min"), (59 * 60_000, "59 min"), (HOUR + 5 * 60_000, "1 h 5 min"), (DAY + HOUR, "1 d 1 h")]
)
def test_how_long_something_took_is_said_in_two_parts_at_most(call: Call, ms: int, words: str) -> None:
    assert call("shared/time.js", "lasting", ms) == words


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (3 * 60_000, "3 minutes ago"), (5 * HOUR, "since 08:00"), (2 * DAY, "since 30 Nov, 13:00 CET"),
        (5_000, "just now"), (30_000, "less than a minute ago"),
    ],
)  # fmt: skip
def test_since_is_said_as_people_say_it(blank_page: Page, shared_world: PageWorld, ago: int, words: str) -> None:
    text = blank_page.evaluate(
        "async ([module, then, now]) => (await import(module)).since(then, now).textContent",
        [f"{shared_world.url}/ui/shared/time.js", NOON - ago, NOON],
    )
    assert text.replace("GMT+1", "CET") == words


@pytest.mark.parametrize(
    ("count", "words"), [(1, "A"), (2, "A and B"), (4, "A, B, C and D"), (6, "A, B, C and 3 more")]
)
def test_names_are_listed_and_of_many_the_first(call: Call, count: int, words: str) -> None:
    assert "".join(call("shared/words.js", "listed", list("ABCDEF"[:count]))) == words


def test_a_name_is_freed_from_what_turns_the_text_around_it(call: Call) -> None:
    assert call("shared/words.js", "isolated", " \u202eab\u2069c ") == "\u2068abc\u2069"


PARSE = """async ([module, pieces]) => {
  const found = [];
  const read = (await import(module)).parser((event) => found.push(event));
  pieces.forEach(read);
  return found;
}"""


def test_a_stream_is_read_however_it_is_cut(blank_page: Page, shared_world: PageWorld) -> None:
    text = 'retry: 5\n\nid: 7\nevent: health\ndata: {"a":\r\ndata: 1}\r\n\r\n: alive\n\ndata: x\n\n'
    module = f"{shared_world.url}/ui/shared/stream.js"
    whole = blank_page.evaluate(PARSE, [module, [text]])
    assert whole == [
        {"name": "health", "data": '{"a":\n1}', "id": "7"}, {"name": "message", "data": "x", "id": None},
    ]  # fmt: skip
    for size in (1, 2, 5):
        assert blank_page.evaluate(PARSE, [module, [text[at : at + size] for at in range(0, len(text), size)]]) == whole


# ---- the inbox ----


@pytest.mark.parametrize(
    ("digits", "shown"),
    [
        ("16505550101", "+1 650 555 0101"),
        ("491511234567", "+49 151 123 4567"),
        ("972501234567", "+972 501 234 567"),
        ("79161234567", "+7 916 123 4567"),
        ("", ""),
        ("1", "+1"),
    ],
)
def test_a_number_is_written_with_its_countrys_code_apart(call: Call, digits: str, shown: str) -> None:
    assert call("inbox/words.js", "phoneNumber", digits) == shown


@pytest.mark.parametrize(
    ("before", "now", "shown", "waiting"),
    [
        (["a", "b", "c"], ["c", "a", "b"], ["a", "b", "c"], 1),
        (["a", "b", "c"], ["b", "c", "a"], ["a", "b", "c"], 2),
        (["a", "b"], ["new", "a", "b"], ["a", "b"], 1),
        (["a", "b"], ["a", "b", "older"], ["a", "b", "older"], 0),
        (["a", "b", "c"], ["a", "c"], ["a", "c"], 0),
        (["a", "b"], ["new", "b", "a", "older"], ["a", "b", "older"], 2),
    ],
)
def test_rows_that_somebody_points_at_stay_where_they_are(
    call: Call, before: list[str], now: list[str], shown: list[str], waiting: int
) -> None:
    assert call("inbox/order.js", "frozen", before, now) == {"shown": shown, "waiting": waiting}


def conversation(name: str, minute: int, **more: Any) -> dict[str, Any]:
    window = {"state": "closed", "closes_at": None}
    return {"conversation_id": name, "sorted": minute, "unread": 0, "phone_number_id": "1", "window": window, **more}


def test_the_list_has_what_matches_the_newest_first_and_nothing_older_than_what_was_loaded(call: Call) -> None:
    there = [conversation("a", 1), conversation("b", 3, unread=2), conversation("c", 2, unread=1), conversation("d", 4)]

    def ids(show: str, **more: Any) -> list[str]:
        found = call("inbox/order.js", "listed", there, {"show": show, "number": ""}, more)
        return [each["conversation_id"] for each in found]

    assert ids("all") == ["d", "b", "c", "a"]
    assert ids("unread") == ["b", "c"]
    assert ids("unread", kept="d") == ["d", "b", "c"]
    assert ids("all", end=there[2]) == ["d", "b", "c"]


@pytest.mark.parametrize(
    ("event", "writing", "single", "does"),
    [
        ({"key": "j"}, False, True, "next"),
        ({"key": "j"}, True, True, None),
        ({"key": "j"}, False, False, None),
        ({"key": "j", "ctrlKey": True}, False, True, None),
        ({"key": "ArrowDown", "altKey": True}, True, False, "next"),
        ({"key": "Escape"}, True, False, "back"),
        ({"key": "F6", "shiftKey": True}, True, False, "pane-before"),
        ({"key": "toString"}, False, True, None),
    ],
)
def test_a_key_does_what_it_says_and_nothing_while_somebody_writes(
    call: Call, event: dict[str, Any], writing: bool, single: bool, does: str | None
) -> None:
    assert call("inbox/keys.js", "wanted", event, {"isWriting": writing, "singleKeys": single}) == does


def answer_of(first: int, last: int, older: str | None) -> dict[str, Any]:
    """A page of messages, the newest first."""
    made = [{"message_id": f"m{each}", "at": f"2026-11-30T10:{each:02}:00Z"} for each in range(first, last + 1)]
    return {"messages": made[::-1], "next": older, "previous": "newer"}


def test_what_changes_in_a_thread_has_its_place_and_what_is_not_loaded_is_only_counted(call: Call) -> None:
    thread = call("conversation/pages.js", "newest", answer_of(10, 12, "older"))

    def changed(held: Any, *minutes: int, text: str = "") -> Any:
        told = [{"message_id": f"m{each}", "at": f"2026-11-30T10:{each:02}:00Z", "text": text} for each in minutes]
        return call("conversation/pages.js", "withChanged", held, told)

    def ids(held: Any) -> list[str]:
        return [each["message_id"] for each in call("conversation/pages.js", "messagesOf", held)]

    assert ids(changed(thread, 13)) == ["m10", "m11", "m12", "m13"]
    assert ids(changed(thread, 5)) == ["m10", "m11", "m12"]
    assert call("conversation/pages.js", "messagesOf", changed(thread, 11, text="edited"))[1]["text"] == "edited"
    whole = call("conversation/pages.js", "withOlder", thread, answer_of(6, 9, None))
    assert ids(changed(whole, 5)) == ["m5", "m6", "m7", "m8", "m9", "m10", "m11", "m12"]
    around = call("conversation/pages.js", "middle", answer_of(10, 12, "older"))
    assert (ids(changed(around, 20)), changed(around, 20)["missed"]) == (["m10", "m11", "m12"], 1)


def test_a_thread_lets_go_what_is_far_away(call: Call) -> None:
    thread = call("conversation/pages.js", "newest", answer_of(50, 51, "older"))
    for first in range(48, 30, -2):
        thread = call("conversation/pages.js", "withOlder", thread, answer_of(first, first + 1, "older"))
    assert (len(thread["pages"]), thread["atEnd"]) == (8, False)
    thread = call("conversation/pages.js", "withNewer", thread, answer_of(48, 49, None))
    assert (len(thread["pages"]), thread["atEnd"]) == (8, True)


def came(first: int, last: int, older: str | None = None) -> dict[str, Any]:
    """The same of one a second, so many that no page of a server's has them."""
    made = [
        {"message_id": f"m{each}", "at": f"2026-11-30T1{each // 3600}:{each // 60 % 60:02}:{each % 60:02}Z"}
        for each in range(first, last + 1)
    ]
    return {"messages": made[::-1], "next": older, "previous": "newer"}


def test_a_thread_that_is_watched_while_much_comes_does_not_grow_for_ever(call: Call) -> None:
    thread = call("conversation/pages.js", "newest", came(0, 49, "older"))
    assert call("conversation/pages.js", "trimmed", thread) == thread
    thread = call("conversation/pages.js", "withChanged", thread, came(50, 449)["messages"][::-1])
    thread = call("conversation/pages.js", "trimmed", thread)
    held = call("conversation/pages.js", "messagesOf", thread)
    assert (held[0]["message_id"], held[-1]["message_id"], thread["atEnd"]) == ("m250", "m449", True)
    # What was let go is asked for by the message that it stood before, and nothing is there twice.
    assert call("conversation/pages.js", "older", thread) == {"around": "m250"}
    thread = call("conversation/pages.js", "withOlder", thread, came(226, 275, "older still"))
    held = call("conversation/pages.js", "messagesOf", thread)
    assert [each["message_id"] for each in held] == [f"m{each}" for each in range(226, 450)]
    assert call("conversation/pages.js", "older", thread) == "older still"


def test_who_reads_further_up_is_told_how_much_has_come_and_finds_it_by_going_down(call: Call) -> None:
    thread = call("conversation/pages.js", "newest", came(0, 49, "older"))
    thread = call("conversation/pages.js", "withChanged", thread, came(50, 1_009)["messages"][::-1])
    assert (len(call("conversation/pages.js", "messagesOf", thread)), thread["missed"]) == (1_000, 10)
    # The server's pages go on from where it was asked last, and are there already.
    again = {**came(50, 99), "previous": "further"}
    thread = call("conversation/pages.js", "withNewer", thread, again)
    assert (len(thread["pages"]), call("conversation/pages.js", "newer", thread)) == (1, "further")
    thread = call("conversation/pages.js", "withNewer", thread, came(1_000, 1_009))
    assert (len(thread["pages"]), thread["atEnd"], thread["missed"]) == (2, True, 0)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a *b* c", ["a ", {"tag": "strong", "children": ["b"]}, " c"]),
        ("*_b_*", [{"tag": "strong", "children": [{"tag": "em", "children": ["b"]}]}]),
        ("2*3*4 and snake_case_name", ["2*3*4 and snake_case_name"]),
        ("*over\ntwo lines*", ["*over\ntwo lines*"]),
        ("`*x*` ```\n_y_```", [{"tag": "code", "children": ["*x*"]}, " ", {"tag": "code", "children": ["\n_y_"]}]),
        ("* b* **", ["* b* **"]),
    ],
)
def test_marks_are_what_whatsapp_takes_for_marks(call: Call, text: str, tree: list[Any]) -> None:
    assert call("shared/format.js", "parse", text) == tree


def test_a_text_that_is_full_of_marks_does_not_stop_the_page(blank_page: Page, shared_world: PageWorld) -> None:
    took = blank_page.evaluate(
        """async (module) => {
          const { parse } = await import(module);
          const time = (count) => {
            const begun = performance.now();
            parse("*a _b ~c ".repeat(count));
            return performance.now() - begun;
          };
          time(1_000);
          return [time(1_000), time(16_000)];
        }""",
        f"{shared_world.url}/ui/shared/format.js",
    )
    assert took[1] < 100 * max(took[0], 1)  # of sixteen times the text; what grows with its square takes 256 times


TEMPLATE: dict[str, Any] = {
    "parameter_format": "NAMED",
    "components": [
        {"type": "HEADER", "format": "IMAGE"},
        {"type": "BODY", "text": "Hi {{name}}, {{name}} and {{code}}"},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Go", "url": "https://x.example/{{1}}"}]},
    ],
}


def test_a_template_asks_for_each_thing_once_and_becomes_what_meta_takes(call: Call) -> None:
    fields = call("conversation/fill.js", "fieldsOf", TEMPLATE)
    assert [each["key"] for each in fields] == ["header|", "body|name", "body|code", "buttons[0]|"]
    values = {"header|": "https://x.example/a.png", "body|name": "Ana", "body|code": " ", "buttons[0]|": "42"}
    made = call("conversation/fill.js", "componentsOf", TEMPLATE, values)
    assert made == [
        {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://x.example/a.png"}}]},
        {"type": "body", "parameters": [{"type": "text", "text": "Ana", "parameter_name": "name"}]},
        {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "42"}]},
    ]
    assert call("conversation/fill.js", "valuesOf", TEMPLATE, made)["body|name"] == "Ana"


def test_who_else_is_there_is_said_for_as_long_as_they_say_so(call: Call) -> None:
    def take(agent: str, doing: str, at: int) -> None:
        call("inbox/others.js", "take", {"conversation_id": "c", "agent": agent, "doing": doing}, at)

    def said(at: int, me: str = "me") -> str | None:
        found = call("inbox/others.js", "othersNote", "c", me, at)
        return found and "".join(each if isinstance(each, str) else "…" for each in found["said"])

    take("me", "looking", 0)
    assert said(0) is None
    take("ann", "looking", 0)
    take("ben", "writing", 0)
    assert said(0) == "… is writing an answer · … is looking at this too"
    take("ben", "looking", 5_000)
    assert said(5_000) == "… is writing an answer · … is looking at this too"  # who stops for a moment
    assert said(13_000) == "…, … are looking at this too"
    take("ben", "gone", 14_000)
    assert said(14_000) == "… is looking at this too"
    assert said(60_000) is None  # their browser has died
    for each in range(5):
        take(f"colleague {each}", "writing", 60_000)
    assert said(60_000) == "…, …, … and 2 more are writing answers"

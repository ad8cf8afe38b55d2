"""The inbox in a real browser, against the whole system: people write, are answered, and nothing is lost.

`WABUS_SCREENSHOTS=1` writes what the tests see to docs/images.
"""

import os
import re
import time
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import pytest
from browser import PHONE, SMALLEST, WIDE, assert_accessible, assert_contrasts, wait_for
from inbox_world import InboxWorld, answer, balloon, open_thread, row, until
from playwright.sync_api import Dialog, Page, expect
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from simulated_meta.story import picture

IMAGES = Path(__file__).parents[2] / "docs" / "images"

TO_THE_END = """async (list) => {
  for (let at = 0; at < 40; at += 1) {
    list.scrollTop = list.scrollHeight;
    await new Promise((go) => setTimeout(go, 60));
  }
}"""
HOLD = """() => {
  const thread = document.querySelector("#thread");
  thread.scrollTop = 750;
  const { top } = thread.getBoundingClientRect();
  const held = [...thread.querySelectorAll(".balloon")].find((each) => each.getBoundingClientRect().top > top);
  window.held = held;
  return [held.textContent, held.getBoundingClientRect().top];
}"""
WHERE = "() => [window.held.textContent, window.held.getBoundingClientRect().top]"
MEASURE = """() => {
  window.slow = [];
  const note = ({ startTime, processingStart }) => window.slow.push(processingStart - startTime);
  new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({ type: "event", durationThreshold: 16 });
}"""

pytest_plugins = ["browser", "inbox_world"]
pytestmark = pytest.mark.timeout(240)


def screenshot(page: Page, name: str) -> None:
    if os.environ.get("WABUS_SCREENSHOTS"):
        page.mouse.move(0, 0)
        IMAGES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")


def stored_media(world: InboxWorld, caption: str) -> bool:
    found = world.api(f"/conversations/search?q={quote(caption)}")["messages"]
    return bool(found) and found[0]["medium"]["state"] == "stored"


def resize(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})


def test_somebody_writes_is_answered_and_the_ticks_follow(world: InboxWorld, page: Page) -> None:
    resize(page, (1440, 900))
    page.goto(f"{world.url}/inbox")
    expect(page.get_by_role("heading", name="Nobody has written yet")).to_be_visible()
    expect(page.locator("#live")).to_have_text("Live")
    world.meta("POST", "/story")

    expect(row(page, "Ana García")).to_contain_text("I bought it from you in May")
    expect(row(page, "Maya Okafor")).to_contain_text("Messages of before the connection")
    until(lambda: stored_media(world, "It stands at the window"))
    row(page, "Ana García").click()
    expect(page.locator(".picture img")).to_have_js_property("naturalWidth", 480)
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    sent = answer(page, "It gets *too much water*.")
    expect(sent.locator("strong")).to_have_text("too much water")
    expect(sent.locator(".tick.read")).to_be_visible()
    expect(balloon(page, "Oh, less water then?")).to_be_visible()
    expect(sent.locator(".reactions")).to_contain_text("❤️")
    assert [each["body"]["text"]["body"] for each in world.sent("16505550101")] == ["It gets *too much water*."]
    screenshot(page, "inbox")
    assert_accessible(page)
    assert_contrasts(page)


def test_all_is_done_by_keys_on_the_smallest_screen(world: InboxWorld, page: Page) -> None:
    resize(page, SMALLEST)
    page.goto(f"{world.url}/inbox")
    world.says("16505559001", "Keyboard Kim", "Can you hear me?")
    expect(row(page, "Keyboard Kim")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= SMALLEST[0]
    page.keyboard.press("j")
    expect(page.locator("#thread-name")).to_have_text("Keyboard Kim")
    assert page.evaluate("document.documentElement.scrollWidth") <= SMALLEST[0]
    expect(balloon(page, "Can you hear me?")).to_be_visible()
    page.keyboard.press("q")
    expect(page.locator("#reply")).to_contain_text("Can you hear me?")
    page.keyboard.type("I can")
    page.keyboard.press("Enter")
    expect(balloon(page, "I can")).to_contain_text("Can you hear me?")
    expect(balloon(page, "I can").locator(".tick.read")).to_be_visible()
    assert world.sent("16505559001")[-1]["body"]["context"]["message_id"].startswith("wamid.")
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(row(page, "Keyboard Kim")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys and settings")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("hear")
    expect(page.locator("#found a.row").filter(has_text="Can you hear me?")).to_be_visible()


@pytest.mark.long
def test_two_windows_show_the_same_and_a_message_sent_in_one(world: InboxWorld, page: Page) -> None:
    world.says("16505559002", "Two Windows", "Who answers?")
    open_thread(world, page, "Two Windows")
    other = page.context.new_page()
    open_thread(world, other, "Two Windows")
    answer(page, "I do")
    expect(balloon(other, "I do").locator(".tick.read")).to_be_visible()
    answer(other, "Me too")
    expect(balloon(page, "Me too").locator(".tick.read")).to_be_visible()
    expect(page.locator(".balloon")).to_have_count(other.locator(".balloon").count())
    other.close()


@pytest.mark.long
def test_a_window_closes_before_ones_eyes_and_only_templates_are_left(world: InboxWorld, page: Page) -> None:
    number = "16505559003"
    # Messages of before the connection are nobody's, so the browser's clock goes on, and not the day.
    page.clock.install()
    world.says(number, "Late Lou", "Are you there?")
    open_thread(world, page, "Late Lou")
    expect(page.locator("#window")).to_contain_text("23 h left to answer")
    page.clock.fast_forward("22:30:00")
    expect(page.locator("#window .closing")).to_contain_text("1 h")
    page.clock.fast_forward("01:30:00")
    expect(page.locator("#blocked")).to_contain_text("WhatsApp takes approved templates only")
    expect(page.locator("#composer")).to_be_hidden()
    assert_accessible(page)
    page.locator("#blocked").get_by_role("button", name="Choose a template").click()
    page.locator(".choice-row").filter(has_text="order_confirmation").filter(has_text="English").click()
    page.clock.resume()
    fields = page.locator("#picker-fields input")
    expect(page.locator("#picker-preview")).to_contain_text("It will arrive on {{2}}")
    fields.nth(0).fill("860198")
    fields.nth(1).fill("Lou")
    expect(page.locator("#picker-preview")).to_contain_text("Thank you for your order, Lou!")
    page.locator("#picker-send").click()
    expect(fields.nth(2)).to_have_attribute("aria-invalid", "true")
    expect(fields.nth(2)).to_be_focused()
    assert_accessible(page)
    screenshot(page, "inbox-template")
    fields.nth(2).fill("Tuesday")
    if fields.count() > 3:
        fields.nth(3).fill("860198")
    page.locator("#picker-send").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(balloon(page, "It will arrive on Tuesday.").locator(".tick.read")).to_be_visible()
    assert world.sent(number)[-1]["template"] == "order_confirmation"


@pytest.mark.long
def test_who_was_away_misses_nothing_and_what_was_written_then_goes_out(world: InboxWorld, page: Page) -> None:
    number = "16505559004"
    world.says(number, "Offline Olga", "First")
    open_thread(world, page, "Offline Olga")
    page.context.set_offline(True)
    expect(page.locator("#live")).to_contain_text("No connection")
    for text in ("Second", "Third"):
        world.says(number, "Offline Olga", text)
    answer(page, "Written without a connection")
    expect(page.locator(".line.pending")).to_contain_text("We can't be reached right now")
    assert world.sent(number) == []
    page.context.set_offline(False)
    expect(page.locator("#live")).to_have_text("Live")
    expect(balloon(page, "Third")).to_be_visible()
    expect(balloon(page, "Written without a connection").locator(".tick.read")).to_be_visible()
    expect(page.locator(".line.in")).to_have_count(3)
    assert len(world.sent(number)) == 1


@pytest.mark.long
def test_a_send_survives_a_reload_and_is_sent_once(world: InboxWorld, page: Page) -> None:
    number = "16505559005"
    world.says(number, "Reload Rita", "Hello")
    open_thread(world, page, "Reload Rita")
    page.route("**/messages", lambda route: route.abort(), times=1)
    answer(page, "Through a reload")
    page.locator("#text").fill("A draft")
    expect(page.locator(".line.pending")).to_be_visible()
    page.reload()
    expect(balloon(page, "Through a reload").locator(".tick.read")).to_be_visible()
    expect(page.locator("#text")).to_have_value("A draft")
    assert len(world.sent(number)) == 1


@pytest.mark.long
def test_what_nobody_knows_says_so_and_is_sent_again_only_by_a_person(world: InboxWorld, page: Page) -> None:
    number = "16505559006"
    world.says(number, "Unknown Uma", "Hello")
    open_thread(world, page, "Unknown Uma")
    world.meta("PATCH", "/sending", {"tells": False})
    # Read marks and "typing…" go the same way, and may come first.
    fault = {"times": 50, "path": "/messages", "body": "cut", "taken": False}
    world.meta("POST", "/faults", {"fail": fault})
    sent = answer(page, "Perhaps")
    trouble = page.locator(".line.unknown .failure")
    expect(trouble).to_contain_text("may have been sent or not")
    expect(sent.locator(".tick.unknown")).to_be_visible()
    world.meta("DELETE", "/faults")
    world.meta("PATCH", "/sending", {"tells": True})
    assert_accessible(page)
    trouble.get_by_role("button", name="Send again").click()
    expect(balloon(page, "Perhaps").last.locator(".tick.read")).to_be_visible()
    assert len(world.sent(number)) == 1


@pytest.mark.long
def test_a_message_that_fails_says_why_and_what_helps(world: InboxWorld, page: Page) -> None:
    number = "16505559007"
    world.says(number, "Failing Finn", "Hello")
    open_thread(world, page, "Failing Finn")
    world.meta("PATCH", "/sending", {"statuses": {"failed": 1.0}})
    answer(page, "It fails")
    failed = page.locator(".line.out .failure.bad")
    expect(failed).to_be_visible()
    expect(failed.locator(".remedy")).not_to_be_empty()
    assert_contrasts(page)
    world.meta("PATCH", "/sending", {"statuses": {"failed": 0.0}})
    failed.get_by_role("button", name="Send again").click()
    expect(balloon(page, "It fails").last.locator(".tick.read")).to_be_visible()


@pytest.mark.long
def test_whose_session_ends_leaves_nothing_on_the_screen_and_goes_on_where_they_were(
    world: InboxWorld, page: Page
) -> None:
    world.says("16505559008", "Secret Sam", "Nobody else may read this")
    open_thread(world, page, "Secret Sam")
    page.locator("#text").fill("unfinished")
    page.route("**/ui/session", lambda route: route.fulfill(status=404))
    page.route("**/stream-tickets", lambda route: route.fulfill(status=401))
    page.evaluate("dispatchEvent(new Event('offline'))")
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    shown = page.evaluate("document.body.innerText + document.title + document.querySelector('#text').value")
    for secret in ("Secret Sam", "Nobody else", "unfinished"):
        assert secret not in shown
    assert_accessible(page)
    page.unroute("**/stream-tickets")
    page.locator("#token").fill(world.stack.wabus("token", "--org", "demo", "--role", "admin"))
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator("#thread-name")).to_have_text("Secret Sam")
    expect(page.locator("#text")).to_have_value("unfinished")


@pytest.mark.long
def test_a_token_that_ends_is_renewed_without_anybody_seeing_it(world: InboxWorld, page: Page) -> None:
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    world.says("16505559009", "Renewed Ron", "One")
    open_thread(world, page, "Renewed Ron")
    page.route("**/stream-tickets", lambda route: route.fulfill(status=401), times=1)
    page.evaluate("dispatchEvent(new Event('offline'))")
    page.evaluate("dispatchEvent(new Event('online'))")
    until(lambda: page.wait_for_timeout(50) is None and len(sockets) > 1)
    assert all("token" not in url.replace("ticket", "") for url in sockets)
    world.says("16505559009", "Renewed Ron", "Two")
    expect(balloon(page, "Two")).to_be_visible()
    expect(page.get_by_role("heading", name="Sign in")).to_be_hidden()


@pytest.mark.long
def test_who_may_not_read_is_told_whom_to_ask(world: InboxWorld, page: Page) -> None:
    token = world.stack.wabus("token", "--org", "demo", "--role", "member")
    page.goto(f"{world.url}/inbox#token={token}")
    expect(page.get_by_role("heading", name="You may not read conversations")).to_be_visible()
    assert token not in page.url
    assert_accessible(page)


@pytest.mark.long
def test_a_person_is_forgotten_and_gone_from_every_window(world: InboxWorld, page: Page) -> None:
    world.says("16505559010", "Forget Fay", "Please forget me")
    open_thread(world, page, "Forget Fay")
    other = page.context.new_page()
    open_thread(world, other, "Forget Fay")
    resize(page, (1440, 900))
    page.get_by_role("button", name="Forget this person").click()
    expect(page.get_by_role("dialog")).to_contain_text("Everything of Forget Fay is deleted here")
    assert_accessible(page)
    page.get_by_role("dialog").get_by_role("button", name="Forget", exact=True).click()
    expect(row(page, "Forget Fay")).to_have_count(0)
    expect(other.locator("body")).not_to_contain_text("Please forget me")
    expect(row(other, "Forget Fay")).to_have_count(0)
    other.close()


@pytest.mark.long
def test_hostile_names_and_texts_stay_text_and_in_their_place(world: InboxWorld, page: Page) -> None:
    names = {
        "16505559011": "<img src=x onerror=alert(1)>",
        "16505559012": "\u202egnol \u2066drawkcab",
        "16505559013": "Long " * 2000,
    }
    dialogs: list[str] = []

    def refuse(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", refuse)
    for number, name in names.items():
        text = f"<script>alert(2)</script> \u202e{name[:40]} javascript:alert(3) https://x.example/\u202egpj.exe"
        world.says(number, name, text)
        world.says(number, name, "word" * 4000)
    page.goto(f"{world.url}/inbox")
    resize(page, SMALLEST)
    for name in ("<img src=x", "gnol drawkcab", "Long Long"):
        row(page, name).first.click()
        expect(page.locator("#thread-name")).to_contain_text(name)
        expect(balloon(page, "<script>alert(2)</script>")).to_be_visible()
        expect(page.get_by_role("button", name="Show all")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= SMALLEST[0]
        assert (
            page.locator("#main a[href^='javascript'], #main script, #main .balloon img:not([data-medium])").count()
            == 0
        )
        assert_accessible(page)
        page.go_back()
    assert dialogs == []
    assert page.locator("#thread-name, .row-name").evaluate_all(
        "all => all.every(({innerText}) => !/[\u202a-\u202e\u2066-\u2069]/.test(innerText))"
    )


@pytest.mark.long
def test_files_go_along_and_what_whatsapp_does_not_take_is_said_before(world: InboxWorld, page: Page) -> None:
    number = "16505559014"
    world.says(number, "Media Mia", "Send me the picture")
    open_thread(world, page, "Media Mia")
    page.locator("#file").set_input_files(
        [
            {"name": "plant.png", "mimeType": "image/png", "buffer": picture()},
            {"name": "\u202egnp.exe", "mimeType": "application/x-msdownload", "buffer": b"MZ"},
        ]
    )
    expect(page.locator(".attached.refused")).to_contain_text("WhatsApp does not take files of this type.")
    expect(page.locator(".attached.stored")).to_contain_text("plant.png")
    expect(page.locator("#send")).to_have_attribute("aria-disabled", "true")
    assert_accessible(page)
    page.get_by_role("button", name="Take gnp.exe away").click()
    page.locator("#text").fill("Here it *is*")
    page.keyboard.press("Enter")
    expect(balloon(page, "Here it is").last.locator(".tick.read")).to_be_visible()
    [sent] = world.sent(number)
    assert sent["body"]["image"]["caption"] == "Here it *is*"
    expect(page.locator("#files")).to_be_empty()


@pytest.mark.long
def test_no_row_moves_from_under_the_pointer(world: InboxWorld, page: Page) -> None:
    now = time.time()
    for place in range(4):
        world.wrote(f"1650555920{place}", f"Row {place}", ["Hello"], now + place)
    page.goto(f"{world.url}/inbox")
    third = row(page, "Row 1")
    expect(third).to_be_visible()
    third.hover()
    before = third.bounding_box()
    world.wrote("16505559200", "Row 0", ["Up I go"], now + 5)
    expect(row(page, "Row 0")).to_contain_text("Up I go")
    expect(page.locator("#list-new")).to_contain_text("News in 1 conversation")
    assert third.bounding_box() == before
    page.mouse.move(900, 400)
    expect(page.locator("#rows li").filter(has_text="Up I go")).to_have_attribute("aria-posinset", "1")
    expect(page.locator("#list-new")).to_be_empty()


@pytest.mark.long
def test_older_messages_come_without_moving_what_is_read_and_the_list_has_ten_thousand(
    world: InboxWorld, page: Page
) -> None:
    for part in range(5):
        world.history(2_000, 1, f"wamid.L{part}." if part else "wamid.L")
    world.history(1, 400, "wamid.O")
    until(lambda: world.api("/conversations/search?q=399")["messages"])
    page.goto(f"{world.url}/inbox")
    expect(page.locator("#rows li").first).to_be_visible()
    after = world.api("/conversations?state=open&limit=200")["next"]
    [far] = world.api(f"/conversations?state=open&limit=1&after={quote(after)}")["conversations"]
    page.locator("#search").fill(far["contact"]["numbers"][0])
    expect(page.locator(f"#found a[data-conversation='{far['conversation_id']}']")).to_be_visible()  # not loaded yet
    page.locator("#search").fill("")
    page.locator("#list").evaluate(TO_THE_END)
    assert page.locator("#rows li").count() < 80
    conversation = world.api("/conversations/search?q=399")["messages"][0]["conversation_id"]
    page.goto(f"{world.url}/inbox?c={conversation}")
    expect(balloon(page, "no. 399.")).to_be_visible()
    thread = page.locator("#thread")
    for _ in range(3):
        held = page.evaluate(HOLD)
        count = page.locator(".line").count()
        thread.evaluate("(t) => (t.scrollTop -= 100)")
        wait_for(page, "(count) => document.querySelectorAll('.line').length > count", count)
        place = page.evaluate(WHERE)
        assert place[0] == held[0]
        assert abs(place[1] - held[1] - 100) < 2


@pytest.mark.long
def test_typing_stays_quick_in_a_long_thread_while_webhooks_pour_in(world: InboxWorld, page: Page) -> None:
    """5,000 messages, 20 webhooks a second: the browser's own measure of how long a key waits until it is handled."""
    number = "16500000000"
    world.history(1, 5_000, "wamid.P")
    world.says(number, "Busy Bea", "Now")
    open_thread(world, page, "Busy Bea")
    page.evaluate(MEASURE)
    for _ in range(12):
        page.locator("#thread").evaluate("(t) => (t.scrollTop = 0)")
        wait_for(page, "() => !document.querySelector('#thread-start').textContent.includes('coming')")
    page.locator("#text").focus()
    for place in range(100):
        world.says(
            number if place % 2 else f"1650555{7000 + place}",
            "Busy Bea" if place % 2 else f"Other {place}",
            f"No. {place}",
        )
        page.keyboard.type("ab ")
    delays = page.evaluate("() => window.slow")
    assert delays
    # The benchmark holds the worst to this; here a busy machine alone may keep one key for longer.
    assert median(delays) < 100
    assert page.locator(".line").count() < 600


@pytest.mark.long
def test_it_looks_as_it_should_in_every_light(world: InboxWorld, page: Page) -> None:
    resize(page, (1440, 900))
    world.meta("POST", "/story")
    open_thread(world, page, "Ana García")
    page.emulate_media(color_scheme="dark")
    # Whatever was still being fetched when the thread was opened shows when it is there.
    expect(page.locator(".picture img").last).to_have_js_property("naturalWidth", 480)
    screenshot(page, "inbox-dark")
    page.emulate_media(color_scheme="light", forced_colors="active")
    assert_accessible(page)
    page.emulate_media(forced_colors="none", reduced_motion="reduce")
    assert page.evaluate("document.getAnimations().filter((each) => each.playState === 'running').length") == 0
    resize(page, PHONE)
    screenshot(page, "inbox-phone")
    resize(page, (2 * SMALLEST[0], 800))
    page.evaluate("document.documentElement.style.setProperty('font-size', '32px')")  # text at 200 %
    assert page.evaluate("document.documentElement.scrollWidth") <= 2 * SMALLEST[0]
    resize(page, WIDE)
    assert re.search(r"^\(?\d*\)? ?Inbox$", page.title())


HAND_OVER = """([kind, bytes, name]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
  const options = { bubbles: true, cancelable: true };
  if (kind === "paste") {
    const event = new ClipboardEvent("paste", { ...options, clipboardData: carried });
    return document.querySelector("#text").dispatchEvent(event);
  }
  for (const each of ["dragover", "drop"]) {
    document.querySelector("#lines").dispatchEvent(new DragEvent(each, { ...options, dataTransfer: carried }));
  }
}"""


@pytest.mark.long
def test_a_picture_is_pasted_and_another_dropped(world: InboxWorld, page: Page) -> None:
    number = "16505559301"
    world.says(number, "Pasting Pat", "Show me")
    open_thread(world, page, "Pasting Pat")
    for kind, name in (("paste", "pasted.png"), ("drop", "dropped.png")):
        page.evaluate(HAND_OVER, [kind, list(picture()), name])
        attached = page.locator(".attached.stored").filter(has_text=name)
        expect(attached.locator("img.small-picture")).to_have_js_property("naturalWidth", 96)
    expect(page.locator("#main.dropping")).to_have_count(0)
    page.locator("#text").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".line.out .tick.read")).to_have_count(2)
    assert [sorted(each["body"]["image"]) for each in world.sent(number)] == [["id"], ["id"]]
    # What was sent is shown, as it is kept here; after its address has ended too, and what is shown stays as it is.
    shown = page.locator(".line.out .picture img").first
    expect(shown).to_have_js_property("naturalWidth", 480)
    page.evaluate("((now) => (Date.now = () => now() + 5 * 60_000))(Date.now)")
    address = shown.get_attribute("src")
    [wamid, _] = [each["id"] for each in world.sent(number)]
    world.reacted(number, "Pasting Pat", wamid, "🙏")
    expect(page.locator(".line.out").first.locator(".reactions")).to_contain_text("🙏")
    assert shown.get_attribute("src") == address
    shown.click()
    expect(page.locator("#picture-image")).to_have_js_property("naturalWidth", 480)
    assert page.locator("#picture-image").get_attribute("src") != address
    page.keyboard.press("Escape")
    page.locator(".line.out .balloon").last.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#picture-image")).to_be_visible()
    assert page.locator(".line.out .picture").first.get_attribute("tabindex") == "-1"


@pytest.mark.long
def test_calls_are_shown_as_what_became_of_them(world: InboxWorld, page: Page) -> None:
    number = "16505559305"
    world.says(number, "Calling Cay", "I'll call you")
    open_thread(world, page, "Calling Cay")

    def told(call: str, *variants: str) -> None:
        for variant in variants:
            body = {"variant": variant, "user": number, "id": f"wamid.{call}{number}"}
            world.meta("POST", "/fields/calls?wait=true", body)

    told("first", "connect")
    call = balloon(page, "Call by the customer")
    expect(call).to_contain_text("not over yet")
    told("first", "terminate")
    expect(call).to_contain_text("Call by the customer, 1 min 0 s")
    told("second", "answered", "ended")
    expect(balloon(page, "Call by you")).to_be_visible()
    told("third", "answered", "rejected", "failed")
    expect(balloon(page, "Call that was declined by you")).to_be_visible()
    expect(page.locator(".balloon")).to_have_count(4)
    assert_accessible(page)


HIDDEN = """
  window.told = [];
  Object.defineProperty(document, "hidden", { get: () => window.isHidden === true });
  class Told {
    constructor(title, options) { window.told.push([title, options.body]); window.latest = this; }
    close() {}
  }
  Told.permission = "default";
  Told.requestPermission = async () => (Told.permission = "granted");
  window.Notification = Told;
"""


@pytest.mark.long
def test_who_wants_it_is_told_of_who_wrote_and_of_nothing_that_they_wrote(world: InboxWorld, page: Page) -> None:
    world.says("16505559302", "Notified Nia", "Before")
    page.add_init_script(HIDDEN)
    open_thread(world, page, "Notified Nia")
    page.evaluate("window.isHidden = true")
    world.says("16505559302", "Notified Nia", "Nobody has asked for notifications")
    expect(balloon(page, "Nobody has asked")).to_be_attached()
    assert page.evaluate("window.told") == []
    page.evaluate("window.isHidden = false")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.locator("#notify").check()
    page.keyboard.press("Escape")
    page.evaluate("window.isHidden = true")
    world.says("16505559303", "Notified Ned", "A secret")
    wait_for(page, "() => window.told.length === 1")
    assert page.evaluate("window.told") == [["Notified Ned", "1 unread message"]]
    page.evaluate("window.isHidden = false; window.latest.onclick()")
    expect(page.locator("#thread-name")).to_have_text("Notified Ned")


@pytest.mark.long
def test_contacts_orders_and_places_are_shown_as_what_they_are(world: InboxWorld, page: Page) -> None:
    number = "16505559304"
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": DEMO_PHONE},
        "contacts": [{"profile": {"name": "Various Vera"}, "wa_id": number}],
    }
    plant = {"product_retailer_id": "plant", "quantity": "2", "item_price": "3.50", "currency": "EUR"}
    place = {"latitude": 38.7223, "longitude": -9.1393, "name": "The shop", "address": "Rua 1"}
    told: list[dict[str, Any]] = [
        {"type": "contacts", "contacts": [{
            "name": {"formatted_name": "Ana <b>Costa</b>", "first_name": "Ana"},
            "phones": [{"phone": "+351 912 345 678", "wa_id": "351912345678", "type": "CELL"}],
            "emails": [{"email": "ana@example.com"}, {"email": "javascript:alert(1)"}],
        }]},
        {"type": "order", "order": {"catalog_id": "1", "text": "With a bow", "product_items": [plant, plant]}},
        {"type": "location", "location": place},
    ]  # fmt: skip
    now = int(time.time())
    messages = [
        {"from": number, "id": f"wamid.V{now}.{turn}", "timestamp": str(now + turn), **each}
        for turn, each in enumerate(told)
    ]
    change = {"waba_id": DEMO_WABA, "field": "messages", "value": value | {"messages": messages}}
    world.meta("POST", "/webhooks?wait=true", change)
    open_thread(world, page, "Various Vera")
    card = balloon(page, "Ana <b>Costa</b>")
    expect(card.get_by_role("link", name="+351 912 345 678")).to_have_attribute("href", "tel:+351912345678")
    expect(card.get_by_role("link", name="ana@example.com")).to_have_attribute("href", "mailto:ana@example.com")
    assert card.locator("a").count() == 2
    expect(balloon(page, "With a bow")).to_contain_text("€14.00")
    expect(balloon(page, "The shop").get_by_role("link")).to_have_attribute("href", "geo:38.7223,-9.1393")
    assert_accessible(page)

"""Work on conversations in the inbox, in two browsers, against the whole system."""

import pytest
from browser import SMALLEST, assert_accessible
from inbox_world import InboxWorld, balloon, open_thread, row, until
from playwright.sync_api import Page, Route, expect

pytest_plugins = ["browser", "inbox_world"]
pytestmark = [pytest.mark.timeout(240), pytest.mark.long]


def test_what_was_looked_at_is_read_and_can_be_unread_again(world: InboxWorld, page: Page) -> None:
    world.says("16505558001", "Read Ruth", "Look at me")
    page.goto(f"{world.url}/inbox")
    expect(row(page, "Read Ruth").locator(".row-unread")).to_contain_text("1")
    open_thread(world, page, "Read Ruth")
    expect(row(page, "Read Ruth").locator(".row-unread")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    expect(row(page, "Read Ruth").locator(".row-unread")).to_contain_text("1")
    open_thread(world, page, "Read Ruth")
    expect(row(page, "Read Ruth").locator(".row-unread")).to_have_count(0)
    until(lambda: world.api("/conversations?named=Read%20Ruth&unread=true")["conversations"] == [])
    page.reload()
    expect(page.locator("select[data-work=assign]")).to_be_visible()
    # Of what was read long ago WhatsApp need not be told, and to mark it as unread is no reason to.
    told: list[str] = []
    page.on("request", lambda request: told.append(request.url) if request.url.endswith("/read") else None)
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    expect(row(page, "Read Ruth").locator(".row-unread")).to_contain_text("1")
    expect(page.locator("#thread-name")).to_have_count(0)
    assert told == []


def test_of_two_who_take_the_same_one_is_told_who_was_faster(world: InboxWorld, page: Page) -> None:
    world.says("16505558002", "Wanted Will", "Who helps me?")
    open_thread(world, page, "Wanted Will")
    agent = world.stack.wabus("token", "--org", "demo", "--role", "agent")
    assert page.context.browser
    other = page.context.browser.new_context().new_page()
    other.goto(f"{world.url}/inbox#token={agent}")
    row(other, "Wanted Will").click()
    mine = page.locator("select[data-work=assign]")
    expect(other.locator("select[data-work=assign]")).to_have_value("nobody")

    conversation = page.url.rpartition("c=")[2]

    def first(route: Route) -> None:
        mine.select_option("agent me")
        until(lambda: world.api(f"/conversations/{conversation}")["work"]["agent"])
        route.continue_()

    other.route("**/conversations/*/assign", first, times=1)
    other.locator("select[data-work=assign]").select_option("agent me")
    expect(other.locator("#toasts")).to_contain_text("was faster and has this conversation")
    expect(other.locator("select[data-work=assign]")).to_have_value("agent wabus-cli:admin")
    expect(row(other, "Wanted Will").locator(".row-holder")).to_have_text("with wabus-cli:admin")
    page.get_by_role("button", name="Mine", exact=True).click()
    expect(row(page, "Wanted Will")).to_be_visible()
    other.get_by_role("button", name="Mine", exact=True).click()
    expect(row(other, "Wanted Will")).to_be_visible()  # somebody is reading it
    assert_accessible(other)
    other.context.close()


def test_what_is_closed_comes_back_by_undo_and_by_a_message(world: InboxWorld, page: Page) -> None:
    world.says("16505558003", "Closing Cleo", "Thank you")
    open_thread(world, page, "Closing Cleo")
    page.locator("select[data-work=assign]").select_option("agent me")
    expect(row(page, "Closing Cleo").locator(".row-holder")).to_have_text("with You")
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_role("button", name="Undo").hover()  # it stays while somebody points at it
    expect(row(page, "Closing Cleo")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#thread-name")).to_have_text("Closing Cleo")
    expect(page.locator("select[data-work=assign]")).to_have_value("agent me")
    expect(page.locator("#toasts")).to_be_empty()
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    expect(row(page, "Closing Cleo")).to_have_count(0)
    world.says("16505558003", "Closing Cleo", "One more thing")
    expect(row(page, "Closing Cleo")).to_contain_text("One more thing")
    open_thread(world, page, "Closing Cleo")
    page.locator("select[data-work=snooze]").select_option(label="Tomorrow")
    expect(row(page, "Closing Cleo")).to_have_count(0)
    page.get_by_label("Show other conversations").select_option("snoozed")
    expect(row(page, "Closing Cleo")).to_be_visible()


def test_tags_and_notes_are_seen_by_colleagues_and_not_by_the_person(world: InboxWorld, page: Page) -> None:
    world.says("16505558004", "Noted Nell", "Hello")
    page.set_viewport_size({"width": 1440, "height": 900})
    open_thread(world, page, "Noted Nell")
    page.get_by_label("New tag").fill("<b>vip</b>")
    page.keyboard.press("Enter")
    expect(page.locator(".tag")).to_contain_text("<b>vip</b>")
    page.get_by_label("New note for colleagues").fill("Calls back on Monday")
    page.locator("[data-form=note] button").click()
    expect(page.locator(".note-line")).to_contain_text("Calls back on Monday")
    other = page.context.new_page()
    other.set_viewport_size({"width": 1440, "height": 900})
    open_thread(world, other, "Noted Nell")
    expect(other.locator(".note-line")).to_contain_text("Calls back on Monday")
    other.get_by_role("button", name="Delete").click()
    expect(page.locator(".note-line")).to_have_count(0)
    page.get_by_role("button", name="Take the tag").click()
    expect(other.locator(".tag")).to_have_count(0)
    expect(balloon(other, "Monday")).to_have_count(0)
    assert world.sent("16505558004") == []
    assert_accessible(page)
    page.set_viewport_size({"width": SMALLEST[0], "height": SMALLEST[1]})
    assert page.evaluate("document.documentElement.scrollWidth") <= SMALLEST[0]
    assert_accessible(page)
    other.close()


def test_who_else_looks_or_writes_is_seen_and_goes_with_them(world: InboxWorld, page: Page) -> None:
    world.says("16505558005", "Shared Sue", "Is anybody there?")
    open_thread(world, page, "Shared Sue")
    note = page.locator("[data-key=others]")
    expect(note).to_have_count(0)  # nobody is told of oneself
    ben = world.stack.wabus("token", "--org", "demo", "--role", "agent", "--sub", "<b>ben</b>")
    assert page.context.browser
    other = page.context.browser.new_context().new_page()
    other.goto(f"{world.url}/inbox#token={ben}")
    row(other, "Shared Sue").click()
    expect(note).to_have_text("<b>ben</b> is looking at this too", timeout=30_000)
    other.get_by_label("Message", exact=True).fill("I am writing")
    expect(note).to_have_text("<b>ben</b> is writing an answer")
    expect(other.locator("[data-key=others]")).to_contain_text("wabus-cli:admin", timeout=30_000)
    assert_accessible(page)
    other.keyboard.press("Escape")
    other.goto(f"{world.url}/inbox")
    expect(note).to_have_count(0)
    other.context.close()


def test_what_another_team_gets_leaves_the_list_and_comes_back(world: InboxWorld, page: Page) -> None:
    world.says("16505558006", "Moving Mia", "For whom is this?")
    world.says("16505558007", "Staying Sam", "Hello")
    teams = [
        {"team_id": "orders", "name": "Orders", "members": [{"sub": "olga"}]},
        {"team_id": "people", "name": "People", "members": [{"sub": "hugo"}]},
    ]
    try:
        world.set("PUT", "/teams", {"teams": teams, "agents_see": "teams"})
        olga = world.stack.wabus("token", "--org", "demo", "--role", "agent", "--sub", "olga")
        page.goto(f"{world.url}/inbox#token={olga}")
        open_thread(world, page, "Moving Mia")
        page.locator("select[data-work=assign]").hover()  # in the list nothing comes under a pointer
        page.locator("select[data-work=assign]").select_option("team people")
        expect(row(page, "Moving Mia")).to_have_count(0)
        expect(page.locator("#thread-state")).to_contain_text("Others have this conversation now")
        expect(row(page, "Staying Sam")).to_be_visible()
        expect(page.locator("#toasts")).to_be_empty()
        assert_accessible(page)
        conversation = page.url.rpartition("c=")[2]
        world.set("POST", f"/conversations/{conversation}/assign", {"team": "orders"})
        expect(row(page, "Moving Mia")).to_be_visible()
        expect(balloon(page, "For whom is this?")).to_be_visible()
    finally:
        world.set("PUT", "/teams", {"teams": [], "agents_see": "all"})

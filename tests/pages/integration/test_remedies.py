"""Every remedy has its control, for those who may use it; what is refused is said beside it."""

from datetime import UTC, datetime

import pytest
from browser import wait_for
from page_world import PageWorld, fact, open_connected
from playwright.sync_api import Page, expect
from simulated_meta.seed import DEMO_WABA
from wabus_events import AccountUpdated
from wabus_runtime.http.answers import Problem

pytest_plugins = ["browser", "page_world"]

MANAGER = "https://business.facebook.com/wa/manage"


def test_whoever_is_told_to_connect_again_has_the_button(world: PageWorld, page: Page) -> None:
    world.connect()
    world.misroute(DEMO_WABA)
    open_connected(world, page)
    page.locator("[data-code=webhook_misrouted]").get_by_role("button", name="Reconnect").click()
    expect(page.get_by_role("heading", name="Meta asks for your consent")).to_be_visible()


def test_a_remedy_at_meta_leads_there(world: PageWorld, page: Page) -> None:
    world.connect()
    banned = {"ban_info": {"waba_ban_state": "DISABLE"}}
    world.tell(fact(AccountUpdated, DEMO_WABA, event="DISABLED_UPDATE", value=banned))
    world.status_of(DEMO_WABA, 0, "PAUSED")
    open_connected(world, page)
    support = page.get_by_role("link", name="Open Business Support Home")
    expect(support).to_have_attribute("href", "https://business.facebook.com/business-support-home/")
    expect(support).to_have_attribute("rel", "noopener noreferrer")
    manager = page.get_by_role("link", name="Open WhatsApp Manager")
    expect(manager).to_have_attribute("href", f"{MANAGER}/message-templates/?waba_id={DEMO_WABA}")


def test_a_banned_number_is_red_and_says_nothing_of_what_it_can_not_do_any_more(world: PageWorld, page: Page) -> None:
    world.connect()
    world.number_is(DEMO_WABA, "BANNED")
    open_connected(world, page)
    number = page.locator(".phones li")
    expect(number.locator(".badge.bad")).to_have_text("Banned")
    expect(number).not_to_contain_text("quality")
    expect(number).not_to_contain_text("Can start chats")
    expect(page.get_by_role("heading", name="WhatsApp is not working right now")).to_be_visible()
    manager = page.locator("[data-code=phone_not_connected]").get_by_role("link", name="Open WhatsApp Manager")
    expect(manager).to_have_attribute("href", f"{MANAGER}/phone-numbers/?waba_id={DEMO_WABA}")


def test_an_account_that_waits_for_proof_leads_to_a_message_to_itself(world: PageWorld, page: Page) -> None:
    world.connect(verified=False)
    open_connected(world, page)
    expect(page.get_by_role("link", name="Send a message")).to_have_attribute("href", "https://wa.me/15553983881")


def test_a_member_is_told_whom_to_ask_and_not_to_press_what_is_not_there(world: PageWorld, page: Page) -> None:
    old = datetime(2025, 1, 1, tzinfo=UTC)
    world.connect(at=old)
    page.goto(f"{world.url}/#token={world.token('member')}")
    stale = page.locator("[data-code=templates_stale]")
    expect(stale).to_contain_text("Ask an administrator to press “Sync now”.")
    expect(page.get_by_role("button", name="Sync now")).to_have_count(0)
    expect(page.get_by_role("button", name="Check now")).to_have_count(0)


def test_an_administrator_has_the_button_in_the_reason(world: PageWorld, page: Page) -> None:
    world.connect(at=datetime(2025, 1, 1, tzinfo=UTC))
    open_connected(world, page)
    page.locator("[data-code=templates_stale]").get_by_role("button", name="Sync now").click()
    expect(page.locator("[data-tile=sync]")).to_contain_text("Asking Meta for your templates…")


def test_meta_can_be_asked_again_now(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_role("region", name="News")).to_contain_text("Meta was asked just now")
    expect(page.get_by_role("region", name="Status")).to_contain_text("Meta was asked just now")
    assert "POST /webhook/health/check" in world.asked


def test_a_refused_sync_is_said_beside_its_button_each_time(world: PageWorld, page: Page) -> None:
    for waba_id, name in (("11", "Alpha"), ("22", "Beta"), ("33", "Gamma"), ("44", "Delta")):
        world.connect(waba_id, name)
    world.refusals["POST /templates/sync"] = Problem(403, "admin_required", "Not allowed", "Only an administrator may.")
    open_connected(world, page)
    page.locator(".row-head").filter(has_text="Gamma").click()
    tile = page.locator("section[data-waba='33'] [data-tile=sync]")
    tile.get_by_role("button", name="Sync now").click()
    expect(tile.get_by_role("alert")).to_have_text("Only an administrator may.")
    expect(tile.get_by_role("alert")).to_be_in_viewport()
    tile.get_by_role("alert").evaluate("each => { window.before = each; }")
    tile.get_by_role("button", name="Sync now").click()
    wait_for(page, "!window.before.isConnected && document.querySelector('[data-tile=sync] [role=alert]')")


def test_that_we_could_not_be_reached_ends_once_we_can(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    page.route("**/templates/sync", lambda route: route.abort())
    page.get_by_role("button", name="Sync now").click()
    alert = page.locator("[data-tile=sync]").get_by_role("alert")
    expect(alert).to_contain_text("We can't be reached right now.")
    world.status_of(DEMO_WABA, 0, "PAUSED")
    expect(alert).to_have_count(0)


def test_what_went_well_is_news_that_goes_by_itself_or_when_dismissed(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    news = page.get_by_role("region", name="News")
    page.get_by_role("button", name="Check now").click()
    expect(news).to_contain_text("Meta was asked")
    expect(news).to_be_in_viewport()
    news.get_by_role("button", name="Dismiss").click()
    expect(news).not_to_contain_text("Meta was asked")


def test_ids_and_details_for_support_can_be_copied(world: PageWorld, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    world.connect()
    world.misroute(DEMO_WABA)
    open_connected(world, page)
    page.get_by_text("Connection details").click()
    for what, copied in (
        ("Copy the account's id", DEMO_WABA),
        ("Copy the address that Meta sends messages to", f"https://wabus.example/webhooks/whatsapp/{DEMO_WABA}"),
        ("Copy the template's name", "appointment_reminder"),
    ):
        page.get_by_role("button", name=what).click()
        wait_for(page, "copied => navigator.clipboard.readText().then((text) => text === copied)", copied)
    page.get_by_role("button", name="Copy details for support").click()
    wait_for(page, "navigator.clipboard.readText().then((text) => text.startsWith('Organisation: demo'))")
    text = page.evaluate("navigator.clipboard.readText()")
    assert f"failing webhook_misrouted, account {DEMO_WABA}" in text


def test_a_browser_that_does_not_let_the_page_copy_says_so(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }")
    page.get_by_role("button", name="Copy the template's name").click()
    expect(page.get_by_role("region", name="News").get_by_role("alert")).to_contain_text("does not let the page copy")


@pytest.mark.parametrize("seconds", [0, 40])
def test_how_far_behind_an_answer_is_shows(world: PageWorld, page: Page, seconds: int) -> None:
    world.connect()
    world.fall_behind(seconds)
    open_connected(world, page)
    expect(page.locator("#live")).to_have_text("Live, 40 s behind" if seconds else "Live")


def test_offline_the_page_says_as_of_when_it_is(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    page.context.set_offline(True)
    expect(page.locator("#live")).to_contain_text("Connection lost, retrying")
    expect(page.get_by_role("region", name="Status")).to_contain_text("as of")
    page.context.set_offline(False)

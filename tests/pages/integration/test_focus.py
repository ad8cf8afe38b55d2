"""Where the focus is after something changed: where it was, or at the heading of what is new; never at the top."""

from typing import Any

import pytest
from page_world import PageWorld, fact, open_connected
from playwright.sync_api import Page, expect
from simulated_meta.seed import DEMO_WABA
from wabus_events import TemplateSyncFailed

pytest_plugins = ["browser", "page_world"]


@pytest.mark.parametrize("outcome", ["succeeds", "fails"])
def test_sync_now_keeps_the_focus_until_the_sync_has_ended_and_after_it(
    world: PageWorld, page: Page, outcome: str
) -> None:
    open_connected(world, page)
    tile = page.locator("[data-tile=sync]")
    tile.get_by_role("button", name="Sync now").focus()
    with page.expect_response("**/templates/sync"):  # the page shows a sync before anybody has heard of it
        page.keyboard.press("Enter")
    expect(tile.get_by_role("progressbar")).to_be_visible()
    expect(tile.get_by_role("button")).to_be_focused()

    if outcome == "succeeds":
        world.tell(world.synced(DEMO_WABA))
        expect(tile).to_contain_text("Up to date")
    else:
        said: dict[str, Any] = {"code": "graph_unavailable", "message": "Meta is away.", "retryable": True}
        asked = world.accounts[DEMO_WABA].sync_requested
        assert asked
        world.tell(fact(TemplateSyncFailed, DEMO_WABA, sync_id=asked.sync_id, reason="r", started_at=asked.at, **said))
        expect(tile).to_contain_text("Meta is not answering.")

    expect(tile.get_by_role("button", name="Sync now")).to_be_focused()


def test_after_an_account_is_disconnected_the_focus_is_at_what_is_left(world: PageWorld, page: Page) -> None:
    world.connect()
    world.connect("555", "Wind & Wool")
    open_connected(world, page)
    for name, heading in (("Wind & Wool", "Lucky Shrub"), ("Lucky Shrub", "Connect WhatsApp")):
        page.get_by_role("button", name=f"Disconnect {name}").focus()
        page.keyboard.press("Enter")
        page.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
        expect(page.get_by_role("heading", name=name)).to_have_count(0)
        expect(page.get_by_role("heading", name=heading)).to_be_focused()


def test_when_the_connection_is_back_the_focus_of_try_now_is_not_lost(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    page.context.set_offline(True)
    page.get_by_role("button", name="Try now").focus()
    page.context.set_offline(False)
    expect(page.get_by_role("button", name="Try now")).to_have_count(0)
    expect(page.get_by_role("heading", name="Everything is working")).to_be_focused()


def test_after_signing_in_the_focus_is_in_the_page(world: PageWorld, page: Page) -> None:
    world.connect()
    page.route("**/ui/session", lambda route: route.fulfill(status=404, json={}))
    page.goto(world.url)
    page.get_by_label("Access token").fill(world.token())
    page.keyboard.press("Enter")
    expect(page.locator("button.template").first).to_be_visible()
    expect(page.get_by_role("heading", name="Everything is working")).to_be_focused()


def test_opening_an_account_keeps_the_focus_on_its_row_wherever_it_moves(world: PageWorld, page: Page) -> None:
    for waba_id, name in (("11", "Alpha"), ("22", "Beta"), ("33", "Gamma")):
        world.connect(waba_id, name)
    open_connected(world, page)
    row = page.locator(".row-head").filter(has_text="Gamma")
    row.focus()
    page.keyboard.press("Enter")
    expect(row).to_have_attribute("aria-expanded", "true")
    world.misroute("33")  # the row becomes the first
    expect(page.locator(".row-head").first).to_contain_text("Gamma")
    expect(row).to_be_focused()


def test_a_name_in_the_headline_leads_to_its_account(world: PageWorld, page: Page) -> None:
    for waba_id, name in (("11", "Alpha"), ("22", "Beta"), ("33", "Gamma")):
        world.connect(waba_id, name)
    world.misroute("22")
    open_connected(world, page)
    page.get_by_role("region", name="Status").get_by_role("link", name="Beta").click()
    expect(page.locator(".row-head").filter(has_text="Beta")).to_be_focused()
    expect(page.locator("#body-22")).to_be_visible()


def test_after_metas_dialog_the_focus_is_at_what_is_being_set_up(world: PageWorld, page: Page) -> None:
    world.connect()
    page.goto(f"{world.url}/?connected={DEMO_WABA}")
    expect(page.locator(".welcome h2")).to_be_focused()
    page.get_by_role("button", name="Show my connection").click()
    expect(page.get_by_role("heading", name="Everything is working")).to_be_focused()


def test_what_comes_or_moves_above_the_focus_does_not_take_it(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    row = page.locator("button.template").nth(2)
    row.focus()
    world.status_of(DEMO_WABA, 0, "PAUSED")
    expect(page.locator("[data-code=template_paused]")).to_be_visible()
    world.templates[DEMO_WABA] = [
        {**world.templates[DEMO_WABA][0], "template_id": "1", "name": "a_new_one"}, *world.templates[DEMO_WABA]
    ]  # fmt: skip
    world.tell(world.synced(DEMO_WABA))
    expect(page.locator("button.template")).to_have_count(9)
    expect(page.locator("button.template").nth(3)).to_be_focused()

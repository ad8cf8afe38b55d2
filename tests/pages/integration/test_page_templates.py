"""The list of templates: found by what is typed, kept in the address, walked through by keys, never silently gone."""

import re

from browser import PHONE, assert_accessible, wait_for
from page_world import PageWorld, open_connected
from playwright.sync_api import Page, expect
from simulated_meta.seed import DEMO_WABA

pytest_plugins = ["browser", "page_world"]


def test_account_filter_search_and_template_stand_in_the_address(world: PageWorld, page: Page) -> None:
    world.connect()
    world.connect("555", "Wind & Wool")
    open_connected(world, page)
    page.get_by_label("Account", exact=True).select_option("555")
    page.get_by_role("button", name="Approved 6").click()
    page.get_by_label("Search templates").fill("order")
    expect(page.locator("button.template")).to_have_count(2)
    page.locator("button.template").nth(1).click()
    chosen = page.locator("#preview h3").inner_text()
    address = page.url
    for part in ("account=555", "status=APPROVED", "q=order", "template=555%2F"):
        assert part in address

    page.goto("about:blank")
    page.goto(address)

    expect(page.locator("button.template")).to_have_count(2)
    expect(page.get_by_label("Search templates")).to_have_value("order")
    expect(page.get_by_label("Account", exact=True)).to_have_value("555")
    expect(page.locator("#preview h3")).to_have_text(chosen)
    expect(page.locator("button.template").nth(1)).to_have_attribute("aria-current", "true")


def test_back_closes_the_preview_on_a_phone_and_stays_on_the_page(world: PageWorld, page: Page) -> None:
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    open_connected(world, page)
    page.locator("button.template").filter(has_text="weekend_offer").click()
    sheet = page.get_by_role("dialog", name="Preview of the template")
    expect(sheet).to_contain_text("weekend_offer")
    assert "template=" in page.url

    page.go_back()

    expect(sheet).to_be_hidden()
    expect(page.locator("button.template").first).to_be_visible()
    page.locator("button.template").filter(has_text="weekend_offer").click()
    expect(sheet).to_be_visible()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    wait_for(page, "!history.state?.sheet")
    assert "template=" not in page.url


def test_the_list_is_one_stop_for_tab_and_arrows_walk_through_it(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    page.get_by_role("button", name=re.compile("^Rejected")).focus()
    page.keyboard.press("Tab")
    expect(page.locator("button.template").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    third = page.locator("button.template").nth(2)
    expect(third).to_be_focused()
    expect(page.locator("#preview h3")).to_have_text(third.locator(".name").inner_text())
    page.keyboard.press("End")
    expect(page.locator("button.template").last).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Copy the template's name")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("button.template").last).to_be_focused()


def test_a_list_that_can_not_be_had_says_so_and_is_asked_for_again(world: PageWorld, page: Page) -> None:
    world.connect()
    page.route("**/templates?*", lambda route: route.fulfill(status=500, json={}))
    page.goto(world.url)
    section = page.get_by_role("region", name="Templates")
    expect(section.get_by_role("alert")).to_contain_text("Templates can't be shown right now.")
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.get_by_role("heading", name="Everything is working")).to_be_visible()
    assert_accessible(page)
    with page.expect_response("**/templates?*"):
        section.get_by_role("button", name="Try again").click()
    expect(section.get_by_role("alert")).to_be_visible()
    page.unroute("**/templates?*")
    # It may be asked for again by itself before anybody has pressed the button.
    page.evaluate("document.querySelector('[data-action=retry-templates]')?.click()")
    expect(page.locator("button.template")).to_have_count(8)


def test_a_list_that_is_on_its_way_has_its_place(world: PageWorld, page: Page) -> None:
    world.connect()
    page.route("**/templates?*", lambda route: None)
    page.goto(world.url)
    expect(page.get_by_role("region", name="Templates").locator(".loading")).to_be_visible()
    expect(page.locator("#templates-count")).to_be_empty()


def test_what_is_typed_is_looked_for_once_the_typing_pauses(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    page.evaluate(
        "() => { window.counts = []; new MutationObserver(() => window.counts.push(document.getElementById("
        "'templates-count').textContent)).observe(document.getElementById('templates-count'), { childList: true }); }"
    )
    page.get_by_label("Search templates").press_sequentially("order_conf", delay=20)
    expect(page.locator("#templates-count")).to_have_text("2 of 8 templates")
    assert len(page.evaluate("window.counts")) <= 3


def test_a_long_list_grows_on_demand_and_the_focus_goes_on_in_it(world: PageWorld, page: Page) -> None:
    world.connect()
    demo = world.templates[DEMO_WABA][0]
    world.templates[DEMO_WABA] = [
        {**demo, "template_id": str(number), "name": f"offer_{number:03d}"} for number in range(120)
    ]
    open_connected(world, page)
    expect(page.locator("button.template")).to_have_count(50)
    page.get_by_role("button", name="Show 50 more").click()
    expect(page.locator("button.template")).to_have_count(100)
    expect(page.locator("button.template").nth(50)).to_be_focused()
    page.get_by_role("button", name="Show 20 more").click()
    expect(page.locator("button.template")).to_have_count(120)
    expect(page.get_by_role("button", name=re.compile("Show .* more"))).to_have_count(0)


def test_metas_advice_and_the_end_of_a_pause_stand_with_the_template(world: PageWorld, page: Page) -> None:
    world.connect()
    rejected, paused = world.templates[DEMO_WABA][:2]
    world.templates[DEMO_WABA][:2] = [
        {
            **rejected, "status": "REJECTED", "rejected_reason": "INVALID_FORMAT",
            "rejection": {"reason": "Two parameters stand side by side.", "recommendation": "Put words between them."},
        },
        {
            **paused, "status": "PAUSED",
            "pause": {"title": "FIRST_PAUSE", "began_at": "2020-12-03T10:00:00Z", "ends_at": "2020-12-03T13:00:00Z"},
        },
    ]  # fmt: skip
    open_connected(world, page)
    preview = page.get_by_role("complementary", name="Preview")
    page.get_by_role("button", name=re.compile("^Rejected")).click()
    page.locator("button.template").filter(has_text=rejected["name"]).first.click()
    expect(preview).to_contain_text("Meta's reason: Invalid format")
    expect(preview).to_contain_text("Two parameters stand side by side.")
    expect(preview).to_contain_text("Meta advises: Put words between them.")
    page.get_by_role("button", name=re.compile("^Paused")).click()
    expect(preview).to_contain_text("Meta ends the pause at 3 Dec, 13:00 UTC.")

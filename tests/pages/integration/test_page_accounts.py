"""Accounts as they are: tiles that agree with the banner, and many accounts that fit the screen, the worst first."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from page_world import PageWorld, fact, open_connected
from playwright.sync_api import Locator, Page, expect
from simulated_meta.seed import DEMO_WABA
from wabus_events import AccountChecked, AccountUpdated, CheckedNumber, TemplateSyncFailed, WebhookSeen

pytest_plugins = ["browser", "page_world"]

NAMES = (
    "Lucky Shrub", "Wind & Wool", "Bricks & Beans", "متجر الزهور", "Quiet Quilts", "Ninth Street Bakery",
    "Öl & Öfen", "Café Zürich", "Kiosk", "A very long name of a business that goes on and on, Ltd", "Teschoo", "Z",
)  # fmt: skip


def tile(page: Page, name: str) -> Locator:
    return page.locator(f"[data-tile={name}]")


def twelve(world: PageWorld) -> None:
    for number, name in enumerate(NAMES):
        world.connect(str(1_000_000_001 + number), name)


def test_where_messages_go_elsewhere_the_tile_says_so_and_the_evidence_is_past(world: PageWorld, page: Page) -> None:
    world.connect()
    world.tell(fact(WebhookSeen, DEMO_WABA, day=datetime.now(UTC).date(), field="TemplateStatusChanged"))
    world.misroute(DEMO_WABA)
    open_connected(world, page)
    expect(page.get_by_role("heading", name="WhatsApp is not working right now")).to_be_visible()
    expect(tile(page, "webhook").locator(".badge")).to_have_text("Not arriving")
    expect(tile(page, "webhook")).to_have_class(re.compile("bad"))
    expect(tile(page, "webhook")).to_contain_text("Last proof:")
    expect(tile(page, "webhook")).to_contain_text("Last news from Meta: template status changed")
    expect(tile(page, "webhook").locator("li")).to_have_count(1)


def test_an_account_that_is_not_subscribed_is_not_called_verified(world: PageWorld, page: Page) -> None:
    world.connect()
    world.tell(fact(AccountChecked, DEMO_WABA, our_callback_url="https://wabus.example", subscribed=False))
    open_connected(world, page)
    expect(tile(page, "webhook").locator(".badge")).to_have_text("Not arriving")


def test_where_our_access_has_ended_no_tile_is_green(world: PageWorld, page: Page) -> None:
    world.connect(token_expires_at=datetime.now(UTC) - timedelta(minutes=5))
    open_connected(world, page)
    for name in ("webhook", "sync"):
        expect(tile(page, name).locator(".badge")).to_have_text("No access")
        expect(tile(page, name)).to_have_class(re.compile("bad"))
    expect(page.locator(".tile.good")).to_have_count(0)


def test_a_banned_number_is_red_and_has_no_quality_and_no_limit(world: PageWorld, page: Page) -> None:
    world.connect()
    number = CheckedNumber(
        phone_number_id=f"9{DEMO_WABA}", display_phone_number="+1 555-398-3881", verified_name="Lucky Shrub",
        status="BANNED", quality_rating="YELLOW", messaging_limit="TIER_UNLIMITED",
    )  # fmt: skip
    world.tell(fact(AccountChecked, DEMO_WABA, our_callback_url="https://x.example", subscribed=True, numbers=[number]))
    open_connected(world, page)
    row = page.locator(".phones li")
    expect(row.locator(".badge.bad")).to_have_text("Banned")
    expect(row).not_to_contain_text("quality")
    expect(row).not_to_contain_text("customers")


def test_where_only_a_part_fails_the_page_does_not_say_that_nothing_works(world: PageWorld, page: Page) -> None:
    world.connect()
    restriction = {"restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}]}
    world.tell(fact(AccountUpdated, DEMO_WABA, event="ACCOUNT_RESTRICTION", value=restriction))
    open_connected(world, page)
    expect(page.get_by_role("heading", name="WhatsApp works only in part")).to_be_visible()
    expect(page).to_have_title("Works in part · WhatsApp connection")
    expect(page.get_by_text("Meta does not let this account start conversations.")).to_be_visible()


def test_of_twelve_accounts_the_one_that_fails_is_named_and_stands_first(world: PageWorld, page: Page) -> None:
    twelve(world)
    world.status_of("1000000002", 0, "PAUSED")
    world.misroute("1000000008")
    open_connected(world, page)
    expect(page.get_by_role("heading", name="1 of 12 accounts is not working: Café Zürich")).to_be_visible()
    expect(page).to_have_title("1 of 12: not working · WhatsApp connection")
    rows = page.locator(".row-head")
    expect(rows).to_have_count(12)
    expect(rows.nth(0)).to_contain_text("Café Zürich")
    expect(rows.nth(0)).to_contain_text("Not working")
    expect(rows.nth(0)).to_contain_text("Not arriving")
    expect(rows.nth(1)).to_contain_text("Wind & Wool")
    expect(rows.nth(1)).to_contain_text("Needs attention")
    expect(rows.nth(2)).to_contain_text("Healthy")


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_twelve_accounts_take_less_than_two_screens(world: PageWorld, page: Page, width: int, height: int) -> None:
    twelve(world)
    world.misroute("1000000008")
    page.set_viewport_size({"width": width, "height": height})
    open_connected(world, page)
    accounts = page.locator("#accounts").bounding_box()
    assert accounts
    assert accounts["height"] < 1.2 * height
    assert accounts["y"] + accounts["height"] < 2 * height
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights = page.locator(".row-head").evaluate_all("all => all.map((each) => each.getBoundingClientRect().height)")
    assert max(heights) - min(heights) < 2, "a long name makes its row no higher"


def test_a_row_opens_on_demand_and_the_address_knows_it(world: PageWorld, page: Page) -> None:
    twelve(world)
    open_connected(world, page)
    row = page.locator(".row-head").filter(has_text="Kiosk")
    expect(page.locator(".tiles")).to_have_count(0)
    row.click()
    expect(page.locator("section[data-waba='1000000009'] .tiles")).to_be_visible()
    assert page.url.endswith("/?open=1000000009")
    page.reload()
    expect(page.locator("section[data-waba='1000000009'] .tiles")).to_be_visible()
    row.click()
    expect(page.locator(".tiles")).to_have_count(0)
    assert page.url == f"{world.url}/"


def test_the_same_of_four_accounts_is_said_once_and_leads_to_its_templates(world: PageWorld, page: Page) -> None:
    twelve(world)
    for waba_id in ("1000000001", "1000000003", "1000000005", "1000000007"):
        world.status_of(waba_id, 0, "PAUSED")
        world.status_of(waba_id, 2, "PAUSED")
    open_connected(world, page)
    paused = page.locator("[data-code=template_paused]")
    expect(paused).to_have_count(1)
    expect(paused).to_contain_text("8 templates are paused in 4 accounts.")
    expect(paused).to_contain_text("Bricks & Beans, Lucky Shrub, Öl & Öfen and Quiet Quilts")
    paused.get_by_role("button", name="Show them").click()
    expect(page.locator("#templates-count")).to_have_text("8 of 96 templates")
    expect(page.get_by_role("heading", name="Templates")).to_be_focused()
    assert page.url.endswith("/?status=PAUSED")


def test_two_accounts_stay_open_as_they_were(world: PageWorld, page: Page) -> None:
    world.connect()
    world.connect("555", "Wind & Wool")
    open_connected(world, page)
    expect(page.locator(".tiles")).to_have_count(2)
    expect(page.locator(".row-head")).to_have_count(0)


def test_what_was_counted_shows_for_a_day_a_week_and_a_month(world: PageWorld, page: Page) -> None:
    world.connect()
    world.count(DEMO_WABA, received=(1, 20, 300), failed=(0, 2, 5))
    open_connected(world, page)
    row = page.locator(".traffic tr").filter(has_text="Received")
    expect(row.get_by_role("cell")).to_have_text(["1", "20", "300"])
    expect(page.locator(".traffic tr.bad")).to_contain_text("Failed")


def test_what_happened_shows_as_bars_and_as_changes(world: PageWorld, page: Page) -> None:
    world.connect()
    of_today = datetime.now(UTC).hour / 24
    ended = 3 if of_today > 0.12 else 3.2  # days ago, so that it began on the same day
    world.remember([("healthy", ended), ("failing", ended + 0.1), ("healthy", 10), (None, 10)])
    open_connected(world, page)
    card = page.get_by_role("region", name="Last 30 days")
    expect(card.get_by_role("img")).to_have_attribute("aria-label", re.compile("1 day with something not working"))
    expect(card.locator(".bars .bad")).to_have_count(1)
    first, second = card.locator(".changes li").nth(0), card.locator(".changes li").nth(1)
    expect(first).to_contain_text("until now · 3 d")
    expect(second).to_contain_text("It did not work.")
    expect(second).to_contain_text("2 h 24 min")


def test_what_happened_can_be_asked_for_again(world: PageWorld, page: Page) -> None:
    world.connect()
    world.remember([("healthy", 3)])
    page.route("**/webhook/health/history*", lambda route: route.fulfill(status=500, json={}))
    open_connected(world, page)
    expect(page.get_by_text("What happened can't be shown right now.")).to_be_visible()
    page.unroute("**/webhook/health/history*")
    page.get_by_role("region", name="Last 30 days").get_by_role("button", name="Try again").click()
    expect(page.locator(".changes li")).to_have_count(1)


def test_a_failed_sync_says_why_in_one_way(world: PageWorld, page: Page) -> None:
    world.connect()
    world.tell(
        fact(
            TemplateSyncFailed, DEMO_WABA, sync_id="f", reason="r", started_at=datetime.now(UTC),
            code="graph_unavailable", message="Please try again in a few minutes.", retryable=True,
        )
    )  # fmt: skip
    open_connected(world, page)
    expect(tile(page, "sync")).to_contain_text("Meta is not answering.")
    expect(tile(page, "sync")).to_contain_text("Next try in 4 minutes")
    expect(page.locator("[data-code=sync_failing]")).to_contain_text(
        "you need not do anything: we try again by ourselves"
    )
    assert "try again in a few" not in page.locator("main").inner_text()

"""Each state of the page by axe's rules, in forced colours, at any width, with large letters and any names."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from browser import PHONE, SMALLEST, WIDE, assert_accessible, assert_contrasts, wait_for
from page_world import PageWorld, fact, open_connected
from playwright.sync_api import Page, expect
from simulated_meta.seed import DEMO_WABA, demo_templates
from wabus_events import AccountUpdated, TemplateSyncFailed

pytest_plugins = ["browser", "page_world"]


pytestmark = pytest.mark.long  # every state, looked at by axe


def healthy(world: PageWorld) -> None:
    world.connect()


def troubled(world: PageWorld) -> None:
    """One account is expired, the other has whatever else can be wrong at once."""
    world.connect("1000000001", "Wind & Wool", token_expires_at=datetime.now(UTC) - timedelta(minutes=5))
    world.connect()
    world.number_is(DEMO_WABA, "BANNED")
    restriction = {"restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}]}
    failed: dict[str, Any] = {"code": "graph_unavailable", "message": "Away.", "retryable": True}
    world.tell(
        fact(AccountUpdated, DEMO_WABA, event="ACCOUNT_RESTRICTION", value=restriction),
        fact(TemplateSyncFailed, DEMO_WABA, sync_id="f", reason="r", started_at=datetime.now(UTC), **failed),
    )


def misrouted(world: PageWorld) -> None:
    world.connect()
    world.misroute(DEMO_WABA)
    world.status_of(DEMO_WABA, 0, "PAUSED")


def twelve(world: PageWorld) -> None:
    for number in range(12):
        world.connect(str(1_000_000_001 + number), f"Shop {number}", templates=demo_templates()[:2])
    world.misroute("1000000003")
    world.remember([("healthy", 3), ("failing", 3.1), ("healthy", 10)])


def unverified(world: PageWorld) -> None:
    world.connect(verified=False, synced=False)


STATES: dict[str, Callable[[PageWorld], None]] = {
    "newcomer": lambda world: None,
    "healthy": healthy,
    "troubled": troubled,
    "misrouted": misrouted,
    "twelve": twelve,
    "unverified": unverified,
}


GROWN = """() => {
  const before = window.sizes, now = new Map(
    [...document.querySelectorAll("main p, main .fine, main .icon, .avatar")]
      .filter((each) => each.checkVisibility())
      .map((each) => [each, each.matches(".icon") ? each.getBoundingClientRect().width
        : parseFloat(getComputedStyle(each).fontSize)]));
  window.sizes = now;
  return [...now].filter(([each]) => before?.has(each)).map(([each, size]) => size / before.get(each));
}"""
"""By how much letters and icons have grown since it was asked last: those that were there then and are there now."""

TURNED = """() => [...document.querySelectorAll("body *")].filter((each) => {
  const said = [...each.attributes].map((attribute) => attribute.value);
  for (const node of each.childNodes) if (node.nodeType === Node.TEXT_NODE) said.push(node.data);
  return /[\u202a-\u202e]/.test(said.join());
}).map((each) => each.outerHTML)"""
"""Elements with a character that turns the text after it."""


def show(world: PageWorld, page: Page, state: str, path: str = "/") -> None:
    STATES[state](world)
    page.goto(f"{world.url}{path}")
    expect(page.locator("#overview h2").first).to_be_visible()
    if world.accounts:
        expect(page.locator("#templates-count")).not_to_be_empty()


@pytest.mark.parametrize("state", STATES)
def test_no_rule_is_broken_and_nothing_is_wider_than_the_screen(world: PageWorld, page: Page, state: str) -> None:
    show(world, page, state)
    if world.accounts:
        page.locator(".row-head, summary").first.click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert_accessible(page)
    assert_contrasts(page)
    for width, height in (SMALLEST, PHONE, (768, 1024), WIDE):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width


@pytest.mark.parametrize("state", ["misrouted", "twelve"])
def test_forced_colours_show_what_is_chosen_and_break_no_rule(world: PageWorld, page: Page, state: str) -> None:
    page.emulate_media(forced_colors="active")
    show(world, page, state)
    page.get_by_role("button", name=re.compile("^Approved")).click()
    colour = "e => getComputedStyle(e).backgroundColor"
    chosen, other = page.locator(".chip[aria-pressed=true]"), page.locator(".chip[aria-pressed=false]").first
    assert chosen.evaluate(colour) != other.evaluate(colour)
    current, rest = page.locator(".template[aria-current=true]"), page.locator(".template:not([aria-current])").first
    assert current.evaluate(colour) == chosen.evaluate(colour) != rest.evaluate(colour)
    assert page.locator(".bubble").first.evaluate("e => getComputedStyle(e).borderTopWidth") == "1px"
    if state == "misrouted":
        fill = "e => getComputedStyle(e).fill"
        bars = {page.locator(f".bar .{kind}").first.evaluate(fill) for kind in ("good", "wait", "bad")}
        canvas = page.evaluate("getComputedStyle(document.body).color")
        assert canvas in bars
    assert_accessible(page)


def test_offline_breaks_no_rule(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    page.context.set_offline(True)
    expect(page.locator("#live")).to_contain_text("Connection lost, retrying")
    assert_accessible(page)
    assert_contrasts(page)
    page.context.set_offline(False)


def test_a_preview_on_a_phone_and_the_question_before_the_end_break_no_rule(world: PageWorld, page: Page) -> None:
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    open_connected(world, page)
    page.get_by_role("button", name="Disconnect").click()
    assert_accessible(page)
    page.get_by_role("button", name="Keep it").click()
    page.locator("button.template").first.click()
    expect(page.get_by_role("dialog", name="Preview of the template")).to_be_visible()
    assert_accessible(page)


def test_the_text_size_of_the_browser_counts_for_every_text(world: PageWorld, page: Page) -> None:
    """What Chromium does when somebody chooses very large letters: `medium` is 32 px."""
    open_connected(world, page)
    expect(page.locator("button.template").first).to_be_visible()
    page.evaluate(GROWN)
    session = page.context.new_cdp_session(page)
    session.send("Page.setFontSizes", {"fontSizes": {"standard": 32}})
    wait_for(page, "getComputedStyle(document.documentElement).fontSize === '32px'")
    grown = page.evaluate(GROWN)
    assert len(grown) > 10
    assert grown == pytest.approx([2] * len(grown), rel=0.05)


def test_a_name_from_right_to_left_turns_nothing_but_itself(world: PageWorld, page: Page) -> None:
    world.connect(name="\u202eTeschoo interesting")
    world.connect("555", "متجر الزهور")
    open_connected(world, page)
    page.get_by_role("button", name="Disconnect").first.click()
    expect(page.locator("#confirm-text")).to_contain_text("Teschoo interesting will no longer receive messages here")
    assert page.locator("#confirm-text bdi").inner_text() == "Teschoo interesting"
    page.get_by_role("button", name="Keep it").click()
    assert page.locator("#account-filter option").all_inner_texts() == [
        "All accounts", f"\u2068Teschoo interesting\u2069 ({DEMO_WABA})", "\u2068متجر الزهور\u2069 (555)",
    ]  # fmt: skip
    turned = page.evaluate(TURNED)
    assert turned == []
    isolated = page.locator("button.template .one-line bdi").first
    assert isolated.evaluate("e => getComputedStyle(e).unicodeBidi") == "isolate"


def test_the_exact_time_with_its_zone_is_there_for_fingers_and_keys(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    moment = page.locator("[data-tile=sync] .moment")
    moment.focus()
    page.keyboard.press("Enter")
    exact = page.locator("#exact")
    expect(exact).to_be_visible()
    expect(exact).to_have_text(re.compile(r"20\d\d at \d\d:\d\d:\d\d UTC$"))
    expect(exact).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(exact).to_be_hidden()
    expect(moment).to_be_focused()


def test_less_motion_is_none(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    page.get_by_role("button", name="Sync now").click()
    moving = "document.getAnimations().filter((each) => each.playState === 'running').length"
    wait_for(page, f"{moving} > 0")
    page.emulate_media(reduced_motion="reduce")
    wait_for(page, f"{moving} === 0")

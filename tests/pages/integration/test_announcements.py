"""What screen readers are told: each thing that comes and goes, in words, once, and nothing that is not so."""

import pytest
from browser import wait_for
from page_world import PageWorld, fact, open_connected
from playwright.sync_api import Page, expect
from simulated_meta.seed import DEMO_WABA
from wabus_events import AccountUpdated, TemplateSyncFailed

pytest_plugins = ["browser", "page_world"]

LISTEN = """() => {
  window.said = [];
  new MutationObserver(() => { const text = document.getElementById("announcer").textContent.trim(); if (text) window.said.push(text); })
    .observe(document.getElementById("announcer"), { childList: true, characterData: true, subtree: true });
}"""  # noqa: E501


def listen(page: Page) -> None:
    page.evaluate(LISTEN)


def expect_said(page: Page, *sentences: str) -> None:
    for sentence in sentences:
        wait_for(page, "sentence => window.said.join(' ').includes(sentence)", sentence)


def said(page: Page) -> str:
    return " ".join(page.evaluate("window.said"))


def violate(world: PageWorld, kind: str = "SCAM") -> None:
    world.tell(
        fact(AccountUpdated, DEMO_WABA, event="ACCOUNT_VIOLATION", value={"violation_info": {"violation_type": kind}})
    )


def test_nothing_connected_is_not_called_almost_there(world: PageWorld, page: Page) -> None:
    page.goto(world.url)
    expect(page.locator("#announcer")).to_have_text("Not connected yet.")


def test_after_the_last_account_was_disconnected_nothing_is_almost_there(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    listen(page)
    page.get_by_role("button", name="Disconnect").click()
    page.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
    expect_said(page, "Lucky Shrub", "is being disconnected.", "Not connected yet.")
    assert said(page).index("is being disconnected.") < said(page).index("Not connected yet.")
    expect(page.get_by_role("region", name="News").get_by_role("status")).to_have_text("Lucky Shrub is disconnected.")
    assert "Almost there" not in said(page)


def test_a_new_reason_is_told_although_the_status_stays_the_same_and_so_is_its_end(
    world: PageWorld, page: Page
) -> None:
    world.connect()
    world.status_of(DEMO_WABA, 0, "PAUSED")
    open_connected(world, page)
    expect(page.locator("#announcer")).to_have_text("Working, but something needs you.")
    listen(page)
    violate(world)
    expect_said(page, "Meta says that this account broke its rules (scam).")
    world.status_of(DEMO_WABA, 0, "APPROVED")
    expect_said(page, "Solved: The template", "is paused by Meta because of low quality.")
    assert said(page).count("broke its rules") == 1


def test_what_comes_within_a_second_is_told_together_and_none_of_it_is_lost(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    listen(page)
    world.status_of(DEMO_WABA, 0, "PAUSED")
    violate(world)
    world.misroute(DEMO_WABA)
    expect_said(page, "is paused by Meta", "broke its rules", "instead of to us", "WhatsApp is not working right now.")


def test_an_outage_when_the_page_opens_is_told(world: PageWorld, page: Page) -> None:
    page.route("**/webhook/health/**", lambda route: route.fulfill(status=503, json={"detail": "Away."}))
    page.goto(world.url)
    expect(page.get_by_role("alert")).to_contain_text("can't be shown right now")
    expect(page.locator("#announcer")).to_contain_text("can't be shown right now")


def test_a_connection_that_is_lost_and_back_is_told(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    listen(page)
    page.context.set_offline(True)
    expect_said(page, "Connection lost, retrying.")
    page.context.set_offline(False)
    expect_said(page, "Connected.")


def test_how_many_templates_a_search_finds_is_told_once_the_typing_has_ended(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    listen(page)
    page.get_by_label("Search templates").press_sequentially("order", delay=30)
    expect_said(page, "2 of 8 templates.")
    page.get_by_role("button", name="All 2").click()
    assert "1 of 8" not in said(page)
    expect(page.locator("button.template").first).to_have_attribute("aria-controls", "preview")


@pytest.mark.parametrize("outcome", ["ends", "fails"])
def test_how_a_sync_ends_is_told(world: PageWorld, page: Page, outcome: str) -> None:
    open_connected(world, page)
    listen(page)
    with page.expect_response("**/templates/sync"):
        page.get_by_role("button", name="Sync now").click()
    expect_said(page, "Templates are being compared with Meta.")
    asked = world.accounts[DEMO_WABA].sync_requested
    assert asked
    if outcome == "ends":
        world.tell(world.synced(DEMO_WABA))
        expect_said(page, "6 of 8 templates approved.")
        return
    world.tell(
        fact(
            TemplateSyncFailed, DEMO_WABA, sync_id=asked.sync_id, reason="manual", started_at=asked.at,
            code="graph_unavailable", message="Away.", retryable=True,
        )
    )  # fmt: skip
    expect_said(page, "Meta is not answering.", "Templates could not be compared with Meta.")


def test_nothing_is_told_twice_while_nothing_changes(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    expect(page.locator("#announcer")).to_have_text("Everything is working.")
    listen(page)
    with page.expect_response("**/templates/status"):
        world.tell(world.synced(DEMO_WABA))
    expect(page.locator("[data-tile=sync]")).to_contain_text("Compared just now")
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_role("region", name="News")).to_contain_text("Meta was asked just now")
    assert page.evaluate("window.said") == []

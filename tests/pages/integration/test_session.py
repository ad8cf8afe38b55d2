"""Whose data is on the screen: that of whoever is signed in, and nobody's once the session is over."""

import re

import pytest
from browser import assert_accessible
from page_world import PageWorld, open_connected
from playwright.sync_api import BrowserContext, Page, Route, expect
from simulated_meta.seed import DEMO_WABA

pytest_plugins = ["browser", "page_world"]

SECRETS = ("Lucky Shrub", "order_confirmation", DEMO_WABA, "+1 555")
"""What only the organisation's people may see."""
GRANTED = {
    "setup": "chosen",
    "org_id": "demo",
    "accounts": [
        {"waba_id": waba_id, "name": name, "connected": False}
        for waba_id, name in (("11", "Lucky Shrub"), ("22", "Wind & Wool"))
    ],
}


def assert_nothing_is_left(page: Page) -> None:
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    text = page.locator("body").inner_text()
    assert [secret for secret in SECRETS if secret in text or secret in page.content() or secret in page.url] == []
    expect(page).to_have_title("WhatsApp connection")
    expect(page.locator("main button:visible")).to_have_count(1)
    expect(page.get_by_label("Access token")).to_be_focused()
    assert "Lucky" not in str(page.evaluate("JSON.stringify([history.state, {...sessionStorage}])"))


def test_nothing_of_an_account_stays_on_the_screen_when_its_session_ends(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    page.get_by_label("Search templates").fill("order")
    expect(page.locator("button.template")).to_have_count(2)
    page.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_role("dialog")).to_be_visible()

    world.sign_out()

    assert_nothing_is_left(page)
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#announcer")).to_be_empty()
    assert page.url == f"{world.url}/"
    assert_accessible(page)


def test_nothing_of_an_account_stays_on_the_screen_when_a_button_finds_the_session_over(
    world: PageWorld, page: Page
) -> None:
    open_connected(world, page)

    world.signed_out = True  # the stream that is open goes on
    page.get_by_role("button", name="Sync now").click()

    assert_nothing_is_left(page)
    world.connect("555", "Wind & Wool")
    world.signed_out = False
    page.get_by_label("Access token").fill(world.token())
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Wind & Wool")).to_be_visible()
    expect(page.get_by_label("Search templates")).to_have_value("")


def test_an_answer_that_was_on_its_way_when_the_session_ended_shows_nothing(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    held: list[Route] = []
    page.route("**/templates?*", lambda route: held.append(route))
    with page.expect_request("**/templates?*"):
        world.tell(world.synced(DEMO_WABA))
    world.sign_out()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    with page.expect_response("**/templates?*"):
        held[0].fulfill(json={"templates": world.templates[DEMO_WABA], "total": 8, "next": None})

    assert_nothing_is_left(page)


@pytest.mark.parametrize("role", ["member", "admin"])
def test_whoever_signs_in_sees_what_they_may(world: PageWorld, page: Page, role: str) -> None:
    world.connect()

    page.goto(f"{world.url}/#token={world.token(role)}")

    expect(page.get_by_role("heading", name="Lucky Shrub")).to_be_visible()
    for name in ("Disconnect", "Sync now", "Check now"):
        expect(page.get_by_role("button", name=re.compile(name))).to_have_count(1 if role == "admin" else 0)
    assert page.url == f"{world.url}/"


def test_what_somebody_was_connecting_is_not_shown_to_whoever_signs_in_for_another_organisation(
    world: PageWorld, page: Page
) -> None:
    world.granted = {"11": "Lucky Shrub", "22": "Wind & Wool"}
    page.goto(f"{world.url}/#setup=sealed")
    expect(page.get_by_role("checkbox")).to_have_count(2)
    world.sign_out()
    expect(page.get_by_text("Your sign-up at Meta goes on. Sign in to see it.")).to_be_visible()
    expect(page.get_by_text("Wind & Wool")).to_have_count(0)

    world.signed_out = False
    page.get_by_label("Access token").fill(world.token(org_id="another"))
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("heading", name="Connect WhatsApp")).to_be_visible()
    assert "Wind" not in page.content() + str(page.evaluate("JSON.stringify(history.state)"))


def test_a_session_that_ended_at_metas_dialog_costs_nobody_the_sign_up(world: PageWorld, page: Page) -> None:
    page.goto(f"{world.url}/#token={world.token()}")
    expect(page.get_by_role("heading", name="Connect WhatsApp")).to_be_visible()
    world.signed_out = True
    world.granted = {"11": "Lucky Shrub", "22": "Wind & Wool"}
    page.route("**/whatsapp/setup", lambda route: route.fulfill(json=GRANTED))
    page.goto(f"{world.url}/?back#setup=sealed")
    expect(page.get_by_text("Your sign-up at Meta goes on. Sign in to see it.")).to_be_visible()
    assert "Wind" not in page.content()
    world.signed_out = False
    page.get_by_label("Access token").fill(world.token())
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("checkbox")).to_have_count(2)
    page.get_by_role("button", name="Connect these").click()
    expect(page.get_by_role("heading", name="WhatsApp is ready")).to_be_visible()


def test_a_token_that_is_not_accepted_is_not_called_an_ended_session(world: PageWorld, page: Page) -> None:
    page.route("**/ui/session", lambda route: route.fulfill(status=404, json={}))
    page.goto(world.url)
    page.get_by_label("Access token").fill("half of a tok")
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("alert")).to_contain_text("This token is not valid. Check that you copied all of it")
    expect(page.get_by_label("Access token")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Access token")).to_be_focused()
    assert_accessible(page)


def test_whoever_signs_out_leaves_nothing_in_any_tab_and_is_not_signed_in_by_itself(
    world: PageWorld, page: Page, context: BrowserContext
) -> None:
    open_connected(world, page)
    second, other = context.new_page(), context.new_page()
    second.goto(world.url)
    other.goto(f"{world.url}/#token={world.token(org_id='another')}")
    expect(second.get_by_role("heading", name="Lucky Shrub")).to_be_visible()
    expect(other.locator("#organisation")).to_have_text("Organisation another")

    page.get_by_role("button", name="Sign out").click()

    expect(second.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(second.get_by_role("heading", name="Lucky Shrub")).to_have_count(0)
    expect(other.locator("#organisation")).to_have_text("Organisation another")
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_role("heading", name="Lucky Shrub")).to_have_count(0)


def test_whoever_sits_at_the_local_stack_can_sign_in_again_without_a_token(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in as whoever sits at this machine").click()
    expect(page.get_by_role("heading", name="Lucky Shrub")).to_be_visible()


def test_no_link_changes_the_organisation_of_a_tab_without_being_asked(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    page.evaluate("address => location.assign(address)", f"{world.url}/#token={world.token(org_id='else')}")
    asked = page.get_by_role("dialog", name="Sign in to another organisation?")
    expect(asked).to_contain_text("“demo”")
    expect(asked).to_contain_text("“else”")
    assert_accessible(page)
    asked.get_by_role("button", name="Stay signed in as before").click()
    expect(page.locator("#organisation")).to_have_text("Organisation demo")
    assert "token" not in page.url


def test_whoever_was_signed_in_by_a_link_is_told_whose_an_account_would_be(world: PageWorld, page: Page) -> None:
    page.goto(f"{world.url}/#token={world.token(org_id='<b>else</b>')}")
    expect(page.locator(".invitation .organisation")).to_have_text("<b>else</b>")
    page.get_by_role("button", name="Connect WhatsApp").click()
    asked = page.get_by_role("dialog", name="Is this your organisation?")
    expect(asked).to_contain_text("“<b>else</b>”")
    asked.get_by_role("button", name="No, stop here").click()
    expect(page.get_by_role("button", name="Connect WhatsApp")).to_be_enabled()
    page.get_by_role("button", name="Connect WhatsApp").click()
    asked.get_by_role("button", name="Yes, go on to Meta").click()
    expect(page.get_by_role("heading", name="Meta asks for your consent")).to_be_visible()

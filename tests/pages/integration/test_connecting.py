"""From the page to Meta's dialog and back, in whichever way people come back, and on from there."""

import pytest
from browser import assert_accessible
from page_world import PageWorld, open_connected
from playwright.sync_api import Page, expect
from simulated_meta.seed import DEMO_WABA
from wabus_runtime.http.answers import Problem

pytest_plugins = ["browser", "page_world"]

NOTE_IF_RESTORED = "addEventListener('pageshow', ({ persisted }) => { window.restored = persisted; })"
WOOL, BRICKS = "1000000002", "1000000003"
LONG = "A very long name of a business that goes on and on and on until nobody reads it any more, Ltd"


def come_back(world: PageWorld, page: Page, **granted: str) -> None:
    """Back from Meta's dialog, which gave access to these accounts."""
    world.granted = {waba_id.removeprefix("w"): name for waba_id, name in granted.items()}
    page.goto(f"{world.url}/#setup=sealed")


@pytest.mark.parametrize("button", ["Connect WhatsApp", "Connect another account"])
def test_whoever_goes_back_from_metas_dialog_can_connect_again(world: PageWorld, page: Page, button: str) -> None:
    if button == "Connect another account":
        world.connect()
    page.add_init_script(NOTE_IF_RESTORED)
    page.goto(world.url)
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("heading", name="Meta asks for your consent")).to_be_visible()

    page.go_back(wait_until="commit")

    assert page.evaluate("window.restored") is True, "this browser does not keep pages: the test would show nothing"
    expect(page.get_by_role("button", name=button)).to_be_enabled()
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("heading", name="Meta asks for your consent")).to_be_visible()


def test_whoever_comes_back_sees_what_is_set_up_and_then_that_it_is_ready(world: PageWorld, page: Page) -> None:
    page.route("**/whatsapp/setup", lambda route: None, times=1)
    come_back(world, page, **{f"w{WOOL}": "Wind & Wool"})
    expect(page.get_by_role("heading", name="Setting up WhatsApp…")).to_be_focused()
    expect(page.get_by_text("Asking Meta what you gave access to…")).to_be_visible()
    assert page.url == f"{world.url}/"
    assert_accessible(page)

    page.reload()

    expect(page.get_by_role("heading", name="WhatsApp is ready")).to_be_visible()
    expect(page.locator(".welcome")).to_contain_text("Wind & Wool")
    expect(page.locator(".welcome")).to_contain_text("8 templates, 6 approved")
    page.get_by_role("button", name="Show my connection").click()
    expect(page.get_by_role("heading", name="Everything is working")).to_be_focused()


def test_several_accounts_are_connected_at_once_by_ticking_them(world: PageWorld, page: Page) -> None:
    world.connect()
    come_back(world, page, **{f"w{DEMO_WABA}": "Lucky Shrub", f"w{WOOL}": "Wind & Wool", f"w{BRICKS}": LONG})
    expect(page.get_by_role("heading", name="Which accounts shall we connect?")).to_be_visible()
    boxes = page.get_by_role("checkbox")
    expect(boxes).to_have_count(3)
    assert [box.is_checked() for box in boxes.all()] == [False, True, True]
    expect(page.locator("fieldset label").first).to_contain_text("Connected")
    expect(page.locator(".welcome .lead")).to_contain_text("connected to the organisation demo")
    assert_accessible(page)
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.set_viewport_size({"width": 1280, "height": 900})

    page.get_by_role("button", name="Connect these").click()

    expect(page.get_by_role("heading", name="WhatsApp is ready")).to_be_visible()
    assert sorted(call for call in world.asked if call.startswith("POST /whatsapp/setup/")) == [
        f"POST /whatsapp/setup/{WOOL}", f"POST /whatsapp/setup/{BRICKS}",
    ]  # fmt: skip
    expect(page.locator("section.account")).to_have_count(3)


def test_a_choice_can_be_reloaded_and_cancelled(world: PageWorld, page: Page) -> None:
    come_back(world, page, **{f"w{WOOL}": "Wind & Wool", f"w{BRICKS}": "Bricks & Beans"})
    expect(page.get_by_role("checkbox")).to_have_count(2)
    page.reload()
    expect(page.get_by_role("checkbox")).to_have_count(2)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Connect WhatsApp")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Connect WhatsApp")).to_be_visible()
    assert not [call for call in world.asked if call.startswith("POST /whatsapp/setup/")]


@pytest.mark.parametrize("fate", ["done", "not done"])
def test_when_the_answer_does_not_come_the_page_looks_what_became_of_it(
    world: PageWorld, page: Page, fate: str
) -> None:
    step = f"POST /whatsapp/setup/{WOOL}"
    (world.silent if fate == "done" else world.dead).add(step)
    come_back(world, page, **{f"w{WOOL}": "Wind & Wool"})
    expect(page.get_by_text("No answer came; looking whether it is connected…")).to_be_visible()

    if fate == "not done":
        expect(page.get_by_role("heading", name="Wind & Wool is not connected")).to_be_visible()
        expect(page.locator(".welcome")).to_contain_text("you can try again without going back to Meta")
        assert_accessible(page)
        world.dead.clear()
        page.get_by_role("button", name="Try again").click()

    expect(page.get_by_role("heading", name="WhatsApp is ready")).to_be_visible()
    assert world.accounts[WOOL].connection


def test_when_meta_does_not_say_what_was_granted_it_is_asked_again_without_another_consent(
    world: PageWorld, page: Page
) -> None:
    world.dead.add("POST /whatsapp/setup")
    come_back(world, page, **{f"w{WOOL}": "Wind & Wool"})
    expect(page.get_by_role("heading", name="We did not hear what Meta said")).to_be_visible()
    expect(page.get_by_text("Nothing was connected so far, and nothing is lost.")).to_be_visible()
    assert_accessible(page)
    world.dead.clear()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="WhatsApp is ready")).to_be_visible()


@pytest.mark.parametrize(("status", "again"), [(422, False), (502, True)])
def test_a_refusal_says_why_and_what_to_do(world: PageWorld, page: Page, status: int, again: bool) -> None:
    way_on = "Connect again. At Meta, leave both permissions switched on."
    refused = Problem(status, "x", "A permission is missing", "Meta gave none.", way_on=way_on)
    world.refusals["POST /whatsapp/setup"] = refused
    come_back(world, page)
    expect(page.get_by_role("heading", name="A permission is missing")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_text("Meta gave none.")
    expect(page.get_by_text("leave both permissions switched on")).to_have_count(0 if again else 1)
    expect(page.get_by_role("button", name="Try again")).to_have_count(1 if again else 0)
    assert_accessible(page)
    page.get_by_role("button", name="Connect again").click()
    expect(page.get_by_role("heading", name="Meta asks for your consent")).to_be_visible()


def test_of_several_accounts_the_one_that_is_refused_says_why_beside_its_name(world: PageWorld, page: Page) -> None:
    refused = Problem(
        409, "connected_elsewhere", "Elsewhere", "It is connected to another organisation.", way_on="Ask."
    )
    world.refusals[f"POST /whatsapp/setup/{BRICKS}"] = refused
    come_back(world, page, **{f"w{WOOL}": "Wind & Wool", f"w{BRICKS}": "Bricks & Beans"})
    page.get_by_role("button", name="Connect these").click()
    expect(page.get_by_role("heading", name="1 of 2 accounts is not connected")).to_be_visible()
    expect(page.locator(".progress-list li").filter(has_text="Bricks")).to_contain_text(
        "It is connected to another organisation. Ask."
    )
    expect(page.locator(".progress-list li").filter(has_text="Wool")).to_contain_text("Connected")
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_role("heading", name="WhatsApp is ready")).to_be_visible()


def test_what_passes_by_itself_sends_nobody_back_to_meta(world: PageWorld, page: Page) -> None:
    away = Problem(503, "kafka_unavailable", "Temporarily unavailable", "Please try again in a moment.")
    world.refusals[f"POST /whatsapp/setup/{WOOL}"] = away
    come_back(world, page, **{f"w{WOOL}": "Wind & Wool"})
    expect(page.get_by_role("alert")).to_have_text("Please try again in a moment.")
    world.refusals.clear()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="WhatsApp is ready")).to_be_visible()


def test_after_a_refusal_elsewhere_one_click_leads_to_meta_again(world: PageWorld, page: Page) -> None:
    world.connect()
    page.goto(f"{world.url}/?connect=1")
    expect(page.get_by_role("heading", name="Meta asks for your consent")).to_be_visible()


def test_what_still_needs_somebody_is_not_called_ready(world: PageWorld, page: Page) -> None:
    open_connected(world, page)
    world.misroute(DEMO_WABA)
    page.goto(f"{world.url}/?connected={DEMO_WABA}")
    expect(page.locator("[data-code=webhook_misrouted]")).to_be_visible()
    expect(page.get_by_role("heading", name="Setting up WhatsApp…")).to_be_visible()
    expect(page.get_by_text("ready to use")).to_have_count(0)


def test_an_account_without_templates_is_not_said_to_have_some(world: PageWorld, page: Page) -> None:
    world.connect(templates=[])
    page.goto(f"{world.url}/?connected={DEMO_WABA}")
    expect(page.get_by_role("heading", name="WhatsApp is ready")).to_be_visible()
    expect(page.locator(".welcome")).to_contain_text("Create templates in WhatsApp Manager")
    expect(page.locator(".welcome")).to_contain_text("There are none yet")

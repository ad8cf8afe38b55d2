"""The insights in a real browser, against the whole system: what was sent, achieved and charged is there."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from browser import SMALLEST, WIDE, assert_accessible, assert_contrasts
from inbox_world import InboxWorld, until
from playwright.sync_api import Page, expect
from simulated_meta.seed import DEMO_PHONE

pytest_plugins = ["browser", "inbox_world"]
pytestmark = [pytest.mark.timeout(300), pytest.mark.long]

WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
PEOPLE = [f"49151234567{number:02d}" for number in range(8)]
LOST = PEOPLE[6:]
"""To whom nothing can be delivered."""


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


COMPONENTS = [
    {"type": "header", "parameters": [text("860198")]},
    {"type": "body", "parameters": [text("Jürgen"), text("27. Juni")]},
]


def send(world: InboxWorld, to: str) -> None:
    """The confirmation of an order, in German."""
    token = world.call("GET", f"{world.url}/ui/session")["token"]
    template = {"name": "order_confirmation", "language": {"code": "de"}, "components": COMPONENTS}
    body = {"from": DEMO_PHONE, "to": to, "type": "template", "template": template}
    world.call("POST", f"{world.url}/messages", body, token)


def take_rate_card(world: InboxWorld, path: Path) -> None:
    """What Meta charges now, out of its own file."""
    today = str(datetime.now(UTC).date())
    cards = [each for each in world.meta("GET", "/rates")["data"] if each["currency"] == "EUR"]
    card = max((each for each in cards if each["effective"] <= today), key=lambda each: each["effective"])
    meta = f"http://127.0.0.1:{world.stack.ports['META_PORT']}"
    with urlopen(Request(meta + card["rates"]), timeout=60) as answer:
        path.write_bytes(answer.read())
    day = card["effective"]
    world.stack.wabus("rates", "import", str(path), "--currency", "EUR", "--effective", day, "--confirm")


def counted(world: InboxWorld) -> dict[str, Any]:
    found = world.api("/performance/templates")["templates"]
    return next((each for each in found if each["name"] == "order_confirmation"), {})


def test_what_was_sent_is_there_with_what_it_achieved_and_cost(world: InboxWorld, page: Page, tmp_path: Path) -> None:
    take_rate_card(world, tmp_path / "EUR.csv")
    for number in PEOPLE[:6]:
        send(world, number)
    until(lambda: counted(world).get("read") == 6)
    world.meta("PATCH", "/sending", {"statuses": {"failed": 1.0}})
    for number in LOST:
        send(world, number)
    until(lambda: counted(world).get("failed") == 2)

    page.goto(f"{world.url}/insights")
    row = page.locator(".templates-table tbody tr").filter(has_text="order_confirmation")
    expect(row).to_contain_text("75 %6 of 8")
    expect(row).to_contain_text("100 %6 of 6")
    expect(row).to_contain_text("25 %2 of 8")
    expect(row).to_contain_text(re.compile(r"€\d"))
    expect(page.locator("#summary")).to_contain_text(re.compile(r"so far.*€\d"))
    assert_accessible(page)

    row.get_by_role("link").click()
    expect(page).to_have_url(re.compile("template="))
    expect(page.get_by_role("heading", name="order_confirmation")).to_be_focused()
    expect(page.get_by_role("img", name=re.compile("8 messages accepted, 6 delivered, 6 read"))).to_be_visible()
    expect(page.locator("[data-key=failures] li")).to_contain_text("What to do:")
    expect(page.locator("[data-key=breakdown]")).to_contain_text("Germany")
    assert_accessible(page)
    assert_contrasts(page)

    page.get_by_role("link", name="Costs", exact=True).click()
    page.get_by_role("button", name="Set a budget").click()
    page.get_by_label("Currency").fill("EUR")
    page.get_by_label("Amount").fill("0.01")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#summary")).to_contain_text("Over the budget by")
    expect(page.locator("[data-key=costs-group]")).to_contain_text("Utility")
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV of Cost by day").click()
    assert "EUR" in Path(saved.value.path()).read_text()

    page.get_by_role("link", name="Advice", exact=True).click()
    expect(page.locator("#view")).to_contain_text(re.compile("Nothing (to advise|has been worked out)"))
    page.go_back()
    expect(page.locator("[data-key=costs-day]")).to_be_visible()
    page.emulate_media(color_scheme="dark")
    for width, height in (SMALLEST, WIDE):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate(WIDER) <= 0, width
    assert_accessible(page)


def test_an_experiment_is_planned_started_and_stopped_on_the_page(world: InboxWorld, page: Page) -> None:
    page.goto(f"{world.url}/insights?view=experiments")
    page.get_by_role("link", name="Plan one").click()
    tried = page.get_by_label("B, what you try")
    option = tried.locator("option").filter(has_text=re.compile(r"order_confirmation.*\(de\)"))
    expect(option).to_have_count(1)
    page.get_by_label("Name", exact=True).fill("Does it help?")
    page.get_by_label("A, the control").select_option("nothing")
    tried.select_option(option.get_attribute("value"))
    expect(page.locator("[data-key=new]")).to_contain_text("body_1, body_2, header_1")
    page.get_by_role("button", name="Work it out").click()
    expect(page.locator("[data-key=new]")).to_contain_text("you may look and stop at any time")
    page.get_by_role("button", name="Plan it").click()
    expect(page).to_have_url(re.compile("experiment="))
    page.get_by_role("link", name="All experiments").click()
    expect(page.locator("#view")).to_contain_text("Nobody is drawn yet.")
    page.get_by_role("link", name="Does it help?").click()
    expect(page.locator("[data-key=arms]")).to_contain_text("order_confirmation")
    expect(page.locator("[data-key=experiment]")).to_contain_text("nobody is counted yet")
    expect(page.locator("[data-key=looks]")).to_contain_text("Nobody has looked yet")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="Start it").click()
    expect(page.locator("[data-key=experiment]")).to_contain_text("Running")
    assert_accessible(page)

    (found,) = world.api("/experiments")["experiments"]
    token = world.call("GET", f"{world.url}/ui/session")["token"]
    values = {"body_1": "J\u00fcrgen", "body_2": "27. Juni", "header_1": "860198"}
    template = {"experiment": found["experiment_id"], "values": values}
    body = {"from": DEMO_PHONE, "to": PEOPLE[0], "type": "template", "template": template}
    taken: list[Any] = []

    def is_taken() -> bool:  # once the sender knows the experiment
        with suppress(HTTPError):
            taken.append(world.call("POST", f"{world.url}/messages", body, token))
        return bool(taken)

    until(is_taken)
    assert taken[0]["arm"] in ("A", "B")
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.locator("[data-key=experiment]")).to_contain_text("The last people are being counted")


def test_the_pages_lead_to_each_other(world: InboxWorld, page: Page) -> None:
    page.goto(world.url)
    page.get_by_role("link", name="Insights").click()
    expect(page.locator("#live")).to_contain_text("As of")
    page.get_by_role("link", name="Conversations").click()
    expect(page.locator("#live")).to_have_text("Live")
    page.get_by_role("link", name="Insights").click()
    page.get_by_role("link", name="Connection").click()
    expect(page.get_by_role("link", name="Insights")).to_be_visible()

"""The insights in a browser, with answers that the models of their APIs allow: every state, any name, any width."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from browser import PHONE, SMALLEST, WIDE, assert_accessible, assert_contrasts
from insights_answers import (
    ADVICE,
    ANSWERS,
    EXPERIMENT,
    TEMPLATES,
    counted,
    dismissed,
    forecast,
    planned,
    serve,
    template,
    templates_of,
)
from page_world import PageWorld
from playwright.sync_api import Page, expect
from wabus_insights.api.experiments.models import ExperimentRequest

pytest_plugins = ["browser", "page_world"]
pytestmark = pytest.mark.long  # every state, looked at by axe

IMAGES = Path(__file__).parents[3] / "docs" / "images"
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def opened(world: PageWorld, page: Page, query: str = "", answers: Any = ANSWERS) -> list[str]:
    if not world.accounts:
        world.connect()
    asked = serve(page, answers)
    page.goto(f"{world.url}/insights{query}")
    return asked


def picture(page: Page, name: str) -> None:
    if os.environ.get("WABUS_SCREENSHOTS"):
        page.mouse.move(0, 0)
        page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")


def looked_at(page: Page) -> None:
    """Axe and the contrasts, light and dark, and nothing that makes the page scroll sideways."""
    assert_accessible(page)
    assert_contrasts(page)
    for width, height in (SMALLEST, PHONE, WIDE):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate(WIDER) <= 0, width


def test_templates_are_a_table_that_sorts_and_says_nothing_untrue(world: PageWorld, page: Page) -> None:
    opened(world, page)

    rows = page.locator(".templates-table tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.nth(0)).to_contain_text("spring_sale")
    expect(rows.nth(1)).to_contain_text("899 of 900")
    page.get_by_role("button", name="Read").click()
    expect(page).to_have_url(re.compile("sort=read"))
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Read")
    expect(rows.nth(0)).to_contain_text("receipt")
    expect(rows.nth(3)).to_contain_text("name:de")
    page.get_by_role("button", name="Cost", exact=True).click()
    expect(rows.nth(0)).to_contain_text("€175.02€0.113 eachestimated")
    expect(rows.nth(3)).not_to_contain_text("€")
    together = page.locator(".templates-table tfoot tr")
    expect(together).to_contain_text("2,90596.5 %2,803 of 2,905")
    expect(together).to_contain_text("€186.02")
    expect(together).to_contain_text("3 not priced")
    looked_at(page)


def test_why_messages_failed_is_said_of_all_templates_together(world: PageWorld, page: Page) -> None:
    opened(world, page, "?days=90")

    failures = page.locator("[data-key=failures]")
    expect(failures).to_contain_text("46 messages failed and never arrived.")
    first = failures.locator("li").first
    expect(first).to_contain_text("Meta limits marketing to a person.40 · 87 %What to do: Write to them less often.")
    expect(first).to_contain_text("Most of spring_sale (38)")
    expect(failures.get_by_text("131106 happened.")).to_be_hidden()
    failures.get_by_text("2 reasons more").click()
    expect(failures.get_by_text("131106 happened.")).to_be_visible()
    looked_at(page)
    first.get_by_role("link", name="spring_sale").click()
    expect(page).to_have_url(re.compile("template=101"))


def test_a_month_is_judged_by_amounts_that_are_being_counted_anew(world: PageWorld, page: Page) -> None:
    def recounting(query: Any) -> Any:
        return forecast(query).model_copy(update={"recounting": True})

    opened(world, page, answers={**ANSWERS, "/costs/forecast": recounting})
    month = page.get_by_role("region", name="so far")
    expect(month).to_contain_text("Costs are being counted anew, so some of these amounts may still change.")
    expect(page.locator("[data-key=recounting]")).to_have_count(1)
    looked_at(page)


def test_what_has_changed_is_said_with_an_arrow_a_number_and_words(world: PageWorld, page: Page) -> None:
    opened(world, page)

    changed = page.locator("[data-key=changed]")
    expect(changed).to_contain_text("Compared with the 30 days before")
    expect(changed).to_contain_text("7.1 points more than before, when it was 46.5 %")
    rows = page.locator(".templates-table tbody tr")
    expect(rows.nth(0).locator(".delivered .change")).to_have_text("12 % more12 % more than before, when it was 1,700")
    expect(rows.nth(0).locator(".delivered .change use")).to_have_attribute("href", "#icon-up")
    expect(rows.nth(0).locator(".read .change.good")).to_contain_text("7.1 points")
    expect(rows.nth(0).locator(".cost .change use")).to_have_attribute("href", "#icon-down")
    expect(rows.nth(0).locator(".clicked")).to_contain_text("at least 431 with links, as Meta counts")
    expect(rows.nth(1).locator(".read .change:not(.good, .wait)")).to_contain_text("no clear change")
    expect(rows.nth(2).locator(".delivered .change")).to_contain_text("too few before")
    expect(rows.nth(3).locator(".delivered .change")).to_contain_text("not sent in the days before")
    looked_at(page)


def test_nothing_is_compared_with_days_of_which_too_little_is_known(world: PageWorld, page: Page) -> None:
    answers = ANSWERS | {"/performance/templates": templates_of(TEMPLATES, comparable=False)}
    opened(world, page, answers=answers)

    expect(page.locator("[data-key=changed]")).to_contain_text("Not compared with the 30 days before: fewer than 100")
    expect(page.locator(".templates-table tbody tr")).to_have_count(4)
    expect(page.locator(".change")).to_have_count(0)


def test_of_a_thousand_templates_only_those_are_asked_for_that_are_shown(world: PageWorld, page: Page) -> None:
    thousand = [
        template(str(n), f"offer_{n:03}") | counted(5000 - n, 4990 - n, 4000 - n, 2000 - n) for n in range(1_000)
    ]
    asked = opened(world, page, answers=ANSWERS | {"/performance/templates": templates_of(thousand)})

    rows = page.locator(".templates-table tbody tr")
    expect(rows).to_have_count(50)
    expect(page.locator("#found")).to_have_text("The first 50 of 1,000 templates")
    expect(page.locator(".templates-table tfoot")).to_contain_text("All 1,000 together4,500,500")
    looked_at(page)
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="Template", exact=True).click()
    expect(rows).to_have_count(50)
    expect(rows.nth(0)).to_contain_text("offer_000")
    page.get_by_label("Template", exact=True).fill("offer 99")
    expect(page.locator("#found")).to_have_text("10 of 1,000 templates")
    expect(page.locator(".templates-table tfoot")).to_have_count(0)
    expect(page).to_have_url(re.compile("q=offer\\+99"))
    limits = [int(limit) for each in asked for limit in re.findall("GET /performance/templates.*limit=([0-9]+)", each)]
    assert max(limits) == 100


def test_what_is_wrong_with_a_template_is_said_beside_what_to_do(world: PageWorld, page: Page) -> None:
    opened(world, page)

    wrong = page.locator("[data-key=troubled] li")
    expect(wrong).to_have_count(1)
    expect(wrong).to_contain_text("Paused")
    expect(wrong).to_contain_text("Low quality")
    wrong.get_by_role("link").click()
    expect(page).to_have_url(re.compile("template=103"))


def test_costs_by_template_have_names_whoever_comes_there_first(world: PageWorld, page: Page) -> None:
    opened(world, page, "?view=costs&group=template")

    expect(page.locator("[data-key=costs-group] tbody")).to_contain_text("spring_sale")
    page.locator("[data-set=group]").select_option("category")
    expect(page.locator("[data-key=costs-group] tbody")).to_contain_text("3 messages without a known price")


@pytest.mark.parametrize(
    ("query", "heading", "text"),
    [
        ("", "What to do", "Saves about €312.50 a month"),
        ("?template=101", "spring_sale", "An observation, not an experiment"),
        ("?template=101", "spring_sale", "€0.113 on average; €0.583 for each reply"),
        ("?template=101&by=hour&days=90", "By hour", "UTC"),
        ("?view=costs&group=campaign", "Cost by campaign", "3 messages without a known price"),
        ("?view=costs", "Beside Meta's own numbers", "Meta's less ours€4.75"),
        ("?view=advice", "Advice", "Stop writing to them."),
        ("?view=experiments", "Experiments", "B is the winner."),
        ("?view=experiments&plan=yes", "Plan an experiment", "1 template with pictures, cards or codes is not here"),
        (f"?experiment={EXPERIMENT}", "How sure we are", "no difference shown yet"),
    ],
)
def test_each_view_is_drawn_for_everybody(world: PageWorld, page: Page, query: str, heading: str, text: str) -> None:
    opened(world, page, query)

    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.locator("#main")).to_contain_text(text)
    expect(page.locator(".loading")).to_have_count(0)
    looked_at(page)
    assert page.locator("img").count() == 0
    assert "\u202e" not in page.inner_text("body")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "Not available: this service does not answer that."),
        (403, "Your role does not allow this."),
        (422, "That did not work here."),
        (503, "This can't be shown right now."),
    ],
)
def test_what_can_not_be_had_is_said_in_its_place(world: PageWorld, page: Page, status: int, said: str) -> None:
    failing = dict.fromkeys(ANSWERS, status) | {"/performance/templates": ANSWERS["/performance/templates"]}
    opened(world, page, answers=failing)

    expect(page.locator("#summary")).to_contain_text(said)
    expect(page.locator(".templates-table tbody tr")).to_have_count(4)
    page.get_by_role("link", name="Costs").click()
    expect(page.get_by_role("heading", name="Cost by day")).to_be_visible()
    expect(page.locator("#view")).to_contain_text(said)
    expect(page.locator("#summary h2").first).to_be_focused()
    assert_accessible(page)
    page.go_back()
    expect(page.locator(".templates-table")).to_be_visible()


def test_nothing_is_there_of_who_has_sent_nothing(world: PageWorld, page: Page) -> None:
    def nothing(query: Any) -> Any:
        none = {"templates": 0, "costs": [], "changes": None}
        return {"templates": [], "total": none, "earlier": None, "costs": [],
                "names": {}, "totals": [], "forecasts": [], "budgets": [], "advice": [], "next": None,
                "month": "2026-12", "from": query.get("from"), "to": query.get("to"), "as_of": None, "period": None,
                "experiments": [], "accounts": [], "failed": 0, "failures": []}  # fmt: skip

    opened(world, page, answers=dict.fromkeys(ANSWERS, nothing))
    expect(page.locator("#summary")).to_contain_text("Nothing was charged in December 2026.")
    expect(page.locator("#view")).to_contain_text("No template was sent in these days.")
    looked_at(page)
    page.goto(f"{world.url}/insights?view=costs")
    expect(page.locator("#view")).to_contain_text("Nothing was charged in these days.")
    expect(page.get_by_role("button", name="Set a budget")).to_be_visible()


def test_who_is_signed_out_sees_nothing_and_signs_in_again(world: PageWorld, page: Page) -> None:
    opened(world, page, "?q=sale")
    expect(page.locator(".templates-table")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Access token")).to_be_focused()
    assert "spring_sale" not in page.content()
    assert "€" not in page.content()
    assert "?" not in page.url
    looked_at(page)
    page.get_by_label("Access token").fill(world.token(role="member"))
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator(".templates-table")).to_be_visible()
    page.get_by_role("link", name="Costs").click()
    expect(page.get_by_role("heading", name="Budgets")).to_be_visible()
    expect(page.get_by_role("button", name="Change")).to_have_count(0)


def test_days_are_chosen_and_typed(world: PageWorld, page: Page) -> None:
    asked = opened(world, page)
    page.get_by_label("Days").select_option("Other days")
    begin, end = page.get_by_label("From", exact=True), page.get_by_label("To", exact=True)
    end.fill("2026-02-20")
    expect(begin).to_have_value("2026-02-20")
    begin.fill("2026-02-01")
    expect(page).to_have_url(re.compile("days=dates&from=2026-02-01&to=2026-02-20"))
    begin.fill("0002-02-01")
    page.get_by_role("button", name="Failed", exact=True).click()
    expect(page).to_have_url(re.compile("from=2026-02-01.*sort=failed"))
    assert any("from=2026-02-01&to=2026-02-20&sort=failure_rate" in each for each in asked)
    page.reload()
    expect(begin).to_have_value("2026-02-01")
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Failed")


def test_meta_counts_only_once_that_is_confirmed(world: PageWorld, page: Page) -> None:
    asked = opened(world, page, "?template=101", ANSWERS | {"POST /performance/enable": dismissed})
    button = page.get_by_role("button", name="Let Meta count")
    button.click()
    assert_accessible(page)
    page.get_by_role("button", name="Not now").click()
    expect(button).to_be_focused()
    assert "POST /performance/enable?" not in asked
    button.click()
    page.get_by_role("button", name="Let it count, for good").click()
    expect(page.get_by_text("Meta is asked to count.")).to_be_visible()
    assert asked.count("POST /performance/enable?") == 1


def test_budgets_are_set_once_they_can_be(world: PageWorld, page: Page) -> None:
    sent: list[Any] = []

    def take(query: Any) -> Any:
        sent.append(query)
        return ANSWERS["/budgets"](query)

    asked = opened(world, page, "?view=costs", ANSWERS | {"PUT /budgets": take})
    page.get_by_role("button", name="Change").click()
    page.get_by_role("button", name="Add a budget").click()
    expect(page.get_by_label("Amount")).to_have_count(2)
    page.get_by_label("Amount").nth(1).fill("1,000")
    page.get_by_label("Currency").nth(1).fill("usd")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("1250.50")
    assert_accessible(page)
    assert sent == []
    page.get_by_label("Amount").nth(1).fill("1000")
    with page.expect_request(lambda request: request.method == "PUT") as put:
        page.get_by_role("button", name="Save").click()
    assert put.value.headers["if-match"] == '"v1"', "who has changed them meanwhile is not overwritten"
    expect(page.get_by_text("The budgets are set.")).to_be_visible()
    assert len(sent) == 1
    assert asked.count("PUT /budgets?") == 1


def test_of_two_who_change_the_budgets_the_second_sees_both_and_loses_neither(world: PageWorld, page: Page) -> None:
    puts: list[Any] = []
    changed = False

    def show(query: Any) -> Any:
        found = ANSWERS["/budgets"](query)
        theirs = found.budgets[0].model_copy(update={"amount": "777"})
        return found.model_copy(update={"version": "v2", "budgets": [theirs]}) if changed else found

    def take(query: Any) -> Any:
        nonlocal changed
        puts.append(query)
        first, changed = not changed, True
        return 412 if first else show(query)

    opened(world, page, "?view=costs", ANSWERS | {"PUT /budgets": take, "/budgets": show})
    page.get_by_role("button", name="Change").click()
    page.get_by_label("Amount").fill("888")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("€777.00")
    expect(page.get_by_label("Amount")).to_have_value("888")
    assert_accessible(page)
    with page.expect_request(lambda request: request.method == "PUT") as put:
        page.get_by_role("button", name="Save").click()
    assert put.value.headers["if-match"] == '"v2"'
    expect(page.get_by_text("The budgets are set.")).to_be_visible()
    assert len(puts) == 2


def test_an_experiment_is_planned_once_it_can_be_and_started_and_stopped(world: PageWorld, page: Page) -> None:
    bodies: list[Any] = []
    answers = ANSWERS | {
        "POST /experiments": planned,
        f"/experiments/{EXPERIMENT}": planned,
        f"POST /experiments/{EXPERIMENT}/start": ANSWERS[f"/experiments/{EXPERIMENT}"],
        f"POST /experiments/{EXPERIMENT}/stop": planned,
    }
    asked = opened(world, page, "?view=experiments", answers)
    page.on("request", lambda sent: bodies.append(sent.post_data_json) if sent.method == "POST" else None)
    page.get_by_role("link", name="Plan one").click()
    expect(page.get_by_label("A, the control").locator("option")).to_have_count(6)
    page.get_by_label("Share who do it now (%)").fill("110")
    page.get_by_role("button", name="Work it out").click()
    expect(page.get_by_role("alert")).to_contain_text("below 100")
    page.get_by_label("Share who do it now (%)").fill("10,5")
    page.get_by_role("button", name="Work it out").click()
    expect(page.locator("[data-key=new]")).to_contain_text("3,500 people an arm show it")
    assert bodies == [{"baseline": 0.105, "effect": 0.03}]

    page.get_by_label("A, the control").select_option("101")
    page.get_by_label("B, what you try").select_option("102")
    expect(page.locator("[data-key=new]")).to_contain_text("has to bring the values body_1.")
    page.get_by_role("button", name="Plan it").click()
    expect(page.get_by_role("alert")).to_contain_text("Give it a name. Both templates are of one category")
    assert_accessible(page)
    page.get_by_label("Name", exact=True).fill("Short or long")
    page.get_by_label("B, what you try").select_option("104")
    page.get_by_label("Share of people who get B").fill("20")
    page.get_by_role("button", name="Plan it").click()
    expect(page.get_by_text("It is planned. Start it when you are ready to send.")).to_be_visible()
    expect(page).to_have_url(re.compile(f"experiment={EXPERIMENT}"))
    plan = ExperimentRequest.model_validate(bodies[-1])
    assert [(arm.arm, arm.weight, arm.template and arm.template.name) for arm in plan.arms] == [
        ("A", 0.8, "spring_sale"), ("B", 0.2, "spring_short"),
    ]  # fmt: skip
    assert len(bodies) == 2

    page.get_by_role("button", name="Start", exact=True).click()
    assert_accessible(page)
    page.get_by_role("button", name="Not now").click()
    assert f"POST /experiments/{EXPERIMENT}/start?" not in asked
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="Start it").click()
    expect(page.locator("[data-key=experiment]")).to_contain_text("Running")
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_text("Nobody is drawn any more; who was drawn is still counted.")).to_be_visible()
    assert asked.count(f"POST /experiments/{EXPERIMENT}/stop?") == 1


def test_who_is_no_administrator_plans_and_starts_nothing(world: PageWorld, page: Page) -> None:
    opened(world, page, "?view=experiments&plan=yes", ANSWERS | {f"/experiments/{EXPERIMENT}": planned})
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Access token").fill(world.token(role="member"))
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.goto(f"{world.url}/insights?view=experiments&plan=yes")
    expect(page.get_by_role("heading", name="Experiments")).to_be_visible()
    expect(page.get_by_role("heading", name="Plan an experiment")).to_have_count(0)
    expect(page.get_by_role("link", name="Plan one")).to_have_count(0)
    page.goto(f"{world.url}/insights?experiment={EXPERIMENT}")
    expect(page.get_by_role("heading", name="The plan")).to_be_visible()
    expect(page.get_by_role("button", name="Start", exact=True)).to_have_count(0)


def test_a_table_is_saved_as_csv_and_advice_dismissed(world: PageWorld, page: Page) -> None:
    asked = opened(world, page, "", ANSWERS | {f"POST /advice/{ADVICE}/dismiss": dismissed})

    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV of Templates").click()
    assert saved.value.suggested_filename == "templates.csv"
    page.get_by_role("link", name="Advice", exact=True).click()
    page.get_by_role("button", name="Dismiss", exact=True).first.click()
    expect(page.get_by_text("Dismissed. It is not given again.")).to_be_visible()
    expect(page.locator("#view .rows > li")).to_have_count(1)
    assert f"POST /advice/{ADVICE}/dismiss?" in asked


def test_it_is_shown_in_the_documentation_as_it_is(world: PageWorld, page: Page) -> None:
    """`WABUS_SCREENSHOTS=1` writes what it sees to docs/images."""
    world.connect()
    serve(page, fair=True)
    page.goto(f"{world.url}/insights")
    expect(page.locator(".templates-table")).to_contain_text("loyalty_points")
    page.set_viewport_size({"width": 1280, "height": 1090})
    picture(page, "insights")
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    picture(page, "insights-phone")
    page.locator(".templates-table").get_by_role("link", name="spring_sale").click()
    expect(page.get_by_role("heading", name="Versions side by side")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 1400})
    page.emulate_media(color_scheme="dark")
    picture(page, "insights-template-dark")

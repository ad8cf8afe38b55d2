"""The catalogue in a real browser: it fits a phone, and a search leaves what was asked for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import ARGUMENTS, chromium_path
from playwright.sync_api import Page, sync_playwright

CATALOGUE = Path(__file__).parents[2] / "docs/catalogue/index.html"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    executable = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(CATALOGUE.as_uri())
        yield page
        browser.close()


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_search_leaves_what_was_asked_for(page: Page) -> None:
    page.set_viewport_size({"width": 1440, "height": 800})
    search = page.get_by_role("searchbox")
    search.fill("approved_templates_nobody_has")
    assert page.locator("article:visible").count() == 0
    assert page.get_by_text("No event has all these words.").is_visible()
    search.fill("by_status")
    assert page.locator("article:visible h3").all_inner_texts() == ["TemplatesSynced"]
    assert page.locator("nav a:visible").all_inner_texts().count("TemplateChanged") == 0
    search.fill("")
    assert page.locator("nav").get_by_text("TemplateChanged").is_visible()


def test_dark_and_light_are_both_readable(page: Page) -> None:
    for scheme, brighter in (("dark", True), ("light", False)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        ink, paper = (
            sum(map(int, page.evaluate(f"getComputedStyle(document.body).{which}.match(/\\d+/g).slice(0, 3)")))
            for which in ("color", "backgroundColor")
        )
        assert (ink > paper) == brighter
        assert abs(ink - paper) > 500

"""Files of a page that do not come: it loads itself again, and says at last that it can't."""

import time

import pytest
from browser import WAIT
from page_world import PageWorld
from playwright.sync_api import Page, Request, Route, expect

pytest_plugins = ["browser", "page_world"]


class Loads:
    """How often a page is loaded from now on."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.count = 0
        page.on("request", self._count)

    def _count(self, request: Request) -> None:
        self.count += request.url.endswith("/shared/again.js")

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + WAIT / 1000
        while self.count < count:
            assert time.monotonic() < deadline, self.count
            self._page.wait_for_timeout(50)


@pytest.mark.parametrize("path", ["/", "/inbox", "/insights"])
@pytest.mark.parametrize("part", ["app.js", "shared/dom.js", "shared/base.css"])
def test_whoever_changes_the_network_while_a_page_loads_has_to_load_it_again(
    world: PageWorld, page: Page, path: str, part: str
) -> None:
    def lose(route: Route) -> None:
        if loads.count == 1:
            route.abort("connectionreset")
        else:
            route.continue_()

    loads = Loads(page)
    page.route(f"**/{part}", lose)
    page.goto(f"{world.url}{path}")
    loads.wait_for(2)
    expect(page.locator("#late")).to_have_count(0)


@pytest.mark.parametrize("part", ["status/history.js", "shared/dom.js"])
def test_a_part_of_the_page_that_does_not_load_is_said(world: PageWorld, page: Page, part: str) -> None:
    loads = Loads(page)
    page.route(f"**/{part}", lambda route: route.abort())
    page.goto(world.url)
    loads.wait_for(3)
    late = page.get_by_text("Something of this page could not be loaded.")
    expect(late).to_be_hidden()
    # CSS counts these ten seconds by itself; the browser is told that they have passed.
    late.evaluate("each => each.getAnimations().forEach((animation) => animation.finish())")
    expect(late).to_be_visible()

"""The pure functions of the pages, called in a browser.

PYTEST_DONT_REWRITE: it is imported as a plugin and by name.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser import ARGUMENTS, chromium_path
from page_world import PageWorld
from playwright.sync_api import Page, sync_playwright

pytest_plugins = ["page_world"]

Call = Callable[..., Any]
CALL = """async ([module, name, given]) => {
  const found = (await import(module))[name](...given);
  return JSON.parse(JSON.stringify(found, (_, value) => (value instanceof Map ? [...value] : value)) ?? "null");
}"""


@pytest.fixture(scope="module")
def blank_page(shared_world: PageWorld) -> Iterator[Page]:
    """A page of ours that does nothing by itself, in Berlin."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        page = browser.new_page(timezone_id="Europe/Berlin")
        page.goto(f"{shared_world.url}/ui/shared/icon.svg")
        yield page
        browser.close()


@pytest.fixture
def call(blank_page: Page, shared_world: PageWorld) -> Call:
    """Call a function of a module."""

    def run(module: str, name: str, *given: Any) -> Any:
        return blank_page.evaluate(CALL, [f"{shared_world.url}/ui/{module}", name, list(given)])

    return run

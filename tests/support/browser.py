"""A real Chromium for tests of pages, and what is asked of every page: contrasts, no script that fails, axe's rules.

PYTEST_DONT_REWRITE: it is imported as a plugin and by name.
"""

import os
import shutil
import time
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--disable-sync",
)  # fmt: skip
WITH_BACK_FORWARD_CACHE = ["--disable-back-forward-cache"]
"""What Playwright passes unless it is told not to: people's browsers keep a page that they leave, and show it again."""

WAIT = 60_000  # ms until a condition that should hold counts as a failure
WIDE, PHONE, SMALLEST = (1280, 900), (390, 844), (320, 640)

CONTRASTS = """() => {
  const rgb = (text) => { const c = document.createElement("canvas").getContext("2d"); c.fillStyle = text; c.fillRect(0, 0, 1, 1);
    return [...c.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const under = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3]) return c; }
    return [255, 255, 255]; };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !e.checkVisibility() || e.closest(".unseen, .skip, [aria-disabled=true]")) continue;
    const look = getComputedStyle(e), back = under(e);
    const fore = rgb(look.color).map((v, i) => v * look.opacity + back[i] * (1 - look.opacity));
    const [a, b] = [light(fore), light(back)].sort((x, y) => y - x);
    const large = parseFloat(look.fontSize) >= 24 || (parseFloat(look.fontSize) >= 18.66 && look.fontWeight >= 700);
    if ((a + .05) / (b + .05) < (large ? 3 : 4.5)) poor.push(`${walker.currentNode.data.trim()}: ${((a + .05) / (b + .05)).toFixed(2)}`);
  }
  return poor;
}"""  # noqa: E501
"""Texts whose contrast is below WCAG 2.2, success criterion 1.4.3 (AA)."""

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
"""The tags of axe's rules that every state of every page is held to."""


def chromium_path() -> str | None:
    """The installed Chromium, or None for Playwright's own. Skips without any, but not in CI."""
    found = os.environ.get("CHROMIUM_PATH") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found:
        return found
    with sync_playwright() as playwright:
        if Path(playwright.chromium.executable_path).exists():
            return None
    why = "no Chromium: install one, or set CHROMIUM_PATH"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=ARGUMENTS, ignore_default_args=WITH_BACK_FORWARD_CACHE
        )
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]})
    context.set_default_timeout(WAIT)
    expect.set_options(timeout=WAIT)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page whose scripts must not fail, nor do what its Content-Security-Policy forbids."""
    page = context.new_page()
    broken = watch(page)
    yield page
    page.unroute_all(behavior="ignoreErrors")  # what the page asks for while it is closed is no test's any more
    assert broken == []


def watch(page: Page) -> list[str]:
    """What goes wrong in a page's scripts from now on."""
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda line: broken.append(line.text) if "Content Security Policy" in line.text else None)
    return broken


def wait_for(page: Page, expression: str, arg: object = None) -> None:
    """Wait until JavaScript says so. Playwright's `wait_for_function` does it by `eval` from the second look on, which
    the Content-Security-Policy of our pages forbids."""
    deadline = time.monotonic() + WAIT / 1000
    while not page.evaluate(expression, arg):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


def assert_contrasts(page: Page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CONTRASTS) == [], scheme
    page.emulate_media(color_scheme="light")


def assert_accessible(page: Page) -> None:
    """No rule of axe is broken by what the page shows now."""
    found = violations(page)
    assert not found, "\n".join(found)


def violations(page: Page) -> list[str]:
    """What axe finds wrong, a line for each place."""
    page.evaluate(_axe())
    options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
    found: list[dict[str, Any]] = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]


@cache
def _axe() -> str:
    """The rules' engine as a script: evaluated by the browser itself, so no policy of the page is in its way."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text() + "; 0"

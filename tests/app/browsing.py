"""How a test uses the real app in a browser."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import FloatRect, Locator, Page, expect

LONG = 60_000  # ms
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
Visit = Callable[..., Page]
ReducedMotion = Literal["no-preference", "reduce"]
expect.set_options(timeout=20_000)  # a busy machine is slow and not wrong


def settle(page: Page) -> None:
    """Waits until the script has run and everything is drawn."""
    page.wait_for_timeout(150)  # Streamlit marks the run a moment after the click
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=LONG)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=LONG)


def choose(page: Page, label: str, value: str) -> None:
    """Chooses from a list as a keyboard user does: type, then Enter."""
    box = page.get_by_role("combobox", name=label, exact=True).first
    box.click()
    box.fill(value)
    page.get_by_role("option", name=value, exact=True).first.click()
    settle(page)


def back(page: Page) -> None:
    """Presses Back."""
    page.go_back()
    settle(page)


def menu(page: Page, name: str) -> None:
    """Goes to a page by the menu."""
    link = page.get_by_role("link", name=name).first
    path = urlsplit(link.evaluate("link => link.href")).path
    link.click()
    page.wait_for_url(lambda url: urlsplit(url).path == path)
    settle(page)


def spec_text(page: Page) -> Locator:
    """Returns the box in which the spec stands as text."""
    return page.get_by_role("textbox", name="The same as text")


def chart(page: Page, name: str) -> Locator:
    """Returns the drawing whose name for screen readers begins with ``name``."""
    return page.locator(f'[aria-label^="{name}"]').locator("svg, canvas").first


def still(drawn: Locator) -> FloatRect:
    """Returns where something stands once it does not move: what is above may push it down."""
    before = None
    while (box := drawn.bounding_box()) is None or box != before:
        before = box
        drawn.page.wait_for_timeout(250)
    return box


def click_cell(page: Page, spec: str, *keys: str) -> None:
    """Clicks a cell of the Map, found by what its mark says to a screen reader."""
    mark = page.locator(f'path[aria-label*="spec: {spec};"]').first
    mark.scroll_into_view_if_needed()
    box = still(mark)
    for key in keys:
        page.keyboard.down(key)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for key in keys:
        page.keyboard.up(key)
    settle(page)


def shot(page: Page, name: str) -> None:
    """Keeps a picture of the page where SHOTS says so."""
    folder = os.environ.get("SHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))
